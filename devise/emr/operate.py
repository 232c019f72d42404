"""`devise emr up`, `submit`, `status`, `logs`, `down`, `schedule`: nights on an AWS account, from one file of settings.

Each may be done again: what is there is left as it is. With --dry-run each call that would change something is printed.
"""

import argparse
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from devise import settings as files
from devise import yamlfile
from devise.emr import artefacts, cluster, costs, runs, stack, template
from devise.emr.account import Account
from devise.emr.config import EmrConfig
from devise.emr.night import SETUP, STEPS, Night, named, steps_of
from devise.errors import AwsError, ConfigError
from devise.store import s3, scratch, storage
from devise.warehouse.manifest import check_run


class Asked(NamedTuple):
    """What every command begins with."""

    path: Path
    settings: EmrConfig
    warehouse: str
    account: Account


def _begin(options: argparse.Namespace) -> Asked:
    path = Path(scratch.localise(storage.normalise(options.config)))
    settings = files.load_group(path, "emr", EmrConfig)
    s3.configure(files.load_s3(path))
    warehouse = storage.normalise(files.load_warehouse(path))
    stack.place_of(warehouse)
    if getattr(options, "run", None):
        check_run(warehouse, options.run)
    return Asked(path, settings, warehouse, Account(settings.region, getattr(options, "dry_run", False)))


def up(options: argparse.Namespace) -> None:
    """Make or change the stack of the nights, and stage what they need; begin none."""
    path, settings, warehouse, account = _begin(options)
    document = artefacts.read(path)
    steps = steps_of(document)
    print("\n".join(costs.lines(settings, steps)))
    _refuse_unlike_cards(path, document, settings)
    bucket, _ = stack.place_of(warehouse)
    staging = artefacts.bucket(bucket)
    plan = artefacts.plan(path, document, Path(options.archive), staging, settings.reads)
    now = stack.find(account, settings.stack)
    if now:
        stack.refuse_torn(settings.stack, now)
    values = stack.parameters(account, settings, warehouse, plan.uris, plan.readable, now)
    delivered = artefacts.deployed("cloudformation/devise.yaml").read_text(encoding="utf-8")
    made = template.with_machine(delivered, settings, steps)
    if now or values["ExistingKey"]:  # a night that begins meanwhile finds all that it is told of
        artefacts.stage(account, plan.files, staging)
        stack.make(account, settings.stack, made, values, now)
    else:
        stack.make(account, settings.stack, made, values, now)
        artefacts.stage(account, plan.files, staging)
    if not account.dry:
        print(f"stack {settings.stack} stands in {account.region}; settings: {plan.uris['Config']}")


def _refuse_unlike_cards(path: Path, document: dict[str, Any], settings: EmrConfig) -> None:
    device = ((document.get("embed_images") or {}).get("engine") or {}).get("device", "auto")
    if (device == "cuda") != bool(settings.cards) and device != "auto":
        cards = f"cards {settings.cards.instances}" if settings.cards else "no cards"
        raise ConfigError(f"{path}: found embed_images.engine.device {device} and emr with {cards}, wanted both alike")


def submit(options: argparse.Namespace) -> None:
    """Begin a night on the account: an execution of its state machine, named after the run."""
    path, settings, _, account = _begin(options)
    now = _stack(account, settings)
    document = artefacts.read(path)
    _refuse_stale(account, path, document, now)
    _refuse_sets(path, document, options.set, options.setup)
    print("\n".join(costs.lines(settings, steps_of(document))))
    print(runs.begin(account, now.outputs["StateMachine"], options.run, options.set, options.setup))


def _stack(account: Account, settings: EmrConfig) -> stack.Stack:
    """The stack; on a dry run without an account, what it would be."""
    if account.dry and stack.find(account, settings.stack) is None:
        machine = f"arn:{account.partition}:states:{account.region}:{account.id}:stateMachine:{settings.stack}-night"
        return stack.Stack("none", {}, {"StateMachine": machine})
    return stack.wanted(account, settings.stack)


def _refuse_stale(account: Account, path: Path, document: dict[str, Any], now: stack.Stack) -> None:
    """A night takes the settings that were staged: those that were changed since are not them."""
    if not (uri := now.parameters.get("Config")):
        return
    found = account.ask("s3", "head_object", ("404", "NoSuchKey"), **s3.split(uri))
    if found is None:
        raise AwsError(f"{uri}: found no settings there, wanted those of the stack: `devise emr up` stages them")
    if found["Metadata"].get(artefacts.SOURCE) != artefacts.source_sha256(document):
        raise ConfigError(f"{path}: found other settings than those staged at {uri}, wanted the same: `devise emr up`")


def _refuse_sets(path: Path, document: dict[str, Any], sets: list[str], setup: bool) -> None:
    """What --set says is asked here as its job will ask, before there is a cluster; and it names no place anew."""
    for told in sets:
        if (section := re.split(r"[.=]", told)[0].strip()) in ("warehouse", "emr", "run_nightly"):
            raise ConfigError(
                f"--set {told}: found {section}, which is the stack's, wanted it in {path}: `devise emr up`"
            )
    told = artefacts.read(path, sets, setup)
    if new := sorted({*artefacts.places(told)} - {*artefacts.places(document)}):
        raise ConfigError(f"--set: found {new[0]}, which nodes may not read, wanted it in {path}: `devise emr up`")


def status(options: argparse.Namespace) -> None:
    """What became of a night: execution, cluster, steps, and how its jobs say that they ended."""
    _, settings, warehouse, account = _begin(options)
    now = stack.wanted(account, settings.stack, at_rest=False)
    night = _night(settings, options.run, warehouse, now)
    print("\n".join(runs.describe(account, settings.stack, now.outputs["StateMachine"], night, (SETUP, *STEPS))))


def _night(settings: EmrConfig, run: str, warehouse: str, now: stack.Stack) -> Night:
    return cluster.night(settings, run, warehouse, now.parameters["Config"])


def logs(options: argparse.Namespace) -> None:
    """What a step of a night wrote, and its driver: the one that failed, or the newest."""
    _, settings, warehouse, account = _begin(options)
    if options.step:
        named(options.step)
    found = [
        (each.id, step)
        for each in runs.clusters(account, settings.stack, options.run)
        for step in reversed(runs.steps(account, each.id))
        if options.step in (None, step["Name"])
    ]
    if not found:
        raise AwsError(f"run {options.run}: found no step {options.step or ''} of it on EMR, wanted one that was begun")
    failed = [pair for pair in found if pair[1]["Status"]["State"] == "FAILED"]
    print("\n".join(runs.logs(account, f"{stack.place_of(warehouse)[0]}-logs", *(failed or found)[0])))


def down(options: argparse.Namespace) -> None:
    """End what goes on: schedule off, executions stopped, clusters terminated; with --stack the stack too."""
    _, settings, _, account = _begin(options)
    now = stack.find(account, settings.stack)
    if now and now.parameters.get("ScheduleState") == "ENABLED":
        stack.reschedule(account, settings.stack, now, {"ScheduleState": "DISABLED"})
        print("schedule off")
    print("\n".join(runs.end(account, settings.stack, now.outputs.get("StateMachine") if now else None)))
    if options.stack and now:
        stack.remove(account, settings.stack)
        print(f"stack {settings.stack} {'would be' if account.dry else 'is'} gone; its buckets and its key stay")


def schedule(options: argparse.Namespace) -> None:
    """Begin a night every day at a time, or no more."""
    path, settings, _, account = _begin(options)
    now = stack.wanted(account, settings.stack)
    if options.off:
        stack.reschedule(account, settings.stack, now, {"ScheduleState": "DISABLED"})
        return print("schedule off")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", options.at):
        raise ConfigError(f"found --at {options.at}, wanted a time of day such as 02:30")
    try:
        zone = ZoneInfo(options.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"found --zone {options.zone}, wanted a time zone such as Europe/Berlin") from None
    hour, minute = (int(part) for part in options.at.split(":"))
    _refuse_two_of_a_day(hour, minute, zone)
    told = {
        "ScheduleState": "ENABLED",
        "ScheduleExpression": f"cron({minute} {hour} * * ? *)",
        "ScheduleZone": options.zone,
    }
    stack.reschedule(account, settings.stack, now, told)
    print("\n".join(costs.lines(settings, steps_of(yamlfile.read(path)))))
    print(f"a night every day at {options.at} {options.zone}; its run id is the date in UTC")


def _refuse_two_of_a_day(hour: int, minute: int, zone: ZoneInfo) -> None:
    """A run id is a date in UTC: where clocks change across its midnight two nights would have one, and one be lost."""
    first = datetime.now(zone).replace(hour=hour, minute=minute)
    days = [(first + timedelta(days=day)).astimezone(UTC).date() for day in range(400)]  # of wall clocks
    if twice := next((day for day, after in zip(days, days[1:], strict=False) if day == after), None):
        raise ConfigError(
            f"found --at {hour:02}:{minute:02} {zone}, which is twice {twice} in UTC, wanted an hour later"
        )
