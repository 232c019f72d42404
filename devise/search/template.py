"""The template: the trained, empty index that all shards share their centroids with; knows no shard's rows, no tables.

Its centroids (faiss's coarse quantiser) are stored once, in the template's own file. A copy of it, as a shard is, is
written with an empty one in their place, and shares the template's own once it is opened.
Shape letters: N rows, D dims.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np

from devise.errors import IndexingError
from devise.search.kinds import Kind

T = TypeVar("T")
HIDING = (faiss.IndexFlat, faiss.IndexScalarQuantizer, faiss.IndexHNSW)
"""Kinds without lists whose search can leave ids out; every kind with lists can."""
GRAPH_EFFORT = 64
"""Candidates kept (efSearch) while a graph looks for the nearest centroids; at faiss's 16, 2 % of rows miss theirs."""


def train_template(sample_ND: np.ndarray, kind: Kind, seed: int, threads: int = 1) -> faiss.Index:
    """The trained, empty index; the same sample and seed give the same one.

    Raises:
        IndexingError: the factory string is none, its kind takes no ids, or there are too few rows to train it.
    """
    faiss.omp_set_num_threads(threads)
    sample_ND = np.ascontiguousarray(sample_ND, dtype=np.float32)
    try:
        empty = faiss.index_factory(sample_ND.shape[1], kind.factory, faiss.METRIC_INNER_PRODUCT)
        inverted = inverted_lists(empty)
        if inverted is not None:
            # faiss would warn on the terminal of a worker; that a sample is small is said where the kind is chosen.
            inverted.cp.seed, inverted.cp.min_points_per_centroid = seed, 1
        else:
            empty = faiss.IndexIDMap2(empty)
        graph = None if inverted is None else faiss.downcast_index(inverted.quantizer)
        if isinstance(graph, faiss.IndexHNSW):
            graph.hnsw.efSearch = max(GRAPH_EFFORT, graph.hnsw.efSearch)
            helper = faiss.IndexHNSWFlat(inverted.d, graph.hnsw.nb_neighbors(1))
            inverted.clustering_index = (
                helper  # of each of k-means' rounds: the same centroids, in a log of their number
            )
        empty.train(sample_ND)
        if isinstance(graph, faiss.IndexHNSW):
            inverted.clustering_index = None
        trial = copy(empty)
        trial.add_with_ids(sample_ND[:1], np.zeros(1, np.int64))  # some kinds take no ids
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0]
        raise IndexingError(f"index kind {kind.factory!r} on {len(sample_ND):,} sample rows: {reason}") from None
    return empty


def write_template(template: faiss.Index, path: str | Path) -> None:
    faiss.write_index(template, str(path))


def read_template(path: str | Path) -> faiss.Index:
    """The template in memory; `IndexingError` if it cannot be read."""
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise IndexingError(f"{path}: no faiss index: {str(error).strip().splitlines()[0]}") from None


def inverted_lists(index: faiss.Index) -> faiss.IndexIVF | None:
    """The part of an index that has lists, which lives as long as the index; None where it has none."""
    found = faiss.try_extract_index_ivf(index)
    return None if found is None else faiss.downcast_index(found)


def copy(template: faiss.Index) -> faiss.Index:
    """An empty index that shares the template's centroids: see `attach`."""
    return attach(faiss.deserialize_index(without_centroids(template, faiss.serialize_index)), template)


def without_centroids(index: faiss.Index, write: Callable[[faiss.Index], T]) -> T:
    """What `write(index)` gives while an empty quantiser stands in the place of its own.

    faiss writes a null one too, but does not read it back for every kind.
    """
    inverted = inverted_lists(index)
    if inverted is None:
        return write(index)
    kept, placeholder = inverted.quantizer, faiss.IndexFlat(inverted.d, inverted.metric_type)
    inverted.quantizer = placeholder
    try:
        return write(index)
    finally:
        inverted.quantizer = kept


def attach(index: faiss.Index, template: faiss.Index) -> faiss.Index:
    """The index, which was written without centroids, with those of the template; it keeps the template alive."""
    inverted = inverted_lists(index)
    if inverted is not None:
        # The empty one goes with an owner on faiss's side: `this.own(True)` takes a reference of SWIG's own away each
        # time, and after some shards no object of this process has a class any more.
        owner, inverted.own_fields = faiss.IndexIDMap(inverted.quantizer), False
        owner.own_fields = True
        inverted.quantizer = inverted_lists(template).quantizer
    index.referenced_objects = [template]  # faiss's own name for what must live as long
    return index


def apply_transforms(template: faiss.Index, vectors_ND: np.ndarray) -> np.ndarray:
    """The rows in the space where the lists lie: after the rotations or the PCA before them, if there are any."""
    vectors_ND = np.ascontiguousarray(vectors_ND, dtype=np.float32)
    if isinstance(template, faiss.IndexPreTransform):
        for place in range(template.chain.size()):
            vectors_ND = faiss.downcast_VectorTransform(template.chain.at(place)).apply(vectors_ND)
    return vectors_ND


def hides_ids(factory: str, dim: int) -> bool:
    """Whether a kind's search can leave ids out; PQ and fast scan without lists refuse to, and so cannot be hidden in.

    Raises:
        IndexingError: the factory string is none.
    """
    empty = untrained(factory, dim)
    return inverted_lists(empty) is not None or isinstance(empty, HIDING)


def is_exact(index: faiss.Index) -> bool:
    """Whether an index holds its rows with 16 bits a number or more: else their exact rows are kept beside it."""
    rows = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index  # and IndexIDMap2
    codes = faiss.downcast_index(rows.storage) if isinstance(rows, faiss.IndexHNSW) else rows
    return not isinstance(codes, faiss.IndexPreTransform) and codes.sa_code_size() >= 2 * codes.d


def untrained(factory: str, dim: int) -> faiss.Index:
    """An index of this kind that knows nothing yet; `IndexingError` if the factory string is none."""
    try:
        return faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise IndexingError(f"index kind {factory!r}: {str(error).strip().splitlines()[0]}") from None


def centroid_score(template: faiss.Index, sample_ND: np.ndarray, threads: int = 1) -> float:
    """Mean cosine, -1 to 1, of each row and the nearest centroid of the template's lists: how well its lists fit them.

    Raises:
        ValueError: there are no rows, or the template has no lists.
    """
    faiss.omp_set_num_threads(threads)
    inverted = inverted_lists(template)
    if inverted is None or not len(sample_ND):
        raise ValueError("a kind with lists and at least one row are needed")
    return float(inverted.quantizer.search(apply_transforms(template, sample_ND), 1)[0].mean())
