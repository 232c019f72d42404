"""The noun hierarchy: synsets, their words and hypernyms, hops, correct sets; it knows no files and no vectors."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from devise.errors import VocabularyError
from devise.words import ragged
from devise.words.nouns import fold

UNREACHED = np.iinfo(np.int16).max


@dataclass
class Hierarchy:
    """Noun synsets by id, in file order.

    Attributes:
        members: synset -> its words, as they are written.
        hypernyms: synset -> the synsets directly above it (several are possible, roots have none).
        definitions: synset -> its definition; empty where the file has none.
        senses: folded word -> its synsets, the most used first; need not have every word.
        format: what it was read from, for a line of a log.
    """

    members: dict[str, list[str]]
    hypernyms: dict[str, list[str]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    senses: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    format: str = ""

    def __post_init__(self) -> None:
        self._rows = {synset: row for row, synset in enumerate(self.members)}
        self._by_word: dict[str, list[str]] = defaultdict(list)
        for synset, words in self.members.items():
            for key in dict.fromkeys(fold(word) for word in words):
                self._by_word[key].append(synset)
        for key, order in self.senses.items():
            places = {synset: place for place, synset in enumerate(order)}
            self._by_word.get(key, []).sort(key=lambda synset: places.get(synset, len(places)))
        pairs = [
            (self._rows[synset], self._rows[parent])
            for synset, parents in self.hypernyms.items()
            for parent in parents
            if parent in self._rows
        ]
        edges_E2 = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        both = np.concatenate([edges_E2, edges_E2[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        self._neighbours = both[:, 1]
        self._starts = np.searchsorted(both[:, 0], np.arange(len(self._rows) + 1))
        self._hops_from = lru_cache(maxsize=64)(self._measure_hops)

    def synsets(self, word: str) -> list[str]:
        """Synsets that a word names, by `senses`, then in file order; empty if none.

        Case, `_`, `-` and spaces do not count.
        """
        return list(self._by_word.get(fold(word), ()))

    def line(self) -> str:
        """What was read, for a log."""
        outside = sum(parent not in self._rows for synset in self._rows for parent in self.hypernyms.get(synset, ()))
        return f"{self.format}: {len(self.members):,} synsets, {len(self._by_word):,} words" + (
            f"; {outside:,} hypernyms that it does not have" * bool(outside)
        )

    def hops(self, a: str, b: str) -> int | None:
        """Edges on the shortest way from `a` to `b`, up or down; None if no way leads there.

        Raises:
            VocabularyError: a synset that the hierarchy does not have.
        """
        distance = int(self._hops_from(self._row(a))[self._row(b)])
        return None if distance == UNREACHED else distance

    def correct_set(self, synset: str, k: int, candidates: Collection[str]) -> set[str]:
        """Candidates within the least radius around `synset` that holds at least `k` of them (DeViSE, section 4).

        The radius grows by whole hops, so all that are equally near come in together and the set may be larger than k;
        it is smaller only if fewer candidates are reachable at all. `synset` is in it if it is a candidate (radius 0).
        Candidates that the hierarchy does not have are left out.

        Raises:
            ValueError: k is below 1.
            VocabularyError: the hierarchy does not have `synset`.
        """
        names = list(candidates)
        correct_C = self.correct_rows(synset, k, self.rows(names))
        return {candidate for candidate, correct in zip(names, correct_C, strict=True) if correct}

    def near(self, synsets: Collection[str], edges: int) -> set[str]:
        """Synsets at most so many edges, up or down, from one of `synsets`, without these; unknown ones have none."""
        start = np.unique(self.rows(list(synsets)))
        found_S = np.zeros(len(self._rows), dtype=bool)
        found_S[start[start >= 0]] = True
        front = np.flatnonzero(found_S)
        for _ in range(edges):
            near = self._next_to(front)
            front = near[~found_S[near]]
            found_S[front] = True
        names = list(self._rows)
        return {names[row] for row in np.flatnonzero(found_S)} - set(synsets)

    def rows(self, synsets: Sequence[str]) -> np.ndarray:
        """int64 (C,): the row of each synset, -1 for one that the hierarchy does not have."""
        return np.array([self._rows.get(synset, -1) for synset in synsets], dtype=np.int64)

    def correct_rows(self, synset: str, k: int, rows_C: np.ndarray) -> np.ndarray:
        """bool (C,): `correct_set` of candidates given as `rows`; quick for many synsets, one list of rows."""
        if k < 1:
            raise ValueError(f"found k = {k}, wanted 1 or more")
        hops_C = np.where(rows_C >= 0, self._hops_from(self._row(synset))[rows_C], UNREACHED)
        reachable = hops_C[hops_C < UNREACHED]
        if len(reachable) == 0:
            return np.zeros(len(rows_C), dtype=bool)
        nearest = min(k, len(reachable)) - 1
        return hops_C <= np.partition(reachable, nearest)[nearest]

    def _row(self, synset: str) -> int:
        if synset not in self._rows:
            raise VocabularyError(f"found synset {synset!r}, wanted one of the hierarchy's {len(self._rows)}")
        return self._rows[synset]

    def _measure_hops(self, start: int) -> np.ndarray:
        """int16 (S,): hops from a synset to every other, breadth first."""
        hops_S = np.full(len(self._rows), UNREACHED, dtype=np.int16)
        front, radius = np.array([start]), 0
        while len(front):
            hops_S[front] = radius
            near = self._next_to(front)
            front, radius = near[hops_S[near] == UNREACHED], radius + 1
        return hops_S

    def _next_to(self, front: np.ndarray) -> np.ndarray:
        """The rows one edge from some of these, ascending."""
        return np.unique(self._neighbours[ragged.places(self._starts, front)[0]])
