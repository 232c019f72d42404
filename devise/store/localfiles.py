"""Files of the local file system: only `storage` uses it, and only for file:// URIs; errors are Python's own."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def etag(found: os.stat_result) -> str:
    """The tag of a file's content: size and mtime in ns."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def read(path: Path) -> tuple[bytes, str]:
    """The content and its tag."""
    with open(path, "rb") as file:
        return file.read(), etag(os.fstat(file.fileno()))


def write(path: Path, content: bytes) -> None:
    """Write or overwrite, whole or not at all."""
    os.replace(_temporary(path, content), path)


def create(path: Path, content: bytes) -> bool:
    """Write whole, only if nothing is there; whether it was so."""
    temporary = _temporary(path, content)
    try:
        os.link(temporary, path)  # atomic, and fails if the name is taken
        return True
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)


def replace(path: Path, content: bytes, expected: str) -> bool:
    """Overwrite if the tag of what is there is `expected`; whether it was."""
    if not path.parent.exists():
        return False
    folder = os.open(path.parent, os.O_RDONLY)  # itself the lock: a file for it would lie among what others read
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not path.exists() or etag(path.stat()) != expected:
            return False
        os.replace(_temporary(path, content), path)
        return True
    finally:
        os.close(folder)


def copy(source: str | Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def walk(folder: Path, links: bool = True) -> Iterator[tuple[str, os.stat_result]]:
    """Path of every file below a folder, and what is known of it, in no promised order.

    Args:
        links: False keeps to the folder: a link in it is passed over.
    """
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=links):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=links):
                    try:
                        found = entry.stat()
                    except FileNotFoundError:  # removed since the folder was read
                        continue
                    yield entry.path, found


def level(folder: Path) -> tuple[list[str], list[tuple[str, os.stat_result]]]:
    """Paths of the folders, and of the files with what is known of them, directly below a folder."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.is_file():
                with suppress(FileNotFoundError):  # removed since the folder was read, like others' temporary files
                    files.append((entry.path, entry.stat()))
    return folders, files


def delete_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _temporary(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
