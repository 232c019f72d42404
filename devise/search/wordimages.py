"""Each label's list of images: the most relevant of all that are live, exactly, and kept so from night to night.

Labels are ranked for every image by the relevance of all of them (`ranking`); the same numbers rank the images of every
label. Most are far too small to matter: a label's floor, found in a sample on a first night and known on every later
one, lets a few through. A list keeps more images than are told, so that those which leave have successors; the images
that it lacks are all behind its floor.

Labels are numbered here by their place in alphabetical order, and cut into ranges of places.
Shape letters: M entries, V labels, L labels of a range.
"""

from collections.abc import Sequence
from functools import cache
from math import exp, lgamma, log, log1p
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LABELS_A_RANGE = 4_096
"""Labels of a file, and of a task that merges: of 200 images each, 820,000 rows."""
SAMPLED, LEAST_SAMPLED, MOST_SAMPLED = 1 / 40, 512, 65_536
"""Of all images this share, but so many at least and at most, are looked at twice on a first night, to set floors."""
RISK = 1e-4
"""Of a label that its floor, found in a sample, lets too few through for a full list; it is then filled again."""
SPARE = 4
"""A list keeps a quarter more images than are told."""
MERGED_ROWS = 4_000_000
"""Entries that wait until they are merged: 100 MB."""
LAST_ID = 2**63 - 1

ENTRIES = pa.schema(
    [
        ("place", pa.int32()),
        ("image_id", pa.int64()),
        ("relevance", pa.float32()),
        ("score", pa.float32()),
        ("uri", pa.dictionary(pa.int32(), pa.string())),
    ]
)
"""An entry of a list: label, image, and their relevance and cosine."""
LOST = pa.schema([("image_id", pa.int64())])
"""Images that leave all lists."""


class Floors(NamedTuple):
    """What lists are complete down to: a label's has every live image of more relevance, and of that very relevance
    those up to an id. Minus infinity: every live image is in it; infinity: the label has no list."""

    relevance_L: np.ndarray
    image_id_L: np.ndarray

    @classmethod
    def of(cls, relevance_L: np.ndarray) -> "Floors":
        """Floors that are reached by all images of that relevance."""
        relevance_L = np.asarray(relevance_L, np.float32)
        return cls(relevance_L, np.full(len(relevance_L), LAST_ID))


def length(n_told: int) -> int:
    """How many images a list keeps of which so many are told."""
    return n_told + n_told // SPARE


def count_ranges(n_labels: int) -> int:
    return -(-n_labels // LABELS_A_RANGE)


def order(labels: Sequence[str]) -> np.ndarray:
    """int64 (V,): the label ids in alphabetical order, by code point as Parquet compares; equal ones by id."""
    return pc.sort_indices(pa.array(labels, pa.string())).to_numpy().astype(np.int64)  # a stable sort


def sampled_share(n_images: int, n_told: int) -> float:
    """The share of the images whose relevances set the floors; 0: so few images need none."""
    if n_images <= length(n_told):
        return 0.0
    least = max(LEAST_SAMPLED, 2 * length(n_told))
    return min(1.0, max(SAMPLED * n_images, least) / n_images, MOST_SAMPLED / n_images)


@cache
def place_in_sample(n_wanted: int, share: float) -> int:
    """Which place in a sample, 1 the best, is behind the `n_wanted` best of all, but for a probability of RISK.

    It is not if so many of these are sampled, each of them with the same probability.
    """
    if share >= 1:
        return n_wanted
    at_least, probability = 0, 1.0
    while probability > RISK and at_least < n_wanted:
        ways = lgamma(n_wanted + 1) - lgamma(at_least + 1) - lgamma(n_wanted - at_least + 1)
        probability -= exp(ways + at_least * log(share) + (n_wanted - at_least) * log1p(-share))
        at_least += 1
    return max(1, at_least)


class Lists:
    """The lists of a range of labels, into which entries are merged.

    Args:
        entries, floors: of the run before, or none and what was found in a sample; places count from the range's first.
        length: images that a list keeps.
    """

    def __init__(self, entries: pa.Table, floors: Floors, length: int):
        self.floors, self.length = Floors(*map(np.array, floors)), length
        self._before, self._kept_M = entries, np.ones(len(entries), bool)
        self._waiting: list[pa.Table] = []
        id_M = entries.column("image_id").to_numpy()
        self._by_id = np.argsort(id_M, kind="stable")
        self._sorted_M = id_M[self._by_id]

    def lose(self, image_id_M: np.ndarray) -> None:
        """Take images out of the lists of the run before; what is added, before or after, stays."""
        lost = np.unique(image_id_M)
        first, end = (np.searchsorted(self._sorted_M, lost, side) for side in ("left", "right"))
        for start, stop in zip(first[first < end].tolist(), end[first < end].tolist(), strict=True):
            self._kept_M[self._by_id[start:stop]] = False

    def add(self, entries: pa.Table) -> None:
        """Entries that reach the floors, or not: those are passed over."""
        self._waiting.append(entries)
        if sum(map(len, self._waiting)) > MERGED_ROWS:
            self._waiting = [self._merged(self._waiting)]

    def merge(self) -> tuple[pa.Table, np.ndarray]:
        """The lists, by place and rank, and each entry's rank, int32, 1 the most relevant; ties by image_id."""
        before = self._before if self._kept_M.all() else self._before.filter(pa.array(self._kept_M))
        self._waiting = [self._merged([before, *self._waiting])]
        self._before, self._kept_M = self._before.slice(0, 0), np.ones(0, bool)
        place_M = self._waiting[0].column("place").to_numpy()
        return self._waiting[0], ranks(place_M)

    def renew(self, place_L: np.ndarray, relevance_L: np.ndarray) -> None:
        """Forget the lists of some places; what is added is to hold all that reaches these floors of theirs."""
        self._kept_M &= ~np.isin(self._before.column("place").to_numpy(), place_L)
        self.floors.relevance_L[place_L], self.floors.image_id_L[place_L] = relevance_L, LAST_ID

    def short(self, n_wanted: int) -> np.ndarray:
        """Places whose list, once merged, holds fewer than are wanted although more may exist."""
        count_L = np.bincount(self._waiting[0].column("place").to_numpy(), minlength=len(self.floors.relevance_L))
        incomplete = np.isfinite(self.floors.relevance_L)
        return np.flatnonzero(incomplete & (count_L < n_wanted))

    def _merged(self, parts: list[pa.Table]) -> pa.Table:
        """Sorted, without what is behind the floors, and cut to the length; where it is cut the floor rises."""
        entries = joined(parts)
        place_M, id_M, relevance_M = (entries.column(name).to_numpy() for name in ENTRIES.names[:3])
        floor_M, last_M = self.floors.relevance_L[place_M], self.floors.image_id_L[place_M]
        (here,) = np.nonzero((relevance_M > floor_M) | ((relevance_M == floor_M) & (id_M <= last_M)))
        here = here[ranked_order(place_M[here], relevance_M[here], id_M[here])]
        rank_M = ranks(place_M[here])
        last = here[rank_M == self.length]
        beyond = np.unique(place_M[here[rank_M > self.length]])
        last = last[np.isin(place_M[last], beyond)]
        self.floors.relevance_L[place_M[last]], self.floors.image_id_L[place_M[last]] = relevance_M[last], id_M[last]
        return compact(entries.take(pa.array(here[rank_M <= self.length])))


def joined(parts: Sequence[pa.Table]) -> pa.Table:
    """The rows of all, with one dictionary of uris."""
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def ranked_order(place_M: np.ndarray, relevance_M: np.ndarray, image_id_M: np.ndarray) -> np.ndarray:
    """int64 (M,): the order by place, then the most relevant first, then image_id.

    Place and relevance are one number of 64 bits, which are sorted five times as quickly as by two keys; where it is
    the same ids decide.
    """
    bits_M = (relevance_M + np.float32(0)).view(np.int32).astype(np.int64)  # without a zero that is negative
    falling_M = np.where(bits_M < 0, -(bits_M & 0x7FFFFFFF), bits_M)  # in the order of the numbers
    key_M = (place_M.astype(np.int64) << 33) - falling_M
    order = np.argsort(key_M)
    sorted_M = key_M[order]
    same = sorted_M[1:] == sorted_M[:-1]
    (tied,) = np.nonzero(np.append(same, False) | np.append(False, same))
    order[tied] = order[tied][np.lexsort((image_id_M[order[tied]], sorted_M[tied]))]
    return order


def ranks(place_M: np.ndarray) -> np.ndarray:
    """int32: 1, 2, 3 and so on within each run of equal places."""
    starts = np.flatnonzero(np.diff(place_M, prepend=-1))
    counts = np.diff(np.append(starts, len(place_M)))
    return (np.arange(len(place_M)) - np.repeat(starts, counts) + 1).astype(np.int32)


def compact(entries: pa.Table) -> pa.Table:
    """The entries with the uris alone that they name."""
    uri = entries.column("uri").combine_chunks()
    if isinstance(uri, pa.ChunkedArray):
        uri = uri.chunk(0) if uri.num_chunks else pa.array([], ENTRIES.field("uri").type)
    used, index_M = np.unique(uri.indices.to_numpy(zero_copy_only=False), return_inverse=True)
    named = pa.DictionaryArray.from_arrays(pa.array(index_M.astype(np.int32)), uri.dictionary.take(pa.array(used)))
    return entries.set_column(4, ENTRIES.field("uri"), named)


def pack(rows: pa.Table) -> bytes:
    """Entries or lost images as one value of a column."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()


def unpack(packed: bytes) -> pa.Table:
    with pa.ipc.open_stream(packed) as stream:
        return stream.read_all()
