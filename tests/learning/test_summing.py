"""Ridge by sums of parts: the same map as of all rows at once; and choosing, counted part by part."""

import numpy as np
import pytest
import torch

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.learning import fitting, losses, summing, train
from devise.learning.choosing import Tally, choose_images, choose_some, watch_classes
from devise.learning.labelled import mean_targets
from devise.vision.networks import build_core
from devise.words.vocabulary import Vocabulary

NOUNS = ["ship", "sail", "lion", "tulip"]
TEXTS = [["ship"], ["sail", "ship"], ["nothing"], ["lion"], [], ["tulip", "nothing"]]


@pytest.fixture
def vocabulary():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Vocabulary(np.arange(4), NOUNS, [None] * 4, [[]] * 4, vectors, np.ones(4, bool), ["exact"] * 4)


def rows(n, n_features=7, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    targets_ND = rng.normal(size=(n, dim)).astype(np.float32)
    return rng.normal(size=(n, n_features)).astype(np.float32) + 3, targets_ND / np.linalg.norm(
        targets_ND, axis=1, keepdims=True
    )


def sums_of(features_NF, targets_ND):
    return losses.RidgeSums.zeros(7, 5).accumulate(features_NF, targets_ND)


def test_any_number_of_parts_added_pairwise_is_the_whole():
    features_NF, targets_ND = rows(60)
    whole = sums_of(features_NF, targets_ND)
    for n_parts in range(1, 20):
        cut = [sums_of(features_NF[part], targets_ND[part]) for part in np.array_split(np.arange(60), n_parts)]
        found = summing.add_pairwise(summing.unpack(summing.pack(part)) for part in cut)
        assert found.n_images == 60
        for name in summing.FIELDS:
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-12, atol=1e-12)
    with pytest.raises(TrainingError, match="no labelled images"):
        summing.add_pairwise([])


def test_the_squared_error_of_sums_is_that_of_the_rows():
    features_NF, targets_ND = rows(40)
    weight_FD, bias_D = sums_of(features_NF, targets_ND).solve(3.0)
    wanted = ((targets_ND - (features_NF @ weight_FD + bias_D)) ** 2).sum(1).mean()
    assert sums_of(features_NF, targets_ND).squared_error(weight_FD, bias_D) == pytest.approx(wanted, rel=1e-5)


def test_choosing_part_by_part_counts_as_choosing_at_once(vocabulary):
    lines, by_part = [], Tally()
    chosen = choose_images(TEXTS, vocabulary, ["lion"], False, lines.append)
    for texts in TEXTS:
        by_part += choose_some([texts], vocabulary, ["lion"], False)[2]
    told = []
    Tally.from_json(by_part.to_json()).tell(told.append)
    assert (
        told
        == lines
        == [
            "4 labelled images, 2 left out without a known label; 1 unknown labels: nothing (2)",
            "held out: lion (1 images)",
        ]
    )
    assert chosen.rows_N.tolist() == [0, 1, 5] and by_part.n_kept == 3
    assert chosen.label_ids_L.tolist() == sorted(by_part.label_ids) == [0, 1, 3]
    assert chosen.labels == [[0], [1, 0], [2]]
    with pytest.raises(TrainingError, match="all 2 labelled images name a held-out noun"):
        choose_some([["lion"], ["lion"]], vocabulary, ["lion"], False)[2].tell(told.append)
    with pytest.raises(TrainingError, match="nothing to learn from"):
        choose_some([["nothing"]], vocabulary, [], False)[2].tell(told.append)


@pytest.fixture
def network(tmp_path):
    """A small core with weights in a file, as settings name them."""
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=4)
    state = {f"features.{name}": value for name, value in core.features.state_dict().items()}
    torch.save(state | {f"classifier.{n}": v for n, v in core.classifier.state_dict().items()}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def settings(tmp_path, network, **more):
    common = {"warehouse": str(tmp_path), "run": "r1", "architecture": "small_cnn", "weights": str(network)}
    return TrainConfig(**common, projection="linear", loss="ridge", labelled={"source": "x"}, ridge_lambda=5.0, **more)


def test_parts_that_come_in_other_batches_have_the_same_sums_to_the_last_bit(
    tmp_path, network, vocabulary, monkeypatch
):
    monkeypatch.setattr(summing, "BLOCK_ROWS", 8)
    monkeypatch.setattr(fitting, "open_core", lambda config: build_core("small_cnn", n_classes=None))
    config, n = settings(tmp_path, network), 50
    features_NF = rows(n, 256)[0]
    texts = [[NOUNS[row % 4]] if row % 7 else ["nothing"] for row in range(n)]
    packed = set()
    for size in (1, 3, 8, 50):
        part = summing.PartSums(config, vocabulary, None, ["lion"])
        for start in range(0, n, size):
            part.add(texts[start : start + size], features_NF[start : start + size])
        packed.add(summing.pack(part.finish()))
    assert len(packed) == 1
    kept = [row for row in range(n) if row % 7 and row % 4 != 2]
    found = summing.unpack(packed.pop())
    assert found.n_images == len(kept) == part.tally.n_kept
    targets_ND = mean_targets([[row % 4] for row in kept], vocabulary.vectors)
    for one, other in zip(found.solve(5.0), train.fit_ridge(features_NF[kept], targets_ND, 5.0)[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_watched_classes_are_drawn_by_seed_and_none_of_their_images_is_learned():
    classes = [[row % 9] for row in range(90)] + [[0, 8]]
    watched_N, drawn = watch_classes(classes, 0.3, seed=1)
    assert len(drawn) == 3
    assert watched_N.tolist() == [bool(set(own) & set(drawn.tolist())) for own in classes]
    assert (watch_classes(classes, 0.3, seed=1)[1] == drawn).all()
    assert any((watch_classes(classes, 0.3, seed=seed)[1] != drawn).any() for seed in (2, 3))
    for share in (0.01, 0.99):
        kept = {
            one
            for own, held in zip(classes, watch_classes(classes, share, 0)[0], strict=True)
            if not held
            for one in own
        }
        assert 2 <= len(kept) <= 7
    with pytest.raises(TrainingError, match="found 3 classes, wanted at least 4"):
        watch_classes([[0], [1], [2]], 0.1, 0)
