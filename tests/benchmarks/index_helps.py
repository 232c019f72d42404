"""Helps for queries unlike the rows, each beside what is built: lists that words suggest, and a second list a row.

    python tests/benchmarks/index_helps.py VECTORS CLASSES [--rows N ...]

Vectors and queries are those of `index.py`. All answers are ranked by exact rows. "Seeded": of the lists that a pair
visits, half (or a quarter) are those nearest to its two words. "Two lists": a row lies in the lists of its two nearest
centroids (faiss.contrib.ivf_tools.add_preassigned), ids once in an answer; at 4 bits it takes the memory of 8 bits in
one list. Of each kind of query the least nprobe with a recall@10 of 0.95, the recall, and CPU ms a query of one thread;
then the recall of the first so many candidates that the codes choose, at an nprobe of 64.
"""

import argparse
import time

import faiss
import numpy as np
from faiss.contrib.ivf_tools import add_preassigned, search_preassigned
from index import QUERY_KINDS, SEED, TARGET, THREADS, K, make, unit

from devise.search import index, kinds, template
from devise.search.template import inverted_lists

CANDIDATES = 128
N_QUERIES = 150


def fill(trained: faiss.Index, codes: str, embedding_ND: np.ndarray, n_lists: int) -> tuple[faiss.Index, faiss.Index]:
    """An index of these codes with the trained centroids, each row in so many lists; and the centroids."""
    coarse = faiss.clone_index(inverted_lists(trained).quantizer)
    made = faiss.index_factory(coarse.d, f"IVF{coarse.ntotal},{codes}", faiss.METRIC_INNER_PRODUCT)
    made.quantizer, made.own_fields = coarse, False
    faiss.omp_set_num_threads(THREADS)
    made.train(template.apply_transforms(trained, embedding_ND[:100_000]))
    for start in range(0, len(embedding_ND), 50_000):
        block_ND = template.apply_transforms(trained, embedding_ND[start : start + 50_000])
        list_NL, id_N = coarse.search(block_ND, n_lists)[1], np.arange(start, start + len(block_ND))
        for place in range(n_lists):
            list_N = np.ascontiguousarray(list_NL[:, place])
            add_preassigned(made, block_ND, list_N, id_N)
    return made, coarse


def visited(coarse: faiss.Index, asked_1D: np.ndarray, words_2D: np.ndarray, nprobe: int, share: float) -> np.ndarray:
    """The lists to visit, of which that share are the nearest to two words."""
    own = coarse.search(asked_1D, nprobe)[1][0]
    if not (n_seeds := int(nprobe * share / 2)):
        return own
    found = [*own[: nprobe - 2 * n_seeds], *coarse.search(words_2D, nprobe)[1].T.reshape(-1), *own]
    return np.array(list(dict.fromkeys(found))[:nprobe])


def compare(vectors: str, classes: str, n_rows: int) -> None:
    embedding_ND, queries, parts = make(vectors, classes, n_rows)
    small_ND = np.rint(embedding_ND * 32_767).astype(np.int16)
    blocks = [(np.arange(start, min(n_rows, start + 50_000)), embedding_ND[start : start + 50_000])
              for start in range(0, n_rows, 50_000)]  # fmt: skip
    exact = {kind: index.exact_search_in_blocks(asked_QD, blocks, K)[0] for kind, asked_QD in queries.items()}
    kind = kinds.choose_kind(n_rows + kinds.FLAT_ROWS, embedding_ND.shape[1], 2**50)
    trained = template.train_template(embedding_ND[:200_000], kind, SEED, THREADS)
    moved = {kind: template.apply_transforms(trained, asked_QD) for kind, asked_QD in queries.items()}
    words = [template.apply_transforms(trained, unit(part_QD)) for part_QD in parts]

    def ask(
        made: faiss.Index, coarse: faiss.Index, name: str, nprobe: int, n_asked: int, share: float = 0
    ) -> tuple[float, float]:
        """recall@10 and CPU ms a query."""
        seconds, hits = 0.0, 0
        seeded, sign = share if name in ("words", "differences") else 0, -1 if name == "differences" else 1
        made.nprobe = nprobe
        for row in range(N_QUERIES):
            started = time.thread_time()
            asked_1D, words_2D = moved[name][row : row + 1], np.stack([words[0][row], sign * words[1][row]])
            list_P = visited(coarse, asked_1D, words_2D, nprobe, seeded)
            score_P = coarse.reconstruct_batch(list_P) @ asked_1D[0]
            _, id_M = search_preassigned(made, asked_1D, n_asked, list_P[None], score_P[None])
            id_M = np.unique(id_M[id_M >= 0])
            best = np.argsort(-(small_ND[id_M].astype(np.float32) @ queries[name][row]))[:K]
            seconds += time.thread_time() - started
            hits += len(set(id_M[best].tolist()) & set(exact[name][row].tolist()))
        return hits / K / N_QUERIES, seconds / N_QUERIES * 1e3

    def line(label: str, cells: list[str]) -> None:
        print(f"| {label} | {' | '.join(cells)} |", flush=True)

    print(f"\n## {n_rows:,} x {embedding_ND.shape[1]}, {kind.nlist:,} lists\n")
    print(f"| | {' | '.join(QUERY_KINDS)} |\n|{'---|' * (1 + len(QUERY_KINDS))}")
    for codes, n_lists in (("SQ8", 1), ("SQ4", 1), ("SQ4", 2)):
        made, coarse = fill(trained, codes, embedding_ND, n_lists)
        faiss.omp_set_num_threads(1)
        for share in (0, 0.5, 0.25) if codes == "SQ8" else (0,):
            cells = []
            for name in QUERY_KINDS:
                for nprobe in kinds.nprobe_steps(kind.nlist):
                    recall, ms = ask(made, coarse, name, nprobe, CANDIDATES * n_lists, share)
                    if recall >= TARGET:
                        break
                cells.append(f"{nprobe} / {recall:.3f} / {ms:.2f}")
            line(
                f"{codes}, {'two lists' if n_lists == 2 else 'one list'}" + f", seeded {share:g}" * bool(share),
                cells,
            )
        for n_asked in (10, 32, 64, 128, 256) if n_lists == 1 else ():
            found = [f"{ask(made, coarse, name, 64, n_asked)[0]:.3f}" for name in QUERY_KINDS]
            line(f"{codes}, nprobe 64, {n_asked} candidates", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors")
    parser.add_argument("classes")
    parser.add_argument("--rows", nargs="+", type=int, default=[200_000, 1_000_000])
    told = parser.parse_args()
    for n_rows in told.rows:
        compare(told.vectors, told.classes, n_rows)


if __name__ == "__main__":
    main()
