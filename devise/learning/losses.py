"""Objectives of the projection: cosine, hinge rank and the sums of ridge; knows no images, files or training loop.

Shape letters: N images, F features, D dims, L training labels, T true labels of an image, padded with -1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

BLOCK_ROWS = 4096


def cosine(projected_ND: torch.Tensor, target_ND: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - cosine between projected images and their targets, 0 to 2; lengths do not matter."""
    return (1 - functional.cosine_similarity(projected_ND, target_ND, dim=1)).mean()


def hinge_rank(
    projected_ND: torch.Tensor, label_vectors_LD: torch.Tensor, true_NT: torch.Tensor, margin: float = 0.1
) -> torch.Tensor:
    """Mean over images of the hinge rank loss (DeViSE, equation 1): every false label that comes within `margin` costs.

    loss(image) = sum over false labels j of max(0, margin - t_true . v + t_j . v). False labels are the training labels
    that are not among the image's true ones. The cost of several true labels is averaged: each is to be found.
    The sum is whole; the paper stops at the first violation in a random order to save time, which one matrix product
    over all labels does not need (and it measured no better).

    Args:
        projected_ND: v, what the projection gives; scaled to unit rows by the caller if cosine is what will rank.
        label_vectors_LD: unit rows, all training labels.
        true_NT: int64 rows of `label_vectors_LD`, -1 where an image has fewer than T true labels, never all -1.

    Raises:
        ValueError: shapes disagree.
    """
    if projected_ND.shape[1] != label_vectors_LD.shape[1] or len(projected_ND) != len(true_NT):
        raise ValueError(
            f"projected {tuple(projected_ND.shape)}, label vectors {tuple(label_vectors_LD.shape)}, "
            f"true labels {tuple(true_NT.shape)}: wanted (N, D), (L, D), (N, T)"
        )
    score_NL = projected_ND @ label_vectors_LD.T
    given_NT = true_NT >= 0
    index_NT = true_NT.clamp(min=0)
    # A padding -1 is sent to one column beyond the labels, so that it marks no label as true.
    beyond_NT = torch.where(given_NT, true_NT, len(label_vectors_LD))
    true_NL = score_NL.new_zeros(len(score_NL), len(label_vectors_LD) + 1).scatter_(1, beyond_NT, 1)[:, :-1]
    excess_NTL = (margin - score_NL.gather(1, index_NT)[:, :, None] + score_NL[:, None, :]).clamp(min=0)
    cost_NT = (excess_NTL * (1 - true_NL)[:, None, :]).sum(2)
    return ((cost_NT * given_NT).sum(1) / given_NT.sum(1)).mean()


@dataclass
class RidgeSums:
    """Sufficient sums of ridge regression in float64: kept per partition, added up with `+` in any order, then solved.

    F x F + F x D numbers whatever the number of images: 16 MB for 1280 features and 300 dims.
    """

    n_images: int
    feature_sum_F: np.ndarray
    target_sum_D: np.ndarray
    gram_FF: np.ndarray
    cross_FD: np.ndarray

    @classmethod
    def zeros(cls, n_features: int, dim: int) -> "RidgeSums":
        shapes = ((n_features,), (dim,), (n_features, n_features), (n_features, dim))
        return cls(0, *(np.zeros(shape) for shape in shapes))

    def accumulate(self, features_NF: np.ndarray, targets_ND: np.ndarray) -> "RidgeSums":
        """Add rows to these sums, in blocks so that only a block is held in float64; returns itself.

        Raises:
            ValueError: shapes disagree with each other or with the sums, or a value is not finite.
        """
        wanted = (len(targets_ND), len(self.feature_sum_F)), (len(features_NF), len(self.target_sum_D))
        if (features_NF.shape, targets_ND.shape) != wanted:
            raise ValueError(f"features {features_NF.shape}, targets {targets_ND.shape}: wanted {wanted}")
        for start in range(0, len(features_NF), BLOCK_ROWS):
            block_BF = features_NF[start : start + BLOCK_ROWS].astype(np.float64)
            target_BD = targets_ND[start : start + BLOCK_ROWS].astype(np.float64)
            if not (np.isfinite(block_BF).all() and np.isfinite(target_BD).all()):
                raise ValueError(f"rows {start} to {start + len(block_BF)}: a feature or target is not finite")
            self.n_images += len(block_BF)
            self.feature_sum_F += block_BF.sum(axis=0)
            self.target_sum_D += target_BD.sum(axis=0)
            self.gram_FF += block_BF.T @ block_BF
            self.cross_FD += block_BF.T @ target_BD
        return self

    def __add__(self, other: "RidgeSums") -> "RidgeSums":
        return RidgeSums(
            self.n_images + other.n_images,
            self.feature_sum_F + other.feature_sum_F,
            self.target_sum_D + other.target_sum_D,
            self.gram_FF + other.gram_FF,
            self.cross_FD + other.cross_FD,
        )

    def solve(self, penalty: float, target_mean: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The affine map features -> embedding that minimises squared error + penalty x squared weights.

        The penalty falls on the weights of standardised features (mean 0, standard deviation 1 over the rows summed)
        towards centred targets. Standardisation is folded in: `features_NF @ W_FD + bias_D` is the whole map. A feature
        that never varies gets weight 0.

        Args:
            penalty: lambda, above 0, to be compared with the number of images.
            target_mean: add the mean target to every prediction, as regression does. Without it predictions are
                deviations from the mean word vector: shrunken predictions then do not all lie near the mean and its
                hubs, which ranks unseen labels better among themselves and seen ones worse.

        Returns:
            W_FD, bias_D: float32, rows of the result not yet unit.

        Raises:
            ValueError: no rows were summed, or the penalty is not above 0.
        """
        if self.n_images == 0 or not penalty > 0:
            raise ValueError(f"{self.n_images} images and penalty {penalty}: wanted at least 1 and above 0")
        mean_F, mean_D = self.feature_sum_F / self.n_images, self.target_sum_D / self.n_images
        covariance_FF = self.gram_FF / self.n_images - np.outer(mean_F, mean_F)
        variance_F = np.diag(covariance_FF)
        # Below this a variance is rounding of the two large numbers it is the difference of.
        varies_F = variance_F > 1e-12 * (1 + mean_F**2)
        scale_F = np.where(varies_F, 1 / np.sqrt(np.where(varies_F, variance_F, 1)), 0)
        left_FF = self.n_images * covariance_FF * np.outer(scale_F, scale_F)
        left_FF[np.diag_indices_from(left_FF)] += penalty
        right_FD = scale_F[:, None] * (self.cross_FD - self.n_images * np.outer(mean_F, mean_D))
        weight_FD = scale_F[:, None] * np.linalg.solve(left_FF, right_FD)
        bias_D = (mean_D if target_mean else 0) - mean_F @ weight_FD
        return weight_FD.astype(np.float32), bias_D.astype(np.float32)

    def squared_error(self, weight_FD: np.ndarray, bias_D: np.ndarray) -> float:
        """Mean over the rows summed of |target - prediction|^2, for unit targets, without the rows themselves.

        Raises:
            ValueError: no rows were summed.
        """
        if self.n_images == 0:
            raise ValueError("0 images: wanted at least 1")
        weight_FD, bias_D = weight_FD.astype(np.float64), bias_D.astype(np.float64)
        crossed = (weight_FD * self.cross_FD).sum() + bias_D @ self.target_sum_D
        squared = (weight_FD * (self.gram_FF @ weight_FD)).sum() + 2 * self.feature_sum_F @ weight_FD @ bias_D
        return float((self.n_images - 2 * crossed + squared) / self.n_images + bias_D @ bias_D)
