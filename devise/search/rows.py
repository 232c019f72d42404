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
    query_1D = np.ascontiguousarray(query_D[None, :], dtype=np.float32)
    ids, scores = [np.empty((1, 0), np.int64)], [np.empty((1, 0), np.float32)]
    for shard, id_M, rows, list_P in zip(shards, among, exact, lists, strict=True):
        if not len(id_M):
            continue
        if rows is not None:
            id_1M = id_M[None, :]
            score_1M = rows.scores(query_1D, id_1M)
        elif inverted_lists(shard) is None:
            id_1M = id_M[None, :]
            # Not by BLAS, whose threads take longer to wake than this does.
            score_1M = np.einsum("md,d->m", shard.reconstruct_batch(id_M), query_1D[0])[None, :]
        else:
            only = faiss.IDSelectorBatch(np.ascontiguousarray(id_M, dtype=np.int64))
            score_1M, id_1M = search_lists(shard, _in_lists(shard, query_1D, list_P), min(k, len(id_M)), sel=only)
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


def _in_lists(shard: faiss.Index, asked_QD: np.ndarray, list_P: np.ndarray) -> Prepared:
    """The queries and these lists: asked for all, a graph of centroids does not lead to each of them."""
    query_QD = apply_transforms(shard, asked_QD)
    centroid_PD = inverted_lists(shard).quantizer.reconstruct_batch(list_P.astype(np.int64))
    return Prepared(asked_QD, query_QD, np.tile(list_P, (len(query_QD), 1)), query_QD @ centroid_PD.T)


def _ids_in(inverted: faiss.IndexIVF, number: int) -> np.ndarray:
    """The ids of a list, int64, in the order of its rows."""
    lists = inverted.invlists
    n_rows = lists.list_size(number)
    return faiss.rev_swig_ptr(lists.get_ids(number), n_rows).copy() if n_rows else np.empty(0, np.int64)
