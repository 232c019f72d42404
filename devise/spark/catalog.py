"""Lists a corpus into rows; the driver sees the top folders, the executors list what is below them."""

import fnmatch
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import LongType, StringType, StructField, StructType

from devise import storage
from devise.errors import EmptyCorpus
from devise.spark import schemas

LISTED = StructType(
    [
        StructField("source", StringType()),
        StructField("key", StringType()),
        *schemas.IMAGES.fields[1:],
    ]
)
FOLDERS_WANTED = 64
ROWS_PER_BATCH = 4096


def list_images(
    spark: SparkSession, sources: Sequence[str], include: Sequence[str], exclude: Sequence[str]
) -> DataFrame:
    """One row an object below the sources (schemas.IMAGES) whose key matches; an object found twice is one row.

    Raises:
        StorageError: a source is missing or may not be read, found before any listing starts.
    """
    plan = [(source, folder, deep) for source in map(storage.normalise, sources) for folder, deep in spread(source)]
    tasks = min(len(plan), 2 * spark.sparkContext.defaultParallelism)  # of the listing alone: the rows are the same
    folders = spark.createDataFrame(plan, "source string, folder string, deep boolean").repartition(tasks)
    patterns = [pattern.lower() for pattern in include], [pattern.lower() for pattern in exclude]

    def listing(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.to_pylist():
                yield from _list(place["source"], place["folder"], place["deep"], *patterns)

    listed = folders.mapInArrow(listing, LISTED)
    return (
        listed.dropDuplicates(["uri"])  # overlapping sources list an object twice; it is one image
        .select(image_id(), "uri", "etag", "size_bytes", "modified_at")
        .sortWithinPartitions("image_id")
    )


def image_id() -> Column:
    """The image_id of the column `uri`: its xxhash64 with the sign bit cleared."""
    return F.xxhash64("uri").bitwiseAND(F.lit(2**63 - 1).cast(LongType())).alias("image_id")


def spread(source: str, wanted: int = FOLDERS_WANTED) -> list[tuple[str, bool]]:
    """(folder, list it deeply) pairs that cover everything below `source` once.

    Descends level by level until there are `wanted` folders to hand out; a folder that was descended into is listed
    for its own files only.
    """
    deep, shallow = [source], []
    while 0 < len(deep) < wanted:
        next_level = []
        for folder in deep:
            shallow.append(folder)
            next_level += storage.list_level(folder)[0]
        deep = next_level
    return [(folder, False) for folder in shallow] + [(folder, True) for folder in deep]


def matches(key: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """True if the key, or its last part, fits a pattern of `include` and none of `exclude`; all in lower case."""
    names = (key.lower(), key.lower().rsplit("/", 1)[-1])
    fits = (
        any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in group) for group in (include, exclude)
    )
    return next(fits) and not next(fits)


def _list(
    source: str, folder: str, deep: bool, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    rows: list[dict] = []
    schema = to_arrow_schema(LISTED)
    for file in storage.list_files(folder) if deep else storage.list_level(folder)[1]:
        key = file.uri.removeprefix(source).lstrip("/") or file.uri.rsplit("/", 1)[-1]
        if matches(key, include, exclude):
            rows.append(
                {
                    "source": source,
                    "key": key,
                    "uri": file.uri,
                    "etag": file.etag,
                    "size_bytes": file.size_bytes,
                    "modified_at": datetime.fromtimestamp(file.modified_at, timezone.utc),
                }
            )
        if len(rows) == ROWS_PER_BATCH:
            yield pa.RecordBatch.from_pylist(rows, schema=schema)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=schema)


def refuse_empty(n_images: int, sources: Sequence[str]) -> None:
    """`EmptyCorpus` if nothing was listed: a night that would unpublish a whole corpus is a mistake somewhere."""
    if n_images == 0:
        raise EmptyCorpus(f"{', '.join(sources)}: found no image that matches, wanted at least one")
