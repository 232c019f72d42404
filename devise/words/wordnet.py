"""Reads WordNet's own files, data.noun and index.noun, as Princeton's releases have them; opens none itself.

Layout (wndb(5WN), a manual page of the releases): a licence in lines that begin with two spaces, then a synset a line,
`offset lex_filenum ss_type w_cnt word lex_id.. p_cnt symbol offset pos source/target.. | gloss`, w_cnt in hexadecimal.
index.noun has a lemma a line, `lemma pos synset_cnt p_cnt symbol.. sense_cnt tagsense_cnt offset..`: the most used
sense comes first.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from devise.errors import VocabularyError
from devise.words.hierarchy import Hierarchy
from devise.words.nouns import fold
from devise.words.parcels import Piece

_LICENCE = rb"\A(?:\xef\xbb\xbf)?(?:  [^\n]*\n)*"
_DATA = re.compile(_LICENCE + rb"\d{8} \d\d ([nvasr]) [0-9a-f]{2} \S+ [0-9a-f] ")
_INDEX = re.compile(_LICENCE + rb"\S+ ([nvar]) \d+ \d+ (?:\S{1,2} )*\d+ \d+ \d{8}\b")
_VERSION = re.compile(rb"WordNet (\d\.\d) Copyright")
HYPERNYMS = ("@", "@i")
WITH_WNIDS = "3.0"
"""The release whose offsets are ImageNet's wnids (https://image-net.org, API documentation); the others' are not."""


def is_nouns(head: bytes) -> bool:
    """Whether a file that begins so is a data.noun."""
    return _kind(_DATA, head) == b"n"


def looks_like(head: bytes) -> str | None:
    """Which of WordNet's other files begins so, for an error; None if none does."""
    if (kind := _kind(_DATA, head)) and kind != b"n":
        return f"WordNet's synsets of kind {kind.decode()}"
    return "WordNet's index, which has no hypernyms" if _kind(_INDEX, head) else None


def read(data: Piece, beside: Sequence[Piece] = ()) -> Hierarchy:
    """The nouns of a data.noun, in its order; of an index.noun among the files `beside` it, the order of senses.

    Ids are n and the offset where the licence says WordNet 3.0: those are ImageNet's wnids. Offsets of another release
    must not look like them: of the 446 that 3.1 shares with 3.0, 428 are of another synset. They are written as Open
    English WordNet writes them, 02086723-n, whose ids are the offsets of 3.1. A definition is a gloss without examples.

    Raises:
        TableError: a file that cannot be read or is no text.
        VocabularyError: a line that is no synset of a noun, or a synset twice.
    """
    version = _VERSION.search(data.head)
    release = version.group(1).decode() if version else ""
    form = "n{}".format if release == WITH_WNIDS else "{}-n".format
    members: dict[str, list[str]] = {}
    hypernyms: dict[str, list[str]] = {}
    definitions: dict[str, str] = {}
    for number, line in _lines(data):
        if line.startswith("  ") or not line.strip():
            continue
        try:
            offset, words, above, gloss = _synset(line)
        except (ValueError, IndexError) as error:
            raise VocabularyError(
                f"{data.name}, line {number}: {line[:40]!r} is no synset of a noun: {error}; truncated?"
            ) from None
        if (synset := form(offset)) in members:
            raise VocabularyError(f"{data.name}, line {number}: found the synset {synset} twice, wanted each once")
        members[synset], hypernyms[synset] = words, [form(parent) for parent in above]
        definitions[synset] = gloss
    index = next((piece for piece in beside if _kind(_INDEX, piece.head) == b"n"), None)
    senses = _read_senses(index, form) if index else {}
    name = " ".join(("WordNet", release, "data.noun")) if release else "WordNet data.noun, no release named"
    return Hierarchy(members, hypernyms, definitions, senses, name + ", senses by index.noun" * bool(index))


def _kind(pattern: re.Pattern[bytes], head: bytes) -> bytes | None:
    found = pattern.match(head)
    return found.group(1) if found else None


def _lines(piece: Piece) -> Iterable[tuple[int, str]]:
    """The lines with their numbers; the releases end in a line end, what was cut off does not."""
    text = piece.read_text()
    if not text.endswith("\n"):
        raise VocabularyError(f"{piece.name}: ends with {text[-40:]!r} and no line end; truncated?")
    return enumerate(text.split("\n"), start=1)


def _synset(line: str) -> tuple[str, list[str], list[str], str]:
    """Offset, words, hypernyms' offsets and definition of a line."""
    fields, bar, gloss = line.partition(" | ")
    offset, _, kind, n_words, *rest = fields.split()
    if kind != "n" or len(offset) != 8 or not bar:
        raise ValueError(f"found {offset!r} of kind {kind!r}, wanted 8 digits, kind n and a gloss")
    end = 2 * int(n_words, 16)
    words, pointers = rest[:end:2], rest[end + 1 :]
    if len(pointers) != 4 * int(rest[end]):
        raise ValueError(f"found {len(pointers)} parts of pointers, wanted 4 for each of {rest[end]}")
    above = [target for symbol, target in zip(pointers[::4], pointers[1::4], strict=True) if symbol in HYPERNYMS]
    return offset, [word.replace("_", " ") for word in words], above, gloss.split('; "')[0].strip()


def _read_senses(index: Piece, form: Callable[[str], str]) -> dict[str, list[str]]:
    """Folded word -> its synsets, the most used first; words of one synset are left out, there is nothing to order."""
    senses: dict[str, list[str]] = {}
    for number, line in _lines(index):
        if line.startswith("  ") or not line.strip():
            continue
        lemma, *rest = line.split()
        n_senses = rest[1] if len(rest) > 1 and rest[1].isdigit() else "0"
        offsets = rest[-int(n_senses) :]
        if not int(n_senses) or not all(len(offset) == 8 and offset.isdigit() for offset in offsets):
            raise VocabularyError(
                f"{index.name}, line {number}: {line[:40]!r} is no lemma with its synsets; truncated?"
            )
        if len(offsets) > 1:
            senses.setdefault(fold(lemma), []).extend(map(form, offsets))
    return senses
