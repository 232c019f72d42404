"""A classifier of pictures' own labels on cached features: multinomial logistic regression; no files, no projections.

Shape letters: N images, F features, L labels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from devise.learning.labelled import Labels

PENALTY = 10.0
"""Of the squared weights of standardised features, over all images; hit@1 was flat from 1 to 100 (docs/quality.md)."""
STEPS = 60


@dataclass(frozen=True)
class Classifier:
    """The layer F -> L, and the mean cross entropy that it ends at."""

    layer: nn.Linear
    loss: float


def fit_classifier_head(features_NF: np.ndarray, labels: Labels, n_labels: int) -> Classifier:
    """The layer under which the pictures' labels are likeliest; a picture with several labels is each of them in part.

    Features are standardised for the fit, which is folded into the layer. L-BFGS from zeros: nothing is drawn, and the
    same features give the same layer on one machine.
    """
    features_NF = np.asarray(features_NF, dtype=np.float32)
    mean_F, deviation_F = features_NF.mean(axis=0), features_NF.std(axis=0) + 1e-3
    standard_NF = torch.from_numpy((features_NF - mean_F) / deviation_F)
    target_NL = torch.zeros(len(labels), n_labels)
    for row, own in enumerate(labels):
        target_NL[row, own] = 1 / len(own)
    layer = nn.Linear(features_NF.shape[1], n_labels)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        penalty = PENALTY / 2 * layer.weight.square().sum() / len(labels)
        loss = functional.cross_entropy(layer(standard_NF), target_NL) + penalty
        loss.backward()
        return loss

    optimiser.step(step)
    with torch.no_grad():
        loss = functional.cross_entropy(layer(standard_NF), target_NL).item()
        layer.weight.div_(torch.from_numpy(deviation_F))
        layer.bias.sub_(layer.weight @ torch.from_numpy(mean_F))
    return Classifier(layer.requires_grad_(False), loss)
