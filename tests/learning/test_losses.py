"""Objectives: worked by hand, and ridge against a plain least squares solve."""

import numpy as np
import pytest
import torch

from devise.learning.losses import RidgeSums, cosine, hinge_rank

LABELS_LD = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])


def test_cosine_ignores_length_and_runs_from_0_to_2():
    projected_ND = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-5.0, 0.0]])
    target_ND = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert cosine(projected_ND, target_ND).item() == pytest.approx((0 + 1 + 2) / 3)


def test_hinge_rank_by_hand():
    # v = (0.8, 0.6): scores 0.8, 0.6 and 0.48 + 0.48 = 0.96. True label 0: the second is 0.2 behind, beyond the
    # margin of 0.1; the third is 0.16 ahead and costs 0.26. True label 2: nobody within 0.1 of 0.96.
    v_ND = torch.tensor([[0.8, 0.6]])
    assert hinge_rank(v_ND, LABELS_LD, torch.tensor([[0]])).item() == pytest.approx(0.26)
    assert hinge_rank(v_ND, LABELS_LD, torch.tensor([[2]])).item() == pytest.approx(0.0)
    assert hinge_rank(v_ND, LABELS_LD, torch.tensor([[1]])).item() == pytest.approx(0.3 + 0.46)
    both = torch.cat([v_ND, v_ND])
    assert hinge_rank(both, LABELS_LD, torch.tensor([[0], [1]])).item() == pytest.approx((0.26 + 0.76) / 2)


def test_no_true_label_counts_as_false():
    # True labels 0 and 2: only label 1 (score 0.6) can cost, and it is beyond the margin of both (0.8 and 0.96) ...
    v_ND = torch.tensor([[0.8, 0.6]])
    assert hinge_rank(v_ND, LABELS_LD, torch.tensor([[0, 2]])).item() == pytest.approx(0.0)
    # ... until the margin is 0.3: 0.3 - 0.2 = 0.1 behind the first, 0 behind the second; their mean is 0.05.
    assert hinge_rank(v_ND, LABELS_LD, torch.tensor([[0, 2]]), margin=0.3).item() == pytest.approx(0.05)


def test_padding_changes_nothing_and_marks_no_label():
    generator = torch.Generator().manual_seed(0)
    v_ND = torch.randn(5, 4, generator=generator)
    labels_LD = torch.nn.functional.normalize(torch.randn(7, 4, generator=generator), dim=1)
    true_NT = torch.tensor([[0], [6], [3], [5], [2]])
    padded_NT = torch.cat([true_NT, torch.full((5, 2), -1)], dim=1)
    assert torch.equal(hinge_rank(v_ND, labels_LD, padded_NT), hinge_rank(v_ND, labels_LD, true_NT))


def test_hinge_rank_refuses_shapes_that_disagree():
    with pytest.raises(ValueError, match="wanted"):
        hinge_rank(torch.zeros(2, 3), LABELS_LD, torch.tensor([[0], [1]]))


def rows(n_images, n_features=6, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    features_NF = (rng.normal(size=(n_images, n_features)) * np.arange(1, n_features + 1) + 5).astype(np.float32)
    targets_ND = (features_NF[:, :dim] * 0.3 + rng.normal(size=(n_images, dim))).astype(np.float32)
    return features_NF, targets_ND


@pytest.mark.parametrize("penalty", [1e-6, 1.0, 300.0])
def test_ridge_is_least_squares_with_the_penalty_as_extra_rows(penalty):
    features_NF, targets_ND = rows(50)
    weight_FD, bias_D = RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND).solve(penalty)
    wide = features_NF.astype(np.float64)
    standard_NF = (wide - wide.mean(0)) / wide.std(0)
    left = np.vstack([standard_NF, np.sqrt(penalty) * np.eye(6)])
    right = np.vstack([targets_ND - targets_ND.mean(0), np.zeros((6, 3))])
    expected_ND = standard_NF @ np.linalg.lstsq(left, right, rcond=None)[0] + targets_ND.mean(0)
    np.testing.assert_allclose(features_NF @ weight_FD + bias_D, expected_ND, atol=2e-5)


def test_without_the_target_mean_predictions_are_shifted_by_it_and_nothing_else():
    features_NF, targets_ND = rows(40)
    sums = RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND)
    (weight_FD, bias_D), (same_FD, shifted_D) = sums.solve(10.0), sums.solve(10.0, target_mean=False)
    np.testing.assert_array_equal(weight_FD, same_FD)
    np.testing.assert_allclose(bias_D - shifted_D, targets_ND.mean(0), atol=1e-5)


def test_sums_added_in_any_split_and_order_give_the_same_map():
    features_NF, targets_ND = rows(23)
    whole_FD, whole_D = RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND).solve(5.0)
    for n_parts in range(1, 24):
        sums = RidgeSums.zeros(6, 3)
        for part in reversed(np.array_split(np.arange(23), n_parts)):
            sums = RidgeSums.zeros(6, 3).accumulate(features_NF[part], targets_ND[part]) + sums
        weight_FD, bias_D = sums.solve(5.0)
        assert sums.n_images == 23
        np.testing.assert_allclose(weight_FD, whole_FD, atol=1e-6)
        np.testing.assert_allclose(bias_D, whole_D, atol=1e-6)


def test_blocks_do_not_change_the_sums(monkeypatch):
    features_NF, targets_ND = rows(17)
    whole = RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND)
    monkeypatch.setattr("devise.learning.losses.BLOCK_ROWS", 4)
    blocked = RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND)
    np.testing.assert_allclose(blocked.gram_FF, whole.gram_FF)
    np.testing.assert_allclose(blocked.cross_FD, whole.cross_FD)


def test_a_feature_that_never_varies_weighs_nothing():
    features_NF, targets_ND = rows(30)
    features_NF[:, 2] = 1234.567
    features_NF[:, 4] = 0
    weight_FD, bias_D = RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND).solve(1e-3)
    assert np.abs(weight_FD[[2, 4]]).max() == 0
    assert np.isfinite(weight_FD).all() and np.isfinite(bias_D).all()


def test_ridge_refuses_what_it_cannot_solve():
    features_NF, targets_ND = rows(3)
    with pytest.raises(ValueError, match="0 images"):
        RidgeSums.zeros(6, 3).solve(1.0)
    with pytest.raises(ValueError, match="penalty 0"):
        RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND).solve(0)
    with pytest.raises(ValueError, match="wanted"):
        RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND[:2])
    features_NF[1, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        RidgeSums.zeros(6, 3).accumulate(features_NF, targets_ND)
