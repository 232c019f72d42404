"""Counts that workers make for a job, summed on the driver: requests, and what listings pass over.

What is counted is `devise.store.traffic`'s and `devise.store.passedover`'s.
Spark's accumulators bring the counts: those of a task that is tried again after it failed are lost with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pyspark import AccumulatorParam, SparkContext
from pyspark.accumulators import Accumulator

from devise.store import passedover, traffic
from devise.store.traffic import Counts


class _Sum(AccumulatorParam):
    def zero(self, value: Counts) -> Counts:
        return {}

    def addInPlace(self, value1: Counts, value2: Counts) -> Counts:
        return traffic.add(value1, value2)


class _SumOfKinds(AccumulatorParam):
    def zero(self, value: dict[str, int]) -> dict[str, int]:
        return {}

    def addInPlace(self, value1: dict[str, int], value2: dict[str, int]) -> dict[str, int]:
        return passedover.add(value1, value2)


_current: ContextVar[Accumulator | None] = ContextVar("meter", default=None)


@contextmanager
def metered(context: SparkContext) -> Iterator[Callable[[], dict[str, Any]]]:
    """Count what this process and the workers request from here on; the result tells it, for a manifest."""
    before, meter = traffic.snapshot(), context.accumulator({}, _Sum())
    token = _current.set(meter)
    try:
        yield lambda: traffic.describe(traffic.add(traffic.since(before), meter.value))
    finally:
        _current.reset(token)


def counted(work: Callable[[Iterator[Any]], Iterator[Any]]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """The same work on a worker's batches, its requests told to the job under way on the driver."""
    meter = _current.get()
    if meter is None:
        return work

    def count(batches: Iterator[Any]) -> Iterator[Any]:
        before = traffic.snapshot()
        try:
            yield from work(batches)
        finally:
            meter.add(traffic.since(before))

    return count


def add(counts: Counts) -> None:
    """Tell the job under way what processes requested that are no tasks' own."""
    if (meter := _current.get()) is not None:
        meter.add(counts)


def tally(context: SparkContext) -> Accumulator:
    """A count by kind of what is passed over, which workers add to; on the driver whole once the rows are written."""
    return context.accumulator({}, _SumOfKinds())
