"""Labelled pictures of the weights' own classes, ranked by a model that was made to forget them; and as it is.

What a model says of things that it never saw can be learned from things that it saw: their classes are left out of the
softmax, of the regression of rows and of the seen labels, a fifth of all at a time. No Spark, no files.
Shape letters: N images, F features, C classes, D dims, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from devise.config import TrainConfig
from devise.learning.calibration import Ranked, fit_calibration
from devise.learning.rows import add_rows
from devise.search.calibrated import Calibration
from devise.search.hedging import Nodes
from devise.search.labelling import CONSIDERED, make_nodes, make_ranker
from devise.vision.networks import Core
from devise.vision.projections import ConvexProjection, convex_projection
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary

FOLDS = 5
HIDDEN_WEIGHT, SHOWN_WEIGHT = 2.0, 1.0
"""A picture counts twice as one of an unknown thing, once as one of a known: a corpus has more of the first."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of known classes, by a model that forgot each one's class and by the model as it is.

    Attributes:
        rows_N: which of the given pictures they are. class_N, fold_N: of each its class, and the fold that hid it.
        hidden, shown: their best labels and classes.
    """

    rows_N: np.ndarray
    class_N: np.ndarray
    fold_N: np.ndarray
    hidden: Ranked
    shown: Ranked


@dataclass(frozen=True)
class Hiding:
    """What pictures are ranked with: a model's parts before its projection is made, and its vocabulary.

    Attributes:
        class_vectors_CD: as the projection starts from; a row of NaN for a class that is left out.
        card: of the model.
    """

    config: TrainConfig
    core: Core
    known: Vocabulary
    ancestry: Ancestry
    classes: ClassVectors
    class_vectors_CD: np.ndarray
    card: Mapping[str, Any]
    denied_V: np.ndarray

    def nodes(self) -> Nodes:
        return make_nodes(self.known, self.ancestry, self.card["class_synsets"], self.denied_V)

    def rank(self, features_NF: np.ndarray, texts: Sequence[Sequence[str]], seed: int = 0) -> Pictures:
        """The pictures whose texts name a class with a vector and a synset; the others are left out."""
        usable_C = np.isfinite(self.class_vectors_CD).all(axis=1)
        usable_C &= np.array([synset is not None for synset in self.classes.synsets])
        class_N = find_classes(texts, self.classes.texts)
        rows_N = np.flatnonzero((class_N >= 0) & usable_C[np.maximum(class_N, 0)])
        class_N = class_N[rows_N]
        fold_C = np.random.default_rng(seed).permutation(len(usable_C)) % FOLDS
        mean_F = features_NF.mean(axis=0, dtype=np.float64)
        parts: list[tuple[np.ndarray, Ranked]] = []
        for fold in range(FOLDS):
            own = np.flatnonzero(fold_C[class_N] == fold)
            parts.append((own, self._ranked(features_NF[rows_N[own]], mean_F, np.flatnonzero(fold_C == fold))))
        order = np.argsort(np.concatenate([own for own, _ in parts]), kind="stable")
        hidden = Ranked(*(np.concatenate(part)[order] for part in zip(*(found for _, found in parts), strict=True)))
        shown = self._ranked(features_NF[rows_N], mean_F, np.empty(0, np.int64))
        return Pictures(rows_N, class_N, fold_C[class_N], hidden, shown)

    def calibrate(self, pictures: Pictures, chosen: np.ndarray | None = None, **kept: Any) -> Calibration:
        """The calibration by these pictures, or the `chosen` rows of them.

        Args:
            kept: model, vocabulary: their ids.

        Raises:
            TrainingError: as `fit_calibration`.
        """
        chosen = np.arange(len(pictures.rows_N)) if chosen is None else chosen
        both = [Ranked(*(part[chosen] for part in side)) for side in (pictures.hidden, pictures.shown)]
        truths = [[self.classes.synsets[number]] for number in pictures.class_N[chosen]]
        return fit_calibration(
            self.nodes(),
            Ranked(*(np.concatenate(part) for part in zip(*both, strict=True))),
            [*truths, *truths],
            np.repeat([HIDDEN_WEIGHT, SHOWN_WEIGHT], len(chosen)),
            n_classes=len(np.unique(pictures.class_N[chosen])),
            protocol=f"classes hidden in {FOLDS} folds (weight {HIDDEN_WEIGHT:g}), and shown ({SHOWN_WEIGHT:g})",
            **kept,
        )

    def _ranked(self, features_NF: np.ndarray, mean_F: np.ndarray, hidden: np.ndarray) -> Ranked:
        names = {text for number in hidden for text in self.classes.texts[number]}
        forgotten_C = np.array([not names.isdisjoint(texts) for texts in self.classes.texts])
        vectors_CD = np.where(forgotten_C[:, None], np.float32(np.nan), self.class_vectors_CD)
        projection = self._projection(vectors_CD, mean_F)
        left = {name for name, gone in zip(self.classes.names, forgotten_C, strict=True) if gone}
        card = {**self.card, "seen": [name for name in self.card["seen"] if name not in left]}
        ranker = make_ranker(self.known, self.ancestry, card, None, np.flatnonzero(self.denied_V))
        with torch.inference_mode():
            found_ND, class_id_NT, probability_NT = projection.with_classes(torch.from_numpy(features_NF).float())
            embedding_ND = torch.nn.functional.normalize(found_ND, dim=1).numpy()
        classes = class_id_NT.numpy(), probability_NT.numpy()
        ranked = ranker.top(embedding_ND, *classes, CONSIDERED)
        return Ranked(ranked.label_id_NK, ranked.relevance_NK, *classes)

    def _projection(self, vectors_CD: np.ndarray, mean_F: np.ndarray) -> ConvexProjection:
        config = self.config
        projection = convex_projection(self.core.classifier, vectors_CD, config.temperature, config.top_t)
        if not config.rows_weight:
            return projection
        return add_rows(projection, self.known.vectors, mean_F, config.rows_lambda, config.rows_weight)


def find_classes(texts: Sequence[Sequence[str]], class_texts: Sequence[Sequence[str]]) -> np.ndarray:
    """int64 (N,): the class that shares most of an image's texts, of equal ones the first; -1 for none."""
    by_text: dict[str, list[int]] = {}
    for number, own in enumerate(class_texts):
        for text in dict.fromkeys(own):
            by_text.setdefault(text, []).append(number)
    found = np.full(len(texts), -1, dtype=np.int64)
    for row, own in enumerate(texts):
        shared = [number for text in dict.fromkeys(own) for number in by_text.get(text, ())]
        if shared:
            found[row] = max(sorted(set(shared)), key=shared.count)
    return found
