"""The command line of a job and of a night: arguments, the lease of the warehouse, Spark, errors as one line.

Exit code 2 and one line for a broken promise; a traceback and 1 for anything else.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache

from devise import process, settings
from devise.config import CatalogConfig, EmbedConfig, JobConfig, NightlyConfig
from devise.errors import ConfigError, StorageError
from devise.spark.frame import inputs
from devise.spark.frame.job import Job, perform
from devise.spark.frame.session import hush, refuse_spelling, start_session
from devise.store import s3, scratch, storage
from devise.store.checks import Finding
from devise.warehouse import lease, outcome
from devise.warehouse.lineage import begin
from devise.warehouse.outcome import Outcome

Planned = tuple[Job, JobConfig]
"""A job and its settings."""


def run(job: Job, arguments: Sequence[str] | None = None) -> None:
    """A job: `--config FILE --run ID [--set section.key=value ...]`; exits."""
    doc = sys.modules[job.main.__module__].__doc__
    _run(job.name, doc, arguments, lambda load: ([(job, load(job.section or job.name, job.config))], []))


def run_in_order(name: str, doc: str | None, jobs: Mapping[str, Job], arguments: Sequence[str] | None = None) -> None:
    """A night: the jobs that its section's `stages` names, in order, in one Spark application.

    Every section is checked before Spark starts. Where only some of the file's stages are asked for, those that come
    after them, in commands of their own, are foreseen too: what they cannot do is said before it is paid for.
    """

    def plan(load: Callable) -> tuple[list[Planned], list[Planned]]:
        stages, later = load(name, NightlyConfig).stages, []
        with suppress(ConfigError):  # the file names no night
            later = stages_after(stages, load(name, NightlyConfig, but=f"{name}.stages=").stages)
        if unknown := [stage for stage in (*stages, *later) if stage not in jobs]:
            raise ConfigError(f"{name}: unknown stages {unknown}; known are {sorted(jobs)}")
        sections = {stage: jobs[stage].section or stage for stage in (*stages, *later)}
        planned = {stage: (jobs[stage], load(section, jobs[stage].config)) for stage, section in sections.items()}
        return [planned[stage] for stage in stages], [planned[stage] for stage in later]

    _run(name, doc, arguments, plan)


def check(
    doc: str | None,
    examine: Callable[[CatalogConfig, EmbedConfig], Iterable[Finding]],
    arguments: Sequence[str] | None = None,
) -> None:
    """A look that changes nothing: `--config FILE [--set section.key=value ...]`; a line a finding; exits.

    Args:
        examine: what is looked at, given the settings of the corpus and of the device.
    """
    parser = process.Parser(prog="doctor", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file of the nights (local or s3://)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    with process.ending("doctor"):
        options = parser.parse_args(arguments)
        path = scratch.localise(storage.normalise(options.config))
        catalog = settings.load(path, "catalog_images", CatalogConfig, "doctor", options.set)  # a run of that name is
        embed = settings.load(path, "embed_images", EmbedConfig, "doctor", options.set)  # never begun
        s3.configure(settings.load_s3(path, options.set))
        states = []
        for finding in examine(catalog, embed):
            print(finding, flush=True)
            states.append(finding.state)
        if n_faults := states.count("fault"):
            raise ConfigError(f"found {n_faults} of {len(states)} checks at fault, wanted none: a night would stop")


def stages_after(stages: Sequence[str], night: Sequence[str]) -> list[str]:
    """Those of a night's stages that come after the last one asked for; none where that is no stage of the night."""
    return list(night[night.index(stages[-1]) + 1 :]) if stages[-1] in night else []


def foresee(work: Sequence[Planned], later: Sequence[Planned] = ()) -> None:
    """Refuse what cannot end well before it is begun: a run that must not be made, a job without what it reads.

    Asked before Spark starts.

    Args:
        later: jobs that commands after this one will do; whether they have what they read is theirs to see.

    Raises:
        GateError, ManifestError, IndexingError: as `perform` would, later.
    """
    promised: list[str] = []
    lineage_of = cache(begin)  # one warehouse, as a rule: asked once, not once a job
    for job, config in _steps(work):
        line = lineage_of(config.warehouse, config.run)
        for table in job.writes:
            line.this(table)  # made before on another publication: the job would find it so, hours later
        inputs.refuse_missing(job.name, job.reads, line, promised)
        job.foresee(config, line, promised)
        promised += job.writes
    foresee_size(later, promised)


def foresee_size(work: Sequence[Planned], promised: Sequence[str] = ()) -> None:
    """Refuse what the jobs themselves can tell by now: asked again once the catalogue says how much there is to embed.

    Args:
        promised: tables that jobs before these will make.
    """
    known, lineage_of = list(promised), cache(begin)
    for job, config in _steps(work):
        job.foresee(config, lineage_of(config.warehouse, config.run), known)
        known += job.writes


def _steps(work: Sequence[Planned]) -> list[Planned]:
    """The jobs, each after the one that it begins with."""
    return [(step, config) for asked, config in work for step in asked.steps()]


def _run(name: str, doc: str | None, arguments: Sequence[str] | None, plan: Callable) -> None:
    parser = process.Parser(prog=name, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="YAML file with a section per job (local or s3://)")
    parser.add_argument("--run", required=True, help="run id given by the scheduler, such as 2026-11-23")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    parser.add_argument("--outcome", metavar="URI", help="leave a small file there that tells how this command ended")
    with process.ending(name, answers=False), ExitStack() as whole:
        options = parser.parse_args(arguments)
        stages, done = whole.enter_context(_outcome(name, options))
        path = scratch.localise(storage.normalise(options.config))

        def load(section: str, model: type[JobConfig], but: str | None = None) -> JobConfig:
            told = [text for text in options.set if but is None or not text.startswith(but)]
            return settings.load(path, section, model, options.run, told)

        work, later = plan(load)
        stages += [job.name for job, _ in work]
        warehouses = {storage.normalise(config.warehouse) for _, config in work}
        s3.configure(settings.load_s3(path, options.set))
        if options.outcome is not None:  # an earlier attempt's would be taken for this one's, were this one killed
            outcome.clear(storage.normalise(options.outcome))
        with ExitStack() as leases:
            held = {place: leases.enter_context(lease.hold(place, options.run, name)) for place in sorted(warehouses)}
            foresee(work, later)
            spark = start_session(name, any(place.startswith("s3://") for place in warehouses))
            try:
                refuse_spelling(spark, warehouses)
                with process.stoppable():  # Spark takes Ctrl-C to itself
                    for place, (job, config) in enumerate(work, start=1):
                        perform(job, spark, config, held[storage.normalise(config.warehouse)].check)
                        done.append(job.name)
                        if "images" in job.writes:
                            foresee_size([*work[place:], *later])
            except process.Stopped:
                hush(spark)
                raise
            finally:
                spark.stop()


@contextmanager
def _outcome(name: str, options: argparse.Namespace) -> Iterator[tuple[list[str], list[str]]]:
    """The stages of a command and those that are done, both to be filled. At its end they are left where --outcome
    says, with how it ended; a command that did all and cannot say so has broken a promise."""
    started_at, stages, done = time.time(), [], []

    def leave(code: int, line: str) -> None:
        if options.outcome is None:
            return
        ended = {"exit_code": code, "line": line, "started_at": started_at, "finished_at": time.time()}
        found = Outcome(run=options.run, stages=stages, done=done, **ended)
        outcome.write(storage.normalise(options.outcome), found)

    try:
        yield stages, done
    except BaseException as error:
        try:
            leave(*process.told(error))
        except StorageError as lost:
            print(f"{name}: the outcome was not written: {lost}", file=sys.stderr, flush=True)
        raise
    leave(0, "")
