"""What the engine returns of some images, as rows of tables; decides nothing and writes nothing."""

from typing import TYPE_CHECKING

import pyarrow as pa

from devise.spark.frame import schemas
from devise.spark.frame.columns import class_columns, vector_column

if TYPE_CHECKING:
    from devise.vision.outcomes import Outcomes


def outcome_batch(outcomes: "Outcomes") -> pa.RecordBatch:
    """Outcomes as a batch of schemas.OUTCOMES."""
    valid_N = outcomes.kept_N
    columns = [
        pa.array([item.image_id for item in outcomes.items], pa.int64()),
        pa.array([item.uri for item in outcomes.items], pa.string()),
        pa.array([item.etag for item in outcomes.items], pa.string()),
        vector_column(outcomes.embedding_ND, valid_N),
        pa.array(outcomes.norm_N, pa.float32(), mask=~valid_N),
        pa.array(outcomes.width_N, pa.int32(), mask=~valid_N),
        pa.array(outcomes.height_N, pa.int32(), mask=~valid_N),
        *class_columns(*outcomes.classes, valid_N),
        pa.array(outcomes.codes, pa.string()),
        pa.array(outcomes.messages, pa.string()),
        pa.array(outcomes.attempts_N, pa.int32()),
    ]
    return schemas.record_batch(columns, schemas.OUTCOMES)


def split(outcomes: "Outcomes", rows: list[int], attempts: dict[int, int], model_id: str) -> dict[str, pa.RecordBatch]:
    """These rows of some outcomes as batches of schemas.EMBEDDINGS, REJECTS and THUMBNAILS.

    Args:
        attempts: image_id -> attempts made before tonight.
    """
    import numpy as np

    kept = [row for row in rows if outcomes.codes[row] is None]
    lost = [row for row in rows if outcomes.codes[row] is not None]

    def identity(chosen: list[int]) -> list[pa.Array]:
        items = [outcomes.items[row] for row in chosen]
        return [
            pa.array([item.image_id for item in items], pa.int64()),
            pa.array([item.uri for item in items], pa.string()),
            pa.array([item.etag for item in items], pa.string()),
        ]

    embeddings = [
        *identity(kept),
        vector_column(outcomes.embedding_ND[kept], np.ones(len(kept), dtype=bool)),
        pa.array(outcomes.norm_N[kept], pa.float32()),
        pa.array(outcomes.width_N[kept], pa.int32()),
        pa.array(outcomes.height_N[kept], pa.int32()),
        *(column.take(pa.array(kept, pa.int64())) for column in class_columns(*outcomes.classes, outcomes.kept_N)),
        pa.array([model_id] * len(kept), pa.string()),
    ]
    made = [int(outcomes.attempts_N[row]) + attempts.get(outcomes.items[row].image_id, 0) for row in lost]
    rejects = [
        *identity(lost),
        pa.array([outcomes.codes[row] for row in lost], pa.string()),
        pa.array([outcomes.messages[row] for row in lost], pa.string()),
        pa.array(made, pa.int32()),
        pa.array([model_id] * len(lost), pa.string()),
    ]
    small = [(outcomes.items[row], found) for row in kept if (found := outcomes.thumbnails[row]) is not None]
    thumbnails = [
        pa.array([item.image_id for item, _ in small], pa.int64()),
        pa.array([item.etag for item, _ in small], pa.string()),
        pa.array([found.webp for _, found in small], pa.binary()),
        pa.array([found.width for _, found in small], pa.int32()),
        pa.array([found.height for _, found in small], pa.int32()),
    ]
    found = {"embeddings": (kept, embeddings), "rejects": (lost, rejects), "thumbnails": (small, thumbnails)}
    return {
        table: schemas.record_batch(columns, schemas.TABLES[table]) for table, (some, columns) in found.items() if some
    }
