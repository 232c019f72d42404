"""A broken promise found on a worker, told on the driver as the error it was; knows no job.

Spark brings an exception of a Python worker to the driver as text: its type is lost, and with it the one line and the
exit code 2 that a `DeviseError` promises. Sending every such fault back as data would put an error column into every
stage that opens a model, a vocabulary or an index. This module reads the type back out of the text instead, once for
all stages: the last line of a worker's traceback is `devise.errors.NAME: TEXT`, and TEXT is one line (see
`DeviseError`). Anything else keeps its traceback, a `DeviseError` on whose way another exception was raised included.
On a cluster Spark has tried the task four times by then.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from devise import errors
from devise.errors import DeviseError, ImageError

# Behind the last line comes nothing, or Java's own trace. A chained exception's first traceback ends otherwise.
LAST_LINE = re.compile(r"^devise\.errors\.(\w+): (.*)\n*(?:\Z|^\s+at )", re.MULTILINE)


@contextmanager
def told_by_workers() -> Iterator[None]:
    """Raise a `DeviseError` that ended a task on a worker as what it was there; other faults pass as they are."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        found = find(str(error))
        if found is None:
            raise
        raise found from error


def find(text: str) -> DeviseError | None:
    """The `DeviseError` that a Spark exception's text tells of, or None. An `ImageError` is a row, never an end."""
    for name, message in LAST_LINE.findall(text):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, DeviseError) and kind is not ImageError:
            return kind(message)
    return None
