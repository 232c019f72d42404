"""Intervals of images that come in labels: what drawing labels gives, by hand and by trial."""

import numpy as np
import pytest

from devise.learning.intervals import LEAST_LABELS, clustered, resample
from devise.learning.metrics import interval


def test_drawn_labels_are_whole_and_as_many_as_there_are():
    columns_CM = np.array([[1.0, 10.0], [100.0, 1000.0], [10_000.0, 100_000.0]])
    sums_BM = resample(columns_CM, seed=0, replicates=200)
    assert np.allclose(sums_BM[:, 1], 10 * sums_BM[:, 0])  # both columns by the same draws
    digits = np.stack([sums_BM[:, 0] // 100**place % 100 for place in range(3)], axis=1)
    assert (digits.sum(axis=1) == 3).all() and len(np.unique(digits, axis=0)) == 10  # all multisets of 3 of 3
    assert np.array_equal(resample(columns_CM, 0, 200), sums_BM)
    assert not np.array_equal(resample(columns_CM, 1, 200), sums_BM)


def test_the_spread_of_draws_is_that_of_theory():
    share_C = np.random.default_rng(0).beta(1, 2, size=200)
    draws_B = resample(share_C[:, None], 0, 4000)[:, 0] / 200
    assert draws_B.std() == pytest.approx(share_C.std() / np.sqrt(200), rel=0.05)
    assert draws_B.mean() == pytest.approx(share_C.mean(), abs=0.002)


@pytest.mark.parametrize(("alpha", "beta"), [(1, 2), (0.3, 1.5)])
def test_the_interval_holds_the_truth_where_images_of_a_label_are_alike(alpha, beta):
    held = held_by_wilson = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        hits_C = rng.binomial(49, rng.beta(alpha, beta, size=54)).astype(float)
        ((low, high),) = clustered(hits_C[:, None], np.full(54, 49), seed=0)
        held += low <= alpha / (alpha + beta) <= high
        low, high = interval(hits_C.sum() / (54 * 49), 54 * 49)
        held_by_wilson += low <= alpha / (alpha + beta) <= high
    assert held >= 0.9 * 200 and held_by_wilson < 0.6 * 200


def test_few_labels_and_extremes_are_wilson_s_of_as_many_trials_as_labels():
    n_C = np.full(LEAST_LABELS - 1, 50)
    assert clustered(0.5 * n_C[:, None], n_C, 0) == [interval(0.5, LEAST_LABELS - 1)]
    n_C = np.full(LEAST_LABELS, 50)
    ((low, high),) = clustered(np.tile([[20.0], [30.0]], (LEAST_LABELS // 2, 1)), n_C, 0)
    assert 0.44 < low < 0.5 < high < 0.56  # labels so much alike tell more than so many trials
    n_C = np.full(100, 50)
    assert clustered(np.stack([0 * n_C, n_C], axis=1), n_C, 0) == [interval(0.0, 100), interval(1.0, 100)]


def test_the_interval_holds_the_value_itself():
    rng = np.random.default_rng(3)
    n_C = rng.integers(1, 500, size=25)
    hits_CR = rng.binomial(n_C[:, None], rng.beta(0.2, 3, size=(25, 4))).astype(float)
    for value, (low, high) in zip(hits_CR.sum(axis=0) / n_C.sum(), clustered(hits_CR, n_C, 0), strict=True):
        assert 0 <= low <= value <= high <= 1


def test_there_is_something_to_draw():
    with pytest.raises(ValueError, match="found no label"):
        resample(np.zeros((0, 2)), 0)
