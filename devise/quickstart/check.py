"""`devise check`: everything that would fail in a night, a line each, in a minute; no Spark, and nothing is changed.

A check tells what it found and goes on: all that is wrong is said at once. What only a cluster can tell is doctor's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from devise import settings
from devise.config import (
    EmbedConfig,
    JobConfig,
    NightlyConfig,
    PublishConfig,
)
from devise.errors import ConfigError, DeviseError
from devise.quickstart import inputs, look, reach
from devise.store import checks, s3, scratch, storage
from devise.store.checks import Finding

AFTER_ALL = "zzzz-check"
"""A run that comes after every other: what it would build on is what the next night builds on. It is never begun."""
Settings = Mapping[str, JobConfig]


def check(config: str, sets: Sequence[str]) -> None:
    """Print a line a check.

    Raises:
        ConfigError: something would stop a night, or the file cannot be read at all.
    """
    states = []
    for finding in examine(config, list(sets)):
        print(finding, flush=True)
        states.append(finding.state)
    told = "; what only Spark can tell (Java, executors, cards): `devise doctor --config` the same"
    if n_faults := states.count("fault"):
        raise ConfigError(f"found {n_faults} of {len(states)} checks at fault, wanted none: a night would stop{told}")
    print(f"\n{len(states)} checks, {states.count('warning')} warnings, no fault{told}")


def examine(config: str, sets: list[str]) -> Iterator[Finding]:
    """Every check, as it is done; sections that are wrong are told, and what they name is passed over."""
    path = scratch.localise(storage.normalise(config))
    s3.configure(settings.load_s3(path, sets))
    jobs = _jobs(path, sets)
    found: dict[str, JobConfig] = {}
    for name, job in jobs.items():
        try:
            found[name] = settings.load(path, job.section or name, job.config, AFTER_ALL, sets)
        except ConfigError as error:
            yield Finding("fault", f"settings: {error}")
    if len(found) == len(jobs):
        yield Finding("ok", f"settings: the sections of {len(found)} stages, {', '.join(found)}")
    if not found:
        return
    warehouse, seen = storage.normalise(next(iter(found.values())).warehouse), None
    if "catalog_images" in found:
        yield from _told("region", lambda: _region(warehouse, found["catalog_images"].sources))
        seen = yield from _told("images", lambda: _corpus(found))
    yield from inputs.examine(found, seen.sample if seen is not None else None)
    yield from checks.check_all(warehouse, [])
    yield from _told("live", lambda: (_live(jobs, found, warehouse), None))


def _jobs(path: Any, sets: list[str]) -> dict[str, Any]:
    """The jobs of a night, by name; all of them where the file names no night."""
    from devise.jobs.run_nightly import JOBS

    stages = settings.load(path, "run_nightly", NightlyConfig, AFTER_ALL, sets).stages
    if unknown := [stage for stage in stages if stage not in JOBS]:
        raise ConfigError(f"{path}, run_nightly: unknown stages {unknown}; known are {sorted(JOBS)}")
    return {stage: JOBS[stage] for stage in stages}


def _told(what: str, work: Callable[[], tuple[list[Finding], Any]]) -> Iterator[Finding]:
    """The findings of some work, and its result; or the broken promise that ended it."""
    try:
        found, result = work()
    except DeviseError as error:
        hint = reach.hint(error) if what in ("images", "region") else ""  # what a listing's refusal means
        yield Finding("fault", f"{what}: {error}{hint}")
        return None
    yield from found
    return result


def _region(warehouse: str, sources: Sequence[str]) -> tuple[list[Finding], None]:
    far = [uri for uri in (warehouse, *map(storage.normalise, sources)) if not storage.is_local(uri)]
    if not far:
        return [], None
    told = reach.agreed_region(far)
    return [Finding("ok", f"region: {told}" if told else "region: none is named, and the server tells none")], None


def _corpus(found: Settings) -> tuple[list[Finding], look.Corpus | None]:
    catalog = found["catalog_images"]
    warehouse = catalog.warehouse
    engine = found.get("embed_images", EmbedConfig(warehouse=warehouse, run=AFTER_ALL)).engine
    limit = found.get("publish_run", PublishConfig(warehouse=warehouse, run=AFTER_ALL)).max_reject_fraction
    if catalog.inventory is not None:
        return [checks.check_file("inventory", catalog.inventory)], None
    seen = look.corpus(catalog, engine)
    return look.told_of_corpus(seen, engine, limit), seen


def _live(jobs: Mapping[str, Any], found: Settings, warehouse: str) -> list[Finding]:
    """What is live, and what the next night would build anew because settings or files are others."""
    from devise.warehouse import pointer
    from devise.warehouse.lineage import begin

    live = pointer.read(warehouse)
    if live is None:
        return [Finding("ok", "live: nothing yet: the first night embeds every image")]
    told = [Finding("ok", f"live: run {live.run}; a night's --run must sort behind it")]
    line = begin(warehouse, AFTER_ALL)
    what = {
        "build_vocabulary": ("vocabulary", "labels and the model are made anew beside the live ones"),
        "train_model": ("model", "every image is embedded anew beside the live ones, and the index is built anew"),
    }
    others: list[str] = []  # of the vocabulary, and then of the model too, which is made of it
    for name, (table, then) in what.items():
        if name not in found or (made := line.newest(table)) is None:
            continue
        if others := [*others, *_changed(jobs[name], found[name], made)]:
            told.append(Finding("warning", f"live: {table} of run {made.run}: other {', '.join(others)}: {then}"))
        else:
            told.append(Finding("ok", f"live: {table} of run {made.run} stands: same settings, same files"))
    return told


def _changed(job: Any, config: JobConfig, made: Any) -> list[str]:
    """Settings and files that are not those that a run was made with."""
    from devise.spark.frame.inputs import fingerprint

    now = config.settings(job.deciding)
    changed = sorted(key for key in now if now[key] != made.config.get(key))
    files = [uri for uri in job.files(config) if uri is not None]
    return [*changed, *(uri for uri in files if uri not in changed and made.inputs.get(uri) != [fingerprint(uri)])]
