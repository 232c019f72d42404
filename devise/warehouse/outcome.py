"""How a command ended, as a small file in the warehouse; knows no command.

YARN's cluster mode tells of every failure by the exit code 1 and keeps a job's one line in the master's log. The job
itself writes code and line here, as the last thing it does; whoever submitted it reads them. A job that was killed
leaves nothing: that nothing is there is then the news.
"""

from pydantic import Field, ValidationError

from devise.errors import ManifestError
from devise.store import storage
from devise.values import Section, Time
from devise.warehouse.manifest import check_run

FOLDER = "_staging/outcomes"
"""Scratch: an outcome is read as soon as its command ends, and `devise expire` clears it like other scratch."""


class Outcome(Section):
    """How a command ended; times in seconds since 1970."""

    run: str
    stages: list[str]
    """The jobs it was asked for, in order."""
    done: list[str]
    """Those of them that ended well."""
    exit_code: int = Field(ge=0, le=255)
    line: str
    """What it said of its end; empty for 0."""
    started_at: Time
    finished_at: Time


def place(warehouse: str, run: str, step: str) -> str:
    """URI of the outcome of a run's step; `ManifestError` if the run id is none."""
    check_run(warehouse, run)
    return storage.join(storage.normalise(warehouse), FOLDER, f"run={run}", f"{step}.json")


def clear(uri: str) -> None:
    """Forget how an earlier attempt ended, so that what is there afterwards is this one's."""
    storage.delete(uri)


def write(uri: str, outcome: Outcome) -> None:
    """Leave the outcome, in place of an earlier attempt's; `StorageError` if it cannot be written."""
    storage.write_bytes(uri, outcome.model_dump_json(indent=1).encode())


def read(uri: str) -> Outcome | None:
    """How the command ended, or None if it left nothing: it was killed, or never began.

    Raises:
        ManifestError: what is there is no outcome of this version.
    """
    if (found := storage.read_tagged(uri)) is None:
        return None
    try:
        return Outcome.model_validate_json(found[0])
    except ValidationError as error:
        raise ManifestError(f"{uri}: not an outcome of this version: {error.errors()[0]['msg']}") from None
