"""The live pointer: which runs of which tables readers open, swapped whole; knows no Spark and no columns.

Publication n is `live/history/{n}.json`, written only once: who creates it has published. `live/current/live.json`,
alone in its folder, is its copy, which readers and SQL engines open; it is written right afterwards. A publisher that
dies between the two leaves a copy that is one behind: yesterday's, whole; the next publisher brings it up to date
first. So exactly one of several publishers wins even on a server whose conditional overwrite is not atomic; a
conditional create is, everywhere.
"""

import json
import time

from pydantic import Field, ValidationError, model_validator

from devise.errors import AlreadyExists, GateError, ManifestError, PointerMoved
from devise.groups import RUN_PATTERN
from devise.store import storage
from devise.values import Section, TableName, Time

CURRENT = "live/current/live.json"
HISTORY = "live/history"


class Entry(Section):
    """One line of the live pointer."""

    table: TableName
    run: str = Field(pattern=RUN_PATTERN)
    published_by: str = Field(pattern=RUN_PATTERN)
    """Run id of the publication."""
    published_at: Time
    publication: int = Field(ge=1)
    """1 for the first one of the warehouse."""
    parent: int = Field(ge=0)
    """The publication that its run was built on; 0 if nothing was live then."""
    restores: int = Field(ge=0)
    """The publication that this one is again, by a rollback; 0 of any other."""

    @model_validator(mode="after")
    def _comes_after(self) -> "Entry":
        if max(self.parent, self.restores) >= self.publication:
            raise ValueError("a publication comes after its parent, and after what it restores")
        return self


class Live(Section):
    """What is or was live: the lines of a publication."""

    entries: list[Entry]

    @property
    def run(self) -> str:
        return self.entries[0].published_by

    @property
    def number(self) -> int:
        return self.entries[0].publication

    @property
    def published_at(self) -> float:
        return self.entries[0].published_at

    @property
    def parent(self) -> int:
        return self.entries[0].parent

    @property
    def restores(self) -> int:
        return self.entries[0].restores

    def runs(self, table: str) -> list[str]:
        """The live runs of a table, oldest first."""
        return [entry.run for entry in self.entries if entry.table == table]

    def pairs(self) -> list[tuple[str, str]]:
        return [(entry.table, entry.run) for entry in self.entries]

    def describe(self) -> str:
        """Number and run, in words."""
        again = f", as publication {self.restores}" if self.restores else ""
        return f"{self.number} (run {self.run}{again})"

    def content(self) -> bytes:
        return b"".join(json.dumps(entry.model_dump(), sort_keys=True).encode() + b"\n" for entry in self.entries)


def read(warehouse: str) -> Live | None:
    """What is live, or None if nothing was ever published."""
    return _find(_live_uri(warehouse))


def published(warehouse: str) -> Live:
    """What is live; `ManifestError` if nothing was ever published."""
    if (live := read(warehouse)) is None:
        raise ManifestError(f"{warehouse}: nothing is published here yet")
    return live


def find(warehouse: str, number: int) -> Live | None:
    """A publication that is kept, or None."""
    found = _find(_history_uri(warehouse, number))
    if found is not None and found.number != number:
        raise ManifestError(f"{_history_uri(warehouse, number)}: found publication {found.number} in it")
    return found


def refuse_older(live: Live | None, run: str) -> None:
    """`GateError` if a run is older than what is live, and so can never be."""
    if live is not None and run < live.run:
        raise GateError(f"run {run} is older than the live run {live.run}; only a rollback goes back")


def settle(warehouse: str) -> Live | None:
    """What is live, after a publication whose publisher died before it wrote the copy is brought to readers."""
    while True:
        found = storage.read_tagged(_live_uri(warehouse))
        before = _parse(_live_uri(warehouse), found[0]) if found else None
        made = find(warehouse, before.number + 1 if before else 1)
        if made is None:
            return before
        _copy(warehouse, made, found[1] if found else None)


def swap(
    warehouse: str,
    pairs: list[tuple[str, str]],
    run: str,
    before: Live | None,
    parent: int | None = None,
    restores: int = 0,
) -> Live:
    """Make (table, run) pairs live, all at once, if what is live is still `before`.

    Args:
        parent: the publication that the run was built on; default `before`.
        restores: the publication that this one is again.

    Raises:
        PointerMoved: somebody else published since `before` was read.
    """
    number, now = before.number + 1 if before else 1, time.time()
    built_on = parent if parent is not None else number - 1
    lines = [
        Entry(
            table=table,
            run=name,
            published_by=run,
            published_at=now,
            publication=number,
            parent=built_on,
            restores=restores,
        )
        for table, name in pairs
    ]
    made = Live(entries=lines)
    found = storage.read_tagged(_live_uri(warehouse))
    if (_parse(_live_uri(warehouse), found[0]) if found else None) != before:
        raise PointerMoved(f"{_live_uri(warehouse)}: published by somebody else since it was read")
    try:
        storage.create(_history_uri(warehouse, number), made.content())
    except AlreadyExists:
        raise PointerMoved(f"{_live_uri(warehouse)}: published by somebody else since it was read") from None
    _copy(warehouse, made, found[1] if found else None)
    return made


def history(warehouse: str) -> list[Live]:
    """All publications that are kept, oldest first; the last one is live, or about to be."""
    folder = storage.join(storage.normalise(warehouse), HISTORY)
    uris = (file.uri for file in storage.list_level(folder, missing_ok=True)[1])
    return [_parse(uri, storage.read_bytes(uri)) for uri in uris if uri.endswith(".json")]  # no temporary ones


def forget(warehouse: str, publication: Live) -> None:
    """Remove an old publication from the history."""
    storage.delete(_history_uri(warehouse, publication.number))


def _copy(warehouse: str, made: Live, etag: str | None) -> None:
    try:
        if etag is None:
            storage.create(_live_uri(warehouse), made.content())
        else:
            storage.replace(_live_uri(warehouse), made.content(), etag)
    except (AlreadyExists, PointerMoved):
        found = read(warehouse)
        if found is None or found.number < made.number:
            raise


def _find(uri: str) -> Live | None:
    found = storage.read_tagged(uri)
    return _parse(uri, found[0]) if found else None


def _parse(uri: str, content: bytes) -> Live:
    try:
        entries = [Entry.model_validate_json(line) for line in content.splitlines() if line.strip()]
    except ValidationError as error:
        raise ManifestError(f"{uri}: not a pointer of this version: {error.errors()[0]['msg']}") from None
    if not entries:
        raise ManifestError(f"{uri}: the pointer is empty")
    if len({(entry.publication, entry.published_by, entry.parent, entry.restores) for entry in entries}) > 1:
        raise ManifestError(f"{uri}: lines of more than one publication")
    return Live(entries=entries)


def _live_uri(warehouse: str) -> str:
    return storage.join(storage.normalise(warehouse), CURRENT)


def _history_uri(warehouse: str, number: int) -> str:
    return storage.join(storage.normalise(warehouse), HISTORY, f"{number:08d}.json")
