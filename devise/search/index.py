"""faiss: choose a kind, train a template, fill shards with explicit ids, search and merge; knows no tables, no words.

All vectors are unit rows and scores are inner products, so a score is a cosine. Ids are the caller's int64, never row
numbers: faiss's own numbering corrupts when indices are merged or rows removed.
Shape letters: N rows, Q queries, K neighbours, D dims.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from devise.errors import IndexingError

FLAT_ROWS = 100_000
"""Up to here exact search costs about 10 ms a query on one core, and needs no tuning."""
TRAIN_ROWS_PER_LIST = 39
"""faiss warns below this many training rows a list."""
IVF_OVERHEAD_BYTES = 8
"""An IVF row's id."""
HIDING = (faiss.IndexFlat, faiss.IndexScalarQuantizer, faiss.IndexHNSW)
"""Kinds without lists whose search can leave ids out; every kind with lists can."""
CEILING_SLACK = 0.002
"""Recall given up for speed where the target is out of reach: the last 0.002 can take half of all lists."""


@dataclass(frozen=True)
class Kind:
    """What to build: a faiss factory string, its lists (0 without any), the lists to visit at first, and why."""

    factory: str
    nlist: int
    nprobe: int
    bytes_per_vector: float
    reason: str


@dataclass(frozen=True)
class Effort:
    """The nprobe settled for one kind of query, the recall measured at it, and the best of any nprobe tried."""

    nprobe: int
    recall: float
    ceiling: float
    reached: bool
    """Whether the recall is the one wanted; else it is within CEILING_SLACK of the ceiling."""

    def describe(self, nlist: int, target: float) -> str:
        """One line for a person."""
        chosen = f"nprobe {self.nprobe:,} of {nlist:,}, recall@10 {self.recall:.4f}"
        if self.reached:
            return f"{chosen} (wanted {target:g})"
        return f"{chosen}: {target:g} is out of reach, the best of any nprobe is {self.ceiling:.4f}"


def choose_kind(n_rows: int, dim: int, memory_bytes: int, factory: str = "auto") -> Kind:
    """The kind of index for so many rows: exact while that is quick, else inverted lists, in 8 bits if memory is short.

    Args:
        memory_bytes: what all shards together may take when searched.
        factory: a faiss factory string to take as it is, or `auto`.

    Raises:
        IndexingError: even 8 bits a number are more than the memory; stronger compression is the user's to choose,
            for it loses neighbours that no search effort brings back.
    """
    if factory != "auto":
        nlist = _lists_of(factory)
        return Kind(factory, nlist, max(1, nlist // 16), float("nan"), "as the settings say")
    flat, short = 4 * dim, dim + IVF_OVERHEAD_BYTES
    if n_rows <= FLAT_ROWS and n_rows * flat <= memory_bytes:
        return Kind("Flat", 0, 1, flat, f"{n_rows:,} rows are at most {FLAT_ROWS:,}: exact search is quick enough")
    nlist = 2 ** round(np.log2(4 * np.sqrt(n_rows)))
    nlist = int(max(1, min(nlist, n_rows // TRAIN_ROWS_PER_LIST)))
    if n_rows * (flat + IVF_OVERHEAD_BYTES) <= memory_bytes:
        return Kind(
            f"IVF{nlist},Flat", nlist, max(1, nlist // 32), flat + IVF_OVERHEAD_BYTES,
            f"more than {FLAT_ROWS:,} rows, and {n_rows * flat / 2**30:.1f} GiB of exact vectors fit into "
            f"{memory_bytes / 2**30:.1f} GiB",
        )  # fmt: skip
    if n_rows * short <= memory_bytes:
        return Kind(
            f"IVF{nlist},SQ8", nlist, max(1, nlist // 32), short,
            f"exact vectors need {n_rows * flat / 2**30:.1f} GiB, more than {memory_bytes / 2**30:.1f} GiB; "
            f"8 bits a number need {n_rows * short / 2**30:.1f} GiB, at a recall of about 0.95 to 0.97",
        )  # fmt: skip
    raise IndexingError(
        f"{n_rows:,} x {dim} need {n_rows * short / 2**30:.1f} GiB even with 8 bits a number, wanted at most "
        f"{memory_bytes / 2**30:.1f} GiB: raise memory_bytes, or name a compressed kind (and watch its recall)"
    )


def nprobe_steps(nlist: int) -> list[int]:
    """Values of nprobe to try: the powers of two and the 1.5-fold steps between, below nlist, and nlist; ascending."""
    steps = {2**power for power in range(nlist.bit_length())}
    steps |= {3 * 2**power for power in range(nlist.bit_length())}
    return sorted({step for step in steps if step < nlist} | {max(1, nlist)})


def settle_nprobe(recall_by_nprobe: Mapping[int, float], target: float) -> Effort:
    """The least nprobe that reaches the target; where none does, the least within CEILING_SLACK of the best.

    Raises:
        ValueError: no nprobe was tried.
    """
    if not recall_by_nprobe:
        raise ValueError("no nprobe was tried")
    ceiling = max(recall_by_nprobe.values())
    reached = ceiling >= target
    wanted = target if reached else ceiling - CEILING_SLACK
    nprobe = min(nprobe for nprobe, recall in recall_by_nprobe.items() if recall >= wanted)
    return Effort(nprobe, recall_by_nprobe[nprobe], ceiling, reached)


def train_template(sample_ND: np.ndarray, kind: Kind, seed: int, threads: int = 1) -> bytes:
    """The trained, empty index that every shard copies, serialised; the same sample and seed give the same bytes.

    Raises:
        IndexingError: the factory string is none, its kind takes no ids, or there are too few rows to train it.
    """
    faiss.omp_set_num_threads(threads)
    sample_ND = np.ascontiguousarray(sample_ND, dtype=np.float32)
    try:
        empty = faiss.index_factory(sample_ND.shape[1], kind.factory, faiss.METRIC_INNER_PRODUCT)
        inverted = faiss.try_extract_index_ivf(empty)
        if inverted is not None:
            inverted.cp.seed, inverted.cp.min_points_per_centroid = seed, 1
        else:
            empty = faiss.IndexIDMap2(empty)
        empty.train(sample_ND)
        trial = faiss.deserialize_index(faiss.serialize_index(empty))
        trial.add_with_ids(sample_ND[:1], np.zeros(1, np.int64))  # some kinds take no ids
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0]
        raise IndexingError(f"index kind {kind.factory!r} on {len(sample_ND):,} sample rows: {reason}") from None
    return faiss.serialize_index(empty).tobytes()


def fill_shard(template: bytes, image_id_N: np.ndarray, embedding_ND: np.ndarray, threads: int = 1) -> faiss.Index:
    """A copy of the template with these rows under their ids (int64, no repeats)."""
    faiss.omp_set_num_threads(threads)
    filled = faiss.deserialize_index(np.frombuffer(template, dtype=np.uint8))
    filled.add_with_ids(
        np.ascontiguousarray(embedding_ND, dtype=np.float32), np.ascontiguousarray(image_id_N, dtype=np.int64)
    )
    return filled


def write_index(index: faiss.Index, path: str | Path) -> None:
    faiss.write_index(index, str(path))


def read_index(path: str | Path) -> faiss.Index:
    """A shard, its lists memory-mapped where it has lists; `IndexingError` if it cannot be read."""
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    except RuntimeError as error:
        raise IndexingError(f"{path}: no faiss index: {str(error).strip().splitlines()[0]}") from None


def hides_ids(factory: str, dim: int) -> bool:
    """Whether a kind's search can leave ids out; PQ and fast scan without lists refuse to, and so cannot be hidden in.

    Raises:
        IndexingError: the factory string is none.
    """
    try:
        empty = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise IndexingError(f"index kind {factory!r}: {str(error).strip().splitlines()[0]}") from None
    return faiss.try_extract_index_ivf(empty) is not None or isinstance(empty, HIDING)


def centroid_score(template: bytes, sample_ND: np.ndarray, threads: int = 1) -> float:
    """Mean cosine, -1 to 1, of each row and the nearest centroid of the template's lists: how well its lists fit them.

    Raises:
        ValueError: there are no rows, or the template has no lists.
    """
    faiss.omp_set_num_threads(threads)
    empty = faiss.deserialize_index(np.frombuffer(template, dtype=np.uint8))
    inverted = faiss.try_extract_index_ivf(empty)
    if inverted is None or not len(sample_ND):
        raise ValueError("a kind with lists and at least one row are needed")
    sample_ND = np.ascontiguousarray(sample_ND, dtype=np.float32)
    if isinstance(empty, faiss.IndexPreTransform):  # its lists lie in the transformed space
        for place in range(empty.chain.size()):
            sample_ND = faiss.downcast_VectorTransform(empty.chain.at(place)).apply(sample_ND)
    return float(inverted.quantizer.search(sample_ND, 1)[0].mean())


def search(
    shards: Sequence[faiss.Index],
    query_QD: np.ndarray,
    k: int,
    nprobe: int,
    hidden: Sequence[np.ndarray] | None = None,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows over all shards: image_id_QK int64 (-1 where there are fewer), score_QK float32, best first.

    Args:
        nprobe: lists to visit a query in each shard; without lists it does not matter.
        hidden: of each shard the ids (int64) to leave out. faiss passes over them while it searches, so that k others
            are still found.

    Raises:
        IndexingError: a query's length is not the index's.
    """
    faiss.omp_set_num_threads(threads)
    query_QD = np.ascontiguousarray(query_QD, dtype=np.float32)
    ids, scores = [], []
    for shard, hidden_H in zip(shards, hidden or [()] * len(shards), strict=True):
        if query_QD.shape[1] != shard.d:
            raise IndexingError(f"queries have {query_QD.shape[1]} dims, the index {shard.d}")
        score_QK, id_QK = shard.search(
            query_QD, min(k, max(1, shard.ntotal)), params=_parameters(shard, nprobe, hidden_H)
        )
        ids.append(id_QK)
        scores.append(np.where(id_QK >= 0, score_QK, -np.inf).astype(np.float32))
    if not shards:
        return np.full((len(query_QD), k), -1, np.int64), np.full((len(query_QD), k), -np.inf, np.float32)
    return keep_best(np.concatenate(ids, axis=1), np.concatenate(scores, axis=1), k)


def search_at_steps(
    shard: faiss.Index, query_QD: np.ndarray, k: int, steps: Sequence[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `search` gives at each nprobe of `steps`, ascending, for little more than the last of them.

    More lists only add candidates, so a query that finds at some step what it finds at the last one does so at all
    steps between, and is not searched again.
    """
    last = search([shard], query_QD, k, steps[-1])
    open_Q = np.arange(len(query_QD))
    for nprobe in steps[:-1]:
        ids_QK, scores_QK = last[0].copy(), last[1].copy()
        if len(open_Q):
            ids_QK[open_Q], scores_QK[open_Q] = search([shard], query_QD[open_Q], k, nprobe)
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


def _parameters(shard: faiss.Index, nprobe: int, hidden_H: np.ndarray) -> faiss.SearchParameters | None:
    """What a search of one shard is told. A selector sees the ids that were added, with and without an id map."""
    told = {}
    if len(hidden_H):
        told["sel"] = faiss.IDSelectorNot(faiss.IDSelectorBatch(np.ascontiguousarray(hidden_H, dtype=np.int64)))
    inverted = faiss.try_extract_index_ivf(shard)
    if inverted is not None:
        return faiss.SearchParametersIVF(nprobe=min(nprobe, inverted.nlist), **told)
    return faiss.SearchParameters(**told) if told else None  # of a graph too: its own effort is in the file


def _lists_of(factory: str) -> int:
    found = re.search(r"IVF(\d+)", factory)
    return int(found.group(1)) if found else 0
