"""What is published as one thing: a file, plain or gzipped, or a folder or archive of files; it knows no formats."""

import contextlib
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from devise.errors import TableError
from devise.words.texttables import MARKS_OF_WRITERS, decode

HEAD_BYTES = 1 << 13
"""WordNet's licence takes 1,740 of them before the first synset."""
_FAULTS = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, struct.error)
# RuntimeError is zipfile's word for a password, and NotImplementedError, one of its kind, for an unknown method.


@dataclass(frozen=True)
class Piece:
    """One file of a parcel, unpacked.

    Attributes:
        name: the parcel's path, and the file's within it; for errors.
        head: its first 8 KiB.
    """

    name: str
    head: bytes
    _stream: Callable[[contextlib.ExitStack], BinaryIO]

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Its content; what the readers of archives raise meanwhile is `TableError`."""
        with _faults(self.name), contextlib.ExitStack() as stack:
            yield _unzipped(self._stream(stack), stack)[0]

    def read_text(self) -> str:
        """Its content by its byte order mark, else as UTF-8; `TableError` if it is no text or cannot be read."""
        with self.open() as stream:
            content = stream.read()
        return decode(content, self.name)


@dataclass(frozen=True)
class Parcel:
    """The pieces of a path, in order of name, and what they were wrapped in: `gzip`, `zip`, `tar`, `folder` or ''."""

    pieces: list[Piece]
    wrapping: str

    @property
    def is_archive(self) -> bool:
        return self.wrapping in ("zip", "tar")

    def names(self) -> str:
        """The first few, for an error's line."""
        names = [piece.name.rsplit("/", 1)[-1] for piece in self.pieces]
        return f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}" or "no files"


def look(path: str | Path) -> Parcel:
    """The files at `path`, their first bytes read; in a folder those of its own level, in an archive those of all.

    Raises:
        TableError: nothing is there, or an archive is torn, locked or packed in a way that is not read here.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.is_file() and _counts(entry.name))
        return Parcel([_piece(str(file), partial(_file, file)) for file in files], "folder")
    with _faults(path), contextlib.ExitStack() as stack:
        stream, packed = _unzipped(_file(path, stack), stack)
        head = stream.read(HEAD_BYTES)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not packed:
        with _faults(path), zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and _counts(name)]
        return Parcel([_piece(f"{path}/{name}", partial(_of_zip, path, name)) for name in sorted(names)], "zip")
    if head[257:262] == b"ustar":
        return Parcel(sorted(_of_tar(path), key=lambda piece: piece.name), "tar")
    return Parcel([Piece(str(path), head, partial(_file, path))], "gzip" if packed else "")


def _counts(name: str) -> bool:
    return not any(part.startswith(MARKS_OF_WRITERS) for part in name.split("/") if part not in (".", ".."))


def _piece(name: str, stream: Callable[[contextlib.ExitStack], BinaryIO]) -> Piece:
    with Piece(name, b"", stream).open() as content:
        return Piece(name, content.read(HEAD_BYTES), stream)


def _file(path: Path, stack: contextlib.ExitStack) -> BinaryIO:
    return stack.enter_context(path.open("rb"))


def _of_zip(path: Path, name: str, stack: contextlib.ExitStack) -> BinaryIO:
    return stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open(name))


def _of_tar(path: Path) -> list[Piece]:
    """The files of a tar; all heads in one pass, because its compression has to be undone from the start each time."""

    def open_one(name: str, stack: contextlib.ExitStack) -> BinaryIO:
        return stack.enter_context(stack.enter_context(tarfile.open(path)).extractfile(name))

    found = []
    with _faults(path), tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _counts(member.name):
                with contextlib.ExitStack() as stack:
                    head = _unzipped(stack.enter_context(archive.extractfile(member)), stack)[0].read(HEAD_BYTES)
                found.append(Piece(f"{path}/{member.name}", head, partial(open_one, member.name)))
        # The library takes a file that ends early for a whole one, unless it is in the middle of a member.
        if archive.fileobj.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise tarfile.TarError("it ends before its end mark")
    return found


def _unzipped(stream: BinaryIO, stack: contextlib.ExitStack) -> tuple[BinaryIO, bool]:
    """The stream, out of its gzip if it is one, and whether it was."""
    buffered = io.BufferedReader(stream) if not isinstance(stream, io.BufferedReader) else stream
    if buffered.peek(2)[:2] != b"\x1f\x8b":
        return buffered, False
    return stack.enter_context(gzip.GzipFile(fileobj=buffered)), True


@contextlib.contextmanager
def _faults(name: str | Path) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:
        raise TableError(f"{name}: packed in a way that is not read here: {error}; unpack it") from None
    except RuntimeError as error:
        raise TableError(f"{name}: cannot be read: {error}; wanted an archive without a password") from None
    except (*_FAULTS, OSError) as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise TableError(f"{name}: cannot be read: {reason}") from None
