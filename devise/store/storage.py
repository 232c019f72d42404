"""Bytes and files at file:// and s3://: the only code that knows schemes; knows no tables, no pixels.

A URI is taken as it is written: nothing is percent-decoded, so spaces, unicode, `=` and `%` in a name stand for
themselves. S3 credentials, region and endpoint come from the standard AWS chain (environment, profile, instance role).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devise.errors import AlreadyExists, DeviseError, ImageError, PointerMoved, StorageError
from devise.store import fetch, localfiles, s3, traffic, uploads
from devise.store.passedover import Tell, ignore


@dataclass(frozen=True, slots=True)
class Stat:
    """One object or file: its URI, size, etag (on file://: size and mtime in ns) and mtime in seconds since 1970."""

    uri: str
    size_bytes: int
    etag: str
    modified_at: float


def normalise(text: str) -> str:
    """The URI of a path or URI: s3a:// and s3n:// become s3://, a path or file://localhost/x an absolute file:///x."""
    if not text.strip():
        raise StorageError(f"found {text!r}, wanted a path or URI")
    for scheme in ("s3://", "s3a://", "s3n://"):
        if text.startswith(scheme):
            return "s3://" + text[len(scheme) :]
    if text.startswith("file:"):
        return "file://" + os.path.abspath("/" + text[len("file:") :].removeprefix("//localhost/").lstrip("/"))
    if "://" in text:
        raise StorageError(f"{text}: found scheme {text.split('://')[0]!r}, wanted file:// or s3://")
    with _faults(f"{text} in the folder that this runs in"):
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
            head = s3.head(uri)
        except s3.errors() as error:
            if s3.status(error) == 404:
                return None
            raise
        return Stat(uri, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"].timestamp())


def read_bytes(uri: str, last: int | None = None, span: tuple[int, int] | None = None) -> bytes:
    """The content, its last so many bytes, or those of a span (start, end); `StorageError` if it cannot be read."""
    with _faults(uri):
        return _read(uri, last, span)[0]


def read_tagged(uri: str) -> tuple[bytes, str] | None:
    """The whole content and its etag as one answer, or None if nothing is there."""
    with _faults(uri):
        try:
            return _read(uri)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            if is_local(uri) or not isinstance(error, s3.errors()) or s3.status(error) != 404 or s3.no_bucket(error):
                raise
            return None


def fetch_image(uri: str, etag: str) -> bytes:
    """The content of an image as it was listed.

    Raises:
        ImageError: gone, changed (its etag is no longer `etag`), denied, throttled, timeout or unreadable.
    """
    try:
        if is_local(uri):
            content, found = localfiles.read_regular(local_path(uri), etag)
            if found != etag:
                raise ImageError("changed", "the file changed after it was listed")
            return content
        with traffic.purpose("images"):
            return fetch.read(uri, etag)
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
            localfiles.write(local_path(uri), content)
        else:
            s3.client().put_object(**s3.split(uri), Body=content)


def put_file(path: str | Path, uri: str) -> None:
    """Copy a local file to `uri`, in parts where it is large."""
    with _faults(uri):
        if is_local(uri):
            localfiles.copy(path, local_path(uri))
        else:
            s3.client().upload_file(str(path), *s3.split(uri).values())


def get_file(uri: str, path: str | Path) -> None:
    """Copy `uri` to a local file, in parts where it is large."""
    with _faults(uri):
        if is_local(uri):
            localfiles.copy(local_path(uri), Path(path))
        else:
            try:
                s3.client().download_file(*s3.split(uri).values(), str(path))
            except OSError as error:  # of the local disk: the store's own faults are of other types
                raise StorageError(f"{uri}: cannot be copied to {path}: {error.strerror or error}") from None


def create(uri: str, content: bytes) -> None:
    """Write `uri` whole, only if nothing is there.

    Raises:
        AlreadyExists: something is there; it is unchanged.
    """
    with _faults(uri):
        if is_local(uri):
            done = localfiles.create(local_path(uri), content)
        else:
            done = s3.put_if(uri, content, (409, 412), IfNoneMatch="*")
    if not done:
        raise AlreadyExists(f"{uri}: exists already; it is written only once")


def replace(uri: str, content: bytes, etag: str) -> None:
    """Compare and set: overwrite `uri` only if its etag is still `etag`.

    On AWS this is atomic; some other servers compare first and write afterwards, so that two writers at the same time
    may both pass. What must have one winner is `create`d.

    Raises:
        PointerMoved: somebody else wrote it since, or it is gone.
    """
    with _faults(uri):
        if is_local(uri):
            done = localfiles.replace(local_path(uri), content, etag)
        else:
            done = s3.put_if(uri, content, (404, 409, 412), IfMatch=f'"{etag}"')
    if not done:
        raise PointerMoved(f"{uri}: written by somebody else since it was read")


def list_files(prefix: str, missing_ok: bool = False, passed_over: Tell = ignore, links: bool = True) -> Iterator[Stat]:
    """Every object below the folder `prefix`, or it itself if it is a file; lazily, in no order. Links that lead
    nowhere or in a circle (with `links` False, all), pipes and devices are left out, and told to `passed_over`.

    Raises:
        StorageError: the folder (unless `missing_ok`) or bucket is missing, or may not be read.
    """
    if not is_local(prefix):
        for _, files in list_pages(join(prefix, "")):
            yield from files
        return
    with _faults(prefix):
        if local_path(prefix).is_file():
            yield _stat_file(prefix, local_path(prefix).stat())
        elif not missing_ok or local_path(prefix).is_dir():
            for path, found in localfiles.walk(local_path(prefix), passed_over, links):
                yield _stat_file("file://" + path, found)


def list_level(prefix: str, missing_ok: bool = False, passed_over: Tell = ignore) -> tuple[list[str], list[Stat]]:
    """The folders (as URIs) and the files directly below `prefix`, both sorted; on S3 no folder is ever missing."""
    if not is_local(prefix):
        pages = list(list_pages(join(prefix, ""), deep=False))
        folders = sorted(folder.rstrip("/") for page in pages for folder in page[0])
        return folders, sorted((file for page in pages for file in page[1]), key=lambda file: file.uri)
    with _faults(prefix):
        if local_path(prefix).is_file():
            return [], [_stat_file(prefix, local_path(prefix).stat())]
        if missing_ok and not local_path(prefix).is_dir():
            return [], []
        paths, entries = localfiles.level(local_path(prefix), passed_over)
        files = [_stat_file("file://" + path, known) for path, known in entries]
        return sorted("file://" + path for path in paths), sorted(files, key=lambda file: file.uri)


def list_pages(prefix: str, after: str = "", deep: bool = True) -> Iterator[tuple[list[str], list[Stat]]]:
    """Pages, one request each, of what is on S3 and starts with `prefix`: folders and files, both as the server sorts.

    Args:
        prefix: an s3:// URI, taken to the letter: it may end in the midst of a name.
        after: an s3:// URI of the same bucket: only what sorts behind it.
        deep: False stops at the next `/`: what is below is one folder, a URI that ends in `/`. True: no folders.

    Raises:
        StorageError: the bucket is missing or may not be read.
    """
    place = f"s3://{s3.split(prefix)['Bucket']}/"
    arguments = {} if deep else {"Delimiter": "/"}
    if after:
        arguments["StartAfter"] = s3.split(after)["Key"]
    with _faults(prefix.removesuffix("/")):
        for page in s3.pages(prefix, **arguments):
            folders = [place + found["Prefix"] for found in page.get("CommonPrefixes", [])]
            yield folders, _stat_page(place, page)


def delete(*uris: str) -> None:
    """Remove files, or objects of one bucket; what is not there is no error."""
    for uri in (uri for uri in uris if is_local(uri)):
        with _faults(uri):
            local_path(uri).unlink(missing_ok=True)
    if far := [uri for uri in uris if not is_local(uri)]:
        with _faults(far[0]):
            s3.delete(far)


def delete_folder(uri: str) -> None:
    """Remove everything below `uri`; nothing there is no error."""
    with _faults(uri):
        if is_local(uri):
            return localfiles.delete_folder(local_path(uri))
        s3.delete_below(join(uri, ""))


def list_uploads(prefix: str) -> list[uploads.Upload]:
    """Uploads in parts below the folder `prefix` that were never ended; their parts cost money and show nowhere."""
    with _faults(prefix):
        return [] if is_local(prefix) else uploads.find(join(prefix, ""))


def abort_upload(upload: uploads.Upload) -> None:
    """Drop an upload that was never ended; one that is gone is no error."""
    with _faults(upload.uri):
        uploads.abort(upload)


def _read(uri: str, last: int | None = None, span: tuple[int, int] | None = None) -> tuple[bytes, str]:
    part = f"-{last}" if last else f"{span[0]}-{span[1] - 1}" if span else ""
    told = {"Range": f"bytes={part}"} if part else {}
    return localfiles.read(local_path(uri), last, span) if is_local(uri) else s3.read(uri, **told)


def _stat_file(uri: str, found: os.stat_result) -> Stat:
    return Stat(uri, found.st_size, localfiles.etag(found), found.st_mtime)


def _stat_page(place: str, page: dict) -> list[Stat]:
    return [
        # Some servers list what is just being removed without an etag.
        Stat(place + found["Key"], found["Size"], found.get("ETag", "").strip('"'), found["LastModified"].timestamp())
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
