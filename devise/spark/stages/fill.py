"""The files of an index, made on workers: template, shards with sidecars, tombstones; what goes in is the caller's.

faiss itself is only called in `devise.search.index`.
"""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StructField, StructType

from devise.errors import AccountingError
from devise.search.shards import Stored
from devise.spark.frame import schemas
from devise.spark.frame.columns import vectors
from devise.spark.frame.metering import counted
from devise.spark.frame.tables import deliver, receipt_batch, receipts
from devise.warehouse.manifest import File

if TYPE_CHECKING:
    from devise.search.index import Kind

SIDECAR = pa.schema([("image_id", pa.int64()), ("uri", pa.string()), ("etag", pa.string())])
TOMBSTONES = pa.schema([("image_id", pa.int64())])
SCORE_ROWS = 10_000
"""Rows that tell how well the lists fit: their mean score is known within about 0.002."""


def train_template(embeddings: DataFrame, folder: str, kind: "Kind", sample_rows: int, seed: int) -> File:
    """Train the empty index that all shards copy, on a uniform sample drawn by hash of the id, in one task.

    Returns:
        the template's file, below `folder`.
    """

    def train(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.search import index

        parts = [vectors(batch.column("embedding")) for batch in batches if batch.num_rows]
        content = index.train_template(np.concatenate(parts), kind, seed)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"template-{uuid.uuid4().hex}.faiss"
            path.write_bytes(content)
            yield receipt_batch(deliver(path, folder, rows=-1))

    drawn = embeddings.orderBy(F.xxhash64("image_id", F.lit(seed))).limit(sample_rows).select("embedding")
    return receipts(drawn.coalesce(1).mapInArrow(counted(train), schemas.RECEIPTS).collect())[0]


def centroid_score(embeddings: DataFrame, template: Stored, seed: int) -> float:
    """Mean cosine of at most SCORE_ROWS embeddings and the nearest centroid of the template's lists.

    They are drawn from the far end of the order in which `train_template` draws: rows that trained the lists lie up to
    0.09 nearer to them than rows like them that did not.
    """

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.search import index

        parts = [vectors(batch.column("embedding")) for batch in batches if batch.num_rows]
        found = index.centroid_score(template.fetch().read_bytes(), np.concatenate(parts))
        yield pa.RecordBatch.from_pydict({"score": [found]})

    order = F.xxhash64("image_id", F.lit(seed)).desc()
    drawn = embeddings.orderBy(order).limit(SCORE_ROWS).select("embedding")
    score_column = StructType([StructField("score", schemas.DOUBLE)])
    return drawn.coalesce(1).mapInArrow(counted(score), score_column).collect()[0].score


def fill_shards(embeddings: DataFrame, folder: str, template: Stored, n_shards: int, n_rows: int) -> list[File]:
    """Write one faiss file and one id -> uri, etag sidecar a shard; the shard of a row is `image_id mod n_shards`.

    Raises:
        AccountingError: the shards do not hold `n_rows` rows together.
        StorageError: the template is not the one that was trained.
    """
    shard = F.pmod(F.col("image_id"), F.lit(n_shards)).cast(IntegerType()).alias("shard")
    rows = embeddings.select(shard, *SIDECAR.names, "embedding").repartition(n_shards, "shard")

    def fill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        content = template.fetch().read_bytes()
        number, pieces = None, []
        for piece in (piece for batch in batches for piece in _by_shard(batch)):
            found = piece.column("shard")[0].as_py()
            if pieces and found != number:
                yield from _finish(content, pieces, number, folder)
                pieces = []
            number = found
            pieces.append(piece)
        if pieces:
            yield from _finish(content, pieces, number, folder)

    files = receipts(
        rows.sortWithinPartitions("shard", "image_id").mapInArrow(counted(fill), schemas.RECEIPTS).collect()
    )
    if (found := sum(file.rows for file in files if file.rows > 0)) != n_rows:
        raise AccountingError(f"{folder}: {found} rows in the shards, wanted {n_rows}")
    return files


def write_tombstones(image_ids: DataFrame, folder: str, n_files: int, n_rows: int) -> list[File]:
    """Write the ids that older runs' rows count no more under, sorted within each file; the files hold no rows.

    Raises:
        AccountingError: the files do not hold `n_rows` ids together.
    """

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory() as scratch:
            path, n_written = Path(scratch) / f"tombstones-{uuid.uuid4().hex}.parquet", 0
            with pq.ParquetWriter(path, TOMBSTONES, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(pa.RecordBatch.from_arrays([batch.column("image_id")], schema=TOMBSTONES))
                    n_written += batch.num_rows
            if n_written:
                yield receipt_batch(deliver(path, folder, rows=n_written))

    rows = image_ids.select("image_id").repartition(n_files, "image_id").sortWithinPartitions("image_id")
    files = receipts(rows.mapInArrow(counted(write), schemas.RECEIPTS).collect())
    if (found := sum(file.rows for file in files)) != n_rows:
        raise AccountingError(f"{folder}: {found} ids in the tombstones, wanted {n_rows}")
    return [file.model_copy(update={"rows": -1}) for file in files]


def _by_shard(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Runs of equal shard numbers; rows come sorted by shard."""
    import numpy as np

    if batch.num_rows == 0:
        return
    numbers = batch.column("shard").to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for start, end in zip(starts, starts[1:], strict=False):
        yield batch.slice(start, end - start)


def _finish(template: bytes, pieces: list[pa.RecordBatch], number: int, folder: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    from devise.search import index

    rows = pa.Table.from_batches(pieces).combine_chunks()
    image_id_N = rows.column("image_id").to_numpy()
    filled = index.fill_shard(template, image_id_N, vectors(rows.column("embedding").combine_chunks()))
    name = f"shard-{number:05d}-{uuid.uuid4().hex}"  # unique to the attempt: a twin overwrites nothing
    with tempfile.TemporaryDirectory() as scratch:
        sidecar, shard = Path(scratch) / f"{name}.parquet", Path(scratch) / f"{name}.faiss"
        pq.write_table(rows.select(SIDECAR.names).cast(SIDECAR), sidecar, compression="zstd")
        index.write_index(filled, shard)
        yield receipt_batch(deliver(sidecar, folder, rows=-1))
        yield receipt_batch(deliver(shard, folder, rows=rows.num_rows))
