"""How long S3 is waited for and asked again before its fault is told; knows no requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Patience(NamedTuple):
    """Of one request.

    Attributes:
        again: tries after the first, where the answer is a fault that may pass, such as SlowDown; pauses grow.
        outage_s: how long it is sent again while nothing answers at all. botocore gives up after a few seconds, sooner
            the more threads ask: its tries are bought from a budget that only answers fill.
        connect_s, silent_s: until a connection stands; between two bytes of an answer.
    """

    again: int
    outage_s: float
    connect_s: int
    silent_s: int


OF_A_JOB = Patience(8, 60, 10, 30)
OF_A_PERSON = Patience(2, 5, 3, 10)
"""Of who waits before a page, and asks again: one that is told after a minute has long been left, and a place among
the requests that are worked on was taken all the while."""
_now = OF_A_JOB


def now() -> Patience:
    """That of this process."""
    return _now


@contextmanager
def of(wanted: Patience) -> Iterator[None]:
    """All of this process, its threads too, waits so for a while."""
    global _now
    before, _now = _now, wanted
    try:
        yield
    finally:
        _now = before
