"""What is asked before a night: would it run (`doctor`), and what would it cost (`estimate`); it computes nothing."""

import argparse
from collections.abc import Callable

from devise import process
from devise.emr import command as clusters

Command = Callable[[str, Callable[[argparse.Namespace], None]], argparse.ArgumentParser]


def add(command: Command) -> None:
    """The commands, each made by `command(name, do)`."""
    looking, pricing = command("doctor", doctor), command("estimate", estimate)
    for made in (looking, pricing):
        made.add_argument("--config", required=True, metavar="FILE", help="YAML file of the nights")
        made.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    looking.add_argument("--cpu", metavar="TYPE:COUNT", help="by spark-submit, on these nodes: m6i.4xlarge:10")
    looking.add_argument("--gpu", metavar="TYPE:COUNT", help="and on these, with cards")
    looking.add_argument("--master", help="of spark-submit; default yarn")
    looking.add_argument("--dry-run", action="store_true", help="print the lines of spark-submit, and run nothing")
    pricing.add_argument(
        "--sample", type=process.count, default=600, metavar="N", help="images to measure; default 600"
    )
    pricing.add_argument(
        "--images", type=process.count, metavar="N", help="in the corpus; default: as listed"
    )


def doctor(options: argparse.Namespace) -> None:
    """Would a night run here, or on a cluster? A line a check, `ok` or what was found, wanted and to be done."""
    if options.cpu is not None:
        return clusters.doctor(options)
    clusters.refuse_without_nodes(options, ("gpu", "master", "dry_run"), "nodes of a cluster")
    from devise.jobs import check_cluster

    check_cluster.main(["--config", options.config, *(word for text in options.set for word in ("--set", text))])


def estimate(options: argparse.Namespace) -> None:
    """Hours and cost of embedding the corpus on several instance types, by a sample of it measured here."""
    from devise.emr import estimate as fleets
    from devise.show import probe

    found = probe.probe(options.config, options.set, options.sample, options.images)
    seen = found.rates
    on_card = seen.device != "cpu"
    measured = fleets.Measured(
        decode=seen.decode.median,
        together=seen.together.median,
        cores=seen.cores,
        spread=max(seen.decode.spread, seen.model.spread if on_card else seen.together.spread),
        card=seen.model.median if on_card else None,
        card_name=seen.device if on_card else "",
    )
    print("\n".join([*probe.lines(found), "", *fleets.lines(measured, found.images)]))
