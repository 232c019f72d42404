"""Ridge regression over any number of images: each part of them is summed by itself; sums alone are brought together.

A part is the images whose id hashes to it, in the order of their ids, and the number of parts follows from the number
of images: the result does not depend on how the images were partitioned. Sums travel as files in the run's staging.
"""

import uuid
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.search.vocabularies import read_class_vectors, read_labels
from devise.spark.frame import schemas
from devise.spark.frame.columns import vectors
from devise.spark.frame.job import Task
from devise.spark.frame.metering import counted
from devise.spark.stages.labelled import read_held_out
from devise.store import storage

IMAGES_PER_PART = 8_192
MOST_PARTS = 256
"""The one task that adds reads so many files: 16 MB each with 1280 features and 300 dims."""
PART_SALT = 11
SUMMED = StructType(
    [StructField("part", schemas.INT), StructField("uri", schemas.TEXT), StructField("tally", schemas.TEXT)]
)
"""A part, the file of its sums, and what was kept of it and left out."""


def count_parts(n_images: int) -> int:
    """Parts for so many images: about IMAGES_PER_PART each, MOST_PARTS at most."""
    return max(1, min(MOST_PARTS, -(-n_images // IMAGES_PER_PART)))


def sum_parts(task: Task, rows: DataFrame, n_images: int) -> list[tuple[str, str]]:
    """The file of sums and the tally (`learning.choosing.Tally`, as JSON) of each part, in the order of the parts.

    Args:
        rows: image_id, texts and features of images.
        n_images: how many were listed, which decides the parts.

    Raises:
        TrainingError: there are no rows.
    """
    config: TrainConfig = task.config
    vocabulary = task.input("vocabulary")
    held_out, n_parts = read_held_out(config), count_parts(n_images)
    folder = storage.join(task.staging, "sums")
    part = F.pmod(F.xxhash64("image_id", F.lit(PART_SALT)), F.lit(n_parts)).cast("int").alias("part")
    parts = rows.select(part, "image_id", "texts", "features")

    def add_up(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.learning import summing

        begin = partial(
            summing.PartSums,
            config,
            read_labels(config.warehouse, vocabulary),
            read_class_vectors(config.warehouse, vocabulary),
            held_out,
        )
        number, sums = None, None
        for batch in batches:
            for own, rows_of_part in _runs(batch):
                if own != number:
                    if sums is not None:
                        yield _write(folder, number, sums)
                    number, sums = own, begin()
                sums.add(rows_of_part.column("texts").to_pylist(), vectors(rows_of_part.column("features")))
        if sums is not None:
            yield _write(folder, number, sums)

    sorted_parts = parts.repartition(n_parts, "part").sortWithinPartitions("part", "image_id")
    with task.named("sum features"):
        found = sorted_parts.mapInArrow(counted(add_up), SUMMED).collect()
    if not found:
        raise TrainingError("none of the labelled pictures can be read, wanted some to learn from")
    return [(row.uri, row.tally) for row in sorted(found, key=lambda row: row.part)]


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A batch cut where the part changes."""
    numbers = batch.column("part").to_pylist()
    starts = [row for row in range(len(numbers)) if row == 0 or numbers[row] != numbers[row - 1]]
    for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        yield numbers[start], batch.slice(start, end - start)


def _write(folder: str, number: int, sums: object) -> pa.RecordBatch:
    from devise.learning import summing

    uri = storage.join(folder, f"{number:05d}-{uuid.uuid4().hex}.safetensors")  # unique to the attempt
    storage.write_bytes(uri, summing.pack(sums.finish()))
    columns = [pa.array([number], pa.int32()), pa.array([uri]), pa.array([sums.tally.to_json()])]
    return schemas.record_batch(columns, SUMMED)
