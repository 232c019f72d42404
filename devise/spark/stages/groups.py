"""Groups of images that pairs join, over frames; the mathematics is `devise.search.duplicates`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.errors import AccountingError
from devise.spark.frame import schemas
from devise.spark.frame.job import Task
from devise.spark.frame.metering import counted

if TYPE_CHECKING:
    from devise.search.duplicates import Pairs

PAIR = StructType([StructField("node", schemas.LONG), StructField("other", schemas.LONG)])
GROUP = StructType([StructField("image_id", schemas.LONG), StructField("group_id", schemas.LONG)])
PAIRS_PER_TASK = 2_000_000
"""32 MB, and about 200 MB while they are worked on."""
MOST_ROUNDS = 50
"""A chain of a thousand takes 7 to 10; more than these are a fault."""


def find_groups(task: Task, pairs: DataFrame, most: int, per_task: int = PAIRS_PER_TASK) -> DataFrame:
    """GROUP: every image of the pairs, and the least image of its group.

    Nothing is collected: pairs that fit a task are one task's, more are gone through in rounds, each of which shuffles
    all of them three times.

    Args:
        pairs: PAIR, none of an image with itself. most: how many there are at most.

    Raises:
        AccountingError: they have not settled after MOST_ROUNDS.
    """
    if most <= per_task:
        return _in_parts(pairs.repartition(1), "contract", GROUP)
    greater, lesser = F.greatest("node", "other").alias("node"), F.least("node", "other").alias("other")
    found, state = pairs.select(greater, lesser), None
    for number in range(MOST_ROUNDS):
        both = found.unionByName(found.select(F.col("other").alias("node"), F.col("node").alias("other")))
        starred = _in_parts(both.repartition("node"), "large_star", PAIR)
        starred = _in_parts(starred.repartition("node"), "small_star", PAIR)
        found, before = task.stage(starred.distinct(), f"pairs-{number}"), state
        if (state := _state(found)) == before:
            least = found.select("other", "other").distinct()
            return found.unionAll(least).toDF(*GROUP.names)
    raise AccountingError(f"{most:,} pairs have not settled after {MOST_ROUNDS} rounds, wanted groups")


def _state(pairs: DataFrame) -> tuple[int, int]:
    """The number of pairs, and a number that tells whether they are others."""
    digest = F.coalesce(F.expr("bit_xor(xxhash64(node, other))"), F.lit(0))
    return tuple(pairs.select(F.count(F.lit(1)), digest).first())


def _in_parts(pairs: DataFrame, step: str, schema: StructType) -> DataFrame:
    """What a function of `devise.search.duplicates` gives of the pairs of each partition."""

    def take(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import duplicates

        work: Callable[..., Pairs] = getattr(duplicates, step)
        if parts := [batch for batch in batches if batch.num_rows]:
            columns = pa.Table.from_batches(parts)
            found = work(*(columns.column(name).to_numpy() for name in PAIR.names))
            yield schemas.record_batch([pa.array(column) for column in found], schema)

    return pairs.mapInArrow(counted(take), schema)
