"""The label stage: every embedding's nearest words, exactly; the mathematics is `devise.zeroshot`."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise import manifest
from devise.errors import AccountingError, VectorError
from devise.manifest import Manifest
from devise.spark import schemas

LABELLED = StructType(schemas.LABELS.fields[:6])


def live_embeddings(images: DataFrame, embeddings: DataFrame) -> DataFrame:
    """The embeddings whose (image_id, etag) is in the run's images: those of removed or changed images stay behind."""
    return embeddings.join(images.select("image_id", "etag"), on=["image_id", "etag"], how="left_semi").select(
        schemas.EMBEDDINGS.names
    )


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

    return embeddings.select("image_id", "uri", "embedding").mapInArrow(rank, LABELLED)


def sort_labels(labels: DataFrame, model_id: str, vocabulary_id: str) -> DataFrame:
    """schemas.LABELS sorted by image_id and rank, so that a look-up by id reads few row groups."""
    return (
        labels.select("*", F.lit(model_id).alias("model_id"), F.lit(vocabulary_id).alias("vocabulary_id"))
        .repartitionByRange("image_id")
        .sortWithinPartitions("image_id", "rank")
        .select(schemas.LABELS.names)
    )


def count_labelled(n_rows: int, k: int, n_labels: int) -> int:
    """Images that `n_rows` label rows stand for: each has the k best of `n_labels`.

    Raises:
        AccountingError: some image has fewer rows than the others.
    """
    width = min(k, n_labels)
    if n_rows % width:
        raise AccountingError(f"{n_rows} label rows, wanted {width} an image")
    return n_rows // width


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
