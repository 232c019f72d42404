"""One run at a time in a warehouse: a lease that is won by a create, and kept by renewing it; knows no job.

Lease n is the object `live/lease/{n}.json`. Who creates n + 1 holds the warehouse; that is allowed once n is released
or expired. Only its owner writes an object again, so nothing rests on a conditional overwrite, which some servers do
not do atomically. The highest number counts and is never removed: an owner that finds a higher one has lost its lease.

Expiry compares the clocks of two hosts. If they differ by more than two thirds of the lease's length, a lease in use
may be taken; its owner finds out at its next `check`, before it commits anything. One that nobody took meanwhile is
taken again by its owner: a network that was away for minutes does not end a night of hours.
"""

import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from pydantic import ValidationError

from devise.errors import AlreadyExists, LeaseHeld, LeaseLost, StorageError
from devise.store import storage
from devise.values import Section, Time

FOLDER = "live/lease"
NUMBER = re.compile(r"[0-9]{8}")
RENEWALS = 3
"""A lease is renewed so many times in its length: two may fail, and it still holds."""


class Claim(Section):
    """What a lease says: who works in the warehouse, and until when unless renewed; times in seconds since 1970."""

    owner: str
    """Random, one a process."""
    host: str
    pid: int
    run: str
    """The run that is made, made live again, or live."""
    job: str
    taken_at: Time
    expires_at: Time
    released: bool = False

    def is_free(self) -> bool:
        """Whether somebody else may take the warehouse."""
        return self.released or time.time() >= self.expires_at

    def describe(self) -> str:
        """Who, since when and until when, in words."""
        return (
            f"{self.job} of run {self.run} (host {self.host}, process {self.pid}) "
            f"since {clock(self.taken_at)}, until {clock(self.expires_at)} unless renewed"
        )


class Lease:
    """A lease that is held; its methods may be called by several threads."""

    def __init__(self, warehouse: str, number: int, claim: Claim, seconds: float):
        self._warehouse, self._number, self._seconds = warehouse, number, seconds
        self._claim, self._fault, self._lock = claim, "", threading.RLock()

    def check(self) -> None:
        """Return if the warehouse is still ours; a lease that expired and that nobody took is taken again.

        Raises:
            LeaseLost: somebody else has taken it.
            StorageError: the store does not answer.
        """
        with self._lock:
            highest, newest = _newest(self._warehouse)
            if newest is None or newest.owner != self._claim.owner:
                raise self._lost(highest)
            if highest != self._number:  # we did take it again, and never heard that it was done
                self._number, self._claim = highest, newest
            if time.time() >= self._claim.expires_at:  # asked last: to look may have taken its time
                self._take_again()

    def _take_again(self) -> None:
        """The next number, by a create like every taker's: only one can, and whoever works here knows by it."""
        expired, number = self._claim, self._number + 1
        claim = expired.model_copy(update={"expires_at": time.time() + self._seconds})
        try:
            storage.create(_uri(self._warehouse, number), _content(claim))
        except AlreadyExists:
            raise self._lost(number) from None
        self._number, self._claim = number, claim
        if (highest := max(_numbers(self._warehouse), default=0)) != number:
            storage.delete(_uri(self._warehouse, number))
            raise self._lost(highest)
        if claim.expires_at - time.time() < self._seconds / 2:  # that took its time
            self._write(expires_at=time.time() + self._seconds)
        storage.delete(_uri(self._warehouse, number - 1))
        because = f" ({self._fault})" if self._fault else ""
        print(
            f"{claim.job}: the lease expired at {clock(expired.expires_at)} and was not renewed{because}; nobody has "
            f"taken it, so it is taken again, as number {number}",
            file=sys.stderr,
            flush=True,
        )

    def _lost(self, number: int) -> LeaseLost:
        because = f"; it was not renewed in time: {self._fault}" if self._fault else ""
        where = f"{_uri(self._warehouse, self._number)}: the lease of {self._claim.job}, run {self._claim.run},"
        return LeaseLost(f"{where} is no longer the newest: somebody else has taken number {number}{because}")

    def _renew(self) -> None:
        with self._lock:
            self.check()
            self._write(expires_at=time.time() + self._seconds)

    def _release(self) -> None:
        with self._lock:
            highest, newest = _newest(self._warehouse)
            if newest is not None and newest.owner == self._claim.owner:  # a lost one is somebody else's to remove
                self._number = highest
                self._write(released=True)

    def _write(self, **changes: float) -> None:
        claim = self._claim.model_copy(update=changes)
        storage.write_bytes(_uri(self._warehouse, self._number), _content(claim))
        self._claim = claim

    def _keep(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._seconds / RENEWALS):
            try:
                self._renew()
            except LeaseLost:
                return  # the next check says so where it can end the job
            except StorageError as error:
                self._fault = str(error)
            else:
                self._fault = ""


@contextmanager
def hold(warehouse: str, run: str, job: str, seconds: float = 120) -> Iterator[Lease]:
    """Hold the warehouse while the body runs: renewed by a thread, released at the end, also of a body that raises.

    Args:
        seconds: how long after its last renewal a lease stands if its owner is killed.

    Raises:
        LeaseHeld: somebody else holds it.
    """
    warehouse = storage.normalise(warehouse)
    held = _take(warehouse, run, job, seconds)
    stopped = threading.Event()
    renewing = threading.Thread(target=held._keep, args=(stopped,), name="lease", daemon=True)
    try:
        for number in _numbers(warehouse):
            if number < held._number:
                storage.delete(_uri(warehouse, number))
        renewing.start()
        yield held
    finally:
        stopped.set()
        if renewing.ident is not None:
            renewing.join()  # a renewal under way must not be written after the release
        try:
            held._release()
        except StorageError as error:  # the work is done or failed by now; whoever comes next waits for the expiry
            print(f"{job}: the lease was not released: {error}", file=sys.stderr, flush=True)


def read(warehouse: str) -> Claim | None:
    """Who holds the warehouse or held it last, or None if nobody ever did."""
    return _newest(storage.normalise(warehouse))[1]


def _take(warehouse: str, run: str, job: str, seconds: float) -> Lease:
    number, before = _newest(warehouse)
    if before is not None and not before.is_free():
        raise _held(warehouse, before)
    now = time.time()
    claim = Claim(
        owner=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        run=run,
        job=job,
        taken_at=now,
        expires_at=now + seconds,
    )
    uri = _uri(warehouse, number + 1)
    try:
        storage.create(uri, _content(claim))
    except AlreadyExists:
        raise _held(warehouse, _newest(warehouse)[1]) from None
    # Whoever is slow between look and create may find a number free that was taken, released, overtaken and removed.
    highest, winner = _newest(warehouse)
    if highest != number + 1:
        storage.delete(uri)
        raise _held(warehouse, winner)
    return Lease(warehouse, number + 1, claim, seconds)


def _held(warehouse: str, claim: Claim | None) -> LeaseHeld:
    return LeaseHeld(
        f"{warehouse}: held by {claim.describe() if claim else 'somebody else'}; one run at a time works in a warehouse"
    )


def _newest(warehouse: str) -> tuple[int, Claim | None]:
    """The highest number, 0 if there is none, and what it says."""
    while True:
        number = max(_numbers(warehouse), default=0)
        if number == 0:
            return 0, None
        uri = _uri(warehouse, number)
        found = storage.read_tagged(uri)
        if found is None:
            continue  # removed since it was listed: there is a higher one now
        try:
            return number, Claim.model_validate_json(found[0])
        except ValidationError as error:
            raise LeaseHeld(f"{uri}: not a lease of this version: {error.errors()[0]['msg']}") from None


def _numbers(warehouse: str) -> list[int]:
    folder = storage.join(warehouse, FOLDER)
    files = storage.list_level(folder, missing_ok=True)[1]
    names = (file.uri.rsplit("/", 1)[-1].removesuffix(".json") for file in files)
    return [int(name) for name in names if NUMBER.fullmatch(name)]


def _uri(warehouse: str, number: int) -> str:
    return storage.join(warehouse, FOLDER, f"{number:08d}.json")


def _content(claim: Claim) -> bytes:
    return claim.model_dump_json().encode()


def clock(seconds: float) -> str:
    """A time in words, UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
