"""Labelling side by side with its matrix products alone and with faiss's exact flat search, on the same vectors.

    export OPENBLAS_CORETYPE=SKYLAKEX OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python tests/benchmarks/labelling.py [--labels 80829] [--images 4096] [--threads 1]

Vectors are drawn on a made hierarchy as deep as WordNet's; nothing is decided by them but how long it takes. Prints
images a second by CPU time and by the clock, medians of interleaved repeats, and the share of faiss's and of the
products' CPU time. On a machine that others use CPU time is to be believed: it is that of all threads together.
Relevance is asked as the stage asks it, 512 images a call. faiss's OpenBLAS takes a CPU that it does not know for one
of 2004, four times slower: the first variable, read when it is loaded, names one that it knows. The others are what
Spark gives a worker of one core: without them NumPy's OpenBLAS has a thread a core that waits at full speed. More cores
are more tasks: start the script as often, at the same time.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from datetime import date

import faiss
import numpy as np
import torch

from devise.search.calibrated import Calibration
from devise.search.evidence import EVIDENCE, SEEN_PENALTY
from devise.search.labelling import Labeller, make_nodes
from devise.search.ranking import Ranker
from devise.search.zeroshot import BLOCK_ROWS, top_labels
from devise.words.ancestry import Ancestry
from devise.words.vocabulary import Vocabulary

DIM, N_CLASSES, TOP, FEW, MANY = 300, 1000, 10, 5, 50
FAN = 3
"""Synsets directly below each: 80,000 of them are then 10 deep, as nouns of WordNet are on average 8."""


def make(n_labels: int) -> tuple[Vocabulary, Ancestry, list[str]]:
    generator = np.random.default_rng(0)
    vectors_VD = generator.standard_normal((n_labels, DIM)).astype(np.float32)
    vectors_VD /= np.linalg.norm(vectors_VD, axis=1, keepdims=True)
    synsets = [f"s{row}" for row in range(n_labels)]
    above = {f"s{row}": [f"s{(row - 1) // FAN}"] for row in range(1, n_labels)}
    names = [f"noun {row}" for row in range(n_labels)]
    seen = np.zeros(n_labels, dtype=bool)
    known = Vocabulary(
        np.arange(n_labels, dtype=np.int32), names, synsets, [[]] * n_labels, vectors_VD, seen, ["exact"] * n_labels
    )
    classes = [synsets[row] for row in generator.choice(np.arange(n_labels // 2, n_labels), N_CLASSES, replace=False)]
    return known, Ancestry(above, synsets), classes


def make_labeller(known: Vocabulary, ancestry: Ancestry, classes: list[str]) -> Labeller:
    """With a tenth of the labels seen or denied and a made calibration: as many steps as on a night."""
    denied_V = np.zeros(len(known.labels), dtype=bool)
    denied_V[0:8000:4] = True
    seen = [int(synset[1:]) for synset in classes]
    ranker = Ranker(
        *(known.vectors, ancestry, classes, seen),
        evidence=EVIDENCE,
        seen_penalty=SEEN_PENALTY,
        denied=np.flatnonzero(denied_V),
    )
    numbers = {"temperature": 2.0, "label_share": 0.5, "intercept": 0.0, "log_odds": 0.8, "certain": 1.5}
    told = Calibration(
        **numbers, specificity=-1.0, n_images=1, n_classes=1, protocol="made", model="made", vocabulary="made"
    )
    return Labeller(known, ranker, make_nodes(known, ancestry, classes, denied_V), told, 0.85, 0.14)


def make_ways(n_labels: int, n_images: int) -> dict[str, Callable[[], object]]:
    """What is timed: all of it does the same images once."""
    known, ancestry, classes = make(n_labels)
    generator = np.random.default_rng(1)
    embedding_ND = generator.standard_normal((n_images, DIM)).astype(np.float32)
    embedding_ND /= np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    class_id_NT = np.argsort(generator.random((n_images, N_CLASSES)), axis=1)[:, :TOP].astype(np.int32)
    probability_NT = -np.sort(-generator.dirichlet(np.full(TOP, 0.3), n_images), axis=1).astype(np.float32)
    whole = make_labeller(known, ancestry, classes)
    ranker = whole.ranker
    flat = faiss.IndexFlatIP(DIM)
    flat.add(known.vectors)
    vectors_DV, block_BV = torch.from_numpy(known.vectors).T, torch.empty(BLOCK_ROWS, n_labels)

    def products() -> None:
        for start in range(0, n_images, BLOCK_ROWS):
            torch.mm(torch.from_numpy(embedding_ND[start : start + BLOCK_ROWS]), vectors_DV, out=block_BV)

    def by_batch(way: Callable[..., object], *asked: np.ndarray) -> None:
        for start in range(0, n_images, BLOCK_ROWS):
            way(*(part[start : start + BLOCK_ROWS] for part in asked))

    def relevance(k: int) -> Callable[[], object]:
        return lambda: by_batch(lambda *batch: ranker.top(*batch, k), embedding_ND, class_id_NT, probability_NT)

    def answers() -> None:
        by_batch(lambda *batch: whole.label(*batch, FEW), embedding_ND, class_id_NT, probability_NT)

    return {
        "products alone": products,
        f"faiss flat, k {FEW}": lambda: flat.search(embedding_ND, FEW),
        f"faiss flat, k {MANY}": lambda: flat.search(embedding_ND, MANY),
        f"nearest, k {FEW}": lambda: top_labels(embedding_ND, known.vectors, FEW),
        f"nearest, k {MANY}": lambda: top_labels(embedding_ND, known.vectors, MANY),
        f"relevance, k {FEW}": relevance(FEW),
        f"relevance, k {MANY}": relevance(MANY),
        f"relevance, probabilities, answers, k {FEW}": answers,
    }


def print_table(ways: dict[str, Callable[[], object]], n_images: int, repeats: int) -> None:
    spent = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            cpu, clock = time.process_time(), time.perf_counter()
            way()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    medians = {name: np.median(seconds, axis=0) for name, seconds in spent.items()}
    print("| way | a CPU second | least | most | a second | of the products | of faiss, same k |\n" + "|---" * 7 + "|")
    for name, seconds in spent.items():
        rates = n_images / np.array(seconds)[:, 0]
        cpu, clock = medians[name]
        shares = [medians["products alone"][0] / cpu]
        if name != "products alone":
            shares.append(medians[f"faiss flat, k {name.rsplit(' ', 1)[1]}"][0] / cpu)
        print(
            f"| {name} | {n_images / cpu:,.0f} | {rates.min():,.0f} | {rates.max():,.0f} | {n_images / clock:,.0f} | "
            + " | ".join([f"{share:.2f}" for share in shares] + [""] * (2 - len(shares)))
            + " |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=80_829)
    parser.add_argument("--images", type=int, default=4_096, help="a multiple of a block's")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    if options.images % BLOCK_ROWS:
        parser.error(f"found {options.images} images, wanted a multiple of {BLOCK_ROWS}")
    ways = make_ways(options.labels, options.images)
    core = os.environ.get("OPENBLAS_CORETYPE", "as it finds it")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {date.today()}; {options.labels:,} labels; OpenBLAS: {core}")
    for threads in options.threads:
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
        load = os.getloadavg()[0]
        print(f"\nThreads: {threads}; {load:.1f} runnable at the start.\n")
        print_table(ways, options.images, options.repeats)


if __name__ == "__main__":
    main()
