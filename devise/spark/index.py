"""The index stage: one template, then a shard a task; faiss itself is only called in `devise.index`."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType

from devise import storage
from devise.errors import AccountingError
from devise.manifest import File
from devise.spark import schemas
from devise.spark.label import vectors
from devise.spark.tables import Written, deliver, receipt_batch, receipts

TEMPLATE = "template"
SIDECAR = pa.schema([("image_id", pa.int64()), ("uri", pa.string())])


def train_template(embeddings: DataFrame, folder: str, factory: str, sample_rows: int, seed: int) -> File:
    """Train the empty index that all shards copy, on a uniform sample drawn by hash of the id, in one task.

    Returns:
        the template's file, below `folder`.
    """

    def train(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise import index

        parts = [vectors(batch.column("embedding")) for batch in batches if batch.num_rows]
        content = index.train_template(np.concatenate(parts), factory, seed)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{TEMPLATE}-{uuid.uuid4().hex}.faiss"
            path.write_bytes(content)
            yield receipt_batch(deliver(path, folder, rows=-1))

    drawn = embeddings.orderBy(F.xxhash64("image_id", F.lit(seed))).limit(sample_rows).select("embedding")
    return receipts(drawn.coalesce(1).mapInArrow(train, schemas.RECEIPTS).collect())[0]


def fill_shards(embeddings: DataFrame, folder: str, template: File, n_shards: int, n_rows: int) -> Written:
    """Write one faiss file and one id -> uri sidecar a shard; the shard of a row is `image_id mod n_shards`.

    Raises:
        AccountingError: the shards do not hold `n_rows` rows together.
    """
    shard = F.pmod(F.col("image_id"), F.lit(n_shards)).cast(IntegerType()).alias("shard")
    rows = embeddings.select(shard, "image_id", "uri", "embedding").repartition(n_shards, "shard")

    def fill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise import index

        content = storage.read_bytes(storage.join(folder, template.path))
        number, filling, ids = None, None, []
        for batch in batches:
            for piece in _by_shard(batch):
                if piece.column("shard")[0].as_py() != number:
                    if filling is not None:
                        yield from _finish(filling, ids, number, folder)
                    number, filling, ids = piece.column("shard")[0].as_py(), index.open_template(content), []
                image_id_N = piece.column("image_id").to_numpy()
                index.add(filling, image_id_N, vectors(piece.column("embedding")))
                ids.append(piece.select(["image_id", "uri"]))
        if filling is not None:
            yield from _finish(filling, ids, number, folder)

    shards = rows.sortWithinPartitions("shard", "image_id").mapInArrow(fill, schemas.RECEIPTS).collect()
    written = Written(SIDECAR.names, [template, *receipts(shards)])
    if written.rows != n_rows:
        raise AccountingError(f"{folder}: {written.rows} rows in the shards, wanted {n_rows}")
    return written


def _by_shard(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Runs of equal shard numbers; rows come sorted by shard."""
    import numpy as np

    if batch.num_rows == 0:
        return
    numbers = batch.column("shard").to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for start, end in zip(starts, starts[1:], strict=False):
        yield batch.slice(start, end - start)


def _finish(filling: "object", ids: list[pa.RecordBatch], number: int, folder: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    from devise import index

    name = f"shard-{number:05d}-{uuid.uuid4().hex}"  # unique to the attempt: a twin overwrites nothing
    with tempfile.TemporaryDirectory() as scratch:
        sidecar = Path(scratch) / f"{name}.parquet"
        pq.write_table(pa.Table.from_batches(ids).cast(SIDECAR), sidecar, compression="zstd")
        yield receipt_batch(deliver(sidecar, folder, rows=-1))
        shard = Path(scratch) / f"{name}.faiss"
        index.write_index(filling, shard)
        yield receipt_batch(deliver(shard, folder, rows=sum(piece.num_rows for piece in ids)))
