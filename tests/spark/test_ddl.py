"""What `devise ddl` writes: run by DuckDB and Spark on made and on real nights, parsed as Athena and Trino.

Athena and Trino are not at hand: their views are translated to DuckDB's words by sqlglot and run there too, over tables
that have their hidden column `$path`.
"""

import random
import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from same_tables import live as live_tables
from test_plan import Nights
from week import NIGHT, perform

from devise import cli
from devise.config import EmbedConfig
from devise.errors import ConfigError
from devise.sample.book import draw
from devise.sample.broken import write_broken
from devise.sample.demo import SAMPLE
from devise.spark.frame import ddl, job, live, schemas, tables
from devise.spark.frame.parts import Part, file_of
from devise.warehouse import manifest, pointer
from devise.warehouse.lineage import begin
from devise.warehouse.pointer import Entry

PAGE = Path(__file__).parents[2] / "docs/analysts.md"
CONTENT = "image_id, uri, etag, run"


@pytest.fixture
def nights(spark, tmp_path, monkeypatch):
    return Nights(spark, tmp_path / "w", monkeypatch)


class DuckDB:
    """An engine's statements, run by DuckDB: its own, or those of Athena or Trino for the views."""

    def __init__(self, warehouse, dialect="duckdb"):
        self.database = duckdb.connect()
        for statement in ddl.statements("duckdb", warehouse):
            self.database.sql(statement)
        self.database.sql("USE devise")
        if dialect != "duckdb":
            self._take_views(dialect)

    def _take_views(self, dialect):
        found = self.database.sql("SELECT view_name FROM duckdb_views() WHERE schema_name = 'devise'").fetchall()
        for (name,) in found:
            if name.endswith("_current"):
                self.database.sql(f"DROP VIEW {name}")
            elif name != "live":
                self.database.sql(f"ALTER VIEW {name} RENAME TO {name}_files")
                self.database.sql(f"CREATE VIEW {name} AS SELECT *, '/a/b/' || file AS \"$path\" FROM {name}_files")
        for statement in ddl.statements(dialect, "s3://bucket/w"):
            name = re.match(r"CREATE OR REPLACE VIEW devise\.(\w+)_current", statement)
            if name and (f"{name.group(1)}",) in found:
                self.database.sql(*sqlglot.transpile(statement, read=dialect, write="duckdb"))

    def ask(self, query):
        return sorted(self.database.sql(query).fetchall())


class Spark:
    def __init__(self, spark, warehouse):
        self.spark = spark
        for statement in ddl.statements("spark", warehouse):
            spark.sql(statement)

    def ask(self, query):
        return sorted(tuple(row) for row in self.spark.sql(query).collect())


def engines(spark, warehouse):
    return [Spark(spark, warehouse), *(DuckDB(warehouse, dialect) for dialect in ("duckdb", "athena", "trino"))]


def found_live(spark, place):
    """CONTENT of the live embeddings, by `find_live`, and of the live rejects, counted in Python."""
    published = pointer.read(place)
    read = {
        name: [manifest.read(place, name, run) for run in published.runs(name)] for name in ("images", "embeddings")
    }
    task = job.Task(spark, EmbedConfig(warehouse=place, run=published.run), begin(place, published.run), read, "")
    run_of = {file.path: run.run for run in read["embeddings"] for file in run.files}
    embedded = sorted((row.image_id, row.uri, row.etag, run_of[row.file]) for row in live.find_live(task).collect())
    listed = {(row.image_id, row.uri, row.etag) for row in task.read("images").collect()}
    left = listed - {row[:3] for row in embedded}
    last = {}
    for run in published.runs("rejects"):
        rows = tables.read(spark, place, [manifest.read(place, "rejects", run)], schemas.REJECTS)
        for row in rows.collect():
            content = (row.image_id, row.uri, row.etag)
            last[content] = max(last.get(content, (-1, "")), (row.attempts, run))
    return embedded, sorted((*content, last[content][1]) for content in left & last.keys())


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_views_say_what_is_live_in_every_engine_whatever_the_nights_were_like(spark, nights, seed):
    rng = random.Random(seed)
    uris = [f"u{number:02d}" for number in range(14)]
    nights.ids = {uri: 100 + number * 2 // 3 for number, uri in enumerate(uris)}  # every third id has two uris
    never = dict.fromkeys(("x1", "x2", "x3", "x4"), "corrupt")
    nights.ids |= {uri: number for number, uri in enumerate(never)}
    nights.listing = dict.fromkeys(never, "1")
    last = 7 if seed else 4
    for number in range(2, last + 1):
        for uri in uris:
            if rng.random() < 0.3:
                nights.listing.pop(uri, None)
            elif uri not in nights.listing or rng.random() < 0.2:
                nights.listing[uri] = str(rng.randrange(3))
        nights.codes = {uri: rng.choice(["gone", "corrupt"]) for uri in uris if rng.random() < 0.2} | never
        nights.night(f"r{number}", publish=number in (2, last) or rng.random() < 0.7, nights_per_base=3 if seed else 30)
    decide_again(nights)
    embedded, rejected = found_live(spark, nights.place)
    assert len(embedded) > 3 and rejected and len({row[3] for row in embedded}) > 1
    n_all = len(DuckDB(nights.place).ask("SELECT image_id FROM embeddings"))
    assert n_all > len(embedded) + 3  # there is something to tell apart
    for engine in engines(spark, nights.place):
        assert engine.ask(f"SELECT {CONTENT} FROM embeddings_current") == embedded
        assert engine.ask(f"SELECT {CONTENT} FROM rejects_current") == rejected
        assert len(engine.ask("SELECT uri FROM images_current")) == len(nights.listing)


def decide_again(nights):
    """Another publication, with a run that no night makes: it embedded and rejected contents that others had already.

    It has every second live embedding again, and those of uris whose image_id is another's; the rejects once more, with
    more attempts and with fewer in turns. A row is a file of its own: their names decide, and are not the runs' order.
    """
    place, before, files = nights.place, pointer.read(nights.place), {}
    ids = {image_id for image_id, *_ in nights.live}
    listed = {(nights.ids[uri], uri, etag) for uri, etag in nights.listing.items()}
    collided = [content for content in sorted(listed - nights.live) if content[0] in ids]
    assert collided
    rejected = [content for content in sorted(listed - nights.live) if content not in collided]
    again, made = sorted(nights.live)[::2] + collided, ([1.0, 0.0], 1.0, 1, 1, None, None, "m")
    rows = {
        "embeddings": [(*content, *made) for content in again],
        "rejects": [(*content, "made", "again", 9 * (n % 2), "m") for n, content in enumerate(rejected)],
    }
    assert len(rows["rejects"]) > 1
    for table, made in rows.items():
        for row in made:
            part = Part(manifest.folder(place, table, "r8"), schemas.TABLES[table])
            part.write(schemas.record_batch([pa.array([value]) for value in row], schemas.TABLES[table]))
            files.setdefault(table, []).append(file_of(part.deliver()))
    written = {table: tables.Written(schemas.TABLES[table].names, found) for table, found in files.items()}
    rejects = nights.manifest("rejects", "r8", written["rejects"])
    nights.commit("embeddings", "r8", written["embeddings"], secondary={"rejects": rejects})
    pointer.swap(place, [*before.pairs(), ("embeddings", "r8"), ("rejects", "r8")], "r8", before)


@pytest.fixture(scope="module")
def published(spark, tmp_path_factory):
    """Two real nights: pictures that come, go and change, some that cannot be read, and two that are alike."""
    folder = tmp_path_factory.mktemp("analysts")
    corpus, warehouse = folder / "corpus", str(folder / "warehouse")
    nouns = ("lion", "tulip", "castle", "ferry")

    def put(number, seed, drawn=None):
        path = corpus / nouns[number % 4] / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(drawn or nouns[number % 4], np.random.default_rng(seed), 48).save(path)
        return path

    paths = [put(number, number) for number in range(12)]
    write_broken(corpus / "broken")
    sections = {
        "build_vocabulary": {"vectors": str(SAMPLE / "vectors.vec.gz"), "hierarchy": str(SAMPLE / "nouns.tsv.gz")},
        "train_model": {
            **{"architecture": "small_cnn", "resize": 32, "crop": 32, "core_epochs": 1},
            "labelled": {"source": str(corpus)},
        },
        "catalog_images": {"sources": [str(corpus)]},
        "search_images": {"queries": ["lion"]},
        "evaluate_model": {
            "recall_queries": 5,
            "splits": [{"name": "drawn", "candidates": "given", "labelled": {"source": str(corpus)}}],
        },
        "publish_run": {"min_recall": 0, "max_removed_fraction": 1},
    }
    perform(spark, warehouse, "2026-11-21", sections)
    paths[0].unlink(), put(12, 12)
    for number, noun in ((1, "zebra"), (5, "banana"), (9, "skyscraper")):
        put(number, 100 + number, noun)
    shutil.copy(paths[2], paths[2].with_name("twin.jpg"))
    perform(spark, warehouse, "2026-11-22", sections, [*NIGHT[2:6], "find_neighbours", *NIGHT[6:]])
    return warehouse


def test_the_views_of_real_nights_hold_what_the_live_pointer_names(spark, published):
    wanted, columns = live_tables(published), {"embeddings": "norm, width", "rejects": "code", "labels": "rank, score"}
    for engine in engines(spark, published):
        for name, more in columns.items():
            found = engine.ask(f"SELECT image_id, uri, {more} FROM {name}_current")
            rows = wanted[name].select(["image_id", "uri", *more.split(", ")]).to_pylist()
            assert found == sorted(tuple(row.values()) for row in rows), (type(engine).__name__, name)
        assert engine.ask("SELECT DISTINCT run FROM labels_current") == [("2026-11-22",)]
        assert len(engine.ask("SELECT DISTINCT run FROM labels")) == 2  # a text, not a date
        assert engine.ask("SELECT DISTINCT publication, parent, restores FROM live") == [(2, 1, 0)]


def test_a_night_more_is_seen_without_another_word_to_duckdb(spark, published, tmp_path):
    place = str(shutil.copytree(published, tmp_path / "w"))
    engine = DuckDB(place)
    before = pointer.read(place)
    pointer.swap(place, pointer.find(place, 1).pairs(), "2026-11-22", before, 0, 1)
    assert engine.ask("SELECT DISTINCT run FROM labels_current") == [("2026-11-21",)]


def queries():
    """Each query of the page, and the columns that it is said to give."""
    page = PAGE.read_text()
    told = re.findall(r"```sql\n(.*?)```\n\nGives ((?:`\w+`(?:, )?)+)", page, re.DOTALL)
    assert len(told) == page.count("```sql")
    return [(query, re.findall(r"`(\w+)`", columns)) for query, columns in told]


@pytest.fixture(scope="module")
def pair(published):
    """Two labels that stand together on a picture of the small nights."""
    together = next(query for query, columns in queries() if columns == ["label", "with_label", "pictures"])
    return DuckDB(published).database.sql(together).fetchall()[0][:2]


@pytest.fixture(scope="module")
def others(published):
    """The engines that are not Spark, whose views are of the session."""
    return [DuckDB(published, dialect) for dialect in ("duckdb", "athena", "trino")]


def test_the_hour_has_twelve_questions():
    assert re.findall(r"^### (\d+)\. .*\?$", PAGE.read_text(), re.MULTILINE) == [str(n) for n in range(1, 13)]


@pytest.mark.parametrize(
    ("query", "columns"), queries(), ids=lambda told: "-".join(told) if isinstance(told, list) else "query"
)
def test_a_query_of_the_page_says_the_same_in_every_engine(spark, published, others, pair, query, columns):
    ours = query.replace("'ferry'", f"'{pair[0]}'").replace("'boat'", f"'{pair[1]}'")
    assert others[0].database.sql(ours).columns == columns
    inside_spark = sqlglot.transpile(ours, read="trino", write="spark")[0]
    answers = [Spark(spark, published).ask(inside_spark), *(engine.ask(ours) for engine in others)]
    assert answers[0]
    for answer in answers[1:]:
        assert [rounded(row) for row in answer] == [rounded(row) for row in answers[0]]


def rounded(row):
    return tuple(round(value, 6) if isinstance(value, float) else value for value in row)


def test_the_page_s_sums_come_out(published):
    (query,) = (query for query, _ in queries() if "AS listed" in query)
    ((listed, embedded, rejected, labelled),) = DuckDB(published).ask(query)
    assert listed == embedded + rejected > embedded == labelled > 0


@pytest.mark.parametrize("engine", ["athena", "trino"])
def test_every_table_and_view_is_parsed_as_the_engine_that_it_is_for(engine):
    made = [
        sqlglot.parse_one(text, dialect=engine)
        for text in ddl.statements(engine, "s3://bucket/a/w")
        if "CREATE" in text
    ]
    assert all(isinstance(statement, sqlglot.exp.Create) for statement in made)
    assert made.pop(0).sql(engine).endswith(" IF NOT EXISTS devise")
    names = {statement.find(sqlglot.exp.Table).name for statement in made}
    assert names == {"live", *ddl.TABLES, *(f"{name}_current" for name in ddl.TABLES)}
    for statement in made:
        name = statement.find(sqlglot.exp.Table).name
        if statement.kind == "TABLE" and name != "live":
            columns = [column.name for column in statement.find_all(sqlglot.exp.ColumnDef)]
            comments = [
                column.find(sqlglot.exp.CommentColumnConstraint) for column in statement.find_all(sqlglot.exp.ColumnDef)
            ]
            assert columns == [*schemas.TABLES[name].names, "run"]
            assert [comment.this.name for comment in comments[:-1]] == [
                field.metadata["comment"] for field in schemas.TABLES[name]
            ]
            assert f"s3://bucket/a/w/{name}/" in statement.sql(engine)


def test_duckdb_and_spark_tell_what_a_column_means(spark, published):
    database = DuckDB(published).database
    told = database.sql("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'rejects'").fetchall()
    assert dict(told)["etag"] == schemas.REJECTS["etag"].metadata["comment"]  # it has an apostrophe
    engine = Spark(spark, published)
    assert (
        engine.spark.table("rejects").schema["etag"].metadata["comment"] == schemas.REJECTS["etag"].metadata["comment"]
    )


def test_comments_fit_into_glue():
    fields = [field for schema in (*schemas.TABLES.values(), schemas.LIVE) for field in schema]
    assert max(len(field.metadata["comment"]) for field in fields) <= 255


def test_the_live_table_s_columns_are_those_of_the_pointer():
    assert set(schemas.LIVE.names) == set(Entry.model_fields)


@pytest.mark.parametrize(
    ("engine", "warehouse", "fault"),
    [
        ("athena", "/w", "found a local folder, wanted s3://"),
        ("trino", "s3://bucket/it's", "found \"'\" in the warehouse's name"),
        ("spark", "s3://bucket/{a}", "found '{ }' in the warehouse's name"),
        ("athena", "s3://bucket/a\rDROP TABLE x", "found '\\r' in the warehouse's name"),  # it ends a comment
        ("duckdb", None, "found no table"),
    ],
)
def test_a_place_that_an_engine_misreads_is_refused(engine, warehouse, fault, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(fault)):
        ddl.statements(engine, warehouse or str(tmp_path))


def test_a_table_that_has_no_file_yet_is_not_named_to_an_engine_that_would_look_for_it(tmp_path):
    for table in ("images", "embeddings"):
        (tmp_path / table / "run=r1").mkdir(parents=True)
    text = "\n".join(ddl.statements("duckdb", str(tmp_path)))
    assert "embeddings_current" in text and "rejects" not in text and "thumbnails" not in text


def test_the_command_prints_statements_that_duckdb_runs_as_they_stand(published, capsys):
    cli.main(["ddl", "--engine", "duckdb", "--warehouse", published])
    database = duckdb.connect()
    database.execute(capsys.readouterr().out)
    listed = manifest.read(published, "images", "2026-11-22").rows
    assert database.sql("SELECT count(*) FROM devise.images_current").fetchone() == (listed,) > (12,)
