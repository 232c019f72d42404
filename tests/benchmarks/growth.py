"""What each job of a night costs as the corpus grows: shuffle, reads, writes, requests, memory, and fitted exponents.

    python tests/benchmarks/growth.py [--images 100000 1000000] [--dim 300] [--s3] [--rows FILE]

A warehouse is made, not fetched: a listing of so many made keys goes through the real jobs, from catalog_images to
publish_run. Two things are made: what the catalogue lists, and the engine of the embed stage, which gives a vector
without looking at a picture (the slices, their files and records are the real ones). Four nights: the first; one of
1,000 images of change whatever the corpus (eight in ten changed, one added, one gone); one of 1 % change; one without.

The counters are Spark's own, of the stages of each job (but see `COUNTED_TWICE`). CPU s are of all processes, Spark's
Java and Python, and with --s3 the server's; scratch is what Spark staged for the job, bytes written are those of the
run's files. Heap is what lives in the driver after a full collection, asked for every 5 s and at the job's end. Spark
runs as a driver and two executors of one core, each a process of its own; each size in a fresh driver. With --s3 the
warehouse is on a real S3 server, reached through a proxy that counts, Spark's own connector included.

An exponent is the slope of log counter against log corpus, by least squares: 0 does not grow, 1 grows as the corpus
does. Rows are kept in FILE, one JSON a line, and all that are in it are told together.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from catalogue import MASTER, MIB, Watch, descendants
from embed_loop import processor

N_LABELS, K = 1_000, 5
FIXED = 1_000
ENGINE_ROWS = 1_024
COUNTED_TWICE = 4_096
"""Bytes a row, beyond a first MiB, from which a stage's are not believed. Where partitions are coalesced before Python
(the plan's last write, of rows that it staged) Spark adds all that the executor's thread ever read before."""
COUNTERS = {
    "seconds": "s", "cpu_seconds": "CPU s", "shuffle_bytes": "shuffle MiB", "shuffle_rows": "shuffled rows",
    "read_bytes": "read MiB", "read_rows": "read rows", "scratch_bytes": "scratch MiB", "written_bytes": "written MiB",
    "files": "files", "computed": "computed rows",
}  # fmt: skip
FITTED = (*COUNTERS, "heap_bytes", "requests")


class Night(NamedTuple):
    """A night by name; how many of the images there are changed, added and removed."""

    name: str
    changed: int
    added: int
    gone: int


class MadeEngine:
    """Gives each item a unit vector near one of the labels', and rejects one of a thousand; opens no picture."""

    def __init__(self, dim: int):
        import numpy as np

        self.centre_VD = label_vectors(dim)
        self.rng = np.random.default_rng()

    def run(self, items: Iterator[Any]) -> Iterator[Any]:
        import numpy as np

        from devise.vision.outcomes import Outcomes

        while batch := list(islice(items, ENGINE_ROWS)):
            n = len(batch)
            noise_ND = self.rng.standard_normal((n, self.centre_VD.shape[1]), np.float32)
            near_N = np.array([item.image_id % len(self.centre_VD) for item in batch])
            vector_ND = self.centre_VD[near_N] + 0.6 / noise_ND.shape[1] ** 0.5 * noise_ND
            norm_N = np.linalg.norm(vector_ND, axis=1)
            codes = ["corrupt" if item.image_id % 1_000 == 0 else None for item in batch]
            side_N, one_N = np.full(n, 256, np.int32), np.ones(n, np.int32)
            messages = [code and "made so" for code in codes]
            unit_ND, none = vector_ND / norm_N[:, None], [None] * n
            yield Outcomes(batch, unit_ND, norm_N, side_N, side_N, codes, messages, one_N, none)


def label_vectors(dim: int) -> Any:
    import numpy as np

    vector_VD = np.random.default_rng(0).standard_normal((N_LABELS, dim), np.float32)
    return vector_VD / np.linalg.norm(vector_VD, axis=1, keepdims=True)


class Corpus:
    """What the store would list: objects `first` to `last`, each with as many changes as it has seen."""

    def __init__(self, n_images: int):
        self.first, self.last = 0, n_images
        self.changes: list[tuple[int, int]] = []
        """Of every so manieth object, from which on."""

    def change(self, night: Night) -> tuple[int, int]:
        """Tomorrow's listing; how many are new or changed, and how many of the old contents are listed no more."""
        before = range(self.first, self.last)
        self.first, self.last = self.first + night.gone, self.last + night.added
        n_changed = 0
        if night.changed:
            stride, start = len(before) // night.changed, len(self.changes) + 1
            self.changes.append((stride, start))
            stay = range(self.first, before.stop)
            n_changed = sum(1 for number in stay if number % stride == start)
        return n_changed + night.added, n_changed + night.gone

    def list(self, spark: Any) -> Any:
        """The rows of the catalogue, in as many parts as a listing has."""
        from pyspark.sql import functions as F

        from devise.spark.frame import schemas
        from devise.spark.stages.catalog import image_id

        version = F.lit(0)
        for stride, start in self.changes:
            version = version + F.when(F.col("id") % stride == start, 1).otherwise(0)
        hexed = F.lpad(F.lower(F.hex(F.col("id") % 256)), 2, "0")
        rows = spark.range(self.first, self.last, numPartitions=2 * spark.sparkContext.defaultParallelism)
        rows = rows.select(
            F.concat(F.lit("s3://made/corpus/"), hexed, F.lit("/"), F.lpad("id", 10, "0"), F.lit(".jpg")).alias("uri"),
            F.md5(F.concat_ws("-", "id", version)).alias("etag"),
            (F.lit(100_000) + F.col("id") % 50_000).alias("size_bytes"),
            F.timestamp_seconds(F.lit(1_700_000_000) + version).alias("modified_at"),
        )
        return rows.withColumn("image_id", image_id()).select(schemas.IMAGES.names).sortWithinPartitions("image_id")


class Counts:
    """Counters of the stages that Spark has run, of each job that is asked about."""

    def __init__(self, spark: Any):
        self._context, self._jvm = spark.sparkContext._jsc.sc(), spark._jvm
        self._gateway = spark.sparkContext._gateway
        self._last = -1

    def since(self) -> dict[str, int]:
        """The sums of all stages that ended since the last time."""
        self._context.listenerBus().waitUntilEmpty()
        nothing = self._gateway.new_array(self._jvm.double, 0)
        stages = self._context.statusStore().stageList(None, False, False, nothing, self._jvm.java.util.ArrayList())
        found = Counter(shuffle_bytes=0, shuffle_rows=0, read_bytes=0, read_rows=0, scratch_bytes=0, tasks=0)
        numbers = []
        for place in range(stages.size()):
            stage = stages.apply(place)
            numbers.append(stage.stageId())
            if stage.stageId() > self._last:
                found["shuffle_bytes"] += stage.shuffleWriteBytes()
                found["shuffle_rows"] += stage.shuffleWriteRecords()
                believed = stage.inputBytes() <= MIB + COUNTED_TWICE * stage.inputRecords()
                found["read_bytes"] += stage.inputBytes() * believed
                found["read_rows"] += stage.inputRecords()
                found["scratch_bytes"] += stage.outputBytes()
                found["tasks"] += stage.numTasks()
                if os.environ.get("GROWTH_STAGES"):
                    print(
                        f"  stage {stage.stageId()} {stage.name()[:60]}: {stage.numTasks()} tasks, read "
                        f"{stage.inputRecords():,} rows {stage.inputBytes():,} B, shuffled "
                        f"{stage.shuffleWriteRecords():,} rows {stage.shuffleWriteBytes():,} B, "
                        f"scratch {stage.outputBytes():,} B",
                        file=sys.stderr,
                    )
        self._last = max([self._last, *numbers])
        return dict(found)


@contextmanager
def started(on_s3: bool) -> Iterator[tuple[Any, str, Any]]:
    """A Spark of separate processes, a place for a warehouse, and the counting proxy before the S3 server, or None."""
    import pyspark

    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-")))
        (place / "spark").mkdir()
        for entry in Path(pyspark.__file__).parent.iterdir():
            if entry.name != "work":
                (place / "spark" / entry.name).symlink_to(entry)
        os.environ |= {"SPARK_HOME": str(place / "spark"), "DEVISE_MASTER": MASTER}
        from devise.spark.frame.session import start_session

        root, proxy = f"{place}/warehouse", None
        if on_s3:
            from faultproxy import FaultProxy
            from s3server import S3Server

            from devise.groups import S3Config
            from devise.store import s3

            server = stack.enter_context(S3Server(place / "s3"))
            proxy = stack.enter_context(FaultProxy(server.port))
            os.environ |= server.environment() | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
            s3.configure(S3Config(endpoint=proxy.endpoint, path_style=True, region="us-east-1"))
            root = server.make_bucket("growth") + "/warehouse"
        spark = start_session("growth", tables_on_s3=on_s3)
        stack.callback(spark.stop)
        yield spark, root, proxy


def commit_vocabulary_and_model(root: str, run: str, dim: int) -> None:
    """What a night starts from: labels of such vectors, and a model that nobody opens."""
    import numpy as np
    import pyarrow.parquet as pq

    from devise.spark.frame import schemas, tables
    from devise.warehouse import manifest
    from devise.warehouse.manifest import Manifest
    from devise.words import vocabulary
    from devise.words.vocabulary import Vocabulary

    labels = [f"noun {number}" for number in range(N_LABELS)]
    known = Vocabulary(
        np.arange(N_LABELS, dtype=np.int32), labels, [None] * N_LABELS, [[]] * N_LABELS, label_vectors(dim),
        np.zeros(N_LABELS, bool), ["made"] * N_LABELS,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        words, weights = Path(place) / "part-0.parquet", Path(place) / "model.bin"
        pq.write_table(vocabulary.to_arrow(known), words)
        weights.write_bytes(b"made")
        for table, path, columns in (("vocabulary", words, schemas.VOCABULARY.names), ("model", weights, [])):
            rows = N_LABELS if table == "vocabulary" else -1
            file = tables.deliver(path, manifest.folder(root, table, run), rows)
            made = Manifest(
                table=table, run=run, parent=0, rows=max(0, rows), columns=columns, files=[file], inputs={},
                inputs_hash="", config={}, config_hash="", model_id="m" * 16, vocabulary_id="v" * 16, code_version="0",
                started_at=0, finished_at=0, details={"dim": dim},
            )  # fmt: skip
            manifest.write(root, made)


def measure(n_images: int, dim: int, on_s3: bool) -> Iterator[dict]:
    """A row of figures for each job of each night."""
    from devise.config import CatalogConfig, EmbedConfig, IndexConfig, LabelConfig, PublishConfig
    from devise.jobs import build_index, catalog_images, embed_images, label_images, plan_images, publish_run
    from devise.spark.frame import job
    from devise.spark.frame.metering import tally
    from devise.spark.stages import embed

    embed.open_engine = lambda *_: MadeEngine(dim)
    share = n_images // 100
    nights = [
        Night("first", 0, 0, 0),
        Night("1,000", FIXED * 8 // 10, FIXED // 10, FIXED // 10),
        Night("1 %", share * 8 // 10, share // 10, share // 10),
        Night("none", 0, 0, 0),
    ]
    settings: dict[Any, dict] = {
        catalog_images: {"sources": ["s3://made/corpus"]},
        label_images: {"k": K},
        build_index: {"kind": "Flat", "rows_per_shard": 250_000},  # a base is not what is measured
        publish_run: {"min_recall": 0, "max_removed_fraction": 1},
    }
    kinds = (CatalogConfig, EmbedConfig, EmbedConfig, LabelConfig, IndexConfig, PublishConfig)
    jobs = (catalog_images, plan_images, embed_images, label_images, build_index, publish_run)
    with started(on_s3) as (spark, root, proxy):
        commit_vocabulary_and_model(root, "r0", dim)
        corpus, counts, cpu = Corpus(n_images), Counts(spark), Cpu()
        for number, night in enumerate(nights, 1):
            new, old = corpus.change(night)
            new = new if number > 1 else n_images
            listed = corpus.list(spark)
            catalog_images.find_images = lambda spark, *_, made=listed: (made, tally(spark.sparkContext))
            for module, kind in zip(jobs, kinds, strict=True):
                counts.since()
                if proxy is not None:
                    proxy.forget()
                Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory begins anew
                begun, worked = time.perf_counter(), cpu.seconds()
                with Watch(spark) as watch:
                    config = kind(warehouse=root, run=f"r{number}", **settings.get(module, {}))
                    made = job.perform(module.JOB, spark, config)
                    seconds = time.perf_counter() - begun
                manifests = [made[table] for table in module.JOB.writes if made[table].run == config.run]
                watch.heap = max(watch.heap, live_heap(spark))
                row = {
                    "images": n_images, "dim": dim, "store": "s3" if on_s3 else "file", "night": night.name,
                    "job": module.JOB.name, "seconds": round(seconds, 1),
                    "cpu_seconds": round(cpu.seconds() - worked, 1), **counts.since(),
                    "written_bytes": sum(file.size_bytes for one in manifests for file in one.files),
                    "files": sum(len(one.files) for one in manifests),
                    "computed": computed(module.JOB.name, made, new, old), "heap_bytes": watch.heap,
                    "python_bytes": peak_bytes(), "load": round(os.getloadavg()[0], 1),
                }  # fmt: skip
                if proxy is not None:
                    asked = Counter(kind_of(request) for request in proxy.requests(purpose=None))
                    row |= {"requests": sum(asked.values()), "asked": dict(asked)}
                yield row


def computed(name: str, made: dict, new: int, old: int) -> int:
    """Rows that a job computed and did not copy; fails if they are not those that were made so."""
    if name == "catalog_images":
        return made["images"].rows
    if name == "plan_images":
        details = made["plan"].details
        assert details["todo"] == new, (details, new)
        return made["plan"].rows
    if name == "embed_images":
        assert made["embeddings"].details["attempted"] == new
        return new
    if name == "label_images":
        assert new * 0.99 <= made["labels"].details["labelled"] <= new
        return made["labels"].details["labelled"]
    if name == "build_index":
        details = made["index"].details
        assert new * 0.99 <= details["added"] <= new and old * 0.99 <= details["hidden"] <= old, (details, new, old)
        return details["added"] + details["hidden"]
    return 0


def kind_of(request: Any) -> str:
    """As S3's price list has it."""
    if request.method == "DELETE" or request.purpose == "delete":
        return "DELETE"
    if request.purpose == "list":
        return "LIST"
    return request.method if request.method in ("GET", "HEAD") else "PUT"


class Cpu:
    """CPU seconds of this process and of all that it started: Spark's Java and Python, and S3's server."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        """Ticks of each process when it was last seen: what has ended since has worked all the same."""

    def seconds(self) -> float:
        for process in [os.getpid(), *descendants(os.getpid())]:
            with suppress(OSError, IndexError):  # it ended meanwhile
                times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
                self._seen[process] = sum(map(int, times))
        return sum(self._seen.values()) / os.sysconf("SC_CLK_TCK")


def live_heap(spark: Any) -> int:
    spark._jvm.java.lang.System.gc()
    return spark._jvm.java.lang.management.ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed()


def peak_bytes() -> int:
    """The most memory that this Python, the driver's, had resident."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def slope(points: list[tuple[int, float]]) -> float | None:
    """Of log y against log x by least squares; None where a y is zero or there is one x."""
    if len({x for x, _ in points}) < 2 or any(y <= 0 for _, y in points):
        return None
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (sum(column) / len(logs) for column in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def tables_of(rows: list[dict]) -> str:
    """Markdown: the figures, by dim, store and night, and the exponents."""
    told = []
    groups = list(dict.fromkeys((row["store"], row["dim"]) for row in rows))
    for store, dim in groups:
        mine = [row for row in rows if (row["store"], row["dim"]) == (store, dim)]
        where = "on S3" if store == "s3" else "on a local disk"
        on_s3 = ["requests", "by kind"] if store == "s3" else []
        head = ["images", "job", *COUNTERS.values(), "driver heap MiB", "driver Python MiB", *on_s3]
        for night in dict.fromkeys(row["night"] for row in mine):
            told += [f"\n### {dim} dims, {where}, change: {night}\n", "| " + " | ".join(head) + " |"]
            told.append("|" + "---|" * len(head))
            for row in (row for row in mine if row["night"] == night):
                cells = [f"{row['images']:,}", row["job"], *(shown(name, row.get(name)) for name in COUNTERS)]
                cells += [shown("bytes", row["heap_bytes"]), shown("bytes", row["python_bytes"])]
                if on_s3:
                    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(row["asked"].items()))
                    cells += [f"{row['requests']:,}", kinds]
                told.append("| " + " | ".join(cells) + " |")
        if len({row["images"] for row in mine}) > 1:
            told.append(exponents(mine, f"{dim} dims, {where}"))
    return "\n".join(told)


def exponents(rows: list[dict], what: str) -> str:
    """Markdown: by night and job, the exponent of each counter; a dash where it is zero at some size."""
    names = [name for name in FITTED if any(name in row for row in rows)]
    told = [f"\n### Exponents against the corpus, {what}\n", "| change | job | " + " | ".join(names) + " |"]
    told.append("|" + "---|" * (2 + len(names)))
    for night, name in dict.fromkeys((row["night"], row["job"]) for row in rows):
        mine = [row for row in rows if (row["night"], row["job"]) == (night, name)]
        found = (
            slope([(row["images"], row[counter]) for row in mine if row.get(counter) is not None]) for counter in names
        )
        told.append(f"| {night} | {name} | " + " | ".join("-" if e is None else f"{e:.2f}" for e in found) + " |")
    return "\n".join(told)


def shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith("bytes"):
        return f"{value / MIB:,.1f}" if value < 100 * MIB else f"{value / MIB:,.0f}"
    return f"{value:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--rows", type=Path, default=Path(tempfile.gettempdir()) / "growth.jsonl")
    parser.add_argument("--told", action="store_true", help="measure nothing, tell what is in the file")
    parser.add_argument("--one", action="store_true", help="measure the first size in this process")
    options = parser.parse_args()
    if options.one:
        for row in measure(options.images[0], options.dim, options.s3):
            with open(options.rows, "a") as rows:
                rows.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)
        return
    for n_images in [] if options.told else options.images:
        command = [sys.executable, __file__, "--one", "--images", str(n_images), "--dim", str(options.dim)]
        subprocess.run([*command, "--rows", options.rows, *["--s3"] * options.s3], check=True)
    import pyspark

    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, Spark {pyspark.__version__},")
    print(f"{MASTER}, {date.today()}")
    print(tables_of([json.loads(line) for line in options.rows.read_text().splitlines()]))


if __name__ == "__main__":
    main()
