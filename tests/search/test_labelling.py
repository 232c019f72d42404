"""What a labels table says of an image: probabilities and an answer where they are calibrated, nothing where not."""

import numpy as np
import pytest

from devise.search.calibrated import Calibration
from devise.search.labelling import Labeller, make_labeller, make_nodes
from devise.words.ancestry import Ancestry
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary

LABELS = ["robin", "wren", "feathered one", "bird", "boat", "wretch"]
SYNSETS = ["n1", "n2", "n3", "n3", "n4", "n5"]
TREE = {"n1": ["n3"], "n2": ["n3"], "n3": ["n9"], "n4": ["n9"], "n5": ["n9"]}
NAMES = {"n3": "bird", "n1": "robin"}
CARD = {"class_synsets": ["n1", "n2", "n4"], "seen": ["robin", "wren", "boat", "no label"]}
VECTORS_VD = np.eye(6, 8, dtype=np.float32)
TOLD = Calibration(
    temperature=1.0, label_share=0.5, intercept=0.0, log_odds=1.0, certain=1.0, specificity=-1.0,
    n_images=1, n_classes=1, protocol="made", model="m", vocabulary="v",
)  # fmt: skip
EMBEDDING_ND = np.array([[0.6, 0.5, 0.2, 0.3, 0.1, 0.4, 0, 0]], np.float32)
EMBEDDING_ND /= np.linalg.norm(EMBEDDING_ND)
CLASSES = np.array([[0, 1]], np.int32), np.array([[0.55, 0.44]], np.float32)


@pytest.fixture
def known() -> Vocabulary:
    ids = np.arange(6, dtype=np.int32)
    return Vocabulary(ids, LABELS, SYNSETS, [[] for _ in LABELS], VECTORS_VD, np.zeros(6, bool), ["exact"] * 6)


def _labeller(known: Vocabulary, **settings: object) -> Labeller:
    settings = {"calibration": TOLD, "target": 0.7, "least_specificity": 0.1, **settings}
    denied = settings.pop("denied", None)
    calibration, candidates = settings.pop("calibration"), settings.pop("candidates", None)
    return make_labeller(known, Ancestry(TREE, SYNSETS, NAMES), CARD, denied, calibration, candidates, **settings)


def test_two_kinds_that_are_hard_to_tell_apart_are_answered_by_what_is_above_both(known):
    found = _labeller(known).label(EMBEDDING_ND, *CLASSES, 3)
    assert LABELS[found.answer_id_N[0]] == "bird" and found.answer_synsets == ["n3"]
    assert found.probability_NK.shape == (1, 3) and found.answer_probability_N[0] >= 0.7
    one = found.label_id_NK[0].tolist()
    by_label = dict(zip((LABELS[number] for number in one), found.probability_NK[0], strict=True))
    assert by_label["bird" if "bird" in by_label else "feathered one"] > by_label["robin"]


def test_a_synset_is_told_by_the_label_that_the_hierarchy_names_first(known):
    nodes = make_nodes(known, Ancestry(TREE, SYNSETS, NAMES), CARD["class_synsets"], np.zeros(6, bool))
    assert LABELS[nodes.label_id_S[nodes.synsets.index("n3")]] == "bird"
    nodes = make_nodes(known, Ancestry(TREE, SYNSETS), CARD["class_synsets"], np.zeros(6, bool))
    assert LABELS[nodes.label_id_S[nodes.synsets.index("n3")]] == "feathered one"


def test_a_target_that_nothing_meets_is_no_answer(known):
    found = _labeller(known, target=1.0).label(EMBEDDING_ND, *CLASSES, 3)
    assert found.answer_id_N.tolist() == [-1] and found.answer_synsets == [None]
    assert np.isnan(found.answer_probability_N).all() and found.probability_NK is not None


@pytest.mark.parametrize("why", ["no calibration", "candidates", "no classes"])
def test_without_what_it_was_calibrated_for_no_probability_is_told(known, why):
    settings = {"no calibration": {"calibration": None}, "candidates": {"candidates": np.array([0, 3])}}.get(why, {})
    classes = (None, None) if why == "no classes" else CLASSES
    found = _labeller(known, **settings).label(EMBEDDING_ND, *classes, 2)
    assert found.probability_NK is None and found.answer_id_N.tolist() == [-1]
    assert found.label_id_NK.shape == (1, 2)


def test_what_is_denied_is_neither_a_label_nor_an_answer(known, tmp_path):
    (tmp_path / "list.txt").write_text("wretch\nbird\n")
    found = _labeller(known, denied=Denied.load(tmp_path / "list.txt")).label(EMBEDDING_ND, *CLASSES, 6)
    told = {LABELS[number] for number in (*found.label_id_NK[0], *found.answer_id_N) if number >= 0}
    assert not told & {"wretch", "bird"} and found.label_id_NK.shape == (1, 4)


def test_more_labels_than_are_considered_have_no_probability_behind_them(known):
    ids = np.arange(60, dtype=np.int32)
    names = [f"noun {number}" for number in ids]
    vectors_VD = np.eye(60, dtype=np.float32)
    many = Vocabulary(ids, names, [None] * 60, [[] for _ in ids], vectors_VD, np.zeros(60, bool), ["exact"] * 60)
    labeller = make_labeller(many, Ancestry({}, [None] * 60), {"class_synsets": [None]}, None, TOLD)
    embedding_ND = np.linspace(1, 0.1, 60, dtype=np.float32)[None]
    embedding_ND /= np.linalg.norm(embedding_ND)
    found = labeller.label(embedding_ND, np.array([[0]], np.int32), np.array([[0.9]], np.float32), 55)
    assert found.probability_NK.shape == (1, 55) and (found.probability_NK[0, 50:] == 0).all()
    assert (found.probability_NK[0, :50] > 0).all()
