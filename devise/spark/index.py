"""The index stage: one template, then a shard a task; faiss itself is only called in `devise.index`."""

import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType

from devise import storage
from devise.config import IndexConfig
from devise.errors import AccountingError, IndexingError
from devise.manifest import File
from devise.spark import recall, schemas
from devise.spark.job import Task, say
from devise.spark.label import live_embeddings, refuse_other_dims, vectors
from devise.spark.tables import Written, deliver, receipt_batch, receipts

if TYPE_CHECKING:
    from devise.index import Kind

TEMPLATE = "template"
RECALL_AT = 10
QUICK_PART = 8
"""An eighth of the lists is tried first: to visit all of them takes longer than to fill the shard."""
SIDECAR = pa.schema([("image_id", pa.int64()), ("uri", pa.string())])


def build_index(task: Task) -> None:
    """Choose the kind, train the template, fill the shards, and settle nprobe for each kind of query."""
    from devise.index import choose_kind

    config: IndexConfig = task.config
    embeddings = task.stage(live_embeddings(task.read("images"), task.read("embeddings")), "embeddings")
    n_rows, dim = measure(embeddings)
    kind = choose_kind(n_rows, dim, config.memory_bytes, config.kind)
    say("build_index", f"{kind.factory} for {n_rows:,} x {dim}: {kind.reason}")
    folder, n_shards = task.folder("index"), -(-n_rows // config.rows_per_shard)
    template = train_template(embeddings, folder, kind, config.sample_rows, config.seed)
    task.written["index"] = fill_shards(embeddings, folder, template, n_shards, n_rows)
    task.details |= {"kind": kind.factory, "reason": kind.reason, "n_shards": n_shards, "dim": dim}
    task.details |= settle_nprobe(task, embeddings, kind)


def settle_nprobe(task: Task, embeddings: DataFrame, kind: "Kind") -> dict[str, dict]:
    """The least nprobe of each kind of query that reaches the target recall in the shards just written.

    Words are far from the vectors that trained the lists, and need many times the effort of images.

    Returns:
        nprobe by kind, and tuning: by kind, what the choice rests on. A kind without queries keeps the first guess.
    """
    from devise import index

    config: IndexConfig = task.config
    nprobe = dict.fromkeys(recall.KINDS, kind.nprobe)
    if kind.nlist == 0:
        say("build_index", f"{kind.factory} has no lists: no nprobe to settle")
        return {"nprobe": nprobe, "tuning": {}}
    queries = recall.draw_queries(embeddings, task.read("vocabulary"), config.tune_queries, config.seed, "tune")
    refuse_other_dims(len(queries.vectors[0]), len(queries.vectors[-1]))  # images come first, words last
    exact = recall.exact_neighbours(embeddings, queries, RECALL_AT)
    folder, files = task.folder("index"), task.written["index"].files
    tried: dict[str, dict[int, float]] = {name: {} for name in recall.KINDS if name in queries.kinds}
    steps = index.nprobe_steps(kind.nlist)
    quick = [nprobe for nprobe in steps if nprobe <= kind.nlist // QUICK_PART]
    for part in (quick, steps[len(quick) :]):
        names = [name for name, found in tried.items() if max(found.values(), default=-1.0) < config.target_recall]
        if part and names:
            chosen = recall.select(queries, exact, names)
            for name, found in recall.recall_by_nprobe(task.spark, *chosen, folder, files, part, RECALL_AT).items():
                tried[name] |= found
    tuning = {}
    for name, found in tried.items():
        effort, n_queries = index.settle_nprobe(found, config.target_recall), queries.kinds.count(name)
        nprobe[name] = effort.nprobe
        tuning[name] = {**asdict(effort), "n_queries": n_queries}
        say("build_index", f"{name} queries: {effort.describe(kind.nlist, config.target_recall)}, n = {n_queries:,}")
    return {"nprobe": nprobe, "tuning": tuning}


def train_template(embeddings: DataFrame, folder: str, kind: "Kind", sample_rows: int, seed: int) -> File:
    """Train the empty index that all shards copy, on a uniform sample drawn by hash of the id, in one task.

    Returns:
        the template's file, below `folder`.
    """

    def train(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise import index

        parts = [vectors(batch.column("embedding")) for batch in batches if batch.num_rows]
        content = index.train_template(np.concatenate(parts), kind, seed)
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
        content = storage.read_bytes(storage.join(folder, template.path))
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

    shards = rows.sortWithinPartitions("shard", "image_id").mapInArrow(fill, schemas.RECEIPTS).collect()
    written = Written(SIDECAR.names, [template, *receipts(shards)])
    if written.rows != n_rows:
        raise AccountingError(f"{folder}: {written.rows} rows in the shards, wanted {n_rows}")
    return written


def measure(embeddings: DataFrame) -> tuple[int, int]:
    """Rows and dim; `IndexingError` if there is nothing to index or the vectors differ in length."""
    found = embeddings.select(F.size("embedding").alias("dim")).groupBy("dim").count().collect()
    if len(found) != 1:
        dims = sorted(row.dim for row in found)
        raise IndexingError(f"embeddings of dims {dims}, wanted one dim and at least one row")
    return found[0]["count"], found[0].dim


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

    from devise import index

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
