"""hit@k, hp@k and recall@k: worked by hand, and by property over all small sizes."""

from itertools import permutations, product

import numpy as np
import pytest

from devise.learning.metrics import hit_at_k, hp_at_k, interval, recall_at_k

PREDICTED = np.array([[3, 1, 2], [0, 4, 1], [2, 0, 3]])


def test_hit_by_hand():
    truth = np.array([1, 0, 4])  # second, first, nowhere
    assert [hit_at_k(PREDICTED, truth, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 2 / 3])


def test_any_of_several_true_labels_is_a_hit():
    truths = [[2, 9], [7, 8], {3}]  # third, nowhere, third
    assert [hit_at_k(PREDICTED, truths, k) for k in (1, 2, 3)] == pytest.approx([0, 0, 2 / 3])


@pytest.mark.parametrize("n_labels", [1, 2, 3, 4])
def test_hit_is_one_exactly_from_the_place_of_the_true_label_on(n_labels):
    for predicted in permutations(range(n_labels)):
        for truth, k in product(range(n_labels), range(1, n_labels + 1)):
            assert hit_at_k(np.array([predicted]), np.array([truth]), k) == (predicted.index(truth) < k)
            assert hit_at_k(np.array([predicted]), [[truth]], k) == (predicted.index(truth) < k)


def test_hp_by_hand():
    # k = 3: two of 3, 1, 2 in the first set; none of 0, 4, 1 in the second; all of 2, 0, 3 in the third.
    sets = [{1, 2, 9}, {5}, {0, 2, 3, 4}]
    assert hp_at_k(PREDICTED, sets, 3) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert hp_at_k(PREDICTED, sets, 1) == pytest.approx((0 + 0 + 1) / 3)
    assert hp_at_k(PREDICTED, [set(), set(), set()], 2) == 0


def test_hp_of_the_true_label_alone_is_hit_over_k():
    for predicted in permutations(range(4)):
        for truth, k in product(range(4), range(1, 5)):
            found = np.array([predicted])
            assert hp_at_k(found, [{truth}], k) == pytest.approx(hit_at_k(found, np.array([truth]), k) / k)


def scores(ids):
    return np.linspace(1, 0.5, np.shape(ids)[1]) * np.ones(np.shape(ids))


def test_recall_by_hand():
    exact = np.array([[10, 11, 12, 13], [20, 21, 22, 23]])
    found = np.array([[11, 10, 13, 99], [29, 28, 27, 20]])
    low = np.full(found.shape, -1.0)  # nothing that is not in the exact list is a tie
    assert recall_at_k(found, low, exact, scores(exact), 4) == pytest.approx((3 + 1) / 8)
    assert recall_at_k(found, low, exact, scores(exact), 2) == pytest.approx((2 + 0) / 4)
    assert recall_at_k(found, low, exact, scores(exact), 1) == 0


def test_order_within_the_first_k_does_not_matter_and_all_found_is_one():
    exact = np.array([[5, 6, 7]])
    for found in permutations([5, 6, 7]):
        assert recall_at_k(np.array([found]), scores(exact), exact, scores(exact), 3) == 1


def test_recall_of_all_small_lists_is_the_overlap_of_sets():
    exact = np.array([[0, 1, 2]])
    for found in permutations(range(6), 3):
        for k in (1, 2, 3):
            wanted = len(set(found[:k]) & set(range(k))) / k
            assert recall_at_k(np.array([found]), np.zeros((1, 3)), exact, scores(exact), k) == pytest.approx(wanted)


def test_a_tie_with_the_last_place_counts_as_found():
    exact, exact_scores = np.array([[1, 2, 3, 4]]), np.array([[0.9, 0.8, 0.8, 0.7]])
    other = np.array([[1, 3]])  # 3 ties with 2, the second
    assert recall_at_k(other, np.zeros((1, 2)), exact, exact_scores, 2) == 1
    third = np.array([[1, 4]])
    assert recall_at_k(third, np.zeros((1, 2)), exact, exact_scores, 2) == 0.5


def test_a_score_that_the_index_overstates_makes_no_tie():
    exact, exact_scores = np.array([[1, 2, 3, 4]]), np.array([[0.9, 0.8, 0.7, 0.6]])
    found, overstated = np.array([[1, 4]]), np.array([[0.9, 0.85]])
    assert recall_at_k(found, overstated, exact, exact_scores, 2) == 0.5
    absent = np.array([[1, 99]])
    assert recall_at_k(absent, overstated, exact, exact_scores, 2) == 0.5


def test_where_ties_fill_the_whole_exact_list_the_found_score_decides():
    exact, exact_scores = np.array([[1, 2, 3]]), np.full((1, 3), 0.8)
    found = np.array([[7, 8]])
    assert recall_at_k(found, np.array([[0.8, 0.8]]), exact, exact_scores, 2) == 1
    assert recall_at_k(found, np.array([[0.8, 0.79]]), exact, exact_scores, 2) == 0.5
    assert recall_at_k(np.array([[7, -1]]), np.array([[0.8, 0.8]]), exact, exact_scores, 2) == 0.5


def test_empty_places_are_neither_asked_for_nor_found():
    exact, exact_scores = np.array([[1, 2, -1], [-1, -1, -1]]), np.array([[0.9, 0.8, -2], [-2, -2, -2]])
    found = np.array([[2, -1, -1], [-1, -1, -1]])
    assert recall_at_k(found, np.full((2, 3), 1.0), exact, exact_scores, 3) == 0.5
    assert recall_at_k(np.array([[2, 1, -1]]), np.zeros((1, 3)), exact[:1], exact_scores[:1], 3) == 1
    nothing = np.full((1, 3), -1)
    assert recall_at_k(nothing, np.zeros((1, 3)), nothing, np.full((1, 3), -2.0), 3) == 1


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_list_is_refused(k):
    for measure in (
        lambda: hit_at_k(PREDICTED, np.zeros(3), k),
        lambda: hp_at_k(PREDICTED, [{0}] * 3, k),
        lambda: recall_at_k(PREDICTED, scores(PREDICTED), PREDICTED, scores(PREDICTED), k),
        lambda: recall_at_k(np.zeros((3, 9)), np.zeros((3, 9)), PREDICTED, scores(PREDICTED), k),
    ):
        with pytest.raises(ValueError, match=f"k {k}: wanted"):
            measure()


def test_shapes_that_disagree_and_no_images_are_refused():
    for measure in (
        lambda: hit_at_k(PREDICTED, np.zeros(2), 1),
        lambda: hit_at_k(PREDICTED[:0], np.zeros(0), 1),
        lambda: hp_at_k(PREDICTED, [{0}] * 4, 1),
        lambda: recall_at_k(PREDICTED, scores(PREDICTED), PREDICTED[:2], scores(PREDICTED[:2]), 1),
    ):
        with pytest.raises(ValueError, match="wanted as many, some"):
            measure()


def test_the_interval_is_wilsons():
    # 81 of 263, worked out in Newcombe 1998, table I, method 3: 0.2553 to 0.3662; and the cases where Wald has none.
    for hits, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert interval(hits / n, n) == pytest.approx((low, high), abs=5e-5)
    assert interval(1.0, 29) == pytest.approx((0.8830, 1), abs=5e-5)


def test_the_interval_solves_wilsons_equation_and_narrows_with_n():
    # Wilson 1927: the ends are the p with (share - p)^2 = z^2 p (1 - p) / n.
    z = 1.959964
    for n in (1, 2, 10, 1000):
        for share in (0.0, 0.25, 0.5, 1.0):
            for p in interval(share, n):
                assert (share - p) ** 2 == pytest.approx(z * z * p * (1 - p) / n, abs=1e-9)
    widths = [high - low for low, high in (interval(0.3, n) for n in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (-0.1, 10), (1.1, 10)])
def test_an_interval_of_nothing_is_refused(share, n):
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        interval(share, n)
