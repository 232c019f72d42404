"""Reads word vectors from the formats that fastText and word2vec write; it does not know what a noun or a label is."""

import contextlib
import gzip
import io
import mmap
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from devise.errors import VectorError

FASTTEXT_MAGIC = struct.pack("<i", 793712314)
GZIP_MAGIC, ZIP_MAGIC = b"\x1f\x8b", b"PK"
SENTENCE_END = "</s>"
BLOCK_ROWS = 2048
CHUNK_BYTES = 1 << 20
_TORN = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


@dataclass
class WordVectors:
    """Words and their vectors as the file has them: raw, not made unit.

    Attributes:
        words: V distinct words, in file order; bytes that are no UTF-8 are replaced by U+FFFD.
        vectors: float32 (V, D), finite, no row all zero.
        subword: any text -> float32 (D,), zeros if it is made of no known part; only from a fastText .bin with subwords.
        n_duplicates: rows left out because their word came before (the first is kept).
        n_zero_rows: rows left out because every number is zero: they have no direction.
    """

    words: list[str]
    vectors: np.ndarray
    subword: Callable[[str], np.ndarray] | None = None
    n_duplicates: int = 0
    n_zero_rows: int = 0

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]


def read(path: str | Path, wanted: Collection[str] | Callable[[str], bool] | None = None) -> WordVectors:
    """Word vectors of a file, its format told by content: fastText .bin or text, word2vec .bin or text; plain, .gz, .zip.

    Text and word2vec files are streamed: memory is the wanted rows, a quarter on top while they grow, and a block of
    2,048 lines. A fastText .bin is loaded whole by its library. A .zip may hold one vector file, or a model's .bin and
    .vec under one name, of which the .bin is read. The sentence-end mark of fastText is left out.

    Args:
        wanted: words to keep, spelled as in the file, or a test of a word; None keeps all.

    Raises:
        VectorError: missing, empty or torn file; a row of another dimension; a number that is none, NaN or infinite;
            a header that promises other rows than there are; a .zip with no or several vector files.
    """
    keep = wanted if callable(wanted) or wanted is None else frozenset(wanted).__contains__
    name = str(path)
    try:
        with contextlib.ExitStack() as stack:
            stream = _unwrap(name, stack)
            start = stream.peek(CHUNK_BYTES)
            if not start:
                raise VectorError(f"{name}: empty, wanted word vectors")
            if start.startswith(FASTTEXT_MAGIC):
                return _read_fasttext(_on_disk(stream, name, stack), name, keep)
            rows = _Rows(name, keep)
            (_word2vec_rows if _is_word2vec_binary(start) else _text_rows)(stream, name, rows)
            return rows.finish()
    except _TORN as error:
        raise VectorError(f"{name}: torn or truncated: {error}") from error
    except OSError as error:
        raise VectorError(f"{name}: {error.strerror or error}") from error


def _unwrap(name: str, stack: contextlib.ExitStack) -> io.BufferedReader:
    stream = stack.enter_context(open(name, "rb"))
    if stream.peek(4).startswith(ZIP_MAGIC):
        archive = stack.enter_context(zipfile.ZipFile(stream))
        members = [member for member in archive.namelist() if not member.endswith("/") and "__MACOSX" not in member]
        vectors = [member for member in members if member.endswith((".bin", ".vec", ".txt", ".vec.gz", ".bin.gz"))]
        if len(vectors) > 1 and {member.rsplit(".", 1)[0] for member in vectors} == {vectors[0].rsplit(".", 1)[0]}:
            vectors = [member for member in vectors if member.endswith(".bin")]
        if len(vectors) != 1:
            raise VectorError(f"{name}: holds {vectors or members}, wanted one file of word vectors")
        stream = io.BufferedReader(stack.enter_context(archive.open(vectors[0])), CHUNK_BYTES)
    if stream.peek(4).startswith(GZIP_MAGIC):
        stream = io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=stream)), CHUNK_BYTES)
    return stream


def _is_word2vec_binary(start: bytes) -> bool:
    """Whether the bytes after a `rows dim` header and the first word are floats rather than their digits."""
    header, _, rest = start.partition(b"\n")
    counts = header.split()
    if len(counts) != 2 or not all(count.isdigit() for count in counts):
        return False
    numbers = rest.partition(b" ")[2][: 4 * int(counts[1])]
    return bool(numbers.translate(None, b"0123456789+-.eE infaINFA\r\n")) and not numbers.partition(b"\n")[0].isascii()


@dataclass
class _Rows:
    """The rows kept so far; the array grows in place by a quarter, so that memory follows what is kept."""

    name: str
    keep: Callable[[str], bool] | None
    dim: int = 0
    words: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    vectors: np.ndarray | None = None
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

    def finish(self, subword: Callable[[str], np.ndarray] | None = None) -> WordVectors:
        vectors = np.empty((0, self.dim), np.float32) if self.vectors is None else self.vectors
        vectors.resize((len(self.words), self.dim), refcheck=False)
        return WordVectors(self.words, vectors, subword, self.n_duplicates, self.n_zero_rows)


def _text_rows(stream: BinaryIO, name: str, rows: _Rows) -> None:
    first = stream.readline()
    counts = first.split()
    if len(counts) == 2 and all(count.isdigit() for count in counts):
        promised, rows.dim = int(counts[0]), int(counts[1])
        lines = enumerate(stream, start=2)
    else:  # GloVe's text has no header
        promised, rows.dim = None, len(counts) - 1
        lines = enumerate(_chain(first, stream), start=1)
    if rows.dim < 1:
        raise VectorError(f"{name}, line 1: {first[:40]!r} is neither a `rows dim` header nor a word and its numbers")
    n_rows = 0
    words, numbers, places = [], [], []
    for number, line in lines:
        row = line.rstrip(b" \r\n")
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


def _chain(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    yield first
    yield from stream


def _split(row: bytes, dim: int, name: str, number: int) -> tuple[bytes, bytes]:
    """Word and numbers of a line. A word may hold spaces (only ' ' separates, read from the right), but no numbers."""
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


def _word2vec_rows(stream: BinaryIO, name: str, rows: _Rows) -> None:
    n_rows, rows.dim = (int(count) for count in stream.readline().split())
    width = 4 * rows.dim
    buffer, at = b"", 0
    for number in range(1, n_rows + 1):
        while (end := buffer.find(b" ", at)) < 0 or len(buffer) < end + 1 + width:
            more = stream.read(CHUNK_BYTES)
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


def _on_disk(stream: BinaryIO, name: str, stack: contextlib.ExitStack) -> str:
    """A path that the fastText library can open: the file itself, or its unpacked copy."""
    with open(name, "rb") as file:
        if file.read(4) == FASTTEXT_MAGIC:
            return name
    unpacked = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "vectors.bin"
    with unpacked.open("wb") as file:
        shutil.copyfileobj(stream, file, CHUNK_BYTES)
    return str(unpacked)


def _read_fasttext(path: str, name: str, keep: Callable[[str], bool] | None) -> WordVectors:
    rows = _Rows(name, keep)
    rows.dim, has_subwords = _check_fasttext(path, name)
    import fasttext

    try:
        model = fasttext.load_model(path)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise VectorError(f"{name}: {error}") from error
    words = [text for word in model.get_words(on_unicode_error="replace") if (text := rows.wants(word.encode()))]
    for start in range(0, len(words), BLOCK_ROWS):
        block = words[start : start + BLOCK_ROWS]
        rows.add(block, np.stack([model.get_word_vector(word) for word in block]), block)
    return rows.finish(model.get_word_vector if has_subwords else None)


def _check_fasttext(path: str, name: str) -> tuple[int, bool]:
    """Dimension, and whether there are subwords; the library itself reads a truncated file as garbage, or never ends.

    Layout: magic, version, 12 int32 and a double of settings; int32 words in all, words, labels, int64 tokens, pruned
    (-1: none); per word its bytes, a zero, int64 count, int8 kind; pruned pairs; a flag and the matrix, twice.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            settings = struct.unpack_from("<12i", content, 8)
            n_words, pruned = struct.unpack_from("<i", content, 64)[0], struct.unpack_from("<q", content, 84)[0]
            at = 92
            for _ in range(n_words):
                at = content.find(b"\0", at) + 10
                if at < 10:
                    raise struct.error
            at += 8 * max(pruned, 0)
            while (quantised := content[at]) == 0 and at < len(content):
                n_rows, n_columns = struct.unpack_from("<qq", content, at + 1)
                at += 17 + 4 * n_rows * n_columns
                if at == len(content):
                    return settings[0], settings[10] > 0
            if quantised == 1:
                return settings[0], settings[10] > 0
        except (struct.error, IndexError):
            pass
        raise VectorError(f"{name}: truncated fastText model of {len(content)} bytes")
