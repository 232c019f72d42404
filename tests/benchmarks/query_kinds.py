"""The effort that queries of several shapes need: recall@10 by nprobe, and the nprobe that 0.95 takes.

    python tests/benchmarks/query_kinds.py VECTORS CLASSES [ROWS]

VECTORS is a text file of word vectors, CLASSES a table of class names. An embedding is made as ConSE makes one:
the mean of the vectors of ten classes by Dirichlet weights, and some noise of its own. No query is in the index.
"""

import sys
import time

import numpy as np

from devise.search import index, kinds, template
from devise.search.filling import fill_shard
from devise.words import wordvectors
from devise.words.classes import read_classes
from devise.words.nouns import fold

N_QUERIES, K, SEED = 300, 10, 0


def unit(array_ND):
    return (array_ND / np.linalg.norm(array_ND, axis=1, keepdims=True)).astype(np.float32)


def main(vectors: str, classes: str, n_rows: int = 100_000) -> None:
    rng = np.random.default_rng(SEED)
    source = wordvectors.read(vectors)
    word_VD = unit(source.vectors)
    names = {fold(name) for one in read_classes(classes) for name in one.names}
    class_CD = word_VD[[row for row, word in enumerate(source.words) if fold(word) in names]]

    def embed(n):
        # softmax probabilities of a network: a few classes that are near to one another have nearly all of it
        centre = rng.integers(len(class_CD), size=n)
        near = np.argsort(-(class_CD @ class_CD.T), axis=1)[:, :10]
        weight = rng.dirichlet([0.5] * 10, size=n)
        mean = np.einsum("nt,ntd->nd", weight, class_CD[near[centre]])
        return unit(unit(mean) + 0.3 / np.sqrt(class_CD.shape[1]) * rng.normal(size=mean.shape))

    embedding_ND = np.concatenate([embed(min(10_000, n_rows - start)) for start in range(0, n_rows, 10_000)])
    ids_N = np.arange(n_rows)
    kind = kinds.choose_kind(n_rows + kinds.FLAT_ROWS, class_CD.shape[1], 2**40, sample_rows=40_000)
    started = time.process_time()
    made = template.train_template(embedding_ND[:40_000], kind, SEED)
    shard = fill_shard(made, [(ids_N, embedding_ND)])
    print(f"{kind.factory}, {n_rows:,} rows, {len(class_CD):,} classes; {time.process_time() - started:.0f} s of CPU\n")

    a, b, c = (word_VD[rng.choice(len(word_VD), N_QUERIES, replace=False)] for _ in range(3))
    p, q = embed(N_QUERIES), embed(N_QUERIES)
    shapes = {
        "p (image)": p, "a (word)": a, "a + b (words)": a + b, "2 a + b": 2 * a + b, "5 a + b": 5 * a + b,
        "p + a": p + a, "p + 0.2 a": p + 0.2 * a, "p + q": p + q, "a - b (differences)": a - b, "a + b - c": a + b - c,
        "2 a - b": 2 * a - b, "5 a - b": 5 * a - b, "p - a": p - a, "p - q": p - q, "-1 a": -a,
    }  # fmt: skip
    steps = kinds.nprobe_steps(kind.nlist)
    print("| query | nprobe for 0.95 | recall@10 at it | at the effort of its kind |\n|---|---|---|---|")
    settled = {}
    for shape, query_QD in shapes.items():
        query_QD = unit(query_QD)
        exact_QK, _ = index.exact_search(query_QD, ids_N, embedding_ND, K)
        prepared = index.prepare(made, query_QD, steps[-1])
        found = {}
        for nprobe, (near_QK, _) in zip(steps, index.search_at_steps(shard, prepared, K, steps), strict=True):
            hits = [len(set(x) & set(y)) / K for x, y in zip(near_QK.tolist(), exact_QK.tolist(), strict=True)]
            found[nprobe] = float(np.mean(hits))
        effort = kinds.settle_nprobe(found, 0.95)
        settled[shape] = effort.nprobe
        whose = "a - b (differences)" if "-" in shape else "a + b (words)" if "+" in shape else shape
        at = f"{found[settled[whose]]:.3f}" if whose in settled else "-"
        print(f"| {shape} | {effort.nprobe} | {effort.recall:.3f} | {at} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
