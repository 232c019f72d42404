"""Vectors as Arrow columns and back, without a Python object a number; knows no table."""

from typing import Any

import pyarrow as pa

from devise.errors import VectorError


def vector_column(vectors_ND: Any, valid_N: Any) -> pa.ListArray:
    """Rows of one flat float32 buffer as list<float>, null where not valid: no Python object a number."""
    import numpy as np

    n, dim = vectors_ND.shape
    kept = np.ascontiguousarray(vectors_ND[valid_N], dtype=np.float32)
    offsets = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(valid_N * dim, out=offsets[1:])
    return pa.ListArray.from_arrays(offsets, pa.array(kept.reshape(-1)), mask=pa.array(~valid_N))


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
