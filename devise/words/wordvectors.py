"""Reads word vectors from the formats that fastText and word2vec write; it does not know what a noun or a label is."""

import contextlib
import mmap
import shutil
import struct
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from devise.errors import VectorError
from devise.words import vectorfiles
from devise.words.vectorrows import BLOCK_ROWS, CHUNK_BYTES, Rows, is_header, read_text, read_word2vec

FASTTEXT_MAGIC = struct.pack("<i", 793712314)
_CONTROL = bytes(set(range(32)) - set(b"\t\r\n"))


@dataclass
class WordVectors:
    """Words and their vectors as the file has them: raw, not made unit.

    Attributes:
        words: V distinct words, in file order; bytes that are no UTF-8 are replaced by U+FFFD.
        vectors: float32 (V, D), finite, no row all zero.
        subword: any text -> float32 (D,), zeros if made of no known part; only of a fastText .bin with subwords.
        n_duplicates: rows left out because their word came before (the first is kept).
        n_zero_rows: rows left out because every number is zero: they have no direction.
        n_rows: rows of the file, wanted or not.
        format: the layout of the file and what it was packed in, for a line of a log.
    """

    words: list[str]
    vectors: np.ndarray
    subword: Callable[[str], np.ndarray] | None = None
    n_duplicates: int = 0
    n_zero_rows: int = 0
    n_rows: int = 0
    format: str = ""

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def line(self) -> str:
        """What was read, for a log."""
        kept = f", {len(self.words):,} of them kept" * (len(self.words) < self.n_rows)
        return f"{self.format}: {self.n_rows:,} rows x {self.dim}{kept}"


def read(path: str | Path, wanted: Collection[str] | Callable[[str], bool] | None = None) -> WordVectors:
    """Word vectors of a file, its format told by content: fastText or word2vec, binary or text; plain, .gz, .zip.

    Text and word2vec files are streamed: memory is the wanted rows, a quarter on top while they grow, and a block of
    2,048 lines. A fastText .bin is loaded whole by its library. A .zip may hold one vector file, or a model's .bin and
    .vec under one name, of which the .bin is read. A byte order mark and fastText's sentence-end mark are left out.

    Args:
        wanted: words to keep, spelled as in the file, or a test of a word; None keeps all.

    Raises:
        VectorError: missing, empty or torn file, or one that is something else; a row of another dimension; a
            number that is none, NaN or infinite; a header that promises other rows than there are; a .zip that is
            locked, or with no or several vector files.
    """
    keep = wanted if callable(wanted) or wanted is None else frozenset(wanted).__contains__
    name = str(path)
    try:
        with contextlib.ExitStack() as stack:
            stream, packed = vectorfiles.unpack(name, stack)
            start = stream.peek(CHUNK_BYTES)
            if start.startswith(FASTTEXT_MAGIC):
                found = _read_fasttext(_on_disk(stream, name, stack), name, keep)
            else:
                rows = Rows(name, keep)
                layout = (read_word2vec if _is_word2vec_binary(start) else read_text)(stream, name, rows)
                found = _finished(rows, layout)
            found.format += packed
            return found
    except OSError as error:
        raise VectorError(f"{name}: {error.strerror or error}") from error


def _is_word2vec_binary(start: bytes) -> bool:
    """Whether the bytes after a `rows dim` header and the first word are floats rather than their digits.

    Floats have control bytes, text has none; by line ends alone one file in 200 would be taken for text, because a
    float may hold the byte of a line end. A first word of several parts, of any script, is text.
    """
    header, _, rest = start.partition(b"\n")
    counts = header.split()
    if not is_header(counts):
        return False
    numbers = rest.partition(b" ")[2][: 4 * int(counts[1])]
    line = numbers.partition(b"\n")[0].decode("utf-8", "replace")
    return len(numbers.translate(None, _CONTROL)) < len(numbers) or "\ufffd" in line[:-1]  # the last may be cut


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
    rows = Rows(name, keep)
    rows.dim, has_subwords = _check_fasttext(path, name)
    import fasttext

    try:
        model = fasttext.load_model(path)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise VectorError(f"{name}: {error}") from error
    # The library finds a word by its bytes alone, also those that are no UTF-8.
    spelled = [word.encode("utf-8", "surrogateescape") for word in model.get_words(on_unicode_error="surrogateescape")]
    rows.n_rows = len(spelled)
    kept = [(text, word) for word in spelled if (text := rows.wants(word)) is not None]
    for start in range(0, len(kept), BLOCK_ROWS):
        texts, words = zip(*kept[start : start + BLOCK_ROWS], strict=True)
        places = (f"word {number}" for number in range(start + 1, start + len(words) + 1))
        rows.add(list(texts), np.stack([model.get_word_vector(word) for word in words]), places)
    layout = "fastText's model" + ("" if has_subwords else " without subwords")
    return _finished(rows, layout, model.get_word_vector if has_subwords else None)


def _finished(rows: Rows, layout: str, subword: Callable[[str], np.ndarray] | None = None) -> WordVectors:
    vectors_VD = rows.finish()
    return WordVectors(rows.words, vectors_VD, subword, rows.n_duplicates, rows.n_zero_rows, rows.n_rows, layout)


def _check_fasttext(path: str, name: str) -> tuple[int, bool]:
    """Dimension, and whether there are subwords; the library itself reads a truncated file as garbage, or never ends.

    Layout: magic, version, 12 int32 and a double of settings; int32 words in all, words, labels, int64 tokens, pruned
    (-1: none); per word its bytes, a zero, int64 count, int8 kind; pruned pairs; two matrices.
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
            if _past_matrix(content, _past_matrix(content, at + 8 * max(pruned, 0))) == len(content):
                return settings[0], settings[10] > 0
        except (struct.error, IndexError, OverflowError):
            pass
        raise VectorError(f"{name}: torn or truncated fastText model of {len(content)} bytes")


def _past_matrix(content: mmap.mmap, at: int) -> int:
    """The offset behind a flag and its matrix.

    Layout: 0, int64 rows and columns, floats; or 1, a flag of norms, int64 rows and columns, int32 codes, a byte each,
    a quantizer, and with norms a byte a row and another quantizer: int32 dims and three more, 256 floats a dim.
    """
    quantised, at = content[at], at + 1
    if not quantised:
        n_rows, n_columns = struct.unpack_from("<qq", content, at)
        return at + 16 + 4 * n_rows * n_columns
    has_norms, n_rows, _, n_codes = struct.unpack_from("<?qqi", content, at)
    at += 21 + n_codes
    at += 16 + 1024 * struct.unpack_from("<i", content, at)[0]
    if has_norms:
        at += n_rows
        at += 16 + 1024 * struct.unpack_from("<i", content, at)[0]
    return at
