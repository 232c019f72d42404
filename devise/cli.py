"""`devise ...` for people: runs jobs, says what is live, answers queries in a terminal; computes nothing itself."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from devise.config import SECTIONS as JOBS
from devise.errors import ConfigError, DeviseError


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit code 2 and one line for a broken promise."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["run"]:
        return run(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        options.do(options)
    except DeviseError as error:
        print(f"devise: error: {error}", file=sys.stderr)
        sys.exit(2)


def run(arguments: Sequence[str]) -> None:
    """`devise run NAME --config FILE --run ID [--set ...]`: the same as `spark-submit jobs/NAME.py ...`."""
    if not arguments or arguments[0] not in JOBS:
        print(f"devise run: wanted a job: {', '.join(JOBS)}", file=sys.stderr)
        sys.exit(2)
    from importlib import import_module

    from devise.spark import job

    module = import_module(f"devise.jobs.{arguments[0]}")
    if arguments[0] == "run_nightly":
        job.run_in_order("run_nightly", module.__doc__, module.JOBS, arguments[1:])
    else:
        job.run(module.JOB, arguments[1:])


def status(options: argparse.Namespace) -> None:
    """What is live: run, age, and rows of each table."""
    from devise import manifest, pointer

    live = pointer.read(options.warehouse)
    if live is None:
        raise ConfigError(f"{options.warehouse}: nothing is published here yet")
    age_h = (time.time() - live.entries[0].published_at) / 3600
    print(f"live: run {live.run}, published {age_h:.1f} h ago, in {options.warehouse}")
    print(f"{'table':<12} {'run':<24} {'rows':>14} {'bytes':>16}  of")
    for entry in live.entries:
        found = manifest.read(options.warehouse, entry.table, entry.run)
        size_bytes = sum(file.size_bytes for file in found.files)
        of = " ".join(filter(None, [found.model_id and f"model {found.model_id}", _codes(found.rejects)]))
        print(f"{entry.table:<12} {entry.run:<24} {found.rows:>14,} {size_bytes:>16,}  {of}")


def search(options: argparse.Namespace) -> None:
    """The pictures nearest to words or to a picture, from what is live; no Spark."""
    from devise import query, terminal

    live = query.LiveIndex(options.warehouse)
    if options.image:
        asked = query.Query(f"{query.IMAGE}{options.image}", "image")
        vector = terminal.embed_picture(live, options.image)
    else:
        if not options.text:
            raise ConfigError("nothing asked: give words, or --image FILE")
        from devise.zeroshot import query_vector

        asked = query.parse(" ".join(options.text))
        if asked.kind == "image":
            vector = terminal.embed_picture(live, asked.uri)
        else:
            vector = query_vector(asked.text, live.lookup(options.vectors))
    hits = live.search(vector, asked.kind, options.k)
    for hit in hits:
        print(f"{hit.rank:>3}  {hit.score:6.3f}  {hit.uri}")
    if options.sheet:
        terminal.write_sheet(hits, asked.text, Path(options.sheet))
        print(f"contact sheet: {options.sheet}")


def words(options: argparse.Namespace) -> None:
    """Correlations and cosines of words, a word's neighbours, or how a word is known."""
    from devise import terminal

    terminal.words(options)


def demo(options: argparse.Namespace) -> None:
    """The whole pipeline on the drawn picture book."""
    from devise.sample import demo

    demo.run(Path(options.folder), options.place)


def columns(options: argparse.Namespace) -> None:
    """The data dictionary of all tables, in Markdown."""
    from devise.spark import schemas

    print(schemas.data_dictionary(), end="")


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, wanted 1 or more")
    return number


def _codes(rejects: dict[str, int]) -> str:
    return ", ".join(f"{code} {n:,}" for code, n in rejects.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devise", description="Zero-shot labels for a whole image corpus.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=(do.__doc__ or "").splitlines()[0], description=do.__doc__)
        made.set_defaults(do=do)
        return made

    commands.add_parser("run", help="run a job: devise run NAME --config FILE --run ID", add_help=False)
    command("status", status).add_argument("--warehouse", required=True)
    searching = command("search", search)
    searching.add_argument("text", nargs="*", help='words: ship, "ship + sail", "king - man + woman", image:URI')
    searching.add_argument("--warehouse", required=True)
    searching.add_argument("--image", help="a picture to find the like of")
    searching.add_argument("--vectors", help="word vectors for words that are no labels")
    searching.add_argument("-k", type=_count, default=10)
    searching.add_argument("--sheet", help="write a contact sheet (PNG) of the answers here")
    asking = command("words", words)
    asking.add_argument("text", nargs="*", help="words to compare")
    asking.add_argument("--near", metavar="WORD", help="the labels nearest to a word")
    asking.add_argument(
        "--known", metavar="WORD", help="is it a seen label, a zero-shot one, or none, and by which rule"
    )
    asking.add_argument("--warehouse", help="use the live vocabulary of this warehouse")
    asking.add_argument("--vectors", help="word vectors; default the ones of the sample")
    asking.add_argument("-k", type=_count, default=10)
    drawing = command("demo", demo)
    drawing.add_argument("--folder", default="demo", help="where the pictures and tables go")
    drawing.add_argument("--place", metavar="S3_URI", help="corpus and warehouse go below this prefix instead")
    command("columns", columns)
    return parser


if __name__ == "__main__":
    main()
