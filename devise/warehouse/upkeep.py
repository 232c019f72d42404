"""Upkeep of a warehouse: back to an earlier publication; old runs and leftovers removed. Knows no columns, no Spark.

Both hold the warehouse's lease, so no night is under way meanwhile. A run's manifest goes first and its files follow:
what is half removed does not exist for readers, and the next `expire` finds the rest as leftovers.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from devise.errors import ConfigError, ManifestError
from devise.store import s3, storage
from devise.store.storage import Stat
from devise.warehouse import lease, manifest, pointer
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live

THREADS = 16
LEFTOVER_SECONDS = 24 * 3600.0
"""Files that nothing lists are removed once they are as old as this, by the store's own modified time."""


@dataclass
class Plan:
    """What `expire` removes."""

    forgotten: list[Live]
    runs: dict[str, list[Stat]] = field(default_factory=dict)
    """Folder -> files of each committed run that no kept publication needs."""
    dead: dict[str, list[Stat]] = field(default_factory=dict)
    """Folder -> files of runs and scratch that were never finished."""
    strays: list[Stat] = field(default_factory=list)
    """Single leftovers in folders that stay."""
    uploads: list[s3.Upload] = field(default_factory=list)


def rollback(warehouse: str, number: int | None = None) -> str:
    """Make an earlier kept publication live again, as a new one; one line of what was live and what is.

    Args:
        number: which publication; default the newest one of a run before the live run.

    Raises:
        ConfigError: there is no such publication, or it is what is live.
        ManifestError: a run that it names is gone.
        LeaseHeld: somebody works in the warehouse.
    """
    with lease.hold(warehouse, pointer.published(warehouse).run, "rollback") as held:
        pointer.settle(warehouse)
        live = pointer.published(warehouse)
        target = _choose(warehouse, live, number)
        for table, run in target.pairs():
            if manifest.find(warehouse, table, run) is None:
                where = manifest.folder(warehouse, table, run)
                raise ManifestError(f"{where}: publication {target.number} names this run, and it is gone")
        held.check()
        # Its own run id, not the one rolled back: whatever night comes next sorts after it and is accepted.
        made = pointer.swap(warehouse, target.pairs(), target.run, live)
    return (
        f"publication {live.number} (run {live.run}) was live; "
        f"publication {made.number} (run {made.run}, as publication {target.number}) is"
    )


def expire(warehouse: str, keep: int, dry_run: bool = False) -> list[str]:
    """Keep the newest publications and what they need, remove what is older and what was left over; lines that say so.

    Never removed: the live publication, runs that are not before the live run, and the newest run of `features`, which
    are a cache that no publication names.

    Args:
        keep: how many publications, 1 or more.
        dry_run: say what would be removed; this takes no lease, because it writes nothing.

    Raises:
        ManifestError: nothing is published.
        LeaseHeld: somebody works in the warehouse.
    """
    if keep < 1:
        raise ValueError(f"found keep {keep}, wanted 1 or more")
    live = pointer.published(warehouse)
    if dry_run:
        return _report(_plan(warehouse, live, keep), "would be removed", "would be forgotten")
    with lease.hold(warehouse, live.run, "expire") as held:
        pointer.settle(warehouse)
        plan = _plan(warehouse, pointer.published(warehouse), keep)
        held.check()
        _remove(warehouse, plan, held.check)
    return _report(plan, "removed", "forgotten")


def _choose(warehouse: str, live: Live, number: int | None) -> Live:
    kept = pointer.history(warehouse)
    if number is None:
        found = [publication for publication in kept if publication.run < live.run]
        wanted = f"one of a run before {live.run}"
    else:
        found = [publication for publication in kept if publication.number == number]
        wanted = f"publication {number}"
    numbers = ", ".join(f"{publication.number} (run {publication.run})" for publication in kept)
    if not found:
        raise ConfigError(f"{warehouse}: wanted {wanted}, kept are {numbers}")
    if (found[-1].run, found[-1].pairs()) == (live.run, live.pairs()):
        raise ConfigError(f"{warehouse}: publication {found[-1].number} is what is live; kept are {numbers}")
    return found[-1]


def _plan(warehouse: str, live: Live, keep: int) -> Plan:
    history = pointer.history(warehouse)
    kept = {publication.number: publication for publication in [*history[-keep:], live]}
    plan = Plan([publication for publication in history if publication.number not in kept])
    old = time.time() - LEFTOVER_SECONDS
    runs = [(table, run) for table in manifest.tables(warehouse) for run in manifest.run_ids(warehouse, table)]
    found = dict(zip(runs, _each(lambda pair: manifest.find(warehouse, *pair), runs), strict=True))
    committed = {pair: made for pair, made in found.items() if made is not None}
    ours = {table for table, _ in committed}  # a folder in which nothing was ever committed may be somebody else's
    found = {pair: made for pair, made in found.items() if pair[0] in ours}
    needed = _needed(committed, kept.values())
    files = _each(lambda pair: list(storage.list_files(manifest.folder(warehouse, *pair))), found)
    for (pair, made), held in zip(found.items(), files, strict=True):
        folder = manifest.folder(warehouse, *pair)
        if made is None:
            _sort_leftovers(plan, folder, held, old)
        elif pair not in needed and pair[1] < live.run:
            plan.runs[folder] = held
        else:
            plan.strays += [file for file in manifest.unlisted(made, folder, held) if file.modified_at < old]
    root = storage.normalise(warehouse)
    for job in storage.list_level(storage.join(root, "_staging"), missing_ok=True)[0]:
        for folder in storage.list_level(job, missing_ok=True)[0]:
            _sort_leftovers(plan, folder, list(storage.list_files(folder)), old)
    plan.uploads = [upload for upload in storage.list_uploads(root) if upload.started_at < old]
    return plan


def _needed(committed: dict[tuple[str, str], Manifest], kept: Iterable[Live]) -> set[tuple[str, str]]:
    """(table, run) pairs that stay, whatever their age."""
    needed = {pair for publication in kept for pair in publication.pairs()}
    published = {publication.run for publication in kept}  # also its tables that no publication names
    needed |= {(table, run) for table, run in committed if run in published}
    needed |= {("features", run) for table, run in needed if table == "model"}
    needed |= set(sorted(pair for pair in committed if pair[0] == "features")[-1:])
    # A secondary table's run exists only as long as its primary's manifest does.
    return needed | {(committed[pair].primary, pair[1]) for pair in needed if pair in committed}


def _sort_leftovers(plan: Plan, folder: str, files: list[Stat], old: float) -> None:
    """A folder of which nothing counts goes whole, unless some of it is young."""
    if all(file.modified_at < old for file in files):
        plan.dead[folder] = files
    else:
        plan.strays += [file for file in files if file.modified_at < old]


def _remove(warehouse: str, plan: Plan, check: Callable[[], None]) -> None:
    for publication in plan.forgotten:  # first, so that none that is kept ever names what is gone
        pointer.forget(warehouse, publication)
    for folder in [*plan.runs, *plan.dead]:
        check()
        storage.delete(storage.join(folder, manifest.NAME))
        storage.delete_folder(folder)
    check()
    _each(storage.delete, [file.uri for file in plan.strays])
    _each(storage.abort_upload, plan.uploads)


def _report(plan: Plan, removed: str, forgotten: str) -> list[str]:
    lines = [f"{folder}: {_size(files)} {removed}" for folder, files in plan.runs.items()]
    lines += [
        f"{folder}: {_size(files)} of an unfinished run {removed}" for folder, files in plan.dead.items() if files
    ]
    lines += [f"{file.uri}: {file.size_bytes:,} bytes that no manifest lists {removed}" for file in plan.strays]
    lines += [f"{upload.uri}: an unfinished upload {removed}" for upload in plan.uploads]
    of_runs = [file for files in plan.runs.values() for file in files]
    leftovers = [file for files in plan.dead.values() for file in files] + plan.strays
    numbers = [publication.number for publication in plan.forgotten]
    which = f" ({numbers[0]} to {numbers[-1]})" if numbers else ""
    return [
        *lines,
        f"{len(plan.runs):,} runs {removed}: {_size(of_runs)}; leftovers: {_size(leftovers)}, "
        f"{len(plan.uploads):,} unfinished uploads; {len(numbers):,} publications {forgotten}{which}",
    ]


def _size(files: list[Stat]) -> str:
    return f"{len(files):,} files, {sum(file.size_bytes for file in files):,} bytes"


def _each(do: Callable, things: Iterable) -> list:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(do, things))
