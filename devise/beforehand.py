"""What is asked before a night: a config for it (`init`), would it run (`check`, `doctor`), and what would it cost
(`estimate`, `explain-index`); it computes nothing."""

import argparse
from collections.abc import Callable

from devise import process
from devise.emr import command as clusters

Command = Callable[[str, Callable[[argparse.Namespace], None]], argparse.ArgumentParser]


def add(command: Command) -> None:
    """The commands, each made by `command(name, do)`."""
    beginning = command("init", init)
    beginning.add_argument("config", metavar="CONFIG", help="YAML file to write, here or on s3://; never overwritten")
    beginning.add_argument("--images", required=True, metavar="PREFIX", help="folder or s3:// prefix of the corpus")
    beginning.add_argument("--warehouse", metavar="W", help="default: beside the prefix, or the config")
    beginning.add_argument("--vectors", default="wordnet", help="file of word vectors; default the shipped ones")
    beginning.add_argument("--architecture", help="of the weights; default the starter network, efficientnet_lite2")
    beginning.add_argument("--weights", help="state dict file or torchvision:DEFAULT; default the starter's")
    looking, checking, pricing = command("doctor", doctor), command("check", check), command("estimate", estimate)
    for made in (looking, checking, pricing):
        made.add_argument("--config", required=True, metavar="FILE", help="YAML file of the nights")
        made.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    looking.add_argument("--cpu", metavar="TYPE:COUNT", help="by spark-submit, on these nodes: m6i.4xlarge:10")
    looking.add_argument("--gpu", metavar="TYPE:COUNT", help="and on these, with cards")
    looking.add_argument("--master", help="of spark-submit; default yarn")
    looking.add_argument("--dry-run", action="store_true", help="print the lines of spark-submit, and run nothing")
    pricing.add_argument(
        "--sample", type=process.count, default=600, metavar="N", help="images to measure; default 600"
    )
    pricing.add_argument("--images", type=process.count, metavar="N", help="in the corpus; default: as listed")
    explaining = command("explain-index", explain_index)
    explaining.add_argument("--rows", required=True, type=process.count, metavar="N", help="images in the index")
    explaining.add_argument("--dim", required=True, type=process.count, metavar="D", help="of the word vectors")
    explaining.add_argument(
        "--memory", required=True, type=process.size, metavar="M", help="of all shards together: 8GiB, 500MiB or bytes"
    )


def init(options: argparse.Namespace) -> None:
    """Look at a corpus, and write a commented config for its nights that runs; never over one."""
    from devise.quickstart import init

    init.init(options)


def check(options: argparse.Namespace) -> None:
    """Everything that would fail in a night, in a minute and without Spark: a line a check, `ok` or what to do."""
    from devise.quickstart import check

    check.check(options.config, options.set)


def doctor(options: argparse.Namespace) -> None:
    """Would a night run here, or on a cluster? A line a check, `ok` or what was found, wanted and to be done."""
    if options.cpu is not None:
        return clusters.doctor(options)
    clusters.refuse_without_nodes(options, ("gpu", "master", "dry_run"), "nodes of a cluster")
    from devise.jobs import check_cluster

    check_cluster.main(["--config", options.config, *(word for text in options.set for word in ("--set", text))])


def estimate(options: argparse.Namespace) -> None:
    """Hours and cost of embedding the corpus on several instance types, by a sample of it measured here."""
    from devise.quickstart import price

    print("\n".join(price.lines(options.config, options.set, options.sample, options.images)))


def explain_index(options: argparse.Namespace) -> None:
    """Which index so many images get in so much memory, and why: the lines that build_index prints."""
    from devise.config import IndexConfig
    from devise.search import kinds

    usual = {name: field.default for name, field in IndexConfig.model_fields.items()}
    sample_rows = usual["sample_rows"]
    kind = kinds.choose_kind(options.rows, options.dim, options.memory, sample_rows=sample_rows)
    tuned = usual["tune_queries"], usual["target_recall"]
    print("\n".join(kinds.explain(kind, options.rows, options.dim, options.memory, sample_rows, *tuned)))
