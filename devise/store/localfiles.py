"""Files of the local file system: only `storage` uses it, and only for file:// URIs; errors are Python's own."""

import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from devise.store.passedover import LINK, SPECIAL, Tell, ignore


def etag(found: os.stat_result) -> str:
    """The tag of a file's content: size and mtime in ns."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def read(path: Path, last: int | None = None, span: tuple[int, int] | None = None) -> tuple[bytes, str]:
    """The content, or its last so many bytes, or those from a beginning to an end, and its tag."""
    with open(path, "rb") as file:
        start, end = span or (0, None)
        if last is not None:
            start = max(0, file.seek(0, os.SEEK_END) - last)
        file.seek(start)
        return file.read(-1 if end is None else end - start), etag(os.fstat(file.fileno()))


def read_regular(path: Path, expected: str) -> tuple[bytes, str]:
    """As `read`, of a regular file alone: a pipe would never end. `OSError` for anything else.

    A file whose tag is not `expected` is not read: it may have grown beyond all memory.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a pipe or device, wanted a file")
        if (found := etag(os.fstat(file.fileno()))) != expected:
            return b"", found
        return file.read(), etag(os.fstat(file.fileno()))


def write(path: Path, content: bytes) -> None:
    """Write or overwrite, whole or not at all."""
    temporary = _temporary(path, content)
    try:
        os.replace(temporary, path)
    except OSError:  # the path is a folder, or its name too long
        temporary.unlink(missing_ok=True)
        raise


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
    """Copy a file, whole or not at all: who reads all files of a folder never sees half of one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(target)
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def walk(folder: Path, passed_over: Tell = ignore, links: bool = True) -> Iterator[tuple[str, os.stat_result]]:
    """Path of every file below a folder, and what is known of it, in no promised order.

    Links are followed, but for those that lead nowhere or back to a folder that they lie in. They, and what is neither
    a file nor a folder (a pipe, a device), are told to `passed_over`. With `links` False no link is followed.
    """
    folders = [str(folder)]
    while folders:
        below, files = level(Path(folders.pop()), passed_over, links)
        folders += below
        yield from files


def level(
    folder: Path, passed_over: Tell = ignore, links: bool = True
) -> tuple[list[str], list[tuple[str, os.stat_result]]]:
    """Paths of the folders, and of the files with what is known of them, directly below a folder; as `walk` does."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not links and entry.is_symlink():
                continue
            try:
                if entry.is_dir():
                    if entry.is_symlink() and _leads_back(entry.path):
                        passed_over(LINK)
                    else:
                        folders.append(entry.path)
                elif entry.is_file():
                    files.append((entry.path, entry.stat()))
                else:
                    passed_over(LINK if entry.is_symlink() else SPECIAL)
            except FileNotFoundError:
                continue  # removed since the folder was read, like others' temporary files
            except OSError:
                if not entry.is_symlink():
                    raise
                passed_over(LINK)  # to itself, or to where nobody may look
    return folders, files


def _leads_back(link: str) -> bool:
    """Whether a link to a folder leads to one of the folders on its own path, or above: a walk would never end."""
    target = Path(os.path.realpath(link))
    return any(Path(os.path.realpath(parent)).is_relative_to(target) for parent in Path(link).parents)


def delete_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _temporary(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # a full disk: what is half there helps nobody
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _hidden(path: Path) -> Path:
    """A name beside it that nobody takes for a file of the folder."""
    return path.with_name(f".{uuid.uuid4().hex}.tmp")
