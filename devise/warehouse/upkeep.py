"""Upkeep of a warehouse: back to an earlier publication; runs never used again; old runs and leftovers removed.

No columns, no Spark. All hold the warehouse's lease, so no night is under way meanwhile. Manifests go first and files
follow: what is half removed does not exist for readers, and the next `expire` finds the rest as leftovers.
"""

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from devise.errors import ConfigError, ManifestError
from devise.store import storage
from devise.store.storage import Stat
from devise.store.uploads import Upload
from devise.warehouse import lease, lineage, manifest, pointer
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
    uploads: list[Upload] = field(default_factory=list)


def rollback(warehouse: str, number: int | None = None) -> list[str]:
    """Make an earlier kept publication live again, as a new one; lines of what was live, is live, and was discarded.

    The runs that it leaves, published since or not, are never used again: no night builds on them, and a scheduler that
    starts them once more is refused.

    Args:
        number: which publication; default the newest one of a run before the live run.

    Raises:
        ConfigError: there is no such publication, it is what is live, or it names a discarded run.
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
        # First: a rollback that is cut short here is only asked for again, and until then no night builds on them.
        left = _left_by(warehouse, target)
        for run in left:
            lineage.discard(warehouse, run, f"rollback to publication {target.number}")
        made = pointer.swap(warehouse, target.pairs(), target.run, live, target.parent, target.number)
    told = f"never to be used again: run {', '.join(left)}" if left else "nothing: no run came after it"
    return [
        f"publication {live.number} (run {live.run}) was live; publication {made.describe()} is",
        f"discarded, {told}",
    ]


def discard(warehouse: str, run: str) -> str:
    """Never use a run again, in no night's lineage; one line that says so. Its files stay until `expire`.

    Raises:
        ConfigError: the run is part of what is live, or was discarded before.
        ManifestError: nothing is published, or no table has a committed run of this id.
    """
    manifest.check_run(warehouse, run)  # else the lease would name it first
    with lease.hold(warehouse, run, "discard") as held:
        live = pointer.settle(warehouse)
        tables = [table for table in manifest.tables(warehouse) if manifest.is_committed(warehouse, table, run)]
        if not tables:
            raise ManifestError(f"{warehouse}: no table has a committed run {run}")
        if live is not None and (named := [table for table, name in live.pairs() if name == run]):
            raise ConfigError(
                f"run {run} is live, in publication {live.describe()}: {', '.join(named)}; a rollback discards it"
            )
        if run in lineage.discarded_runs(warehouse):
            raise ConfigError(f"run {run} is discarded already")
        held.check()
        made_of_it = _made_from(warehouse, run)
        for other in made_of_it:  # first: cut short, the command is only asked for again
            lineage.discard(warehouse, other, f"devise discard of run {run}, which it was made from")
        lineage.discard(warehouse, run, "devise discard")
    also = f"; and what was made from it: run {', '.join(made_of_it)}" if made_of_it else ""
    return f"run {run} is discarded, never to be used again: {', '.join(tables)}{also}"


def expire(warehouse: str, keep: int, dry_run: bool = False) -> list[str]:
    """Keep the newest publications and what they need, remove what is older and what was left over; lines that say so.

    Never removed: the live publication, runs that are not before the live run unless they were discarded, and the
    newest run of `features`, which are a cache that no publication names.

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


def _left_by(warehouse: str, target: Live) -> list[str]:
    """Ids of the committed runs that came after a publication and are no part of it, whatever is in their manifests."""
    named = {run for _, run in target.pairs()}
    runs = [pair for pair in _runs(warehouse) if pair[1] > target.run and pair[1] not in named]
    committed = _each(lambda pair: manifest.is_committed(warehouse, *pair), runs)
    return sorted({run for (_, run), there in zip(runs, committed, strict=True) if there})


def _made_from(warehouse: str, run: str) -> list[str]:
    """Ids of the later runs that were made from a run, or from one of those, and are not live."""
    live = pointer.read(warehouse)
    later = [pair for pair in _runs(warehouse) if pair[1] > (max(run, live.run) if live else run)]
    inputs: dict[str, set[str]] = {}
    for pair, made in zip(later, _each(lambda pair: _find_whole(warehouse, *pair), later), strict=True):
        inputs.setdefault(pair[1], set()).update(name for (_, name), _ in (made.made_from() if made else ()))
    gone = {run}
    for other in sorted(inputs):  # a run reads itself and earlier ones
        if inputs[other] & gone:
            gone.add(other)
    return sorted(gone - {run})


def _find_whole(warehouse: str, table: str, run: str) -> Manifest | None:
    """A run's manifest, or None: also where it is torn, for then nothing is made from it, and no night takes it."""
    try:
        return manifest.find(warehouse, table, run)
    except ManifestError:
        return None


def _runs(warehouse: str) -> list[tuple[str, str]]:
    """(table, run) of every run, committed or not."""
    return [(table, run) for table in manifest.tables(warehouse) for run in manifest.run_ids(warehouse, table)]


def _choose(warehouse: str, live: Live, number: int | None) -> Live:
    kept, gone = pointer.history(warehouse), lineage.discarded_runs(warehouse)
    if number is None:
        found = [one for one in kept if one.run < live.run and gone.isdisjoint(run for _, run in one.pairs())]
        wanted = f"one of a run before {live.run}"
    else:
        found = [publication for publication in kept if publication.number == number]
        wanted = f"publication {number}"
    numbers = ", ".join(publication.describe() for publication in kept)
    if not found:
        raise ConfigError(f"{warehouse}: wanted {wanted}, kept are {numbers}")
    if (found[-1].run, found[-1].pairs()) == (live.run, live.pairs()):
        raise ConfigError(f"{warehouse}: publication {found[-1].number} is what is live; kept are {numbers}")
    if named := sorted({run for _, run in found[-1].pairs() if run in gone}):
        raise ConfigError(
            f"{warehouse}: publication {found[-1].number} names run {', '.join(named)}, which was discarded and is "
            f"never used again; kept are {numbers}"
        )
    return found[-1]


def _plan(warehouse: str, live: Live, keep: int) -> Plan:
    history = pointer.history(warehouse)
    kept = {publication.number: publication for publication in [*history[-keep:], live]}
    gone = lineage.discarded_runs(warehouse)
    plan = Plan([publication for publication in history if publication.number not in kept])
    old = time.time() - LEFTOVER_SECONDS
    runs = _runs(warehouse)
    found = dict(zip(runs, _each(lambda pair: manifest.find(warehouse, *pair), runs), strict=True))
    committed = {pair: made for pair, made in found.items() if made is not None}
    ours = {table for table, _ in committed}  # a folder in which nothing was ever committed may be somebody else's
    found = {pair: made for pair, made in found.items() if pair[0] in ours}
    needed = _needed(committed, kept.values(), gone)
    files = _each(lambda pair: _files(manifest.folder(warehouse, *pair)), found)
    for (pair, made), held in zip(found.items(), files, strict=True):
        folder = manifest.folder(warehouse, *pair)
        if made is None:
            _sort_leftovers(plan, folder, held, old)
        elif pair not in needed and (pair[1] < live.run or pair[1] in gone):
            plan.runs[folder] = held
        else:
            plan.strays += [file for file in manifest.unlisted(made, folder, held) if file.modified_at < old]
    root = storage.normalise(warehouse)
    for job in storage.list_level(storage.join(root, "_staging"), missing_ok=True)[0]:
        for folder in storage.list_level(job, missing_ok=True)[0]:
            _sort_leftovers(plan, folder, _files(folder), old)
    current = storage.list_level(storage.join(root, pointer.CURRENT.rsplit("/", 1)[0]), missing_ok=True)[1]
    plan.strays += [file for file in current if not file.uri.endswith(pointer.CURRENT) and file.modified_at < old]
    plan.uploads = [upload for upload in storage.list_uploads(root) if upload.started_at < old]
    return plan


def _needed(
    committed: dict[tuple[str, str], Manifest], kept: Iterable[Live], gone: Collection[str]
) -> set[tuple[str, str]]:
    """(table, run) pairs that stay, whatever their age."""
    needed = {pair for publication in kept for pair in publication.pairs()}
    published = {publication.run for publication in kept}  # also its tables that no publication names
    needed |= {(table, run) for table, run in committed if run in published}
    needed |= {("features", run) for table, run in needed if table == "model"}
    needed |= set(sorted(pair for pair in committed if pair[0] == "features" and pair[1] not in gone)[-1:])
    # Runs that one manifest records go together.
    needed |= {(manifest.COMMITTED_BY.get(table, table), run) for table, run in needed}
    return needed | {
        (table, run) for table, primary in manifest.COMMITTED_BY.items() for of, run in needed if of == primary
    }


def _sort_leftovers(plan: Plan, folder: str, files: list[Stat], old: float) -> None:
    """A folder of which nothing counts goes whole, unless some of it is young."""
    if all(file.modified_at < old for file in files):
        plan.dead[folder] = files
    else:
        plan.strays += [file for file in files if file.modified_at < old]


def _remove(warehouse: str, plan: Plan, check: Callable[[], None]) -> None:
    for publication in plan.forgotten:  # first, so that none that is kept ever names what is gone
        pointer.forget(warehouse, publication)
    check()
    storage.delete(*(storage.join(folder, manifest.NAME) for folder in plan.runs))
    for folder in [*plan.runs, *plan.dead]:
        check()
        storage.delete_folder(folder)
    check()
    storage.delete(*(file.uri for file in plan.strays))
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


def _files(folder: str) -> list[Stat]:
    """What is below a folder of the warehouse; a link in it leads to what is somebody else's."""
    return list(storage.list_files(folder, missing_ok=True, links=False))


def _size(files: list[Stat]) -> str:
    return f"{len(files):,} files, {sum(file.size_bytes for file in files):,} bytes"


def _each(do: Callable, things: Iterable) -> list:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(do, things))
