"""Cores, projections and the saved model: what fits is loaded exactly, what does not is refused in one line."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from devise.errors import ModelError
from devise.store.scratch import hash_file
from devise.vision import model as models
from devise.vision.images import Preprocessing, decode
from devise.vision.model import (
    DeviseModel,
    build_core,
    convex_projection,
    linear_projection,
    mlp_projection,
    network_id,
)


@pytest.mark.parametrize(
    ("architecture", "n_features", "side"),
    [
        ("mobilenet_v2", 1280, 64),
        ("resnet18", 512, 64),
        ("shufflenet_v2_x0_5", 1024, 64),
        ("squeezenet1_1", 512, 64),
        ("densenet121", 1024, 64),
        ("efficientnet_b0", 1280, 64),
        ("googlenet", 1024, 64),
        ("mobilenet_v3_small", 1024, 64),
    ],
)
def test_a_torchvision_classifier_is_cut_before_its_classification_layer(architecture, n_features, side):
    torch.manual_seed(0)
    core = build_core(architecture, None, None, 7)
    torch.manual_seed(0)
    options = {"init_weights": True} if architecture == "googlenet" else {}
    whole = torchvision.models.get_model(architecture, weights=None, num_classes=7, **options).eval()
    pixels = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        features_NF = core.features(pixels)
        assert features_NF.shape == (2, n_features) and core.n_features == n_features
        assert (core.classifier.in_features, core.classifier.out_features) == (n_features, 7)
        if architecture != "squeezenet1_1":  # there a ReLU stands behind the layer
            assert torch.allclose(core.classifier(features_NF), whole(pixels), atol=1e-4)


def test_the_small_cnn_takes_any_size_and_has_classes_only_when_asked():
    assert build_core("small_cnn").classifier is None
    core = build_core("small_cnn", n_classes=4)
    for side in (32, 33, 64):
        assert core.features(torch.zeros(2, 3, side, side)).shape == (2, core.n_features)
    assert core.classifier.out_features == core.n_classes == 4


def test_the_small_cnn_learns_from_scratch():
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=2)
    pixels = torch.randn(16, 3, 32, 32)
    truth = torch.arange(16) % 2
    pixels[truth == 1, :, ::4] += 2  # stripes
    both = nn.ModuleList([core.features, core.classifier]).train()
    optimiser = torch.optim.AdamW(both.parameters(), lr=3e-3)
    for _ in range(8):
        optimiser.zero_grad()
        nn.functional.cross_entropy(core.classifier(core.features(pixels)), truth).backward()
        optimiser.step()
    assert (core.classifier(core.features(pixels)).argmax(dim=1) == truth).float().mean() == 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), path)
    return path


def test_weights_from_a_file_are_the_core(weights):
    core = build_core("resnet18", str(weights), hash_file(weights), 5)
    assert torch.equal(core.classifier.weight, torch.load(weights, weights_only=True)["fc.weight"])
    assert not core.training and not core.features.training


def fault_of(*arguments, **settings) -> str:
    with pytest.raises(ModelError) as caught:
        build_core(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_do_not_fit_are_refused_in_one_line(weights, tmp_path):
    fault = fault_of("resnet18", str(weights), None, 1000)
    assert "resnet18" in fault and "2 of another shape" in fault and "fc.weight (5, 512), wanted (1000, 512)" in fault
    fault = fault_of("mobilenet_v2", str(weights), None, 5)
    assert "missing (first: features.0.0.weight" in fault and "unexpected (first: conv1.weight" in fault
    assert "0" * 64 in fault_of("resnet18", str(weights), "0" * 64, 5)
    assert "nowhere.pth" in fault_of("resnet18", str(tmp_path / "nowhere.pth"), None, 5)
    (tmp_path / "torn.pth").write_bytes(weights.read_bytes()[:1000])
    assert "cannot be read" in fault_of("resnet18", str(tmp_path / "torn.pth"), None, 5)
    (tmp_path / "text.pth").write_text("no weights at all")
    assert "cannot be read" in fault_of("resnet18", str(tmp_path / "text.pth"), None, 5)
    torch.save([1, 2], tmp_path / "list.pth")
    assert "found list, wanted a state dict" in fault_of("resnet18", str(tmp_path / "list.pth"), None, 5)


class Harmful:
    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


def test_weights_are_never_unpickled_into_code(tmp_path):
    torch.save({"fc.weight": Harmful()}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Harmful()))
    for name in ("a.pth", "b.pth"):
        assert "cannot be read" in fault_of("resnet18", str(tmp_path / name), None, 5)
    assert not Harmful.ran


def test_an_unknown_architecture_names_its_neighbours():
    assert "'mobilenet_v2'" in fault_of("mobilenetv2")
    assert "fasterrcnn" in fault_of("fasterrcnn_resnet50_fpn")
    assert "1000 classes" in fault_of("resnet18", "torchvision:DEFAULT", None, 3)
    assert "only for torchvision" in fault_of("small_cnn", "torchvision:DEFAULT")


def test_a_linear_projection_is_its_matrix():
    rng = np.random.default_rng(0)
    weight_FD, bias_D, features_NF = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(2, 4))
    found = linear_projection(weight_FD, bias_D)(torch.from_numpy(features_NF).float())
    assert np.allclose(found.detach().numpy(), features_NF @ weight_FD + bias_D, atol=1e-5)


def test_the_mlp_is_the_seeds():
    kinds = [type(layer).__name__ for layer in mlp_projection(20, 6, 0.5)]
    assert kinds == ["BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert mlp_projection(20, 6, 0.5)(torch.randn(3, 20)).shape == (3, 6)


def classifier_of(weight_CF) -> nn.Linear:
    layer = nn.Linear(len(weight_CF[0]), len(weight_CF), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight_CF))
    return layer


def test_conse_by_hand():
    # Logits 2, 1, 0, 9 for the feature 1; class 3 has no vector; the two most probable others weigh e^2 and e^1.
    classifier = classifier_of([[2.0], [1.0], [0.0], [9.0]])
    vectors_CD = np.array([[1, 0], [0, 1], [5, 5], [np.nan, np.nan]], dtype=np.float32)
    first = np.exp(2) / (np.exp(2) + np.exp(1))
    found = convex_projection(classifier, vectors_CD, temperature=1.0, top_t=2)(torch.ones(1, 1))
    assert found.detach().numpy() == pytest.approx(np.array([[first, 1 - first]]))
    cold = np.exp(4) / (np.exp(4) + np.exp(2))
    found = convex_projection(classifier, vectors_CD, temperature=0.5, top_t=2)(torch.ones(1, 1))
    assert found.detach().numpy() == pytest.approx(np.array([[cold, 1 - cold]]))


@pytest.mark.parametrize("top_t", [1, 3, 8, 50])
def test_conse_is_the_truncated_renormalised_softmax(top_t):
    rng = np.random.default_rng(top_t)
    classifier = nn.Linear(6, 8)
    vectors_CD = rng.normal(size=(8, 4)).astype(np.float32)
    vectors_CD[[1, 5]] = np.nan
    features_NF = torch.from_numpy(rng.normal(size=(5, 6)).astype(np.float32))
    probability_NC = classifier(features_NF).softmax(dim=1).detach().numpy()
    probability_NC[:, [1, 5]] = 0
    for row in probability_NC:
        row[np.argsort(-row)[top_t:]] = 0
    wanted = probability_NC / probability_NC.sum(axis=1, keepdims=True) @ np.nan_to_num(vectors_CD)
    found = convex_projection(classifier, vectors_CD, 1.0, top_t)(features_NF)
    assert np.allclose(found.detach().numpy(), wanted, atol=1e-5)


def test_a_convex_projection_can_be_trained_and_leaves_the_classifier_alone():
    classifier = nn.Linear(4, 3)
    projection = convex_projection(classifier, np.eye(3, dtype=np.float32), 1.0, 2)
    projection(torch.randn(5, 4)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in projection.parameters())
    with torch.no_grad():
        projection.classifier.weight.zero_()
    assert classifier.weight.abs().sum() > 0


def test_class_vectors_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="found 2 rows, wanted one a class: 3"):
        convex_projection(nn.Linear(4, 3), np.ones((2, 5), np.float32))
    with pytest.raises(ModelError, match="none of the 3 classes"):
        convex_projection(nn.Linear(4, 3), np.full((3, 5), np.nan, np.float32))


def make(kind: str = "linear", **card) -> DeviseModel:
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=6)
    rng = np.random.default_rng(0)
    vectors_CD = rng.normal(size=(6, 5)).astype(np.float32)
    vectors_CD[2] = np.nan
    projection = {
        "linear": lambda: linear_projection(rng.normal(size=(core.n_features, 5)), rng.normal(size=5)),
        "mlp": lambda: mlp_projection(core.n_features, 5, 0.2),
        "convex": lambda: convex_projection(core.classifier, vectors_CD, 0.5, 3),
    }[kind]()
    return DeviseModel(core, projection, Preprocessing(36, 32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)), **card)


PIXELS = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["linear", "mlp", "convex"])
def test_a_saved_model_comes_back_the_same(kind, tmp_path):
    made = make(kind, vocabulary_id="v", seen=["dog", "crème"], training={"loss": "none"})
    model_id = models.save(made, tmp_path / "m")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["card.json", "model.safetensors"]
    models._loaded.clear()
    found = models.load(tmp_path / "m")
    with torch.inference_mode():
        for left, right in zip(found(PIXELS), made(PIXELS), strict=True):
            assert torch.equal(left, right)
    assert found.preprocessing == made.preprocessing and found.dim == 5
    assert found.card == {
        "vocabulary_id": "v",
        "seen": ["dog", "crème"],
        "training": {"loss": "none"},
        "model_id": model_id,
    }
    assert found.model_id == made.model_id == model_id and len(model_id) == 16
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert models.load(tmp_path / "m") is found
    assert models.save(found, tmp_path / "again") == model_id
    for name in ("card.json", "model.safetensors"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_model_id_follows_the_content(tmp_path):
    first = models.save(make(vocabulary_id="a"), tmp_path / "1")
    assert models.save(make(vocabulary_id="a"), tmp_path / "2") == first
    assert models.save(make(vocabulary_id="b"), tmp_path / "3") != first
    other = make(vocabulary_id="a")
    with torch.no_grad():
        other.projection.bias[0] += 1
    assert models.save(other, tmp_path / "4") != first


def test_a_torn_model_folder_is_refused(tmp_path):
    models.save(make(), tmp_path / "whole")
    models._loaded.clear()

    def fault(name: str, content: bytes | None) -> str:
        folder = tmp_path / "torn"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", folder)
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(ModelError) as caught:
            models.load(folder)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
        return str(caught.value)

    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in ("card.json", "model.safetensors")}
    assert "sha256" in fault("model.safetensors", whole["model.safetensors"][:-8])
    assert "sha256" in fault("model.safetensors", b"")
    fault("model.safetensors", None)
    fault("card.json", None)
    fault("card.json", whole["card.json"][:-20])
    fault("card.json", b"[]")
    fault("card.json", b"{}")
    assert "altered" in fault("card.json", whole["card.json"].replace(b'"dim": 5', b'"dim": 6'))
    card = json.loads(whole["card.json"])
    card["projection"]["dim"] = 6
    card["model_id"] = models._card_id(card)
    assert "do not fit the card" in fault("card.json", json.dumps(card).encode())
    models.load(tmp_path / "whole")


def test_forward_normalises_as_the_preprocessing_says():
    made = make()
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (made.preprocessing.mean, made.preprocessing.std))
    wanted = (PIXELS.numpy() / 255 - mean) / std
    assert np.allclose(made.normalise(PIXELS).numpy(), wanted, atol=1e-5)
    embedding_ND, norm_N = made(PIXELS)
    assert torch.allclose(embedding_ND.norm(dim=1), torch.ones(3), atol=1e-6) and (norm_N > 0).all()
    with torch.no_grad():
        for parameter in made.projection.parameters():
            parameter.zero_()
    embedding_ND, norm_N = made(PIXELS)
    assert not embedding_ND.any() and not norm_N.any()


def test_a_network_id_follows_weights_and_preprocessing():
    preprocessing = Preprocessing(64, 64)
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=3)
    torch.manual_seed(0)
    twin = build_core("small_cnn", n_classes=3)
    assert network_id(core, preprocessing) == network_id(twin, preprocessing)
    assert network_id(core, Preprocessing(64, 56)) != network_id(core, preprocessing)
    with torch.no_grad():
        twin.features[1].running_mean += 0.1
    assert network_id(core, preprocessing) != network_id(twin, preprocessing)


def test_ids_of_bilinear_models_stay_as_they_were(tmp_path):
    core = build_core("small_cnn", n_classes=3)
    with torch.no_grad():
        for value in core.state_dict().values():
            value.fill_(1)
    preprocessing = Preprocessing(64, 56, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert network_id(core, preprocessing) == "b16674c1b3d73ffc"
    assert network_id(core, replace(preprocessing, interpolation="bicubic")) != "b16674c1b3d73ffc"
    projection = linear_projection(np.ones((256, 2), np.float32), np.ones(2, np.float32))
    assert models.save(DeviseModel(core, projection, preprocessing), tmp_path) == "18a61fbde69c9f97"


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_card_keeps_how_pictures_are_resized_and_an_old_one_means_bilinear(tmp_path, interpolation):
    core = build_core("small_cnn", n_classes=3)
    projection = linear_projection(np.ones((256, 2), np.float32), np.ones(2, np.float32))
    made = DeviseModel(core, projection, Preprocessing(64, 56, interpolation=interpolation))
    models.save(made, tmp_path)
    assert ("interpolation" in json.loads((tmp_path / "card.json").read_text())["preprocessing"]) == (
        interpolation == "bicubic"
    )
    assert models.load(tmp_path).preprocessing == made.preprocessing


def test_real_weights_name_real_photographs(data):
    core = build_core("mobilenet_v2", str(data / "weights/mobilenet_v2_imagenet1k.pth"), None, None)
    preprocessing = Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)
    made = DeviseModel(core, None, preprocessing)
    paths = sorted((data / "images/imagenet1k_one_per_class").iterdir())
    truth = torch.arange(0, len(paths), 25)
    pixels = torch.stack([decode(paths[i].read_bytes(), preprocessing, 10**8).pixels for i in truth])
    with torch.inference_mode():
        _, probability_NC = made.classify(core.features(made.normalise(pixels)))
    # 77 % of all thousand; of these forty at least 60 %.
    assert (probability_NC.argmax(dim=1) == truth).float().mean() >= 0.6
