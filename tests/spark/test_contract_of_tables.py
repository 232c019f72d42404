"""Whatever table is fed to a job: it is done, or it is one line and exit code 2, and nothing is committed."""

import dataclasses
import json
import shutil

import contract
import numpy as np
import pytest
from tiny_warehouse import NOUNS

from devise import cli
from devise.config import EvaluateConfig, LabelledConfig
from devise.jobs import evaluate_model
from devise.sample.book import draw
from devise.spark.frame import job, schemas, tables
from devise.spark.stages.labelled import labelled_images
from devise.warehouse import manifest

pytestmark = pytest.mark.usefixtures("one_session")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Sound settings of every job, and a warehouse with a night up to its index, by those settings."""
    place = tmp_path_factory.mktemp("night")
    for noun in NOUNS[:2]:
        (place / "pictures" / noun).mkdir(parents=True)
        draw(noun, np.random.default_rng(0), 32).save(place / "pictures" / noun / "0.png")
    numbers = np.random.default_rng(5).normal(size=(len(NOUNS), 8)).round(3).tolist()
    rows = [" ".join(map(str, (noun.replace(" ", "_"), *row))) for noun, row in zip(NOUNS, numbers, strict=True)]
    (place / "words.vec").write_text("\n".join([f"{len(rows)} 8", *rows]))
    jobs = ["build_vocabulary", "train_model", "catalog_images", "embed_images", "build_index"]
    settings = {
        "warehouse": str(place / "w"),
        "build_vocabulary": {"vectors": str(place / "words.vec")},
        "train_model": {
            **{"architecture": "small_cnn", "resize": 32, "crop": 32, "core_epochs": 1},
            "labelled": {"source": str(place / "pictures")},
        },
        "catalog_images": {"sources": [str(place / "pictures")]},
        "embed_images": {"engine": {"device": "cpu", "precision": "fp32"}},
        "build_index": {},
        "run_nightly": {"stages": jobs},
    }
    (place / "night.yaml").write_text(json.dumps(settings))
    cli.main(["run", "run_nightly", "--config", str(place / "night.yaml"), "--run", "r9"])
    return settings


@pytest.mark.parametrize("case", contract.TABLES, ids=str)
def test_a_table_that_is_fed_is_taken_or_refused_in_one_line(case, night, tmp_path, capsys, monkeypatch):
    warehouse = shutil.copytree(night["warehouse"], tmp_path / "w")
    before = sorted(warehouse.rglob(manifest.NAME))
    if case.job == "build_vocabulary":  # that run is committed, with other settings
        case = dataclasses.replace(case, more=("--run", "r8"))
    contract.run(case, tmp_path, capsys, monkeypatch, night | {"warehouse": str(warehouse)})
    assert len(sorted(warehouse.rglob(manifest.NAME))) == len(before) + (case.words is None)


def test_a_split_s_figures_are_of_its_own_pictures_whatever_it_is_called(spark, night, tmp_path):
    warehouse = str(shutil.copytree(night["warehouse"], tmp_path / "w"))
    [source] = night["catalog_images"]["sources"]
    names = ["a?", "ab", "../../[x] " + "é" * 300]
    splits = []
    for number, name in enumerate(names):
        (tmp_path / f"{number}.csv").write_text("uri,label\n" + "".join(
            f"{source}/{noun}/0.png,{noun}\n" for noun in NOUNS[: 1 + number % 2]
        ))  # fmt: skip
        splits.append({"name": name, "labelled": {"source": str(tmp_path / f"{number}.csv"), "kind": "table"}})
    config = EvaluateConfig(warehouse=warehouse, run="r9", ks=[1], recall_queries=1, splits=splits)
    made = job.perform(evaluate_model.JOB, spark, config)["metrics"]
    rows = tables.read(spark, warehouse, [made], schemas.METRICS).where("name = 'hit'").collect()
    assert {row.split: row.n for row in rows} == {name: 1 + number % 2 for number, name in enumerate(names)}
    assert {path.name for path in tmp_path.iterdir()} == {"w", *(f"{number}.csv" for number in range(len(names)))}


def test_a_labelled_picture_of_two_spellings_is_one(spark, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    names = [f"{tmp_path}/a.png", f"file://{tmp_path}/a.png", f"file://localhost{tmp_path}/a.png"]
    rows = [f"{name},{label}" for name, label in zip(names, ("lion", "tulip|lion", "ferry"), strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["uri,label", *rows]))
    settings = LabelledConfig(source=str(tmp_path / "labels.csv"), kind="table")
    (found,) = labelled_images(spark, settings).collect()
    assert found.uri == names[1] and list(found.texts) == ["lion", "tulip", "ferry"]
