"""Stand-ins for the shipped facts and for published weights: small, made here, and of the right form."""

from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image

import devise.sample
from devise.facts import shipped
from devise.store import s3

SAMPLE = Path(devise.sample.__file__).parent
ARCHITECTURE = "mobilenet_v3_small"


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A state dict of fresh weights: what it calls things does not matter here."""
    path = tmp_path_factory.mktemp("weights") / "fresh.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.get_model(ARCHITECTURE).state_dict(), path)
    return path


@pytest.fixture
def facts(tmp_path_factory, monkeypatch) -> None:
    """`wordnet` and `imagenet1k` are the sample's nouns, vectors and made classes; S3 is as the environment says."""
    folder = tmp_path_factory.mktemp("facts")
    rows = [f"{number}\tn{number:08d}\tclass {number}\tclass {number}" for number in range(1000)]
    (folder / "classes.tsv").write_text("\n".join(["index\twnid\tname\tsynonyms", *rows]))
    named = {
        "HIERARCHY": {"wordnet": SAMPLE / "nouns.tsv.gz"},
        "VECTORS": {"wordnet": SAMPLE / "vectors.vec.gz"},
        "CLASSES": {"imagenet1k": folder / "classes.tsv"},
    }
    for kind, files in named.items():
        for name, path in files.items():
            monkeypatch.setitem(getattr(shipped, kind), name, path)
    monkeypatch.setenv(s3.VARIABLE, "{}")


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Noise in folders that are called after nouns: it passes for photographs."""
    for noun in ("lion", "castle", "qqxqq"):
        for number in range(4):
            path = tmp_path / "pictures" / noun / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((80, 60), 80).convert("RGB").save(path)
    return tmp_path / "pictures"
