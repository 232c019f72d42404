"""Names of things and how they are spelled: the rules that find a name's vector; it does not know senses or labels."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SPACES = "".join(chr(number) for number in range(0x3001) if chr(number).isspace())
"""Every character at which `str.split` divides a text: words of GloVe hold no-break spaces."""
SEPARATORS = str.maketrans("", "", SPACES + "_-")
IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth", "geese": "goose",
    "mice": "mouse", "lice": "louse", "oxen": "ox", "people": "person", "knives": "knife", "wives": "wife",
    "lives": "life", "leaves": "leaf", "wolves": "wolf", "calves": "calf", "halves": "half", "shelves": "shelf",
    "loaves": "loaf", "thieves": "thief", "hooves": "hoof", "scarves": "scarf", "elves": "elf",
}  # fmt: skip
STOP_WORDS = frozenset({
    "a", "an", "the", "of", "with", "and", "or", "in", "for", "by", "to", "from", "that", "which", "is", "as", "on",
    "its", "it", "used", "having", "at", "made", "usually", "very", "one", "any", "some", "be", "are", "was", "not",
    "but", "between", "de", "des", "la", "le", "du",
})  # fmt: skip
OWN_RULES = ("exact", "case", "separator", "plural")


@dataclass(frozen=True)
class Noun:
    """A thing to find a vector for: its name, its synset if it is known, and other names of that synset."""

    name: str
    synset: str | None = None
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """What a rule found.

    Attributes:
        rows: the rows of the vectors that were used: one for a word of its own; several or none for a mean.
        vector: float32 (D,), unit.
        how: the rule.
    """

    rows: tuple[int, ...]
    vector: np.ndarray
    how: str


def readable(word: str) -> str:
    """A word of a vector file as people write it: words separated by one space, letters composed (NFC)."""
    return " ".join(compose_letters(word).replace("_", " ").split())


def fold(name: str) -> str:
    """What stays of a name when case, spaces, `_` and `-` do not count, nor how its letters are composed."""
    return compose_letters(compose_letters(name).casefold()).translate(SEPARATORS)


def compose_letters(text: str) -> str:
    """The text in Unicode's form NFC (https://unicode.org/reports/tr15/): an e with its accent is one letter."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def words_of(name: str) -> list[str]:
    """The content words of a name or of a definition, in lower case, without articles and prepositions."""
    lowered = compose_letters(name).casefold()
    return [word for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", lowered) if word not in STOP_WORDS]


def singulars(name: str) -> list[str]:
    """Names that `name` may be the plural of, by its last word; the likeliest first."""
    head, last = _last_word(name)
    if last in IRREGULAR:
        return [head + IRREGULAR[last]]
    if len(last) < 4 or not last.endswith("s") or last.endswith(("ss", "us", "is")):
        return []
    if last.endswith("ies"):
        return [head + last[:-3] + "y", head + last[:-1]]
    if last.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        return [head + last[:-2], head + last[:-1]]
    return [head + last[:-1]]


def plurals(name: str) -> list[str]:
    """The plural of a name, by its last word."""
    head, last = _last_word(name)
    if irregular := [plural for plural, singular in IRREGULAR.items() if singular == last]:
        return [head + plural for plural in irregular]
    if last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        return [head + last[:-1] + "ies"]
    return [head + last + ("es" if last.endswith(("s", "x", "z", "ch", "sh")) else "s")]


def _last_word(name: str) -> tuple[str, str]:
    lowered = name.casefold()
    last = re.split(r"[ _-]", lowered)[-1]
    return lowered[: len(lowered) - len(last)], last


def unit(vector_D: np.ndarray) -> np.ndarray:
    """float32 (D,) of length 1; zeros stay zeros. In double precision: in single, 1e20 squared is infinite and 1e-30
    squared is zero."""
    wide_D = np.asarray(vector_D, dtype=np.float64)
    length = float(np.linalg.norm(wide_D))
    return (wide_D / length if length else wide_D).astype(np.float32)


class Finder:
    """Finds the vector of a name among words with vectors, by rules in a fixed order.

    Args:
        words: V words; the first of equal ones counts.
        vectors_VD: float32, unit or not.
        subword: any text -> float32 (D,), or None.
    """

    def __init__(
        self, words: Sequence[str], vectors_VD: np.ndarray, subword: Callable[[str], np.ndarray] | None = None
    ):
        self.words, self.vectors_VD, self.subword = words, vectors_VD, subword
        self._rows: dict[str, list[int]] = {}
        for row, word in enumerate(words):
            self._rows.setdefault(fold(word), []).append(row)

    def own(self, name: str) -> Match | None:
        """The vector of the name itself: spelled alike (`_` is a space), else with other case, else with other
        separators, else in singular or plural. Of several words by one rule, the first of the file."""
        spelled, key = readable(name), fold(name)
        rows = self._rows.get(key)
        if rows is not None:
            distance, row = min((self._distance(spelled, row), row) for row in rows)
            # A name of nothing but separators is like every other: it is itself, or nothing.
            return self._match(row, OWN_RULES[distance]) if key or distance == 0 else None
        for form in (*singulars(spelled), *plurals(spelled)):
            if rows := self._rows.get(fold(form)):
                return self._match(min(rows, key=lambda row: (self._distance(form, row), row)), "plural")
        return None

    def find(self, noun: Noun) -> Match | None:
        """The vector of a noun: its own, else a synonym's, else of its words (with subwords where there are any)."""
        if match := self.own(noun.name):
            return match
        for synonym in noun.synonyms:
            if match := self.own(synonym):
                return Match(match.rows, match.vector, "synonym")
        return self.compose(noun.name)

    def compose(self, name: str) -> Match | None:
        """The mean of the vectors of a name's content words; all must be known.

        With subwords a word that is not known is made of them (`subword`), else the rule is `words`.
        """
        words = words_of(name)
        parts, how = [], "words"
        for word in words:
            match = self.own(word)
            if match is None and self.subword is not None and (made := unit(self.subword(word))).any():
                match, how = Match((), made, "subword"), "subword"
            if match is None:
                return None
            parts.append(match)
        if not parts or not (mean_D := unit(np.mean([part.vector for part in parts], axis=0))).any():
            return None
        return Match(tuple(row for part in parts for row in part.rows), mean_D, how)

    def _distance(self, spelled: str, row: int) -> int:
        word = readable(self.words[row])
        return 0 if word == spelled else 1 if word.casefold() == spelled.casefold() else 2

    def _match(self, row: int, how: str) -> Match:
        return Match((row,), unit(self.vectors_VD[row]), how)


def wanted_keys(texts: Collection[str]) -> set[str]:
    """The folded forms by which `Finder` may look for names: themselves, singular, plural, and their words."""
    keys: set[str] = set()
    for name in texts:
        for part in (name, *words_of(name)):
            keys.update(_forms(part))
    return keys


def _forms(name: str) -> Iterator[str]:
    for form in (name, *singulars(name), *plurals(name)):
        yield fold(form)
