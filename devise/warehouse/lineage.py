"""What a run builds on: the publication that was live when it began, its parent; and runs that are never used again.

A run reads its own tables, then its parent's. Of vocabularies, models, embeddings, rejects and thumbnails it also takes
what runs since then have committed ahead of a publication, as a night that a gate held back: they were paid for, and the
gates judge them again with whoever publishes them. It never takes a run that was discarded, that was made from one, or that
was built on a publication which a rollback has left. Names decide only the order of runs, never which ones count.
"""

import time
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from devise.errors import AlreadyExists, GateError, ManifestError
from devise.store import storage
from devise.values import Section, Time
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live

FOLDER = "live/discarded"
AHEAD = ("vocabulary", "model", "embeddings", "rejects", "thumbnails")
"""Tables of which runs that are in no publication yet are built on too."""


class Discard(Section):
    """Why and since when a run is never used again; times in seconds since 1970."""

    run: str
    because: str
    discarded_at: Time


@dataclass(frozen=True)
class Lineage:
    """One run's place: the publication it builds on, or None if nothing was live, and the runs it must not use."""

    warehouse: str
    run: str
    parent: Live | None
    discarded: frozenset[str]

    @property
    def number(self) -> int:
        """The parent's number, 0 if there is none."""
        return self.parent.number if self.parent else 0

    @cached_property
    def line(self) -> set[int]:
        """Numbers of the parent, of what it was built on, and so on, as far back as publications are kept; 0 too.

        A run may be published more than once: on one of its publications is on the others.
        """
        numbers, parent = {0}, self.parent
        kept = {found.number: found for found in pointer.history(self.warehouse)}
        while parent is not None:
            same = (one for one in kept.values() if (one.run, one.parent) == (parent.run, parent.parent))
            numbers |= {parent.number, parent.parent, *(one.number for one in same if one.number < parent.number)}
            parent = kept.get(parent.parent)
        return numbers

    def this(self, table: str) -> Manifest | None:
        """This run's own, or None while it is not committed.

        Raises:
            GateError: it was built on another publication, or made from a run that was discarded since.
        """
        found = manifest.find(self.warehouse, table, self.run)
        if found is None:
            return None
        where = manifest.folder(self.warehouse, table, self.run)
        if found.parent != self.number:
            raise GateError(
                f"{where}: built on publication {found.parent}, and what this run builds on now is publication "
                f"{self.number}: use another --run"
            )
        if gone := self._rests_on(found):
            raise GateError(f"{where}: made from {gone}, which was discarded since: use another --run")
        return found

    def published(self, table: str) -> list[Manifest]:
        """The parent's runs, oldest first; `ManifestError` if one is gone."""
        named = self.parent.runs(table) if self.parent else []
        return [manifest.read(self.warehouse, table, run) for run in named]

    def before(self, table: str) -> list[Manifest]:
        """What this run builds on, oldest first; `ManifestError` if some of it is gone.

        What is published goes back to a base by itself. A base that is in no publication yet hides nothing before it: a
        gate may have held it back for what it lacks.
        """
        return [*self.published(table), *self.ahead(table)]

    def chain(self, table: str) -> list[Manifest]:
        """This run's own of an append table, and before it the very runs that it was made beside; empty without it.

        Raises:
            ManifestError: one of those is gone, or is another run now.
        """
        own = self.this(table)
        if own is None:
            return []
        named = [] if own.base else [pair for pair in own.made_from() if pair[0][0] == table]
        found = [manifest.read(self.warehouse, *pair) for pair, _ in named]
        for made, (_, wanted) in zip(found, named, strict=True):
            if made.identity() != wanted:
                where = manifest.folder(self.warehouse, table, made.run)
                raise ManifestError(
                    f"{where}: found {made.identity()}, wanted {wanted}, beside which {self.run} was made"
                )
        return [*found, own]

    def newest(self, table: str) -> Manifest | None:
        """This run's own, else the newest that it builds on, or None."""
        return self.this(table) or self.latest(table)

    def latest(self, table: str) -> Manifest | None:
        """The newest that this run builds on, whether or not it has its own; None if there is none."""
        before = self.before(table)
        return before[-1] if before else None

    def ahead(self, table: str) -> list[Manifest]:
        """Runs before this one that were built on its line, came after its parent and are in no publication of it."""
        if table not in AHEAD:
            return []
        after = self.parent.run if self.parent else ""
        names = [run for run in manifest.run_ids(self.warehouse, table) if after < run < self.run]
        found = (manifest.find(self.warehouse, table, run) for run in names if run not in self.discarded)
        return [made for made in found if made and made.parent in self.line and not self._rests_on(made)]

    def cached(self, table: str) -> list[Manifest]:
        """All earlier runs of a table that only saves work, whatever they were built on; discarded ones never."""
        names = [run for run in manifest.run_ids(self.warehouse, table) if run < self.run and run not in self.discarded]
        found = (manifest.find(self.warehouse, table, run) for run in names)
        return [made for made in found if made]

    def _rests_on(self, made: Manifest) -> str:
        """The first discarded run that another one was made from, in words, or nothing."""
        return next((f"{table} of run {run}" for (table, run), _ in made.made_from() if run in self.discarded), "")


def begin(warehouse: str, run: str) -> Lineage:
    """The lineage of a run that begins now or goes on; a publication that a dead publisher left half made is finished.

    A run that is live already builds on what it was built on.

    Raises:
        GateError: the run is older than what is live, or was discarded.
        ManifestError: what it was built on is no longer kept.
    """
    live = pointer.settle(warehouse)
    pointer.refuse_older(live, run)
    gone = discarded_runs(warehouse)
    if run in gone:
        because = _read(_uri(warehouse, run)).because
        raise GateError(f"run {run} was discarded ({because}) and is never used again: use another --run")
    parent = live
    if live is not None and live.run == run:
        parent = pointer.find(warehouse, live.parent) if live.parent else None
        if live.parent and parent is None:
            raise ManifestError(
                f"{warehouse}: run {run} is live, and publication {live.parent}, which it was built on, is no longer "
                "kept: use another --run"
            )
    return Lineage(storage.normalise(warehouse), run, parent, gone)


def discard(warehouse: str, run: str, because: str) -> None:
    """Never use a run again; one that is discarded already stays so, for the reason it was."""
    made = Discard(run=run, because=because, discarded_at=time.time())
    try:
        storage.create(_uri(warehouse, run), made.model_dump_json().encode())
    except AlreadyExists:
        return


def discards(warehouse: str) -> list[Discard]:
    """All runs that are never used again, by run id."""
    return [_read(uri) for uri in _uris(warehouse)]


def discarded_runs(warehouse: str) -> frozenset[str]:
    """Their run ids alone: one listing."""
    return frozenset(_run_of(uri) for uri in _uris(warehouse))


def _uris(warehouse: str) -> list[str]:
    folder = storage.join(storage.normalise(warehouse), FOLDER)
    uris = (file.uri for file in storage.list_level(folder, missing_ok=True)[1])
    return [uri for uri in uris if uri.endswith(".json")]  # no temporary ones


def _read(uri: str) -> Discard:
    try:
        found = Discard.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise ManifestError(f"{uri}: not a discarded run of this version: {error.errors()[0]['msg']}") from None
    if found.run != _run_of(uri):
        raise ManifestError(f"{uri}: found run {found.run} in it, wanted {_run_of(uri)}")
    return found


def _run_of(uri: str) -> str:
    return uri.rsplit("/", 1)[-1].removesuffix(".json")


def _uri(warehouse: str, run: str) -> str:
    return storage.join(storage.normalise(warehouse), FOLDER, f"{run}.json")
