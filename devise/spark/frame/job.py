"""The frame of every job: arguments, inputs, commit, errors; knows nothing of what a job computes.

A job is declared, not programmed: what it reads, what it writes, and a `main(task)`. The frame resolves the inputs to
committed runs, recognises work that is done already, calls `main`, and commits last. What a killed run or a lost
attempt left is taken away only once this one's commit is won: until then it could be the work of a twin that still
runs.
"""

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

import devise
from devise.config import JobConfig
from devise.errors import ManifestError
from devise.spark.frame import faults, inputs, progress, schemas, tables
from devise.spark.frame.metering import metered
from devise.spark.frame.progress import say
from devise.spark.frame.tables import Written
from devise.store import storage
from devise.warehouse import manifest
from devise.warehouse.lineage import Lineage, begin
from devise.warehouse.manifest import Manifest


@dataclass(frozen=True)
class Job:
    """What a job is: its section's name and settings, the runs it reads, the tables it writes, and its work."""

    name: str
    config: type[JobConfig]
    main: Callable[["Task"], None]
    writes: tuple[str, ...]
    """The last one is the primary: its manifest commits them all. Empty: the job only publishes."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """Table -> one of `inputs.HOW`."""
    files: Callable[[Any], Sequence[str | None]] = lambda config: ()
    """Outside files or folders that decide the output, for the input hash; None entries are passed over."""
    foresee: Callable[[Any, Lineage, Sequence[str]], None] = lambda config, lineage, promised: None
    """Raises if the settings already tell that it cannot be done, given the tables that the jobs before it promise, in
    order. Asked before the first job of a command."""
    section: str | None = None
    """The section of its settings, where that is another job's."""
    deciding: tuple[str, ...] | None = None
    """The settings that decide its output, where those are not all."""
    first: "Job | None" = None
    """A job with the same settings that is done before it, unless it is done already."""
    reuse: bool = False
    """True if the newest run that this one builds on serves as well where its inputs and settings are the same."""

    def steps(self) -> list["Job"]:
        """The jobs to do, in order, itself last."""
        return [*(self.first.steps() if self.first else []), self]


@dataclass
class Task:
    """One run of a job under way."""

    spark: SparkSession
    config: Any
    lineage: Lineage
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
    kept: list[DataFrame] = field(default_factory=list)
    name: str = "devise"
    """The job's, which what it asks of Spark is called by."""

    def folder(self, table: str) -> str:
        """Where this run of a table goes."""
        return manifest.folder(self.config.warehouse, table, self.config.run)

    def input(self, table: str) -> Manifest:
        """The one run of a table that is read."""
        return self.inputs[table][-1]

    def read(self, table: str) -> DataFrame:
        return tables.read(self.spark, self.config.warehouse, self.inputs[table], schemas.TABLES[table])

    def named(self, what: str) -> AbstractContextManager[None]:
        """What the body asks of Spark is called `job: what` in its UI."""
        return progress.named(self.spark.sparkContext, self.name, what)

    def stage(self, frame: DataFrame, name: str) -> DataFrame:
        """Compute a frame once: write it to scratch in the warehouse and read it back.

        Raises:
            ValueError: the name is no word of small letters, digits and dashes: Spark takes `?`, `[` and others in a
                path for a pattern, so what people write is no name here.
        """
        if not re.fullmatch("[a-z0-9-]+", name):
            raise ValueError(f"found the name {name!r}, wanted small letters, digits and dashes")
        path = storage.join(self.staging, name)
        with self.named(f"put {name} by"):
            frame.write.option("compression", "zstd").parquet(path)
        return self.spark.read.schema(frame.schema).parquet(path)

    def keep(self, frame: DataFrame) -> tuple[DataFrame, int]:
        """Compute a frame once and hold it on the workers until the job ends; and its number of rows.

        For narrow rows of what changed: unlike a staged frame it costs no files. A worker that goes takes its part
        along, which is then computed again.
        """
        kept = frame.persist()
        self.kept.append(kept)
        with self.named("find what changed"):
            return kept, kept.count()

    def write(self, table: str, frame: DataFrame) -> Written:
        """Write the rows of a table's run; they exist only once the job commits."""
        with self.named(f"write {table}"):
            self.written[table] = tables.write(frame, self.folder(table), schemas.TABLES[table])
        return self.written[table]


def perform(
    job: Job, spark: SparkSession, config: JobConfig, check: Callable[[], None] = lambda: None
) -> dict[str, Manifest]:
    """Do a job's run, and first that of the job before it, unless it is done already; the manifests that now hold.

    Args:
        check: raises if the warehouse is no longer this process's; called right before anything is committed. The
            default is for a caller that is alone in the warehouse.

    Raises:
        ManifestError: an input is missing, or the run is committed with other inputs or settings.
        GateError: the run is older than what is live, was discarded, or was begun on another publication.
        LeaseLost: says `check`; nothing is committed.
    """
    before = perform(job.first, spark, config, check) if job.first is not None else {}
    started_at = time.time()
    lineage = begin(config.warehouse, config.run)
    read = inputs.resolve(job.name, job.reads, lineage)
    named = {table: [run.identity() for run in runs] for table, runs in read.items()}
    named |= {uri: [inputs.fingerprint(uri)] for uri in job.files(config) if uri is not None}
    saves_work = {table for table, how in job.reads.items() if how in inputs.SAVES_WORK}
    inputs_hash = manifest.hash_inputs({name: runs for name, runs in named.items() if name not in saves_work})
    done = _done_already(job, config, lineage, inputs_hash)
    if done is not None:
        return before | done
    check()
    scratch = storage.join(storage.normalise(config.warehouse), "_staging", job.name, f"run={config.run}")
    task = Task(spark, config, lineage, read, storage.join(scratch, uuid.uuid4().hex), check=check, name=job.name)
    task.model_id = read["model"][-1].model_id if read.get("model") else None
    task.vocabulary_id = read["vocabulary"][-1].vocabulary_id if read.get("vocabulary") else None
    tables.size_shuffles(spark, (file for runs in read.values() for run in runs for file in run.files))
    in_warehouse = faults.told_by_workers(storage.normalise(config.warehouse))
    context = spark.sparkContext
    with (
        in_warehouse,
        progress.tasks_told(context, job.name),
        progress.named(context, job.name),
        metered(context) as requests,
    ):
        try:
            job.main(task)
        finally:
            for frame in task.kept:
                frame.unpersist()
        task.details["requests"] = requests()
    if missing := [table for table in job.writes if table not in task.written]:
        raise ValueError(f"job {job.name} promised {missing} and wrote none")
    committed = {
        table: Manifest(
            table=table,
            run=config.run,
            parent=lineage.number,
            rows=written.rows,
            columns=written.columns,
            files=written.files,
            rejects=written.rejects,
            inputs=named,
            inputs_hash=inputs_hash,
            config=config.settings(job.deciding),
            config_hash=config.config_hash(job.deciding),
            model_id=task.model_id,
            vocabulary_id=task.vocabulary_id,
            base=table in task.bases,
            code_version=devise.__version__,
            started_at=started_at,
            finished_at=time.time(),
            details=task.details,
        )
        for table, written in task.written.items()
    }
    if job.writes:
        *others, primary = job.writes
        whole = committed[primary].model_copy(update={"secondary": {table: committed[table] for table in others}})
        committed[primary] = whole
        check()
        manifest.write(config.warehouse, whole)
        for table in job.writes:
            below = storage.list_files(task.folder(table), missing_ok=True, links=False)
            storage.delete(*(file.uri for file in manifest.unlisted(committed[table], task.folder(table), below)))
    storage.delete_folder(scratch)
    counts = ", ".join(f"{table} {written.rows:,} rows" for table, written in task.written.items())
    say(job.name, f"run {config.run} committed: {counts or 'nothing to write'} ({time.time() - started_at:.1f} s)")
    return before | committed


def _done_already(job: Job, config: JobConfig, lineage: Lineage, inputs_hash: str) -> dict[str, Manifest] | None:
    if not job.writes:
        return None
    primary, settings = job.writes[-1], config.settings(job.deciding)
    found = lineage.this(primary)
    if found is not None:
        where = f"{manifest.folder(config.warehouse, primary, config.run)} is committed with"
        if found.config_hash != config.config_hash(job.deciding):
            changed = sorted(key for key in settings if settings[key] != found.config.get(key))
            raise ManifestError(
                f"{where} other settings ({', '.join(changed)}): use another --run, or the same settings"
            )
        if found.inputs_hash != inputs_hash:
            raise ManifestError(f"{where} other inputs: use another --run; a committed run is never rewritten")
        say(job.name, f"run {config.run} is committed already; nothing to do")
    elif job.reuse:
        # Of the newest run alone: it is what readers take, so a setting that goes back makes its run anew.
        found, wanted = lineage.latest(primary), (config.config_hash(job.deciding), inputs_hash)
        if found is not None and (found.config_hash, found.inputs_hash) == wanted:
            say(job.name, f"inputs and settings as in run {found.run}, which stands; nothing to do")
        else:
            found = None
    if found is None:
        return None
    return {**found.secondary, primary: found}
