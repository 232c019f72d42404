"""The steps of a night from here, one after another, by spark-submit; stops at the first that fails.

What a step says of itself is the outcome that it leaves in the warehouse: in cluster mode spark-submit tells no more
than that something failed.
"""

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from devise.emr.night import Night, Step, check_arguments, submit_arguments
from devise.errors import ConfigError
from devise.process import Stopped
from devise.warehouse import outcome

STOP_SECONDS = 60
"""How long a step that is told to stop may take to release what it holds."""


class Ended(NamedTuple):
    """How the steps ended: the last one that ran, its exit code, and its one line."""

    step: str
    exit_code: int
    line: str


def run(steps: Sequence[Step], night: Night) -> Ended:
    """Do the steps in order, each only where the one before it ended with 0.

    A step that is done already costs the start of an application, which finds so and ends with 0.

    Raises:
        ConfigError: there is no spark-submit on the path.
        StorageError: the warehouse does not answer.
    """
    for step in steps:
        uri = night.outcome(step)
        outcome.clear(uri)
        code = _call(submit_arguments(step, night))
        found = outcome.read(uri)
        if found is None:
            line = f"error: found no outcome at {uri}, and spark-submit ended with {code}: {LOST}"
            return Ended(step.name, 1, line)
        if found.exit_code or code:
            line = found.line or f"error: the job ended well, and spark-submit with {code}"
            return Ended(step.name, found.exit_code or 1, line)
    return Ended(steps[-1].name, 0, "")


def check(night: Night, job: str) -> int:
    """Look at the nodes of each device, all of them; the exit code of the first look that found a fault, or 0.

    Args:
        job: path of jobs/check_cluster.py.

    Raises:
        ConfigError: there is no spark-submit on the path.
    """
    codes = []
    for device, nodes in night.nodes.items():
        print(f"{nodes.count} x {nodes.instance.name}", flush=True)
        codes.append(_call(check_arguments(device, night, job)))
    return next((code for code in codes if code), 0)


LOST = "the application was killed, or never began; `yarn logs -applicationId ID` tells more"


def _call(words: Sequence[str]) -> int:
    """The exit code of a command whose output goes where ours goes; it is told to stop when we are, and waited for."""
    try:
        running = subprocess.Popen(words, env=os.environ)
    except FileNotFoundError:
        raise ConfigError(f"found no {words[0]} on the PATH, wanted Spark's: run it on the cluster's primary") from None
    try:
        return running.wait()
    except Stopped:
        running.terminate()
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
        raise
