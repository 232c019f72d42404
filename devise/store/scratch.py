"""Local copies of files that live on S3: fetched once per host, whole, checked; local disk is scratch only."""

import hashlib
import os
import tempfile
import uuid
from pathlib import Path

from devise.errors import StorageError
from devise.store import storage


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
    path = cache_folder() / f"{key}-{uri.rsplit('/', 1)[-1]}"
    if not path.exists():
        download(uri, path, sha256)
    return path


def download(uri: str, path: Path, sha256: str | None) -> None:
    """Fetch an object to a local file, whole or not at all; `StorageError` if its sha256 is another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}")
    try:
        storage.get_file(uri, partial)
        if sha256 is not None and (found := hash_file(partial)) != sha256:
            raise StorageError(f"{uri}: sha256 is {found}, wanted {sha256}")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def cache_folder() -> Path:
    """This user's scratch folder on this host, for files fetched from S3."""
    place = Path(tempfile.gettempdir()) / f"devise-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def hash_file(path: str | Path) -> str:
    """sha256 of a local file, 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
