"""Reading and writing runs of tables with Spark; which files exist is the manifest's word, never a listing's.

A table's files are written by Spark's own committer, then read once by the executors, which return a receipt a file:
its size, sha256 and rows. The sum of the receipts must equal the rows that Spark counted while writing.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Observation, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from devise.errors import AccountingError, ManifestError, SchemaError
from devise.spark.frame import schemas
from devise.spark.frame.metering import counted
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest

APART = ("mapreduce.job.application.attempt.id", "mapreduce.fileoutputcommitter.cleanup.skipped")
"""What keeps a write to itself: else Hadoop's committer for file:// takes what a killed one left in `_temporary` for
its own tasks' files, and clears away what a twin has there."""


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
    paths = [storage.join(manifest.folder(warehouse, run.table, run.run), file.path) for run, file in files]
    try:
        rows = spark.read.schema(schema).parquet(*paths)
    except AnalysisException as error:
        raise ManifestError(f"{files[0][0].table}: a file that the manifest lists cannot be read: {error}") from None
    return rows.select("*", F.col("_metadata.file_name").alias("file"))


def write(frame: DataFrame, folder: str, schema: StructType, leftovers: Iterable[storage.Stat] = ()) -> Written:
    """Write a table's rows as zstd Parquet below `folder`, and take the receipts.

    Args:
        leftovers: files that were there before, and are not counted.

    Raises:
        SchemaError: the frame's columns are not the table's.
        AccountingError: the files do not hold the rows that were written.
    """
    found = [(column.name, column.dataType.simpleString()) for column in frame.schema]
    wanted = [(column.name, column.dataType.simpleString()) for column in schema]
    if found != wanted:
        raise SchemaError(f"{folder}: found columns {found}, wanted {wanted}")
    counted, attempt = Observation("written"), secrets.randbits(31)
    (
        frame.observe(counted, F.count(F.lit(1)).alias("rows"))
        .write.mode("append")
        .option("compression", "zstd")
        .options(**{APART[0]: attempt, APART[1]: "true"})
        .parquet(folder)
    )
    storage.delete_folder(storage.join(folder, "_temporary", str(attempt)))
    if storage.is_local(folder):
        with suppress(OSError):  # somebody else's files are in it, or it was never made
            storage.local_path(storage.join(folder, "_temporary")).rmdir()
    others = {file.uri for file in leftovers}
    names = [file.uri for file in storage.list_files(folder) if file.uri.endswith(".parquet")]
    names = [uri for uri in names if uri not in others and "/_" not in uri.removeprefix(folder)]
    taken = take_receipts(frame.sparkSession, folder, names)
    written = Written(schema.names, [file for file, _ in taken], _sum_codes(codes for _, codes in taken))
    if written.rows != counted.get["rows"]:
        raise AccountingError(f"{folder}: {written.rows} rows in the files, {counted.get['rows']} rows were written")
    return written


def deliver(path: Path, folder: str, rows: int) -> File:
    """Put a local file into a run's folder under its own name; its receipt. `rows` is -1 if it holds none."""
    storage.put_file(path, storage.join(folder, path.name))
    return File(path=path.name, size_bytes=path.stat().st_size, sha256=scratch.hash_file(path), rows=rows)


def receipt_batch(file: File) -> pa.RecordBatch:
    """A receipt as a task returns it."""
    return pa.RecordBatch.from_pylist([{**file.model_dump(), "codes": "{}"}], schema=to_arrow_schema(schemas.RECEIPTS))


def receipts(rows: Sequence[Row]) -> list[File]:
    """The files that tasks say they wrote, by path."""
    return sorted((File(**{name: row[name] for name in File.model_fields}) for row in rows), key=lambda file: file.path)


def take_receipts(spark: SparkSession, folder: str, uris: Sequence[str]) -> list[tuple[File, str]]:
    """Size, sha256, rows and reject codes of each file, read by the executors; sorted by path."""
    if not uris:
        return []
    tasks = min(len(uris), max(spark.sparkContext.defaultParallelism, len(uris) // 8))
    root = storage.join(folder, "")
    rows = spark.createDataFrame([(uri,) for uri in uris], "uri string").repartition(tasks)

    def receive(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = [_receipt(uri, root) for uri in batch.column("uri").to_pylist()]
            yield pa.RecordBatch.from_pylist(found, schema=to_arrow_schema(schemas.RECEIPTS))

    found = sorted(rows.mapInArrow(counted(receive), schemas.RECEIPTS).collect())
    return list(zip(receipts(found), (row.codes for row in found), strict=True))


def _receipt(uri: str, root: str) -> dict:
    import hashlib

    import pyarrow.parquet as pq

    content = storage.read_bytes(uri)
    file = pq.ParquetFile(pa.BufferReader(content))
    codes = file.read(["code"]).column("code").to_pylist() if "code" in file.schema_arrow.names else []
    return {
        "path": uri.removeprefix(root).lstrip("/"),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": file.metadata.num_rows,
        "codes": json.dumps(Counter(codes)),
    }


def _sum_codes(texts: Iterator[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for text in texts:
        total.update(json.loads(text))
    return dict(sorted(total.items()))
