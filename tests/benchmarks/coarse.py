"""Time to find the nearest centroids by full products and by a graph over them (HNSW), and how often it finds the same.

    python tests/benchmarks/coarse.py [--lists 4096 16384 65536] [--dim 300]

Rows and centroids are unit vectors near a space of 24 dims, as embeddings are; one thread; CPU time, not the clock's.
"""

import argparse
import datetime
import platform
import time
from collections.abc import Callable

import faiss
import numpy as np
from embed_loop import processor

HIDDEN, N_ROWS, N_QUERIES, NPROBE = 24, 8192, 200, 64
EFFORTS = (16, 32, 64, 128)


def draw(n_rows: int, dim: int, seed: int) -> np.ndarray:
    basis_HD = np.random.default_rng(0).standard_normal((HIDDEN, dim), dtype=np.float32)
    rng = np.random.default_rng(seed)
    hidden_NH = rng.standard_normal((n_rows, HIDDEN), dtype=np.float32) * np.linspace(2, 0.3, HIDDEN, dtype=np.float32)
    made_ND = hidden_NH @ basis_HD + 0.6 * rng.standard_normal((n_rows, dim), dtype=np.float32)
    return made_ND / np.linalg.norm(made_ND, axis=1, keepdims=True)


def timed(work: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[float, np.ndarray]:
    """CPU seconds, and the ids found."""
    started = time.process_time()
    _, found = work()
    return time.process_time() - started, found


def overlap(one_QP: np.ndarray, other_QP: np.ndarray) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(one_QP.tolist(), other_QP.tolist(), strict=True)])
    )


def measure(n_lists: int, dim: int) -> list[str]:
    centroid_CD, row_ND = draw(n_lists, dim, 1), draw(N_ROWS, dim, 2)
    flat, graph = faiss.IndexFlatIP(dim), faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
    flat.add(centroid_CD)
    graph.add(centroid_CD)
    assign_s, list_N1 = timed(lambda: flat.search(row_ND, 1))
    look_s, list_QP = timed(lambda: flat.search(row_ND[:N_QUERIES], NPROBE))
    lines = [f"| {n_lists:,} | products | {assign_s / N_ROWS * 1e3:.3f} | 1 | {look_s / N_QUERIES * 1e3:.2f} | 1 |"]
    for effort in EFFORTS:
        graph.hnsw.efSearch = effort
        assign_s, found_N1 = timed(lambda: graph.search(row_ND, 1))
        look_s, found_QP = timed(lambda: graph.search(row_ND[:N_QUERIES], NPROBE))
        lines.append(
            f"| {n_lists:,} | graph, efSearch {effort} | {assign_s / N_ROWS * 1e3:.3f} "
            f"| {float((found_N1 == list_N1).mean()):.4f} | {look_s / N_QUERIES * 1e3:.2f} "
            f"| {overlap(found_QP, list_QP):.4f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lists", type=int, nargs="+", default=[4096, 16_384, 65_536])
    parser.add_argument("--dim", type=int, default=300)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    print(f"{platform.machine()} {processor()}, one core, {datetime.date.today()}")
    print()
    print(f"| lists | by | ms a row | same list | ms a query of {NPROBE} lists | same lists |")
    print("|---|---|---|---|---|---|")
    for n_lists in options.lists:
        print("\n".join(measure(n_lists, options.dim)), flush=True)


if __name__ == "__main__":
    main()
