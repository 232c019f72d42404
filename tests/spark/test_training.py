"""Training on Spark: ridge by sums, ConSE as a teacher, and fine-tuning by processes side by side."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml
from safetensors.torch import load_file

from devise.config import TrainConfig, VocabularyConfig
from devise.errors import ConfigError, TrainingError
from devise.jobs import build_vocabulary, train_model
from devise.sample.book import draw
from devise.sample.demo import SAMPLE
from devise.spark.frame import job
from devise.spark.stages import ridge
from devise.store import storage
from devise.vision.networks import build_core
from devise.warehouse import manifest

NOUNS = ("lion", "tulip", "castle", "ferry", "wolf", "apple")
EACH = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus with a file that is no image, weights of two networks, and the classes of the one that has any."""
    folder = tmp_path_factory.mktemp("training")
    for noun in NOUNS:
        (folder / "corpus" / noun).mkdir(parents=True)
        for number in range(EACH):
            draw(noun, np.random.default_rng(number), 64).save(folder / "corpus" / noun / f"{number}.png")
    (folder / "corpus" / "lion" / "broken.png").write_bytes(b"no image")
    torch.manual_seed(0)
    core = build_core("small_cnn")
    core.features.train()  # its statistics are to fit the pictures
    pictures = [np.asarray(draw(noun, np.random.default_rng(1), 64)) for noun in NOUNS]
    with torch.no_grad():
        for _ in range(30):
            core.features(torch.tensor(np.array(pictures)).permute(0, 3, 1, 2) / 64 - 2)
    torch.save({f"features.{name}": one for name, one in core.features.state_dict().items()}, folder / "weights.pth")
    torch.save(torchvision.models.shufflenet_v2_x0_5(weights=None).state_dict(), folder / "classifier.pth")
    names = [*NOUNS, *(f"unknown{number:03d}" for number in range(len(NOUNS), 1000))]
    rows = [f"{number}\tn{number:08d}\t{name}\t{name}" for number, name in enumerate(names)]
    (folder / "classes.tsv").write_text("\n".join(["index\twnid\tname\tsynonyms", *rows, ""]))
    return folder


@pytest.fixture(scope="module")
def warehouse(place, spark):
    common = {"warehouse": str(place / "warehouse"), "run": "a0"}
    words = {"vectors": str(SAMPLE / "vectors.vec.gz"), "classes": str(place / "classes.tsv")}
    job.perform(build_vocabulary.JOB, spark, VocabularyConfig(**common, **words))
    return common["warehouse"]


def settings(place, **more):
    common = {"architecture": "small_cnn", "weights": str(place / "weights.pth"), "resize": 64, "crop": 64}
    return {**common, "labelled": {"source": str(place / "corpus")}, **more}


def train(spark, place, warehouse, run, **more):
    """The manifest of the run, the model's tensors, and its card."""
    config = TrainConfig(warehouse=warehouse, run=run, **settings(place, **more))
    made = job.perform(train_model.JOB, spark, config)["model"]
    return made, *opened(warehouse, made)


def opened(warehouse, made):
    folder = storage.local_path(manifest.folder(warehouse, "model", made.run))
    own = folder / made.one(end="card.json").path
    return load_file(own.with_name("model.safetensors")), json.loads(own.read_text()), own.parent


RIDGE = {"projection": "linear", "loss": "ridge", "ridge_lambda": 10.0}


def test_ridge_by_sums_is_that_of_one_task_however_the_images_are_cut(spark, place, warehouse, monkeypatch):
    _, whole, card, _ = train(spark, place, warehouse, "ridge1", **RIDGE, held_out=["apple"])
    figures = card["training"]["projection"]
    assert (figures["n_images"], figures["n_labels"], sorted(card["seen"])) == (40, 5, sorted(NOUNS[:5]))

    # in one task, from the same features
    from devise.learning.labelled import mean_targets
    from devise.learning.train import fit_ridge

    rows = spark.read.parquet(str(Path(warehouse) / "features" / "run=ridge1")).collect()
    labels = [Path(row.uri).parent.name for row in rows]
    words = spark.read.parquet(str(Path(warehouse) / "vocabulary" / "run=a0")).collect()
    vector = {row.label: row.vector for row in words if row.label in NOUNS}
    kept = [row for row, label in zip(rows, labels, strict=True) if label != "apple"]
    vectors_LD = np.array([vector[noun] for noun in NOUNS], dtype=np.float32)
    targets_ND = mean_targets([[NOUNS.index(Path(row.uri).parent.name)] for row in kept], vectors_LD)
    weight_FD, bias_D, told = fit_ridge(np.array([row.features for row in kept], dtype=np.float32), targets_ND, 10.0)
    np.testing.assert_allclose(whole["projection.weight"].numpy().T, weight_FD, atol=1e-5)
    np.testing.assert_allclose(whole["projection.bias"].numpy(), bias_D, atol=1e-5)
    assert figures["train_losses"][0] == pytest.approx(told.train_losses[0], abs=1e-6)

    # features from the cache, in other partitions: not a bit differs
    spark.conf.set("spark.sql.shuffle.partitions", "7")
    try:
        _, again, _, _ = train(spark, place, warehouse, "ridge2", **RIDGE, held_out=["apple", "no such noun"])
        monkeypatch.setattr(ridge, "IMAGES_PER_PART", 7)
        _, parts, _, _ = train(spark, place, warehouse, "ridge3", **RIDGE, held_out=["apple", "nor such one"])
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "2")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    for name in ("projection.weight", "projection.bias"):
        torch.testing.assert_close(parts[name], whole[name], rtol=0, atol=1e-7)


@pytest.mark.parametrize("loss", [{"loss": "ridge", "ridge_lambda": 1e-3}, {"loss": "cosine", "epochs": 60}])
def test_a_head_learns_what_conse_says_of_pictures_without_labels(spark, place, warehouse, loss):
    choice = {
        **{"architecture": "shufflenet_v2_x0_5", "weights": str(place / "classifier.pth"), "projection": "linear"},
        **{"labelled": {"source": str(place / "corpus"), "kind": "images"}, "top_t": 3, **loss},
    }
    made, _, card, _ = train(spark, place, warehouse, f"teacher-{loss['loss']}", **choice)
    assert made.details["feature_rejects"] == {"not_an_image": 1}
    assert sorted(card["seen"]) == sorted(NOUNS)
    found = card["training"]["projection"]
    assert found["n_images"] + found["n_held_out"] == len(NOUNS) * EACH
    assert found["train_losses"][-1] < 0.01


def test_a_listing_of_nothing_to_read_is_one_line(spark, place, warehouse, tmp_path):
    (tmp_path / "lion").mkdir()
    (tmp_path / "lion" / "1.png").write_bytes(b"no image")
    for choice in (RIDGE, {"projection": "mlp", "loss": "cosine"}):
        with pytest.raises(TrainingError, match="none of the labelled pictures can be read"):
            train(spark, place, warehouse, "nothing", **choice, labelled={"source": str(tmp_path)})


FINETUNE = {
    **{"projection": "linear", "loss": "cosine", "epochs": 2, "seed": 3},
    "finetune": {"processes": 2, "epochs": 3, "batch_size": 8, "watched": 0.3, "learning_rate": 5e-5},
}


@pytest.fixture(scope="module")
def tuned(spark, place, warehouse):
    return train(spark, place, warehouse, "tuned", **FINETUNE)


def test_two_processes_tune_core_and_projection(tuned, place):
    made, tensors, card, folder = tuned
    found = card["training"]["finetune"]
    assert found["n_images"] == 4 * EACH and found["n_held_out"] == 2 * EACH
    assert (found["n_labels"], found["n_watched"], len(card["seen"])) == (4, 2, 4)
    assert found["epoch"] == len(found["train_losses"]) == 3 and len(found["held_out_losses"]) == 4
    assert found["train_losses"][-1] < found["train_losses"][0]
    assert (folder / "curve.svg").read_text().count("<polyline") == 4
    before = torch.load(place / "weights.pth")
    changed = [name for name, one in before.items() if not torch.equal(one, tensors[f"core.{name}"])]
    if found["best_epoch"]:
        assert any(name.endswith("weight") for name in changed)
    assert not [name for name in changed if "running" in name or "classifier" in name or "num_batches" in name]
    staging = Path(storage.local_path(manifest.folder(str(place / "warehouse"), "model", "tuned"))).parents[1]
    assert not list(staging.glob("_staging/train_model/run=tuned/*"))


@pytest.mark.slow
def test_one_process_takes_the_steps_that_two_take(spark, place, warehouse, tuned):
    alone = {**FINETUNE, "finetune": {**FINETUNE["finetune"], "processes": 1}}
    _, tensors, card, _ = train(spark, place, warehouse, "alone", **alone)
    for name in ("train_losses", "held_out_losses"):
        np.testing.assert_allclose(
            card["training"]["finetune"][name], tuned[2]["training"]["finetune"][name], atol=2e-3
        )
    assert card["training"]["finetune"]["best_epoch"] == tuned[2]["training"]["finetune"]["best_epoch"]


def test_more_processes_than_tasks_are_refused_at_once(spark, place, warehouse):
    many = {**FINETUNE, "finetune": {"processes": 3}}
    with pytest.raises(ConfigError, match=r"finetune.processes 3: local\[2\] runs 2 tasks at one time"):
        train(spark, place, warehouse, "many", **many)


@pytest.mark.slow
def test_what_a_process_raises_is_one_error(spark, place, warehouse):
    deep = {**FINETUNE, "finetune": {"layers": 99}}
    with pytest.raises(TrainingError, match="finetune.layers 99: small_cnn has 10 layers with weights"):
        train(spark, place, warehouse, "deep", **deep)


STARTER = """
import os, signal, sys
from devise.learning import checkpoints

write = checkpoints.write

def kill(folder, epoch, tensors, record):
    write(folder, epoch, tensors, record)
    if epoch == 2 and not os.path.exists(os.environ["KILLED"]):
        open(os.environ["KILLED"], "w").close()
        os.kill(int(os.environ["VICTIM"]) or os.getpid(), signal.SIGKILL)

checkpoints.write = kill
"""
"""Ends process 0, or the driver, once the checkpoint of epoch 2 is written; once."""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["a process", "the driver"])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(spark, place, warehouse, tuned, tmp_path, victim):
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly" / "sitecustomize.py").write_text(
        "import sys\nif any('torch' in one or 'train.py' in one for one in sys.orig_argv):\n"
        + "".join(f"    {line}\n" for line in STARTER.splitlines())
    )
    run = f"killed-{victim.split()[1]}"
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump({"warehouse": warehouse, "train_model": settings(place, **FINETUNE)}))
    command = [sys.executable, "-m", "devise", "run", "train_model", "--config", str(path), "--run", run]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "deadly"), "DEVISE_MASTER": "local[2]"}
    environment |= {"KILLED": str(tmp_path / "killed"), "VICTIM": "0"}
    shell = ["/bin/sh", "-c", 'VICTIM=$$ exec "$@"', "sh", *command] if victim == "the driver" else command
    first = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=300)
    assert (tmp_path / "killed").exists(), first.stdout + first.stderr
    assert first.returncode == (-signal.SIGKILL if victim == "the driver" else 1), first.stderr
    assert manifest.find(warehouse, "model", run) is None
    storage.delete_folder(f"file://{warehouse}/live/lease")  # a killed driver's stands for two minutes
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "goes on after epoch 2, whose checkpoint stands" in second.stdout + second.stderr
    tensors, card, _ = opened(warehouse, manifest.read(warehouse, "model", run))
    assert card["training"]["finetune"] == tuned[2]["training"]["finetune"]
    furthest = max(
        (tensors[name] - one).abs().max().item() for name, one in tuned[1].items() if one.is_floating_point()
    )
    assert furthest <= 1e-6
