"""The inference engine (`devise.vision.engine`) on Spark's workers: how many run at one time, and with what."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from zipimport import zipimporter

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

from devise.config import EngineConfig
from devise.errors import ConfigError
from devise.search import query
from devise.store import storage, traffic
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    from devise.vision.engine import Engine, Item
    from devise.vision.model import DeviseModel


def count_slots(spark: SparkSession) -> int:
    """Tasks that run at one time, as far as the executors have registered."""
    return max(1, spark.sparkContext.defaultParallelism // int(spark.conf.get("spark.task.cpus", "1")))


def most_slots(spark: SparkSession) -> int | None:
    """The most tasks that may run at one time while a stage goes on: executors register late, or come with the load.

    None where there is no most: dynamic allocation without a bound.
    """
    conf = spark.sparkContext.getConf()
    executors = int(conf.get("spark.executor.instances", "0"))
    if conf.get("spark.dynamicAllocation.enabled", "false") == "true":
        if (most := conf.get("spark.dynamicAllocation.maxExecutors", "infinity")) in ("infinity", str(2**31 - 1)):
            return None
        executors = int(most)
    each = int(conf.get("spark.executor.cores", "1")) // int(spark.conf.get("spark.task.cpus", "1"))
    return max(count_slots(spark), executors * max(1, each))


def share_requests(spark: SparkSession, settings: EngineConfig, n_tasks: int) -> EngineConfig:
    """The settings for one task: the job's cap on requests is shared among those that run at one time.

    Raises:
        ConfigError: there is a cap, and no most of such tasks.
    """
    if settings.requests_per_second is None:
        return settings
    if (most := most_slots(spark)) is None:
        raise ConfigError(
            "requests_per_second is shared among the tasks that run at one time: found dynamic allocation without "
            "a bound, wanted spark.dynamicAllocation.maxExecutors, or spark.dynamicAllocation.enabled=false"
        )
    each = settings.requests_per_second / min(n_tasks, most)
    return settings.model_copy(update={"requests_per_second": each})


def open_engine(
    warehouse: str,
    model: Manifest,
    settings: EngineConfig,
    fetch: "Callable[[Item], bytes] | None" = None,
    thumbnails_below: int = 0,
) -> "Engine":
    """The engine on this worker; the model is fetched once per host and loaded once per Python process.

    Args:
        thumbnails_below: images with a lesser id have a thumbnail.
    """
    from devise.vision import model as models

    loaded = models.load(query.model_folder(manifest.localise(warehouse, model), model))
    return engine_on_worker(loaded, settings, "embedding", fetch, thumbnails_below)


def engine_on_worker(
    model: "DeviseModel",
    settings: EngineConfig,
    output: str,
    fetch: "Callable[[Item], bytes] | None" = None,
    thumbnails_below: int = 0,
) -> "Engine":
    """An engine with as many threads as Spark gives this task cores, reading objects as they were listed."""
    from devise.vision.engine import Engine

    forget_zips()
    traffic.limit_images(settings.requests_per_second)
    task = TaskContext.get()
    gpus = task.resources().get("gpu") if task else None
    return Engine(
        model,
        fetch or (lambda item: storage.fetch_image(item.uri, item.etag)),
        device=settings.device,
        gpu=gpus.addresses[0] if gpus else None,
        precision=settings.precision,
        batch_size=settings.batch_size,
        threads=settings.threads or (task.cpus() if task else None),
        fetch_threads=settings.fetch_threads,
        max_pixels=settings.max_pixels,
        max_bytes=settings.max_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
        output=output,
        thumbnail=lambda item: item.image_id < thumbnails_below,
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


def to_items(batches: Iterator[pa.RecordBatch]) -> Iterator["Item"]:
    """Rows of image_id, uri, etag and size_bytes as the engine takes them."""
    from devise.vision.engine import Item

    for batch in batches:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Item(*values)
