"""What a file of word vectors is by its first bytes: format, dimension, words; the file itself is never read.

Packed heads are unpacked as far as they go: a head ends in the midst of its archive.
"""

import struct
import zlib
from dataclasses import dataclass

from devise.errors import VectorError
from devise.words.vectorfiles import BYTE_ORDER_MARK, GZIP_MAGIC, WANTED, ZIP_MAGIC, looks_like
from devise.words.vectorrows import SENTENCE_END, is_header
from devise.words.wordvectors import FASTTEXT_MAGIC, _is_word2vec_binary

HEAD_BYTES = 1 << 20
"""As much of a file is enough: a header and some hundred rows, or some ten thousand words of a fastText .bin."""
_ZIP_HEADER = struct.Struct("<4s5H3I2H")
"""PKWARE's APPNOTE 6.3.10, 4.3.7, local file header; method 0 is stored, 8 is Deflate."""


@dataclass(frozen=True)
class Head:
    """A file of word vectors by its first bytes.

    Attributes:
        kind: its format, for people.
        dim: numbers a word. n_words: as its header promises, None where there is none (GloVe).
        words: whole ones at the start, in order.
    """

    kind: str
    dim: int
    n_words: int | None
    words: list[str]


def read(start: bytes, name: str) -> Head:
    """The head of a file that begins with the bytes `start`, of which there may be more.

    Raises:
        VectorError: empty, or no word vectors by these bytes.
    """
    packed, content = _unpacked(start, name)
    content = content.removeprefix(BYTE_ORDER_MARK)
    if not content:
        raise VectorError(f"{name}: empty, wanted word vectors")
    if what := looks_like(content):
        raise VectorError(f"{name}: looks like {what}; {WANTED}")
    if content.startswith(FASTTEXT_MAGIC):
        return _fasttext(content, packed, name)
    first, _, rest = content.partition(b"\n")
    counts = first.split()
    if is_header(counts):
        n_words, dim = map(int, counts)
        if _is_word2vec_binary(content):
            return Head(f"word2vec .bin{packed}", dim, n_words, _binary_words(rest, dim))
        return Head(f"text with a header{packed}", dim, n_words, _text_words(rest, dim))
    dim = len(counts) - 1
    try:
        [float(part) for part in counts[1:]]
    except ValueError:
        dim = 0
    if dim < 1:
        raise VectorError(f"{name}, line 1: {first[:40]!r} is neither a `rows dim` header nor a word and its numbers")
    return Head(f"text without a header{packed}", dim, None, _text_words(content, dim))


def _unpacked(start: bytes, name: str) -> tuple[str, bytes]:
    packed = ""
    try:
        if start.startswith(ZIP_MAGIC):
            header = _ZIP_HEADER.unpack_from(start)
            method, begins = header[3], _ZIP_HEADER.size + header[9] + header[10]
            if method not in (0, 8):
                raise VectorError(f"{name}: packed by method {method}, wanted a .zip of stored or deflated files")
            packed = ", in a zip archive"
            start = zlib.decompressobj(-15).decompress(start[begins:]) if method else start[begins:]
        if start.startswith(GZIP_MAGIC):
            packed += ", gzipped"
            start = zlib.decompressobj(31).decompress(start)
    except (zlib.error, struct.error) as error:
        raise VectorError(f"{name}: torn or truncated: {error}") from None
    return packed, start


def _fasttext(content: bytes, packed: str, name: str) -> Head:
    """Layout: see `wordvectors._check_fasttext`; the words come behind 92 bytes of settings and counts."""
    try:
        dim, n_words = struct.unpack_from("<i", content, 8)[0], struct.unpack_from("<i", content, 68)[0]
    except struct.error:
        raise VectorError(f"{name}: torn or truncated fastText model of {len(content)} bytes") from None
    words, at = [], 92
    while len(words) < n_words and (end := content.find(b"\0", at)) >= 0:
        words.append(content[at:end].decode("utf-8", "replace"))
        at = end + 10
    return Head(f"fastText .bin{packed}", dim, n_words, [word for word in words if word != SENTENCE_END])


def _text_words(rows: bytes, dim: int) -> list[str]:
    lines = rows.split(b"\n")[:-1]  # the last is cut, or empty
    return [line.rstrip().rsplit(None, dim)[0].decode("utf-8", "replace") for line in lines if len(line.split()) > dim]


def _binary_words(rows: bytes, dim: int) -> list[str]:
    words, at = [], 0
    while (end := rows.find(b" ", at)) >= 0 and end + 1 + 4 * dim <= len(rows):
        words.append(rows[at:end].lstrip(b"\n").decode("utf-8", "replace"))
        at = end + 1 + 4 * dim
    return words
