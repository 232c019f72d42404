"""Embeddings -> labels, exactly; knows no tables, no files and no index.

Shape letters: N images, K predictions, D dims, V vocabulary.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch

BLOCK_ROWS = 512
"""Images a matrix product: 512 x 80,000 scores are 164 MB. Always this many (the last block is padded), so that an
image's scores have the same bits whatever batch it came in."""
FAN = 16
"""Scores a group, and groups a group of groups, of which only the largest is looked at first."""


def top_labels(
    embedding_ND: np.ndarray,
    vectors_VD: np.ndarray,
    k: int,
    candidates: np.ndarray | None = None,
    adjust: Callable[[np.ndarray, slice], None] | None = None,
    memory_BW: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k labels of each image with the largest product of vectors, best first: label_id_NK int32, score_NK float32.

    Exact: one matrix product a block over all labels. Equal scores are in order of label id. K is `k`, or the number of
    candidates if that is less. Uses torch's threads.

    Args:
        embedding_ND, vectors_VD: float32 rows; row i of the vectors is label i. The products of unit rows are cosines.
        candidates: label ids to choose from; None for all.
        adjust: called with the products of some images, a column a candidate, and which images they are, before the
            best are chosen; it changes them in place.
        memory_BW: `score_memory` of as many labels, where calls are many; None takes a fresh one.

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
    scores_BW = score_memory(len(chosen)) if memory_BW is None else memory_BW
    scores_BW[:, len(chosen) :] = -np.inf
    products_BV = scores_BW[:, : len(chosen)]
    block_BD = np.zeros((BLOCK_ROWS, embedding_ND.shape[1]), dtype=np.float32)
    for start in range(0, len(embedding_ND), BLOCK_ROWS):
        part = slice(start, min(start + BLOCK_ROWS, len(embedding_ND)))
        n_rows = part.stop - start
        block_BD[:n_rows], block_BD[n_rows:] = embedding_ND[part], 0.0
        torch.mm(torch.from_numpy(block_BD), vectors_DV, out=torch.from_numpy(products_BV))
        if adjust is not None:
            adjust(products_BV[:n_rows], part)
        rows_BK, score_NK[part] = _best(scores_BW[:n_rows], len(chosen), k)
        label_id_NK[part] = chosen[rows_BK]
    return label_id_NK, score_NK


def score_memory(n_labels: int) -> np.ndarray:
    """Memory for a block's scores, float32 (B, W), W at least the labels; only one thread's at a time.

    The system finds its pages at the first use of each, which takes up to half as long as the product.
    """
    return np.empty((BLOCK_ROWS, -(-n_labels // FAN**2) * FAN**2), dtype=np.float32)


def _shared(vectors_VD: np.ndarray) -> torch.Tensor:
    """The array as a tensor on the same memory, only to be read: a vocabulary in Arrow's memory is not writable."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(vectors_VD)


def _best(scores_BW: np.ndarray, n_columns: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and scores of the k largest of each row, best first, ties by column; of the first `n_columns` columns."""
    top_BK, column_BK = (part.numpy() for part in _largest(torch.from_numpy(scores_BW), min(k + 1, n_columns)))
    equal_BK = top_BK[:, 1:] == top_BK[:, :-1]
    columns, scores = column_BK[:, :k], top_BK[:, :k]
    for row in np.flatnonzero(equal_BK.any(axis=1)):  # also a tie with the best that is not in: who is in, is by column
        (least,) = np.nonzero(scores_BW[row, :n_columns] >= scores[row, -1])
        columns[row] = least[np.argsort(-scores_BW[row, least], kind="stable")[:k]]
        scores[row] = scores_BW[row, columns[row]]
    return columns, scores


def _largest(scores_BW: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The n largest of each row and their columns, largest first.

    The n largest are in the n groups with the largest maxima; a pass for maxima is a tenth of a top-k's time.
    """
    width = scores_BW.shape[1]
    n_groups = width // FAN
    if width % FAN or n_groups < 2 * n:
        return scores_BW.topk(n, dim=1)
    # A group is every n_groups-th column: its maximum is that of whole rows, one with the other.
    _, group_BK = _largest(scores_BW.view(-1, FAN, n_groups).amax(dim=1), n)
    column_BM = (group_BK[:, :, None] + torch.arange(0, width, n_groups)).flatten(1)
    top_BK, place_BK = scores_BW.gather(1, column_BM).topk(n, dim=1)
    return top_BK, column_BM.gather(1, place_BK)
