"""The grammar of queries: a text to signed, weighted terms, their kind, their unit vector; knows no files, no index.

    query  = term, then any number of ` + ` or ` - ` and a term
    term   = [weight ` * `] word, or a word in "quotes", or image:URI, or image:"URI"
    weight = a finite number other than 0, with or without a sign of its own

Signs and `*` are operators between spaces only: `t-shirt` is one word, `sports car + boat` is two terms. In quotes
nothing is an operator. Without them a URI ends at the first operator, but never before a name that ends like a
picture's: `image:/a/b + c.jpg + snow` is the picture `/a/b + c.jpg` and a word.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from devise.errors import VocabularyError
from devise.words.nouns import compose_letters

IMAGE = "image:"
MOST_LETTERS = 10_000
"""More letters are no question: an S3 key has 1,024 bytes at most, the longest noun of WordNet 71."""
SHOWN = 100
"""Letters of a query that an error repeats."""
WEIGHT = re.compile(r"([+-]?(?:[\d.]\S*|inf|infinity|nan))\s+\*(?:\s+|$)", re.IGNORECASE)
OPERATOR = re.compile(r"\s([+-])(?:\s|$)")
NEXT = re.compile(r"\s+([+-])(?:\s|$)")
DANGLING = re.compile(r"^[+-](\s|$)|\s[+-]$|^[+-]?$")
"""A sign that stands before or behind nothing: spelled without signs, `- lion` would be a lion."""
CANCELLED = 1e-6
"""A sum shorter than this, beside a largest weight of 1, is what rounding left."""

Lookup = Callable[[str], np.ndarray | None]


@dataclass(frozen=True)
class Term:
    """A word, or the picture at a URI, and how much of it is wanted; a negative weight is one to keep away from."""

    weight: float
    text: str
    picture: bool = False


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a query, in order; words have their letters composed (NFC), a URI is left as it is.

    Raises:
        VocabularyError: what was found that is no term, and at which letter of the text.
    """
    if len(text) > MOST_LETTERS:
        raise VocabularyError(f"{_named(text)}: found {len(text):,} letters, wanted at most {MOST_LETTERS:,}")
    terms, sign, place = [], 1.0, 0
    while True:
        term, place = _term(text, place, sign)
        if not term.picture and any("\ud800" <= letter <= "\udfff" for letter in term.text):
            raise VocabularyError(f"{_named(text)}: found bytes that are no UTF-8 in a word, wanted letters")
        terms.append(term)
        if not text[place:].strip():
            return tuple(terms)
        operator = NEXT.match(text, place)
        if operator is None:  # only behind quotes: what has none goes as far as an operator
            raise _refused(text, place, text[place:], "` + ` or ` - ` behind the quotes")
        sign, place = (1.0 if operator[1] == "+" else -1.0), operator.end()


def kind_of(terms: Sequence[Term]) -> str:
    """`word`, `image`, `words` (several terms of any sort), or `differences` (a negative weight among them).

    Each kind is searched with the effort that its recall needs. A positive weight does not turn a single vector.
    """
    if any(term.weight < 0 for term in terms):
        return "differences"
    if len(terms) > 1:
        return "words"
    return "image" if terms[0].picture else "word"


def query_vector(text: str, lookup: Lookup, picture: Callable[[str], np.ndarray] | None = None) -> np.ndarray:
    """Unit vector (D,) float32 of a query: the weighted sum of the unit vectors of its words and pictures.

    Args:
        lookup: word -> unit vector (D,), or None if it is unknown.
        picture: URI as it is written -> unit vector (D,); None where only words can be asked. A picture alone has
            this very vector.

    Raises:
        VocabularyError: the text is no query, a word is unknown, a picture and a word differ in dim, or the terms
            cancel out.
    """
    terms, vectors = _find_all(text, lookup, picture)
    if kind_of(terms) == "image":
        return np.asarray(vectors[0], dtype=np.float32)
    total_D, length = _sum(text, terms, vectors)
    return (total_D / length).astype(np.float32)


def share(
    text: str, to_D: np.ndarray, lookup: Lookup, picture: Callable[[str], np.ndarray] | None = None
) -> list[tuple[Term, float, float]]:
    """Each term of a query, the cosine of its vector and a unit vector `to_D`, and its part in the query's own cosine.

    The parts add up to that. The other arguments are those of `query_vector`, and so is what is raised.
    """
    terms, vectors = _find_all(text, lookup, picture)
    _, length = _sum(text, terms, vectors)
    cosines = [float(np.asarray(vector_D, np.float64) @ to_D) for vector_D in vectors]
    return [
        (term, cosine, weight * cosine / length)
        for term, weight, cosine in zip(terms, _weights(terms), cosines, strict=True)
    ]


def _find_all(
    text: str, lookup: Lookup, picture: Callable[[str], np.ndarray] | None
) -> tuple[tuple[Term, ...], list[np.ndarray]]:
    """The terms of a query and the vector of each, of equal dims."""
    terms = parse(text)
    found = [_find(text, term, lookup, picture) for term in terms]
    if len(dims := sorted({len(found_D) for found_D in found})) > 1:
        raise VocabularyError(f"{_named(text)}: found words and pictures of {dims} dims, wanted equal ones")
    return terms, found


def _weights(terms: Sequence[Term]) -> list[float]:
    """As shares of the largest, so that no sum of them overflows."""
    largest = max(abs(term.weight) for term in terms)
    return [term.weight / largest for term in terms]


def _sum(text: str, terms: Sequence[Term], vectors: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """The weighted sum, float64 (D,), and its length; `VocabularyError` if the terms cancel out."""
    total_D: np.ndarray | float = 0.0
    for weight, vector_D in zip(_weights(terms), vectors, strict=True):
        total_D = total_D + weight * np.asarray(vector_D, dtype=np.float64)
    length = float(np.linalg.norm(total_D))
    if length < CANCELLED:
        raise VocabularyError(f"{_named(text)}: the terms cancel out")
    return total_D, length


def find_word(text: str, term: Term, lookup: Lookup) -> np.ndarray:
    """The vector of a query's word; `VocabularyError` if the word is unknown."""
    found_D = lookup(term.text)
    if found_D is None:
        raise VocabularyError(f"{_named(text)}: {_short(term.text)} is no word that the vocabulary or its vectors know")
    return found_D


def no_picture(text: str, uri: str) -> VocabularyError:
    """What to raise where a query's picture is not there."""
    cut = '; a URI with ` + ` or ` - ` in it wants quotes: image:"..."' if OPERATOR.search(text) else ""
    return VocabularyError(f"{_named(text)}: {uri}: no such picture{cut}")


def _find(text: str, term: Term, lookup: Lookup, picture: Callable[[str], np.ndarray] | None) -> np.ndarray:
    if not term.picture:
        return find_word(text, term, lookup)
    if picture is None:
        raise VocabularyError(f"{_named(text)}: found the picture {_short(term.text)}, wanted words alone")
    return picture(term.text)


def _term(text: str, place: int, sign: float) -> tuple[Term, int]:
    """The term that begins at a place, its weight times the sign before it; and the place behind it."""
    start = _skip_spaces(text, place)
    weight, told = sign, WEIGHT.match(text, start)
    if told is not None:
        weight, start = sign * _number(text, start, told[1]), told.end()
    picture = text.startswith(IMAGE, start)
    begin = start + len(IMAGE) if picture else start
    if text.startswith('"', begin):
        end = text.find('"', begin + 1)
        if end < 0:
            raise _refused(text, begin, text[begin:], "a second quote that ends it")
        body, behind = text[begin + 1 : end], end + 1
    else:
        behind = _end_of_uri(text, begin) if picture else _end_of_word(text, begin)
        body = text[begin:behind]
        if not picture or (start, behind) != (0, len(text)):  # a URI alone is taken to the letter
            body = body.strip()
        if not picture and DANGLING.search(body):
            raise _refused(text, start, body, "words, with ` + ` or ` - ` between them")
    if not body.strip():
        raise _refused(text, start, body, "a picture's URI" if picture else "words")
    return Term(weight, body if picture else compose_letters(body), picture), behind


def _number(text: str, place: int, told: str) -> float:
    try:
        weight = float(told)
    except ValueError:
        weight = float("nan")
    if not isfinite(weight) or weight == 0:
        raise _refused(text, place, told, "a finite number other than 0 as the weight")
    return weight


def _skip_spaces(text: str, place: int) -> int:
    return len(text) - len(text[place:].lstrip())


def _end_of_word(text: str, begin: int) -> int:
    operator = OPERATOR.search(text, begin)
    return len(text) if operator is None else operator.start()


def _end_of_uri(text: str, begin: int) -> int:
    """The first operator, or the end of the last part like `c.jpg` before another picture or a quoted word."""
    from devise.values import ENDINGS_READ  # pydantic takes longer to load than a word to be answered

    endings = tuple(f".{ending}" for ending in ENDINGS_READ)
    first = end = None
    part = begin
    for operator in [*OPERATOR.finditer(text, begin), None]:
        behind = len(text) if operator is None else operator.start()
        if first is None:
            first = end = behind
        elif text[part:behind].rstrip().lower().endswith(endings):
            end = behind
        if operator is None:
            break
        part = _skip_spaces(text, operator.end())
        told = WEIGHT.match(text, part)
        if text.startswith((IMAGE, '"'), told.end() if told else part):
            break
    return end


def _refused(text: str, place: int, found: str, wanted: str) -> VocabularyError:
    shown = f"found {_short(found)}" if found.strip() else "found nothing"
    return VocabularyError(f"{_named(text)}: {shown} at letter {min(place, len(text)) + 1:,}, wanted {wanted}")


def _named(text: str) -> str:
    return f"query {_short(text)}"


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
