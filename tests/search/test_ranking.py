"""Relevance on a hierarchy small enough for paper and pencil: nearness, evidence below a noun, seen labels."""

import math

import numpy as np
import pytest

from devise.search import zeroshot
from devise.search.ranking import Ranker
from devise.search.zeroshot import top_labels
from devise.words.ancestry import Ancestry

LABELS = ["robin", "wren", "bird", "boat", "animal"]
TREE = {"robin": ["bird"], "wren": ["bird"], "bird": ["animal"], "boat": ["thing"], "animal": ["thing"]}
CLASSES = ["robin", "wren", "boat", None]
GENERATOR = np.random.default_rng(0)
VECTORS_VD = GENERATOR.standard_normal((5, 12)).astype(np.float32)
VECTORS_VD /= np.linalg.norm(VECTORS_VD, axis=1, keepdims=True)
EMBEDDING_ND = (VECTORS_VD[[0, 1, 3]] + 0.3 * GENERATOR.standard_normal((3, 12))).astype(np.float32)
EMBEDDING_ND /= np.linalg.norm(EMBEDDING_ND, axis=1, keepdims=True)
CLASS_ID_NT = np.array([[0, 1], [1, 0], [2, 3]], np.int32)
PROBABILITY_NT = np.array([[0.6, 0.3], [0.5, 0.5], [0.9, 0.1]], np.float32)


def _ranker(seen: tuple[int, ...] = (), **settings: object) -> Ranker:
    settings = {"evidence": 0.0, "seen_penalty": 0.0, **settings}
    return Ranker(VECTORS_VD, Ancestry(TREE, LABELS), CLASSES, seen, **settings)


def _by_label(ranker: Ranker) -> np.ndarray:
    """relevance_NV, in order of label."""
    ranked = ranker.top(EMBEDDING_ND, CLASS_ID_NT, PROBABILITY_NT, len(LABELS))
    return np.take_along_axis(ranked.relevance_NK, np.argsort(ranked.label_id_NK, axis=1), axis=1)


def test_without_weights_labels_are_ranked_by_their_cosine_in_deviations():
    ranked = _ranker().top(EMBEDDING_ND, CLASS_ID_NT, PROBABILITY_NT, 3)
    label_id_NK, cosine_NK = top_labels(EMBEDDING_ND, VECTORS_VD, 3)
    np.testing.assert_array_equal(ranked.label_id_NK, label_id_NK)
    np.testing.assert_allclose(ranked.score_NK, cosine_NK, atol=1e-6)
    deviation_N = (EMBEDDING_ND @ VECTORS_VD.T).std(axis=1)
    np.testing.assert_allclose(ranked.relevance_NK, cosine_NK / deviation_N[:, None], rtol=1e-4)


def test_a_noun_has_the_probability_of_the_classes_below_it_times_what_it_says():
    added_NV = _by_label(_ranker(evidence=2.0)) - _by_label(_ranker())
    says_bird = 1 - math.log(2) / math.log(3)  # 2 of the 3 classes that have a synset are below it
    expected_NV = 2.0 * np.array(
        [
            [0.6, 0.3, 0.9 * says_bird, 0.0, 0.9 * says_bird],
            [0.5, 0.5, 1.0 * says_bird, 0.0, 1.0 * says_bird],
            [0.0, 0.0, 0.0, 0.9, 0.0],
        ]
    )
    np.testing.assert_allclose(added_NV, expected_NV, atol=1e-5)


def test_labels_that_were_seen_pay_a_penalty_the_less_the_surer_their_class_is_and_no_others_do():
    added_NV = _by_label(_ranker(seen=(0, 3), seen_penalty=1.5)) - _by_label(_ranker())
    doubt_NV = np.array([[0.4, 0, 0, 1, 0], [0.5, 0, 0, 1, 0], [1, 0, 0, 0.1, 0]])
    np.testing.assert_allclose(added_NV, -1.5 * doubt_NV, atol=1e-5)
    ranked = _ranker(seen=(0, 3), seen_penalty=1.5).top(EMBEDDING_ND, None, None, 5)
    plain = _ranker().top(EMBEDDING_ND, None, None, 5)
    by_label = [
        np.take_along_axis(one.relevance_NK, np.argsort(one.label_id_NK, axis=1), axis=1) for one in (ranked, plain)
    ]
    np.testing.assert_allclose(by_label[0] - by_label[1], np.tile([-1.5, 0, 0, -1.5, 0], (3, 1)), atol=1e-5)


def test_enough_evidence_puts_the_general_noun_before_its_kinds():
    assert LABELS[_ranker().top(EMBEDDING_ND, CLASS_ID_NT, PROBABILITY_NT, 1).label_id_NK[1, 0]] == "wren"
    ranked = _ranker(seen=(0, 1, 3), evidence=9.0, seen_penalty=9.0).top(EMBEDDING_ND, CLASS_ID_NT, PROBABILITY_NT, 1)
    assert LABELS[ranked.label_id_NK[1, 0]] in ("bird", "animal")


def test_a_model_without_classes_has_no_evidence():
    ranked = _ranker(evidence=9.0).top(EMBEDDING_ND, None, None, 2)
    np.testing.assert_array_equal(ranked.label_id_NK, top_labels(EMBEDDING_ND, VECTORS_VD, 2)[0])


def test_only_candidates_that_are_not_denied_are_ranked_and_scores_stay_what_they_are():
    every = _by_label(_ranker(seen=(0,), evidence=2.0, seen_penalty=1.0))
    ranker = _ranker(seen=(0,), evidence=2.0, seen_penalty=1.0, candidates=np.array([4, 2, 0, 1]), denied=(2,))
    ranked = ranker.top(EMBEDDING_ND, CLASS_ID_NT, PROBABILITY_NT, 5)
    assert {*ranked.label_id_NK.reshape(-1)} == {0, 1, 4}
    np.testing.assert_allclose(ranked.relevance_NK, np.take_along_axis(every, ranked.label_id_NK, axis=1), atol=1e-5)


def test_there_must_be_a_label_to_choose():
    with pytest.raises(ValueError, match="no candidate that is not denied"):
        _ranker(candidates=np.array([2]), denied=(2,))


def test_an_image_has_the_same_bits_in_any_batch():
    embedding_ND = GENERATOR.standard_normal((zeroshot.BLOCK_ROWS + 44, 12)).astype(np.float32)
    embedding_ND /= np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    ids = GENERATOR.integers(0, 3, (len(embedding_ND), 2)).astype(np.int32)
    probability = GENERATOR.random((len(embedding_ND), 2)).astype(np.float32)
    ranker = _ranker(seen=(0, 1), evidence=2.0, seen_penalty=1.0)
    whole = ranker.top(embedding_ND, ids, probability, 5)
    for start in (0, 17, zeroshot.BLOCK_ROWS - 1, len(embedding_ND) - 1):
        part = slice(start, start + 5)
        found = ranker.top(embedding_ND[part], ids[part], probability[part], 5)
        np.testing.assert_array_equal(found.label_id_NK, whole.label_id_NK[part])
        np.testing.assert_array_equal(found.score_NK, whole.score_NK[part])
        np.testing.assert_array_equal(found.relevance_NK, whole.relevance_NK[part])
