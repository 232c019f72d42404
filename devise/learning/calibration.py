"""Fits how sure an answer is, and measures it: curves of coverage and accuracy, reliability; no networks, no files.

Shape letters: N images, K labels, T classes, M pairs of an image and a node, B bins.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from devise.errors import TrainingError
from devise.search.calibrated import Calibration, Masses
from devise.search.hedging import Nodes, Told

TEMPERATURES = (1.0, 2.0, 4.0)
LABEL_SHARES = (0.25, 0.5, 0.75)
"""What is tried: the likelihood is flat between them."""
TERMS = ("intercept", "log_odds", "certain", "specificity")
LEAST_IMAGES = 100
STEPS = 50
SETTLED = 1e-8
RIDGE = 1e-6
"""Of the mean likelihood: keeps a term finite that divides right from wrong without a fault."""


class Ranked(NamedTuple):
    """What is known of images: as `Nodes.masses` takes it."""

    label_id_NK: np.ndarray
    relevance_NK: np.ndarray
    class_id_NT: np.ndarray
    probability_NT: np.ndarray


def fit_calibration(
    nodes: Nodes,
    ranked: Ranked,
    truths: Sequence[Collection[str]],
    weight_N: np.ndarray,
    *,
    n_classes: int,
    protocol: str,
    model: str,
    vocabulary: str,
) -> Calibration:
    """The calibration under which the truths are likeliest; every image counts by its weight, whatever its nodes.

    A calibration holds for pictures mixed as these are. Let each labelled picture be here twice: ranked by a model that
    does not know its class (the class is left out of the softmax, of the rows and of the seen labels), with weight 2,
    and by the model as it is, with weight 1. Of the first alone no class that was seen could ever be right, and of the
    second alone the classifier would be believed where it has never been.

    Args:
        truths: the synsets that are true of each image; their ancestors are true of it too.
        weight_N: at least 0.
        n_classes, protocol, model, vocabulary: kept with it.

    Raises:
        TrainingError: fewer than LEAST_IMAGES images of any weight, or every node is right, or none.
        ValueError: shapes disagree.
    """
    n_images = len(ranked.label_id_NK)
    if len(truths) != n_images or weight_N.shape != (n_images,) or (weight_N < 0).any():
        raise ValueError(f"{n_images} images, {len(truths)} truths, weights {weight_N.shape}: wanted as many, >= 0")
    if (n_used := int((weight_N > 0).sum())) < LEAST_IMAGES:
        raise TrainingError(f"found {n_used} labelled images to calibrate by, wanted at least {LEAST_IMAGES}")
    kept = dict(n_images=n_images, n_classes=n_classes, protocol=protocol, model=model, vocabulary=vocabulary)
    best: tuple[float, Calibration] | None = None
    for temperature in TEMPERATURES:
        masses = _tellable(nodes, nodes.masses(*ranked, temperature))
        specificity_M = nodes.specificity_S[masses.node]
        right_M = is_right(nodes, masses.image, masses.node, truths)
        if right_M.all() or not right_M.any():
            raise TrainingError(
                f"found {int(right_M.sum())} right nodes of {len(right_M)} to calibrate by, wanted some right and some "
                "wrong"
            )
        weight_M = _by_image(masses, weight_N)
        for label_share in LABEL_SHARES:
            fixed = dict(kept, temperature=temperature, label_share=label_share)
            terms_M4 = Calibration(**fixed, **dict.fromkeys(TERMS, 0.0)).features(masses, specificity_M)
            loss, terms = _fit_rising(terms_M4, right_M, weight_M)
            if best is None or loss < best[0]:
                best = loss, Calibration(**fixed, **dict(zip(TERMS, map(float, terms), strict=True)))
    return best[1]


def is_right(nodes: Nodes, image_M: np.ndarray, node_M: np.ndarray, truths: Sequence[Collection[str]]) -> np.ndarray:
    """bool (M,): whether a node is a true synset of its image, or an ancestor of one. Node -1 is never right."""
    true = [nodes.at_or_above(list(one)) for one in truths]
    n_nodes = len(nodes.synsets)
    keys = np.concatenate([own + image * n_nodes for image, own in enumerate(true)] or [np.empty(0, np.int64)])
    return np.isin(np.asarray(image_M, np.int64) * n_nodes + node_M, keys) & (np.asarray(node_M) >= 0)


def _tellable(nodes: Nodes, masses: Masses) -> Masses:
    """Without the nodes that tell nothing: the root, and synsets of classes that no label is at or below."""
    kept_M = nodes.specificity_S[masses.node] > 0
    return masses._replace(**{name: getattr(masses, name)[kept_M] for name in masses._fields if name != "total_N"})


def _by_image(masses: Masses, weight_N: np.ndarray) -> np.ndarray:
    """float64 (M,), sum 1: an image's weight, divided among its nodes."""
    counts_N = np.bincount(masses.image, minlength=len(weight_N))
    weight_M = (weight_N / np.maximum(counts_N, 1))[masses.image]
    return weight_M / weight_M.sum()


def _fit_rising(terms_M4: np.ndarray, right_M: np.ndarray, weight_M: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and terms of a logistic; a term of the masses that would fall is left out (columns 1 and 2)."""
    columns = [0, 1, 2, 3]
    while True:
        loss, found = _fit_logistic(terms_M4[:, columns], right_M, weight_M)
        falling = [column for column, term in zip(columns, found, strict=True) if column in (1, 2) and term < 0]
        if not falling:
            terms = np.zeros(4)
            terms[columns] = found
            return loss, terms
        columns.remove(falling[0])


def _fit_logistic(terms_MC: np.ndarray, right_M: np.ndarray, weight_M: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean loss (natural log) and terms, by Newton's method; a step that does not lower the loss is halved."""
    terms = np.zeros(terms_MC.shape[1])
    loss = _loss(terms_MC, right_M, weight_M, terms)
    for _ in range(STEPS):
        probability_M = 1 / (1 + np.exp(-(terms_MC @ terms)))
        slope = terms_MC.T @ (weight_M * (probability_M - right_M)) + RIDGE * terms
        bend = (terms_MC * (weight_M * probability_M * (1 - probability_M))[:, None]).T @ terms_MC
        step = np.linalg.solve(bend + RIDGE * np.eye(len(terms)), slope)
        while (tried := _loss(terms_MC, right_M, weight_M, terms - step)) > loss and np.abs(step).max() > SETTLED:
            step /= 2
        if tried > loss:
            break
        terms, loss = terms - step, tried
        if np.abs(step).max() < SETTLED:
            break
    return loss, terms


def _loss(terms_MC: np.ndarray, right_M: np.ndarray, weight_M: np.ndarray, terms: np.ndarray) -> float:
    score_M = terms_MC @ terms
    return float(weight_M @ (np.logaddexp(0, score_M) - right_M * score_M) + RIDGE / 2 * terms @ terms)


class Point(NamedTuple):
    """Answers at one target: share of images answered; of these the share that is right, and the mean specificity."""

    target: float
    coverage: float
    accuracy: float
    specificity: float


def measure_answers(nodes: Nodes, told: Told, truths: Sequence[Collection[str]], target: float) -> Point:
    """How many images were answered, how many rightly (the truth or an ancestor of it), and how specifically.

    Accuracy and specificity are NaN where nothing was answered.
    """
    answered = np.flatnonzero(told.node_N >= 0)
    right = is_right(nodes, answered, told.node_N[answered], truths)
    if len(answered) == 0:
        return Point(target, 0.0, float("nan"), float("nan"))
    specificity = nodes.specificity_S[told.node_N[answered]].mean()
    return Point(target, len(answered) / len(told.node_N), float(right.mean()), float(specificity))


def reliability(probability_M: np.ndarray, right_M: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, float]:
    """A reliability diagram and its expected calibration error (Guo et al. 2017, equation 3).

    Returns:
        float64 (B, 3): mean probability, share that is right, and how many, of bins of equal width; empty bins left
        out. And the error, 0 to 1: the mean gap of the two, by how many a bin holds.

    Raises:
        ValueError: shapes disagree, or nothing is there.
    """
    if probability_M.shape != right_M.shape or len(right_M) == 0:
        raise ValueError(f"probabilities {probability_M.shape}, right {right_M.shape}: wanted as many, and some")
    bin_M = np.minimum((probability_M * n_bins).astype(int), n_bins - 1)
    counts_B = np.bincount(bin_M, minlength=n_bins)
    used = counts_B > 0
    sums = [np.bincount(bin_M, values, n_bins)[used] for values in (probability_M, right_M.astype(float))]
    table = np.stack([sums[0] / counts_B[used], sums[1] / counts_B[used], counts_B[used]], axis=1)
    return table, float(np.abs(table[:, 0] - table[:, 1]) @ table[:, 2] / table[:, 2].sum())
