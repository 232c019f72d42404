"""The label stage: every embedding's nearest words, exactly; the mathematics is `devise.search.zeroshot`."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.errors import AccountingError
from devise.spark.frame import schemas, tables
from devise.spark.frame.columns import refuse_other_dims, vectors
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT
from devise.spark.frame.metering import counted
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

LABELLED = StructType(schemas.LABELS.fields[:6])


def label_images(
    embeddings: DataFrame, warehouse: str, vocabulary: Manifest, k: int, candidates: Sequence[str] | None
) -> DataFrame:
    """The k best labels of each image with their cosine, by rank; ties go to the lower label_id.

    Args:
        embeddings: schemas.EMBEDDINGS.
        candidates: only these labels, or None for the whole vocabulary.

    Returns:
        schemas.LABELS without model_id and vocabulary_id, in no order.
    """

    def rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.search.zeroshot import top_labels
        from devise.words import vocabulary as vocabularies

        known = vocabularies.load(manifest.localise_one(warehouse, vocabulary, end=".parquet"))
        chosen = known.find(candidates) if candidates is not None else None
        for batch in batches:
            if batch.num_rows == 0:
                continue
            embedding_ND = vectors(batch.column("embedding"))
            refuse_other_dims(embedding_ND.shape[1], known.vectors.shape[1])
            label_id_NK, score_NK = top_labels(embedding_ND, known.vectors, k, chosen)
            n, width = label_id_NK.shape
            repeated = np.repeat(np.arange(n), width)
            columns = [
                batch.column("image_id").take(pa.array(repeated)),
                batch.column("uri").take(pa.array(repeated)),
                pa.array(np.tile(np.arange(1, width + 1, dtype=np.int32), n)),
                pa.array([known.labels[i] for i in label_id_NK.reshape(-1)], pa.string()),
                pa.array([known.synsets[i] for i in label_id_NK.reshape(-1)], pa.string()),
                pa.array(score_NK.reshape(-1)),
            ]
            yield schemas.record_batch(columns, LABELLED)

    return embeddings.select("image_id", "uri", "embedding").mapInArrow(counted(rank), LABELLED)


def carried_labels(task: Task, live: DataFrame) -> DataFrame:
    """The rows of the labels before (schemas.LABELS) that hold tonight: of live images with the uri and etag of then.

    None, where the model, the vocabulary or the settings were others, or that night's images are no longer there.
    """
    before = task.inputs["labels"][-1] if task.inputs["labels"] else None
    of = (task.model_id, task.vocabulary_id, task.config.config_hash())
    if before is None or (before.model_id, before.vocabulary_id, before.config_hash) != of:
        return task.spark.createDataFrame([], schemas.LABELS)
    listed = manifest.find(task.config.warehouse, "images", before.inputs["images"][0].split()[0])
    if listed is None:
        return task.spark.createDataFrame([], schemas.LABELS)
    images_before = tables.read(task.spark, task.config.warehouse, [listed], schemas.IMAGES).select(CONTENT)
    same = live.join(images_before, on=CONTENT, how="left_semi").select("image_id", "uri")
    return task.read("labels").join(same, on=["image_id", "uri"], how="left_semi").select(schemas.LABELS.names)


def identify(labels: DataFrame, model_id: str, vocabulary_id: str) -> DataFrame:
    """LABELLED to schemas.LABELS: by which model and vocabulary."""
    of = F.lit(model_id).alias("model_id"), F.lit(vocabulary_id).alias("vocabulary_id")
    return labels.select("*", *of).select(schemas.LABELS.names)


def sort_labels(labels: DataFrame) -> DataFrame:
    """schemas.LABELS sorted by image_id and rank, so that a look-up by id reads few row groups."""
    return labels.repartitionByRange("image_id").sortWithinPartitions("image_id", "rank")


def write_labels(task: Task, carried: DataFrame, new: DataFrame) -> None:
    """Write both, and put into the details: images that have labels, and of those the ones labelled in this run.

    Args:
        new: schemas.LABELS, read twice: staged.

    Raises:
        AccountingError: some image has fewer rows than the others: each has the k best of the candidates.
    """
    counted, best = Observation("labels"), F.count(F.when(F.col("rank") == 1, 1)).alias("images")
    n_rows = task.write("labels", sort_labels(carried.unionByName(new)).observe(counted, best)).rows
    n_images = counted.get["images"]
    added = new.agg(best, F.count("*").alias("rows")).collect()[0]
    width = n_rows // max(1, n_images)
    if (n_rows, added.rows) != (width * n_images, width * added.images):
        raise AccountingError(
            f"{n_rows} label rows of {n_images} images, {added.rows} of {added.images} new, wanted as many an image"
        )
    task.details |= {"n_images": n_images, "labelled": added.images}
    say("label_images", f"{added.images:,} images labelled, {n_images - added.images:,} carried from the run before")
