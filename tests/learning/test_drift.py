"""What is called drift: seldom where nothing changed, and a label that rose or fell where one did; by made nights."""

import numpy as np
import pytest

from devise.learning import drift

RATE, LABELS = 0.05, 400
SHARE_L = np.random.default_rng(3).dirichlet(np.full(LABELS, 0.3))
"""How common each label is: a few in every tenth image, most in none of thousands."""


def night(rng, n_came, n_stood, share_L=SHARE_L):
    """A night's counts, its images drawn from `share_L`, those before from SHARE_L."""
    return rng.multinomial(n_came, share_L), rng.multinomial(n_stood, SHARE_L)


@pytest.mark.parametrize(("n_came", "n_stood"), [(30, 3_000), (500, 5_000), (4_000, 4_000), (20_000, 400_000)])
def test_where_nothing_changed_a_night_with_any_alarm_is_as_rare_as_is_told(n_came, n_stood):
    """Of nights without drift every alarm is false, and so the rate is that of nights with one."""
    rng = np.random.default_rng(0)
    nights = [drift.compare(*night(rng, n_came, n_stood), n_came, n_stood, RATE).drifts_L.any() for _ in range(400)]
    assert np.mean(nights) <= RATE


def test_of_what_is_called_drift_no_more_is_chance_than_is_told_and_what_changed_is_found():
    rng, false, found = np.random.default_rng(1), [], []
    order = np.argsort(-SHARE_L)
    rose, fell = order[20:40:4], order[2:12:4]
    share_L = SHARE_L.copy()
    share_L[rose], share_L[fell] = 3 * SHARE_L[rose], SHARE_L[fell] / 3
    share_L /= share_L.sum()
    changed = np.isin(np.arange(LABELS), [*rose, *fell])
    for _ in range(100):
        told = drift.compare(*night(rng, 3_000, 30_000, share_L), 3_000, 30_000, RATE)
        false.append((told.drifts_L & ~changed).sum() / max(1, told.drifts_L.sum()))
        found.append(told.drifts_L[changed].mean())
        assert (told.factor_L[rose][told.drifts_L[rose]] > 1).all() and (told.factor_L[fell] < 1).all()
    assert np.mean(false) <= RATE and np.mean(found) > 0.95


def test_a_sure_but_small_change_is_no_drift():
    came_L, stood_L = np.array([110_000, 890_000]), np.array([1_000_000, 9_000_000])
    told = drift.compare(came_L, stood_L, 1_000_000, 10_000_000, RATE)
    assert told.chance_L[0] < 1e-100 and told.factor_L[0] == pytest.approx(1.1, abs=1e-4) and not told.drifts_L.any()


def test_a_label_of_a_handful_of_images_is_not_tested():
    told = drift.compare(np.array([4, 96]), np.array([0, 10_000]), 100, 10_000, RATE)
    assert told.chance_L[0] == 1 and not told.drifts_L[0]
    assert drift.compare(np.array([5, 95]), np.array([0, 10_000]), 100, 10_000, RATE).drifts_L[0]


def test_the_two_sides_change_roles_with_the_counts():
    one = drift.compare(np.array([40, 3]), np.array([20, 60]), 100, 100, RATE)
    other = drift.compare(np.array([20, 60]), np.array([40, 3]), 100, 100, RATE)
    np.testing.assert_allclose(one.chance_L, other.chance_L)
    np.testing.assert_allclose(one.factor_L, 1 / other.factor_L)


def test_p_values_are_adjusted_as_benjamini_and_hochberg_do_by_hand():
    # Sorted: 0.01 x 4/1, 0.02 x 4/2, 0.03 x 4/3, 0.5; the least from the right on.
    np.testing.assert_allclose(drift.adjust(np.array([0.03, 0.5, 0.01, 0.02])), [0.04, 0.5, 0.04, 0.04])
    assert drift.adjust(np.empty(0)).tolist() == []


@pytest.mark.parametrize("counts", [(0, 10), (10, 0), (3, 10), (10, 3)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="came and"):
        drift.compare(np.array([4]), np.array([4]), *counts, RATE)
