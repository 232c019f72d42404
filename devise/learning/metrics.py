"""hit@k, hp@k, recall@k, what chance gives, and Wilson's interval; numpy only, knows no models and no tables.

Shape letters: N images, Q queries, K predictions.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np

TIE = 1e-6
"""Scores closer than this are one score: two orders of summation differ by about as much."""


def hit_at_k(predicted_NK: np.ndarray, truth_N: np.ndarray | Sequence[Collection[int]], k: int) -> float:
    """Share of images, 0 to 1, whose true label is among the first `k` predictions (DeViSE, section 4).

    Args:
        predicted_NK: integer label ids, best first, no repeats within a row.
        truth_N: the one true label id of each image, or all true ones of each: any of them is a hit.
        k: 1 to K.

    Raises:
        ValueError: shapes disagree, there are no images, or `k` is out of range.
    """
    _check(predicted_NK, len(truth_N), k)
    if isinstance(truth_N, np.ndarray) and truth_N.ndim == 1:
        return float((predicted_NK[:, :k] == truth_N[:, None]).any(axis=1).mean())
    return float(np.mean([np.isin(row[:k], list(own)).any() for row, own in zip(predicted_NK, truth_N, strict=True)]))


def hp_at_k(predicted_NK: np.ndarray, correct_sets: Sequence[Collection[int]], k: int) -> float:
    """Hierarchical precision: mean share of the first `k` predictions inside the correct set (DeViSE, section 4).

    Args:
        correct_sets: of each image, the labels that count as right at this k: `synsets.Hierarchy.correct_set`.

    Raises:
        ValueError: shapes disagree, there are no images, or `k` is out of range.
    """
    _check(predicted_NK, len(correct_sets), k)
    right = [np.isin(row[:k], list(own)).sum() / k for row, own in zip(predicted_NK, correct_sets, strict=True)]
    return float(np.mean(right))


def recall_at_k(
    found_QK: np.ndarray, found_score_QK: np.ndarray, exact_QM: np.ndarray, exact_score_QM: np.ndarray, k: int
) -> float:
    """Overlap, 0 to 1, of approximate with exact search over the first `k`; about the index only, never the model.

    A neighbour beyond the first k of exact search that scores as well as the k-th is a tie and counts as found. Its
    score is the exact one as long as the exact list (M of k or more) reaches beyond the ties; only then is the found
    score taken for it, which a compressed index overstates. Places that exact search leaves empty (id -1) are not
    asked for.

    Raises:
        ValueError: shapes disagree, there are no queries, or `k` is out of range.
    """
    _check(found_QK, len(exact_QM), k)
    _check(exact_QM, len(found_QK), k)
    wanted = found = 0
    for row in range(len(exact_QM)):
        known = exact_QM[row] >= 0
        exact, exact_scores = exact_QM[row][known], exact_score_QM[row][known]
        n_exact = min(k, len(exact))
        if n_exact == 0:
            continue
        ids, least = found_QK[row, :k], exact_scores[n_exact - 1] - TIE
        good = np.isin(ids, exact[exact_scores >= least])
        if known.all() and exact_scores[-1] >= least:
            good |= found_score_QK[row, :k] >= least
        wanted += n_exact
        found += min(n_exact, int((good & (ids >= 0)).sum()))
    return found / wanted if wanted else 1.0


def chance_at_k(n_true: int, n_candidates: int, k: int) -> float:
    """Probability that one of an image's `n_true` labels is among `k` of the candidates drawn blindly; exact.

    k / candidates for one true label. A list longer than the candidates holds them all. An image whose labels are no
    candidates (`n_true` 0) has none.

    Raises:
        ValueError: no candidates, k below 1, or more true labels than candidates.
    """
    if n_candidates < 1 or k < 1 or not 0 <= n_true <= n_candidates:
        raise ValueError(f"{n_true} true of {n_candidates} candidates, k {k}: wanted a candidate and k of 1 or more")
    k = min(k, n_candidates)
    return 1.0 - math.comb(n_candidates - n_true, k) / math.comb(n_candidates, k)


def harmonic_mean(seen: float, zero_shot: float) -> float:
    """2ab / (a + b) of two shares, 0 if both are: generalised zero-shot accuracy (Xian et al. 2017, section 4)."""
    return 2 * seen * zero_shot / (seen + zero_shot) if seen + zero_shot > 0 else 0.0


def interval(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share measured on `n` independent trials; also sound at 0 and 1.

    Raises:
        ValueError: no trials, or a share outside 0 to 1.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"share {share} of {n} trials: wanted 0 to 1 and at least one")
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def _check(predicted_NK: np.ndarray, n: int, k: int) -> None:
    if len(predicted_NK) != n or n == 0 or not 1 <= k <= predicted_NK.shape[1]:
        raise ValueError(f"predictions {predicted_NK.shape}, {n} truths, k {k}: wanted as many, some, and k in 1 to K")
