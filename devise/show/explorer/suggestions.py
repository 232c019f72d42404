"""Completion over a vocabulary: labels and synonyms that begin as a text does, then those with such a word in them."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from devise.words.nouns import readable
from devise.words.vocabulary import Vocabulary

LEAST_LETTERS = 3
"""Of a text that is looked for inside names too."""


class Word(NamedTuple):
    """A label that a text may become."""

    label: str
    synset: str | None
    seen: bool
    said: str | None
    """The synonym that the text begins; None where it is the label itself."""


class Suggestions:
    """The names of a vocabulary, sorted, read only.

    Args:
        passed_over_V: bool, labels that are never suggested; None for none.
    """

    def __init__(self, known: Vocabulary, passed_over_V: np.ndarray | None = None):
        self.known = known
        names: list[tuple[str, int, str | None]] = []
        for row, label in enumerate(known.labels):
            if passed_over_V is not None and passed_over_V[row]:
                continue
            names.append((_plain(label), row, None))
            names += [(_plain(name), row, readable(name)) for name in known.synonyms[row]]
        self._names = sorted(set(names), key=lambda name: (name[0], name[2] is not None, name[1]))
        self._plain = [name for name, _, _ in self._names]

    def find(self, text: str, k: int) -> list[Word]:
        """At most k labels, each once: whose names begin so, the shorter first; then those with a word that does."""
        wanted = _plain(text)
        if not wanted:
            return []
        begin = bisect_left(self._plain, wanted)
        end = bisect_left(self._plain, wanted + "\U0010ffff")
        places = sorted(range(begin, end), key=lambda place: (len(self._plain[place]), place))
        found = self._words(places, k)
        if len(found) < k and len(wanted) >= LEAST_LETTERS:
            inside = f" {wanted}"
            places += [place for place, name in enumerate(self._plain) if inside in name]
            found = self._words(places, k)
        return found

    def _words(self, places: list[int], k: int) -> list[Word]:
        known, found = self.known, dict[int, Word]()
        for place in places:
            _, row, said = self._names[place]
            if row not in found:
                found[row] = Word(known.labels[row], known.synsets[row], bool(known.seen[row]), said)
                if len(found) == k:
                    break
        return list(found.values())


def _plain(name: str) -> str:
    return readable(name).casefold()
