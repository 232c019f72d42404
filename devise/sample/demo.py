"""`make demo`: draws the picture book, runs a night on it, and shows what came out; it computes nothing itself."""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from devise.errors import ConfigError, StorageError
from devise.store import storage
from devise.warehouse import manifest, pointer

RUN = "2026-11-23"
PICTURES_PER_NOUN = 24
SAMPLE = Path(__file__).parent


def run(folder: Path, place: str | None = None) -> None:
    """Everything, into `folder`; a second call finds its work done and only shows it again.

    Args:
        place: s3:// prefix below which corpus and warehouse go instead; the tables shown are then copied to `folder`.

    Raises:
        ConfigError: there is no DuckDB to show the tables with.
        StorageError: the folder cannot be drawn into.
    """
    if find_spec("duckdb") is None:  # said before the night, not after it
        raise ConfigError("found no duckdb, which shows the demo's tables, wanted: pip install 'devise[demo]'")
    from devise.jobs import run_nightly
    from devise.show.nightly import opened
    from devise.spark.frame import command

    started = time.time()
    tables, where = folder.resolve() / "warehouse", storage.normalise(place) if place else f"file://{folder.resolve()}"
    try:
        draw(folder.resolve() / "book")
    except OSError as error:
        raise StorageError(f"--folder {folder}: cannot be drawn into: {error.strerror or error}") from None
    if place:
        upload(folder.resolve() / "book", f"{where}/book")
    names = {"BOOK": f"{where}/book", "TABLES": f"{where}/warehouse", "DRAWN": json.dumps(drawn_nouns())}
    os.environ |= {"SAMPLE": str(SAMPLE), **{name: text.removeprefix("file://") for name, text in names.items()}}
    arguments = ["--config", str(SAMPLE / "demo.yaml"), "--run", RUN]
    command.run_in_order("run_nightly", run_nightly.__doc__, run_nightly.JOBS, arguments)
    if place:
        download(f"{where}/warehouse", tables)
    show(tables, f"{where}/warehouse" if place else str(tables))
    sheets(tables, folder / "sheets")
    opened.write_page(f"{where}/warehouse", RUN, str(folder / "night.html"))
    print(f"  the night's page: {folder / 'night.html'}")
    print(f"\ndone in {time.time() - started:.0f} s; look at {folder / 'night.html'}, open the explorer, or ask:")
    asked = names["TABLES"] if place else os.path.relpath(tables)
    print(f"  {command_line('devise')} serve --warehouse {asked}    # http://127.0.0.1:8000")
    print(f'  {command_line("devise")} search --warehouse {asked} "boat + wing"')


def upload(book: Path, uri: str) -> None:
    """The picture book to S3, once."""
    if storage.stat(f"{uri}/nouns.json") is not None:
        return
    files = sorted((path for path in book.rglob("*") if path.is_file()), key=lambda path: path.name == "nouns.json")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda path: storage.put_file(path, storage.join(uri, str(path.relative_to(book)))), files[:-1]))
    storage.put_file(files[-1], storage.join(uri, files[-1].name))  # last: it says that the book is whole
    print(f"[demo] {len(files):,} files put to {uri}", flush=True)


def download(warehouse: str, tables: Path) -> None:
    """The files of all live tables, as they lie in the warehouse, and the pointer."""
    live = pointer.read(warehouse)
    wanted = [f"{warehouse}/live/current/live.json"]
    for entry in live.entries:
        root = manifest.folder(warehouse, entry.table, entry.run)
        wanted += [f"{root}/{file.path}" for file in manifest.read(warehouse, entry.table, entry.run).files]
        if entry.table not in manifest.COMMITTED_BY:
            wanted.append(f"{root}/{manifest.NAME}")
    for uri in wanted:
        path = tables / uri.removeprefix(warehouse + "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.get_file(uri, path)


def command_line(name: str) -> str:
    """A command of this environment, as it is called from here."""
    return os.path.relpath(Path(sys.executable).with_name(name))


def drawn_nouns() -> list[str]:
    from devise.sample.book import NOUNS

    return sorted(NOUNS)


def draw(book: Path) -> None:
    """The pictures, a few broken and odd files among them, the seen nouns' class table and the two groups of nouns."""
    from devise.sample.book import HELD_OUT, NOUNS, draw_book
    from devise.sample.broken import write_broken, write_odd
    from devise.words.synsets import read_hierarchy

    if (book / "nouns.json").exists():
        return
    started = time.time()
    n_pictures = draw_book(book / "pictures", PICTURES_PER_NOUN)
    n_odd, n_broken = len(write_odd(book / "pictures" / "odd ones")), len(write_broken(book / "pictures" / "broken"))
    seen = [noun for noun in sorted(NOUNS) if noun not in HELD_OUT]
    tree = read_hierarchy(SAMPLE / "nouns.tsv.gz")
    rows = [f"{place}\t{tree.synsets(noun)[0]}\t{noun}\t{noun}" for place, noun in enumerate(seen)]
    (book / "seen_classes.tsv").write_text("\n".join(["index\twnid\tname\tsynonyms", *rows]) + "\n")
    groups = {"seen": {noun: noun for noun in seen}, "held_out": {noun: noun for noun in HELD_OUT}}
    (book / "nouns.json").write_text(json.dumps(groups, indent=1))
    print(
        f"[demo] drew {n_pictures:,} pictures of {len(NOUNS)} nouns in {len(set(NOUNS.values()))} families "
        f"({len(HELD_OUT)} nouns are never trained on), {n_odd} odd and {n_broken} broken files "
        f"({time.time() - started:.0f} s)",
        flush=True,
    )


def show(tables: Path, warehouse: str) -> None:
    """What was written where, how good it is, queries with answers, rejects with reasons, and SQL to go on with.

    Args:
        tables: the warehouse, or where its tables were copied to.
    """
    import duckdb

    live = pointer.read(warehouse)
    where = warehouse if "://" in warehouse else os.path.relpath(warehouse)
    print("\nWritten, and live:")
    for entry in live.entries:
        found = manifest.read(warehouse, entry.table, entry.run)
        size = f"{found.rows:>7,} rows" if found.rows else f"{len(found.files):>6} files"
        print(f"  {entry.table:<11} {size}   {where}/{entry.table}/run={entry.run}")

    def ask(query: str) -> list[tuple]:
        return duckdb.sql(query).fetchall()

    print("\nPictures of nouns that were never trained on (n pictures, 95 % interval of other such nouns):")
    metrics = f"'{tables}/metrics/run={RUN}/*.parquet'"
    for split, k, value, low, high, n, chance in ask(
        f"SELECT split, k, hit.value, hit.low, hit.high, hit.n, chance.value FROM {metrics} AS hit "
        f"JOIN {metrics} AS chance USING (split, k) WHERE hit.name = 'hit' AND chance.name = 'hit_chance' ORDER BY 1, 2"
    ):
        print(
            f"  {split:<22} hit@{k:<3} {value:6.1%} [{low:.1%}, {high:.1%}]  chance {chance:6.2%}  "
            f"{value / chance:6.1f} x  n = {n:,}"
        )
    if cards := [file.path for file in manifest.read(warehouse, "metrics", RUN).files if file.path.endswith(".md")]:
        print(f"  the whole of it: {where}/metrics/run={RUN}/{cards[0]}")
    print("\nQueries (the folder of each answer is what was drawn):")
    for query, answers in ask(
        "SELECT query, string_agg(split_part(uri, '/', -2), ' ' ORDER BY rank) "
        f"FROM '{tables}/results/run={RUN}/*.parquet' WHERE rank <= 8 GROUP BY query ORDER BY query"
    ):
        print(f"  {query.replace(str(tables.parent), '...'):<44} -> {answers}")
    print("\nRejected, each with its reason:")
    for name, code, message in ask(
        f"SELECT split_part(uri, '/', -1), code, message FROM '{tables}/rejects/run={RUN}/*.parquet' ORDER BY code, uri"
    ):
        print(f"  {code:<16} {name:<24} {message}")
    shell = command_line("duckdb")
    labels, rejects = (f"{os.path.relpath(tables)}/{table}/run={RUN}/*.parquet" for table in ("labels", "rejects"))
    counts = f"SELECT label, count(*) FROM '{labels}' WHERE rank = 1 GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
    print("\nThe tables are Parquet; any engine reads them:")
    print(f'  {shell} -c "{counts}"')
    print(f"""  {shell} -c "SELECT code, count(*) FROM '{rejects}' GROUP BY 1 ORDER BY 2 DESC" """)


def sheets(tables: Path, folder: Path) -> None:
    """Contact sheets: the answers to a few words, and what some pictures are labelled with."""
    import duckdb

    from devise.show.report import contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    results = f"{tables}/results/run={RUN}/*.parquet"
    for number, (query,) in enumerate(duckdb.sql(f"SELECT DISTINCT query FROM '{results}' ORDER BY query").fetchall()):
        rows = duckdb.execute(f"SELECT uri, score FROM '{results}' WHERE query = ? ORDER BY rank", [query]).fetchall()
        tiles = [(storage.read_bytes(uri), f"{uri.rsplit('/', 2)[-2]}  {score:.2f}") for uri, score in rows]
        path = folder / f"query-{number}-{''.join(c if c.isalnum() else '-' for c in query.rsplit('/', 2)[0][:20])}.png"
        contact_sheet(tiles, f"nearest to: {query.replace(str(tables.parent), '...')}", path)
        print(f"  contact sheet: {path}")
    labels = f"{tables}/labels/run={RUN}/*.parquet"
    held_out = list(json.loads((tables.parent / "book" / "nouns.json").read_text())["held_out"])
    rows = duckdb.execute(
        f"SELECT uri, string_agg(label || ' ' || round(score, 2), ', ' ORDER BY rank) FROM '{labels}' "
        "WHERE rank <= 3 AND split_part(uri, '/', -2) IN (SELECT unnest(?)) AND uri LIKE '%/000.%' "
        "GROUP BY uri ORDER BY uri",
        [held_out],
    ).fetchall()
    tiles = [(storage.read_bytes(uri), f"{uri.rsplit('/', 2)[-2]}: {told}") for uri, told in rows]
    path = folder / "labels-of-held-out-nouns.png"
    contact_sheet(tiles, "never trained on: what was drawn, and its three best labels", path)
    print(f"  contact sheet: {path}")
