"""What relevance, probabilities and answers add to labelling: side by side with the product of vectors alone.

    python tests/benchmarks/labelling.py [--labels 80829] [--images 2048] [--repeats 7]

Vectors are drawn on a made hierarchy as deep as WordNet's; nothing is decided by them but how long it takes. Prints a
table of images a second (one thread, blocks of 256), medians of interleaved repeats, and the ratio.
"""

import argparse
import os
import platform
import time
from datetime import date

import numpy as np
import torch

from devise.search.calibrated import Calibration
from devise.search.labelling import Labeller, make_nodes
from devise.search.ranking import EVIDENCE, SEEN_PENALTY, Ranker
from devise.search.zeroshot import top_labels
from devise.words.ancestry import Ancestry
from devise.words.vocabulary import Vocabulary

DIM, N_CLASSES, TOP, K = 300, 1000, 10, 5
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=80_829)
    parser.add_argument("--images", type=int, default=2_048)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known, ancestry, classes = make(options.labels)
    generator = np.random.default_rng(1)
    embedding_ND = generator.standard_normal((options.images, DIM)).astype(np.float32)
    embedding_ND /= np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    class_id_NT = np.argsort(generator.random((options.images, N_CLASSES)), axis=1)[:, :TOP].astype(np.int32)
    probability_NT = -np.sort(-generator.dirichlet(np.full(TOP, 0.3), options.images), axis=1).astype(np.float32)
    seen = [int(synset[1:]) for synset in classes]
    ranker = Ranker(
        known.vectors, ancestry, classes, seen, evidence=EVIDENCE, seen_penalty=SEEN_PENALTY, denied=range(0, 8000, 4)
    )
    numbers = {"temperature": 2.0, "label_share": 0.5, "intercept": 0.0, "log_odds": 0.8, "certain": 1.5}
    told = Calibration(
        **numbers, specificity=-1.0, n_images=1, n_classes=1, protocol="made", model="made", vocabulary="made"
    )
    denied_V = np.zeros(options.labels, dtype=bool)
    denied_V[0:8000:4] = True
    whole = Labeller(known, ranker, make_nodes(known, ancestry, classes, denied_V), told, 0.85, 0.14)
    ways = {
        "product of vectors alone": lambda: top_labels(embedding_ND, known.vectors, K),
        "relevance": lambda: Labeller(known, ranker).label(embedding_ND, class_id_NT, probability_NT, K),
        "relevance, probabilities, answers": lambda: whole.label(embedding_ND, class_id_NT, probability_NT, K),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            started = time.process_time()
            way()
            seconds[name].append(time.process_time() - started)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, one used, {date.today()}; {options.labels:,} labels, CPU time\n"
    )
    print("| way | images a second, median | least | most | of the first |\n|---|---|---|---|---|")
    first = np.median(seconds["product of vectors alone"])
    for name, spent in seconds.items():
        rates = options.images / np.array(spent)
        median, ratio = np.median(rates), first / np.median(spent)
        print(f"| {name} | {median:,.0f} | {rates.min():,.0f} | {rates.max():,.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
