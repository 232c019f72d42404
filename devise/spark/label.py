"""The label stage: every embedding's nearest words, exactly; the mathematics is `devise.zeroshot`."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise import manifest
from devise.config import LabelConfig
from devise.errors import AccountingError, VectorError
from devise.manifest import Manifest
from devise.spark import schemas, tables
from devise.spark.job import Task, say
from devise.spark.metering import counted

LABELLED = StructType(schemas.LABELS.fields[:6])


def live_embeddings(images: DataFrame, embeddings: DataFrame) -> DataFrame:
    """The embeddings whose (image_id, etag) is in the run's images: those of removed or changed images stay behind."""
    return keep_live(images, embeddings).select(schemas.EMBEDDINGS.names)


def keep_live(images: DataFrame, rows: DataFrame) -> DataFrame:
    """The rows whose (image_id, etag) is among the images', their columns in no certain order."""
    return rows.join(images.select("image_id", "etag"), on=["image_id", "etag"], how="left_semi")


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

        from devise import vocabulary as vocabularies
        from devise.zeroshot import top_labels

        known = vocabularies.load(manifest.localise(warehouse, vocabulary))
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


def carried_labels(task: Task) -> DataFrame:
    """The rows of the run before (schemas.LABELS) that hold tonight: of images with the same uri and etag as then.

    None, where the model, the vocabulary or the settings were others, or that night's images are no longer there.
    """
    before = task.inputs["labels"][-1] if task.inputs["labels"] else None
    of = (task.model_id, task.vocabulary_id, task.config.config_hash())
    if before is None or (before.model_id, before.vocabulary_id, before.config_hash) != of:
        return task.spark.createDataFrame([], schemas.LABELS)
    listed = manifest.find(task.config.warehouse, "images", before.inputs["images"][0].split()[0])
    if listed is None:
        return task.spark.createDataFrame([], schemas.LABELS)
    content = ["image_id", "uri", "etag"]
    images_before = tables.read(task.spark, task.config.warehouse, [listed], schemas.IMAGES).select(content)
    same = task.read("images").join(images_before, on=content, how="left_semi").select("image_id", "uri")
    return task.read("labels").join(same, on=["image_id", "uri"], how="left_semi").select(schemas.LABELS.names)


def identify(labels: DataFrame, model_id: str, vocabulary_id: str) -> DataFrame:
    """LABELLED to schemas.LABELS: by which model and vocabulary."""
    of = F.lit(model_id).alias("model_id"), F.lit(vocabulary_id).alias("vocabulary_id")
    return labels.select("*", *of).select(schemas.LABELS.names)


def sort_labels(labels: DataFrame) -> DataFrame:
    """schemas.LABELS sorted by image_id and rank, so that a look-up by id reads few row groups."""
    return labels.repartitionByRange("image_id").sortWithinPartitions("image_id", "rank")


def count(task: Task, n_rows: int, n_new: int) -> None:
    """Into the details: images that have labels, and of those the ones labelled in this run.

    Raises:
        AccountingError: some image has fewer rows than the others: each has the k best of the candidates.
    """
    config: LabelConfig = task.config
    n_labels = len(config.candidates) if config.candidates else task.input("vocabulary").rows
    width = min(config.k, n_labels)
    if n_rows % width or n_new % width:
        raise AccountingError(f"{n_rows} label rows, {n_new} of them new, wanted {width} an image")
    task.details |= {"n_images": n_rows // width, "labelled": n_new // width}
    say(
        "label_images", f"{n_new // width:,} images labelled, {(n_rows - n_new) // width:,} carried from the run before"
    )


def refuse_other_dims(n_embedding: int, n_vocabulary: int) -> None:
    """`VectorError` unless embeddings and vocabulary are of one dimension."""
    if n_embedding != n_vocabulary:
        raise VectorError(
            f"embeddings have {n_embedding} dims, the vocabulary's vectors {n_vocabulary}: a vocabulary of another "
            "dimension needs a model trained on it (train_model)"
        )


def vectors(column: pa.ListArray) -> "object":
    """A list<float> column without nulls as a float32 array (N, D), without a copy where Arrow allows."""
    import numpy as np

    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(len(column), -1)
