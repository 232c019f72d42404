"""`devise ...` for people: runs jobs, says what is live, answers queries in a terminal; computes nothing itself."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import devise
from devise import beforehand, process
from devise.emr import command as clusters
from devise.errors import ConfigError
from devise.quickstart import command as quickstart


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit code 2 and one line for a broken promise."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with process.ending("devise"):
        if arguments[:1] == ["run"]:
            return run(arguments[1:])
        options = _parser().parse_args(arguments)
        if getattr(options, "nights", None):
            _reach(options)
        options.do(options)


def run(arguments: Sequence[str]) -> None:
    """`devise run NAME --config FILE --run ID [--set ...]`: the same as `spark-submit jobs/NAME.py ...`."""
    from devise.config import SECTIONS  # pydantic takes a while: an interrupt meanwhile is to be one line

    jobs = (*SECTIONS, "plan_images")  # the one job whose settings are in another one's section

    if arguments[:1] in (["--help"], ["-h"]):
        print(
            "usage: devise run NAME --config FILE --run ID [--set SECTION.KEY=VALUE ...]\n\nRun a job; NAME is one of"
        )
        print("\n".join(f"  {name}" for name in jobs))
        print("\n`devise run NAME --help` tells what it reads and writes.")
        return
    if not arguments or arguments[0] not in jobs:
        found = f"found {arguments[0]!r}, " if arguments else ""
        raise ConfigError(f"run: {found}wanted a job: {', '.join(jobs)}")
    from importlib import import_module

    from devise.spark.frame import command

    module = import_module(f"devise.jobs.{arguments[0]}")
    if arguments[0] == "run_nightly":
        command.run_in_order("run_nightly", module.__doc__, module.JOBS, arguments[1:])
    else:
        command.run(module.JOB, arguments[1:])


def status(options: argparse.Namespace) -> None:
    """What is live and how much, last night's accounting, who works in the warehouse, what is kept."""
    from devise.warehouse.status import describe

    print("\n".join(describe(options.warehouse)))


def rollback(options: argparse.Namespace) -> None:
    """Make an earlier kept publication live again, as a new one; the runs that it leaves are discarded."""
    from devise.warehouse import upkeep

    print("\n".join(upkeep.rollback(options.warehouse, options.to)))


def discard(options: argparse.Namespace) -> None:
    """Never use a run again: no night builds on it, nothing publishes it."""
    from devise.warehouse import upkeep

    print(upkeep.discard(options.warehouse, options.run))


def expire(options: argparse.Namespace) -> None:
    """Forget old publications; remove the runs that only they need, and leftovers older than a day."""
    from devise.warehouse import upkeep

    print("\n".join(upkeep.expire(options.warehouse, options.keep, options.dry_run)))


def verify(options: argparse.Namespace) -> None:
    """Read a whole run: is every file, row and count what the manifests promise?"""
    from devise.warehouse import verify

    checked = verify.verify(options.warehouse, options.run)
    print("\n".join(verify.report(checked)))
    verify.refuse_faults(checked, options.run)


def replay(options: argparse.Namespace) -> None:
    """A night that tries rejects of the given codes again, whatever the settings say of them."""
    from devise import settings
    from devise.config import EmbedConfig
    from devise.store import scratch, storage
    from devise.vision.images import REJECT_CODES

    if unknown := sorted(set(options.code) - set(REJECT_CODES)):
        raise ConfigError(f"unknown reject codes {unknown}; known are {sorted(REJECT_CODES)}")
    path = scratch.localise(storage.normalise(options.config))
    known = settings.load(path, "embed_images", EmbedConfig, options.run, options.set).retry_codes
    _night(options, f"embed_images.retry_codes={sorted({*known, *options.code})}")


def compact(options: argparse.Namespace) -> None:
    """A night that writes live embeddings, standing rejects and the index anew, as one run each."""
    _night(options, "embed_images.nights_per_base=1", "build_index.rebuild_fraction=0")


def search(options: argparse.Namespace) -> None:
    """The pictures that answer words and pictures, added, subtracted and weighted, from what is live; no Spark."""
    from devise.show import terminal

    terminal.search(options)


def serve(options: argparse.Namespace) -> None:
    """Look at what is published in a browser: words, pictures and sums; this machine alone unless a token is set."""
    from devise.show.explorer import command

    command.serve(options)


def words(options: argparse.Namespace) -> None:
    """Correlations and cosines of words, a word's neighbours, or how a word is known."""
    from devise.show import terminal

    terminal.words(options)


def report(options: argparse.Namespace) -> None:
    """A night's page as a local file, or its map as a table for embedding-atlas."""
    from devise.show.nightly import opened

    opened.report(options)


def demo(options: argparse.Namespace) -> None:
    """The whole pipeline on the drawn picture book."""
    from devise.sample import demo

    demo.run(Path(options.folder), options.place)


def columns(options: argparse.Namespace) -> None:
    """The data dictionary of all tables, in Markdown."""
    from devise.spark.frame import schemas

    print(schemas.data_dictionary(), end="")


def card(options: argparse.Namespace) -> None:
    """A dataset card and Croissant metadata of what is live: README.md and croissant.json beside the tables."""
    from devise.show import datasetcard
    from devise.spark.frame import schemas

    print("\n".join(datasetcard.write(options.warehouse, schemas.described(), options.out, options.license)))


def ddl(options: argparse.Namespace) -> None:
    """SQL that makes the tables, and views of what is live, for an engine: Athena, Trino, DuckDB or Spark."""
    from devise.spark.frame import ddl

    print(ddl.script(options.engine, options.warehouse), end="")


def _reach(options: argparse.Namespace) -> None:
    """Take the warehouse from the settings of the nights, and reach S3 as they do."""
    from devise import settings
    from devise.store import s3, scratch, storage

    path = scratch.localise(storage.normalise(options.nights))
    s3.configure(settings.load_s3(path))
    options.warehouse = settings.load_warehouse(path)


def _night(options: argparse.Namespace, *more: str) -> None:
    sets = [word for text in (*options.set, *more) for word in ("--set", text)]
    words = ["--config", options.config, "--run", options.run, *sets]
    if options.submit is None:
        return run(["run_nightly", *words])
    from importlib.util import find_spec

    try:
        more = shlex.split(options.submit)
    except ValueError as error:
        raise ConfigError(f"--submit {options.submit}: {error}") from None
    print(shlex.join(["spark-submit", *more, find_spec("devise.jobs.run_nightly").origin, *words]))


def _named(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("found nothing, wanted a path or URI")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = process.Parser(prog="devise", description="Zero-shot labels for a whole image corpus.")
    parser.add_argument("--version", action="version", version=f"devise {devise.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=(do.__doc__ or "").partition("\n")[0], description=do.__doc__)
        made.set_defaults(do=do)
        return made

    def at_warehouse(made: argparse.ArgumentParser, required: bool = True) -> argparse.ArgumentParser:
        either = made.add_mutually_exclusive_group(required=required)
        either.add_argument("--warehouse", type=_named, help="the warehouse, a path, file:// or s3://")
        either.add_argument(
            "--config", dest="nights", type=_named, help="YAML file of the nights: its warehouse, its s3 section"
        )
        return made

    commands.add_parser("run", help="run a job: devise run NAME --config FILE --run ID", add_help=False)
    at_warehouse(command("status", status))
    going_back = at_warehouse(command("rollback", rollback))
    going_back.add_argument(
        "--to", type=process.count, metavar="PUBLICATION", help="default: the newest of a run before the live one"
    )
    at_warehouse(command("discard", discard)).add_argument("run", metavar="RUN")
    expiring = at_warehouse(command("expire", expire))
    expiring.add_argument(
        "--keep", type=process.count, default=14, metavar="N", help="newest publications to keep; default 14"
    )
    expiring.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    verifying = at_warehouse(command("verify", verify))
    verifying.add_argument("run", metavar="RUN")
    replaying, compacting = command("replay", replay), command("compact", compact)
    replaying.add_argument("--code", required=True, action="append", metavar="CODE", help="may be given several times")
    for night in (replaying, compacting):
        night.add_argument("--config", required=True, type=_named, help="YAML file of the nights")
        night.add_argument("--run", required=True, help="id of this night's run, after the live one")
        night.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
        night.add_argument(
            "--submit",
            metavar="OPTIONS",
            help="print the line that does it on a cluster, with these options of spark-submit, and do nothing here: "
            "--submit='--master=yarn', --submit='' for none",
        )
    searching = at_warehouse(command("search", search))
    searching.add_argument("text", nargs="*", help="ship, 'ship + sail', '2 * ship - engine', 'image:URI + snow'")
    searching.add_argument("--image", type=_named, help="a picture to find the like of")
    searching.add_argument("--vectors", type=_named, help="word vectors for words that are no labels")
    searching.add_argument("-k", type=process.count, default=10)
    searching.add_argument("--labels", action="store_true", help="tell the answer or best label of each, behind a tab")
    searching.add_argument("--under", type=_named, metavar="URI_PREFIX", help="only pictures whose uri begins so")
    searching.add_argument("--label", type=_named, help="only pictures that have it among their labels")
    searching.add_argument("--since", metavar="YYYY-MM-DD", help="only pictures written on that day, in UTC, or later")
    searching.add_argument("--run", help="ask a kept publication of this run; default: what is live")
    searching.add_argument("--sheet", type=_named, help="write a contact sheet (PNG) of the answers here")
    serving = at_warehouse(command("serve", serve))
    serving.add_argument(
        "--host", default="127.0.0.1", help="default 127.0.0.1, this machine alone; others want a token"
    )
    serving.add_argument("--port", type=process.count, default=8000, help="default 8000")
    serving.add_argument(
        "--token-file", metavar="FILE", help="16 letters or more that everybody must give; default DEVISE_TOKEN, if set"
    )
    serving.add_argument("--vectors", type=_named, help="word vectors for words that are no labels")
    serving.add_argument(
        "--links", type=process.count, metavar="SECONDS", help="give links to originals on S3 that last so long"
    )
    asking = at_warehouse(command("words", words), required=False)
    asking.add_argument("text", nargs="*", help="words to compare")
    asking.add_argument("--near", metavar="WORD", help="the labels nearest to a word")
    asking.add_argument(
        "--known", metavar="WORD", help="is it a seen label, a zero-shot one, or none, and by which rule"
    )
    asking.add_argument("--vectors", type=_named, help="word vectors; default the ones of the sample")
    asking.add_argument("-k", type=process.count, default=10)
    telling = at_warehouse(command("report", report))
    telling.add_argument("--run", help="the night; default: the live one")
    either = telling.add_mutually_exclusive_group()
    either.add_argument("--out", type=_named, metavar="FILE", help="where the page goes; default night-RUN.html")
    either.add_argument(
        "--atlas", type=_named, metavar="FILE", help="write the map as Parquet instead, for embedding-atlas"
    )
    drawing = command("demo", demo)
    drawing.add_argument("--folder", type=_named, default="demo", help="where the pictures and tables go")
    drawing.add_argument("--place", metavar="S3_URI", help="corpus and warehouse go below this prefix instead")
    command("columns", columns)
    telling = at_warehouse(command("ddl", ddl))
    telling.add_argument("--engine", required=True, choices=("athena", "trino", "duckdb", "spark"))
    describing = at_warehouse(command("card", card))
    describing.add_argument("--out", type=_named, metavar="FOLDER", help="write them here; default: the warehouse")
    describing.add_argument("--license", type=_named, help="what the tables may be used under: an SPDX id or a URL")
    quickstart.add(command)
    beforehand.add(command)
    clusters.add(commands)
    return parser


if __name__ == "__main__":
    main()
