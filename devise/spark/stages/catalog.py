"""Lists a corpus into rows: the driver plans, the executors list; the parts are `devise.store.listing`'s."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple

import pyarrow as pa
from pyspark.accumulators import Accumulator
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructType

from devise.config import CatalogConfig
from devise.errors import EmptyCorpus
from devise.spark.frame import progress, schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.metering import counted, tally
from devise.store import inventory, listing, passedover, storage
from devise.store.listing import Part

OBJECTS = StructType(schemas.IMAGES.fields[1:])
PART = "source string, prefix string, deep boolean, after string, upto string"


def watched(task: Task, listed: Accumulator) -> AbstractContextManager[None]:
    """While the images are written, tell how many were listed; how many there are nobody knows."""
    return progress.told(task.name, None, progress.counted_by(listed))


def find_images(
    spark: SparkSession, config: CatalogConfig, listed: Accumulator | None = None
) -> tuple[DataFrame, Accumulator]:
    """The images of the corpus (schemas.IMAGES), listed, or read from an S3 Inventory where one is named.

    And the counts, by ending or reason, of what was passed over: whole once the images are written.

    Args:
        listed: a `tally` of images listed.
    """
    passed_over = tally(spark.sparkContext)
    patterns = config.include, config.exclude
    if config.inventory is None:
        return list_images(spark, config.sources, *patterns, config.fan_out, passed_over, listed), passed_over
    return read_inventory(spark, config.inventory, config.sources, *patterns, passed_over, listed), passed_over


def list_images(
    spark: SparkSession,
    sources: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    fan_out: Sequence[str] = (),
    passed_over: Accumulator | None = None,
    listed: Accumulator | None = None,
) -> DataFrame:
    """One row an object below the sources (schemas.IMAGES) whose key matches; an object found twice is one row.

    Args:
        passed_over: a `tally` of what is no row; below two sources, counted twice.

    Raises:
        StorageError: a source is missing or may not be read, found before any listing starts.
    """
    parts = listing.plan(sources, fan_out)
    tasks = min(len(parts), 2 * spark.sparkContext.defaultParallelism)  # of the listing alone: the rows are the same
    planned = spark.createDataFrame([astuple(part) for part in parts], PART).repartition(tasks)

    def list_parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with _told(passed_over) as tell:
            for part in (Part(**row) for batch in batches for row in batch.to_pylist()):
                for objects in listing.read_matching(part, include, exclude, tell):
                    yield _counted(listing.batch(objects), listed)

    found = planned.mapInArrow(counted(list_parts), OBJECTS)
    if listing.overlap(parts):  # only then is an object listed twice: else the corpus would be shuffled for nothing
        found = found.dropDuplicates(["uri"])
    return found.select(image_id(), *OBJECTS.names).sortWithinPartitions("image_id")


def read_inventory(
    spark: SparkSession,
    uri: str,
    sources: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    passed_over: Accumulator | None = None,
    listed: Accumulator | None = None,
) -> DataFrame:
    """The rows that `list_images` would give, from an S3 Inventory's manifest at `uri`; each data file is a task.

    Raises:
        StorageError: the manifest cannot be read.
        InventoryError: the manifest does not fit the sources; on a worker, a data file does not fit the manifest.
    """
    roots = [storage.join(storage.normalise(source), "") for source in sources]
    found = inventory.read_manifest(storage.normalise(uri), roots)

    def read_files(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with _told(passed_over) as tell:
            for number in (number for given in batches for number in given.column("id").to_pylist()):
                for batch in inventory.read_objects(found, found.files[number], roots, include, exclude, tell):
                    yield _counted(batch, listed)

    files = spark.range(len(found.files), numPartitions=len(found.files))
    return (
        files.mapInArrow(counted(read_files), OBJECTS)
        .select(image_id(), *OBJECTS.names)
        .sortWithinPartitions("image_id")
    )


def image_id() -> Column:
    """The image_id of the column `uri`: its xxhash64 with the sign bit cleared."""
    return F.xxhash64("uri").bitwiseAND(F.lit(2**63 - 1).cast(LongType())).alias("image_id")


def watch_sources(images: DataFrame, sources: Sequence[str]) -> tuple[DataFrame, Observation]:
    """The same images, and after they are written, by the sources' numbers, whether there was one below each."""
    found = Observation("sources")
    roots = [storage.join(storage.normalise(source), "") for source in sources]
    seen = (F.max(F.col("uri").startswith(root)).alias(str(number)) for number, root in enumerate(roots))
    return images.observe(found, *seen), found


def tell_passed_over(task: Task, n_images: int, passed_over: Accumulator) -> None:
    """Say how many images were listed and what was passed over, by ending, and keep it in the manifest's details."""
    task.details["passed_over"] = dict(sorted(passed_over.value.items()))
    say("catalog_images", f"{n_images:,} images listed, {passedover.describe(passed_over.value)}")


def refuse_missing(found: Observation, sources: Sequence[str], inventory_uri: str) -> None:
    """`EmptyCorpus` if a source has no image: a mistyped prefix must not pass for a corpus that was removed."""
    for number, source in enumerate(sources):
        if not found.get[str(number)]:
            raise EmptyCorpus(f"{source}: no image below it in the inventory {inventory_uri}, wanted at least one")


def refuse_empty(n_images: int, sources: Sequence[str]) -> None:
    """`EmptyCorpus` if nothing was listed: a night that would unpublish a whole corpus is a mistake somewhere."""
    if n_images == 0:
        raise EmptyCorpus(f"{', '.join(sources)}: found no image that matches, wanted at least one")


def _counted(batch: pa.RecordBatch, listed: Accumulator | None) -> pa.RecordBatch:
    if listed is not None:
        listed.add({progress.IMAGES: batch.num_rows})
    return batch


@contextmanager
def _told(passed_over: Accumulator | None) -> Iterator[passedover.Tell]:
    """What a worker's listing tells of what it passes over, added to the driver's count when it ends."""
    counted_here = passedover.PassedOver()
    yield counted_here.tell
    if passed_over is not None:
        passed_over.add(counted_here.counts)
