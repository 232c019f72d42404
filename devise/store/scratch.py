"""Local copies of files that live on S3: fetched once per host, whole, checked; local disk is scratch only.

The cache is a folder of this user's under TMPDIR. An entry is a folder with one file or several, and `.sums`, which
says what was fetched. A process checks every file of an entry before it first uses it: what cleaners of /tmp took, or
a full disk cut short, is fetched again. What was not used for an hour goes, the longest unused first, once all of it
takes more than half of the disk's room.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from devise.errors import StorageError
from devise.store import storage

SUMS, LOCK = ".sums", ".lock"
IN_USE_SECONDS = 3600
"""An entry asked for within this time stays: whoever asked may not have opened it yet."""
PARTIAL_SECONDS = 24 * 3600
"""What was begun to be fetched and is no entry yet is left by a killed process after this time."""
_checked: dict[Path, tuple[int, int, int]] = {}
"""Files that this process has found to be what was fetched: inode, size and mtime then."""


class Remote(NamedTuple):
    """A file to fetch: its URI, size, and the sha256 that it must have, or None where nothing promises one."""

    uri: str
    size_bytes: int
    sha256: str | None


def localise(uri: str, sha256: str | None = None) -> Path:
    """A local file with the content of `uri`: itself on file://, else fetched once per host and kept by etag.

    Raises:
        StorageError: missing, unreadable, or not the content that `sha256` promises.
    """
    found = storage.stat(uri)
    if found is None:
        raise StorageError(f"{uri}: no such file")
    if storage.is_local(uri):
        path = storage.local_path(uri)
        if sha256 is not None and (found_hash := hash_file(path)) != sha256:
            raise StorageError(f"{uri}: sha256 is {found_hash}, wanted {sha256}")
        return path
    key = hashlib.sha256(f"{uri} {found.etag} {sha256}".encode()).hexdigest()
    name = f"{key[:8]}-{uri.rsplit('/', 1)[-1][-60:]}"  # its end is kept, which tells the format; never a path
    return localise_folder(key, {name: Remote(uri, found.size_bytes, sha256)}) / name


def localise_table(uri: str) -> Path:
    """A local file or folder with what is at `uri`: one file, or a folder of a table's parts.

    Raises:
        StorageError: nothing is there, or it cannot be read.
    """
    if storage.is_local(uri) or storage.stat(uri) is not None:
        return localise(uri)
    folders, files = storage.list_level(uri)
    if folders := [folder for folder in folders if not folder.rsplit("/", 1)[-1].startswith(("_", "."))]:
        raise StorageError(f"{folders[0]}: a folder in a folder, wanted files alone, the parts of a table")
    parts = {name: file for file in files if not (name := file.uri.rsplit("/", 1)[-1]).startswith((".", "_"))}
    if not parts:
        raise StorageError(f"{uri}: no such file, and no folder with files in it")
    key = hashlib.sha256(" ".join(sorted(f"{file.uri} {file.etag}" for file in parts.values())).encode()).hexdigest()
    return localise_folder(key, {name: Remote(file.uri, file.size_bytes, None) for name, file in parts.items()})


def localise_folder(key: str, files: Mapping[str, Remote]) -> Path:
    """A local folder with these files, by their paths in it: fetched once per host and kept as `key`.

    Args:
        key: hex digits that stand for the content.
        files: relative path -> what to fetch. The caller has made sure that no path leads out of the folder.

    Raises:
        StorageError: a file cannot be fetched, or is not the content that its sha256 promises.
    """
    place = cache_folder() / key
    try:
        if place.exists() and not _is_sound(place):
            _drop_unsound(place)
        if not place.exists():
            _fetch(place, files)
        if not _is_sound(place):
            raise StorageError(f"{place}: what was just fetched cannot be read back; is the disk full?")
        os.utime(place)
    except OSError as error:
        raise StorageError(f"{place}: the local disk: {error.strerror or error}") from None
    return place


def cache_folder() -> Path:
    """This user's scratch folder on this host, for files fetched from S3.

    Raises:
        StorageError: it is no folder, is another user's, or others may write in it.
    """
    place = Path(tempfile.gettempdir()) / f"devise-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise StorageError(f"{place}: no folder for scratch: {error.strerror}") from None
    wanted = f"wanted a folder of user {os.getuid()} in which nobody else may write; remove it, or set TMPDIR"
    if not stat.S_ISDIR(found.st_mode):
        raise StorageError(f"{place}: found a link or a file, {wanted}")
    if found.st_uid != os.getuid():
        raise StorageError(f"{place}: found a folder of user {found.st_uid}, {wanted}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StorageError(f"{place}: found mode {stat.S_IMODE(found.st_mode):o}, {wanted}")
    return place


def hash_file(path: str | Path) -> str:
    """sha256 of a local file, 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def most_bytes(held_bytes: int) -> int:
    """How much the cache may hold: half of the room that its disk has without it."""
    return (shutil.disk_usage(cache_folder()).free + held_bytes) // 2


def _drop_unsound(place: Path) -> None:
    """Remove a damaged entry; under a lock, and judged once more: another process may have put a sound one there."""
    with open(cache_folder() / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists() and not _is_sound(place):
            print(f"{place}: not what was fetched; it is fetched again", file=sys.stderr, flush=True)
            shutil.rmtree(place)


def _fetch(place: Path, files: Mapping[str, Remote]) -> None:
    _make_room(sum(file.size_bytes for file in files.values()))
    partial = Path(tempfile.mkdtemp(prefix=".", dir=cache_folder()))
    try:
        sums = {name: _download(file, partial / name) for name, file in files.items()}
        (partial / SUMS).write_text(json.dumps(sums))
        with suppress(OSError):  # another process of this host was quicker; its files are the same
            os.rename(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(file: Remote, path: Path) -> str:
    """Fetch an object to a local file; its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.get_file(file.uri, path)
    found = hash_file(path)
    if file.sha256 is not None and found != file.sha256:
        raise StorageError(f"{file.uri}: sha256 is {found}, wanted {file.sha256}")
    return found


def _is_sound(place: Path) -> bool:
    """Whether an entry holds what was fetched; each file is read once in a process, unless it changed since."""
    try:
        sums = json.loads((place / SUMS).read_text())
        for name, sha256 in sums.items():
            path = place / name
            found = path.lstat()
            mark = (found.st_ino, found.st_size, found.st_mtime_ns)
            if not stat.S_ISREG(found.st_mode):
                return False
            if _checked.get(path) != mark:
                if hash_file(path) != sha256:
                    return False
                _checked[path] = mark
    except (OSError, ValueError):
        return False
    return True


def _make_room(n_bytes: int) -> None:
    """Remove entries that were not used for IN_USE_SECONDS, the longest unused first, until `n_bytes` more fit in."""
    now, entries = time.time(), []
    for path in cache_folder().iterdir():
        if path.name == LOCK:
            continue
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            entries.append((path.lstat().st_mtime, sum(file.lstat().st_size for file in files), path))
    held = sum(size for _, size, _ in entries)
    most = most_bytes(held)
    for used_at, size, path in sorted(entries):
        if held + n_bytes <= most or now - used_at < IN_USE_SECONDS:
            return
        if path.name.startswith(".") and now - used_at < PARTIAL_SECONDS:  # a long download, still under way
            continue
        gone = path.with_name(f".{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):
            os.rename(path, gone)  # an entry is whole or not there
            shutil.rmtree(gone, ignore_errors=True) if gone.is_dir() else gone.unlink()
            held -= size
