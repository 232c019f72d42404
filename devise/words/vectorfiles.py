"""Opens a file of word vectors, out of its archive, and says what it is instead where it is none; parses no rows."""

import contextlib
import errno
import gzip
import io
import lzma
import re
import shlex
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from devise.errors import VectorError

CHUNK_BYTES = 1 << 20
GZIP_MAGIC, ZIP_MAGIC = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WANTED = "wanted word vectors: fastText .bin or .vec, GloVe text or word2vec .bin, plain, .gz or .zip"
# What the standard library's readers of archives are known to raise on torn or crafted ones.
_TORN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile, struct.error, ValueError)
_LOOKS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what)
    for pattern, what in (
        (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "a bzip2 archive: unpack it"),
        (rb"\xfd7zXZ\0", "an xz archive: unpack it"),
        (rb"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it"),
        (rb"\x04\x22\x4d\x18", "an LZ4 archive: unpack it"),
        (rb"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
        (rb"Rar!\x1a\x07", "a RAR archive: unpack it"),
        (rb"\x1f\x8b", "a gzip archive inside another: unpack one"),
        (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive inside another: unpack one"),
        (rb".{257}ustar", "a tar archive: unpack it"),
        (rb"\x93NUMPY", "a NumPy array (.npy), which has no words"),
        (rb"\x80[\x02-\x05]", "a Python pickle, which is never read: save the vectors as text or word2vec .bin"),
        (rb"\x89HDF\r\n", "an HDF5 file"),
        (rb"PAR1[\x15\x19]", "a Parquet file"),
        (rb"%PDF-\d", "a PDF document"),
        (rb"(\xff\xd8\xff|\x89PNG\r\n)", "a picture"),
        (
            rb"(\xff\xfe|\xfe\xff|\0\0\xfe\xff|[!-~]\0[ -~]\0|\0[!-~]\0[ -~])",
            "text in UTF-16 or UTF-32: save it as UTF-8",
        ),
        (rb"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` brings the file itself"),
        (rb"\s*<(!doctype\s+html|html|head|\?xml)\b", "a web page: the download was answered by something else"),
        (rb'\s*(\{\s*"|\[\s*[\[{"])', "JSON"),
    )
)
"""Beginnings of what people have handed in for word vectors: none of them is a word, a space and a number."""


def unpack(name: str, stack: contextlib.ExitStack) -> tuple[io.BufferedReader, str]:
    """The content of a file, or of the one file of vectors in its .gz or .zip, as a stream that `stack` closes.

    Beside it, how it was packed, for a line of a log: `, in gzip`, `, wiki.en.bin in zip`, or ''. A byte order mark is
    passed over. What the archives' readers raise, here or while the stream is read, is one line.

    Raises:
        VectorError: an archive that is torn, locked, packed by a method that is not known here, or that holds no or
            several files of vectors; the content is something else by its first bytes.
    """
    packed = ""
    stream = stack.enter_context(open(name, "rb"))  # noqa: SIM115  the stack closes it
    if stream.peek(4).startswith(ZIP_MAGIC):
        with _archive_faults(name):
            archive = stack.enter_context(zipfile.ZipFile(stream))
            member = _member(name, archive)
            packed = f", {member} in zip"
            stream = _buffered(name, stack.enter_context(archive.open(member)))
    if stream.peek(4).startswith(GZIP_MAGIC):
        packed = packed or ", in gzip"
        stream = _buffered(name, stack.enter_context(gzip.GzipFile(fileobj=stream)))
    start = stream.peek(CHUNK_BYTES)
    if start.startswith(BYTE_ORDER_MARK):
        stream.read(len(BYTE_ORDER_MARK))
        start = start[len(BYTE_ORDER_MARK) :]
    if not start:
        raise VectorError(f"{name}: empty, wanted word vectors")
    if what := looks_like(start):
        raise VectorError(f"{name}: looks like {what}; {WANTED}")
    return stream, packed


def looks_like(start: bytes) -> str | None:
    """What a file is by its first bytes, where they are those of something that is no word vectors; else None."""
    return next((what for pattern, what in _LOOKS if pattern.match(start)), None)


class _Unpacked(io.RawIOBase):
    """A member of an archive, whose faults are ours."""

    def __init__(self, name: str, packed: io.BufferedIOBase):
        self._name, self._packed = name, packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        with _archive_faults(self._name):
            found = self._packed.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def _buffered(name: str, packed: io.BufferedIOBase) -> io.BufferedReader:
    return io.BufferedReader(_Unpacked(name, packed), CHUNK_BYTES)


def _member(name: str, archive: zipfile.ZipFile) -> str:
    members = [member for member in archive.namelist() if not member.endswith("/") and "__MACOSX" not in member]
    vectors = [member for member in members if member.endswith((".bin", ".vec", ".txt", ".vec.gz", ".bin.gz"))]
    if len(vectors) > 1 and {member.rsplit(".", 1)[0] for member in vectors} == {vectors[0].rsplit(".", 1)[0]}:
        vectors = [member for member in vectors if member.endswith(".bin")]
    if len(vectors) > 1:
        listed = ", ".join(vectors[:6]) + ", .." * (len(vectors) > 6)
        raise VectorError(
            f"{name}: holds {len(vectors)} files of word vectors, {listed}; wanted one: take out the one you want, "
            f"`unzip {shlex.quote(Path(name).name)} {shlex.quote(vectors[-1])}`, and name that file"
        )
    if not vectors:
        raise VectorError(f"{name}: holds {members[:6]}, wanted word vectors: .bin, .vec, .txt or their .gz")
    return vectors[0]


@contextlib.contextmanager
def _archive_faults(name: str) -> Iterator[None]:
    try:
        yield
    except VectorError:
        raise
    except NotImplementedError as error:  # a RuntimeError too, so it comes first
        raise VectorError(
            f"{name}: packed in a way that is not read here: {error}; pack it anew, or unpack it"
        ) from None
    except RuntimeError as error:
        raise VectorError(f"{name}: {error}; wanted an archive without a password") from None
    except (*_TORN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: sent to before the start
            raise  # of the disk
        raise VectorError(f"{name}: torn or truncated: {error or type(error).__name__}") from None
