"""Neighbours by a night's change: what the rule of `find_neighbours` misses, and what a search of every image costs.

    python tests/benchmarks/neighbours.py EMBEDDINGS [NIGHTS]

EMBEDDINGS is a Parquet file or folder with a column `embedding`, of real photographs. They are used as they are, and
grown: copies with noise. The rule is followed in arrays, with exact search: what is told is the rule's own loss, and
that of the index comes on top. Each night 1 % of the images go, 1 % are changed into others, and 2 % come.
"""

import datetime
import platform
import sys
import time
from collections.abc import Iterator

import faiss
import numpy as np
import pyarrow.parquet as pq

from devise.search import index, kinds, template
from devise.search.filling import fill_shard

SEED, K = 0, 5
REACHES = (5, 10, 20, 50, 100)
GROWN_ROWS, GROWN_LISTS, QUERIES, BLOCK_ROWS = 200_000, 1_024, 32_768, 8_192


def unit(array_ND: np.ndarray) -> np.ndarray:
    return (array_ND / np.linalg.norm(array_ND, axis=1, keepdims=True)).astype(np.float32)


def nearest(vectors_ND: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and cosines of the k nearest others of each row, exactly."""
    found = []
    for start in range(0, len(vectors_ND), 2_000):
        score_QN = vectors_ND[start : start + 2_000] @ vectors_ND.T
        score_QN[np.arange(len(score_QN)), np.arange(start, start + len(score_QN))] = -2
        near_QK = np.argpartition(-score_QN, k, axis=1)[:, :k]
        score_QK = np.take_along_axis(score_QN, near_QK, axis=1)
        order_QK = np.argsort(-score_QK, axis=1, kind="stable")
        found.append((np.take_along_axis(near_QK, order_QK, axis=1), np.take_along_axis(score_QK, order_QK, axis=1)))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def nights(pool_ND: np.ndarray, n_nights: int) -> Iterator[tuple[np.ndarray, set[int], set[int]]]:
    """Of each night the rows of the pool that are live, and those gained and lost; the first night is all gain."""
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(pool_ND)).tolist()
    n_first = int(len(pool_ND) / (1 + 0.03 * n_nights + 0.05))
    live, rest = set(order[:n_first]), order[n_first:]
    yield np.array(sorted(live)), set(live), set()
    for _ in range(n_nights):
        part = len(live) // 100
        lost = set(rng.choice(sorted(live), 2 * part, replace=False).tolist())  # an image changed is one lost, one new
        gained, rest = set(rest[: 3 * part]), rest[3 * part :]
        live = live - lost | gained
        yield np.array(sorted(live)), gained, lost


def follow(pool_ND: np.ndarray, n_nights: int) -> dict[int, tuple[float, float, float]]:
    """Reach -> after the last night: share of neighbours that the lists have, share of lists that are right, and share
    of the images searched a night."""
    lists: dict[int, dict[int, list[tuple[float, int]]]] = {reach: {} for reach in REACHES}
    searched = []
    for live_N, gained, lost in nights(pool_ND, n_nights):
        near_NK, score_NK = nearest(pool_ND[live_N], max(REACHES))
        near_NK = live_N[near_NK]
        place = {row: number for number, row in enumerate(live_N.tolist())}

        def true(row: int, k: int = K, at=place, near=near_NK, score=score_NK) -> list[tuple[float, int]]:
            return list(zip((-score[at[row], :k]).tolist(), near[at[row], :k].tolist(), strict=True))

        for reach, held in lists.items():
            for row in lost:
                del held[row]
            asked = gained | {row for row, best in held.items() if any(other in lost for _, other in best)}
            held |= {row: true(row) for row in asked}
            for row in gained:
                for score, other in true(row, reach):
                    if other not in asked:
                        held[other] = sorted([*held[other], (score, row)])[:K]
        searched.append(len(asked) / len(live_N))
    found = {}
    for reach, held in lists.items():
        hits = np.array([len({o for _, o in held[row]} & {o for _, o in true(row)}) for row in live_N.tolist()])
        found[reach] = float(hits.mean() / K), float((hits == K).mean()), float(np.mean(searched[1:]))
    return found


def cost(vectors_ND: np.ndarray) -> None:
    """Time of one core to search rows of an index, as they come, and side by side with those of the same first list."""
    rng = np.random.default_rng(SEED)
    grown_ND = vectors_ND[rng.integers(len(vectors_ND), size=GROWN_ROWS)]
    grown_ND = unit(grown_ND + 0.4 / grown_ND.shape[1] ** 0.5 * rng.normal(size=grown_ND.shape).astype(np.float32))
    query_Q = rng.choice(GROWN_ROWS, QUERIES, replace=False)
    print(f"\nIVF{GROWN_LISTS},SQ8, {GROWN_ROWS:,} rows, {QUERIES:,} of them as queries\n")
    print(
        "| dims | nprobe | as they come, ms a query | side by side, ms | ratio | ns a row visited |\n"
        + "|---" * 6
        + "|"
    )
    for dim in (grown_ND.shape[1], -(-grown_ND.shape[1] // 8) * 8):
        padded_ND = np.pad(grown_ND, ((0, 0), (0, dim - grown_ND.shape[1])))
        kind = kinds.choose_kind(GROWN_ROWS, dim, 2**40, f"IVF{GROWN_LISTS},SQ8")
        made = template.train_template(padded_ND[: 39 * GROWN_LISTS], kind, SEED)
        shard = fill_shard(made, [(np.arange(GROWN_ROWS), padded_ND)])
        for nprobe in (4, 16):
            prepared, took = index.prepare(made, padded_ND[query_Q], nprobe), []
            for order_Q in (np.arange(QUERIES), np.argsort(prepared.list_QP[:, 0])):
                queries, started = prepared.of(order_Q), time.process_time()
                for block_Q in np.array_split(np.arange(QUERIES), QUERIES // BLOCK_ROWS):
                    index.search([shard], queries.of(block_Q), K + 1)
                took.append((time.process_time() - started) / QUERIES)
            come, beside = took
            row_ns = beside / (nprobe * GROWN_ROWS / GROWN_LISTS) * 1e9
            print(
                f"| {dim} | {nprobe} | {come * 1e3:.3f} | {beside * 1e3:.3f} | {beside / come:.2f} | {row_ns:.0f} |",
                flush=True,
            )


def main(embeddings: str, n_nights: int = 7) -> None:
    print(f"{platform.processor() or platform.machine()}, faiss {faiss.__version__}, {datetime.date.today()}")
    column = pq.read_table(embeddings, columns=["embedding"]).column("embedding").combine_chunks()
    real_ND = column.flatten().to_numpy().reshape(len(column), -1)
    rng = np.random.default_rng(SEED)
    noise_ND = 0.4 / real_ND.shape[1] ** 0.5 * rng.normal(size=(3 * len(real_ND), real_ND.shape[1]))
    grown_ND = unit(np.concatenate([real_ND] * 3) + noise_ND)
    print(f"\n{n_nights} nights, k = {K}\n\n| photographs | reach | neighbours held | lists right | searched a night |")
    print("|---|---|---|---|---|")
    for name, pool_ND in {f"{len(real_ND):,}": real_ND, f"{len(grown_ND):,}, grown": grown_ND}.items():
        for reach, (held, right, searched) in follow(pool_ND, n_nights).items():
            print(f"| {name} | {reach} | {held:.2%} | {right:.2%} | {searched:.1%} |", flush=True)
    cost(real_ND)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
