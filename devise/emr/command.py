"""`devise emr ...`: the arguments of the commands for clusters; each of them is a module of its own."""

import argparse
import shlex
import sys
from collections.abc import Callable
from importlib.util import find_spec


def add(commands: argparse._SubParsersAction) -> None:
    """The group `emr` of the command line."""
    group = commands.add_parser("emr", help="Nights on a cluster: EMR, or any YARN.", description=__doc__)
    ways = group.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = ways.add_parser(name, help=(do.__doc__ or "").partition("\n")[0], description=do.__doc__)
        made.set_defaults(do=do)
        return made

    made = command("submit", submit)
    made.add_argument("--config", required=True, metavar="FILE", help="YAML file of the nights")
    made.add_argument("--run", required=True, help="id of this night's run, after the live one")
    made.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    made.add_argument("--cpu", required=True, metavar="TYPE:COUNT", help="nodes of the CPU steps: m6i.4xlarge:10")
    made.add_argument("--gpu", metavar="TYPE:COUNT", help="nodes with cards, for embed; default: the CPU steps' nodes")
    made.add_argument(
        "--step", action="append", default=[], help="only this step, or setup; may be given several times"
    )
    made.add_argument("--master", default="yarn", help="default yarn")
    made.add_argument("--deploy-mode", choices=["client", "cluster"], default="client", help="default client")
    made.add_argument("--dry-run", action="store_true", help="print the lines, and run nothing")


def submit(options: argparse.Namespace) -> None:
    """Do a night's steps from the cluster's primary, one after another; end as the first that fails does."""
    from devise import settings
    from devise.config import NightlyConfig
    from devise.emr import night as nights
    from devise.emr import submit as submitting
    from devise.emr.night import SETUP, STEPS, Night, Nodes
    from devise.store import s3, scratch, storage

    path = scratch.localise(storage.normalise(options.config))
    s3.configure(settings.load_s3(path, options.set))
    # The lines name their own stages: those of the file count for nothing here, and need not be there.
    told = [*options.set, f"run_nightly.stages=[{', '.join(STEPS[0].stages)}]"]
    warehouse = settings.load(path, "run_nightly", NightlyConfig, options.run, told).warehouse
    night = Night(
        config=storage.normalise(options.config),
        run=options.run,
        warehouse=warehouse,
        nodes={name: Nodes.parse(text) for name, text in (("cpu", options.cpu), ("gpu", options.gpu)) if text},
        sets=options.set,
        master=options.master,
        deploy_mode=options.deploy_mode,
        python=sys.executable,
        job=find_spec("devise.jobs.run_nightly").origin,
        environment=settings.variables(path),
    )
    asked = [nights.named(name) for name in options.step] or STEPS
    steps = [step for step in (SETUP, *STEPS) if step in asked]
    if options.dry_run:
        print("\n".join(shlex.join(nights.submit_arguments(step, night)) for step in steps))
        return
    ended = submitting.run(steps, night)
    if ended.exit_code:
        print(f"devise: step {ended.step}: {ended.line}", file=sys.stderr, flush=True)
        sys.exit(ended.exit_code)
