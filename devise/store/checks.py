"""What a store and a machine let a night do, tried out: rights, conditional writes, the store's clock, room on disk.

Each check tells what it found and raises nothing for it; the objects that it makes are its own, and it removes them. No
Spark here, no tables.
"""

import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Literal, NamedTuple

from devise.errors import AlreadyExists, ImageError, PointerMoved, StorageError
from devise.store import s3, storage

GIB = 2**30
MOST_SKEW_S = 80
"""Hosts' clocks must agree within this, or the lease of a warehouse does not keep two nights apart."""
WIDE_SKEW_S = 5
"""What a clock that is set by others does not show: a Date header tells whole seconds."""
LEAST_FREE = 1 * GIB
"""A model, a shard of an index and Arrow's files do not fit in less."""
SCARCE_FREE = 10 * GIB


class Finding(NamedTuple):
    """What a check found; `fault` would stop a night, `warning` may."""

    state: Literal["ok", "warning", "fault"]
    text: str
    """For `ok` what was found; else that, what was wanted and what to do."""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.text}"


def check_all(warehouse: str, sources: Sequence[str]) -> list[Finding]:
    """Every check, of the host that this runs on: a driver, or an executor."""
    found = check_warehouse(warehouse)
    for source in sources:
        found += check_source(source)
    return [*found, check_clock(warehouse), check_disk(tempfile.gettempdir())]


def check_warehouse(uri: str) -> list[Finding]:
    """List, get, put, conditional create, compare and set, delete, on a probe of its own in the warehouse's scratch.

    Conditional writes are tried to be refused, too: a store that overlooks the condition gives two nights one lease.

    Args:
        uri: of the warehouse, normalised.
    """
    name = f"{uuid.uuid4().hex}.json"
    found = [_done("list", lambda: storage.list_level(uri, missing_ok=True))]
    found += _try(storage.join(uri, "_staging", "doctor", name))
    # Without its name of this one time, so that what many hosts find is one line.
    return _told(f"warehouse {uri}", [one._replace(text=one.text.replace(name, "PROBE")) for one in found])


def check_source(uri: str) -> list[Finding]:
    """List a source of images, and get the first that is listed, as a night does.

    Args:
        uri: of the source, normalised.
    """
    found: list[storage.Stat] = []

    def look() -> None:
        found.extend(islice(storage.list_files(uri), 1))

    listed = _done("list", look)
    if listed.state != "ok":
        return _told(f"source {uri}", [listed])
    if not found:
        return [Finding("fault", f"source {uri}: found nothing below it, wanted images: is the prefix spelt right?")]
    return _told(f"source {uri}", [listed, _done("get", lambda: _first_of(found[0]))])


def check_file(what: str, uri: str) -> Finding:
    """Whether a file that settings name is there and may be read."""
    try:
        there = storage.stat(storage.normalise(uri))
    except StorageError as error:
        return Finding("fault", f"{what}: {error}: wanted the right to read it")
    if there is None:
        return Finding("fault", f"{what}: found nothing at {uri}, wanted a file")
    return Finding("ok", f"{what} {uri}: {there.size_bytes:,} bytes")


def check_clock(uri: str, now: Callable[[], float] = time.time) -> Finding:
    """This host's clock beside the store's: the Date of an answer on S3, the time of a new file elsewhere.

    Args:
        now: seconds since 1970.
    """
    before = now()
    try:
        theirs = _file_time(uri) if storage.is_local(uri) else _date(uri)
    except StorageError as error:
        return Finding("fault", f"clock: {error}: wanted an answer that tells the store's time")
    return judge_clock((before + now()) / 2 - theirs)


def judge_clock(skew_s: float) -> Finding:
    """What a skew in seconds means; above 0 this host is ahead."""
    told = f"clock: found this host {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the store"
    wanted = "set it by NTP (`chronyc tracking`)"
    if abs(skew_s) > MOST_SKEW_S:
        return Finding("fault", f"{told}, wanted at most {MOST_SKEW_S} s, which leases rely on: {wanted}")
    if abs(skew_s) > WIDE_SKEW_S:
        return Finding("warning", f"{told}, wanted a few seconds at most: {wanted}")
    return Finding("ok", f"clock: within {WIDE_SKEW_S} s of the store's")


def check_disk(folder: str) -> Finding:
    """Room where temporary files go, which is TMPDIR's folder."""
    return judge_disk(folder, shutil.disk_usage(folder).free)


def judge_disk(folder: str, free_bytes: int) -> Finding:
    """What so much room means."""
    told = f"disk: {folder} has {free_bytes / GIB:,.1f} GiB free"
    wanted = "room for models, index shards and shuffles: point TMPDIR (spark.executorEnv.TMPDIR) at a larger disk"
    if free_bytes < LEAST_FREE:
        return Finding("fault", f"{told}, wanted at least {LEAST_FREE / GIB:.0f} GiB, {wanted}")
    if free_bytes < SCARCE_FREE:
        return Finding("warning", f"{told}, wanted {SCARCE_FREE / GIB:.0f} GiB or more, {wanted}")
    return Finding("ok", told)


def _try(probe: str) -> list[Finding]:
    """Everything that a night does to objects of a warehouse, done to one that is then removed."""
    found = [_done("create", lambda: storage.create(probe, b"1"))]
    if found[0].state != "ok":
        return found
    found.append(_done("get", lambda: storage.read_bytes(probe)))
    found.append(_refused("a second create", probe, AlreadyExists, lambda: storage.create(probe, b"2")))
    tagged = storage.read_tagged(probe) if found[1].state == "ok" else None
    if tagged is not None:
        found.append(_done("replace", lambda: storage.replace(probe, b"3", tagged[1])))
        found.append(_refused("a stale replace", probe, PointerMoved, lambda: storage.replace(probe, b"4", tagged[1])))
    found.append(_done("put", lambda: storage.write_bytes(probe, b"5")))
    found.append(_done("delete", lambda: storage.delete(probe)))
    return found


def _date(uri: str) -> float:
    """Seconds since 1970 by the Date of a server's answer to a listing, a refusal too; S3 tells no finer time."""
    place = s3.split(uri)
    try:
        answer = s3.client().list_objects_v2(Bucket=place["Bucket"], Prefix=place["Key"], MaxKeys=1)
    except s3.errors() as error:
        answer = s3.answer(error)
        if not answer:
            raise StorageError(f"{uri}: {s3.reason(error)}") from None
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "date" not in headers:
        raise StorageError(f"{uri}: found no Date in the store's answer")
    return parsedate_to_datetime(headers["date"]).timestamp()


def _file_time(uri: str) -> float:
    """Seconds since 1970 by the file system of a folder, which may be another host's."""
    probe = storage.join(uri, "_staging", "doctor", f"{uuid.uuid4().hex}.json")
    storage.write_bytes(probe, b"")
    try:
        return storage.stat(probe).modified_at
    finally:
        storage.delete(probe)


def _first_of(stat: storage.Stat) -> None:
    try:
        storage.fetch_image(stat.uri, stat.etag)
    except ImageError as error:
        raise StorageError(f"{stat.uri}: {error.code}: {error}") from None


def _done(operation: str, work: Callable[[], object]) -> Finding:
    try:
        work()
    except StorageError as error:
        return Finding("fault", f"{operation}: {error}: wanted the right to {operation} there")
    return Finding("ok", operation)


def _refused(operation: str, uri: str, refusal: type[StorageError], work: Callable[[], object]) -> Finding:
    """A conditional write that must not be done."""
    try:
        work()
    except refusal:
        return Finding("ok", f"{operation} refused")
    except StorageError as error:
        return Finding("fault", f"{operation}: {error}: wanted a refusal, and the right to ask")
    wanted = "a store with conditional writes (If-None-Match, If-Match), without which two nights may both win"
    return Finding("fault", f"{operation}: found {uri} overwritten, wanted {wanted}")


def _told(place: str, found: Sequence[Finding]) -> list[Finding]:
    """One line for all that is well, and one for each that is not."""
    well = ", ".join(one.text for one in found if one.state == "ok")
    rest = [one._replace(text=f"{place}: {one.text}") for one in found if one.state != "ok"]
    return [*rest, *([Finding("ok", f"{place}: {well}")] if well else [])]
