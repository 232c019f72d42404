"""Reading and writing runs of tables with Spark; which files exist is the manifest's word, never a listing's.

A table's files are written by the workers (`parts`), which return a receipt a file: its size, sha256 and rows. The sum
of the receipts must equal the rows that Spark counted on their way to the writers.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Observation, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.errors import AccountingError, ManifestError, SchemaError
from devise.spark.frame import parts, schemas
from devise.spark.frame.metering import counted
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest

MANY_FILES = 1_000
SHUFFLE_BYTES = 64 * 2**20
MOST_PARTITIONS = 10_000
"""A shuffle has a partition for so many bytes of what a job reads, as they lie compressed."""


@dataclass(frozen=True)
class Written:
    """Files of a run that are written and counted, not yet committed."""

    columns: list[str]
    files: list[File]
    rejects: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files if file.rows > 0)


def read(spark: SparkSession, warehouse: str, manifests: Sequence[Manifest], schema: StructType) -> DataFrame:
    """The rows of committed runs: only files that their manifests list.

    Raises:
        SchemaError: a run was written with other columns.
        ManifestError: a file that a manifest lists is no longer there.
    """
    return read_with_file(spark, warehouse, manifests, schema).drop("file")


def read_with_file(spark: SparkSession, warehouse: str, manifests: Sequence[Manifest], schema: StructType) -> DataFrame:
    """The same, and `file`, the name of each row's file, which no other file of the warehouse has."""
    for run in manifests:
        if run.columns != schema.names:
            where = manifest.folder(warehouse, run.table, run.run)
            raise SchemaError(f"{where}: found columns {run.columns}, wanted {schema.names}")
    files = [(run, file) for run in manifests for file in run.files if file.rows > 0]
    return read_files(spark, warehouse, files, schema)


def read_files(
    spark: SparkSession, warehouse: str, files: Sequence[tuple[Manifest, File]], schema: StructType
) -> DataFrame:
    """These columns of single Parquet files of committed runs, and `file`, the name of each row's file.

    Raises:
        ManifestError: a file that a manifest lists is no longer there.
    """
    if not files:
        return spark.createDataFrame([], StructType([*schema.fields, StructField("file", schemas.TEXT)]))
    try:
        rows = spark.read.schema(schema).parquet(*_paths(warehouse, files))
    except AnalysisException as error:
        raise ManifestError(f"{files[0][0].table}: a file that the manifest lists cannot be read: {error}") from None
    return rows.select("*", F.col("_metadata.file_name").alias("file"))


def _paths(warehouse: str, files: Sequence[tuple[Manifest, File]]) -> list[str]:
    """What Spark is to read: each file, or a run's folder where all of its many files are meant and nothing else lies
    there: Spark looks at each path that it is given, and lists a folder in one go."""
    wanted: dict[str, set[str]] = {}
    for run, file in files:
        wanted.setdefault(manifest.folder(warehouse, run.table, run.run), set()).add(file.path)
    paths = []
    for root, names in wanted.items():
        uris = {storage.join(root, name) for name in names}
        known = {storage.join(root, manifest.NAME), *uris}  # rejects and features have no manifest of their own there
        if len(names) >= MANY_FILES and uris <= {file.uri for file in storage.list_files(root)} <= known:
            paths.append(root)
        else:
            paths += sorted(uris)
    return paths


def write(frame: DataFrame, folder: str, schema: StructType, name: str = "part") -> Written:
    """Write a table's rows as zstd Parquet below `folder`; a task's rows are a file of their own, in their order.

    Args:
        name: how the files' names begin.

    Raises:
        SchemaError: the frame's columns are not the table's.
        AccountingError: the files do not hold the rows that were written.
    """
    found = [(column.name, column.dataType.simpleString()) for column in frame.schema]
    wanted = [(column.name, column.dataType.simpleString()) for column in schema]
    if found != wanted:
        raise SchemaError(f"{folder}: found columns {found}, wanted {wanted}")

    def write_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for receipt in parts.write_parts(batches, folder, schema, name):
            yield parts.receipt_batch(receipt)

    given = Observation("given")
    rows = frame.observe(given, F.count(F.lit(1)).alias("rows"))
    taken = rows.mapInArrow(counted(write_rows), schemas.RECEIPTS).collect()
    written = Written(schema.names, receipts(taken), sum_codes(row.codes for row in taken))
    if not written.files:
        written = Written(schema.names, [empty_file(folder, schema)])
    if written.rows != given.get["rows"]:
        raise AccountingError(f"{folder}: {written.rows} rows in the files, {given.get['rows']} rows were written")
    return written


def empty_file(folder: str, schema: StructType) -> File:
    """A file without a row: engines that read a folder find the table and its columns."""
    return parts.file_of(parts.Part(folder, schema).deliver())


def size_shuffles(spark: SparkSession, files: Iterable[File]) -> None:
    """Cut shuffles as what is read asks for: Spark's 200 are too many for a small night and too few for a large one.

    Too many do no harm: Spark joins small partitions again, but it never splits large ones. Where there is one for each
    core anyway there is nothing to join, and Spark's adaptive execution is switched off: it plans anew after each
    shuffle, which was over a third of the CPU time of a small night's plan.
    """
    n, cores = sum(file.size_bytes for file in files) // SHUFFLE_BYTES, spark.sparkContext.defaultParallelism
    spark.conf.set("spark.sql.shuffle.partitions", str(max(cores, min(n, MOST_PARTITIONS))))
    wanted = spark.sparkContext.getConf().get("spark.sql.adaptive.enabled", "true")
    spark.conf.set("spark.sql.adaptive.enabled", wanted if n > cores else "false")


def deliver(path: Path, folder: str, rows: int) -> File:
    """Put a local file into a run's folder under its own name; its receipt. `rows` is -1 if it holds none."""
    storage.put_file(path, storage.join(folder, path.name))
    return File(path=path.name, size_bytes=path.stat().st_size, sha256=scratch.hash_file(path), rows=rows)


def receipt_batch(file: File) -> pa.RecordBatch:
    """The receipt of a file without reject codes, as a task returns it."""
    return parts.receipt_batch({**file.model_dump(), "codes": "{}"})


def receipts(rows: Sequence[Row]) -> list[File]:
    """The files that tasks say they wrote, by path."""
    return sorted(map(parts.file_of, rows), key=lambda file: file.path)


def sum_codes(texts: Iterable[str]) -> dict[str, int]:
    """Reject codes of several receipts together."""
    total: Counter[str] = Counter()
    for text in texts:
        total.update(json.loads(text))
    return dict(sorted(total.items()))
