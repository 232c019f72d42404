"""Embeddings -> labels, exactly; knows no tables, no files and no index.

Shape letters: N images, K predictions, D dims, V vocabulary.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch

BLOCK_ROWS = 256
"""Images a matrix product: 256 x 80,000 scores are 82 MB. Always this many (the last block is padded), so that an
image's scores have the same bits whatever batch it came in."""


def top_labels(
    embedding_ND: np.ndarray,
    vectors_VD: np.ndarray,
    k: int,
    candidates: np.ndarray | None = None,
    adjust: Callable[[np.ndarray, slice], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k labels of each image with the largest product of vectors, best first: label_id_NK int32, score_NK float32.

    Exact: one matrix product a block over all labels. Equal scores are in order of label id. K is `k`, or the number of
    candidates if that is less.

    Args:
        embedding_ND, vectors_VD: float32 rows; row i of the vectors is label i. The products of unit rows are cosines.
        candidates: label ids to choose from; None for all.
        adjust: called with the products of some images, a column a candidate, and which images they are, before the
            best are chosen; it changes them in place.

    Raises:
        ValueError: shapes disagree, `k` is below 1 or there is no candidate.
    """
    chosen = np.arange(len(vectors_VD)) if candidates is None else np.unique(candidates)
    if k < 1 or len(chosen) == 0 or embedding_ND.ndim != 2 or embedding_ND.shape[1] != vectors_VD.shape[1]:
        raise ValueError(
            f"embeddings {embedding_ND.shape}, vectors {vectors_VD.shape}, k {k}, {len(chosen)} candidates: "
            "wanted equal dims, k of at least 1 and a candidate"
        )
    k = min(k, len(chosen))
    vectors_DV = _shared(vectors_VD if candidates is None else vectors_VD[chosen]).T
    label_id_NK = np.empty((len(embedding_ND), k), dtype=np.int32)
    score_NK = np.empty((len(embedding_ND), k), dtype=np.float32)
    for start in range(0, len(embedding_ND), BLOCK_ROWS):
        part_BD = embedding_ND[start : start + BLOCK_ROWS]
        block_BD = torch.zeros((BLOCK_ROWS, embedding_ND.shape[1]))
        block_BD.numpy()[: len(part_BD)] = part_BD
        products_BV = torch.mm(block_BD, vectors_DV)[: len(part_BD)]
        if adjust is not None:
            adjust(products_BV.numpy(), slice(start, start + len(part_BD)))
        rows_BK, scores_BK = _best(products_BV, k)
        label_id_NK[start : start + len(part_BD)] = chosen[rows_BK]
        score_NK[start : start + len(part_BD)] = scores_BK
    return label_id_NK, score_NK


def _shared(vectors_VD: np.ndarray) -> torch.Tensor:
    """The array as a tensor on the same memory, only to be read: a vocabulary in Arrow's memory is not writable."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(vectors_VD)


def _best(scores_BV: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and scores of the k largest of each row, best first, ties by column."""
    top_BK, column_BK = scores_BV.topk(min(k + 1, scores_BV.shape[1]), dim=1)
    columns, scores = column_BK.numpy()[:, :k], top_BK.numpy()[:, :k]
    behind_B1 = top_BK.numpy()[:, k:]  # the best that is not in, if there is one
    tied_B = (behind_B1 == scores[:, -1:]).any(axis=1)
    order = np.lexsort((columns, -scores), axis=1)
    columns, scores = np.take_along_axis(columns, order, axis=1), np.take_along_axis(scores, order, axis=1)
    for row in np.flatnonzero(tied_B):  # a tie across the end of the list: which of them are in, is by column
        columns[row] = np.argsort(-scores_BV[row].numpy(), kind="stable")[:k]
        scores[row] = scores_BV[row].numpy()[columns[row]]
    return columns, scores
