"""Which labels drift: what came tonight beside what stood before, a test a label, with few false alarms among all.

Knows no tables and no models. Shape letters: L labels.
"""

from typing import NamedTuple

import numpy as np

LEAST_FACTOR = 1.25
"""A share that is less than so many times the other is no drift, however sure: of a large night everything is sure."""
LEAST_IMAGES = 5
"""A label of fewer images, new and standing together, is not tested: no count of them could be told from chance."""


class Drift(NamedTuple):
    """What is known of each label.

    Attributes:
        factor_L: its share among what came, divided by its share among what stood, each with half an image more, so
            that it is never 0 or without end.
        chance_L: the least rate of false discoveries at which it would be called drift, 0 to 1; 1 if it was not tested.
        drifts_L: whether it is called drift: chance is at most the rate, and the factor far enough from 1.
    """

    factor_L: np.ndarray
    chance_L: np.ndarray
    drifts_L: np.ndarray


def compare(came_L: np.ndarray, stood_L: np.ndarray, n_came: int, n_stood: int, rate: float) -> Drift:
    """Two shares compared a label at a time, exactly, and all of them together by Benjamini and Hochberg (1995).

    Given how many images bear a label in all, the new ones among them are a binomial number (the conditional test of
    two rates; Przyborowski and Wilenski 1940); twice its smaller tail. Of labels that many images bear it errs to the
    side of no drift. Images are taken as independent: of a night that brings one album, the album is the drift.

    Args:
        came_L, stood_L: images with the label, of the new ones and of the others; n_came, n_stood: all of these.
        rate: of the labels called drift, the share that may be chance.

    Raises:
        ValueError: nothing came, nothing stood, or a label has more images than there are.
    """
    if min(n_came, n_stood) < 1 or (came_L > n_came).any() or (stood_L > n_stood).any():
        raise ValueError(f"{n_came} images came and {n_stood} stood, wanted one at least, and no label with more")
    from scipy.special import bdtr, bdtrc

    total_L, share = came_L + stood_L, n_came / (n_came + n_stood)
    below_L = bdtr(came_L, total_L, share)
    above_L = np.where(came_L > 0, bdtrc(came_L - 1, total_L, share), 1.0)
    chance_L = np.ones(len(came_L))
    tested = np.flatnonzero(total_L >= LEAST_IMAGES)
    chance_L[tested] = adjust(np.minimum(1.0, 2 * np.minimum(below_L, above_L))[tested])
    factor_L = (came_L + 0.5) / (n_came + 0.5) / ((stood_L + 0.5) / (n_stood + 0.5))
    far_L = np.maximum(factor_L, 1 / factor_L) >= LEAST_FACTOR
    return Drift(factor_L, chance_L, (chance_L <= rate) & far_L)


def adjust(p_L: np.ndarray) -> np.ndarray:
    """Of each p-value the least rate of false discoveries at which it is still called one (Benjamini and Hochberg)."""
    order, n = np.argsort(p_L, kind="stable"), len(p_L)
    scaled = p_L[order] * n / np.arange(1, n + 1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted
