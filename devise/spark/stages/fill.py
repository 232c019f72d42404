"""The files of an index, made on workers: template, shards with sidecars, tombstones; what goes in is the caller's.

faiss itself is only called in `devise.search`. Rows are spread by exact ranges of the id, one range a task, so that
tasks are as even as hashes are and none is empty.
"""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.config import IndexConfig
from devise.errors import AccountingError
from devise.search import mapped, shards
from devise.search.mapped import SCHEMA as SIDECAR
from devise.search.shards import Stored
from devise.spark.frame import progress, schemas
from devise.spark.frame.columns import vectors
from devise.spark.frame.job import Task
from devise.spark.frame.memory import task_bytes
from devise.spark.frame.metering import counted, tally
from devise.spark.frame.spread import spread
from devise.spark.frame.tables import deliver, receipt_batch, receipts
from devise.warehouse.manifest import File

if TYPE_CHECKING:
    import numpy as np

    from devise.search.kinds import Kind

TOMBSTONES = pa.schema([("image_id", pa.int64())])
SCORE_ROWS = 10_000
"""Rows that tell how well the lists fit: their mean score is known within about 0.002."""
GROUP_ROWS = 1 << 14
"""Rows of a group of sidecars and tombstones: what waits in memory, whole batches as Spark sent them, vectors and all:
20 MB."""
TOMBSTONES_PER_FILE = 1 << 20
"""Ids: 8 MB, of which a shard fetches the one file or two that meet its range."""


def draw_sample(embeddings: DataFrame, n_wanted: int, n_rows: int, seed: int, from_end: bool = False) -> DataFrame:
    """About `n_wanted` of `n_rows` rows as one partition, in the order of a hash of the id; all if there are fewer.

    A threshold of the hash lets them through where they are read: nothing is sorted or moved but the sample. It is set
    five deviations above what is wanted, so that fewer are found once in three million draws.

    Args:
        from_end: draw from the other end of the order.
    """
    order = F.xxhash64("image_id", F.lit(seed))
    drawn = embeddings.select("image_id", "embedding", order.alias("place"))
    share = min(1.0, (n_wanted + 5 * n_wanted**0.5) / max(1, n_rows))
    if share < 1:
        bound = int(share * 2**64) - 2**63
        drawn = drawn.where(F.col("place") >= F.lit(-bound) if from_end else F.col("place") <= F.lit(bound))
    way = F.col("place").desc() if from_end else F.col("place")
    return drawn.repartition(1).sortWithinPartitions(way, "image_id").select("embedding")


def train_template(embeddings: DataFrame, folder: str, kind: "Kind", n_wanted: int, n_rows: int, seed: int) -> File:
    """Train the empty index that all shards copy on `n_wanted` of the rows, drawn uniformly by hash, in one task.

    Returns:
        the template's file, below `folder`.
    """

    def train(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import template

        made = template.train_template(_take(batches, n_wanted), kind, seed)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"template-{uuid.uuid4().hex}.faiss"
            template.write_template(made, path)
            yield receipt_batch(deliver(path, folder, rows=-1))

    drawn = draw_sample(embeddings, n_wanted, n_rows, seed)
    with progress.named(embeddings.sparkSession.sparkContext, "build_index", "train the template"):
        return receipts(drawn.mapInArrow(counted(train), schemas.RECEIPTS).collect())[0]


def centroid_score(embeddings: DataFrame, template: Stored, n_rows: int, seed: int) -> float:
    """Mean cosine of at most SCORE_ROWS of `n_rows` embeddings and the nearest centroid of the template's lists.

    They are drawn from the far end of the order in which `train_template` draws: rows that trained the lists lie up to
    0.09 nearer to them than rows like them that did not.
    """

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import template as templates

        found = templates.centroid_score(templates.read_template(template.fetch()), _take(batches, SCORE_ROWS))
        yield pa.RecordBatch.from_pydict({"score": [found]})

    drawn = draw_sample(embeddings, SCORE_ROWS, n_rows, seed, from_end=True)
    score_column = StructType([StructField("score", schemas.DOUBLE)])
    return drawn.mapInArrow(counted(score), score_column).collect()[0].score


def rows_per_shard(task: Task, kind: str, dim: int) -> int:
    """The rows of a shard that a task of tonight's machines can fill, or what the settings say.

    A base's shards and those of its deltas need not be of one size.
    """
    from devise.search import filling

    config: IndexConfig = task.config
    return config.rows_per_shard or filling.rows_that_fit(task_bytes(task.spark), kind, dim)


def fill_shards(embeddings: DataFrame, folder: str, template: Stored, n_shards: int, n_rows: int) -> list[File]:
    """Write a faiss file a shard, the sidecar beside it, and its exact rows where its kind loses precision.

    A task a shard, which is a range of the ids.

    Raises:
        AccountingError: the shards do not hold `n_rows` rows together, or a task was given rows of two.
        StorageError: the template is not the one that was trained.
    """
    rows = spread_by_range(embeddings.select(*SIDECAR.names, "embedding"), n_shards)
    context = embeddings.sparkSession.sparkContext
    done = tally(context)

    def fill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import filling
        from devise.search.template import is_exact, read_template

        empty = read_template(template.fetch())
        name = f"shard-{{:05d}}-{uuid.uuid4().hex}"  # unique to the attempt: a twin overwrites nothing
        with tempfile.TemporaryDirectory() as scratch:
            sidecar = Sidecar(Path(scratch) / f"sidecar{shards.SIDECAR}", SIDECAR, n_shards)
            rows, exact = sidecar.write_through(batches), None if is_exact(empty) else Path(scratch) / "exact"
            filled = filling.fill_shard(empty, rows if exact is None else mapped.write_through(rows, exact))
            sidecar.close()
            if not filled.ntotal:
                return
            shard = Path(scratch) / f"{name.format(sidecar.number)}.faiss"
            filling.write_shard(filled, shard)
            yield receipt_batch(deliver(sidecar.path.rename(shard.with_suffix(shards.SIDECAR)), folder, rows=-1))
            if exact is not None:
                yield receipt_batch(deliver(exact.rename(shard.with_suffix(shards.EXACT)), folder, rows=-1))
            done.add({progress.IMAGES: filled.ntotal})
            yield receipt_batch(deliver(shard, folder, rows=filled.ntotal))

    told = progress.told("build_index", n_rows, progress.counted_by(done))
    with told, progress.named(context, "build_index", "fill shards"):
        files = receipts(rows.mapInArrow(counted(fill), schemas.RECEIPTS).collect())
    if (found := sum(file.rows for file in files if file.rows > 0)) != n_rows:
        raise AccountingError(f"{folder}: {found} rows in the shards, wanted {n_rows}")
    return files


def write_tombstones(image_ids: DataFrame, folder: str, n_rows: int) -> list[File]:
    """Write the ids that older runs' rows count no more under, in files by range, sorted; the files hold no rows.

    Raises:
        AccountingError: the files do not hold `n_rows` ids together.
    """
    n_files = -(-n_rows // TOMBSTONES_PER_FILE)

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with tempfile.TemporaryDirectory() as scratch:
            ids = Sidecar(Path(scratch) / "tombstones", TOMBSTONES, n_files)
            n_written = sum(batch.num_rows for batch in ids.write_batches(batches))
            ids.close()
            if n_written:
                name = shards.tombstones_name(ids.number, n_files, uuid.uuid4().hex)
                yield receipt_batch(deliver(ids.path.rename(ids.path.with_name(name)), folder, rows=n_written))

    rows = spread_by_range(image_ids.select("image_id"), n_files)
    files = receipts(rows.mapInArrow(counted(write), schemas.RECEIPTS).collect())
    if (found := sum(file.rows for file in files)) != n_rows:
        raise AccountingError(f"{folder}: {found} ids in the tombstones, wanted {n_rows}")
    return [file.model_copy(update={"rows": -1}) for file in files]


def spread_by_range(frame: DataFrame, n: int) -> DataFrame:
    """The rows in `n` partitions, the i-th of the ids of range i, sorted by image_id."""
    number = F.expr(f"image_id div {shards.range_width(n)}") if n > 1 else F.lit(0)
    placed = spread(frame.withColumn("_range", number.cast("int")), "_range", n)
    return placed.drop("_range").sortWithinPartitions("image_id")


class Sidecar:
    """A file of rows that come sorted by image_id and all lie in one of `n` ranges, written as they come.

    It is of Arrow if its name ends like a shard's sidecar, else of Parquet.
    """

    def __init__(self, path: Path, schema: pa.Schema, n: int):
        import pyarrow.parquet as pq

        self.path, self.schema, self.n = path, schema, n
        self.number: int | None = None
        is_arrow = path.suffix == shards.SIDECAR
        self._writer = pa.ipc.new_file(path, schema) if is_arrow else pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def write_batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Each batch, once its columns are in the file or wait for a row group to be full.

        Raises:
            AccountingError: an id is not in the range of those before it.
        """
        for batch in batches:
            if batch.num_rows:
                for number in shards.number_of_ids(batch.column("image_id").to_numpy()[[0, -1]], self.n).tolist():
                    self.number = number if self.number is None else self.number
                    if number != self.number:
                        raise AccountingError(f"a task has rows of shards {self.number} and {number}, wanted one")
                self._waiting.append(batch.select(self.schema.names))
                self._write(least=GROUP_ROWS)
                yield batch

    def write_through(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
        """image_id_N and embedding_ND of each batch, as `write_batches`."""
        for batch in self.write_batches(batches):
            yield batch.column("image_id").to_numpy(), vectors(batch.column("embedding"))

    def close(self) -> None:
        self._write(least=1)
        self._writer.close()

    def _write(self, least: int) -> None:
        if sum(batch.num_rows for batch in self._waiting) >= least:
            self._writer.write_table(pa.Table.from_batches(self._waiting).cast(self.schema).combine_chunks())
            self._waiting = []


def _take(batches: Iterator[pa.RecordBatch], n_wanted: int) -> "np.ndarray":
    """The first `n_wanted` embeddings (N, D), or as many as there are: one array, filled as they come."""
    import numpy as np

    taken, n_taken = np.empty((0, 0), np.float32), 0
    for batch in batches:
        if not batch.num_rows:
            continue
        embedding_ND = vectors(batch.column("embedding"))[: n_wanted - n_taken]
        if not n_taken:
            taken = np.empty((n_wanted, embedding_ND.shape[1]), np.float32)  # room costs nothing until it is used
        taken[n_taken : n_taken + len(embedding_ND)] = embedding_ND
        n_taken += len(embedding_ND)
    return taken[:n_taken]
