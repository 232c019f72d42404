"""Rows of word vectors streamed out of text and word2vec files, only the wanted ones kept; it opens no files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from devise.errors import VectorError

SENTENCE_END = "</s>"
BLOCK_ROWS = 2048
CHUNK_BYTES = 1 << 20
MOST_LINE_BYTES = 1 << 26
"""A longer line, or word of a word2vec file, is none: a small archive may unpack to many GB without a line end."""


@dataclass
class Rows:
    """The rows kept so far; the array grows in place by a quarter, so that memory follows what is kept."""

    name: str
    keep: Callable[[str], bool] | None
    dim: int = 0
    words: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    vectors: np.ndarray | None = None
    n_rows: int = 0
    """Rows of the file, whether wanted or not."""
    n_duplicates: int = 0
    n_zero_rows: int = 0

    def wants(self, word: bytes) -> str | None:
        """The word as text if its row is to be kept."""
        text = word.decode("utf-8", "replace")
        if text == SENTENCE_END or (self.keep is not None and not self.keep(text)):
            return None
        if text in self.seen:
            self.n_duplicates += 1
            return None
        self.seen.add(text)
        return text

    def add(self, words: list[str], block_ND: np.ndarray, places: Iterable[object]) -> None:
        """Keep a block; `places` says where each row stands, for an error's one line."""
        finite = np.isfinite(block_ND).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise VectorError(f"{self.name}, {list(places)[row]}: {words[row]!r} has a NaN or infinite number")
        zero = ~block_ND.any(axis=1)
        self.n_zero_rows += int(zero.sum())
        if zero.any():
            words, block_ND = (
                [word for word, left_out in zip(words, zero, strict=True) if not left_out],
                block_ND[~zero],
            )
        if self.vectors is None:
            self.vectors = np.empty((0, self.dim), np.float32)
        have, need = len(self.words), len(self.words) + len(words)
        if need > len(self.vectors):
            self.vectors.resize((max(need, len(self.vectors) * 5 // 4), self.dim), refcheck=False)
        self.vectors[have:need] = block_ND
        self.words += words

    def finish(self) -> np.ndarray:
        """The vectors of `words`, cut to their number: float32 (V, D)."""
        vectors = np.empty((0, self.dim), np.float32) if self.vectors is None else self.vectors
        vectors.resize((len(self.words), self.dim), refcheck=False)
        return vectors


def is_header(counts: list[bytes]) -> bool:
    """Whether the parts of a line are the `rows dim` that fastText and word2vec write first."""
    return len(counts) == 2 and all(count.isdigit() and len(count) <= 18 for count in counts)


def read_text(stream: BinaryIO, name: str, rows: Rows) -> str:
    """Read lines of a word and its numbers, with or without a header; returns the name of the layout."""
    first = stream.readline(MOST_LINE_BYTES)
    counts = first.split()
    if is_header(counts):
        promised, rows.dim = int(counts[0]), int(counts[1])
        lines = enumerate(_lines(stream, name), start=2)
    else:  # GloVe's text has no header
        promised, rows.dim = None, len(counts) - 1
        lines = enumerate(chain([first], _lines(stream, name)), start=1)
    if rows.dim < 1 or not (promised is not None or all(_is_number(part) for part in counts[1:])):
        raise VectorError(f"{name}, line 1: {first[:40]!r} is neither a `rows dim` header nor a word and its numbers")
    n_rows = 0
    words, numbers, places = [], [], []
    for number, line in lines:
        row = line.rstrip(b" \t\r\n")
        if not row:
            continue
        n_rows += 1
        word, digits = _split(row, rows.dim, name, number)
        text = rows.wants(word)
        if text is None:
            continue
        words.append(text)
        numbers.append(digits)
        places.append(number)
        if len(words) == BLOCK_ROWS:
            rows.add(words, _parse(numbers, rows.dim, name, places), (f"line {place}" for place in places))
            words, numbers, places = [], [], []
    if words:
        rows.add(words, _parse(numbers, rows.dim, name, places), (f"line {place}" for place in places))
    if n_rows == 0 or (promised is not None and n_rows != promised):
        raise VectorError(f"{name}: found {n_rows} rows, wanted {promised or 'some'} as the header says")
    rows.n_rows = n_rows
    return "GloVe's text, without a header" if promised is None else "fastText's text"


def _lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    for line in iter(partial(stream.readline, MOST_LINE_BYTES), b""):
        if len(line) == MOST_LINE_BYTES:
            raise VectorError(
                f"{name}: found a line of {MOST_LINE_BYTES:,} bytes or more, wanted a word and its numbers"
            )
        yield line


def _split(row: bytes, dim: int, name: str, number: int) -> tuple[bytes, bytes]:
    """Word and numbers of a line, one ' ' or tab between two.

    A word may hold spaces (it is read from the right), but no numbers.
    """
    row = row.replace(b"\t", b" ")
    n_numbers = row.count(b" ")
    if n_numbers == dim:
        word, _, numbers = row.partition(b" ")
        return word, numbers
    if n_numbers > dim:
        word, *numbers = row.rsplit(b" ", dim)
        if not all(_is_number(part) for part in word.split(b" ")[1:]):
            return word, b" ".join(numbers)
    raise VectorError(f"{name}, line {number}: found {n_numbers} numbers, wanted {dim}")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(numbers: list[bytes], dim: int, name: str, places: list[int]) -> np.ndarray:
    """float32 (N, D) of N lines of numbers, by Arrow's reader: several times as fast as Python's float."""
    content = b"\n".join(numbers)
    columns = [str(column) for column in range(dim)]
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(content),
            pa.csv.ReadOptions(column_names=columns, block_size=len(content) + 1),
            pa.csv.ParseOptions(delimiter=" ", quote_char=False),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.float32()), null_values=[]),
        )
    except pa.ArrowInvalid as error:
        for line, place in zip(numbers, places, strict=True):
            if bad := [part for part in line.split(b" ") if not _is_number(part)]:
                text = bad[0].decode("utf-8", "replace")
                raise VectorError(f"{name}, line {place}: {text!r} is not a number") from error
        raise VectorError(f"{name}, lines {places[0]} to {places[-1]}: {error}") from error
    return np.column_stack([column.to_numpy() for column in table.columns])


def read_word2vec(stream: BinaryIO, name: str, rows: Rows) -> str:
    """Read a header, then each word with its floats; returns the name of the layout."""
    n_rows, rows.dim = (int(count) for count in stream.readline().split())
    width = 4 * rows.dim
    buffer, at = b"", 0
    for number in range(1, n_rows + 1):
        while (end := buffer.find(b" ", at)) < 0 or len(buffer) < end + 1 + width:
            if end < 0 and len(buffer) - at > MOST_LINE_BYTES:
                raise VectorError(f"{name}, row {number}: found a word of {MOST_LINE_BYTES:,} bytes or more")
            more = stream.read(max(CHUNK_BYTES, len(buffer)))  # twice as much each time: a row may be GBs by its header
            if not more:
                raise VectorError(f"{name}: ends within row {number} of the {n_rows} that its header promises")
            buffer, at = buffer[at:] + more, 0
        text = rows.wants(buffer[at:end].lstrip(b"\n"))
        if text is not None:
            vector_D = np.frombuffer(buffer, "<f4", rows.dim, end + 1)
            rows.add([text], vector_D[None, :], [f"row {number}"])
        at = end + 1 + width
    if (buffer[at:] + stream.read(8)).strip():
        raise VectorError(f"{name}: goes on after the {n_rows} rows of {rows.dim} numbers that its header promises")
    rows.n_rows = n_rows
    return "word2vec's binary"
