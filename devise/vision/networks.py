"""Core visual models without their classification layer; knows no projections, folders or cards.

Shape letters: N images, F features, C classes, H and W pixels.
"""

import difflib
from collections.abc import Sequence

import torch
import torchvision
from torch import nn

from devise.errors import ModelError
from devise.groups import STARTER, TORCHVISION
from devise.vision import efficientnet_lite
from devise.vision.projections import fill
from devise.vision.published import N_CLASSES, starter_file, torchvision_weights
from devise.vision.weights import read_state

SMALL_CNN = "small_cnn"


class Core(nn.Module):
    """A core visual model cut before its classification layer.

    Attributes:
        features: normalised images float32 (N, 3, H, W) -> (N, F).
        classifier: the layer that was cut off, F -> C; None for an architecture built without classes.
        architecture, n_classes: what `build_core` was asked for. n_features: F.
    """

    def __init__(self, architecture: str, features: nn.Module, classifier: nn.Linear | None, n_features: int):
        super().__init__()
        self.features, self.classifier = features, classifier
        self.architecture, self.n_features = architecture, n_features
        self.n_classes = classifier.out_features if classifier is not None else None
        self.eval()


def build_core(
    architecture: str, weights_path: str | None = None, sha256: str | None = None, n_classes: int | None = None
) -> Core:
    """A core visual model in evaluation mode.

    Args:
        architecture: a torchvision classifier's name, one of `efficientnet_lite.SIZES`, or `small_cnn` (for pictures of
            about 64 pixels).
        weights_path: local file with a state dict that fits exactly (see `weights`), `starter`, `torchvision:NAME`, or
            None for fresh weights.
        sha256: of that file, 64 hex digits, checked when given.
        n_classes: outputs of the classification layer; default 1000, and no layer at all for `small_cnn`.

    Raises:
        ModelError: the architecture is unknown, or the weights cannot be read or do not fit.
        ConfigError: the package of the starter's weights is not installed.
    """
    if weights_path == STARTER:
        weights_path, sha256 = starter_file(architecture)
    downloaded = weights_path is not None and weights_path.startswith(TORCHVISION)
    wanted = N_CLASSES if n_classes is None else n_classes
    if downloaded:
        network = _downloaded(architecture, weights_path, wanted)
    elif architecture == SMALL_CNN:
        network = SmallCnn(n_classes).to(memory_format=torch.channels_last)  # trains faster so on a CPU
    elif architecture in efficientnet_lite.SIZES:
        network = efficientnet_lite.EfficientNetLite(architecture, wanted)
    else:
        network = _torchvision_classifier(architecture, wanted)
    if weights_path is not None and not downloaded:
        _load_weights(network, architecture, weights_path, sha256)
    if architecture == SMALL_CNN:
        return Core(architecture, network.features, network.classifier, SmallCnn.WIDTHS[-1])
    classifier = _cut(network)
    return Core(architecture, network, classifier, classifier.in_features)


class SmallCnn(nn.Module):
    """A small residual network (He et al. 2016) that learns from scratch in seconds on pictures of about 64 pixels."""

    WIDTHS = (32, 64, 128, 256)

    def __init__(self, n_classes: int | None):
        super().__init__()
        first, *wider = self.WIDTHS
        stages = [_Residual(before, width) for before, width in zip(self.WIDTHS, wider, strict=False)]
        stem = (nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True))
        self.features = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.classifier = nn.Linear(self.WIDTHS[-1], n_classes) if n_classes is not None else None


class _Residual(nn.Module):
    """Two convolutions beside a pooled 1x1 shortcut; halves the picture."""

    def __init__(self, before: int, width: int):
        super().__init__()
        self.straight = nn.Sequential(
            *(
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ),
            *(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.straight(x) + self.shortcut(x))


def misfit(module: nn.Module, state: dict[str, torch.Tensor]) -> str | None:
    """What keeps `state` from being `module`'s state, in one line; None if it fits exactly."""
    wanted = module.state_dict()
    faults: Sequence[tuple[str, list[str]]] = (
        ("missing", [name for name in wanted if name not in state]),
        ("unexpected", [name for name in state if name not in wanted]),
        (
            "of another shape",
            [
                f"{name} {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
                for name in wanted
                if name in state and state[name].shape != wanted[name].shape
            ],
        ),
    )
    told = [f"{len(names)} {what} (first: {names[0]})" for what, names in faults if names]
    return "; ".join(told) or None


def _torchvision_classifier(architecture: str, n_classes: int) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        near = difflib.get_close_matches(architecture, [*known, *efficientnet_lite.SIZES, SMALL_CNN], n=3)
        raise ModelError(f"architecture {architecture}: found no such classifier; near: {near}")
    # GoogLeNet and Inception warn unless told how to start; others know no such argument.
    fresh = {"init_weights": True} if architecture in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(architecture, weights=None, num_classes=n_classes, **fresh)


def _downloaded(architecture: str, weights: str, n_classes: int) -> nn.Module:
    found = torchvision_weights(architecture, weights)
    if n_classes != N_CLASSES:
        raise ModelError(f"weights {weights}: they have {N_CLASSES} classes, wanted {n_classes}")
    try:
        return torchvision.models.get_model(architecture, weights=found)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"weights {weights} of {architecture}: cannot be had: {' '.join(str(error).split())}"
        ) from None


def _load_weights(network: nn.Module, architecture: str, path: str, sha256: str | None) -> None:
    state = read_state(path, sha256)
    if fault := misfit(network, state):
        raise ModelError(f"{path}: weights do not fit {architecture}: {fault}")
    network.load_state_dict(state)


def _cut(network: nn.Module) -> nn.Linear:
    """The classification layer (the last Linear or 1x1 convolution), taken out of `network` in place."""
    name, layer = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))
    ][-1]
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    if isinstance(layer, nn.Linear):
        return layer
    # SqueezeNet: classifies every position, then ReLU, then the mean; on the mean of the features the ReLU is missing.
    linear = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias is not None)
    fill(linear.weight, layer.weight.detach().flatten(1))
    if layer.bias is not None:
        fill(linear.bias, layer.bias.detach())
    return linear
