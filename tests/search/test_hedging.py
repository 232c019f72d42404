"""Masses, probabilities and answers on a hierarchy small enough for paper and pencil."""

import json
from dataclasses import replace

import numpy as np
import pytest

from devise.errors import ModelError
from devise.search.calibrated import CERTAIN, Calibration, log_odds
from devise.search.hedging import Nodes, tell
from devise.words.ancestry import Ancestry

HYPERNYMS = {
    "robin": ["bird"], "wren": ["bird"], "bird": ["animal"], "dog": ["animal", "pet"], "pet": ["animal"],
    "animal": ["thing"], "boat": ["thing"], "beagle": ["dog"],
}  # fmt: skip
LABELS = ["robin", "wren", "bird", "dog", "hound", "boat", "gadget"]
SYNSETS = ["robin", "wren", "bird", "dog", "dog", "boat", None]
CLASSES = ["robin", "beagle", "boat", None]
PLAIN = Calibration(
    temperature=1.0, label_share=1.0, intercept=0.0, log_odds=1.0, certain=0.0, specificity=0.0,
    n_images=1, n_classes=1, protocol="by hand", model="m", vocabulary="v",
)  # fmt: skip
"""A node's probability is its labels' mass."""


def make_nodes(denied: tuple[str, ...] = ()) -> Nodes:
    return Nodes(Ancestry(HYPERNYMS, SYNSETS), CLASSES, np.array([label not in denied for label in LABELS]))


def ask(shares: dict[str, float], classes: dict[int, float] | None = None) -> tuple[np.ndarray, ...]:
    """One image whose labels have these masses at temperature 1, and whose classes these probabilities."""
    classes = classes or {3: 1.0}  # a class without a synset: no mass on any node
    return (
        np.array([[LABELS.index(label) for label in shares]]),
        np.log(np.array([list(shares.values())])) + 5,
        np.array([list(classes)]),
        np.array([list(classes.values())]),
    )


def answer(shares: dict[str, float], target: float, least: float = 0.1, nodes: Nodes | None = None) -> str | None:
    nodes = nodes or make_nodes()
    told = tell(nodes, PLAIN, *ask(shares), target, least)
    return LABELS[told.label_id_N[0]] if told.label_id_N[0] >= 0 else None


def test_a_node_has_the_mass_of_all_labels_and_classes_at_or_below_it():
    nodes = make_nodes()
    masses = nodes.masses(*ask({"robin": 0.4, "bird": 0.1, "dog": 0.3, "gadget": 0.2}, {0: 0.5, 1: 0.2}), 1.0)
    found = {
        nodes.synsets[node] or "gadget": (round(labels, 6), round(classes, 6))
        for node, labels, classes in zip(masses.node, masses.of_labels, masses.of_classes, strict=True)
    }
    assert found == {
        "robin": (0.4, 0.5), "bird": (0.5, 0.5), "dog": (0.3, 0.2), "pet": (0.3, 0.2), "beagle": (0, 0.2),
        "animal": (0.8, 0.7), "thing": (0.8, 0.7), "gadget": (0.2, 0),
    }  # fmt: skip
    assert masses.total_N.tolist() == [0.7]


def test_a_higher_temperature_evens_the_masses_out():
    nodes, asked = make_nodes(), ask({"robin": 0.8, "boat": 0.2})
    by_temperature = [nodes.masses(*asked, temperature).of_labels.max() for temperature in (0.5, 1, 4)]
    robin_at_4 = np.sqrt(np.sqrt([0.8, 0.2]))
    boat_below = nodes.masses(*asked, 4.0)
    robin = boat_below.of_labels[boat_below.node == nodes.of_label_V[0]]
    assert robin[0] == pytest.approx(robin_at_4[0] / robin_at_4.sum())
    assert by_temperature == pytest.approx([1, 1, 1])  # `thing` is above both


@pytest.mark.parametrize(
    ("target", "said"), [(0.4, "robin"), (0.5, "robin"), (0.6, "bird"), (0.85, "bird"), (0.95, None)]
)
def test_the_answer_is_the_most_specific_node_that_meets_the_target(target, said):
    assert answer({"robin": 0.55, "wren": 0.35, "dog": 0.06, "boat": 0.04}, target) == said


def test_what_is_not_specific_enough_is_no_answer():
    shares = {"robin": 0.3, "wren": 0.3, "dog": 0.39, "boat": 0.01}
    nodes = make_nodes()
    assert answer(shares, 0.5, 0.1) == "bird" and nodes.ancestry.specificity("bird") == pytest.approx(0.317, abs=1e-3)
    assert answer(shares, 0.5, 0.4) is None


def test_a_denied_label_is_never_the_answer_and_its_synset_is_told_by_another_or_by_what_is_above():
    shares = {"robin": 0.7, "wren": 0.2, "boat": 0.1}
    assert answer(shares, 0.6) == "robin"
    assert answer(shares, 0.6, nodes=make_nodes(denied=("robin",))) == "bird"
    assert answer(shares, 0.6, nodes=make_nodes(denied=("robin", "bird"))) is None
    assert answer({"dog": 0.9, "boat": 0.1}, 0.6) == "dog"
    assert answer({"dog": 0.9, "boat": 0.1}, 0.6, nodes=make_nodes(denied=("dog",))) == "hound"


def test_a_node_without_a_label_is_no_answer_and_a_label_without_a_synset_may_be_one():
    assert answer({"bird": 0.3, "dog": 0.3, "hound": 0.3, "boat": 0.1}, 0.8) is None  # an animal; no label says so
    assert answer({"gadget": 0.9, "boat": 0.1}, 0.8) == "gadget"


def test_a_label_has_the_probability_of_its_synset_and_no_answer_has_none():
    told = tell(make_nodes(), PLAIN, *ask({"robin": 0.4, "bird": 0.2, "dog": 0.15, "hound": 0.25}), 0.99, 0.1)
    assert told.probability_NK[0].tolist() == pytest.approx([0.4, 0.6, 0.4, 0.4])
    assert (told.label_id_N[0], told.node_N[0]) == (-1, -1) and np.isnan(told.probability_N[0])


def test_an_answer_s_probability_meets_the_target_and_is_its_node_s():
    nodes = make_nodes()
    told = tell(nodes, PLAIN, *ask({"robin": 0.4, "bird": 0.2, "dog": 0.4}), 0.55, 0.1)
    assert nodes.synsets[told.node_N[0]] == "bird" and told.probability_N[0] == pytest.approx(0.6)


def test_an_image_s_answer_is_the_same_alone_and_among_others():
    nodes, rng = make_nodes(), np.random.default_rng(0)
    labels = np.stack([rng.permutation(len(LABELS))[:5] for _ in range(40)])
    classes = np.stack([rng.permutation(3)[:2] for _ in range(40)])
    asked = labels, rng.normal(size=labels.shape).astype(np.float32), classes, rng.random(classes.shape) + 0.01
    calibration = replace(PLAIN, label_share=0.5, certain=0.7, specificity=-0.5)
    whole = tell(nodes, calibration, *asked, 0.5, 0.2)
    for row in range(40):
        alone = tell(nodes, calibration, *(one[row : row + 1] for one in asked), 0.5, 0.2)
        for a, b in zip(alone, whole, strict=True):
            assert np.array_equal(a[0], b[row], equal_nan=a.dtype.kind == "f")
    assert (whole.label_id_N >= 0).any() and (whole.label_id_N < 0).any()


def test_only_differences_of_relevance_count():
    ids, relevance, *classes = ask({"robin": 0.6, "dog": 0.4})
    a, b = (make_nodes().masses(ids, shifted, *classes, 2.0) for shifted in (relevance, relevance - 100))
    assert np.allclose(a.of_labels, b.of_labels)


def test_probability_rises_with_both_masses():
    nodes = make_nodes()
    calibration = replace(PLAIN, label_share=0.5, certain=1.0)
    by_labels = [
        tell(nodes, calibration, *ask({"robin": x, "boat": 1 - x}, {0: 0.9, 2: 0.05}), 2, 1).probability_NK[0, 0]
        for x in (0.1, 0.5, 0.9)
    ]
    by_classes = [
        tell(nodes, calibration, *ask({"robin": 0.5, "boat": 0.5}, {0: x, 2: 0.99 - x}), 2, 1).probability_NK[0, 0]
        for x in (0.1, 0.5, 0.8, 0.95)
    ]
    assert by_labels == sorted(set(by_labels)) and by_classes == sorted(set(by_classes))


def test_the_terms_of_a_node_are_those_of_the_docstring():
    nodes = make_nodes()
    masses = nodes.masses(*ask({"robin": 0.6, "boat": 0.4}, {0: 0.8, 2: 0.1}), 1.0)
    at = int(np.flatnonzero(masses.node == nodes.of_label_V[0])[0])
    terms = replace(PLAIN, label_share=0.25).features(masses, nodes.specificity_S[masses.node])[at]
    mixed = 0.25 * 0.6 + 0.75 * 0.8 / 0.9
    assert terms.tolist() == pytest.approx([1, np.log(mixed / (1 - mixed)), np.log(4) - CERTAIN, 1])
    assert log_odds(np.array([0.0, 1.0])).tolist() == pytest.approx([-9.21024, 9.21024], abs=1e-4)


def test_a_mistake_of_the_caller_is_refused():
    nodes, (ids, relevance, classes, probability) = make_nodes(), ask({"robin": 0.6, "dog": 0.4})
    for asked in (
        (ids, relevance[:, :1], classes, probability),
        (ids, relevance, classes, probability * 0),
        (ids, relevance, np.repeat(classes, 2, 0), np.repeat(probability, 2, 0)),
    ):
        with pytest.raises(ValueError, match="wanted"):
            nodes.masses(*asked, 1.0)
    with pytest.raises(ValueError, match="wanted as many"):
        Nodes(Ancestry(HYPERNYMS, SYNSETS), CLASSES, np.ones(3, dtype=bool))


def test_a_calibration_is_the_same_after_a_journey_through_json():
    found = replace(PLAIN, intercept=-0.1, log_odds=1 / 3)
    assert Calibration.from_json(found.to_json(), "here") == found


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0}, {"temperature": -1.0}, {"label_share": 1.5}, {"log_odds": -0.1}, {"certain": -1e-9},
        {"intercept": float("nan")}, {"specificity": float("inf")}, {"intercept": "1"}, {"n_images": 1.5},
        {"n_images": True}, {"model": None}, {"more": 1}, {"intercept": 10**400},
    ],
)  # fmt: skip
def test_json_that_is_no_calibration_is_refused_in_one_line(change):
    text = json.dumps({**json.loads(PLAIN.to_json()), **change})
    with pytest.raises(ModelError, match=r"^model/calibration\.json: is no calibration: ") as caught:
        Calibration.from_json(text, "model/calibration.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"temperature": 1}'])
def test_text_that_is_no_calibration_is_refused_in_one_line(text):
    with pytest.raises(ModelError, match="is no calibration"):
        Calibration.from_json(text, "calibration.json")
