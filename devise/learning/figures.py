"""Figures of a split out of one row of sums a label: by image and by label, by relation, beside chance; numpy only.

Shape letters: C labels that have images, R list lengths, M columns, B replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from devise.learning.intervals import LEAST_LABELS, clustered, percentiles, resample, share_of
from devise.learning.metrics import harmonic_mean
from devise.learning.relations import RELATIONS


class Figure(NamedTuple):
    """A row of the metrics table but for what it was measured on: 95 % interval, images that it is a mean over."""

    name: str
    k: int
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class LabelSums:
    """What the images of each label add up to, a row a label.

    Attributes:
        label_id_C: the true label. n_C: its images.
        hits_CR, shuffled_CR: of them with a true label among the first k, and the same under shuffled names.
        hp_CR, n_hp_C: sum of hierarchical precisions, over so many images that have one.
        sizes_CR: sum of the sizes of their correct sets.
        chance_CR: sum of the probabilities of a blind hit.
    """

    label_id_C: np.ndarray
    n_C: np.ndarray
    hits_CR: np.ndarray
    shuffled_CR: np.ndarray
    hp_CR: np.ndarray
    n_hp_C: np.ndarray
    sizes_CR: np.ndarray
    chance_CR: np.ndarray

    def of(self, chosen_C: np.ndarray) -> "LabelSums":
        """Only some of the labels."""
        return LabelSums(**{name: column[chosen_C] for name, column in vars(self).items()})

    def at(self, columns: Sequence[int]) -> "LabelSums":
        """Only some of the list lengths."""
        return LabelSums(
            **{name: column[:, columns] if column.ndim == 2 else column for name, column in vars(self).items()}
        )


def figures(sums: LabelSums, ks: Sequence[int], relation_C: Sequence[str | None], seed: int) -> list[Figure]:
    """All figures of a split, for each of `ks` (ascending, as the columns are).

    hit, hp: means over images. hit_macro, hp_macro: means over labels, each the mean of its images. hit_chance: exact,
    so its interval is itself. hit_shuffled: the model's own predictions, had the candidates each other's names.
    hit_seen, hp_seen, hit_ancestor ...: over images whose label has that relation to the seen classes.

    Args:
        relation_C: of each label, one of RELATIONS or None; where all are None there are no rows of relations.
    """
    found = _means("hit", sums.hits_CR, sums.n_C, ks, seed)
    found += _macro("hit_macro", sums.hits_CR, sums.n_C, ks, seed)
    n_images = int(sums.n_C.sum())
    for column, k in enumerate(ks):
        chance = float(sums.chance_CR[:, column].sum() / n_images)
        found.append(Figure("hit_chance", k, chance, chance, chance, n_images))
    found += _means("hit_shuffled", sums.shuffled_CR, sums.n_C, ks, seed)
    found += _means("hp", sums.hp_CR, sums.n_hp_C, ks, seed)
    found += _macro("hp_macro", sums.hp_CR, sums.n_hp_C, ks, seed)
    for relation in RELATIONS:
        chosen_C = np.array([own == relation for own in relation_C], dtype=bool)
        own = sums.of(chosen_C)
        found += _means(f"hit_{relation}", own.hits_CR, own.n_C, ks, seed)
        found += _means(f"hp_{relation}", own.hp_CR, own.n_hp_C, ks, seed)
    return found


def generalised(seen: LabelSums, zero_shot: LabelSums, ks: Sequence[int], seed: int) -> list[Figure]:
    """Accuracy of seen and of zero-shot images among the labels of both, and the harmonic mean (Xian et al. 2017).

    As there, accuracies are means over labels. The harmonic mean's interval draws labels on either side.
    """
    parts = [
        _macro(f"generalised_{name}", sums.hits_CR, sums.n_C, ks, seed)
        for name, sums in (("seen", seen), ("zero_shot", zero_shot))
    ]
    draws = [
        resample(sums.hits_CR / sums.n_C[:, None], seed + side) / len(sums.n_C)
        for side, sums in enumerate((seen, zero_shot))
    ]
    found = [*parts[0], *parts[1]]
    for column, (one, other) in enumerate(zip(*parts, strict=True)):
        value = harmonic_mean(one.value, other.value)
        if min(len(seen.n_C), len(zero_shot.n_C)) < LEAST_LABELS or value == 0:
            low, high = harmonic_mean(one.low, other.low), harmonic_mean(one.high, other.high)
        else:
            pairs = zip(draws[0][:, column], draws[1][:, column], strict=True)
            low, high = percentiles(np.array([harmonic_mean(*pair) for pair in pairs]), value)
        found.append(Figure("generalised_harmonic", one.k, value, low, high, one.n + other.n))
    return found


def mean_sizes(sums: LabelSums, ks: Sequence[int]) -> dict[str, float]:
    """k -> mean size of the correct sets of a split's images (DeViSE, appendix, Table 5); empty without a hierarchy."""
    total = sums.n_hp_C.sum()
    return {str(k): float(sums.sizes_CR[:, column].sum() / total) for column, k in enumerate(ks) if total}


def _means(name: str, sums_CR: np.ndarray, n_C: np.ndarray, ks: Sequence[int], seed: int) -> list[Figure]:
    """Means over images; none where there are none."""
    kept_C = n_C > 0
    return _shares(name, sums_CR[kept_C], n_C[kept_C], int(n_C.sum()), ks, seed)


def _macro(name: str, sums_CR: np.ndarray, n_C: np.ndarray, ks: Sequence[int], seed: int) -> list[Figure]:
    """Means over labels of the means of their images."""
    kept_C = n_C > 0
    share_CR = sums_CR[kept_C] / n_C[kept_C][:, None]
    return _shares(name, share_CR, np.ones(len(share_CR)), int(n_C.sum()), ks, seed)


def _shares(
    name: str, sums_CR: np.ndarray, n_C: np.ndarray, n_images: int, ks: Sequence[int], seed: int
) -> list[Figure]:
    if len(n_C) == 0:
        return []
    value_R = sums_CR.sum(axis=0) / n_C.sum()
    return [
        Figure(name, k, share_of(value), *ends, n_images)
        for k, value, ends in zip(ks, value_R, clustered(sums_CR, n_C, seed), strict=True)
    ]
