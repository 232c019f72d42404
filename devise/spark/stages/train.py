"""The training stage: features by the embed engine on all workers, the projection in one task (`learning.fitting`)."""

import json
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.config import EngineConfig, TrainConfig
from devise.errors import TrainingError
from devise.search.vocabularies import require_classes
from devise.spark.frame import schemas
from devise.spark.frame.columns import vector_column
from devise.spark.frame.job import Task, say
from devise.spark.frame.metering import counted
from devise.spark.frame.tables import Written
from devise.spark.stages import finetune, fit, ridge
from devise.spark.stages.engines import engine_on_worker, to_items
from devise.spark.stages.labelled import labelled_images
from devise.store import storage
from devise.warehouse.manifest import File

COMPUTED = StructType([*schemas.FEATURES.fields[:5], schemas.REJECTS["code"]])


def train_model(task: Task) -> None:
    """Write the features that were not cached yet, and the model."""
    config: TrainConfig = task.config
    if (config.projection == "convex" and config.weights is not None) or config.has_teacher:
        require_classes(task.input("vocabulary"))
    empty = task.spark.createDataFrame([], schemas.FEATURES)
    nothing = task.spark.createDataFrame([(0, "", "", 0, [], None)], fit.TO_FIT)
    parts: list[tuple[str, str]] = []
    if config.labelled is None:
        task.write("features", empty)
        rows = nothing
    else:
        images = task.stage(labelled_images(task.spark, config.labelled), "labelled")
        if config.weights is None:
            task.write("features", empty)  # the core is not frozen yet: it has no features to keep
            rows = images.select("*", F.lit(None).cast(schemas.VECTOR).alias("features"))
        elif config.loss == "ridge":
            parts, rows = ridge.sum_parts(task, with_features(task, images), images.count()), nothing
        else:
            rows = with_features(task, images)
    files = finetune.tune(task, rows) if config.finetune is not None else fit.fit_and_deliver(task, rows, parts)
    card = json.loads(storage.read_bytes(storage.join(task.folder("model"), _named(files, "card.json").path)))
    task.model_id = card["model_id"]
    task.details |= {"training": card.get("training", {}), "seen": len(card.get("seen", []))}
    task.written["model"] = Written([], files)
    say("train_model", f"model {task.model_id}: {config.architecture}, {config.projection}, loss {config.loss}")


def with_features(task: Task, images: DataFrame) -> DataFrame:
    """Labelled images with their features (fit.TO_FIT): from the cache, or through the network once."""
    config: TrainConfig = task.config

    def identify(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.learning import fitting
        from devise.vision import model as models

        for _ in batches:
            network = fitting.frozen_network(config)
            found = models.network_id(network.core, network.preprocessing)
            yield pa.RecordBatch.from_pydict({"network_id": [found]})

    one = task.spark.createDataFrame([(0,)], "n int").coalesce(1)
    network_id = one.mapInArrow(counted(identify), "network_id string").collect()[0].network_id
    content = ["image_id", "uri", "etag"]
    cached = task.read("features").where(F.col("network_id") == network_id)
    todo = images.join(cached.select(content), on=content, how="left_anti")
    computed = task.stage(compute_features(todo, config), "features")
    fresh = computed.where("code IS NULL").drop("code").select("*", F.lit(network_id).alias("network_id"))
    written = task.write("features", fresh.select(schemas.FEATURES.names))
    rejected = {row.code: row["count"] for row in computed.where("code IS NOT NULL").groupBy("code").count().collect()}
    task.details["feature_rejects"] = rejected
    say(
        "train_model", f"{written.rows:,} images through the frozen network {network_id}, rejected {rejected or 'none'}"
    )
    every = cached.select(*content, "features").unionByName(fresh.select(*content, "features"))
    return images.join(every, on=content, how="inner").select(fit.TO_FIT.names)


def compute_features(images: DataFrame, config: TrainConfig) -> DataFrame:
    """COMPUTED: pooled features and class probabilities of each image, or the reject code."""

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.learning import fitting

        opened = engine_on_worker(fitting.frozen_network(config), EngineConfig(), output="features")
        for found in opened.run(to_items(batches)):
            valid_N = np.array([code is None for code in found.codes], dtype=bool)
            probabilities = found.probabilities_NC
            columns = [
                pa.array([item.image_id for item in found.items]),
                pa.array([item.uri for item in found.items]),
                pa.array([item.etag for item in found.items]),
                vector_column(found.embedding_ND, valid_N),
                vector_column(probabilities, valid_N)
                if probabilities is not None
                else pa.nulls(len(valid_N), pa.list_(pa.float32())),
                pa.array(found.codes, pa.string()),
            ]
            yield schemas.record_batch(columns, COMPUTED)

    return images.select("image_id", "uri", "etag", "size_bytes").mapInArrow(counted(compute), COMPUTED)


def _named(files: list[File], name: str) -> File:
    found = [file for file in files if file.path.endswith(f"/{name}")]
    if not found:
        raise TrainingError(f"the training task wrote {[file.path for file in files]}, wanted a {name}")
    return found[0]
