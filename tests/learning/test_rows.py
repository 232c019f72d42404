"""Classifier rows from class vectors, and the projection that adds them to ConSE's."""

import numpy as np
import pytest
import torch
from torch import nn

from devise.learning.rows import add_rows, label_spread, regress_rows
from devise.vision.projections import build_projection, convex_projection

GENERATOR = np.random.default_rng(0)
MAP_DF = GENERATOR.standard_normal((6, 10))
VECTORS_CD = GENERATOR.standard_normal((40, 6)).astype(np.float32)
VECTORS_CD /= np.linalg.norm(VECTORS_CD, axis=1, keepdims=True)
LABELS_VD = GENERATOR.standard_normal((500, 6)).astype(np.float32)


@pytest.fixture
def classifier() -> nn.Linear:
    layer = nn.Linear(10, 40)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(VECTORS_CD @ MAP_DF + 5.0))  # what all rows share tells nothing
        layer.bias.zero_()
    return layer


def test_rows_that_are_linear_in_the_vectors_are_found_again_whatever_all_of_them_share(classifier):
    rows_CF = classifier.weight.detach().numpy()
    np.testing.assert_allclose(regress_rows(VECTORS_CD, rows_CF, 1e-9), MAP_DF, atol=1e-4)
    assert np.abs(regress_rows(VECTORS_CD, rows_CF, 1e6)).max() < 1e-3


def test_the_spread_tells_the_deviation_of_a_vectors_products_with_the_labels():
    spread_DD = label_spread(LABELS_VD)
    for vector_D in GENERATOR.standard_normal((5, 6)):
        assert np.linalg.norm(spread_DD @ vector_D) == pytest.approx((LABELS_VD @ vector_D).std(), rel=1e-4)


def test_both_parts_weigh_the_same_of_every_image_and_their_sum_is_one_vector(classifier):
    mean_F = GENERATOR.standard_normal(10)
    plain = convex_projection(classifier, VECTORS_CD, temperature=2.0, top_t=5)
    mixed = add_rows(plain, LABELS_VD, mean_F, penalty=1e-9, weight=0.5)
    features_NF = torch.from_numpy(GENERATOR.standard_normal((7, 10)).astype(np.float32))
    with torch.inference_mode():
        found_ND, convex_ND = mixed(features_NF).numpy(), plain(features_NF).numpy()
    rows_ND = (features_NF.numpy() - mean_F) @ MAP_DF.T
    parts = [part / (LABELS_VD @ part.T).std(axis=0)[:, None] for part in (convex_ND, rows_ND)]
    np.testing.assert_allclose(found_ND, parts[0] + 0.5 * parts[1], rtol=1e-3, atol=1e-3)


def test_a_mixed_projection_comes_back_from_its_spec_and_state(classifier):
    mixed = add_rows(convex_projection(classifier, VECTORS_CD), LABELS_VD, None, 2.0, 0.5)
    again = build_projection(mixed.spec)
    again.load_state_dict(mixed.state_dict())
    features_NF = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(again(features_NF), mixed(features_NF), rtol=0, atol=0)


def test_the_most_probable_classes_are_told_by_their_place_among_the_weights_own(classifier):
    vectors_CD = VECTORS_CD.copy()
    vectors_CD[[0, 7]] = np.nan  # left out, as held-out classes are
    projection = convex_projection(classifier, vectors_CD, temperature=2.0, top_t=5)
    features_NF = torch.randn(4, 10, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        projected_ND, class_id_NT, probability_NT = projection.with_classes(features_NF)
        logits_NC = classifier(features_NF)
        logits_NC[:, [0, 7]] = -torch.inf
        torch.testing.assert_close(projected_ND, projection(features_NF))
    best_NT, place_NT = logits_NC.softmax(dim=1).topk(10, dim=1)
    torch.testing.assert_close(class_id_NT, place_NT.int())
    torch.testing.assert_close(probability_NT, best_NT)
