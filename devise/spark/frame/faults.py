"""A broken promise found on a worker or by Spark's own S3 connector, told on the driver as one error; knows no job.

Spark brings an exception of a Python worker to the driver as text: its type is lost, and with it the one line and the
exit code 2 that a `DeviseError` promises. Sending every such fault back as data would put an error column into every
stage that opens a model, a vocabulary or an index. This module reads the type back out of the text instead, once for
all stages: the last line of a worker's traceback is `devise.errors.NAME: TEXT`, and TEXT is one line (see
`DeviseError`). Anything else keeps its traceback, a `DeviseError` on whose way another exception was raised included.
On a cluster Spark has tried the task four times by then.

What the store refused to Spark's connector (S3A), or said when it had been asked often enough, is a `StorageError`
too, as where boto3 asks: no right, wrong credentials, no bucket, no answer. So is a disk without room for scratch.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from devise import errors
from devise.errors import DeviseError, ImageError, StorageError
from devise.store import storage

# Behind the last line comes nothing, or Java's own trace. A chained exception's first traceback ends otherwise.
LAST_LINE = re.compile(r"^devise\.errors\.(\w+): (.*)\n*(?:\Z|^\s+at )", re.MULTILINE)

# SDK 1 (Hadoop 3.3): "...Exception: WORDS (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; ...)".
# SDK 2 (Hadoop 3.4): "...Exception: WORDS (Service: S3, Status Code: 403, Request ID: ...) (SDK ...):AccessDenied".
ANSWER = re.compile(
    r"Exception: (?P<words>[^\n]*?) \(Service: (?:Amazon )?S3[;,] Status Code: (?P<status>\d+)[;,]"
    r"(?: Error Code: (?P<code1>\w+)| [^\n]*?\):(?P<code2>[A-Z]\w+))?"
)
NO_ANSWER = re.compile(
    r"(?P<words>Unable to execute HTTP request: [^\n]+|Unable to load (?:AWS )?credentials from any [^\n:]+)"
)
# The last exception before the SDK's own: "...Exception: PLACE: WHAT on PLACE: com.amazonaws....".
PLACE = re.compile(r".*(?:Exception|Error): [`']?(?P<place>\S.*?)[`']?: .*?(?:com\.amazonaws|software\.amazon)\.")
NO_ROOM = re.compile(
    r"No space left on device|No space available in any of the local dir|Could not find any valid local dir"
)

# Whoever fetches what a lost executor had shuffled fails, and after four such stages Spark gives up.
DEATH = re.compile(
    r"Python worker (exited unexpectedly|failed to connect)|ExecutorLostFailure|Executor heartbeat|FetchFailedException"
)


def worker_died(text: str) -> bool:
    """Whether a Spark exception's text tells of a process that ended, not of an error that it raised."""
    return DEATH.search(text) is not None and find(text) is None


@contextmanager
def told_by_workers(warehouse: str = "") -> Iterator[None]:
    """Raise what ended a task as the `DeviseError` it was, or stands for; other faults pass as they are.

    The connector often names a key without its bucket: it is the one of `warehouse`, where all that Spark touches lies.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        found = find(str(error), warehouse)
        if found is None:
            raise
        raise found from error


def find(text: str, warehouse: str = "") -> DeviseError | None:
    """The `DeviseError` that a Spark exception's text tells of, or None. An `ImageError` is a row, never an end."""
    for name, message in LAST_LINE.findall(text):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, DeviseError) and kind is not ImageError:
            return kind(message)
    return _of_store(text, warehouse) or _of_disk(text)


def _of_store(text: str, warehouse: str) -> StorageError | None:
    """What the store said to Spark's connector, with the place that was asked for."""
    for line in text.splitlines():
        if found := ANSWER.search(line):
            code = found["code1"] or found["code2"] or found["status"]
            words = f"{code}: {found['words'].rsplit('Exception: ', 1)[-1]}"
        elif "amazon" in line and (found := NO_ANSWER.search(line)):
            words = found["words"]
        else:
            continue
        asked = PLACE.search(line)
        place = asked["place"] if asked else warehouse or "s3"
        if "://" not in place and warehouse.startswith("s3://"):
            place = storage.join("/".join(warehouse.split("/")[:3]), place)
        return StorageError(f"{place}: {words}")
    return None


def _of_disk(text: str) -> StorageError | None:
    found = NO_ROOM.search(text)
    return StorageError(f"the local disk for scratch is full on a worker: {found[0]}") if found else None
