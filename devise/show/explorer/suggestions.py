"""Completion over a vocabulary: labels and synonyms that begin as a text does, then those with such a word in them."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from devise.words.nouns import readable
from devise.words.vocabulary import Vocabulary

LEAST_LETTERS = 3
"""Of a text that is looked for inside names too."""
LABELS = 4_096
"""Whose names are put into columns at a time: whoever answers questions meanwhile waits for no more."""
COLUMNS = {"plain": pa.string(), "other": pa.int8(), "row": pa.int32(), "place": pa.int32()}


class Word(NamedTuple):
    """A label that a text may become."""

    label: str
    synset: str | None
    seen: bool
    said: str | None
    """The synonym that the text begins; None where it is the label itself."""


class Suggestions:
    """The names of a vocabulary, sorted, read only; in columns, as many small objects take long to make and to drop.

    Args:
        passed_over_V: bool, labels that are never suggested; None for none.
    """

    def __init__(self, known: Vocabulary, passed_over_V: np.ndarray | None = None):
        self.known = known
        passed_over_V = np.zeros(len(known.labels), bool) if passed_over_V is None else passed_over_V
        rows = np.flatnonzero(~passed_over_V).tolist()
        parts = [self._named(rows[start : start + LABELS]) for start in range(0, len(rows), LABELS)]
        empty = pa.table({name: pa.array([], kind) for name, kind in COLUMNS.items()})
        names = pa.concat_tables([empty, *parts]).sort_by([(name, "ascending") for name in COLUMNS]).combine_chunks()
        self._plain, self._row, self._place = (names.column(name).chunk(0) for name in ("plain", "row", "place"))
        self._length_N = pc.utf8_length(self._plain).to_numpy()

    def _named(self, rows: list[int]) -> pa.Table:
        """Of each name of some labels: how it is compared, whether it is another than the label, the label's row, and
        the place of a synonym."""
        found = [
            (_plain(name), int(place >= 0), row, place)
            for row in rows
            for place, name in enumerate((self.known.labels[row], *self.known.synonyms[row]), start=-1)
        ]
        columns = zip(COLUMNS, zip(*found, strict=True), strict=True)
        return pa.table({name: pa.array(column, COLUMNS[name]) for name, column in columns})

    def find(self, text: str, k: int) -> list[Word]:
        """At most k labels, each once: whose names begin so, the shorter first; then those with a word that does."""
        wanted = _plain(text)
        if not wanted:
            return []
        begin, end = (bisect_left(self._plain, most, key=_text) for most in (wanted, wanted + "\U0010ffff"))
        places = begin + np.argsort(self._length_N[begin:end], kind="stable")
        found = self._words(places, k)
        if len(found) < k and len(wanted) >= LEAST_LETTERS:
            inside_N = pc.match_substring(self._plain, f" {wanted}").to_numpy(zero_copy_only=False)
            found = self._words(np.concatenate([places, np.flatnonzero(inside_N)]), k)
        return found

    def _words(self, places: np.ndarray, k: int) -> list[Word]:
        known, found = self.known, dict[int, Word]()
        for at in places.tolist():
            row, place = self._row[at].as_py(), self._place[at].as_py()
            if row not in found:
                said = readable(known.synonyms[row][place]) if place >= 0 else None
                found[row] = Word(known.labels[row], known.synsets[row], bool(known.seen[row]), said)
                if len(found) == k:
                    break
        return list(found.values())


def _plain(name: str) -> str:
    return readable(name).casefold()


def _text(name: pa.Scalar) -> str:
    return name.as_py()
