"""The one task that fits a model, by `learning.fitting` or from sums, and how a model is delivered."""

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructField, StructType

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.search.vocabularies import CALIBRATION, read_ancestry, read_class_vectors, read_labels
from devise.spark.frame import schemas
from devise.spark.frame.columns import vectors
from devise.spark.frame.job import Task, say
from devise.spark.frame.metering import counted
from devise.spark.frame.tables import deliver, receipt_batch, receipts
from devise.spark.stages.labelled import read_held_out
from devise.store import storage
from devise.warehouse.manifest import File, Manifest

TO_FIT = StructType([*schemas.IMAGES.fields[:4], StructField("texts", schemas.TEXTS), schemas.FEATURES["features"]])
"""A labelled image; features are null where the core is trained from scratch."""


def fit_and_deliver(task: Task, rows: DataFrame, parts: Sequence[tuple[str, str]]) -> list[File]:
    """Fit in one task, and write the model's files below the run's folder; see `fit` and `deliver_model`."""
    config, folder, vocabulary = task.config, task.folder("model"), task.input("vocabulary")
    held_out = read_held_out(config)

    def hand_over(fitted: Any, images: pa.Table, features_NF: Any) -> list[File]:
        beside = calibrate(config, vocabulary, held_out, fitted.model, images, features_NF)
        return deliver_model(fitted.model, folder, beside)

    return fit(task, rows, parts, hand_over)


def calibrate(
    config: TrainConfig, vocabulary: Manifest, held_out: Sequence[str], model: Any, images: pa.Table, features_NF: Any
) -> dict[str, str]:
    """The files that go beside the model: its calibration and the picture of it, where there are (`calibrating`)."""
    from devise.learning import answers, calibrating

    known = read_labels(config.warehouse, vocabulary)
    found = calibrating.calibrate(
        *(config, model, known, read_ancestry(config.warehouse, vocabulary, known.synsets)),
        *(read_class_vectors(config.warehouse, vocabulary), held_out),
        *(images.column("texts").to_pylist() if features_NF is not None else None, features_NF, tell),
    )
    if found is None:
        return {}
    calibration, drawn = found
    return {CALIBRATION: calibration.to_json()} | ({answers.NAME: drawn} if drawn is not None else {})


def fit(
    task: Task, rows: DataFrame, parts: Sequence[tuple[str, str]], hand_over: Callable[[Any, pa.Table, Any], list[File]]
) -> list[File]:
    """Fit in one task; the files that `hand_over` wrote.

    Args:
        rows: TO_FIT, all in the memory of that task: 4 bytes a feature of each image, twice.
        parts: for loss ridge, instead of rows: the sums of each part of the images (`ridge.sum_parts`).
        hand_over: called in the task with what `learning.fitting.fit` returns, the images without their features, and
            these (None without any).
    """
    config: TrainConfig = task.config
    vocabulary = task.input("vocabulary")
    held_out = read_held_out(config)

    def train(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.learning import choosing, fitting, summing

        fitting.use_all_cores()
        read = list(batches)
        if not read:
            raise TrainingError("none of the labelled pictures can be read, wanted some to learn from")
        table = pa.Table.from_batches(read)
        images = table.drop_columns("features")
        common = (
            config,
            read_labels(config.warehouse, vocabulary),
            vocabulary.vocabulary_id,
            read_class_vectors(config.warehouse, vocabulary),
            held_out,
        )
        features_NF = None
        if parts:
            tally = sum((choosing.Tally.from_json(text) for _, text in parts), choosing.Tally())
            if not config.has_teacher:
                tally.tell(tell)
            sums = summing.add_pairwise(summing.unpack(storage.read_bytes(uri)) for uri, _ in parts)
            fitted = fitting.Fitted(summing.fit_from_sums(*common, sums, tally, tell), None, None)
        else:
            column = table.column("features").combine_chunks()
            features_NF = vectors(column) if column.null_count == 0 else None
            fitted = fitting.fit(*common, images, features_NF, tell)
        for file in hand_over(fitted, images, features_NF):
            yield receipt_batch(file)

    return receipts(rows.select(TO_FIT.names).coalesce(1).mapInArrow(counted(train), schemas.RECEIPTS).collect())


def deliver_model(model: Any, folder: str, beside: Mapping[str, str] | None = None) -> list[File]:
    """Write a model's files below `folder`, in a folder of their own that is unique to the attempt; their receipts.

    Args:
        beside: name -> text of files that are no part of the model: others of them embed nothing anew.
    """
    from devise.learning import curve
    from devise.vision import model as models

    attempt = uuid.uuid4().hex  # a twin overwrites nothing
    with tempfile.TemporaryDirectory() as place:
        models.save(model, place)
        for name, text in (beside or {}).items():
            Path(place, name).write_text(text, encoding="utf-8")
        if drawn := curve.draw(model.card.get("training", {})):
            Path(place, curve.NAME).write_text(drawn, encoding="utf-8")
        files = [deliver(path, storage.join(folder, attempt), rows=-1) for path in sorted(Path(place).iterdir())]
    return [file.model_copy(update={"path": f"{attempt}/{file.path}"}) for file in files]


def tell(line: str) -> None:
    say("train_model", line)
