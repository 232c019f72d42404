"""Vectors as Arrow columns and back, without a Python object a number; knows no table."""

from typing import Any

import pyarrow as pa

from devise.errors import VectorError


def vector_column(vectors_ND: Any, valid_N: Any) -> pa.ListArray:
    """Rows of one flat buffer as list<float>, or list<int> of whole numbers, null where not valid.

    No Python object a number.
    """
    import numpy as np

    n, dim = vectors_ND.shape
    kept = np.ascontiguousarray(vectors_ND[valid_N], dtype=np.int32 if vectors_ND.dtype.kind == "i" else np.float32)
    offsets = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(valid_N * dim, out=offsets[1:])
    return pa.ListArray.from_arrays(offsets, pa.array(kept.reshape(-1)), mask=pa.array(~valid_N))


def class_columns(class_id_NT: Any, probability_NT: Any, valid_N: Any) -> list[pa.Array]:
    """class_ids and class_probabilities, null where not valid, and all of them where the model knows no classes."""
    if class_id_NT is None:
        return [pa.nulls(len(valid_N), pa.list_(kind)) for kind in (pa.int32(), pa.float32())]
    return [vector_column(class_id_NT, valid_N), vector_column(probability_NT, valid_N)]


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


def classes(batch: pa.RecordBatch) -> "tuple[object, object] | tuple[None, None]":
    """class_ids and class_probabilities as arrays (N, T), int32 and float32; None where the model knows no classes."""
    import numpy as np

    ids, probabilities = batch.column("class_ids"), batch.column("class_probabilities")
    if ids.null_count:
        return None, None
    shape = len(ids), -1
    return (
        ids.flatten().to_numpy(zero_copy_only=False).astype(np.int32, copy=False).reshape(shape),
        probabilities.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False).reshape(shape),
    )
