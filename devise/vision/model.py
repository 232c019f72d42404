"""Core visual model and projection as one: forward, save, load; knows no stores, tables or threads.

A model is a folder of `model.safetensors` and `card.json`, never a pickle. Shape letters: N images, F features, D dims.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from devise.errors import ModelError
from devise.store.scratch import hash_file
from devise.vision.images import Preprocessing
from devise.vision.networks import Core, build_core, misfit
from devise.vision.projections import (
    ConvexProjection,
    build_projection,
    convex_projection,
    linear_projection,
    mlp_projection,
)

__all__ = [
    "DeviseModel",
    "build_core",
    "convex_projection",
    "linear_projection",
    "load",
    "mlp_projection",
    "network_id",
]

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "card.json"
_loaded: dict[str, "DeviseModel"] = {}


class DeviseModel(nn.Module):
    """Pixels -> embedding: the core visual model, then the projection (DeViSE, section 3).

    Attributes:
        core, projection, preprocessing: the parts. projection is None where only features are wanted.
        dim: D, or F without a projection.
        card: what else is known of it (vocabulary_id, seen labels, training figures); goes into card.json as it is.
        model_id: 16 hex digits of its content; None until it was saved or loaded.
    """

    def __init__(self, core: Core, projection: nn.Module | None, preprocessing: Preprocessing, **card: Any):
        super().__init__()
        self.core, self.projection, self.preprocessing = core, projection, preprocessing
        self.card, self.model_id = dict(card), card.get("model_id")
        self.dim: int = projection.spec["dim"] if projection is not None else core.n_features
        # The pixels' range is folded in: (pixels / 255 - mean) / std = pixels * scale - shift.
        std = torch.tensor(preprocessing.std, dtype=torch.float64).view(3, 1, 1)
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64).view(3, 1, 1)
        self.register_buffer("scale", (1 / (255 * std)).float(), persistent=False)
        self.register_buffer("shift", (mean / std).float(), persistent=False)
        self.eval()

    def forward(self, pixels_N3HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """embedding_ND float32 unit rows and norm_N float32, from uint8 pixels; a zero row stays zero."""
        return self.embed(self.core.features(self.normalise(pixels_N3HW)))

    def normalise(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        """What the core visual model takes, float32, from uint8 pixels."""
        return pixels_N3HW * self.scale - self.shift

    def embed(self, features_NF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """embedding_ND and norm_N from the pooled features."""
        if self.projection is None:
            raise ValueError("a model without a projection has features only")
        return _unit(self.projection(features_NF.float()))

    def embed_and_classify(self, features_NF: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """What `embed` gives, and the most probable classes with their probabilities (`with_classes`).

        Both are None where the projection knows no classes. Classes that training left out are not among them.
        """
        if not isinstance(self.projection, ConvexProjection):
            return *self.embed(features_NF), None, None
        projected_ND, class_id_NT, probability_NT = self.projection.with_classes(features_NF.float())
        return *_unit(projected_ND), class_id_NT, probability_NT

    def classify(self, features_NF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The features and, where the core has its classification layer, its probabilities_NC (softmax)."""
        features_NF = features_NF.float()
        classifier = self.core.classifier
        return features_NF, classifier(features_NF).softmax(dim=1) if classifier is not None else None


def save(model: DeviseModel, folder: str | Path) -> str:
    """Write `model` into `folder` (made if absent), the card last; returns model_id, 16 hex digits of its content.

    The same model gives the same bytes. card.json: format, model_id, architecture, n_classes, n_features, dim,
    preprocessing, projection, sha256 of the weights, and the model's own card (vocabulary_id, seen, training).
    """
    if model.projection is None:
        raise ValueError("a model without a projection is not a model to save")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    card = {
        **model.card,
        "format": FORMAT,
        "architecture": model.core.architecture,
        "n_classes": model.core.n_classes,
        "n_features": model.core.n_features,
        "dim": model.dim,
        "preprocessing": model.preprocessing.told(),
        "projection": model.projection.spec,
        "sha256": hash_file(folder / WEIGHTS),
    }
    model.model_id = card["model_id"] = _card_id(card)
    model.card["model_id"] = model.model_id
    (folder / CARD).write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return model.model_id


def load(folder: str | Path) -> DeviseModel:
    """The model in `folder`, in evaluation mode; the same object again for the same model_id in this process.

    Raises:
        ModelError: a file is missing or torn, or the two are not of one model.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        model_id = _card_id(card)
        if card["format"] != FORMAT or card["model_id"] != model_id:
            raise ModelError(
                f"{folder / CARD}: format {card['format']}, model_id {card['model_id']}: was altered or torn"
            )
        if model_id not in _loaded:
            if (found := hash_file(folder / WEIGHTS)) != card["sha256"]:
                raise ModelError(
                    f"{folder / WEIGHTS}: sha256 is {found}, wanted {card['sha256']}, which the card tells"
                )
            _loaded[model_id] = _build(card, load_file(folder / WEIGHTS), folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"{folder}: no whole model: {type(error).__name__}: {' '.join(str(error).split())}") from None
    return _loaded[model_id]


def network_id(core: Core, preprocessing: Preprocessing) -> str:
    """16 hex digits over the frozen core visual model, its classification layer included, and its preprocessing."""
    digest = hashlib.sha256(json.dumps([core.architecture, preprocessing.told()], sort_keys=True).encode())
    for name, value in sorted(core.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _build(card: dict[str, Any], state: dict[str, torch.Tensor], folder: Path) -> DeviseModel:
    parts = card["preprocessing"]
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in parts.items()}
    preprocessing = Preprocessing(**told)
    core = build_core(card["architecture"], n_classes=card["n_classes"])
    made_of = {"format", "architecture", "n_classes", "n_features", "dim", "preprocessing", "projection", "sha256"}
    own = {name: value for name, value in card.items() if name not in made_of}
    model = DeviseModel(core, build_projection(card["projection"]), preprocessing, **own)
    if fault := misfit(model, state):
        raise ModelError(f"{folder / WEIGHTS}: weights do not fit the card: {fault}")
    model.load_state_dict(state)
    return model.requires_grad_(False)


def _unit(vectors_ND: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of length 1 and the lengths they had; a zero row stays zero."""
    norm_N = vectors_ND.norm(dim=1)
    return vectors_ND / norm_N.clamp_min(torch.finfo(torch.float32).tiny)[:, None], norm_N


def _card_id(card: dict[str, Any]) -> str:
    content = {name: value for name, value in card.items() if name != "model_id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
