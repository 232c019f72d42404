"""`devise emr ...`: the arguments of the commands for clusters; each of them is a module of its own."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from devise.errors import ConfigError

if TYPE_CHECKING:
    from devise.emr.night import Nodes
    from devise.emr.sizes import Device


def add(commands: argparse._SubParsersAction) -> None:
    """The group `emr` of the command line."""
    group = commands.add_parser("emr", help="Nights on a cluster: EMR, or any YARN.", description=__doc__)
    ways = group.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace], None], what: str) -> argparse.ArgumentParser:
        made = ways.add_parser(name, help=what, description=what)
        made.set_defaults(do=do)
        return made

    def on_account(name: str, what: str) -> argparse.ArgumentParser:
        made = command(name, partial(_operate, name), what)
        made.add_argument("--config", required=True, metavar="FILE", help="YAML file of the nights, with a section emr")
        if name not in ("status", "logs"):
            made.add_argument("--dry-run", action="store_true", help="print the calls to AWS that change anything")
        return made

    making = on_account("up", "Make or change the stack of the nights, and stage what they need; begin none.")
    making.add_argument("--archive", required=True, metavar="FILE", help="what `make dist` made")
    looking = on_account("status", "What became of a night: execution, cluster, steps, and how its jobs ended.")
    reading = on_account("logs", "What a step of a night wrote, and its driver.")
    reading.add_argument("--step", help="this step; default: one that failed, or else the newest")
    for asking in (looking, reading):
        asking.add_argument("--run", required=True, help="id of the night's run")
    ending = on_account("down", "End what goes on: schedule off, executions stopped, clusters terminated.")
    ending.add_argument("--stack", action="store_true", help="remove the stack too; its buckets and its key stay")
    timing = on_account("schedule", "Begin a night every day at a time, or no more.")
    when = timing.add_mutually_exclusive_group(required=True)
    when.add_argument("--at", metavar="HH:MM", help="time of day")
    when.add_argument("--off", action="store_true", help="no more nights by themselves")
    timing.add_argument("--zone", default="UTC", help="time zone, such as Europe/Berlin; default UTC")

    made = command("submit", submit, (submit.__doc__ or "").partition("\n")[0])
    made.add_argument("--config", required=True, metavar="FILE", help="YAML file of the nights")
    made.add_argument("--run", required=True, help="id of this night's run, after the live one")
    made.add_argument("--setup", action="store_true", help="on the account: vocabulary and model first")
    made.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    made.add_argument("--cpu", metavar="TYPE:COUNT", help="by spark-submit from here, on these nodes: m6i.4xlarge:10")
    made.add_argument("--gpu", metavar="TYPE:COUNT", help="nodes with cards, for embed; default: the CPU steps' nodes")
    made.add_argument(
        "--step", action="append", default=[], help="only this step, or setup; may be given several times"
    )
    made.add_argument("--master", help="of spark-submit from here; default yarn")
    made.add_argument("--deploy-mode", choices=["client", "cluster"], help="default client")
    made.add_argument("--dry-run", action="store_true", help="print the lines, or calls, and run nothing")


def submit(options: argparse.Namespace) -> None:
    """Begin a night on the account; with --cpu do its steps from here, the primary, and end as the first that fails."""
    if options.cpu is None:
        refuse_without_nodes(options, ("master", "gpu", "step", "deploy_mode"), "steps from here")
        return _operate("submit", options)
    if options.setup:
        raise ConfigError("found --setup with --cpu, wanted --step setup for steps from here")
    from devise import settings, yamlfile
    from devise.config import NightlyConfig
    from devise.emr import artefacts
    from devise.emr import night as nights
    from devise.emr import submit as submitting
    from devise.emr.night import SETUP, Night
    from devise.store import s3, scratch, storage

    path = scratch.localise(storage.normalise(options.config))
    s3.configure(settings.load_s3(path, options.set))
    own = nights.steps_of(yamlfile.read(path, options.set))
    # The lines name their own stages: those of the file choose what is by choice, and need not be there.
    told = [*options.set, f"run_nightly.stages=[{', '.join(own[0].stages)}]"]
    warehouse = settings.load(path, "run_nightly", NightlyConfig, options.run, told).warehouse
    night = Night(
        config=storage.normalise(options.config),
        run=options.run,
        warehouse=warehouse,
        nodes=_nodes(options),
        sets=options.set,
        master=options.master or "yarn",
        deploy_mode=options.deploy_mode or "client",
        python=sys.executable,
        job=find_spec("devise.jobs.run_nightly").origin,
        environment=settings.variables(path),
    )
    asked = [nights.named(name).name for name in options.step] or [step.name for step in own]
    steps = [step for step in (SETUP, *own) if step.name in asked]
    artefacts.check(path, [stage for step in steps for stage in step.stages], options.set)
    if options.dry_run:
        print("\n".join(shlex.join(nights.submit_arguments(step, night)) for step in steps))
        return
    ended = submitting.run(steps, night)
    if ended.exit_code:
        print(f"devise: step {ended.step}: {ended.line}", file=sys.stderr, flush=True)
        sys.exit(ended.exit_code)


def doctor(options: argparse.Namespace) -> None:
    """`devise doctor --cpu ...`: by spark-submit, on the nodes that are named; ends as the first look with a fault."""
    from devise import settings
    from devise.emr import submit as submitting
    from devise.emr.night import Night, check_arguments
    from devise.store import scratch, storage

    path = scratch.localise(storage.normalise(options.config))
    night = Night(
        config=storage.normalise(options.config),
        run="doctor",
        warehouse=settings.load_warehouse(path),
        nodes=_nodes(options),
        sets=options.set,
        master=options.master or "yarn",
        python=sys.executable,
    )
    job = find_spec("devise.jobs.check_cluster").origin
    if options.dry_run:
        print("\n".join(shlex.join(check_arguments(device, night, job)) for device in night.nodes))
        return
    if code := submitting.check(night, job):
        sys.exit(code)


def refuse_without_nodes(options: argparse.Namespace, names: Sequence[str], what: str) -> None:
    """`ConfigError` if an option is given that means something with --cpu alone."""
    if told := [f"--{name.replace('_', '-')}" for name in names if vars(options)[name]]:
        raise ConfigError(f"found {', '.join(told)} and no --cpu, wanted --cpu TYPE:COUNT for {what}")


def _nodes(options: argparse.Namespace) -> "dict[Device, Nodes]":
    from devise.emr.night import Nodes

    told: dict[Device, str | None] = {"cpu": options.cpu, "gpu": options.gpu}
    return {device: Nodes.parse(text) for device, text in told.items() if text}


def _operate(name: str, options: argparse.Namespace) -> None:
    from devise.emr import operate  # pydantic takes a while

    getattr(operate, name)(options)
