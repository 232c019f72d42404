"""The record that makes an output exist; knows no Spark and no columns.

A run of a table is the folder `{warehouse}/{table}/run={run}`; it exists when `_manifest.json` is in it, written last
and only once. Several tables of one job share one fate and one record: that of the last table holds the others'.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from devise.errors import AlreadyExists, ManifestError
from devise.groups import RUN_PATTERN
from devise.store import scratch, storage
from devise.values import Section, TableName

NAME = "_manifest.json"
SUCCESS = "_SUCCESS"
"""Spark's own mark of a finished write."""
IDENTITY = re.compile(r"(\S+) [0-9a-f]{64}")
"""How a manifest names an input that is a run; anything else it names is an outside file's tag."""
COMMITTED_BY = {
    "rejects": "embeddings", "thumbnails": "embeddings", "features": "model", "word_images": "labels",
    "label_metrics": "metrics", "label_counts": "reports", "map_images": "reports",
}  # fmt: skip
"""Table -> the table whose manifest commits its runs and holds their record."""


def _inside(path: str) -> str:
    """A warehouse may be somebody else's: no path of a manifest leads out of its run's folder on a reader's disk."""
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"found the path {path!r}, wanted a relative one inside the run's folder")
    return path


class File(Section):
    """One file of a run; `path` is relative to the run's folder, and inside it."""

    path: Annotated[str, AfterValidator(_inside)]
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int
    """-1 if it holds no rows."""


class Manifest(Section):
    """What a run of a table is, what it was made from and how."""

    table: TableName
    run: str = Field(pattern=RUN_PATTERN)
    parent: int = Field(ge=0)
    """Number of the publication that the run was built on; 0 if nothing was live."""
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
    secondary: dict[str, "Manifest"] = {}
    """The same of the tables that this one commits."""

    def content(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1).encode()

    def identity(self) -> str:
        """`run sha256`: what another manifest names when this run is its input."""
        return f"{self.run} {hashlib.sha256(self.content()).hexdigest()}"

    def made_from(self) -> list[tuple[tuple[str, str], str]]:
        """(table, run) of each input that is a run, and the identity under which it was read."""
        named = ((table, IDENTITY.fullmatch(name)) for table, names in self.inputs.items() for name in names)
        return [((table, match.group(1)), match.group()) for table, match in named if match]

    def one(self, start: str = "", end: str = "") -> File:
        """The one file whose name begins and ends so; `ManifestError` unless there is exactly one."""
        names = ((file, file.path.rsplit("/", 1)[-1]) for file in self.files)
        found = [file for file, name in names if name.startswith(start) and name.endswith(end)]
        if len(found) != 1:
            raise ManifestError(f"{self.table}, run {self.run}: found {len(found)} files {start}*{end}, wanted one")
        return found[0]


def check_run(warehouse: str, run: str) -> None:
    """`ManifestError` if a run id is none."""
    if not re.fullmatch(RUN_PATTERN, run):
        raise ManifestError(f"{warehouse}: found the run id {run!r}, wanted letters, digits, dot, dash, underscore")


def folder(warehouse: str, table: str, run: str) -> str:
    """The URI of a run's folder; `ManifestError` if the id is none: a name never becomes a path."""
    check_run(warehouse, run)
    return storage.join(storage.normalise(warehouse), table, f"run={run}")


def write(warehouse: str, manifest: Manifest) -> None:
    """Commit a run, and the secondary ones that it holds: create-only.

    Raises:
        ManifestError: the run is committed already; what is there stands.
    """
    uri = storage.join(folder(warehouse, manifest.table, manifest.run), NAME)
    try:
        storage.create(uri, manifest.content())
    except AlreadyExists:
        raise ManifestError(f"{uri}: this run is committed already; a run is written once") from None


def find(warehouse: str, table: str, run: str) -> Manifest | None:
    """The manifest of a committed run, or None.

    Raises:
        ManifestError: what is there is no manifest of this version, is another run's, or has a path that leads out.
    """
    primary = COMMITTED_BY.get(table, table)
    uri = storage.join(folder(warehouse, primary, run), NAME)
    if (found := storage.read_tagged(uri)) is None:
        return None
    try:
        manifest = Manifest.model_validate_json(found[0])
    except ValidationError as error:
        raise ManifestError(f"{uri}: not a manifest of this version: {_first(error)}") from None
    parts = {primary: manifest, **manifest.secondary}
    for name, part in parts.items():
        if (part.table, part.run) != (name, run):
            raise ManifestError(f"{uri}: found {part.table} of run {part.run} in it, wanted {name} of run {run}")
    return parts.get(table)


def is_committed(warehouse: str, table: str, run: str) -> bool:
    """Whether there is a manifest, of whatever content, of this table or of the one that commits it."""
    uri = storage.join(folder(warehouse, COMMITTED_BY.get(table, table), run), NAME)
    return storage.stat(uri) is not None


def read(warehouse: str, table: str, run: str) -> Manifest:
    """The manifest of a committed run; `ManifestError` if there is none."""
    manifest = find(warehouse, table, run)
    if manifest is None:
        raise ManifestError(f"{folder(warehouse, table, run)}: no such run, or it was never finished")
    return manifest


def run_ids(warehouse: str, table: str) -> list[str]:
    """Ids of all runs of a table, committed or not, sorted; a folder of another name is nobody's run."""
    roots = {storage.join(storage.normalise(warehouse), name) for name in (table, COMMITTED_BY.get(table, table))}
    names = {uri.rsplit("/", 1)[-1] for root in roots for uri in storage.list_level(root, missing_ok=True)[0]}
    ids = (name.removeprefix("run=") for name in names if name.startswith("run="))
    return sorted(run for run in ids if re.fullmatch(RUN_PATTERN, run))


def tables(warehouse: str) -> list[str]:
    """Folders of the warehouse that may hold runs, all but the pointer's, scratch and hidden ones; sorted.

    A table that another one commits is named with it, also where none of its runs has a file.
    """
    root = storage.normalise(warehouse)
    names = {uri.rsplit("/", 1)[-1] for uri in storage.list_level(root)[0]}
    names |= {table for table, primary in COMMITTED_BY.items() if primary in names}
    return sorted(name for name in names if name != "live" and not name.startswith(("_", ".")))


def unlisted(manifest: Manifest, root: str, files: Iterable[storage.Stat]) -> list[storage.Stat]:
    """Those of the files below a committed run's folder `root` that should not be there.

    Spark's `_SUCCESS`, and the checksum that Hadoop puts beside each file on file://, belong to what is listed.
    """
    known = {storage.join(root, name) for name in (NAME, SUCCESS, *(file.path for file in manifest.files))}
    known |= {f"{folder}/.{name}.crc" for folder, _, name in (uri.rpartition("/") for uri in known)}
    return [file for file in files if file.uri not in known]


def localise(warehouse: str, manifest: Manifest) -> Path:
    """A local folder with the files of a run: itself on file://, else fetched once per host and checked.

    Raises:
        StorageError: a file is missing, or is not what the manifest promises.
    """
    root = folder(warehouse, manifest.table, manifest.run)
    if storage.is_local(root):
        return storage.local_path(root)
    return scratch.localise_folder(hashlib.sha256(manifest.content()).hexdigest(), _remotes(root, manifest.files))


def localise_one(warehouse: str, manifest: Manifest, start: str = "", end: str = "") -> Path:
    """A local file with the content of the run's one file whose name begins and ends so; raises as `localise` does."""
    root, file = folder(warehouse, manifest.table, manifest.run), manifest.one(start, end)
    if storage.is_local(root):
        return storage.local_path(root) / file.path
    key = hashlib.sha256(f"{root} {file.path} {file.sha256}".encode()).hexdigest()
    return scratch.localise_folder(key, _remotes(root, [file])) / file.path


def hash_inputs(inputs: Mapping[str, list[str]]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _remotes(root: str, files: Iterable[File]) -> dict[str, scratch.Remote]:
    return {file.path: scratch.Remote(storage.join(root, file.path), file.size_bytes, file.sha256) for file in files}


def _first(error: ValidationError) -> str:
    """The first fault and where it is."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
