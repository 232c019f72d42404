"""A classifier of pictures' own labels on features that tell them apart."""

import numpy as np
import torch

from devise.learning.softmax import fit_classifier_head

GENERATOR = np.random.default_rng(0)
CENTRE_LF = 3 * GENERATOR.standard_normal((4, 12))
LABEL_N = np.arange(120) % 4
FEATURES_NF = (CENTRE_LF[LABEL_N] + GENERATOR.standard_normal((120, 12))).astype(np.float32)


def _best(layer: torch.nn.Linear, features_NF: np.ndarray) -> np.ndarray:
    return layer(torch.from_numpy(features_NF.astype(np.float32))).argmax(1).numpy()


def test_labels_that_features_tell_apart_are_found_on_pictures_not_learned():
    found = fit_classifier_head(FEATURES_NF, [[label] for label in LABEL_N], 4)
    fresh_NF = CENTRE_LF[LABEL_N] + GENERATOR.standard_normal((120, 12))
    assert (_best(found.layer, fresh_NF) == LABEL_N).mean() > 0.95 and found.loss < 0.2


def test_it_does_not_matter_how_large_features_are_or_where_they_lie():
    scale_F = 10.0 ** GENERATOR.integers(-1, 3, 12)
    moved_NF = (FEATURES_NF * scale_F + 100 * scale_F).astype(np.float32)
    labels = [[label] for label in LABEL_N]
    best_N = _best(fit_classifier_head(FEATURES_NF, labels, 4).layer, FEATURES_NF)
    np.testing.assert_array_equal(_best(fit_classifier_head(moved_NF, labels, 4).layer, moved_NF), best_N)


def test_a_picture_of_two_labels_is_half_of_each():
    both = fit_classifier_head(np.zeros((50, 3), np.float32), [[0, 1]] * 50, 3).layer
    probability = both(torch.zeros(1, 3)).softmax(1)[0]
    assert abs(probability[0] - probability[1]) < 1e-6 and probability[0] > 0.49


def test_the_same_features_give_the_same_layer():
    labels = [[label] for label in LABEL_N]
    one, other = (fit_classifier_head(FEATURES_NF, labels, 4).layer for _ in range(2))
    assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)
