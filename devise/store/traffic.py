"""S3 requests of this process, counted by purpose and operation, and a cap on their rate; knows no boto3, no Spark.

A count is [requests, retries, bytes received, seconds waited for answers]. Every request on the wire counts, the tries
that failed too. Purposes: `images` (objects embedded, or looked at for training), `listing`, and `files` (all else).
Spark's own connector is not counted here.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

Counts = dict[str, list[float]]
"""`purpose operation` -> count."""

_lock = threading.Lock()
_total: Counts = {}
_thread = threading.local()
_pace: "Pace | None" = None


@contextmanager
def purpose(name: str) -> Iterator[None]:
    """What this thread's requests are for."""
    before = _purpose()
    _thread.purpose = name
    try:
        yield
    finally:
        _thread.purpose = before


@contextmanager
def again(retry: bool = True) -> Iterator[None]:
    """This thread's requests are tries again, of what was sent before in another way."""
    _thread.again = retry
    try:
        yield
    finally:
        _thread.again = False


def begin(operation: str, retry: bool) -> None:
    """A request of this thread is about to be sent; it waits for its turn where their rate is limited."""
    if _pace is not None and _purpose() == "images":
        _pace.wait()
    _thread.started = time.perf_counter()
    _add(operation, [1, int(retry or getattr(_thread, "again", False)), 0, 0.0])


def end(operation: str, n_bytes: int, seconds: float | None = None) -> None:
    """Its answer began to arrive, with so many bytes of content; now, if it is not said after how many seconds."""
    if seconds is None:
        seconds = time.perf_counter() - getattr(_thread, "started", time.perf_counter())
    _add(operation, [0, 0, n_bytes, seconds])


def limit_images(per_second: float | None) -> None:
    """Send at most so many requests for images a second from now on, tries again among them; None is no limit."""
    global _pace
    _pace = Pace(per_second) if per_second else None


def snapshot() -> Counts:
    with _lock:
        return {key: list(count) for key, count in _total.items()}


def since(before: Counts) -> Counts:
    """What was counted after `before` was taken."""
    none = [0, 0, 0, 0.0]
    changes = {
        key: [a - b for a, b in zip(count, before.get(key, none), strict=True)] for key, count in snapshot().items()
    }
    return {key: change for key, change in changes.items() if change[0]}


def add(one: Counts, other: Counts) -> Counts:
    """Both together; `one` is changed and returned."""
    for key, count in other.items():
        one[key] = [a + b for a, b in zip(one.get(key, [0, 0, 0, 0.0]), count, strict=True)]
    return one


def describe(counts: Counts) -> dict[str, dict[str, dict[str, float]]]:
    """Purpose -> operation -> requests, retries, bytes, seconds: as it stands in a manifest."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for key, (requests, retries, n_bytes, seconds) in sorted(counts.items()):
        name, operation = key.split()
        told.setdefault(name, {})[operation] = {
            "requests": int(requests),
            "retries": int(retries),
            "bytes": int(n_bytes),
            "seconds": round(seconds, 3),
        }
    return told


class Pace:
    """Lets at most `per_second` calls a second pass, from any number of threads, evenly spaced."""

    def __init__(self, per_second: float):
        self._gap, self._next, self._lock = 1 / per_second, 0.0, threading.Lock()

    def wait(self) -> None:
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        time.sleep(max(0.0, turn - time.monotonic()))


def _purpose() -> str:
    return getattr(_thread, "purpose", "files")


def _add(operation: str, change: list[float]) -> None:
    key = f"{_purpose()} {operation}"
    with _lock:
        add(_total, {key: change})
