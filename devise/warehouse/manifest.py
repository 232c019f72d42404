"""The record that makes an output exist; knows no Spark and no columns.

A run of a table is the folder `{warehouse}/{table}/run={run}`; it exists when `_manifest.json` is in it, written last
and only once. Several tables of one job share their fate: the manifests of the secondary ones name the primary table,
and count only once the primary's manifest is there too.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from devise.config import Section
from devise.errors import AlreadyExists, ManifestError
from devise.store import scratch, storage

NAME = "_manifest.json"
SUCCESS = "_SUCCESS"
"""Spark's own mark of a finished write."""


class File(Section):
    """One file of a run; `path` is relative to the run's folder."""

    path: str
    size_bytes: int
    sha256: str
    rows: int


class Manifest(Section):
    """What a run of a table is, what it was made from and how."""

    table: str
    run: str
    primary: str
    """The table whose manifest commits this run: itself, or the job's primary one."""
    rows: int
    columns: list[str]
    files: list[File]
    rejects: dict[str, int] = {}
    inputs: dict[str, list[str]]
    """Table or outside file -> `run sha256-of-its-manifest`, or `etag`."""
    inputs_hash: str
    config: dict[str, Any]
    config_hash: str
    model_id: str | None = None
    vocabulary_id: str | None = None
    base: bool = False
    """True if it holds all that is live of the runs before it: readers of an append table go back no further."""
    code_version: str
    started_at: float
    finished_at: float
    details: dict[str, Any] = {}
    """Accounting, choices made and why, seconds by phase, requests."""

    def content(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1).encode()

    def identity(self) -> str:
        """`run sha256`: what another manifest names when this run is its input."""
        return f"{self.run} {hashlib.sha256(self.content()).hexdigest()}"


def folder(warehouse: str, table: str, run: str) -> str:
    return storage.join(storage.normalise(warehouse), table, f"run={run}")


def write(warehouse: str, manifest: Manifest) -> None:
    """Commit a run: create-only.

    Raises:
        ManifestError: the run is committed already; what is there stands.
    """
    uri = storage.join(folder(warehouse, manifest.table, manifest.run), NAME)
    try:
        storage.create(uri, manifest.content())
    except AlreadyExists:
        raise ManifestError(f"{uri}: this run is committed already; a run is written once") from None


def find(warehouse: str, table: str, run: str) -> Manifest | None:
    """The manifest of a committed run, or None."""
    uri = storage.join(folder(warehouse, table, run), NAME)
    if (found := storage.read_tagged(uri)) is None:
        return None
    try:
        manifest = Manifest.model_validate_json(found[0])
    except ValidationError as error:
        raise ManifestError(f"{uri}: not a manifest of this version: {error.errors()[0]['msg']}") from None
    if manifest.primary != table and storage.stat(_primary_uri(warehouse, manifest)) is None:
        return None
    return manifest


def read(warehouse: str, table: str, run: str) -> Manifest:
    """The manifest of a committed run; `ManifestError` if there is none."""
    manifest = find(warehouse, table, run)
    if manifest is None:
        raise ManifestError(f"{folder(warehouse, table, run)}: no such run, or it was never finished")
    return manifest


def earlier(warehouse: str, table: str, run: str) -> list[Manifest]:
    """Committed runs of a table that sort before `run`, oldest first, back to the newest base."""
    found: list[Manifest] = []
    for name in reversed([name for name in run_ids(warehouse, table) if name < run]):
        if (manifest := find(warehouse, table, name)) is not None:
            found.insert(0, manifest)
            if manifest.base:
                break
    return found


def newest(warehouse: str, table: str, run: str) -> Manifest | None:
    """The committed run of a table with the largest id that is not after `run`."""
    return find(warehouse, table, run) or previous(warehouse, table, run)


def previous(warehouse: str, table: str, run: str) -> Manifest | None:
    """The committed run of a table with the largest id before `run`."""
    names = [name for name in run_ids(warehouse, table) if name < run]
    return next((found for name in reversed(names) if (found := find(warehouse, table, name)) is not None), None)


def run_ids(warehouse: str, table: str) -> list[str]:
    """Ids of all runs of a table, committed or not, sorted."""
    root = storage.join(storage.normalise(warehouse), table)
    names = (uri.rsplit("/", 1)[-1] for uri in storage.list_level(root, missing_ok=True)[0])
    return sorted(name.removeprefix("run=") for name in names if name.startswith("run="))


def tables(warehouse: str) -> list[str]:
    """Folders of the warehouse that may hold runs: all but the pointer's, scratch and hidden ones; sorted."""
    root = storage.normalise(warehouse)
    names = (uri.rsplit("/", 1)[-1] for uri in storage.list_level(root)[0])
    return [name for name in names if name != "live" and not name.startswith(("_", "."))]


def unlisted(manifest: Manifest, root: str, files: Iterable[storage.Stat]) -> list[storage.Stat]:
    """Those of the files below a committed run's folder `root` that should not be there.

    Spark's `_SUCCESS`, and the checksum that Hadoop puts beside each file on file://, belong to what is listed.
    """
    known = {storage.join(root, name) for name in (NAME, SUCCESS, *(file.path for file in manifest.files))}
    known |= {f"{folder}/.{name}.crc" for folder, _, name in (uri.rpartition("/") for uri in known)}
    return [file for file in files if file.uri not in known]


def sweep(warehouse: str, tables: Iterable[str], run: str) -> None:
    """Remove what an unfinished job left behind; `ManifestError` if any of the runs is committed."""
    tables = list(tables)
    for table in tables:
        if find(warehouse, table, run) is not None:
            raise ManifestError(f"{folder(warehouse, table, run)}: committed runs are never swept")
    for table in tables:
        storage.delete_folder(folder(warehouse, table, run))


def localise(warehouse: str, manifest: Manifest) -> Path:
    """A local folder with the files of a run: itself on file://, else fetched once per host and checked.

    Raises:
        StorageError: a file is missing, or is not what the manifest promises.
    """
    root = folder(warehouse, manifest.table, manifest.run)
    if storage.is_local(root):
        return storage.local_path(root)
    place = scratch.cache_folder() / hashlib.sha256(manifest.content()).hexdigest()
    if not place.exists():
        partial = Path(tempfile.mkdtemp(dir=scratch.cache_folder()))
        try:
            for file in manifest.files:
                scratch.download(storage.join(root, file.path), partial / file.path, file.sha256)
            with suppress(OSError):  # another process of this host was quicker; its files are the same
                os.rename(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return place


def hash_inputs(inputs: dict[str, list[str]]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _primary_uri(warehouse: str, manifest: Manifest) -> str:
    return storage.join(folder(warehouse, manifest.primary, manifest.run), NAME)
