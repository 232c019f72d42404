"""The embed stage: each image through the network once; the engine: `devise.vision.engine`.

Two doors lead to the engine, with the same results: `mapInArrow`, and iterator pandas UDFs (`exchange="pandas"` for the
bulk job, `embed_udf` over a column of image bytes for SQL and notebooks).
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from zipimport import zipimporter

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.config import EngineConfig
from devise.errors import ConfigError
from devise.search import query
from devise.spark.frame import schemas
from devise.spark.frame.columns import vector_column
from devise.spark.frame.metering import counted
from devise.store import storage, traffic
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

    from devise.vision.engine import Engine, Item, Outcomes
    from devise.vision.model import DeviseModel

EMBEDDED = schemas.bare(StructType([schemas.EMBEDDINGS["embedding"], *schemas.REJECTS.fields[3:5]]))
"""What `embed_udf` returns of one picture: its embedding, or the reject code and message."""


def embed_images(
    todo: DataFrame, warehouse: str, model: Manifest, engine: EngineConfig, exchange: str, n_tasks: int
) -> DataFrame:
    """Turn each image into an outcome (schemas.OUTCOMES): an embedding, or the reject code; one row out per row in.

    Args:
        todo: image_id, uri, etag, size_bytes; image_id without repeats.
    """
    # In the order of a hash of the uri: neighbours in a listing share a prefix, and S3 limits requests by prefix.
    rows = todo.select("image_id", "uri", "etag", "size_bytes").repartition(n_tasks, F.xxhash64("image_id"))
    rows = rows.sortWithinPartitions("image_id")
    if engine.requests_per_second is not None:
        at_once = min(n_tasks, most_slots(todo.sparkSession))
        engine = engine.model_copy(update={"requests_per_second": engine.requests_per_second / at_once})
    if exchange == "pandas":
        outcome = _outcome_udf(warehouse, model, engine)(F.struct(*rows.columns))
        return rows.select(outcome.alias("outcome")).select("outcome.*")

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for outcomes in open_engine(warehouse, model, engine).run(to_items(batches)):
            yield outcome_batch(outcomes)

    return rows.mapInArrow(counted(embed), schemas.OUTCOMES)


def count_tasks(n_images: int, images_per_task: int, slots: int) -> int:
    """Tasks for so many images: a whole number of waves over the slots, none larger than `images_per_task`.

    A task costs about 0.3 s beside its images, so there are no more waves than that bound asks for.
    """
    waves = -(-n_images // (slots * images_per_task))
    return max(1, min(slots * waves, n_images))


def count_slots(spark: SparkSession) -> int:
    """Tasks that run at one time, as far as the executors have registered."""
    return max(1, spark.sparkContext.defaultParallelism // int(spark.conf.get("spark.task.cpus", "1")))


def most_slots(spark: SparkSession) -> int:
    """The most tasks that may run at one time while a stage goes on: executors register late, or come with the load.

    Raises:
        ConfigError: there is no most.
    """
    conf = spark.sparkContext.getConf()
    executors = int(conf.get("spark.executor.instances", "0"))
    if conf.get("spark.dynamicAllocation.enabled", "false") == "true":
        if (most := conf.get("spark.dynamicAllocation.maxExecutors", "infinity")) in ("infinity", str(2**31 - 1)):
            raise ConfigError(
                "requests_per_second is shared among the tasks that run at one time: found dynamic allocation without "
                "a bound, wanted spark.dynamicAllocation.maxExecutors, or spark.dynamicAllocation.enabled=false"
            )
        executors = int(most)
    each = int(conf.get("spark.executor.cores", "1")) // int(spark.conf.get("spark.task.cpus", "1"))
    return max(count_slots(spark), executors * max(1, each))


def embed_udf(warehouse: str, model: Manifest, engine: EngineConfig | None = None) -> Any:
    """An iterator pandas UDF: image bytes -> struct(embedding, code, message); embedding is null for a reject.

    `spark.udf.register("embed", embed_udf(...))`, then `SELECT embed(content).embedding FROM ...`.
    """
    import pandas as pd

    settings = engine or EngineConfig()

    @F.pandas_udf(EMBEDDED)
    def embed(contents: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        from devise.vision.engine import Item

        waiting: dict[int, bytes] = {}

        def batches() -> Iterator[list[Item]]:
            number = 0
            for series in contents:
                items = []
                for content in series:
                    waiting[number] = content if content is not None else b""
                    items.append(Item(number, "", "", len(waiting[number])))
                    number += 1
                yield items

        opened = open_engine(warehouse, model, settings, fetch=lambda item: waiting.pop(item.image_id))
        for frame in _in_order(opened, batches()):
            yield frame[EMBEDDED.names]

    return embed.asNondeterministic()  # so that the optimiser never calls it twice for one row


def open_engine(
    warehouse: str, model: Manifest, settings: EngineConfig, fetch: "Callable[[Item], bytes] | None" = None
) -> "Engine":
    """The engine on this worker; the model is fetched once per host and loaded once per Python process."""
    from devise.vision import model as models

    loaded = models.load(query.model_folder(manifest.localise(warehouse, model), model))
    return engine_on_worker(loaded, settings, "embedding", fetch)


def engine_on_worker(
    model: "DeviseModel", settings: EngineConfig, output: str, fetch: "Callable[[Item], bytes] | None" = None
) -> "Engine":
    """An engine with as many threads as Spark gives this task cores, reading objects as they were listed."""
    from devise.vision.engine import Engine

    forget_zips()
    traffic.limit_images(settings.requests_per_second)
    task = TaskContext.get()
    return Engine(
        model,
        fetch or (lambda item: storage.fetch_image(item.uri, item.etag)),
        device=settings.device,
        precision=settings.precision,
        batch_size=settings.batch_size,
        threads=settings.threads or (task.cpus() if task else None),
        fetch_threads=settings.fetch_threads,
        max_pixels=settings.max_pixels,
        max_bytes=settings.max_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
        output=output,
    )


def forget_zips() -> None:
    """Spare the next tasks of this worker a scan of Spark's own archives.

    Spark's worker empties Python's import caches before each task, and Python then reads the tables of every zip on its
    path again, in Python code: Spark's jars and zips cost 0.3 s a task so. Forgotten, they are opened again only if an
    import gets that far.
    """
    for path, importer in list(sys.path_importer_cache.items()):
        if isinstance(importer, zipimporter):
            del sys.path_importer_cache[path]


def outcome_batch(outcomes: "Outcomes") -> pa.RecordBatch:
    """Outcomes as a batch of schemas.OUTCOMES."""
    import numpy as np

    valid_N = np.array([code is None for code in outcomes.codes], dtype=bool)
    columns = [
        pa.array([item.image_id for item in outcomes.items], pa.int64()),
        pa.array([item.uri for item in outcomes.items], pa.string()),
        pa.array([item.etag for item in outcomes.items], pa.string()),
        vector_column(outcomes.embedding_ND, valid_N),
        pa.array(outcomes.norm_N, pa.float32(), mask=~valid_N),
        pa.array(outcomes.width_N, pa.int32(), mask=~valid_N),
        pa.array(outcomes.height_N, pa.int32(), mask=~valid_N),
        pa.array(outcomes.codes, pa.string()),
        pa.array(outcomes.messages, pa.string()),
        pa.array(outcomes.attempts_N, pa.int32()),
    ]
    return schemas.record_batch(columns, schemas.OUTCOMES)


def to_items(batches: Iterator[pa.RecordBatch]) -> Iterator["Item"]:
    from devise.vision.engine import Item

    for batch in batches:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Item(*values)


def _outcome_udf(warehouse: str, model: Manifest, settings: EngineConfig) -> Any:
    import pandas as pd

    def embed(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        from devise.vision.engine import Item

        batches = ([Item(*row) for row in frame.itertuples(index=False, name=None)] for frame in frames)
        yield from _in_order(open_engine(warehouse, model, settings), batches)

    work = counted(embed)

    @F.pandas_udf(schemas.bare(schemas.OUTCOMES))
    def outcome(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield from work(frames)

    return outcome.asNondeterministic()


def _in_order(engine: "Engine", batches: Iterator[list["Item"]]) -> "Iterator[pd.DataFrame]":
    """Outcomes in the order of the items, a frame a batch: the engine's own order is free, a pandas UDF's is not."""
    import pandas as pd

    sent: deque[list[int]] = deque()
    found: dict[int, tuple] = {}

    def feed() -> Iterator["Item"]:
        for batch in batches:
            sent.append([item.image_id for item in batch])
            yield from batch

    def ready() -> Iterator[pd.DataFrame]:
        while sent and all(number in found for number in sent[0]):
            rows = [found.pop(number) for number in sent.popleft()]
            yield pd.DataFrame(rows, columns=schemas.OUTCOMES.names)

    for outcomes in engine.run(feed()):
        for row, item in enumerate(outcomes.items):
            kept = outcomes.codes[row] is None
            found[item.image_id] = (
                item.image_id,
                item.uri,
                item.etag,
                outcomes.embedding_ND[row] if kept else None,
                outcomes.norm_N[row] if kept else None,
                outcomes.width_N[row] if kept else None,
                outcomes.height_N[row] if kept else None,
                outcomes.codes[row],
                outcomes.messages[row],
                outcomes.attempts_N[row],
            )
        yield from ready()
    yield from ready()
