"""Protocols Z and S on features of real photographs, beside reference figures; reads no files, knows no Spark.

Shape letters: N images, F features, D dims, C classes of the core visual model's classifier, V vocabulary,
K predictions.
Z is zero-shot: the nouns ranked are no target of anything that training saw. S is seen: they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from devise.config import TrainConfig
from devise.learning.choosing import TrainingSet
from devise.learning.fitting import fit_projection, guard_classes
from devise.learning.metrics import hit_at_k
from devise.learning.train import fit_ridge
from devise.search.zeroshot import top_labels
from devise.vision.model import convex_projection
from devise.vision.networks import Core
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary

KS = (1, 5, 10, 20)
Z_PENALTY = 3000.0
Project = Callable[[np.ndarray], np.ndarray]
"""features_NF -> embedding_ND, not yet unit."""
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Project]
"""(features_NF, label rows_N, label_ids_L, seed) -> the projection fitted to them."""


@dataclass(frozen=True)
class Row:
    """One line of a protocol's table: hit@1, 5, 10, 20 in percent, the reference's beside ours (None: none stated)."""

    protocol: str
    method: str
    candidates: str
    hits: tuple[float, ...]
    reference: tuple[float | None, ...]

    def __str__(self) -> str:
        ours = "".join(f"{hit:7.1f}" for hit in self.hits)
        theirs = "".join(f"{'-':>7}" if hit is None else f"{hit:7.1f}" for hit in self.reference)
        return f"{self.protocol}  {self.method:<58} {self.candidates:<10} {ours}  |{theirs}"

    def worst_gap(self) -> float:
        """Largest distance from the reference in points; 0 where there is none."""
        return max((abs(a - b) for a, b in zip(self.hits, self.reference, strict=True) if b is not None), default=0.0)


CONSE, LABELLED = "ConSE, a class's first known name", "ridge, one labelled image a class"
CENTRED = "ridge, one labelled image a class, words centred"
UNLABELLED, SENSES = "ridge onto ConSE targets, other images", "ConSE, senses told apart (the night before)"
CORPUS = "ridge onto ConSE targets, the whole corpus"
NONE = (None,) * len(KS)
REFERENCE = {
    ("Z", CONSE, "own nouns"): (34.6, 63.7, 74.9, 85.1),
    ("Z", CONSE, "vocabulary"): (None, 7.8, 12.6, 18.5),
    ("Z", CENTRED, "own nouns"): (27.6, 61.8, 77.6, 91.3),
    ("Z", CENTRED, "vocabulary"): (None, 2.6, 4.3, 7.6),
    ("Z", UNLABELLED, "own nouns"): (28.3, 62.8, 79.6, 91.4),
    ("Z", UNLABELLED, "vocabulary"): (None, 3.1, 6.5, 11.2),
    ("S", "ridge, penalty 300", "vocabulary"): (84.9, 91.4, 93.0, 93.9),
    ("S", "ridge, penalty 3000", "vocabulary"): (83.6, 91.2, 93.3, 94.4),
}


def hits(embedding_ND: np.ndarray, truth_N: np.ndarray, vectors_VD: np.ndarray, candidates: np.ndarray | None):
    """hit@k in percent for each of KS, of embeddings of any length but 0."""
    length_N1 = np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    unit_ND = (embedding_ND / np.maximum(length_N1, 1e-12)).astype(np.float32)
    predicted_NK, _ = top_labels(unit_ND, vectors_VD, max(KS), candidates)
    return tuple(100 * hit_at_k(predicted_NK, truth_N, k) for k in KS)


def protocol_z(
    corpus_NF: np.ndarray,
    folders: Sequence[str],
    zero_shot: dict[str, int],
    photograph_CF: np.ndarray,
    classifier: nn.Linear,
    classes: ClassVectors,
    plain_CD: np.ndarray,
    labels: Sequence[str],
    vectors_VD: np.ndarray,
    temperature: float = 1.0,
    top_t: int = 10,
) -> list[Row]:
    """Zero-shot labels of the corpus's `zero_shot` folders, by methods that see no label of any of them.

    Args:
        corpus_NF, folders: features and class folder of every image of the corpus.
        zero_shot: folder -> label id.
        photograph_CF: features of one labelled photograph a class of the classifier, in its order.
        classes: those of the classifier, their senses told apart.
        plain_CD: their vectors as the reference has them: the first name that is a noun, else a row of NaN.
            Of both, a class that names a zero-shot noun is dropped.
        labels, vectors_VD: the vocabulary.
    """
    nouns_V = np.array(sorted(set(zero_shot.values())))
    held_out = [labels[label] for label in nouns_V]
    plain_CD = guard_classes(replace(classes, vectors_CD=plain_CD), held_out, print)
    class_vectors_CD = guard_classes(classes, held_out, print)
    plain_C, usable_C = (np.isfinite(vectors_CD).all(axis=1) for vectors_CD in (plain_CD, class_vectors_CD))
    conse = as_function(convex_projection(classifier, plain_CD, temperature, top_t))
    own = as_function(convex_projection(classifier, class_vectors_CD, temperature, top_t))

    tested_N = np.array([folder in zero_shot for folder in folders])
    truth_N = np.array([zero_shot[folder] for folder in folders if folder in zero_shot])
    others_NF = np.concatenate([corpus_NF[~tested_N], photograph_CF])
    labelled = _ridge(photograph_CF[plain_C], plain_CD[plain_C], False)
    centred_VD = _unit(vectors_VD - vectors_VD.mean(axis=0)).astype(np.float32)
    methods = {
        CONSE: (conse, vectors_VD),
        CENTRED: (labelled, centred_VD),
        UNLABELLED: (_ridge(others_NF, _unit(conse(others_NF)), False), vectors_VD),
        LABELLED: (labelled, vectors_VD),
        SENSES: (own, vectors_VD),
        CORPUS: (_ridge(corpus_NF, _unit(own(corpus_NF)), True), vectors_VD),
    }
    rows = []
    for method, (project, ranked_VD) in methods.items():
        embedding_ND = project(corpus_NF[tested_N])
        for name, candidates in (("own nouns", nouns_V), ("vocabulary", None)):
            found = hits(embedding_ND, truth_N, ranked_VD, candidates)
            rows.append(Row("Z", method, name, found, REFERENCE.get(("Z", method, name), NONE)))
    return rows


def protocol_s(
    features_NF: np.ndarray,
    folders: Sequence[str],
    nouns: dict[str, int],
    vectors_VD: np.ndarray,
    fits: dict[str, Fit],
    seeds: Sequence[int] = range(5),
) -> list[Row]:
    """Seen labels: 70 % of each folder's images train, the rest are labelled among the whole vocabulary; mean of seeds.

    Args:
        features_NF, folders: of the corpus; images of folders that `nouns` does not name are left out.
        nouns: folder -> label id.
        fits: method -> how it is fitted; see `ridge` and `gradient`.
    """
    used = np.array([row for row, folder in enumerate(folders) if folder in nouns])
    folder_N = np.asarray(folders)[used]
    label_ids, label_row_N = np.unique([nouns[folder] for folder in folder_N], return_inverse=True)
    rows = []
    for method, fit in fits.items():
        found = []
        for seed in seeds:
            train_N = seventy_percent(folder_N, seed)
            features_BF = features_NF[used[train_N]]
            project = fit(features_BF, label_row_N[train_N], label_ids, seed)
            tested = used[~train_N]
            found.append(hits(project(features_NF[tested]), label_ids[label_row_N[~train_N]], vectors_VD, None))
        mean = tuple(np.mean(found, axis=0).tolist())
        rows.append(Row("S", method, "vocabulary", mean, REFERENCE.get(("S", method, "vocabulary"), NONE)))
    return rows


def seventy_percent(folder_N: np.ndarray, seed: int) -> np.ndarray:
    """bool (N,): the training images, 70 % of each folder (rounded), drawn folder by folder in name order."""
    generator = np.random.default_rng(seed)
    train_N = np.zeros(len(folder_N), dtype=bool)
    for folder in np.unique(folder_N):
        own = generator.permutation(np.flatnonzero(folder_N == folder))
        train_N[own[: round(0.7 * len(own))]] = True
    return train_N


def ridge(penalty: float, vectors_VD: np.ndarray) -> Fit:
    def fit(features_NF: np.ndarray, label_row_N: np.ndarray, label_ids_L: np.ndarray, seed: int) -> Project:
        return _ridge(features_NF, vectors_VD[label_ids_L[label_row_N]], True, penalty)

    return fit


def as_trained(config: TrainConfig, core: Core, class_vectors_CD: np.ndarray, known: Vocabulary) -> Fit:
    """A projection as train_model makes it from these settings."""

    def fit(features_NF: np.ndarray, label_row_N: np.ndarray, label_ids_L: np.ndarray, seed: int) -> Project:
        rows_N = np.arange(len(features_NF))
        chosen = TrainingSet(rows_N, label_row_N[:, None].tolist(), known.vectors[label_ids_L], label_ids_L)
        seeded = config.model_copy(update={"seed": seed})
        projection, _ = fit_projection(
            seeded, core, class_vectors_CD, known, features_NF, rows_N, chosen, lambda line: None
        )
        return as_function(projection)

    return fit


def as_function(projection: nn.Module) -> Project:
    def project(features_NF: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return projection.eval()(torch.tensor(features_NF)).numpy()

    return project


def _ridge(features_NF: np.ndarray, targets_ND: np.ndarray, target_mean: bool, penalty: float = Z_PENALTY) -> Project:
    weight_FD, bias_D, _ = fit_ridge(features_NF, targets_ND, penalty, target_mean)
    return lambda features_NF: features_NF @ weight_FD + bias_D


def _unit(rows_ND: np.ndarray) -> np.ndarray:
    return rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-12)
