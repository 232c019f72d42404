"""A few nights on a real S3 server: each fetches what is new or changed, exactly, and equals a run from scratch."""

import io
import os

import numpy as np
import pytest
from faultproxy import FaultProxy
from week import simulate

from devise.groups import S3Config
from devise.sample.book import draw
from devise.sample.demo import SAMPLE
from devise.store import s3, storage
from devise.warehouse import manifest, pointer

NOUNS = ("lion", "tulip", "castle", "ferry")
SECTIONS = {
    "build_vocabulary": {"vectors": str(SAMPLE / "vectors.vec.gz"), "hierarchy": str(SAMPLE / "nouns.tsv.gz")},
    "embed_images": {"engine": {"precision": "fp32"}},
    "search_images": {"queries": ["lion", "tulip + castle"]},
    "evaluate_model": {"recall_queries": 5},
}


@pytest.fixture
def pool():
    """Drawn pictures, every one different."""
    pictures = []
    for number in range(60):
        content = io.BytesIO()
        draw(NOUNS[number % 4], np.random.default_rng(number), 48).save(content, "JPEG")
        pictures.append(content.getvalue())
    return pictures


def test_every_night_costs_what_changed_and_equals_a_run_from_scratch(spark, started, pool, tmp_path, monkeypatch):
    if isinstance(started[1], str):
        pytest.skip(started[1])
    for number in range(8):
        (tmp_path / NOUNS[number % 4]).mkdir(exist_ok=True)
        (tmp_path / NOUNS[number % 4] / f"{number}.jpg").write_bytes(pool[number])
    learned = {"architecture": "small_cnn", "resize": 32, "crop": 32, "core_epochs": 1}
    sections = SECTIONS | {"train_model": {**learned, "labelled": {"source": str(tmp_path)}}}
    root = started[1].make_bucket("nights")
    with FaultProxy(started[1].port) as proxy:
        monkeypatch.setenv(s3.VARIABLE, "")
        s3.configure(S3Config(endpoint=proxy.endpoint, path_style=True, region="us-east-1"))
        monkeypatch.setitem(spark.sparkContext.environment, s3.VARIABLE, os.environ[s3.VARIABLE])
        rows = simulate(spark, proxy, root, pool, 30, 4, sections, compared={3})
    assert [row["image GETs"] for row in rows][-1] == 0 and rows[-1]["embedding files"] == 0
    assert rows[0]["image GETs"] == 30 and all(0 < row["image GETs"] < 12 for row in rows[1:-1])
    warehouse = f"{root}/warehouse"
    for table, run in pointer.read(warehouse).pairs():  # the workers wrote all of it, and nothing beside it
        made = manifest.read(warehouse, table, run)
        root_of = manifest.folder(warehouse, table, run)
        assert manifest.unlisted(made, root_of, storage.list_files(root_of, missing_ok=True)) == []
