"""Search of an index's shards, and exact search; `template` and `filling` make them; knows no tables, no words.

All vectors are unit rows and scores are inner products, so a score is a cosine. Ids are the caller's int64, never row
numbers: faiss's own numbering corrupts when indices are merged or rows removed.
Shape letters: N rows, Q queries, K neighbours, P lists to visit, D dims.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np

from devise.errors import IndexingError
from devise.search.kinds import CANDIDATES
from devise.search.mapped import ExactRows
from devise.search.template import apply_transforms, attach, inverted_lists


class Prepared(NamedTuple):
    """Queries as every shard of one template takes them: which lists to visit is found once, not once a shard."""

    asked_QD: np.ndarray
    """float32, as they were asked."""
    query_QD: np.ndarray
    """The same in the space where the lists lie."""
    list_QP: np.ndarray | None
    """int32, the nearest first, -1 where there are fewer; None of a kind without lists."""
    score_QP: np.ndarray | None
    """float32, of query and centroid."""

    def of(self, rows_Q: np.ndarray | slice) -> "Prepared":
        """Some of the queries."""
        return Prepared(*(None if part is None else part[rows_Q] for part in self))

    def at(self, nprobe: int) -> "Prepared":
        """The same queries with fewer lists to visit."""
        asked_QD, query_QD, *lists = self
        return Prepared(asked_QD, query_QD, *(None if part is None else part[:, :nprobe] for part in lists))


def prepare(template: faiss.Index, query_QD: np.ndarray, nprobe: int, threads: int = 1) -> Prepared:
    """The queries and the `nprobe` lists nearest to each, or all lists; without lists nprobe does not matter.

    Raises:
        IndexingError: a query's length is not the index's.
    """
    faiss.omp_set_num_threads(threads)
    asked_QD = np.ascontiguousarray(query_QD, dtype=np.float32)
    if asked_QD.shape[1] != template.d:
        raise IndexingError(f"queries have {asked_QD.shape[1]} dims, the index {template.d}")
    inverted = inverted_lists(template)
    if inverted is None:
        return Prepared(asked_QD, asked_QD, None, None)
    query_QD = apply_transforms(template, asked_QD)
    score_QP, list_QP = inverted.quantizer.search(query_QD, min(nprobe, inverted.nlist))
    return Prepared(asked_QD, query_QD, list_QP.astype(np.int32), score_QP)


def read_shard(path: str | Path, template: faiss.Index) -> faiss.Index:
    """A shard with its template's centroids, its lists memory-mapped where it has lists.

    Raises:
        IndexingError: it cannot be read, or is of another template.
    """
    try:
        shard = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    except RuntimeError as error:
        raise IndexingError(f"{path}: no faiss index: {str(error).strip().splitlines()[0]}") from None
    found, wanted = (
        (part.d, None if (inverted := inverted_lists(part)) is None else inverted.nlist) for part in (shard, template)
    )
    if found != wanted:
        raise IndexingError(f"{path}: found dims and lists {found}, wanted those of its template, {wanted}")
    return attach(shard, template)


def search(
    shards: Sequence[faiss.Index],
    queries: Prepared,
    k: int,
    hidden: Sequence[np.ndarray] | None = None,
    exact: Sequence[ExactRows | None] | None = None,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows over all shards: image_id_QK int64 (-1 where there are fewer), score_QK float32, best first.

    Args:
        hidden: of each shard the ids (int64) to leave out. faiss passes over them while it searches, so that k others
            are still found.
        exact: of each shard its exact rows, where its kind loses precision: the CANDIDATES that its codes hold for the
            best are ranked by these, and their scores are those of these.
    """
    faiss.omp_set_num_threads(threads)
    n_queries, ids, scores, none = len(queries.query_QD), [], [], [None] * len(shards)
    for shard, hidden_H, rows in zip(shards, hidden or [()] * len(shards), exact or none, strict=True):
        n_found = min(k if rows is None else max(k, CANDIDATES), max(1, shard.ntotal))
        score_QM, id_QM = _search_shard(shard, queries, n_found, hidden_H)
        score_QM = np.where(id_QM >= 0, score_QM, -np.inf) if rows is None else rows.scores(queries.asked_QD, id_QM)
        id_QK, score_QK = keep_best(id_QM, score_QM, min(k, n_found))
        ids.append(id_QK)
        scores.append(score_QK)
    if not shards:
        return np.full((n_queries, k), -1, np.int64), np.full((n_queries, k), -np.inf, np.float32)
    return keep_best(np.concatenate(ids, axis=1), np.concatenate(scores, axis=1), k)


def search_at_steps(
    shard: faiss.Index, queries: Prepared, k: int, steps: Sequence[int], exact: ExactRows | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `search` gives at each nprobe of `steps`, ascending, for little more than the last of them.

    More lists only add candidates, so a query that finds at some step what it finds at the last one does so at all
    steps between, and is not searched again. (With exact rows a step between may find a better one, which with all
    lists is no candidate any more: a recall told of it is never too high.)
    """
    last = search([shard], queries.at(steps[-1]), k, exact=[exact])
    open_Q = np.arange(len(queries.query_QD))
    for nprobe in steps[:-1]:
        ids_QK, scores_QK = last[0].copy(), last[1].copy()
        if len(open_Q):
            ids_QK[open_Q], scores_QK[open_Q] = search([shard], queries.of(open_Q).at(nprobe), k, exact=[exact])
            open_Q = open_Q[(ids_QK[open_Q] != last[0][open_Q]).any(axis=1)]
        yield ids_QK, scores_QK
    yield last


def exact_search(
    query_QD: np.ndarray, image_id_N: np.ndarray, embedding_ND: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `search`, by one matrix product over all rows: the ground truth of recall."""
    score_QN = np.asarray(query_QD, dtype=np.float32) @ np.asarray(embedding_ND, dtype=np.float32).T
    if score_QN.shape[1] > k:
        kept_QK = np.argpartition(-score_QN, k - 1, axis=1)[:, :k]
        return keep_best(np.asarray(image_id_N)[kept_QK], np.take_along_axis(score_QN, kept_QK, axis=1), k)
    return keep_best(np.broadcast_to(image_id_N, score_QN.shape), score_QN, k)


def exact_search_in_blocks(
    query_QD: np.ndarray, blocks: Iterable[tuple[np.ndarray, np.ndarray]], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same over rows that come as (image_id_N, embedding_ND), block by block; only the best so far are kept."""
    best = np.empty((len(query_QD), 0), np.int64), np.empty((len(query_QD), 0), np.float32)
    for image_id_N, embedding_ND in blocks:
        found = exact_search(query_QD, image_id_N, embedding_ND, k)
        best = keep_best(*(np.concatenate(pair, axis=1) for pair in zip(best, found, strict=True)), k)
    return keep_best(*best, k)


def keep_best(id_QM: np.ndarray, score_QM: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of M candidates a query, ties by lower id, padded with -1."""
    order = np.lexsort((id_QM, -score_QM), axis=1)[:, :k]
    id_QK, score_QK = np.take_along_axis(id_QM, order, axis=1), np.take_along_axis(score_QM, order, axis=1)
    missing = k - id_QK.shape[1]
    if missing > 0:
        id_QK = np.pad(id_QK, ((0, 0), (0, missing)), constant_values=-1)
        score_QK = np.pad(score_QK, ((0, 0), (0, missing)), constant_values=-np.inf)
    return id_QK.astype(np.int64), score_QK.astype(np.float32)


def _search_shard(shard: faiss.Index, queries: Prepared, k: int, hidden_H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """faiss's scores and ids. A selector sees the ids that were added, with and without an id map."""
    told = {}
    if len(hidden_H):
        told["sel"] = faiss.IDSelectorNot(faiss.IDSelectorBatch(np.ascontiguousarray(hidden_H, dtype=np.int64)))
    if inverted_lists(shard) is not None:
        return search_lists(shard, queries, k, **told)
    # Of a graph its own effort is in the file.
    return shard.search(queries.query_QD, k, params=faiss.SearchParameters(**told) if told else None)


def search_lists(
    shard: faiss.Index, queries: Prepared, k: int, **told: faiss.IDSelector
) -> tuple[np.ndarray, np.ndarray]:
    """faiss's scores and ids out of the lists that were prepared."""
    query_QD = np.ascontiguousarray(queries.query_QD)
    list_QP = np.ascontiguousarray(queries.list_QP, dtype=np.int64)
    score_QP = np.ascontiguousarray(queries.score_QP)
    found = np.empty((len(query_QD), k), np.float32), np.empty((len(query_QD), k), np.int64)
    if len(query_QD):
        told = faiss.SearchParametersIVF(nprobe=list_QP.shape[1], **told)
        arrays = (faiss.swig_ptr(array) for array in (list_QP, score_QP, *found))
        inverted_lists(shard).search_preassigned_c(len(query_QD), faiss.swig_ptr(query_QD), k, *arrays, False, told)
    return found
