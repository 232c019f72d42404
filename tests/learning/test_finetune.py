"""Fine-tuning in one process: what trains, what goes on after a checkpoint, what is left out; and listings, curves."""

import json
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
import torch

from devise.config import TrainConfig
from devise.errors import StorageError, TrainingError
from devise.learning import checkpoints, curve, finetune, layers, listings
from devise.learning.choosing import TrainingSet
from devise.sample.book import draw
from devise.store import storage
from devise.vision.images import Preprocessing, decode
from devise.vision.model import DeviseModel
from devise.vision.networks import build_core
from devise.vision.projections import linear_projection

NOUNS = ("lion", "tulip", "castle", "ferry")
EACH, DIM = 6, 8


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The listing of a few drawn pictures, and one file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for row, noun in enumerate(NOUNS * EACH):
        uri = f"file://{folder}/{row}.png"
        draw(noun, np.random.default_rng(row), 64).save(storage.local_path(uri))
        if row == 5:
            storage.write_bytes(uri, b"no image")
        found = storage.stat(uri)
        rows.append({"image_id": 1000 - row, "uri": uri, "etag": found.etag, "size_bytes": found.size_bytes})
    return pa.Table.from_pylist(rows)


def chosen(images, own, taught=False):
    rows = np.array([row for row in range(len(images)) if row % 4 in own])
    vectors_LD = np.eye(DIM, dtype=np.float32)[list(own)]
    labels = [[own.index(row % 4)] for row in rows.tolist()]
    if taught:
        labels, vectors_LD = [[place] for place in range(len(rows))], vectors_LD[[row % 4 % 2 for row in rows]]
    return TrainingSet(rows, labels, vectors_LD, np.zeros(0, int) if taught else np.array(own))


@pytest.fixture
def listing(images, tmp_path):
    def write(own, taught=False):
        name = f"listing{len(list(tmp_path.iterdir()))}"
        listings.write(chosen(images, own, taught), images, tmp_path, name)
        return listings.read(tmp_path, name)

    return write


def fresh(images):
    """A network whose statistics fit the pictures, so that it is of use without training."""
    torch.manual_seed(0)
    core = build_core("small_cnn")
    shape = Preprocessing(64, 64)
    model = DeviseModel(core, linear_projection(np.zeros((core.n_features, DIM)), np.zeros(DIM)), shape)
    torch.nn.init.normal_(model.projection.weight, std=0.05)
    uris = [row["uri"] for row in images.to_pylist() if not row["uri"].endswith("/5.png")]
    pixels = torch.stack([decode(storage.read_bytes(uri), shape, 10**6).pixels for uri in uris])
    core.features.train()
    with torch.no_grad():
        for _ in range(30):
            core.features(model.normalise(pixels))
    return model.eval().requires_grad_(False)


def settings(**more):
    tuned = {"epochs": 4, "batch_size": 6, "learning_rate": 1e-3} | more.pop("finetune", {})
    common = {"warehouse": "w", "run": "r", "architecture": "small_cnn", "weights": "w.pth", "projection": "linear"}
    return TrainConfig(**common, labelled={"source": "x"}, finetune=tuned, **{"loss": "cosine", "seed": 1, **more})


def tune(images, listing, folder, lines=None, taught=False, **more):
    model = fresh(images)
    report = lines.append if lines is not None else lambda line: None
    learned, watched = listing((0, 1), taught), listing((2, 3), taught)
    return model, finetune.Tuning(model, learned, watched, settings(**more), f"file://{folder}", report).run()


@pytest.mark.parametrize("loss", ["cosine", "hinge_rank"])
def test_tuning_learns_and_what_cannot_be_read_is_counted(images, listing, tmp_path, monkeypatch, loss):
    monkeypatch.setattr(finetune, "PATIENCE_EPOCHS", 99)
    lines = []
    model, figures = tune(images, listing, tmp_path / "c", lines, loss=loss, finetune={"epochs": 12})
    assert figures["train_losses"][-1] < 0.8 * figures["train_losses"][0]
    assert figures["unreadable"] == {"not_an_image": 1}
    assert (figures["n_images"], figures["n_held_out"], figures["n_labels"], figures["n_watched"]) == (12, 12, 2, 2)
    assert all(0 <= share <= 1 for share in figures["held_out_hits"])
    assert figures["best_epoch"] == int(np.argmin(figures["held_out_losses"]))
    assert "images/s" in lines[0] and not [one for one in model.buffers() if one.requires_grad]


def test_statistics_of_batch_normalisation_stay_and_only_the_layers_asked_for_train(images, listing, tmp_path):
    before = {name: one.clone() for name, one in fresh(images).state_dict().items()}
    # Watched by its own classes, so that the last epoch is the best.
    model = fresh(images)
    same = listing((0, 1))
    figures = finetune.Tuning(model, same, same, settings(finetune={"layers": 2}), f"file://{tmp_path}/c", print).run()
    assert figures["best_epoch"] > 0
    changed = {name for name, one in model.state_dict().items() if not torch.equal(one, before[name])}
    assert changed == set(layers.trained_names(model, 2))
    assert {name.rsplit(".", 1)[0] for name in changed} == {
        *("core.features.5.straight.3", "core.features.5.straight.4"),
        *("core.features.5.shortcut.1", "core.features.5.shortcut.2", "projection"),
    }
    assert len(layers.trained_names(model, 10)) == len(layers.trained_names(model, None))
    with pytest.raises(TrainingError, match="finetune.layers 11: small_cnn has 10 layers"):
        layers.trained_names(model, 11)


@pytest.mark.parametrize(("stopped_after", "best"), [(1, 0), (2, 2), (2, 1), (3, 4)])
def test_a_training_that_ended_anywhere_goes_on_as_if_it_had_not(
    images, listing, tmp_path, monkeypatch, stopped_after, best
):
    def measured(tuning):
        return abs(tuning.history.epoch - best) + 1.0, None

    monkeypatch.setattr(finetune, "PATIENCE_EPOCHS", 99)
    monkeypatch.setattr(finetune.Tuning, "_measure", measured)
    whole, figures = tune(images, listing, tmp_path / "whole")
    assert figures["best_epoch"] == best and figures["epoch"] == 4
    write = checkpoints.write

    def stop(folder, epoch, *more):
        write(folder, epoch, *more)
        if epoch == stopped_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        tune(images, listing, tmp_path / "c")
    monkeypatch.setattr(checkpoints, "write", write)
    lines = []
    model, again = tune(images, listing, tmp_path / "c", lines)
    assert lines[0] == f"goes on after epoch {stopped_after}, whose checkpoint stands"
    assert len(lines) == 5 - stopped_after and again == figures
    assert all(torch.equal(one, whole.state_dict()[name]) for name, one in model.state_dict().items())
    assert checkpoints.epochs(f"file://{tmp_path}/c") == sorted({4, best} - {0})


def test_training_ends_once_the_watched_classes_get_no_better(images, listing, tmp_path, monkeypatch):
    losses = iter([1.0, 0.5, 0.7, 0.4, 0.4, 0.5, 0.6, 0.1])
    monkeypatch.setattr(finetune.Tuning, "_measure", lambda tuning: (next(losses), None))
    _, figures = tune(images, listing, tmp_path / "c", finetune={"epochs": 30})
    assert (figures["epoch"], figures["best_epoch"]) == (6, 3)


def test_a_teacher_s_targets_are_learned_and_hit_nothing(images, listing, tmp_path):
    _, figures = tune(images, listing, tmp_path / "c", taught=True)
    assert figures["train_losses"][-1] < figures["train_losses"][0]
    assert set(figures["held_out_hits"]) == {None} and (figures["n_labels"], figures["n_watched"]) == (0, 0)


def test_nothing_to_read_and_a_loss_without_bounds_are_one_line(images, listing, tmp_path):
    gone = images.set_column(1, "uri", pa.array([f"{row['uri']}.gone" for row in images.to_pylist()]))
    listings.write(chosen(gone, (0, 1)), gone, tmp_path, "gone")
    lost = listings.read(tmp_path, "gone")
    model, kept = fresh(images), listing((0, 1))
    with pytest.raises(TrainingError, match="none of 12 pictures of the watched classes can be read"):
        finetune.Tuning(model, kept, lost, settings(), f"file://{tmp_path}/a", print).run()
    with pytest.raises(TrainingError, match="none of 12 pictures to train on can be read"):
        finetune.Tuning(model, lost, kept, settings(), f"file://{tmp_path}/b", print).run()
    with pytest.raises(TrainingError, match="the loss became nan: wanted finite"):
        torch.nn.init.constant_(model.projection.weight, float("nan"))
        finetune.Tuning(model, kept, kept, settings(), f"file://{tmp_path}/c", print).run()


def test_a_torn_checkpoint_is_refused_and_the_first_of_two_counts(tmp_path):
    folder = f"file://{tmp_path}"
    checkpoints.write(folder, 1, {"a": torch.ones(2)}, {"epoch": 1, "by": "first"})
    checkpoints.write(folder, 1, {"a": torch.zeros(2)}, {"epoch": 1, "by": "second"})
    found = checkpoints.read(folder, 1)
    assert found.record["by"] == "first" and found.tensors["a"].tolist() == [1, 1]
    assert len(list(tmp_path.iterdir())) == 2
    checkpoints.write(folder, 2, {"a": torch.ones(2)}, {"epoch": 2})
    next(tmp_path.glob("epoch-00002-*")).write_bytes(b"torn")
    with pytest.raises(StorageError, match="sha256 is"):
        checkpoints.read(folder, 2)
    checkpoints.forget(folder, {1})
    assert checkpoints.epochs(folder) == [1] and len(list(tmp_path.iterdir())) == 2


def test_a_listing_is_in_the_order_of_ids_and_the_same_bytes_again(images, tmp_path):
    own = chosen(images, (1, 3))
    for name in ("one", "two"):
        listings.write(own, images, tmp_path, name)
    assert (tmp_path / "one.arrow").read_bytes() == (tmp_path / "two.arrow").read_bytes()
    found = listings.read(tmp_path, "one")
    assert found.rows.column("image_id").to_pylist() == sorted(1000 - row for row in own.rows_N)
    assert [own[0] for own in found.labels] == [(1000 - n) % 4 // 2 for n in found.rows.column("image_id").to_pylist()]
    assert not found.taught and listings.read(tmp_path, "two").labels == found.labels


def test_a_curve_has_a_panel_a_part_that_trained_in_epochs():
    steps = {
        "loss": "cosine",
        "train_losses": [0.5, 0.25, 0.3],
        "held_out_losses": [1.0, 0.5, 0.4, 0.6],
        "best_epoch": 2,
    }
    drawn = curve.draw(
        {"core": {**steps, "held_out_losses": []}, "projection": {"train_losses": [0.1]}, "finetune": steps}
    )
    assert drawn == curve.draw(json.loads(json.dumps({"core": {**steps, "held_out_losses": []}, "finetune": steps})))
    tree = ElementTree.fromstring(drawn)
    lines = [one.get("points").split() for one in tree.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [3, 3, 4]
    heights = [float(point.split(",")[1]) for point in lines[2]]
    assert heights.index(min(heights)) == 0 and heights.index(max(heights)) == 2  # up is a greater loss
    [ring] = tree.iter("{http://www.w3.org/2000/svg}circle")
    assert float(ring.get("cy")) == max(heights)
    assert curve.draw({"projection": {"train_losses": [0.1]}}) is None and curve.draw({}) is None
    flat = {"loss": "x", "train_losses": [1.0, 1.0], "held_out_losses": [], "best_epoch": 1}
    assert "nan" not in curve.draw({"core": flat})
