"""Fills a shard batch by batch in little more memory than it takes itself; knows no tables, no Spark.

The lists of an index grow by doubling, which takes up to twice and, while one moves, three times their size. So the
rows' codes go to a file first, while lists are counted; then each list is made once, as long as it will be.
Shape letters: N rows, D dims.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import faiss
import numpy as np

from devise.search.template import apply_transforms, copy, inverted_lists, untrained, without_centroids

Rows = tuple[np.ndarray, np.ndarray]
"""image_id_N int64 and embedding_ND float32, no id twice."""
COUNTED_FIRST = (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ, faiss.IndexIVFRaBitQ)
"""Kinds whose lists are codes in the order of adding, not their heirs; others (fast scan packs blocks of rows) grow."""
BLOCK_ROWS = 16_384
"""Rows encoded at a time, and moved into lists at a time: 20 MB of 300-d vectors."""
GROWTH = 3
"""What a kind that grows by doubling takes while it moves: the old rows and room for twice as many."""
ID_MAP_BYTES = 64
"""A row of the map of ids that kinds without lists are given."""
TASK_BYTES = 384 * 2**20
"""What a task takes beside its shard: Python, Arrow, faiss, a block of rows, and the centroids."""
LEAST_ROWS, MOST_ROWS = 10_000, 2_000_000
"""Rows of a shard however little or much memory there is: smaller ones are all overhead; larger ones leave cores idle
when they are filled and searched, and lose much when a task is tried again."""


def fill_shard(template: faiss.Index, batches: Iterable[Rows], threads: int = 1) -> faiss.Index:
    """A copy of the template with these rows under their ids; it shares the template's centroids.

    The same rows in the same order give the same bytes, whatever the batches.
    """
    faiss.omp_set_num_threads(threads)
    filled = copy(template)
    inverted = inverted_lists(filled)
    if type(inverted) not in COUNTED_FIRST:
        for image_id_N, embedding_ND in _blocks(batches):
            filled.add_with_ids(embedding_ND, image_id_N)
        return filled
    with tempfile.TemporaryFile() as spool:
        sizes, blocks = np.zeros(inverted.nlist, np.int64), []
        for image_id_N, embedding_ND in _blocks(batches):
            list_N, code_NB = _encode(inverted, apply_transforms(template, embedding_ND))
            sizes += np.bincount(list_N, minlength=inverted.nlist)
            for array in (list_N, image_id_N, code_NB):
                spool.write(array)
            blocks.append(len(list_N))
        spool.seek(0)
        lists = faiss.ArrayInvertedLists(inverted.nlist, inverted.code_size)
        for number in np.flatnonzero(sizes).tolist():
            lists.resize(number, int(sizes[number]))
        _move(spool, blocks, lists)
    inverted.replace_invlists(lists, True)
    lists.this.disown()
    inverted.ntotal = filled.ntotal = int(sizes.sum())
    return filled


def write_shard(shard: faiss.Index, path: str | Path) -> None:
    """Write a shard without the centroids, straight to the file; `devise.search.index.read_shard` opens it."""
    without_centroids(shard, lambda index: faiss.write_index(index, str(path)))


def rows_that_fit(task_bytes: int, factory: str, dim: int) -> int:
    """How many rows a shard of this kind may have so that a task of so much memory can fill it.

    Raises:
        IndexingError: the factory string is none.
    """
    found = (task_bytes - TASK_BYTES) / _bytes_while_filled(factory, dim)
    return int(min(MOST_ROWS, max(LEAST_ROWS, found)))


def _bytes_while_filled(factory: str, dim: int) -> float:
    """Memory that a row takes while its shard is filled."""
    empty = untrained(factory, dim)
    inverted = inverted_lists(empty)
    if type(inverted) in COUNTED_FIRST:
        return inverted.code_size + 8
    try:
        code_bytes = (inverted or empty).sa_code_size()
    except RuntimeError:  # a graph has no codes; its links are about half of a vector
        code_bytes = 6 * dim
    return GROWTH * code_bytes + ID_MAP_BYTES


def _blocks(batches: Iterable[Rows]) -> Iterator[Rows]:
    """The rows, BLOCK_ROWS at a time whatever the batches, so that they are encoded alike."""
    ids: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    waiting = 0
    for image_id_N, embedding_ND in batches:
        start = 0
        while start < len(image_id_N):
            taken = slice(start, start + BLOCK_ROWS - waiting)
            ids.append(image_id_N[taken])
            vectors.append(embedding_ND[taken])
            waiting, start = waiting + len(ids[-1]), taken.stop
            if waiting == BLOCK_ROWS:
                yield _joined(ids, vectors)
                ids, vectors, waiting = [], [], 0
    if waiting:
        yield _joined(ids, vectors)


def _joined(ids: list[np.ndarray], vectors: list[np.ndarray]) -> Rows:
    return (
        np.ascontiguousarray(np.concatenate(ids), dtype=np.int64),
        np.ascontiguousarray(np.concatenate(vectors), dtype=np.float32),
    )


def _encode(inverted: faiss.IndexIVF, vectors_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The list of each row, int64, and its code, uint8."""
    list_N = np.ascontiguousarray(inverted.quantizer.search(vectors_ND, 1)[1][:, 0])
    code_NB = np.empty((len(list_N), inverted.code_size), np.uint8)
    inverted.encode_vectors(len(list_N), faiss.swig_ptr(vectors_ND), faiss.swig_ptr(list_N), faiss.swig_ptr(code_NB))
    return list_N, code_NB


def _move(spool: IO[bytes], blocks: list[int], lists: faiss.ArrayInvertedLists) -> None:
    """Put the spooled rows into their lists, which have their final lengths, in order."""
    placed = np.zeros(lists.nlist, np.int64)
    for n_rows in blocks:
        list_N = np.frombuffer(spool.read(8 * n_rows), np.int64)
        order_N = np.argsort(list_N, kind="stable")
        image_id_N = np.frombuffer(spool.read(8 * n_rows), np.int64)[order_N]
        code_NB = np.frombuffer(spool.read(n_rows * lists.code_size), np.uint8).reshape(n_rows, -1)[order_N]
        numbers, starts, counts = np.unique(list_N[order_N], return_index=True, return_counts=True)
        for number, start, count in zip(numbers.tolist(), starts.tolist(), counts.tolist(), strict=True):
            lists.update_entries(
                number, int(placed[number]), count, faiss.swig_ptr(image_id_N[start:]), faiss.swig_ptr(code_NB[start:])
            )
        placed[numbers] += counts
