"""Which images reach the floors of which labels (`wordimages`), seen while labels are ranked, and floors from a sample.

Shape letters: M entries, R of a sample, V labels, B images of a block, W columns of a ranker.
"""

import numpy as np
import pyarrow as pa
import torch

from devise.search.ranking import Block, Ranker
from devise.search.wordimages import ENTRIES, LABELS_A_RANGE, compact, joined

SLACK = 1e-3
"""Share of a relevance, or deviations where it is less than one, that it may differ by when only some labels' are
computed, and far more."""
FEW = 32
"""Where fewer than this part of all labels are reached by a block, to gather theirs is quicker than to compare all."""
AT_A_TIME = 4_000_000
"""Entries of images that are looked at together, at most, where floors let all through: 0.3 GB."""
CHUNK_ROWS = 8_192
"""Entries that are packed together: where all their uris differ 0.8 MB, of which Spark sends 512 at a time."""


class Sample:
    """The best relevances of each label in a sample of images.

    Args:
        n: how many are kept of each.
    """

    def __init__(self, ranker: Ranker, n: int):
        self.ranker, self.n = ranker, n
        self._best_RW = torch.empty((0, len(ranker.ids)))

    def see(self, block: Block) -> None:
        both = torch.cat([self._best_RW, torch.from_numpy(block.relevance_BW)])
        self._best_RW = both.topk(min(self.n, len(both)), dim=0).values

    def best(self, order_V: np.ndarray) -> np.ndarray:
        """float32 (V, n), by place; minus infinity where fewer were seen, and of what the ranker passes over."""
        best_VR = np.full((len(order_V), self.n), -np.inf, np.float32)
        best_VR[self.ranker.ids, : len(self._best_RW)] = self._best_RW.numpy().T
        return best_VR[order_V]


class Passed:
    """The entries that reach the floors, of images whose labels are being ranked.

    Args:
        ranker: its candidates alone have lists.
        floor_V: float32, by place; order_V: the label ids by place.
    """

    def __init__(self, ranker: Ranker, floor_V: np.ndarray, order_V: np.ndarray):
        self.ranker = ranker
        self._place_V = np.argsort(order_V).astype(np.int32)
        floor_of_V = np.full(len(order_V), np.inf, np.float32)
        floor_of_V[ranker.candidates] = floor_V[self._place_V[ranker.candidates]]
        self._floor_W = torch.from_numpy(floor_of_V[ranker.ids])
        self.n_waiting, self._few = 0, True
        self.rows_at_a_time = max(1, AT_A_TIME // max(1, int(torch.isneginf(self._floor_W).sum())))
        """Images to look at between two calls of `name`: all of them reach a floor of minus infinity."""
        self._waiting: list[pa.Table] = []
        self._found: list[tuple[np.ndarray, ...]] = []

    def see(self, block: Block) -> None:
        """Look at a block; what reaches a floor waits for `name`."""
        row_M, column_M = self._reaching(torch.from_numpy(block.relevance_BW))
        relevance_M = block.relevance_BW[row_M, column_M]
        cosine_M = self.ranker.cosines(block, row_M, column_M)
        self._found.append((row_M + block.rows.start, self.ranker.ids[column_M], relevance_M, cosine_M))

    def name(self, image_ids: pa.Array, uris: pa.Array) -> None:
        """The images of the rows that were seen since the last call."""
        row_M, label_id_M, relevance_M, cosine_M = map(np.concatenate, zip(*self._found, strict=True))
        self._found = []
        rows, uri_M = np.unique(row_M, return_inverse=True)
        columns = [
            pa.array(self._place_V[label_id_M]),
            image_ids.take(pa.array(row_M)),
            pa.array(relevance_M),
            pa.array(cosine_M),
            pa.DictionaryArray.from_arrays(pa.array(uri_M.astype(np.int32)), uris.take(pa.array(rows))),
        ]
        self._waiting.append(pa.Table.from_arrays(columns, schema=ENTRIES))
        self.n_waiting += len(row_M)

    def take(self) -> list[tuple[int, pa.Table]]:
        """What waits, by the number of the range of labels, and nothing waits any longer; places count from its first.

        A range has as many tables as it needs, of CHUNK_ROWS at most; without entries it has none.
        """
        if not self.n_waiting:
            return []
        entries = joined(self._waiting)
        self._waiting, self.n_waiting = [], 0
        range_M, place_M = np.divmod(entries.column("place").to_numpy(), np.int32(LABELS_A_RANGE))
        entries = entries.set_column(0, ENTRIES.field("place"), pa.array(place_M))
        entries = entries.take(pa.array(by_range := np.argsort(range_M, kind="stable")))
        numbers, starts = np.unique(range_M[by_range], return_index=True)
        ends = [*starts[1:], len(range_M)]
        return [
            (int(number), compact(entries.slice(place, min(CHUNK_ROWS, end - place))))
            for number, start, end in zip(numbers, starts, ends, strict=True)
            for place in range(start, end, CHUNK_ROWS)
        ]

    def _reaching(self, relevance_BW: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns, row by row.

        Where few labels are reached, of the others only the largest relevance is looked at. Which way is quicker is
        told by the block before: to find out is a third of either.
        """
        if self._few:
            (columns,) = torch.nonzero(relevance_BW.amax(dim=0) >= self._floor_W, as_tuple=True)
            self._few = len(columns) * FEW < len(self._floor_W)
            if self._few:
                reaching = relevance_BW.index_select(1, columns) >= self._floor_W[columns]
                row_M, place_M = np.nonzero(reaching.numpy())
                return row_M, columns.numpy()[place_M]
        reaching = np.flatnonzero((relevance_BW >= self._floor_W).numpy())
        self._few = len(reaching) * FEW < len(self._floor_W)
        return np.divmod(reaching, len(self._floor_W))


def near_floors(
    few: Ranker,
    floor_V: np.ndarray,
    order_V: np.ndarray,
    embedding_ND: np.ndarray,
    class_id_NT: np.ndarray | None,
    probability_NT: np.ndarray | None,
) -> np.ndarray:
    """bool (N,): whether an image reaches the floor of one of the ranker's few candidates, or nearly so.

    The products of few labels have other bits than those of all.
    """
    relevance_NW = few.relevance(embedding_ND, class_id_NT, probability_NT)
    floor_W = floor_V[np.argsort(order_V)[few.candidates]]
    return (relevance_NW >= floor_W - SLACK * np.maximum(1.0, np.abs(floor_W))).any(axis=1)
