"""Figures out of sums a label: by hand, and equal to the metrics over the images themselves."""

import numpy as np
import pytest

from devise.learning.figures import LabelSums, figures, generalised, mean_sizes
from devise.learning.metrics import chance_at_k, harmonic_mean

KS = (1, 2)


def sums(n=(4, 1), hits=((1, 3), (1, 1)), n_hp=None):
    """Two labels: of the first's 4 images 1 is a hit at 1 and 3 at 2, the second's one image is a hit."""
    n_C, hits_CR = np.array(n), np.array(hits, dtype=float)
    n_hp_C = n_C if n_hp is None else np.array(n_hp)
    chance_CR = n_C[:, None] * np.array([[1 / 4, 2 / 4]])
    return LabelSums(
        np.arange(len(n_C)), n_C, hits_CR, 0 * hits_CR, n_hp_C[:, None] * 0.5 * np.ones((1, 2)), n_hp_C,
        n_hp_C[:, None] * np.array([[1, 3]]), chance_CR,
    )  # fmt: skip


def by_name(found):
    return {(one.name, one.k): one for one in found}


def test_means_over_images_and_over_labels_differ_as_by_hand():
    found = by_name(figures(sums(), KS, [None, None], seed=0))
    assert found["hit", 1].value == pytest.approx(2 / 5) and found["hit", 2].value == pytest.approx(4 / 5)
    assert found["hit_macro", 1].value == pytest.approx((1 / 4 + 1) / 2)
    assert found["hit_macro", 2].value == pytest.approx((3 / 4 + 1) / 2)
    assert (found["hit", 1].n, found["hit_macro", 1].n) == (5, 5)


def test_chance_is_exact_and_has_no_interval():
    one = by_name(figures(sums(), KS, [None, None], seed=0))["hit_chance", 2]
    assert one.value == one.low == one.high == 0.5


def test_labels_without_a_synset_are_in_no_figure_of_hierarchical_precision():
    found = by_name(figures(sums(n_hp=(4, 0)), KS, [None, None], seed=0))
    assert found["hp", 1].n == 4 and found["hp", 1].value == 0.5
    assert not [name for name, _ in by_name(figures(sums(n_hp=(0, 0)), KS, [None, None], 0)) if name.startswith("hp")]
    assert mean_sizes(sums(), KS) == {"1": 1.0, "2": 3.0} and mean_sizes(sums(n_hp=(0, 0)), KS) == {}


def test_each_relation_has_its_own_images_and_together_all_that_have_one():
    found = by_name(figures(sums(), KS, ["ancestor", "sibling"], seed=0))
    assert (found["hit_ancestor", 1].value, found["hit_ancestor", 1].n) == (0.25, 4)
    assert (found["hit_sibling", 1].value, found["hit_sibling", 1].n) == (1.0, 1)
    assert not {name for name, _ in found} & {"hit_seen", "hit_descendant", "hit_unrelated"}


def test_generalised_accuracies_are_of_labels_and_the_mean_is_harmonic():
    seen, zero_shot = sums(), sums(n=(2, 2), hits=((0, 1), (1, 2)))
    found = by_name(generalised(seen, zero_shot, KS, seed=0))
    assert found["generalised_seen", 1].value == pytest.approx(0.625)
    assert found["generalised_zero_shot", 1].value == pytest.approx(0.25)
    one = found["generalised_harmonic", 1]
    assert one.value == pytest.approx(2 * 0.625 * 0.25 / 0.875) and one.n == 9
    assert one.low <= one.value <= one.high


def test_the_harmonic_interval_draws_labels_on_both_sides():
    rng = np.random.default_rng(0)
    n_C = np.full(60, 20)
    sides = []
    for alpha in (4, 1):
        hits_CR = rng.binomial(20, rng.beta(alpha, 2, size=60))[:, None].astype(float)
        sides.append(LabelSums(np.arange(60), n_C, hits_CR, hits_CR, 0 * hits_CR, 0 * n_C, 0 * hits_CR, hits_CR))
    found = by_name(generalised(*sides, [1], seed=0))
    one = found["generalised_harmonic", 1]
    seen, zero_shot = (found[f"generalised_{name}", 1] for name in ("seen", "zero_shot"))
    assert one.low < one.value < one.high
    widest = harmonic_mean(seen.high, zero_shot.high) - harmonic_mean(seen.low, zero_shot.low)
    assert 0.3 * widest < one.high - one.low < widest  # both ends at once are rarer than either


def test_a_harmonic_mean_of_nothing_is_nothing():
    assert harmonic_mean(0.0, 0.0) == 0 and harmonic_mean(0.0, 1.0) == 0 and harmonic_mean(0.5, 0.5) == 0.5


@pytest.mark.parametrize(("n_true", "n_candidates"), [(0, 3), (1, 3), (1, 7), (2, 7), (7, 7), (3, 5)])
def test_chance_is_what_blind_lists_hit(n_true, n_candidates):
    from itertools import combinations

    for k in range(1, n_candidates + 2):
        lists = list(combinations(range(n_candidates), min(k, n_candidates)))
        hits = sum(any(number < n_true for number in own) for own in lists)
        assert chance_at_k(n_true, n_candidates, k) == pytest.approx(hits / len(lists))
    with pytest.raises(ValueError, match="wanted a candidate"):
        chance_at_k(1, 0, 1)
