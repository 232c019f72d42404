"""Memory and time to fill one shard, to train a template out of many rows, and to sort shards; each in a fresh process.

    python tests/benchmarks/index_memory.py [--rows 2000000] [--dim 300] [--nlist 4096] [--corpus 10000000]

A shard is filled as a task of the index stage fills it: batches of 512 rows come sorted by id, in Arrow; ids, uris and
etags go to the sidecar, vectors into the shard and, where it loses precision, its exact rows, and all are written.
Vectors are drawn from a pool of random unit rows and centroids are such rows too: how good they are does not matter
here. The template is trained by the stage itself, in local[2] with a heap of 2 GB; the corpus is made by the tasks
that read it and is never all there.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from embed_loop import processor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BATCH_ROWS, POOL_ROWS = 512, 8192
KINDS = ("IVF{nlist},SQ8", "IVF{nlist}_HNSW32,SQ8", "IVF{nlist},Flat")
SAMPLE_ROWS, SAMPLE_LISTS = 200_000, 512
MIB = 1 << 20


def unit_rows(rng: np.random.Generator, n_rows: int, dim: int) -> np.ndarray:
    made_ND = rng.standard_normal((n_rows, dim), dtype=np.float32)
    return made_ND / np.linalg.norm(made_ND, axis=1, keepdims=True)


def batches(n_rows: int, dim: int) -> Iterator:
    """Record batches as Spark hands them over: image_id ascending, uri, etag, embedding."""
    import pyarrow as pa

    rng, step = np.random.default_rng(1), 2**63 // n_rows
    pool_ND = unit_rows(rng, POOL_ROWS, dim)
    for start in range(0, n_rows, BATCH_ROWS):
        rows = range(start, min(start + BATCH_ROWS, n_rows))
        vectors = pa.array(pool_ND[rng.integers(POOL_ROWS, size=len(rows))].reshape(-1))
        offsets = pa.array(np.arange(0, len(vectors) + 1, dim, dtype=np.int32))
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([step * row for row in rows]),
                pa.array([f"s3://bucket/some/folder/of/the/corpus/{step * row:019d}.jpg" for row in rows]),
                pa.array([f"{step * row:032x}" for row in rows]),
                pa.ListArray.from_arrays(offsets, vectors),
            ],
            names=["image_id", "uri", "etag", "embedding"],
        )


def fill(factory: str, n_rows: int, dim: int) -> dict[str, float]:
    from devise.search import filling, mapped, shards
    from devise.search.kinds import choose_kind
    from devise.search.template import inverted_lists, is_exact, read_template
    from devise.spark.stages.fill import SIDECAR, Sidecar

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template"
        subprocess.run([sys.executable, __file__, "--make-template", str(path), "--kind", factory,
                        "--dim", str(dim)], check=True)  # fmt: skip
        before, started = peak_bytes(), time.perf_counter()
        template = read_template(path)
        sidecar = Sidecar(Path(folder) / f"sidecar{shards.SIDECAR}", SIDECAR, 1)
        rows = sidecar.write_through(batches(n_rows, dim))
        rows = rows if is_exact(template) else mapped.write_through(rows, Path(folder) / "exact")
        filled = filling.fill_shard(template, rows)
        sidecar.close()
        filling.write_shard(filled, Path(folder) / "shard")
        elapsed_s = time.perf_counter() - started
        if filled.ntotal != n_rows or inverted_lists(filled).nlist != choose_kind(0, dim, 0, factory).nlist:
            raise SystemExit(f"found {filled.ntotal} rows, wanted {n_rows}")
        size = (Path(folder) / "shard").stat().st_size
    return {"fill_s": elapsed_s, "before": before, "peak": peak_bytes(), "size": size}


def make_template(path: str, factory: str, dim: int) -> None:
    """A template whose centroids are rows like those that come."""
    import faiss

    from devise.search.template import GRAPH_EFFORT, inverted_lists, write_template

    made = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    inverted = inverted_lists(made)
    inverted.quantizer.add(unit_rows(np.random.default_rng(0), inverted.nlist, dim))
    inverted.quantizer_trains_alone = chr(1)
    made.train(unit_rows(np.random.default_rng(2), 20_000, dim))
    if isinstance(graph := faiss.downcast_index(inverted.quantizer), faiss.IndexHNSW):
        graph.hnsw.efSearch = GRAPH_EFFORT
    write_template(made, path)


def make_corpus(spark: "SparkSession", n_rows: int, dim: int) -> "DataFrame":
    """image_id and embedding of so many rows, made as they are read."""
    from pyspark.sql import functions as F

    def make(given: Iterator) -> Iterator:
        import pyarrow as pa

        rng = np.random.default_rng(1)
        pool_ND = unit_rows(rng, POOL_ROWS, dim)
        for batch in given:
            vectors = pa.array(pool_ND[rng.integers(POOL_ROWS, size=batch.num_rows)].reshape(-1))
            offsets = pa.array(np.arange(0, len(vectors) + 1, dim, dtype=np.int32))
            columns = [batch.column("image_id"), pa.ListArray.from_arrays(offsets, vectors)]
            yield pa.RecordBatch.from_arrays(columns, names=["image_id", "embedding"])

    ids = spark.range(n_rows).select(F.xxhash64("id").bitwiseAND(F.lit(2**63 - 1)).alias("image_id"))
    return ids.mapInArrow(make, "image_id long, embedding array<float>")


def on_spark(task: str, n_rows: int, dim: int) -> dict[str, float]:
    """`train`, the stage's training of a template, or `sort`, its spreading of rows over two shards; and the peaks."""
    os.environ |= {"DEVISE_MASTER": "local[2]", "PYSPARK_PYTHON": sys.executable}
    from devise.search.kinds import choose_kind
    from devise.spark.frame.session import start_session
    from devise.spark.stages import fill as stage

    def count(given: Iterator) -> Iterator:
        import pyarrow as pa

        yield pa.RecordBatch.from_pydict({"rows": [sum(batch.num_rows for batch in given)]})

    spark = start_session("benchmark")
    corpus = make_corpus(spark, n_rows, dim)
    peaks, over = {"java": 0, "python": 0}, threading.Event()
    watcher = threading.Thread(target=watch, args=(peaks, over))
    watcher.start()
    started = time.perf_counter()
    if task == "train":
        kind = choose_kind(n_rows, dim, 2**60, f"IVF{SAMPLE_LISTS},SQ8")
        with tempfile.TemporaryDirectory() as folder:
            stage.train_template(corpus, f"file://{folder}", kind, SAMPLE_ROWS, n_rows, seed=0)
    else:
        counts = [row.rows for row in stage.spread_by_range(corpus, 2).mapInArrow(count, "rows long").collect()]
        if sum(counts) != n_rows or len(counts) != 2:
            raise SystemExit(f"found {counts} rows, wanted {n_rows} in two shards")
    over.set()
    watcher.join()
    spark.stop()
    return {"taken_s": time.perf_counter() - started, **peaks}


def watch(peaks: dict[str, int], over: threading.Event) -> None:
    """The most resident memory of the JVM, and of any one of its Python workers, seen every 0.2 s."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not over.wait(0.2):
        for pid in descendants(os.getpid()):
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
            except OSError:  # it has ended
                continue
            kind = "java" if name == "java" else "python"
            peaks[kind] = max(peaks[kind], resident)


def descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [*set(children), *(grandchild for child in set(children) for grandchild in descendants(child))]


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def measured(*arguments: str) -> dict[str, float]:
    told = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return json.loads(told.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--nlist", type=int, default=1024)
    parser.add_argument("--corpus", type=int, default=10_000_000, help="rows that the template is drawn from; 0: none")
    for internal in ("--fill", "--spark", "--make-template", "--kind"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make_template:
        make_template(options.make_template, options.kind, options.dim)
    elif options.fill:
        print(json.dumps(fill(options.fill, options.rows, options.dim)))
    elif options.spark:
        print(json.dumps(on_spark(options.spark, options.rows, options.dim)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    print(f"{platform.machine()} {processor()}, {len(os.sched_getaffinity(0))} cores, {datetime.date.today()}")
    print()
    print("| kind | rows | shard, MiB | fill and write, s | before, MiB | peak, MiB | above before / shard |")
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS:
        factory = kind.format(nlist=options.nlist)
        found = measured("--fill", factory, "--rows", str(options.rows), "--dim", str(options.dim))
        print(
            f"| {factory} | {options.rows:,} | {found['size'] / MIB:.0f} | {found['fill_s']:.0f} "
            f"| {found['before'] / MIB:.0f} | {found['peak'] / MIB:.0f} "
            f"| {(found['peak'] - found['before']) / found['size']:.2f} |",
            flush=True,
        )
    if options.corpus:
        print()
        print("| on Spark, heap 2 GB | rows | taken, s | Java's peak, MiB | a worker's peak, MiB |")
        print("|---|---|---|---|---|")
        work = {
            "train": (f"{SAMPLE_ROWS:,} drawn, {SAMPLE_LISTS} lists trained", options.corpus),
            "sort": ("spread over two shards, sorted by id", options.rows),
        }
        for task, (what, n_rows) in work.items():
            found = measured("--spark", task, "--rows", str(n_rows), "--dim", str(options.dim))
            print(
                f"| {what} | {n_rows:,} | {found['taken_s']:.0f} | {found['java'] / MIB:.0f} "
                f"| {found['python'] / MIB:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
