"""Single rows of shards: some of them compared with a query one by one, and one read back; knows no tables, no words.

Shape letters: N rows, Q queries, M rows to choose from, K neighbours, P lists, D dims.
"""

from collections.abc import Sequence

import faiss
import numpy as np

from devise.search.index import Prepared, keep_best, search_lists
from devise.search.mapped import ExactRows
from devise.search.template import apply_transforms, inverted_lists


def search_among(
    shards: Sequence[faiss.Index],
    template: faiss.Index,
    query_D: np.ndarray,
    among: Sequence[np.ndarray],
    k: int,
    exact: Sequence[ExactRows | None],
    lists: Sequence[np.ndarray | None],
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of some rows alone, by their scores as they are: image_id_K and score_K, fewer if there are fewer.

    Args:
        among: of each shard the ids (int64) to choose from, all of them its own and none hidden.
        exact: as of `search`.
        lists: of each shard the lists that these ids lie in, ascending; None of a kind without lists.
    """
    faiss.omp_set_num_threads(threads)
    everywhere = _all_lists(template, query_D[None, :])
    ids, scores = [np.empty((1, 0), np.int64)], [np.empty((1, 0), np.float32)]
    for shard, id_M, rows, list_P in zip(shards, among, exact, lists, strict=True):
        if not len(id_M):
            continue
        if rows is not None:
            id_1M = id_M[None, :]
            score_1M = rows.scores(everywhere.asked_QD, id_1M)
        elif inverted_lists(shard) is None:
            id_1M = id_M[None, :]
            # Not by BLAS, whose threads take longer to wake than this does.
            score_1M = np.einsum("md,d->m", shard.reconstruct_batch(id_M), everywhere.asked_QD[0])[None, :]
        else:
            only = faiss.IDSelectorBatch(np.ascontiguousarray(id_M, dtype=np.int64))
            score_1M, id_1M = search_lists(shard, _within(everywhere, list_P), min(k, len(id_M)), sel=only)
        ids.append(id_1M)
        scores.append(score_1M)
    id_1K, score_1K = keep_best(np.concatenate(ids, axis=1), np.concatenate(scores, axis=1), k)
    found_K = id_1K[0] >= 0
    return id_1K[0][found_K], score_1K[0][found_K]


def lists_of(shard: faiss.Index) -> tuple[np.ndarray, np.ndarray] | None:
    """The ids (int64) of a shard and the list that each lies in (int32), in order of lists; None without lists."""
    inverted = inverted_lists(shard)
    if inverted is None:
        return None
    found = [_ids_in(inverted, number) for number in range(inverted.nlist)]
    return np.concatenate(found), np.repeat(np.arange(inverted.nlist, dtype=np.int32), list(map(len, found)))


def stored_vector(shard: faiss.Index, image_id: int, number: int | None) -> np.ndarray:
    """float32 (D,): the row of an id that the shard holds, as its codes have it.

    Args:
        number: the list that it lies in, by `lists_of`; None of a kind without lists.
    """
    inverted = inverted_lists(shard)
    if inverted is None:
        return shard.reconstruct(image_id)
    row_D = np.empty(inverted.d, np.float32)
    place = int(np.flatnonzero(_ids_in(inverted, number) == image_id)[0])
    inverted.reconstruct_from_offset(number, place, faiss.swig_ptr(row_D))
    return row_D


def _within(everywhere: Prepared, list_P: np.ndarray) -> Prepared:
    """The same queries and these of all lists."""
    asked_QD, query_QD, list_QP, score_QP = everywhere
    return Prepared(asked_QD, query_QD, list_QP[:, list_P], score_QP[:, list_P])


def _all_lists(template: faiss.Index, query_QD: np.ndarray) -> Prepared:
    """The queries and every list, in order: asked for that many, a graph of centroids does not lead to all of them."""
    asked_QD = np.ascontiguousarray(query_QD, dtype=np.float32)
    inverted = inverted_lists(template)
    if inverted is None:
        return Prepared(asked_QD, asked_QD, None, None)
    query_QD = apply_transforms(template, asked_QD)
    centroid_PD = inverted.quantizer.reconstruct_n(0, inverted.nlist)
    score_QP = np.einsum("qd,pd->qp", query_QD, centroid_PD)
    list_QP = np.tile(np.arange(inverted.nlist, dtype=np.int32), (len(query_QD), 1))
    return Prepared(asked_QD, query_QD, list_QP, score_QP)


def _ids_in(inverted: faiss.IndexIVF, number: int) -> np.ndarray:
    """The ids of a list, int64, in the order of its rows."""
    lists = inverted.invlists
    n_rows = lists.list_size(number)
    return faiss.rev_swig_ptr(lists.get_ids(number), n_rows).copy() if n_rows else np.empty(0, np.int64)
