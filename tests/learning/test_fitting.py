"""From labelled images to a model: what is listed as too large is left out as the embed engine rejects it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from devise.config import EngineConfig, TrainConfig
from devise.learning import fitting
from devise.learning.choosing import TrainingSet
from devise.store import storage
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary


def test_an_object_listed_too_large_is_not_learned_from_and_never_fetched(tmp_path, monkeypatch):
    rows, fetched, lines = [], [], []
    for number, size in enumerate([1, EngineConfig().max_bytes, EngineConfig().max_bytes + 1]):
        Image.new("RGB", (32, 32), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
        found = storage.stat(uri := f"file://{tmp_path}/{number}.png")
        rows.append({"image_id": number, "uri": uri, "etag": found.etag, "size_bytes": size, "texts": ["ship"]})
    names = ["ship", "sail"]
    vocabulary = Vocabulary(
        np.arange(2), names, [None] * 2, [[]] * 2, np.eye(2, dtype=np.float32), np.ones(2, bool), ["exact"] * 2
    )
    config = TrainConfig(
        warehouse=str(tmp_path),
        run="r1",
        architecture="small_cnn",
        loss="ridge",
        projection="linear",
        labelled={"source": str(tmp_path)},
        resize=32,
        crop=32,
        core_epochs=1,
    )
    read = storage.fetch_image
    monkeypatch.setattr(storage, "fetch_image", lambda uri, etag: fetched.append(uri[-5]) or read(uri, etag))
    images = pa.Table.from_pylist(rows)
    fitting.fit(config, vocabulary, "v", None, [], images, None, lines.append)
    assert sorted(fetched) == ["0", "1"]
    assert "2 pictures decoded, 1 left out as unreadable" in lines


def test_loss_softmax_makes_a_convex_projection_of_the_pictures_own_labels():
    generator = np.random.default_rng(0)
    label_N = np.arange(60) % 3
    features_NF = (np.eye(3, 6)[label_N] * 5 + generator.standard_normal((60, 6))).astype(np.float32)
    vectors_LD = np.eye(3, 4, dtype=np.float32)
    chosen = TrainingSet(np.arange(60), [[int(label)] for label in label_N], vectors_LD, np.arange(3))
    vocabulary = Vocabulary(
        np.arange(3), ["a", "b", "c"], [None] * 3, [[]] * 3, vectors_LD, np.ones(3, bool), ["exact"] * 3
    )
    config = TrainConfig(
        warehouse="w", run="r", architecture="a", weights="w", projection="convex", loss="softmax", temperature=1.0,
        labelled={"source": "x"},
    )  # fmt: skip
    given = (config, None, None, vocabulary, features_NF, np.arange(60), chosen)
    projection, figures = fitting.fit_projection(*given, lambda line: None)
    with torch.inference_mode():
        projected_ND, class_id_NT, _ = projection.with_classes(torch.from_numpy(features_NF))
    assert (class_id_NT[:, 0].numpy() == label_N).mean() > 0.95
    assert ((projected_ND.numpy() @ vectors_LD.T).argmax(axis=1) == label_N).mean() > 0.95
    assert figures["loss"] == "softmax" and figures["n_labels"] == 3


def test_with_loss_none_what_labelled_pictures_have_in_common_is_taken_from_every_picture(monkeypatch):
    """Their mean, which the model keeps: the rows of a picture that is the mean of all tell nothing of it."""
    draw = np.random.default_rng(0)
    vectors = np.eye(4, 5, dtype=np.float32)
    vocabulary = Vocabulary(
        np.arange(4), ["a", "b", "c", "d"], [None] * 4, [[]] * 4, vectors, np.ones(4, bool), ["exact"] * 4
    )
    core = SimpleNamespace(classifier=torch.nn.Linear(6, 4))
    monkeypatch.setattr(fitting, "open_core", lambda config: core)
    monkeypatch.setattr(fitting, "DeviseModel", lambda core, projection, *of, **told: projection)
    monkeypatch.setattr(fitting, "preprocessing_of", lambda config: None)
    monkeypatch.setattr(fitting, "seen_labels", lambda *given: [])
    taken = []
    monkeypatch.setattr(
        fitting, "add_rows", lambda projection, labels, mean_F, *more: taken.append(mean_F) or projection
    )
    classes = ClassVectors(["a", "b", "c", "d"], ["a", "b", "c", "d"], vectors, [None] * 4)
    config = TrainConfig(
        warehouse="w",
        run="r",
        architecture="a",
        weights="w",
        projection="convex",
        loss="none",
        labelled={"source": "x"},
    )
    features_NF = draw.normal(size=(7, 6)).astype(np.float32) + 3
    images = pa.table({"image_id": range(7), "texts": [["a"]] * 7})
    fitting.fit(config, vocabulary, "v", classes, [], images, features_NF, lambda line: None)
    np.testing.assert_allclose(taken[0], features_NF.mean(axis=0), atol=1e-5)
