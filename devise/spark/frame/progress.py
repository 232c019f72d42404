"""How far the work is, for whoever waits: a line on a terminal, JSON lines for a log, names in Spark's UI; no job.

On a terminal one line is rewritten in place on standard error. Elsewhere a JSON line a minute goes there, which
CloudWatch finds by its keys:

    progress    the job                                 done, total    images; total is null where nobody knows it
    rejected    of those done; null where none can be   per_second     images, since this command began the stage
    left_s      seconds; null before the first          at             seconds since 1970

Counts come from what workers committed, or from a `tally`, which Spark brings as tasks end, never before (measured: its
heartbeats carry its own metrics alone). What one task has done is seen once it ends.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import NamedTuple

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.accumulators import Accumulator

from devise import telling
from devise.errors import StorageError

LOG_SECONDS = 60
TERMINAL_SECONDS = 1
STORE_SECONDS = 5
"""On a terminal, where to count is to list the store."""
IMAGES = "images"
"""The kind under which workers add to a `tally`."""
NAMES = ("spark.jobGroup.id", "spark.job.description")
"""What Spark's UI calls its jobs and stages by."""

_telling = 0
"""How many are told of by their images; then nothing is told by tasks."""


class Counts(NamedTuple):
    """Images done so far, of them rejected, and the words for a log that a job has of its own."""

    done: int
    rejected: int | None = None
    words: str = ""


def say(name: str, text: str) -> None:
    """One line of progress on standard output."""
    telling.wipe()
    print(f"[{name}] {text}", flush=True)


def as_json(job: str, counts: Counts, total: int | None, found: telling.Speed) -> str:
    """The line of a log."""
    told = {"progress": job, "done": counts.done, "total": total, "rejected": counts.rejected}
    left_s = None if found.left_s is None else round(found.left_s)
    return json.dumps(told | {"per_second": round(found.per_second, 1), "left_s": left_s, "at": round(time.time(), 3)})


@contextmanager
def told(
    job: str, total: int | None, count: Callable[[], Counts], words_every_s: float | None = None
) -> Iterator[None]:
    """While the body runs, tell how far it is.

    Args:
        total: images to do; None where nobody knows.
        count: what is done by now; a store that does not answer it is asked again later, the work itself says so.
        words_every_s: how often the words of its own are said where there is no terminal; None for never.
    """
    ended, terminal, started = Event(), sys.stderr.isatty(), time.monotonic()
    pace = (TERMINAL_SECONDS if words_every_s is None else STORE_SECONDS) if terminal else words_every_s or LOG_SECONDS

    def tell() -> None:
        logged = worded = started
        before: int | None = None
        wait_s = 0.0  # what was done before is looked at at once
        while not ended.wait(wait_s):
            wait_s = pace
            try:
                counts = count()
            except StorageError:
                continue
            if before is None:
                before = counts.done
                continue
            now = time.monotonic()
            found = telling.speed(counts.done, before, total, now - started)
            if terminal:
                telling.show(telling.words(job, counts.done, total, counts.rejected, found))
                continue
            if words_every_s is not None and now - worded >= words_every_s:
                left = f", about {found.left_s:,.0f} s left" if found.left_s is not None else ""
                say(job, counts.words + left)
                worded = now
            if now - logged >= LOG_SECONDS:
                print(as_json(job, counts, total, found), file=sys.stderr, flush=True)
                logged = now

    global _telling
    _telling += 1
    try:
        with _beside(tell, ended):
            yield
    finally:
        _telling -= 1


@contextmanager
def tasks_told(context: SparkContext, job: str) -> Iterator[None]:
    """On a terminal, while the body runs and no images are told of, how many tasks of the stages under way ended."""
    if not sys.stderr.isatty():
        yield
        return
    ended, tracker = Event(), context.statusTracker()

    def tell() -> None:
        while not ended.wait(TERMINAL_SECONDS):
            try:
                stages = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
            except (Py4JError, OSError):  # Java is going, or has gone
                return
            if not _telling and (known := [stage for stage in stages if stage is not None]):
                done, total = (sum(getattr(stage, of) for stage in known) for of in ("numCompletedTasks", "numTasks"))
                telling.show(f"{job}: {done:,} of {total:,} tasks")

    with _beside(tell, ended):
        yield


def counted_by(tally: Accumulator) -> Callable[[], Counts]:
    """What workers have added to a tally under IMAGES, of tasks that ended."""
    return lambda: Counts(tally.value.get(IMAGES, 0))


@contextmanager
def named(context: SparkContext, job: str, what: str = "") -> Iterator[None]:
    """What the body asks of Spark is called `job: what` in its UI, in the group of the job."""
    before = [context.getLocalProperty(name) for name in NAMES]
    for name, value in zip(NAMES, (job, f"{job}: {what}" if what else job), strict=True):
        context.setLocalProperty(name, value)
    try:
        yield
    finally:
        for name, value in zip(NAMES, before, strict=True):
            context.setLocalProperty(name, value)


@contextmanager
def _beside(work: Callable[[], None], ended: Event) -> Iterator[None]:
    teller = Thread(target=work, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
        telling.wipe()
