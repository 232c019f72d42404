"""The nearest images of very many images: each shard is opened by one task, and all queries pass by it in blocks.

The queries are put by first, in files, with the lists that each is to visit: found once a query, not once a shard, and
sorted by them, so that what one query has brought into the cache serves those after it. A task holds a block of queries
at a time. What a shard finds is a few rows a query, merged by a shuffle; it is what bounds a round.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.search import shards
from devise.search.shards import Shard, Stored
from devise.spark.frame import schemas, tables
from devise.spark.frame.columns import vector_column, vectors
from devise.spark.frame.job import Task
from devise.spark.frame.metering import counted
from devise.spark.stages.search import blocks, map_shards
from devise.store import storage
from devise.warehouse.manifest import File

if TYPE_CHECKING:
    import numpy as np

    from devise.search.index import Prepared

FOUND = StructType([
    StructField("image_id", schemas.LONG),
    StructField("neighbour_id", schemas.LONG),
    StructField("score", schemas.FLOAT),
])  # fmt: skip
BLOCK_ROWS = 2_048
"""Queries that a task holds at a time: 2.5 MB of 300-d vectors, and their candidates."""
ROUND_ROWS = 5_000_000
"""Queries whose candidates are shuffled together: at 5 of each shard 0.5 GB a shard."""


def find_nearest(task: Task, images: DataFrame, parts: Sequence[Shard], nprobe: int, k: int, of_each: int) -> DataFrame:
    """FOUND and rank: the k live images nearest to each of these, itself left out, ties to the lower image_id.

    Args:
        images: image_id and embedding, each image_id once; all of them live.
        parts: the shards of an index.
        nprobe: lists to visit, where the index has lists.
        of_each: how many of them a shard is asked for, at most k: with less, the last of the k may be lacking.
    """
    folder = storage.join(task.staging, "queries")
    with task.named("put queries by"):
        queries = prepare(images, parts[0].template, nprobe)
        files = tables.write(queries, folder, queries.schema, "queries").files
    best = Window.partitionBy("image_id").orderBy(F.desc("score"), "neighbour_id")
    rounds = []
    for number, some in enumerate(cut_rounds(files, ROUND_ROWS)):
        stored = [shards.stored(folder, files, file.path) for file in some]
        found = _search(task, parts, stored, of_each).withColumn("rank", F.row_number().over(best))
        rounds.append(task.stage(found.where(F.col("rank") <= k), f"nearest-{number}"))
    return reduce(DataFrame.unionByName, rounds)


def cut_rounds(files: Sequence[File], most_rows: int) -> list[list[File]]:
    """The files in order, in as few rounds as hold so many rows at most each, or one file; one round where none is."""
    rounds: list[list[File]] = [[]]
    for file in files:
        if rounds[-1] and sum(one.rows for one in rounds[-1]) + file.rows > most_rows:
            rounds.append([])
        rounds[-1].append(file)
    return rounds


def share_of_shard(k: int, n_shards: int) -> int:
    """How many of an image's k nearest to ask each of `n_shards` alike for, at most k.

    Rows are spread by a hash, so a shard has a Poisson number of them: four deviations above its mean are asked for.
    Where a shard has more, the farthest of those are passed over.
    """
    mean = k / n_shards
    return min(k, ceil(mean + 4 * sqrt(mean)))


def prepare(images: DataFrame, template: Stored, nprobe: int) -> DataFrame:
    """image_id and its `search.index.Prepared`, a list column a field, null where that is None; in each partition those
    side by side that visit the same list first."""
    schema = _queries()

    def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import index as indices
        from devise.search.template import read_template

        opened = read_template(template.fetch())
        for batch in batches:
            if n := batch.num_rows:
                prepared = indices.prepare(opened, vectors(batch.column("embedding")), nprobe)
                columns = (_column(part, n) for part in prepared)
                yield schemas.record_batch([batch.column("image_id"), *columns], schema)

    queries = images.select("image_id", "embedding").mapInArrow(counted(each), schema)
    return queries.sortWithinPartitions(F.element_at("list_QP", 1), "image_id")


def _queries() -> StructType:
    """image_id, and the fields of `search.index.Prepared`."""
    from devise.search.index import Prepared

    kinds = {"list_QP": schemas.INTS}
    fields = [StructField(name, kinds.get(name, schemas.VECTOR)) for name in Prepared._fields]
    return StructType([StructField("image_id", schemas.LONG), *fields])


def _search(task: Task, parts: Sequence[Shard], queries: Sequence[Stored], k: int) -> DataFrame:
    """FOUND: the k images of each shard that are nearest to each query, itself left out."""

    def search(opened: Any, shard: Shard) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.search import index as indices

        hidden, n_found = [shard.hidden()], min(k + 1, max(1, opened.ntotal))
        exact = [shard.open_exact(opened.ntotal, opened.d)]
        for image_id_Q, prepared in blocks(_read_blocks(queries), max(n_found, indices.CANDIDATES)):
            ids_QK, scores_QK = indices.search([opened], prepared, n_found, hidden, exact)
            keep_QK = (ids_QK >= 0) & (ids_QK != image_id_Q[:, None])
            asked = np.repeat(image_id_Q, keep_QK.sum(axis=1))
            yield schemas.record_batch(
                [pa.array(column) for column in (asked, ids_QK[keep_QK], scores_QK[keep_QK])], FOUND
            )

    return map_shards(task.spark, parts, search, FOUND)


def _read_blocks(files: Sequence[Stored]) -> Iterator[tuple["np.ndarray", "Prepared"]]:
    """The queries of files of `prepare`'s rows, and their ids, a block at a time."""
    import pyarrow.parquet as pq

    from devise.search.index import Prepared

    for stored in files:
        with pq.ParquetFile(stored.fetch()) as file:
            for batch in file.iter_batches(BLOCK_ROWS):
                yield batch.column("image_id").to_numpy(), Prepared(*map(_array, batch.columns[1:]))


def _column(part: "np.ndarray | None", n: int) -> pa.Array:
    import numpy as np

    return pa.nulls(n) if part is None else vector_column(part, np.ones(n, dtype=bool))


def _array(column: pa.ListArray) -> "np.ndarray | None":
    """The rows of a list column, all of one length; None where they are null."""
    if column.null_count:
        return None
    return column.flatten().to_numpy().reshape(len(column), -1)
