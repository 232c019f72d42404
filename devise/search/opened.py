"""An index's chain of runs, opened for search in one process; knows no words and no tables but the index's own.

Shape letters: D dims, K neighbours, M ids.
"""

import threading
from collections.abc import Sequence
from functools import cached_property
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from devise.errors import IndexingError
from devise.search import shards
from devise.search.filters import Passing
from devise.search.kinds import EXACT, effort, measured
from devise.search.mapped import ExactRows, Sidecar
from devise.search.shards import Shard
from devise.warehouse.manifest import Manifest

FEW = 5_000
"""Where no more images pass a filter they are all scored; where more do, more are searched for and those that do not
pass are dropped (tests/benchmarks/results/searcher.md)."""
WIDER = 0.5
"""The k nearest that pass are among the k / share nearest of all, which lie in share^-0.5 times as many lists."""
MORE = 1.5
"""How many times as many as should be needed are searched for, and how many times more if they were too few."""


class Found(NamedTuple):
    """Neighbours, best first, ties by lower id; and whether they are the very nearest, else the lists visited."""

    image_id_K: np.ndarray
    score_K: np.ndarray
    exact: bool
    nprobe: int | None


class Part(NamedTuple):
    """A shard, opened: its files are mapped, and stay so."""

    index: Any
    """faiss's."""
    sidecar: Sidecar
    exact: ExactRows | None
    hidden: np.ndarray
    """Ids that count no more in it, int64, ascending."""
    shard: Shard


class OpenedIndex:
    """What is mapped of a chain of index runs; all is opened as it is made, and then only read, by any threads.

    Args:
        runs: the chain, its base first.

    Raises:
        IndexingError: a file is torn, of another layout or of another template.
        StorageError: a file is missing, or is not what its run promises.
    """

    def __init__(self, warehouse: str, runs: Sequence[Manifest]):
        from devise.search import index
        from devise.search.template import read_template

        self.run = runs[-1]
        """The newest: it says the dim and the search effort of all."""
        self.where = f"{warehouse}: the index of run {self.run.run}"
        chain = shards.in_warehouse(warehouse, runs)
        self.template = read_template(chain[0].template.fetch())
        self._lock, self._lists = threading.Lock(), dict[int, np.ndarray | None]()
        self.parts = [self._open(shard, index.read_shard(shard.index.fetch(), self.template)) for shard in chain]

    def _open(self, shard: Shard, opened: Any) -> Part:
        sidecar = Sidecar(shard.sidecar.fetch())
        if len(sidecar) != opened.ntotal:
            raise IndexingError(f"{shard.index.uri}: found {opened.ntotal:,} rows, its sidecar has {len(sidecar):,}")
        return Part(opened, sidecar, shard.open_exact(opened.ntotal, self.dim), shard.hidden(), shard)

    @property
    def dim(self) -> int:
        return self.run.details["dim"]

    @property
    def exact(self) -> bool:
        """Whether every search compares with all rows as they are."""
        return self.run.details.get("kind") == EXACT

    @cached_property
    def n_live(self) -> int:
        """Rows that are not hidden."""
        return sum(len(part.sidecar) - int((part.sidecar.rows_of(part.hidden) >= 0).sum()) for part in self.parts)

    def recall(self, kind: str) -> float | None:
        """recall@10 of a kind of query, as it was measured when its effort was settled; None if it was not."""
        return measured(self.run.details, kind)[1]

    def search(self, query_D: np.ndarray, kind: str, k: int, passing: Passing | None = None) -> Found:
        """The k nearest of all live images, or of those that pass, to a unit vector; all if they are fewer.

        Raises:
            IndexingError: the vector is of another length, or not finite.
        """
        query_D = np.asarray(query_D, dtype=np.float32)
        if query_D.shape != (self.dim,):
            raise IndexingError(
                f"{self.where}: the query has {' x '.join(map(str, query_D.shape))} dims, wanted {self.dim}"
            )
        if not np.isfinite(query_D).all():
            raise IndexingError(f"{self.where}: the query's vector has numbers that are not finite")
        nprobe = effort(self.run.details["nprobe"], kind)
        if passing is None:
            return self._nearest(query_D, nprobe, min(k, self.n_live))
        if len(passing) <= FEW:
            return self._among(query_D, k, passing)
        return self._dropping(query_D, nprobe, k, passing)

    def _nearest(self, query_D: np.ndarray, nprobe: int, k: int) -> Found:
        from devise.search import index

        if not k:
            return Found(np.empty(0, np.int64), np.empty(0, np.float32), True, None)
        prepared = index.prepare(self.template, query_D[None, :], nprobe)
        hidden, exact = ([getattr(part, name) for part in self.parts] for name in ("hidden", "exact"))
        id_1K, score_1K = index.search([part.index for part in self.parts], prepared, k, hidden, exact)
        found_K = id_1K[0] >= 0
        visited = None if prepared.list_QP is None else prepared.list_QP.shape[1]
        return Found(id_1K[0][found_K], score_1K[0][found_K], self.exact, visited)

    def _among(self, query_D: np.ndarray, k: int, passing: Passing) -> Found:
        """Exactly: each image that passes is scored."""
        from devise.search import rows

        shards_of, exact = [part.index for part in self.parts], [part.exact for part in self.parts]
        lists = [self._lists_of(place, id_M) for place, id_M in enumerate(passing.of_shard)]
        lists = [None if list_M is None else np.unique(list_M) for list_M in lists]
        id_K, score_K = rows.search_among(shards_of, query_D, passing.of_shard, k, exact, lists)
        return Found(id_K, score_K, True, None)

    def _dropping(self, query_D: np.ndarray, nprobe: int, k: int, passing: Passing) -> Found:
        """More than k, and of these the k best that pass; ever more, in ever more lists, until there are k."""
        k = min(k, len(passing))
        share = len(passing) / self.n_live
        wanted, nprobe = MORE * k / share, ceil(nprobe * share**-WIDER)
        while wanted < MORE * self.n_live:
            found = self._nearest(query_D, nprobe, min(ceil(wanted), self.n_live))
            passed_K = passing.holds(found.image_id_K)
            if passed_K.sum() >= k:
                return Found(found.image_id_K[passed_K][:k], found.score_K[passed_K][:k], self.exact, found.nprobe)
            wanted, nprobe = wanted * 2, nprobe * 2
        return self._among(query_D, k, passing)  # a graph does not lead to all rows

    def passing(self, under: str | None, among: Sequence[np.ndarray]) -> Passing:
        """The live images whose uri begins with `under`, if it is given, and that are in each of `among` (sorted)."""
        return Passing([self._passing_in(part, under, among) for part in self.parts])

    def _passing_in(self, part: Part, under: str | None, among: Sequence[np.ndarray]) -> np.ndarray:
        ends = shards.span(part.shard.number, part.shard.n_shards)
        id_N = None if under is None else part.sidecar.starting_with(under)
        for id_M in among:
            least, most = np.searchsorted(id_M, ends[0]), np.searchsorted(id_M, ends[1], side="right")
            here_M = id_M[least:most]
            id_N = here_M if id_N is None else np.intersect1d(id_N, here_M, assume_unique=True)
        return np.setdiff1d(id_N[part.sidecar.rows_of(id_N) >= 0], part.hidden, assume_unique=True)

    def uris(self, image_id_M: np.ndarray) -> dict[int, str]:
        """image_id -> uri of live images."""
        return shards.find_uris([part.sidecar for part in self.parts], [part.hidden for part in self.parts], image_id_M)

    def vector_of(self, image_id: int) -> np.ndarray:
        """float32 (D,): the row of a live image, from the exact rows of its shard, or from its codes, which are exact.

        Raises:
            IndexingError: no live image has the id.
        """
        from devise.search import rows

        asked = np.array([image_id if 0 <= image_id < shards.IDS else -1], dtype=np.int64)
        for place, part in enumerate(self.parts):
            if part.sidecar.rows_of(asked)[0] >= 0 and not np.isin(asked, part.hidden)[0]:
                if part.exact is not None:
                    return part.exact.vectors(asked)[0]
                list_1 = self._lists_of(place, asked)
                return rows.stored_vector(part.index, image_id, None if list_1 is None else int(list_1[0]))
        raise IndexingError(f"{self.where}: no live image has the id {image_id}")

    def _lists_of(self, place: int, image_id_M: np.ndarray) -> np.ndarray | None:
        """The list in which each id of a shard lies, int32, where its rows are read out of lists; else None.

        The first such question makes a map of the shard, of 4 bytes a row; faiss's own takes some 50.
        """
        from devise.search import rows

        part = self.parts[place]
        if part.exact is not None:
            return None
        with self._lock:
            if place not in self._lists:
                found = rows.lists_of(part.index)
                list_N = None if found is None else np.empty(len(part.sidecar), np.int32)
                if found is not None:
                    list_N[part.sidecar.rows_of(found[0])] = found[1]
                self._lists[place] = list_N
        list_N = self._lists[place]
        return None if list_N is None else list_N[part.sidecar.rows_of(image_id_M)]
