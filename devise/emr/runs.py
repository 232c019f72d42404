"""Nights on an account: begun, looked at, ended; what an execution, its cluster and its steps say. Makes no stack.

An execution is named after its run. One that failed keeps its name for 90 days, so the next attempt of that run is
`RUN+2`, and so on: the warehouse knows the run alone, and an attempt does what is left.
"""

import gzip
import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from devise.emr.account import Account
from devise.emr.cluster import TAG
from devise.emr.night import Night, Step
from devise.errors import AwsError, ConfigError, DeviseError
from devise.store import storage
from devise.warehouse import outcome

ALIVE = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]
RUN_LENGTH = 70
"""Of the 80 characters of an execution's name, what leaves room for its attempt."""
ATTEMPTS = 99
DOWN = "devise emr down"
"""Why an execution was stopped, as it tells."""


class Execution(NamedTuple):
    """An attempt at a night; status is RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""

    name: str
    arn: str
    status: str
    cause: str


class Cluster(NamedTuple):
    """A cluster of a night."""

    id: str
    name: str
    status: str
    reason: str


def executions(account: Account, machine: str, run: str) -> list[Execution]:
    """The attempts at a run, first one first."""
    found = []
    for attempt in range(1, ATTEMPTS + 1):
        name = _name(run, attempt)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        told = account.ask("stepfunctions", "describe_execution", ("ExecutionDoesNotExist",), executionArn=arn)
        if told is None:
            break
        found.append(Execution(name, arn, told["status"], f"{told.get('error', '')} {told.get('cause', '')}".strip()))
    return found


def _name(run: str, attempt: int) -> str:
    if len(run) > RUN_LENGTH:
        raise ConfigError(f"found the run id {run}, wanted {RUN_LENGTH} characters at most on EMR")
    return run if attempt == 1 else f"{run}+{attempt}"


def begin(account: Account, machine: str, run: str, sets: list[str], setup: bool) -> str:
    """Begin a night, or say that it goes on or is done; a line for people."""
    attempts = executions(account, machine, run)
    asked = json.dumps({"run": run} | ({"set": sets} if sets else {}) | ({"setup": True} if setup else {}))
    if attempts and attempts[-1].status == "RUNNING":
        return f"run {run} goes on: {attempts[-1].name}; nothing was begun"
    if attempts and attempts[-1].status == "SUCCEEDED" and not setup:
        return f"run {run} is done: {attempts[-1].name}; nothing was begun"
    name = _name(run, len(attempts) + 1)
    account.change("stepfunctions", "start_execution", stateMachineArn=machine, name=name, input=asked)
    return f"run {run}: {'would begin' if account.dry else 'begun'} as {name}"


def clusters(account: Account, stack: str, run: str | None = None) -> list[Cluster]:
    """The clusters of a stack, newest first: those of a run, or all that are alive."""
    states = {} if run else {"ClusterStates": ALIVE}
    return [
        Cluster(each["Id"], each["Name"], each["Status"]["State"], _reason(each["Status"]))
        for page in account.pages("emr", "list_clusters", **states)
        for each in page["Clusters"]
        if (each["Name"] == f"{stack} {run}" if run else each["Name"].startswith(f"{stack} "))
    ]


def _reason(status: dict[str, Any]) -> str:
    return (status.get("StateChangeReason") or {}).get("Message") or ""


def steps(account: Account, cluster: str) -> list[dict[str, Any]]:
    """A cluster's steps as EMR tells them, first one first."""
    found = [step for page in account.pages("emr", "list_steps", ClusterId=cluster) for step in page["Steps"]]
    return found[::-1]  # EMR begins with the newest


def describe(account: Account, stack: str, machine: str, night: Night, wanted: tuple[Step, ...]) -> list[str]:
    """What became of a night: its executions, clusters and their steps, and what its jobs said of their end."""
    told = [
        f"execution {each.name}: {_with(each.status, each.cause)}" for each in executions(account, machine, night.run)
    ] or [f"no execution of run {night.run}"]
    for cluster in clusters(account, stack, night.run):
        told.append(f"cluster {cluster.id}: {_with(cluster.status, cluster.reason)}")
        for step in steps(account, cluster.id):
            detail = step["Status"].get("FailureDetails", {}).get("Message") or _reason(step["Status"])
            told.append(f"  step {step['Name']} ({step['Id']}): {_with(step['Status']['State'], detail)}")
    return told + [_outcome(night, step) for step in wanted]


def _outcome(night: Night, step: Step) -> str:
    try:
        found = outcome.read(night.outcome(step))
    except DeviseError as error:
        return f"outcome {step.name}: {error}"
    if found is None:
        return f"outcome {step.name}: none left: not begun, under way, or killed"
    at = datetime.fromtimestamp(found.finished_at, UTC)
    ended = (
        f"exit code {found.exit_code} after {found.finished_at - found.started_at:.0f} s, at {at:%Y-%m-%d %H:%M} UTC"
    )
    return f"outcome {step.name}: {_with(ended, found.line)}"


def _with(status: str, reason: str) -> str:
    return f"{status}: {reason}" if reason else status


def end(account: Account, stack: str, machine: str | None) -> list[str]:
    """Stop every execution that goes on and terminate every cluster of the stack that is alive; what was ended."""
    told = []
    for page in account.pages("stepfunctions", "list_executions", stateMachineArn=machine) if machine else ():
        for each in page["executions"]:
            if each["status"] == "RUNNING":
                account.change("stepfunctions", "stop_execution", executionArn=each["executionArn"], cause=DOWN)
                told.append(f"stopped {each['name']}")
    alive = [each.id for each in clusters(account, stack) if each.status != "TERMINATING"]
    if found := [each for each in alive if _is_ours(account, stack, each)]:
        account.change("emr", "terminate_job_flows", JobFlowIds=found)
        told += [f"terminated {each}" for each in found]
    return told or ["nothing goes on"]


def _is_ours(account: Account, stack: str, cluster: str) -> bool:
    """Whether a cluster has the stack's tag: anybody may give one such a name."""
    tags = account.ask("emr", "describe_cluster", ClusterId=cluster)["Cluster"].get("Tags", [])
    return {"Key": TAG, "Value": stack} in tags


def logs(account: Account, bucket: str, cluster: str, step: dict[str, Any]) -> list[str]:
    """What a step wrote to standard output and error, and its driver's: EMR brings both to S3 within minutes.

    Raises:
        AwsError: nothing of it is there yet.
    """
    below = f"emr/{cluster}/steps/{step['Id']}/"
    told = {key: _text(account, bucket, key) for key in _keys(account, bucket, below)}
    applications = sorted({each for text in told.values() for each in re.findall(r"application_\d+_\d+", text)})
    for application in applications:
        # The first container is the application master: in cluster mode the driver, our one line with it.
        keys = [key for key in _keys(account, bucket, f"emr/{cluster}/containers/{application}/") if "_000001/" in key]
        told |= {key: _text(account, bucket, key) for key in keys if "/std" in key}
    if not told:
        raise AwsError(f"s3://{bucket}/{below}: found no log, wanted the step's: EMR brings them every five minutes")
    return [line for key, text in told.items() for line in (f"==> s3://{bucket}/{key}", *text.splitlines())]


def _keys(account: Account, bucket: str, prefix: str) -> list[str]:
    found = account.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix)
    return [each["Key"] for page in found for each in page.get("Contents", [])]


def _text(account: Account, bucket: str, key: str) -> str:
    content = storage.read_bytes(f"s3://{bucket}/{key}")
    return (gzip.decompress(content) if key.endswith(".gz") else content).decode("utf-8", "replace")
