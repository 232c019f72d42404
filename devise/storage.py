"""Bytes and files at file:// and s3://: the only code that knows schemes; knows no tables, no pixels.

A URI is taken as it is written: nothing is percent-decoded, so spaces, unicode, `=` and `%` in a name stand for
themselves. S3 credentials, region and endpoint come from the standard AWS chain (environment, profile, instance role).
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devise import s3
from devise.errors import AlreadyExists, DeviseError, ImageError, PointerMoved, StorageError


@dataclass(frozen=True, slots=True)
class Stat:
    """One object or file: its URI, size, etag (on file://: size and mtime in ns) and mtime in seconds since 1970."""

    uri: str
    size_bytes: int
    etag: str
    modified_at: float


def normalise(text: str) -> str:
    """The URI of a path or URI: s3a:// and s3n:// become s3://, a plain path becomes an absolute file:// URI."""
    for scheme in ("s3://", "s3a://", "s3n://"):
        if text.startswith(scheme):
            return "s3://" + text[len(scheme) :]
    if text.startswith("file:"):
        return "file://" + os.path.abspath("/" + text[len("file:") :].lstrip("/"))
    if "://" in text:
        raise StorageError(f"{text}: found scheme {text.split('://')[0]!r}, wanted file:// or s3://")
    return "file://" + os.path.abspath(os.path.expanduser(text))


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def is_local(uri: str) -> bool:
    return uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a file:// URI."""
    return Path(uri.removeprefix("file://"))


def stat(uri: str) -> Stat | None:
    """What is at `uri`, or None if nothing is."""
    with _faults(uri):
        if is_local(uri):
            try:
                return _stat_file(uri, os.stat(local_path(uri)))
            except (FileNotFoundError, NotADirectoryError):
                return None
        try:
            head = s3.client().head_object(**s3.split(uri))
        except s3.errors() as error:
            if s3.status(error) == 404:
                return None
            raise
        return Stat(uri, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"].timestamp())


def read_bytes(uri: str) -> bytes:
    """The whole content; `StorageError` if it is missing or may not be read."""
    with _faults(uri):
        if is_local(uri):
            return local_path(uri).read_bytes()
        return s3.client().get_object(**s3.split(uri))["Body"].read()


def fetch_image(uri: str, etag: str) -> bytes:
    """The content of an image as it was listed.

    Raises:
        ImageError: gone, changed (its etag is no longer `etag`), denied, throttled, timeout or unreadable.
    """
    try:
        if is_local(uri):
            with open(local_path(uri), "rb") as file:
                if _stat_file(uri, os.fstat(file.fileno())).etag != etag:
                    raise ImageError("changed", "the file changed after it was listed")
                return file.read()
        return s3.client().get_object(**s3.split(uri), IfMatch=f'"{etag}"')["Body"].read()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("gone", "the file is no longer there") from None
    except PermissionError:
        raise ImageError("denied", "no right to read the file") from None
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from None
    except Exception as error:
        if is_local(uri) or not isinstance(error, s3.errors()):
            raise
        raise ImageError(*s3.image_fault(error)) from None


def write_bytes(uri: str, content: bytes) -> None:
    """Write or overwrite; for names that are unique to their writer."""
    with _faults(uri):
        if is_local(uri):
            temporary = _temporary(uri, content)
            os.replace(temporary, local_path(uri))
        else:
            s3.client().put_object(**s3.split(uri), Body=content)


def put_file(path: str | Path, uri: str) -> None:
    """Copy a local file to `uri`, in parts where it is large."""
    with _faults(uri):
        if is_local(uri):
            local_path(uri).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, local_path(uri))
        else:
            s3.client().upload_file(str(path), *s3.split(uri).values())


def get_file(uri: str, path: str | Path) -> None:
    """Copy `uri` to a local file, in parts where it is large."""
    with _faults(uri):
        if is_local(uri):
            shutil.copyfile(local_path(uri), path)
        else:
            s3.client().download_file(*s3.split(uri).values(), str(path))


def create(uri: str, content: bytes) -> None:
    """Write `uri` whole, only if nothing is there.

    Raises:
        AlreadyExists: something is there; it is unchanged.
    """
    with _faults(uri):
        if is_local(uri):
            temporary = _temporary(uri, content)
            try:
                os.link(temporary, local_path(uri))  # atomic, and fails if the name is taken
            except FileExistsError:
                raise AlreadyExists(f"{uri}: exists already; it is written only once") from None
            finally:
                os.unlink(temporary)
            return
        try:
            s3.client().put_object(**s3.split(uri), Body=content, IfNoneMatch="*")
        except s3.errors() as error:
            if s3.status(error) in (409, 412):
                raise AlreadyExists(f"{uri}: exists already; it is written only once") from None
            raise


def replace(uri: str, content: bytes, etag: str | None) -> None:
    """Compare and set: overwrite `uri` only if its etag is still `etag`; None means it must not exist.

    Raises:
        PointerMoved: somebody else wrote it since.
    """
    if etag is None:
        try:
            return create(uri, content)
        except AlreadyExists:
            raise PointerMoved(f"{uri}: written by somebody else since it was read") from None
    with _faults(uri):
        if is_local(uri):
            path = local_path(uri)
            with open(path.with_name(f".{path.name}.lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                found = stat(uri)
                if found is None or found.etag != etag:
                    raise PointerMoved(f"{uri}: written by somebody else since it was read")
                os.replace(_temporary(uri, content), path)
            return
        try:
            s3.client().put_object(**s3.split(uri), Body=content, IfMatch=f'"{etag}"')
        except s3.errors() as error:
            if s3.status(error) in (404, 409, 412):
                raise PointerMoved(f"{uri}: written by somebody else since it was read") from None
            raise


def list_files(prefix: str) -> Iterator[Stat]:
    """Every object below the folder `prefix`, or `prefix` itself if it is a file; lazily, in no promised order.

    Raises:
        StorageError: the folder or bucket is missing or may not be read.
    """
    with _faults(prefix):
        if not is_local(prefix):
            for page in s3.pages(prefix):
                yield from _stat_page(prefix, page)
            return
        root = local_path(prefix)
        if root.is_file():
            yield _stat_file(prefix, root.stat())
            return
        folders = [root]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(Path(entry.path))
                    elif entry.is_file():
                        yield _stat_file("file://" + entry.path, entry.stat())


def list_level(prefix: str) -> tuple[list[str], list[Stat]]:
    """The folders (as URIs) and the files directly below the folder `prefix`, both sorted."""
    with _faults(prefix):
        folders: list[str] = []
        files: list[Stat] = []
        if is_local(prefix):
            if local_path(prefix).is_file():
                return [], [_stat_file(prefix, local_path(prefix).stat())]
            with os.scandir(local_path(prefix)) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append("file://" + entry.path)
                    elif entry.is_file():
                        files.append(_stat_file("file://" + entry.path, entry.stat()))
        else:
            bucket = s3.split(prefix)["Bucket"]
            for page in s3.pages(prefix, Delimiter="/"):
                folders += [f"s3://{bucket}/{found['Prefix'].rstrip('/')}" for found in page.get("CommonPrefixes", [])]
                files += _stat_page(prefix, page)
        return sorted(folders), sorted(files, key=lambda file: file.uri)


def delete_folder(uri: str) -> None:
    """Remove everything below `uri`; nothing there is no error."""
    with _faults(uri):
        if is_local(uri):
            if local_path(uri).exists():
                shutil.rmtree(local_path(uri))
            return
        bucket = s3.split(uri)["Bucket"]
        for page in s3.pages(uri):
            keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
            if keys:
                s3.client().delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def _temporary(uri: str, content: bytes) -> Path:
    path = local_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _stat_file(uri: str, found: os.stat_result) -> Stat:
    return Stat(uri, found.st_size, f"{found.st_size}-{found.st_mtime_ns}", found.st_mtime)


def _stat_page(prefix: str, page: dict) -> list[Stat]:
    bucket = s3.split(prefix)["Bucket"]
    return [
        Stat(
            f"s3://{bucket}/{found['Key']}", found["Size"], found["ETag"].strip('"'), found["LastModified"].timestamp()
        )
        for found in page.get("Contents", [])
        if not found["Key"].endswith("/")  # the empty objects that consoles make for folders
    ]


@contextmanager
def _faults(uri: str) -> Iterator[None]:
    """Turn what the file system or the server said into one line that names the place."""
    try:
        yield
    except DeviseError:
        raise
    except FileNotFoundError:
        raise StorageError(f"{uri}: no such file or folder") from None
    except OSError as error:
        raise StorageError(f"{uri}: {error.strerror or error}") from None
    except Exception as error:
        if is_local(uri) or not isinstance(error, s3.errors()):
            raise
        raise StorageError(f"{uri}: {s3.reason(error)}") from None
