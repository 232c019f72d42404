"""SQL by which an engine reads the warehouse: its tables, the live pointer, and views of what is live; starts no Spark.

A table `t` holds all of its runs, `t_current` what is live. `live` is the live pointer itself, and the views join on
it: a publication switches all of them at once. Of embeddings, rejects and thumbnails, which have a chain of live runs,
the views say what `live.find_live` says; a test holds the two together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql.types import StructField, StructType

from devise.errors import ConfigError
from devise.spark.frame import schemas
from devise.store import storage

SCHEMA = "devise"
"""The schema, or database, that all of it goes into; Spark's views are the session's own."""
TABLES = {name: schema for name, schema in schemas.TABLES.items() if name != "features"}
"""All but features: a cache, which no publication names."""
RUN = StructField("run", schemas.TEXT, True, {"comment": "id of the run that wrote the row"})
FILE = StructField("file", schemas.TEXT, True, {"comment": "name of the row's file"})
"""In DuckDB and Spark; Athena and Trino know it as `$path`."""
NEEDED = {"embeddings": {"images"}, "rejects": {"images", "embeddings"}, "thumbnails": {"images", "embeddings"}}
"""What a view of what is live is told by, besides its own table."""
REFUSED = set("*?[]{}\\'\"`;\n")
"""What engines take for a pattern, or for the end of a path, in a path."""


@dataclass(frozen=True)
class Engine:
    """How an engine says what all of them say.

    notes: how to use the script. schema: what makes its schema. prefix: of each name. quote: stands around a column of
    a new table; in_query: around one in a query. apostrophe: how a text says one. types: its names of Spark's types,
    where they differ. file: the name of the file of a row of t, without its folder. create: a table from a folder.
    eager: it looks for a table's files as soon as it is named, so that tables which are not there yet are left out.
    """

    notes: tuple[str, ...]
    schema: tuple[str, ...]
    prefix: str
    quote: str
    in_query: str
    apostrophe: str
    types: dict[str, str]
    file: str
    create: Callable[["Engine", str, StructType, str], list[str]]
    eager: bool = False

    def named(self, name: str) -> str:
        return f"{self.quote}{name}{self.quote}"

    def text(self, words: str) -> str:
        return "'" + words.replace("'", self.apostrophe) + "'"

    def columns(self, fields: Sequence[StructField]) -> str:
        """Names, types and comments, a line a column."""
        lines = []
        for field in fields:
            kind = field.dataType.simpleString()
            comment = self.text(field.metadata["comment"])
            lines.append(f"  {self.named(field.name)} {self.types.get(kind, kind)} COMMENT {comment}")
        return ",\n".join(lines)


def script(engine: str, warehouse: str) -> str:
    """The statements as one text, each ended by a semicolon, below comments that say how to use it."""
    head = [f"-- {line}" for line in (f"{engine}: the warehouse {warehouse}", *ENGINES[engine].notes)]
    return "\n".join(head) + "".join(f"\n\n{statement};" for statement in statements(engine, warehouse)) + "\n"


def statements(engine: str, warehouse: str) -> list[str]:
    """The statements one by one, to be run in this order; to run them again does no harm.

    Args:
        engine: a key of ENGINES.
        warehouse: a path, file:// or s3://. Where the engine is eager it is looked into.

    Raises:
        ConfigError: the engine cannot read a warehouse there, or an eager one would find no table.
    """
    made, root = ENGINES[engine], storage.normalise(warehouse)
    if found := sorted({letter for letter in root if letter in REFUSED or not letter.isprintable()}):
        raise ConfigError(f"{warehouse}: found {' '.join(found)!r} in the warehouse's name, which engines misread")
    if engine == "athena" and storage.is_local(root):
        raise ConfigError(f"{warehouse}: found a local folder, wanted s3://: Athena reads nothing else")
    names = list(TABLES)
    if made.eager:
        # Not by what manifests promise: of a table that another one commits there may be no file yet.
        names = [name for name in names if storage.list_level(storage.join(root, name), missing_ok=True)[0]]
        if not names:
            raise ConfigError(f"{warehouse}: found no table, wanted a warehouse with a night in it")
    lines = [*made.schema, *made.create(made, "live", schemas.LIVE, storage.join(root, "live/current"))]
    for name in names:
        lines += made.create(made, name, TABLES[name], storage.join(root, name))
    return lines + [_view(made, name) for name in names if NEEDED.get(name, set()) <= set(names)]


def _view(engine: Engine, name: str) -> str:
    views = {"embeddings": _live_embeddings, "rejects": _live_rejects, "thumbnails": _live_thumbnails}
    make = views.get(name, _live_rows)
    temporary = "" if engine.prefix else "TEMPORARY "
    return f"CREATE OR REPLACE {temporary}VIEW {engine.prefix}{name}_current AS\n{make(engine, name)}"


def _selected(name: str) -> str:
    return ", ".join(f"t.{column}" for column in [*TABLES[name].names, RUN.name])


def _of_live_runs(engine: Engine, name: str) -> str:
    word = f"{engine.in_query}table{engine.in_query}"
    return f"t.run IN (SELECT run FROM {engine.prefix}live WHERE {word} = '{name}')"


def _live_rows(engine: Engine, name: str) -> str:
    """Of a snapshot: the rows of its live run."""
    return f"SELECT {_selected(name)}\nFROM {engine.prefix}{name} AS t\nWHERE {_of_live_runs(engine, name)}"


def _live_embeddings(engine: Engine, name: str) -> str:
    """Those whose content is in tonight's images, an image_id once. Vectors take no part in the choice."""
    return f"""WITH held AS (
  SELECT t.image_id, t.uri, t.etag, {engine.file} AS held_in,
    row_number() OVER (PARTITION BY t.image_id ORDER BY t.uri, t.etag, {engine.file} DESC) AS place
  FROM {engine.prefix}{name} AS t
  JOIN {engine.prefix}images_current AS i ON t.image_id = i.image_id AND t.uri = i.uri AND t.etag = i.etag
  WHERE {_of_live_runs(engine, name)}
)
SELECT {_selected(name)}
FROM {engine.prefix}{name} AS t
JOIN held ON t.image_id = held.image_id AND t.uri = held.uri AND t.etag = held.etag AND {engine.file} = held.held_in
WHERE held.place = 1 AND {_of_live_runs(engine, name)}"""


def _live_rejects(engine: Engine, name: str) -> str:
    """The last attempt at each content of tonight's images that has no live embedding."""
    same = " AND ".join(f"t.{column} = {{0}}.{column}" for column in ("image_id", "uri", "etag"))
    return f"""SELECT {_selected(name)}
FROM (
  SELECT {_selected(name)},
    row_number() OVER (PARTITION BY t.image_id, t.uri, t.etag ORDER BY t.attempts DESC, {engine.file} DESC) AS place
  FROM {engine.prefix}{name} AS t
  JOIN {engine.prefix}images_current AS i ON {same.format("i")}
  LEFT JOIN {engine.prefix}embeddings_current AS e ON {same.format("e")}
  WHERE e.image_id IS NULL AND {_of_live_runs(engine, name)}
) AS t
WHERE t.place = 1"""


def _live_thumbnails(engine: Engine, name: str) -> str:
    """The last one made of each live embedding's content."""
    return f"""SELECT {_selected(name)}
FROM (
  SELECT {_selected(name)},
    row_number() OVER (PARTITION BY t.image_id ORDER BY t.run DESC, {engine.file} DESC) AS place
  FROM {engine.prefix}{name} AS t
  JOIN {engine.prefix}embeddings_current AS e ON t.image_id = e.image_id AND t.etag = e.etag
  WHERE {_of_live_runs(engine, name)}
) AS t
WHERE t.place = 1"""


def _create_in_athena(engine: Engine, name: str, schema: StructType, folder: str) -> list[str]:
    head = f"CREATE EXTERNAL TABLE IF NOT EXISTS {engine.prefix}{name} (\n{engine.columns(schema)}\n)"
    if name == "live":
        return [f"{head}\nROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\nLOCATION '{folder}/'"]
    partition = f"PARTITIONED BY (\n{engine.columns([RUN])}\n)"
    return [
        f"{head}\n{partition}\nSTORED AS PARQUET\nLOCATION '{folder}/'",
        f"MSCK REPAIR TABLE {engine.prefix}{name}",
    ]


def _create_in_trino(engine: Engine, name: str, schema: StructType, folder: str) -> list[str]:
    partitioned = name != "live"
    kind = "format = 'PARQUET', partitioned_by = ARRAY['run']" if partitioned else "format = 'JSON'"
    columns = engine.columns([*schema, RUN] if partitioned else schema.fields)
    return [
        f"CREATE TABLE IF NOT EXISTS {engine.prefix}{name} (\n{columns}\n)\n"
        f"WITH (external_location = '{folder}/', {kind})",
        *([f"CALL system.sync_partition_metadata('{SCHEMA}', '{name}', 'FULL')"] if partitioned else []),
    ]


def _create_in_spark(engine: Engine, name: str, schema: StructType, folder: str) -> list[str]:
    make = "CREATE OR REPLACE TEMPORARY VIEW"
    if name == "live":
        return [f"{make} live (\n{engine.columns(schema.fields)}\n)\nUSING json OPTIONS (path '{folder}')"]
    fields, files = [*schema, RUN], f"{name}_files"
    typed = ", ".join(f"{engine.named(field.name)} {field.dataType.simpleString()}" for field in fields)
    told = ",\n".join(
        f"  {engine.named(field.name)} COMMENT {engine.text(field.metadata['comment'])}" for field in [*fields, FILE]
    )
    names = ", ".join(engine.named(field.name) for field in fields)
    # A view of files has no `_metadata`; and a run has its type where they are read, as to Spark some look like dates.
    return [
        f"{make} {files} ({typed})\nUSING parquet OPTIONS (path '{folder}')",
        f"{make} {name} (\n{told}\n) AS\n"
        f"SELECT {names}, element_at(split(input_file_name(), '/'), -1) AS file FROM {files}",
    ]


def _create_in_duckdb(engine: Engine, name: str, schema: StructType, folder: str) -> list[str]:
    place = str(storage.local_path(folder)) if storage.is_local(folder) else folder
    names, fields = ", ".join(map(engine.named, schema.names)), list(schema)
    if name == "live":
        kinds = {field.name: field.dataType.simpleString() for field in fields}
        typed = ", ".join(f"'{column}': '{kind}'" for column, kind in kinds.items())  # else some texts are dates
        rows = f"SELECT {names}\nFROM read_json('{place}/live.json', columns = {{{typed}}})"
    else:
        files = f"'{place}/run=*/*.parquet', hive_partitioning = true, hive_types = {{'run': VARCHAR}}, filename = true"
        rows = f"SELECT {names}, run, parse_filename(filename) AS file\nFROM read_parquet({files})"
        fields += [RUN, FILE]
    return [
        f"CREATE OR REPLACE VIEW {engine.prefix}{name} AS\n{rows}",
        *(
            f"COMMENT ON COLUMN {engine.prefix}{name}.{engine.named(field.name)} IS "
            f"{engine.text(field.metadata['comment'])}"
            for field in fields
        ),
    ]


ENGINES = {
    "athena": Engine(
        notes=(
            "Athena runs one statement a call. Run all of it again after each publication: MSCK REPAIR TABLE tells",
            "Glue of new runs. Partition projection is no way: run ids are any text, and are joined, not given.",
        ),
        schema=(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}",),
        prefix=f"{SCHEMA}.",
        quote="`",
        in_query='"',
        apostrophe="\\'",
        types={},
        file="element_at(split(t.\"$path\", '/'), -1)",
        create=_create_in_athena,
    ),
    "trino": Engine(
        notes=(
            "trino --catalog hive --file THIS: a catalog of the Hive connector, whichever its name. Run it again after",
            "each publication: sync_partition_metadata tells the metastore of new runs, and of those that are gone.",
        ),
        schema=(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",),
        prefix=f"{SCHEMA}.",
        quote='"',
        in_query='"',
        apostrophe="''",
        types={
            "string": "varchar",
            "int": "integer",
            "float": "real",
            "binary": "varbinary",
            "array<float>": "array(real)",
            "array<string>": "array(varchar)",
        },
        file="element_at(split(t.\"$path\", '/'), -1)",
        create=_create_in_trino,
    ),
    "duckdb": Engine(
        notes=("duckdb -init THIS: new runs are seen by themselves. Run it again once a table is there that was not.",),
        schema=(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",),
        prefix=f"{SCHEMA}.",
        quote='"',
        in_query='"',
        apostrophe="''",
        types={},
        file="t.file",
        create=_create_in_duckdb,
        eager=True,
    ),
    "spark": Engine(
        notes=(
            "spark-sql -i THIS, or spark.sql of each statement: views of the session, which no metastore keeps. Run it",
            "again in a session that outlives a publication.",
        ),
        schema=(),
        prefix="",
        quote="`",
        in_query="`",
        apostrophe="\\'",
        types={},
        file="t.file",
        create=_create_in_spark,
        eager=True,
    ),
}
"""Engines by name."""
