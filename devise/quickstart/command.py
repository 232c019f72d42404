"""The command of the first hour, `devise label`, from its options to what is said; it computes nothing itself."""

import argparse
import os
import sys
import time
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from devise import process
from devise.errors import ConfigError

Command = Callable[[str, Callable[[argparse.Namespace], None]], argparse.ArgumentParser]
PRINTED = 10
PAGE = "labels.html"


def add(command: Command) -> None:
    """The commands, each made by `command(name, do)`."""
    labelling = command("label", label)
    labelling.add_argument("folder", metavar="FOLDER", help="pictures, in folders below it too; or an s3:// prefix")
    labelling.add_argument("-k", "--k", type=process.count, default=5, help="labels a picture; default 5")
    labelling.add_argument(
        "--sheet", default=PAGE, metavar="FILE", help=f"the page, .html, .png or .jpg; default {PAGE}"
    )
    labelling.add_argument("--csv", metavar="FILE", help="a table too: uri, rank, label, synset, score, code")
    labelling.add_argument("--vectors", metavar="FILE", help="word vectors in place of the shipped ones")
    labelling.add_argument("--model", metavar="WAREHOUSE", help="the model and nouns that are live there")
    labelling.add_argument(
        "--warehouse", metavar="W", help="write the tables of a night there, which `devise search` then answers from"
    )


def label(options: argparse.Namespace) -> None:
    """Label a folder of pictures with the starter kit, and open a page of them; no Spark, no config.

    With --warehouse it is a night, which needs Spark.
    """
    from devise.quickstart import pages

    given = {name: getattr(options, name) for name in ("vectors", "model", "warehouse", "csv")}
    for one, other in (("vectors", "model"), ("model", "warehouse"), ("csv", "warehouse")):
        if given[one] and given[other]:
            raise ConfigError(f"found --{one} and --{other}, wanted one of them")
    pages.refuse_kind(options.sheet)
    found = night(options) if options.warehouse else here(options)
    pages.write(found, options.folder, options.sheet)
    say(f"page: {options.sheet}")
    if sys.stdout.isatty() and (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
        webbrowser.open(Path(options.sheet).resolve().as_uri())


def here(options: argparse.Namespace) -> Sequence:
    """The pictures labelled in this process, the first of them printed."""
    from devise.quickstart import label as labelling
    from devise.quickstart import pages

    pictures = labelling.find_pictures(options.folder)
    say(f"{len(pictures):,} pictures in {options.folder}")
    from devise.quickstart import kit as kits  # torch takes seconds to import: an empty folder is told before

    started = time.monotonic()
    kit = kits.of_warehouse(options.model) if options.model else kits.starter(overrides(options))
    say(f"{kit.name}; ready in {time.monotonic() - started:.1f} s")
    found = labelling.gather(labelling.label(kit, pictures, options.k), len(pictures), say)
    for one in found[:PRINTED]:
        told = ", ".join(f"{name} {score:.2f}" for name, _, score in one.labels) or f"{one.code}: {one.message}"
        print(f"  {pages.below(one.uri, options.folder)}: {told}")
    if len(found) > PRINTED:
        print(f"  and {len(found) - PRINTED:,} more")
    if options.csv:
        labelling.write_table(found, options.csv)
        say(f"table: {options.csv}")
    return found


def night(options: argparse.Namespace) -> Sequence:
    """The same by a night of the starter's settings; what is live then is shown."""
    from devise.jobs import run_nightly
    from devise.quickstart import kit, pages
    from devise.spark.frame import command
    from devise.store import storage

    sets = [f"warehouse={options.warehouse}", f"catalog_images.sources=[{options.folder!r}]", *overrides(options)]
    words = ["--config", str(kit.config_path()), "--run", time.strftime("%Y-%m-%dT%H%M%S")]
    command.run_in_order(
        "run_nightly",
        run_nightly.__doc__,
        run_nightly.JOBS,
        [*words, *(word for text in sets for word in ("--set", text))],
    )
    print(f'ask: devise search --warehouse {options.warehouse} "boat"')
    return pages.of_night(storage.normalise(options.warehouse))


def overrides(options: argparse.Namespace) -> list[str]:
    """What the options change in the starter's settings."""
    vectors = [f"build_vocabulary.vectors={options.vectors}"] if options.vectors else []
    return [f"label_images.k={options.k}", *vectors]


def say(text: str) -> None:
    print(f"[label] {text}", flush=True)
