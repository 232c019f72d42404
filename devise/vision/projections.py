"""Projections from pooled features into word-vector space; knows no pixels, folders or cards.

Shape letters: N images, F features, D dims, C classes, T most probable classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from devise.errors import ModelError

HIDDEN_UNITS = 512
TOP_CLASSES = 10
"""Classes that are told of each image: ten ids and probabilities cost 80 bytes beside its embedding."""


class MlpProjection(nn.Sequential):
    """BN, dropout, 512, ReLU, BN, dropout, D: features (N, F) -> (N, D)."""

    def __init__(self, n_features: int, dim: int, dropout: float):
        super().__init__(
            *(nn.BatchNorm1d(n_features), nn.Dropout(dropout), nn.Linear(n_features, HIDDEN_UNITS), nn.ReLU()),
            *(nn.BatchNorm1d(HIDDEN_UNITS), nn.Dropout(dropout), nn.Linear(HIDDEN_UNITS, dim)),
        )
        self.spec = {"kind": "mlp", "n_features": n_features, "dim": dim, "dropout": dropout}


class ConvexProjection(nn.Module):
    """Convex combination of class vectors, features (N, F) -> (N, D): ConSE, Norouzi et al. 2013, equation 4.

    Softmax over the `top_t` most probable classes at `temperature`, which is the softmax over all classes truncated and
    renormalised; then a layer of class vectors. Both layers are parameters, so training starts where ConSE ends.
    With `rows_weight`, a linear map is added whose product with a label's vector is the score of a classifier row
    that was regressed from it (`learning.rows`); each of the two is divided by the standard deviation of its products
    with the labels' vectors, so that the weight means the same of every image. The sum is one vector still.

    Attributes:
        class_index: the classes' places in the list of the weights' classes; those that were left out have none here.
        rows, spread: the linear map, and a (D, D) matrix: the deviation of a vector's products is |spread v|. None
            without `rows_weight`.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        dim: int,
        bias: bool,
        temperature: float,
        top_t: int,
        rows_weight: float = 0.0,
        class_index: Sequence[int] | None = None,
    ):
        super().__init__()
        if temperature <= 0 or top_t < 1 or rows_weight < 0:
            raise ValueError(
                f"temperature {temperature}, top_t {top_t}, rows_weight {rows_weight}: wanted above 0, at least 1 and "
                "at least 0"
            )
        self.classifier = nn.Linear(n_features, n_classes, bias=bias)
        self.class_vectors = nn.Linear(n_classes, dim, bias=False)
        self.temperature, self.top_t, self.rows_weight = temperature, min(top_t, n_classes), rows_weight
        self.class_index = list(range(n_classes)) if class_index is None else list(class_index)
        self.register_buffer("_places", torch.tensor(self.class_index, dtype=torch.int32), persistent=False)
        self.rows = nn.Linear(n_features, dim) if rows_weight else None
        self.register_buffer("spread", torch.eye(dim) if rows_weight else None)

    @property
    def spec(self) -> dict[str, Any]:
        """What `build_projection` makes another one of this shape from."""
        layer, dim = self.classifier, self.class_vectors.out_features
        found = {"kind": "convex", "n_features": layer.in_features, "n_classes": layer.out_features, "dim": dim}
        found |= {"bias": layer.bias is not None, "temperature": self.temperature, "top_t": self.top_t}
        return found | {"rows_weight": self.rows_weight, "class_index": self.class_index}

    def forward(self, features_NF: torch.Tensor) -> torch.Tensor:
        return self._combine(features_NF, self.classifier(features_NF))

    def with_classes(self, features_NF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`forward`, and of each image its TOP_CLASSES most probable classes, best first, with their probabilities.

        Returns:
            projected_ND; int32 (N, T) places in the list of the weights' classes; float32 (N, T), softmax at
            temperature 1 over the classes that are left.
        """
        logits_NC = self.classifier(features_NF)
        top_NT, class_NT = logits_NC.topk(min(TOP_CLASSES, logits_NC.shape[1]), dim=1)
        probability_NT = (top_NT - logits_NC.logsumexp(dim=1, keepdim=True)).exp()
        return self._combine(features_NF, logits_NC), self._places[class_NT], probability_NT

    def _combine(self, features_NF: torch.Tensor, logits_NC: torch.Tensor) -> torch.Tensor:
        top_NT, class_NT = (logits_NC / self.temperature).topk(self.top_t, dim=1)
        weights_NC = torch.zeros_like(logits_NC).scatter(1, class_NT, top_NT.softmax(dim=1))
        convex_ND = self.class_vectors(weights_NC)
        if self.rows is None:
            return convex_ND
        return self._standardised(convex_ND) + self.rows_weight * self._standardised(self.rows(features_NF))

    def _standardised(self, vectors_ND: torch.Tensor) -> torch.Tensor:
        deviation_N1 = (vectors_ND @ self.spread.T).norm(dim=1, keepdim=True)
        return vectors_ND / deviation_N1.clamp_min(torch.finfo(torch.float32).tiny)


class LinearProjection(nn.Linear):
    """One affine map: features (N, F) -> (N, D)."""

    def __init__(self, n_features: int, dim: int):
        super().__init__(n_features, dim)
        self.spec = {"kind": "linear", "n_features": n_features, "dim": dim}


def linear_projection(weight_FD: np.ndarray, bias_D: np.ndarray) -> LinearProjection:
    """features @ weight_FD + bias_D."""
    projection = LinearProjection(*weight_FD.shape)
    fill(projection.weight, np.asarray(weight_FD).T)
    fill(projection.bias, bias_D)
    return projection.eval()


def mlp_projection(n_features: int, dim: int, dropout: float = 0.25) -> MlpProjection:
    """A fresh multi-layer projection, to be trained; seed torch first for the same weights again."""
    return MlpProjection(n_features, dim, dropout)


def convex_projection(
    classifier: nn.Linear, class_vectors_CD: np.ndarray, temperature: float = 1.0, top_t: int = 10
) -> ConvexProjection:
    """ConSE on a copy of `classifier`, usable untrained.

    Args:
        class_vectors_CD: unit word vectors of the classifier's classes, in its order; a row with NaN has no vector, and
            its class is left out before the `top_t` are chosen.

    Raises:
        ModelError: not one row a class, or no class has a vector.
    """
    if len(class_vectors_CD) != classifier.out_features:
        raise ModelError(
            f"class vectors: found {len(class_vectors_CD)} rows, wanted one a class: {classifier.out_features}"
        )
    kept = np.isfinite(class_vectors_CD).all(axis=1)
    if not kept.any():
        raise ModelError(f"class vectors: none of the {len(kept)} classes of the weights has a word vector")
    bias = classifier.bias is not None
    places = np.flatnonzero(kept)
    projection = ConvexProjection(
        *(classifier.in_features, len(places), class_vectors_CD.shape[1], bias, temperature, top_t),
        class_index=places.tolist(),
    )
    rows = torch.from_numpy(places)
    fill(projection.classifier.weight, classifier.weight.detach().cpu()[rows])
    if bias:
        fill(projection.classifier.bias, classifier.bias.detach().cpu()[rows])
    fill(projection.class_vectors.weight, np.asarray(class_vectors_CD)[kept].T)
    return projection.eval()


def with_rows(
    projection: ConvexProjection, map_DF: np.ndarray, mean_F: np.ndarray, spread_DD: np.ndarray, weight: float
) -> ConvexProjection:
    """A convex projection like this one, with a linear part of this weight: map_DF @ (features - mean_F).

    Args:
        spread_DD: |spread v| is the standard deviation, over the labels, of their products with a vector v.
    """
    mixed = build_projection({**projection.spec, "rows_weight": weight})
    mixed.classifier.load_state_dict(projection.classifier.state_dict())
    mixed.class_vectors.load_state_dict(projection.class_vectors.state_dict())
    fill(mixed.rows.weight, np.asarray(map_DF, dtype=np.float32))
    fill(mixed.rows.bias, np.asarray(-map_DF @ mean_F, dtype=np.float32))
    fill(mixed.spread, np.asarray(spread_DD, dtype=np.float32))
    return mixed.eval()


def build_projection(spec: dict[str, Any]) -> nn.Module:
    """A projection of the shape that another one's `spec` tells, with fresh weights."""
    kinds = {"linear": LinearProjection, "mlp": MlpProjection, "convex": ConvexProjection}
    return kinds[spec["kind"]](**{name: value for name, value in spec.items() if name != "kind"})


def fill(parameter: torch.Tensor, values: Any) -> None:
    """Set all numbers of a parameter; `ValueError` if the shapes differ."""
    values = torch.as_tensor(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    if values.shape != parameter.shape:
        raise ValueError(f"found values of shape {tuple(values.shape)}, wanted {tuple(parameter.shape)}")
    with torch.no_grad():
        parameter.copy_(values)
