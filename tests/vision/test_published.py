"""What weights bring is what pixels go through, unless the settings say otherwise."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from devise.config import TrainConfig
from devise.errors import ModelError
from devise.vision.images import Preprocessing, decode
from devise.vision.networks import build_core
from devise.vision.published import preprocessing_of, published

WEIGHTS = [
    (architecture, name)
    for architecture in models.list_models(module=models)
    for name in models.get_model_weights(architecture).__members__
]
WHOLE = [one for one in WEIGHTS if one != ("vgg16", "IMAGENET1K_FEATURES")]


def config(**said) -> TrainConfig:
    return TrainConfig(warehouse="w", run="r", **said)


def photograph(width: int, height: int) -> Image.Image:
    """Soft shapes: at the hardest edges cubic overshoots, which is cut off after each axis here, and once there."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 0.8 * np.stack([np.sin(x / 9) * np.cos(y / 7), np.sin((x + y) / 5), np.sin(x * y / 4000)], axis=2)
    return Image.fromarray((127.5 + 127.5 * waves).astype(np.uint8))


def test_all_torchvision_weights_bring_preprocessing_and_a_name_a_class():
    assert len(WHOLE) > 100
    for architecture, name in WHOLE:
        found = published(architecture, f"torchvision:{name}")
        assert len(found.categories) == 1000 and found.categories[0] == "tench", (architecture, name)
        assert found.preprocessing.crop >= 224, (architecture, name)


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("resnet50", "IMAGENET1K_V1"),
        ("resnet50", "IMAGENET1K_V2"),
        ("mobilenet_v2", "DEFAULT"),
        ("efficientnet_b1", "IMAGENET1K_V1"),
        ("efficientnet_v2_s", "DEFAULT"),
        ("inception_v3", "DEFAULT"),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),
    ],
)
def test_pixels_are_prepared_as_the_weights_own_transforms_do(architecture, name):
    picture, written = photograph(500, 430), io.BytesIO()
    picture.save(written, "PNG")
    wanted = models.get_model_weights(architecture)[name].transforms()(
        torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    )
    brought = preprocessing_of(config(architecture=architecture, weights=f"torchvision:{name}"))
    pixels = decode(written.getvalue(), brought, 10**8).pixels
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (brought.mean, brought.std))
    found = (pixels / 255 - mean) / std
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1.01 / 255 / std.min()  # a pixel value of rounding


def test_what_the_settings_say_wins_and_a_file_has_the_defaults():
    lite = config(architecture="efficientnet_lite2", weights="starter")
    assert (preprocessing_of(lite).resize, preprocessing_of(lite).crop) == (292, 260)
    assert preprocessing_of(lite).interpolation == "bicubic"
    said = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear"}
    assert preprocessing_of(config(architecture="efficientnet_lite2", weights="starter", **said)) == Preprocessing(
        292, 260, **said
    )
    assert preprocessing_of(config(architecture="mobilenet_v2", weights="net.pth")) == Preprocessing()
    sized = config(architecture="mobilenet_v2", weights="net.pth", resize=64, crop=48)
    assert preprocessing_of(sized) == Preprocessing(64, 48)


@pytest.mark.parametrize(
    ("architecture", "weights", "words"),
    [
        (
            "resnet50",
            "torchvision:V3",
            "no such weights, known are ['IMAGENET1K_V1', 'IMAGENET1K_V2', 'DEFAULT']",
        ),
        ("vgg16", "torchvision:IMAGENET1K_FEATURES", "found no such weights, known are ['IMAGENET1K_V1', 'DEFAULT']"),
        ("efficientnet_lite0", "torchvision:DEFAULT", "only for torchvision architectures, found efficientnet_lite0"),
        ("mobilenet_v2", "starter", "found architecture mobilenet_v2, wanted one of ['efficientnet_lite0'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(architecture, weights, words):
    for use in (published, build_core):
        with pytest.raises(ModelError) as refused:
            use(architecture, weights)
        assert words in str(refused.value) and "\n" not in str(refused.value)
