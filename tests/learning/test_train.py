"""Training: the same seed gives the same weights, the start is kept when nothing beats it, and it learns."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from devise.errors import TrainingError
from devise.learning import train
from devise.learning.train import augment, fit_classifier, fit_projection, fit_ridge, one_cycle

N_FEATURES, DIM, N_LABELS, N_IMAGES = 12, 8, 6, 240


pytestmark = pytest.mark.usefixtures("one_thread")


def clusters(seed=0):
    """Features around one centre a label; label vectors at right angles."""
    rng = np.random.default_rng(seed)
    vectors_LD = np.ascontiguousarray(np.linalg.qr(rng.normal(size=(DIM, N_LABELS)))[0].T, dtype=np.float32)
    own_N = rng.integers(0, N_LABELS, N_IMAGES)
    centres_LF = rng.normal(size=(N_LABELS, N_FEATURES)) * 2
    features_NF = (centres_LF[own_N] + rng.normal(size=(N_IMAGES, N_FEATURES))).astype(np.float32)
    return features_NF, own_N, vectors_LD


def fit(projection, loss, labels=None, **choices):
    features_NF, own_N, vectors_LD = clusters()
    labels = [[int(label)] for label in own_N] if labels is None else labels
    settings = {"epochs": 15, "learning_rate": 1e-2, "batch_size": 32, "seed": 3} | choices
    ids_N = np.arange(N_IMAGES)
    return fit_projection(projection, features_NF, labels, vectors_LD, image_id_N=ids_N, loss=loss, **settings)


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(N_FEATURES, DIM)


def seed_mlp():
    torch.manual_seed(1)
    return nn.Sequential(nn.BatchNorm1d(N_FEATURES), nn.Dropout(0.5), nn.Linear(N_FEATURES, DIM))


def accuracy(projection):
    features_NF, own_N, vectors_LD = clusters()
    with torch.no_grad():
        scores_NL = projection(torch.from_numpy(features_NF)).numpy() @ vectors_LD.T
    return (scores_NL.argmax(1) == own_N).mean()


@pytest.mark.parametrize("loss", ["cosine", "hinge_rank"])
def test_training_learns_the_labels(loss):
    projection = linear()
    before = accuracy(projection)
    figures = fit(projection, loss)
    assert before < 0.5 < 0.9 < accuracy(projection)
    assert figures.train_losses[-1] < figures.train_losses[0]
    assert figures.n_images + figures.n_held_out == N_IMAGES and figures.n_held_out > 0
    assert figures.n_labels == N_LABELS and not projection.training


@pytest.mark.parametrize("loss", ["cosine", "hinge_rank"])
def test_the_same_seed_gives_the_same_weights_and_figures(loss):
    first, second, other = seed_mlp(), seed_mlp(), seed_mlp()
    assert fit(first, loss) == fit(second, loss)
    fit(other, loss, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    projection = nn.Linear(N_FEATURES, DIM)
    torch.manual_seed(7)
    fit(projection, "cosine", epochs=2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("epochs", [0, 4])
def test_a_start_that_nothing_beats_is_kept(epochs):
    # With a learning rate this large every epoch makes the held-out loss worse.
    projection = linear()
    fit(projection, "hinge_rank")
    trained = copy.deepcopy(projection.state_dict())
    figures = fit(projection, "hinge_rank", epochs=epochs, learning_rate=1e4)
    assert figures.best_epoch == 0 and len(figures.train_losses) == epochs
    assert all(torch.equal(trained[name], value) for name, value in projection.state_dict().items())


def test_convex_projection_stays_conse_at_step_0():
    from devise.vision.model import convex_projection  # alone here needs the core visual models

    features_NF, own_N, vectors_LD = clusters()
    torch.manual_seed(0)
    classifier = nn.Linear(N_FEATURES, N_LABELS)
    projection = convex_projection(classifier, vectors_LD, temperature=1.0, top_t=3)
    figures = fit(projection, "hinge_rank", epochs=0)
    with torch.no_grad():
        got_ND = projection(torch.from_numpy(features_NF)).numpy()
        probability_NC = classifier(torch.from_numpy(features_NF)).softmax(1).numpy()
    kept_NC = np.where(probability_NC >= np.sort(probability_NC, axis=1)[:, [-3]], probability_NC, 0)
    expected_ND = kept_NC @ vectors_LD
    expected_ND /= np.linalg.norm(expected_ND, axis=1, keepdims=True)
    np.testing.assert_allclose(got_ND / np.linalg.norm(got_ND, axis=1, keepdims=True), expected_ND, atol=1e-5)
    assert figures.best_epoch == 0 and figures.train_losses == () and len(figures.held_out_losses) == 1


def test_training_stops_a_while_after_its_best_epoch():
    projection = linear()
    fit(projection, "hinge_rank")
    figures = fit(projection, "hinge_rank", epochs=50, learning_rate=1e4)
    assert len(figures.train_losses) == train.PATIENCE_EPOCHS


def test_several_labels_an_image_are_all_found():
    features_NF, own_N, vectors_LD = clusters()
    labels = [[int(label), (int(label) + 1) % N_LABELS] for label in own_N]
    for loss in ("cosine", "hinge_rank"):
        projection = linear()
        fit(projection, loss, labels, epochs=40)
        with torch.no_grad():
            scores_NL = projection(torch.from_numpy(features_NF)).numpy() @ vectors_LD.T
        first_two_N2 = np.sort(np.argsort(-scores_NL, axis=1)[:, :2], axis=1)
        assert (first_two_N2 == np.sort(labels, axis=1)).all(axis=1).mean() > 0.75, loss


def test_a_batch_of_one_is_never_left_over():
    # 9 images in batches of 8 would leave one, which batch normalisation cannot train on.
    features_NF, own_N, vectors_LD = clusters()
    labels = [[int(label)] for label in own_N[:9]]
    figures = fit_projection(
        seed_mlp(), features_NF[:9], labels, vectors_LD, image_id_N=np.arange(9),
        loss="cosine", epochs=2, batch_size=8, held_out_fraction=0.0,
    )  # fmt: skip
    assert figures.n_held_out == 0 and figures.held_out_losses == () and figures.best_epoch == 2


def test_progress_is_reported_once_an_epoch():
    lines = []
    fit(linear(), "cosine", epochs=3, report=lines.append)
    assert len(lines) == 3 and lines[0].startswith("epoch 1/3: cosine")


def test_training_refuses_what_it_cannot_learn_from():
    features_NF, own_N, vectors_LD = clusters()
    with pytest.raises(TrainingError, match="no labelled images"):
        fit(linear(), "cosine", labels=[])
    with pytest.raises(TrainingError, match="image 1: found labels \\[\\]"):
        fit(linear(), "cosine", labels=[[0], []] + [[0]] * (N_IMAGES - 2))
    with pytest.raises(TrainingError, match="0 to 5"):
        fit(linear(), "hinge_rank", labels=[[N_LABELS]] * N_IMAGES)
    with pytest.raises(TrainingError, match="held out"):
        fit(linear(), "cosine", held_out_fraction=1.0)
    with pytest.raises(ValueError, match="wanted cosine or hinge_rank"):
        fit(linear(), "l2")
    with pytest.raises(TrainingError, match="no labelled images"):
        fit_ridge(features_NF[:0], vectors_LD[:0], 1.0)
    broken = linear()
    torch.nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(TrainingError, match="finite"):
        fit(broken, "cosine")


def test_ridge_maps_the_clusters_to_their_labels():
    features_NF, own_N, vectors_LD = clusters()
    weight_FD, bias_D, figures = fit_ridge(features_NF, vectors_LD[own_N], 1.0)
    assert (((features_NF @ weight_FD + bias_D) @ vectors_LD.T).argmax(1) == own_N).mean() > 0.9
    assert (figures.loss, figures.n_images, figures.n_labels) == ("ridge", N_IMAGES, N_LABELS)


def squares(n_images=96, size=16):
    """A bright square (class 0) or a bright bar (class 1) on noise; uint8 (N, 3, size, size)."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 80, (n_images, 3, size, size), generator=generator, dtype=torch.uint8)
    for row in range(n_images):
        height, width = ((6, 6), (2, 14))[row % 2]
        pixels[row, :, 5 : 5 + height, 1 : 1 + width] += 150
    return pixels, [[row % 2] for row in range(n_images)]


def small_network():
    torch.manual_seed(2)
    core = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(1)
    )  # fmt: skip
    return core, nn.Linear(8 * 16, 2)


def fit_squares(epochs=8, time_limit_s=60.0, **choices):
    core, classifier = small_network()
    pixels, labels = squares()
    figures = fit_classifier(
        core, classifier, pixels, labels, n_classes=2, mean=(0.5,) * 3, std=(0.5,) * 3,
        epochs=epochs, time_limit_s=time_limit_s, batch_size=16, **choices,
    )  # fmt: skip
    return core, classifier, figures


def test_a_core_learns_from_pixels_and_is_frozen_afterwards():
    core, classifier, figures = fit_squares()
    pixels, labels = squares()
    with torch.no_grad():
        predicted_N = classifier(core((pixels.float() / 255 - 0.5) / 0.5)).argmax(1)
    assert (predicted_N == torch.tensor(labels)[:, 0]).float().mean() > 0.9
    assert not any(p.requires_grad for p in [*core.parameters(), *classifier.parameters()])
    assert not core.training and figures.best_epoch == len(figures.train_losses) == 8


def test_a_core_trained_twice_with_one_seed_is_the_same():
    first, second = fit_squares(epochs=2, seed=5), fit_squares(epochs=2, seed=5)
    assert first[2] == second[2]
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), second[0].parameters(), strict=True))


def test_the_time_limit_cuts_epochs_and_one_is_always_run(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(train.time, "monotonic", lambda: float(next(clock)))  # one second an epoch
    lines = []
    _, _, figures = fit_squares(epochs=50, time_limit_s=3.5, report=lines.append)
    assert len(figures.train_losses) == len(lines) == 4
    assert lines[0].startswith("epoch 1/4: cross entropy")
    assert len(fit_squares(epochs=50, time_limit_s=0.1)[2].train_losses) == 1


def test_one_slow_epoch_does_not_decide_how_many_follow(monkeypatch):
    clock = iter([0, 50, *range(56, 1000, 6)])  # the first epoch takes 50 s, the others 6 s
    monkeypatch.setattr(train.time, "monotonic", lambda: float(next(clock)))
    lines = []
    assert len(fit_squares(epochs=6, time_limit_s=85, report=lines.append)[2].train_losses) == 6
    assert [line.split(":")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/6"]


def test_augmentation_keeps_shape_range_and_treats_each_image_for_itself():
    pixels = squares(8)[0][:1].expand(8, -1, -1, -1)
    torch.manual_seed(0)
    changed = augment(pixels)
    assert changed.shape == pixels.shape and changed.dtype == torch.float32
    assert changed.min() >= 0 and changed.max() <= 1
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8


def test_augmentation_without_shift_flip_or_tint_is_the_picture(monkeypatch):
    pixels = squares(4)[0]
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.full(shape, 0.5))
    monkeypatch.setattr(train, "MAX_SHIFT_FRACTION", 0.0)
    assert torch.allclose(augment(pixels), pixels.float() / 255, atol=1e-6)


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [one_cycle(step / 100) for step in range(101)]
    peak = rates.index(max(rates))
    assert peak == 25 and max(rates) == pytest.approx(1) and rates[-1] == pytest.approx(0)
    assert rates[:26] == sorted(rates[:26]) and rates[25:] == sorted(rates[25:], reverse=True)
