"""Pictures ranked by a model that forgot their classes: on drawn features with a known answer."""

from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.learning import answers
from devise.learning.hiding import FOLDS, Hiding, find_classes
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary

C, D, F = 60, 16, 24
GENERATOR = np.random.default_rng(0)
KIND_C = np.arange(C) % 6
SYNSETS = [f"c{number}" for number in range(C)]
TREE = {f"c{number}": [f"k{number % 6}"] for number in range(C)} | {f"k{kind}": ["root"] for kind in range(6)}
KIND_VECTORS = GENERATOR.standard_normal((6, D))
VECTORS_CD = (KIND_VECTORS[KIND_C] + 0.6 * GENERATOR.standard_normal((C, D))).astype(np.float32)
VECTORS_CD /= np.linalg.norm(VECTORS_CD, axis=1, keepdims=True)


@pytest.fixture
def hiding() -> Hiding:
    names = [f"class {number}" for number in range(C)] + [f"kind {kind}" for kind in range(6)]
    synsets = [*SYNSETS, *(f"k{kind}" for kind in range(6))]
    vectors_VD = np.concatenate([VECTORS_CD, KIND_VECTORS / np.linalg.norm(KIND_VECTORS, axis=1, keepdims=True)])
    n = len(names)
    known = Vocabulary(
        np.arange(n, dtype=np.int32), names, synsets, [[] for _ in names], vectors_VD.astype(np.float32),
        np.zeros(n, bool), ["exact"] * n,
    )  # fmt: skip
    classes = ClassVectors(names[:C], [[name] for name in names[:C]], VECTORS_CD, SYNSETS)
    layer = nn.Linear(F, C)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(3 * VECTORS_CD @ GENERATOR.standard_normal((D, F))).float())
        layer.bias.zero_()

    class Core:
        classifier = layer.requires_grad_(False)

    config = TrainConfig(warehouse="w", run="r", architecture="a", weights="w", top_t=5)
    card = {"class_synsets": SYNSETS, "seen": names[:C]}
    return Hiding(config, Core(), known, Ancestry(TREE, synsets), classes, VECTORS_CD, card, np.zeros(n, bool))


@pytest.fixture
def pictures(hiding) -> tuple[np.ndarray, list[list[str]]]:
    rows_CF = hiding.core.classifier.weight.numpy()
    class_N = np.repeat(np.arange(C), 3)
    features_NF = rows_CF[class_N] / np.linalg.norm(rows_CF[class_N], axis=1, keepdims=True)
    features_NF = features_NF * 4 + 0.1 * GENERATOR.standard_normal((len(class_N), F))
    return features_NF.astype(np.float32), [[f"class {number}"] for number in class_N]


def test_a_hidden_class_is_never_among_the_classes_and_the_shown_one_stands_first(hiding, pictures):
    found = hiding.rank(*pictures)
    assert len(found.rows_N) == 3 * C and set(found.fold_N) == set(range(FOLDS))
    assert not (found.hidden.class_id_NT == found.class_N[:, None]).any()
    assert (found.shown.class_id_NT[:, 0] == found.class_N).mean() > 0.7


def test_what_is_said_of_hidden_classes_is_mostly_of_their_kind(hiding, pictures):
    found = hiding.rank(*pictures)
    kinds_N = KIND_C[found.hidden.class_id_NT[:, 0]]
    assert (kinds_N == KIND_C[found.class_N]).mean() > 0.6


def test_a_class_that_shares_a_name_is_forgotten_too(hiding, pictures):
    hiding.classes.texts[1].append("class 0")
    found = hiding.rank(*pictures)
    of_zero = found.class_N == 0
    assert not np.isin(found.hidden.class_id_NT[of_zero], [0, 1]).any()


def test_pictures_of_no_class_are_left_out_and_too_few_calibrate_nothing(hiding, pictures):
    features_NF, texts = pictures
    found = hiding.rank(features_NF[:9], [*texts[:6], ["dragon"], [], ["class 3"]])
    assert found.rows_N.tolist() == [0, 1, 2, 3, 4, 5, 8] and found.class_N[-1] == 3
    with pytest.raises(TrainingError, match="found 14 labelled images to calibrate by, wanted at least 100"):
        hiding.calibrate(found, model="m", vocabulary="v")


def test_a_calibration_rises_in_what_it_sees_and_is_the_same_again(hiding, pictures):
    found = hiding.rank(*pictures)
    one, other = (hiding.calibrate(found, model="m", vocabulary="v") for _ in range(2))
    assert one == other and one.log_odds > 0 and one.n_classes == C and one.n_images == 6 * C


def test_the_class_that_shares_most_texts_is_the_one_and_of_equal_ones_the_first():
    classes = [["crane", "bird crane"], ["crane", "machine"], ["boat"]]
    asked = [["crane"], ["machine", "crane"], ["boat", "boat"], ["dragon"], []]
    assert find_classes(asked, classes).tolist() == [0, 1, 2, -1, -1]


def test_answers_of_hidden_classes_are_measured_and_drawn(hiding, pictures):
    measured = answers.measure(hiding, hiding.rank(*pictures))
    assert [(one.target, one.least) for one in measured.given] == list(answers.LIMITS)
    for least in answers.LEAST:
        answered = [one.answered for one in measured.given if one.least == least]
        assert answered == sorted(answered, reverse=True) and answered[0] > 0
    assert all(one.n == 3 * C and 0 <= one.near <= one.answered for one in measured.given)
    assert measured.bins_B3[:, 2].sum() == 3 * C * min(50, len(hiding.known.labels))
    drawn = answers.draw(measured)
    tree = ElementTree.fromstring(drawn)
    assert tree.tag.endswith("svg") and drawn == answers.draw(measured)
    told = [one.text for one in tree.iter() if one.tag.endswith("title")]
    assert sum("target" in text for text in told) == sum(one.answered > 0 for one in measured.given)
