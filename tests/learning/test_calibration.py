"""Fits on made pictures whose truth is drawn from known masses, and measures worked out by hand."""

import numpy as np
import pytest

from devise.errors import TrainingError
from devise.learning.calibration import Ranked, fit_calibration, is_right, measure_answers, reliability
from devise.search.hedging import Nodes, Told, tell
from devise.words.ancestry import Ancestry

LEAVES = [f"leaf{number}" for number in range(12)]
GROUPS = ["group0", "group1", "group2"]
HYPERNYMS = {leaf: [GROUPS[number // 4]] for number, leaf in enumerate(LEAVES)} | {group: ["top"] for group in GROUPS}
SYNSETS = [*LEAVES, *GROUPS, "top"]
KEPT = {"n_classes": 12, "protocol": "made", "model": "m", "vocabulary": "v"}


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    return Nodes(Ancestry(HYPERNYMS, SYNSETS), LEAVES, np.ones(len(SYNSETS), dtype=bool))


def draw(n: int, seed: int, temperature: float = 2.0) -> tuple[Ranked, list[list[str]]]:
    """Pictures with random relevances; the truth is drawn from their softmax at a temperature. Classes say the same."""
    rng = np.random.default_rng(seed)
    relevance = 4 * rng.normal(size=(n, 12))
    soft = np.exp(relevance / temperature)
    soft /= soft.sum(axis=1, keepdims=True)
    truth = [[LEAVES[rng.choice(12, p=row)]] for row in soft]
    ids = np.tile(np.arange(12), (n, 1))
    order = np.argsort(-relevance, axis=1)
    sorted_relevance, sorted_soft = (np.take_along_axis(one, order, axis=1) for one in (relevance, soft))
    return Ranked(np.take_along_axis(ids, order, axis=1), sorted_relevance, order, sorted_soft), truth


def labels_told(nodes: Nodes, ranked: Ranked, truths, calibration) -> tuple[np.ndarray, np.ndarray]:
    told = tell(nodes, calibration, *ranked, target=2, least_specificity=1)
    images = np.repeat(np.arange(len(truths)), ranked.label_id_NK.shape[1])
    right = is_right(nodes, images, nodes.of_label_V[ranked.label_id_NK.reshape(-1)], truths)
    return told.probability_NK.reshape(-1), right


def test_the_temperature_is_found_and_new_pictures_probabilities_hold(nodes):
    ranked, truths = draw(2000, 0)
    found = fit_calibration(nodes, ranked, truths, np.ones(2000), **KEPT)
    assert (found.temperature, found.n_images, found.n_classes, found.protocol) == (2.0, 2000, 12, "made")
    table, error = reliability(*labels_told(nodes, *draw(2000, 1), found))
    assert error < 0.02 and len(table) >= 8


def test_answers_are_right_as_often_as_they_say_and_more_are_given_for_a_lower_target(nodes):
    found = fit_calibration(nodes, *draw(2000, 0), np.ones(2000), **KEPT)
    ranked, truths = draw(2000, 1)
    points = []
    for target in (0.6, 0.8, 0.9):
        told = tell(nodes, found, *ranked, target, 0.1)
        points.append(measure_answers(nodes, told, truths, target))
        assert points[-1].accuracy >= target - 0.02
        assert points[-1].accuracy == pytest.approx(np.nanmean(told.probability_N), abs=0.05)
    assert [one.coverage for one in points] == sorted((one.coverage for one in points), reverse=True)
    assert points[-1].coverage > 0.05


def test_an_image_without_weight_counts_for_nothing(nodes):
    ranked, truths = draw(400, 0)
    wrong, _ = draw(200, 9)
    both = Ranked(*(np.concatenate(pair) for pair in zip(ranked, wrong, strict=True)))
    weights = np.concatenate([np.ones(400), np.zeros(200)])
    a = fit_calibration(nodes, ranked, truths, np.ones(400), **KEPT)
    b = fit_calibration(nodes, both, truths + [["leaf0"]] * 200, weights, **KEPT)
    assert (a.intercept, a.log_odds, a.specificity) == pytest.approx((b.intercept, b.log_odds, b.specificity), abs=1e-6)


def test_a_mass_that_speaks_against_the_truth_is_left_out_and_never_falls(nodes):
    ranked, truths = draw(600, 0)
    backwards = ranked._replace(relevance_NK=-ranked.relevance_NK, probability_NT=ranked.probability_NT[:, ::-1])
    found = fit_calibration(nodes, backwards, truths, np.ones(600), **KEPT)
    assert found.log_odds >= 0 and found.certain >= 0


def test_what_cannot_be_fitted_is_told(nodes):
    ranked, truths = draw(120, 0)
    with pytest.raises(TrainingError, match="found 50 labelled images"):
        fit_calibration(nodes, ranked, truths, np.arange(120) < 50, **KEPT)
    with pytest.raises(TrainingError, match="some right"):
        fit_calibration(nodes, ranked, [["elsewhere"]] * 120, np.ones(120), **KEPT)
    for weights in (np.ones(3), -np.ones(120)):
        with pytest.raises(ValueError, match="wanted as many"):
            fit_calibration(nodes, ranked, truths, weights, **KEPT)


def test_right_are_the_truth_and_its_ancestors_and_nothing_else(nodes):
    at = {synset: node for node, synset in enumerate(nodes.synsets)}
    asked = [("leaf0", True), ("group0", True), ("top", True), ("leaf1", False), ("group1", False)]
    image = np.zeros(len(asked), dtype=int)
    found = is_right(nodes, image, np.array([at[name] for name, _ in asked]), [["leaf0"]])
    assert found.tolist() == [right for _, right in asked]
    last = [[nodes.synsets[-1]], ["leaf0"]]  # -1 of an image is not the last node of the one before
    assert is_right(nodes, np.array([0, 1]), np.array([len(nodes.synsets) - 1, -1]), last).tolist() == [True, False]


def test_a_point_of_the_curve_by_hand(nodes):
    at = {synset: node for node, synset in enumerate(nodes.synsets)}
    node = np.array([at["leaf0"], at["group0"], -1, at["leaf5"]])
    told = Told(np.zeros((4, 1)), node, node, np.zeros(4))
    point = measure_answers(nodes, told, [["leaf0"], ["leaf3"], ["leaf1"], ["leaf6"]], 0.9)
    assert (point.target, point.coverage, point.accuracy) == (0.9, 0.75, pytest.approx(2 / 3))
    assert point.specificity == pytest.approx((1 + nodes.ancestry.specificity("group0") + 1) / 3)
    none = measure_answers(nodes, told._replace(node_N=np.full(4, -1)), [["leaf0"]] * 4, 0.9)
    assert none.coverage == 0 and np.isnan(none.accuracy)


def test_the_calibration_error_by_hand():
    table, error = reliability(np.array([0.1, 0.15, 0.95, 1.0]), np.array([False, True, True, True]), 10)
    assert table.tolist() == [[pytest.approx(0.125), 0.5, 2], [pytest.approx(0.975), 1, 2]]
    assert error == pytest.approx((0.375 + 0.025) / 2)
    with pytest.raises(ValueError, match="and some"):
        reliability(np.array([]), np.array([]))
