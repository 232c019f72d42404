"""The frame of every job: arguments, inputs, commit, errors; knows nothing of what a job computes.

A job is declared, not programmed: what it reads, what it writes, and a `main(task)`. The frame resolves the inputs to
committed runs, recognises work that is done already, sweeps what a killed run left, calls `main`, and commits last.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

import devise
from devise.config import JobConfig
from devise.errors import ManifestError, StorageError
from devise.spark.frame import faults, schemas, tables
from devise.spark.frame.metering import metered
from devise.spark.frame.tables import Written
from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest

MAKERS = {
    "images": "catalog_images",
    "vocabulary": "build_vocabulary",
    "model": "train_model",
    "embeddings": "embed_images",
    "rejects": "embed_images",
    "labels": "label_images",
    "index": "build_index",
    "results": "search_images",
    "metrics": "evaluate_model",
}


@dataclass(frozen=True)
class Job:
    """What a job is: its section's name and settings, the runs it reads, the tables it writes, and its work."""

    name: str
    config: type[JobConfig]
    main: Callable[["Task"], None]
    writes: tuple[str, ...]
    """The last one is the primary: its manifest is written last and commits them all. Empty: the job only publishes."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """Table -> `this` (this run's, required), `newest` (not after this run, required), `earlier` (all before this run,
    back to the newest base), `all` (the same, up to this run), `any` (this run's if there is one); and, of work to save
    that does not decide the output, `previous` (the last one before this run, if there is one) or `cache` (all)."""
    files: Callable[[Any], Sequence[str | None]] = lambda config: ()
    """Outside files or folders that decide the output, for the input hash; None entries are passed over."""
    reuse: bool = False
    """True if the run before serves as well where its inputs and settings are the same."""


@dataclass
class Task:
    """One run of a job under way."""

    spark: SparkSession
    config: Any
    inputs: dict[str, list[Manifest]]
    staging: str
    written: dict[str, Written] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    model_id: str | None = None
    vocabulary_id: str | None = None
    bases: set[str] = field(default_factory=set)
    """Tables of which this run holds all that is live, so that readers need no earlier one."""
    check: Callable[[], None] = lambda: None
    """Raises if the warehouse is no longer this process's; called right before anything is made live."""

    def folder(self, table: str) -> str:
        """Where this run of a table goes."""
        return manifest.folder(self.config.warehouse, table, self.config.run)

    def input(self, table: str) -> Manifest:
        """The one run of a table that is read."""
        return self.inputs[table][-1]

    def read(self, table: str) -> DataFrame:
        return tables.read(self.spark, self.config.warehouse, self.inputs[table], schemas.TABLES[table])

    def stage(self, frame: DataFrame, name: str) -> DataFrame:
        """Compute a frame once: write it to scratch in the warehouse and read it back."""
        path = storage.join(self.staging, name)
        frame.write.option("compression", "zstd").parquet(path)
        return self.spark.read.schema(frame.schema).parquet(path)

    def write(self, table: str, frame: DataFrame) -> Written:
        """Write the rows of a table's run; they exist only once the job commits."""
        self.written[table] = tables.write(frame, self.folder(table), schemas.TABLES[table])
        return self.written[table]


def perform(
    job: Job, spark: SparkSession, config: JobConfig, check: Callable[[], None] = lambda: None
) -> dict[str, Manifest]:
    """Do a job's run unless it is done already; the manifests that now hold, by table.

    Args:
        check: raises if the warehouse is no longer this process's; called right before anything is swept or committed.
            The default is for a caller that is alone in the warehouse.

    Raises:
        ManifestError: an input is missing, or the run is committed with other inputs or settings.
        GateError: it is not committed, and older than what is live.
        LeaseLost: says `check`; nothing is committed.
    """
    started_at = time.time()
    inputs = _resolve(job, config)
    named = {table: [run.identity() for run in runs] for table, runs in inputs.items()}
    named |= {uri: [fingerprint(uri)] for uri in job.files(config) if uri is not None}
    saves_work = {table for table, which in job.reads.items() if which in ("previous", "cache")}
    inputs_hash = manifest.hash_inputs({name: runs for name, runs in named.items() if name not in saves_work})
    done = _done_already(job, config, inputs_hash)
    if done is not None:
        return done
    if job.writes:
        pointer.refuse_older(pointer.read(config.warehouse), config.run)
    check()  # what is swept could be the work of whoever has taken the warehouse
    manifest.sweep(config.warehouse, job.writes, config.run)
    scratch = storage.join(storage.normalise(config.warehouse), "_staging", job.name, f"run={config.run}")
    storage.delete_folder(scratch)
    task = Task(spark, config, inputs, storage.join(scratch, uuid.uuid4().hex), check=check)
    task.model_id = inputs["model"][-1].model_id if inputs.get("model") else None
    task.vocabulary_id = inputs["vocabulary"][-1].vocabulary_id if inputs.get("vocabulary") else None
    in_warehouse = faults.told_by_workers(storage.normalise(config.warehouse))
    with in_warehouse, metered(spark.sparkContext) as requests:
        job.main(task)
        task.details["requests"] = requests()
    if missing := [table for table in job.writes if table not in task.written]:
        raise ValueError(f"job {job.name} promised {missing} and wrote none")
    committed = {}
    for table in job.writes:
        check()
        written = task.written[table]
        committed[table] = Manifest(
            table=table,
            run=config.run,
            primary=job.writes[-1],
            rows=written.rows,
            columns=written.columns,
            files=written.files,
            rejects=written.rejects,
            inputs=named,
            inputs_hash=inputs_hash,
            config=config.settings(),
            config_hash=config.config_hash(),
            model_id=task.model_id,
            vocabulary_id=task.vocabulary_id,
            base=table in task.bases,
            code_version=devise.__version__,
            started_at=started_at,
            finished_at=time.time(),
            details=task.details,
        )
        manifest.write(config.warehouse, committed[table])
    storage.delete_folder(scratch)
    counts = ", ".join(f"{table} {written.rows:,} rows" for table, written in task.written.items())
    say(job.name, f"run {config.run} committed: {counts or 'nothing to write'} ({time.time() - started_at:.1f} s)")
    return committed


def fingerprint(uri: str) -> str:
    """A text that changes when the file, or anything in the folder, changes; `StorageError` if nothing is there."""
    if uri.startswith("torchvision:"):
        return uri
    uri = storage.normalise(uri)
    found = storage.stat(uri)
    if found is not None and not (storage.is_local(uri) and storage.local_path(uri).is_dir()):
        return found.etag
    total = count = 0
    for file in storage.list_files(uri):
        total += int.from_bytes(hashlib.sha256(f"{file.uri} {file.etag}".encode()).digest(), "big")
        count += 1
    if not count:
        raise StorageError(f"{uri}: no such file, and no folder with files in it")
    return f"{count} files {total % 2**256:064x}"


def _resolve(job: Job, config: JobConfig) -> dict[str, list[Manifest]]:
    warehouse, run = config.warehouse, config.run
    resolved: dict[str, list[Manifest]] = {}
    for table, which in job.reads.items():
        if which in ("earlier", "cache"):
            resolved[table] = manifest.earlier(warehouse, table, run)
            continue
        if which == "previous":
            before = manifest.previous(warehouse, table, run)
            resolved[table] = [before] if before else []
            continue
        this = manifest.find(warehouse, table, run)
        if which == "all":
            before = [] if this and this.base else manifest.earlier(warehouse, table, run)
            resolved[table] = [*before, *([this] if this else [])]
            continue
        found = manifest.newest(warehouse, table, run) if which == "newest" else this
        if found is None and which != "any":
            where = manifest.folder(warehouse, table, run)
            raise ManifestError(
                f"{where}: {job.name} needs {table} and found no committed run; {MAKERS[table]} makes it"
            )
        resolved[table] = [found] if found else []
    for table in ("embeddings", "rejects"):
        if table in resolved and resolved.get("model"):  # vectors of another model are never mixed in
            model_id = resolved["model"][-1].model_id
            resolved[table] = [found for found in resolved[table] if found.model_id == model_id]
    return resolved


def _done_already(job: Job, config: JobConfig, inputs_hash: str) -> dict[str, Manifest] | None:
    if not job.writes:
        return None
    primary = job.writes[-1]
    found = manifest.find(config.warehouse, primary, config.run)
    if found is not None:
        where = f"{manifest.folder(config.warehouse, primary, config.run)} is committed with"
        if found.config_hash != config.config_hash():
            changed = sorted(key for key in config.settings() if config.settings()[key] != found.config.get(key))
            raise ManifestError(
                f"{where} other settings ({', '.join(changed)}): use another --run, or the same settings"
            )
        if found.inputs_hash != inputs_hash:
            raise ManifestError(f"{where} other inputs: use another --run; a committed run is never rewritten")
        say(job.name, f"run {config.run} is committed already; nothing to do")
    elif job.reuse:
        # Of the newest run alone: it is what readers take, so a setting that goes back makes its run anew.
        found = manifest.previous(config.warehouse, primary, config.run)
        if found is not None and (found.config_hash, found.inputs_hash) == (config.config_hash(), inputs_hash):
            say(job.name, f"inputs and settings as in run {found.run}, which stands; nothing to do")
        else:
            found = None
    if found is None:
        return None
    return {table: manifest.read(config.warehouse, table, found.run) for table in job.writes}


def say(name: str, text: str) -> None:
    """One line of progress on standard output."""
    print(f"[{name}] {text}", flush=True)
