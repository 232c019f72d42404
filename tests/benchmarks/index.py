"""Indices side by side on the same vectors: build, memory, recall@10 and milliseconds a query, by kind of query.

    python tests/benchmarks/index.py VECTORS CLASSES [--grow EMBEDDINGS] [--rows N ...] [--kinds F ...] [--peers P ...]

VECTORS is a text file of word vectors, CLASSES a table of class names; vectors are made as in `query_kinds.py`, or
grown from real ones (a run of `embeddings`), and no query is among them. Ours are built and searched by the code that
a night runs: template, shard, exact rows, `search`.
Peers: flat (faiss, exact), hnswlib (`pip install hnswlib`), autofaiss (its published choice for vectors that fit into
memory, HNSW32, built by faiss itself: the package does not install beside current numpy and pyarrow). One that is not
installed is skipped, and the table says so. A setting (nprobe, ef) is the least of its steps that reaches a recall of
0.95, for each kind of query by itself. Times are CPU time, of all threads for a build, of one for a query, one query a
call, the median of all: other work on the machine counts little. MB are 10^6 bytes.
"""

import argparse
import datetime
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
import pyarrow.parquet as pq

from devise.search import index, kinds, mapped, template
from devise.search.filling import fill_shard, write_shard
from devise.search.kinds import QUERY_KINDS
from devise.words import wordvectors
from devise.words.classes import read_classes
from devise.words.nouns import fold

N_QUERIES, K, SEED, TARGET = 200, 10, 0, 0.95
NEAR, STEP = 10, 0.75
"""Neighbours that a picture is grown towards, and how far: by so much the nearest stay as near as they were."""
THREADS = 2
"""To build with; a search has one."""
EFFORTS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096]
"""efSearch of graphs."""
KINDS = ["Pad304,IVF{n},SQ8", "Pad304,IVF{n},SQ4", "IVF{n},SQ8", "IVF{n},Flat", "IVF{n},RaBitQfs4", "IVF{n},RaBitQfs"]
"""Those that a night chooses, of 300 dims, and what they were chosen from."""


class Built(NamedTuple):
    """A peer that can be asked: CPU seconds it took, bytes in memory and mapped, its settings by effort."""

    name: str
    seconds: float
    resident: int
    mapped: int
    settings: list[int]
    search: Callable[[np.ndarray, int], np.ndarray]
    """(1, D) and a setting -> ids."""


def unit(array_ND):
    return (array_ND / np.linalg.norm(array_ND, axis=1, keepdims=True)).astype(np.float32)


def make(vectors: str, classes: str, n_rows: int) -> tuple[np.ndarray, dict[str, np.ndarray], tuple]:
    """Embeddings (N, D), N_QUERIES queries of each kind, and the two words (Q, D) of each pair and difference."""
    rng = np.random.default_rng(SEED)
    source = wordvectors.read(vectors)
    word_VD = unit(source.vectors)
    names = {fold(name) for one in read_classes(classes) for name in one.names}
    class_CD = word_VD[[row for row, word in enumerate(source.words) if fold(word) in names]]
    near = np.argsort(-(class_CD @ class_CD.T), axis=1)[:, :10]

    def embed(n):
        weight = rng.dirichlet([0.5] * 10, size=n)
        mean = np.einsum("nt,ntd->nd", weight, class_CD[near[rng.integers(len(class_CD), size=n)]])
        return unit(unit(mean) + 0.3 / np.sqrt(class_CD.shape[1]) * rng.normal(size=mean.shape))

    a, b = (word_VD[rng.choice(len(word_VD), N_QUERIES, replace=False)] for _ in range(2))
    queries = {"image": embed(N_QUERIES), "word": a, "words": unit(a + b), "differences": unit(a - b)}
    embedding_ND = np.empty((n_rows, class_CD.shape[1]), np.float32)
    for start in range(0, n_rows, 10_000):
        embedding_ND[start : start + 10_000] = embed(min(10_000, n_rows - start))
    return embedding_ND, queries, (a, b)


def grow(embeddings: str, vectors: str, n_rows: int) -> tuple[np.ndarray, dict[str, np.ndarray], tuple]:
    """As `make`, from real embeddings: one of them and a difference of two of its neighbours, times STEP.

    Pictures asked about are real ones that nothing is grown from. Prints how near the nearest are, of the real ones and
    of as many grown ones.
    """
    rng = np.random.default_rng(SEED)
    real_ND = np.stack(pq.read_table(embeddings, columns=["embedding"]).column(0).to_numpy())
    real_ND = unit(rng.permutation(np.unique(real_ND, axis=0)))
    asked_QD, real_ND = real_ND[:N_QUERIES], real_ND[N_QUERIES:]
    near = np.argsort(-(real_ND @ real_ND.T), axis=1)[:, 1 : NEAR + 1]

    def some(n: int) -> np.ndarray:
        row, one = rng.integers(len(real_ND), size=n), rng.integers(NEAR, size=n)
        other = (one + rng.integers(1, NEAR, size=n)) % NEAR
        step_N1 = STEP * rng.uniform(0.5, 1.5, size=(n, 1))  # of so many rows some were equal else
        return unit(real_ND[row] + step_N1 * (real_ND[near[row, one]] - real_ND[near[row, other]])).astype(np.float32)

    for name, part_ND in (("real", real_ND), ("grown", some(len(real_ND)))):
        cosine_NN = part_ND @ part_ND.T
        np.fill_diagonal(cosine_NN, -1.0)
        told = " / ".join(f"{value:.3f}" for value in np.percentile(cosine_NN.max(axis=1), [5, 25, 50, 75, 95]))
        print(f"cosine of the nearest, {len(part_ND):,} {name}, 5 / 25 / 50 / 75 / 95 %: {told}")
    embedding_ND = np.concatenate([some(min(10_000, n_rows - start)) for start in range(0, n_rows, 10_000)])
    word_VD = unit(wordvectors.read(vectors).vectors)
    a, b = (word_VD[rng.choice(len(word_VD), N_QUERIES, replace=False)] for _ in range(2))
    return embedding_ND, {"image": asked_QD, "word": a, "words": unit(a + b), "differences": unit(a - b)}, (a, b)


def ours(factory: str, embedding_ND: np.ndarray, folder: Path) -> Built:
    """A shard of a night's index, opened from its files, with its exact rows where it keeps them."""
    nlist = kinds.choose_kind(10**9, 1, 0, factory).nlist
    started = time.process_time()
    trained = kinds.count_training_rows(len(embedding_ND), nlist, 640_000)
    sample = np.random.default_rng(1).choice(len(embedding_ND), trained, replace=False)
    kind = kinds.choose_kind(len(embedding_ND), embedding_ND.shape[1], 2**50, factory)
    made = template.train_template(embedding_ND[sample], kind, SEED, THREADS)
    image_id_N = np.arange(len(embedding_ND))
    rows = ((image_id_N[start : start + 10_000], embedding_ND[start : start + 10_000])
            for start in range(0, len(embedding_ND), 10_000))  # fmt: skip
    keeps = not template.is_exact(made)
    shard = fill_shard(made, mapped.write_through(rows, folder / "exact") if keeps else rows, THREADS)
    write_shard(shard, folder / "shard")
    seconds = time.process_time() - started
    del shard
    opened = index.read_shard(folder / "shard", made)
    exact = mapped.ExactRows(folder / "exact", *embedding_ND.shape) if keeps else None

    def search(query_QD: np.ndarray, nprobe: int) -> np.ndarray:
        return index.search([opened], index.prepare(made, query_QD, nprobe), K, None, [exact])[0]

    sizes = [path.stat().st_size if path.exists() else 0 for path in (folder / "shard", folder / "exact")]
    return Built(factory, seconds, sizes[0], sizes[1], kinds.nprobe_steps(nlist)[:-1] or [1], search)


def flat(embedding_ND: np.ndarray) -> Built:
    started = time.process_time()
    made = faiss.IndexFlatIP(embedding_ND.shape[1])
    made.add(embedding_ND)
    return Built("flat (faiss)", time.process_time() - started, embedding_ND.nbytes, 0, [0],
                 lambda query_QD, _: made.search(query_QD, K)[1])  # fmt: skip


def hnswlib(embedding_ND: np.ndarray) -> Built:
    from hnswlib import Index

    started = time.process_time()
    made = Index("ip", embedding_ND.shape[1])
    made.init_index(len(embedding_ND), M=32, ef_construction=200, random_seed=SEED)
    made.add_items(embedding_ND, num_threads=THREADS)
    seconds = time.process_time() - started

    def search(query_QD: np.ndarray, effort: int) -> np.ndarray:
        made.set_ef(effort)
        return made.knn_query(query_QD, K, num_threads=1)[0]

    return Built("hnswlib, M 32", seconds, made.index_file_size(), 0, EFFORTS, search)


def autofaiss(embedding_ND: np.ndarray) -> Built:
    started = time.process_time()
    made = faiss.index_factory(embedding_ND.shape[1], "HNSW32", faiss.METRIC_INNER_PRODUCT)
    faiss.omp_set_num_threads(THREADS)
    made.add(embedding_ND)
    size = embedding_ND.nbytes + 4 * 66 * len(embedding_ND)
    seconds = time.process_time() - started

    def search(query_QD: np.ndarray, effort: int) -> np.ndarray:
        return made.search(query_QD, K, params=faiss.SearchParametersHNSW(efSearch=effort))[1]

    return Built("HNSW32 by faiss (autofaiss's choice)", seconds, size, 0, EFFORTS, search)


def measure(built: Built, queries: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> Iterator[str]:
    """Of each kind of query its least setting for TARGET, recall there, and ms a query."""
    faiss.omp_set_num_threads(1)
    for kind in QUERY_KINDS:
        for setting in built.settings:
            found, seconds = [], []
            for query_D in queries[kind]:
                started = time.thread_time()
                found.append(built.search(query_D[None], setting)[0])
                seconds.append(time.thread_time() - started)
            recall = np.mean(
                [len(set(a.tolist()) & set(b.tolist())) / K for a, b in zip(found, exact[kind], strict=True)]
            )
            if recall >= TARGET:
                break
        yield f"{setting or '-'} / {recall:.3f} / {np.median(seconds) * 1e3:.2f}"


PEERS = {"flat": flat, "hnswlib": hnswlib, "autofaiss": autofaiss}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors")
    parser.add_argument("classes")
    parser.add_argument("--grow", help="a Parquet file, or a folder of them, with a column embedding")
    parser.add_argument("--rows", nargs="+", type=int, default=[200_000, 1_000_000])
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="faiss factory strings with {n} lists")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    told = parser.parse_args()
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    print(f"{platform.machine()} {cpu.partition(':')[2].strip()}, {os.cpu_count()} cores, faiss {faiss.__version__}, "
          f"OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE')}, {datetime.date.today()}")  # fmt: skip
    for n_rows in told.rows:
        if told.grow:
            embedding_ND, queries, _ = grow(told.grow, told.vectors, n_rows)
        else:
            embedding_ND, queries, _ = make(told.vectors, told.classes, n_rows)
        blocks = [(np.arange(start, min(n_rows, start + 50_000)), embedding_ND[start : start + 50_000])
                  for start in range(0, n_rows, 50_000)]  # fmt: skip
        exact = {kind: index.exact_search_in_blocks(query_QD, blocks, K)[0] for kind, query_QD in queries.items()}
        print(f"\n## {n_rows:,} x {embedding_ND.shape[1]}\n")
        heads = ["kind", "build, CPU s", "MB resident", "MB mapped", *QUERY_KINDS]
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")

        def line(built: Built, queries=queries, exact=exact) -> None:
            figures = " | ".join(measure(built, queries, exact))
            sizes = f"{built.resident / 1e6:,.0f} | {built.mapped / 1e6:,.0f}"
            print(f"| {built.name} | {built.seconds:.1f} | {sizes} | {figures} |", flush=True)

        nlist = kinds.choose_kind(n_rows + kinds.FLAT_ROWS, embedding_ND.shape[1], 2**50).nlist
        for factory in told.kinds:
            with tempfile.TemporaryDirectory() as folder:
                line(ours(factory.format(n=nlist), embedding_ND, Path(folder)))
        for name in told.peers:
            if name == "hnswlib" and importlib.util.find_spec("hnswlib") is None:
                print("| hnswlib: skipped, not installed (pip install hnswlib) |")
                continue
            line(PEERS[name](embedding_ND))


if __name__ == "__main__":
    main()
