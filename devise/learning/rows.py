"""Classifier rows from class vectors: what a classifier would look for in a picture of a word; no images, no files.

A linear map from the classes' word vectors to the rows of a trained classifier needs no picture, and gives a row for
any word (Shigeto et al. 2015 map this way round against hubs; DGP, Kampffmeyer et al. 2019, by a graph network).
Shape letters: C classes, D dims, F features, V labels.
"""

import numpy as np
import torch

from devise.search.ranking import label_covariance
from devise.vision.projections import ConvexProjection, with_rows


def regress_rows(vectors_CD: np.ndarray, rows_CF: np.ndarray, penalty: float) -> np.ndarray:
    """map_DF float64: ridge regression of rows on vectors, both less their means; what all rows share tells nothing."""
    centred_CD = np.asarray(vectors_CD, dtype=np.float64)
    centred_CD = centred_CD - centred_CD.mean(axis=0)
    targets_CF = np.asarray(rows_CF, dtype=np.float64)
    targets_CF = targets_CF - targets_CF.mean(axis=0)
    gram_DD = centred_CD.T @ centred_CD
    gram_DD.flat[:: len(gram_DD) + 1] += penalty
    return np.linalg.solve(gram_DD, centred_CD.T @ targets_CF)


def label_spread(vectors_VD: np.ndarray) -> np.ndarray:
    """spread_DD float32: |spread v| is the standard deviation, over the labels, of their vectors' products with v."""
    value_D, axis_DD = np.linalg.eigh(label_covariance(vectors_VD))
    return (np.sqrt(value_D.clip(0))[:, None] * axis_DD.T).astype(np.float32)


def add_rows(
    projection: ConvexProjection, vectors_VD: np.ndarray, mean_F: np.ndarray | None, penalty: float, weight: float
) -> ConvexProjection:
    """A convex projection with the linear part regressed from its own classes (`ConvexProjection`).

    Args:
        vectors_VD: of the labels.
        mean_F: mean features of pictures such as will come: a word's row is asked how a picture differs from them, else
            words whose rows lie along it are hubs. None: of no picture, zeros.
    """
    with torch.no_grad():
        vectors_CD = projection.class_vectors.weight.T.numpy()
        rows_CF = projection.classifier.weight.numpy()
    map_DF = regress_rows(vectors_CD, rows_CF, penalty)
    mean_F = np.zeros(rows_CF.shape[1]) if mean_F is None else mean_F
    return with_rows(projection, map_DF, mean_F, label_spread(vectors_VD), weight)
