"""A YARN of two nodes with a card each, a corpus and a warehouse on a real S3 server, and nights submitted to it.

Without Java or the jars these tests are skipped; with DEVISE_REQUIRE_YARN set, as .ci/run does, they fail instead.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from places import upload
from tiny_warehouse import commit_vocabulary_and_model

from devise.sample.book import draw
from devise.sample.broken import write_broken

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
warehouse: ${PLACE}/warehouse
run_nightly:
  stages: [catalog_images, plan_images, embed_images, label_images, build_index, search_images, evaluate_model,
           publish_run]
catalog_images: {sources: ["${PLACE}/pictures"]}
embed_images: {images_per_slice: 4, engine: {device: cuda, precision: fp32}}
search_images: {queries: [lion, tulip + castle], k: 5}
evaluate_model: {recall_queries: 5}
"""
"""A night as conf/emr.yaml has it, on a few drawn pictures; there is no card, whatever it says."""
ON_CPU = ("--set", "embed_images.engine.device=cpu")
N_PICTURES, N_BROKEN = 40, 8


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    error: str

    @property
    def last(self) -> str:
        return self.error.strip().splitlines()[-1]


def start(folder, **settings):
    """A running YARN in a folder, or a skip that says why there is none."""
    from yarncluster import NoYarn, YarnCluster

    try:
        return YarnCluster(folder, **settings).__enter__()
    except NoYarn as error:
        if os.environ.get("DEVISE_REQUIRE_YARN"):
            raise
        pytest.skip(f"NO YARN: {error}")


@pytest.fixture(scope="session")
def yarn(tmp_path_factory, s3_server):
    """Two nodes with a card each."""
    cluster = start(tmp_path_factory.mktemp("yarn"))
    yield cluster
    cluster.__exit__()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder of pictures, some of them broken."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_pictures(folder / "pictures", range(10))
    assert len(write_broken(folder / "pictures" / "broken")) == N_BROKEN
    return folder


def draw_pictures(folder, numbers):
    for noun in ("lion", "tulip", "castle", "ferry"):
        (folder / noun).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            draw(noun, np.random.default_rng(number), 48).save(folder / noun / f"{number}.jpg")


@pytest.fixture(scope="module")
def place(request, s3_server, drawn, tmp_path_factory):
    """A bucket with the pictures, the settings of a night, and a warehouse with vocabulary and model."""
    bucket = s3_server.make_bucket(request.module.__name__.rpartition(".")[2].replace("_", "-"))
    upload(drawn / "pictures", f"{bucket}/pictures")
    folder = tmp_path_factory.mktemp("place")
    (folder / "night.yaml").write_text(CONFIG)
    commit_vocabulary_and_model(str(folder / "warehouse"))
    upload(folder, bucket)
    return bucket


def documented() -> list[str]:
    """The words of the command with which deploy/README.md has a night submitted, variables and all."""
    page = (ROOT / "deploy/README.md").read_text().replace("\\\n", " ")
    lines = [line for line in page.splitlines() if line.startswith("    devise emr submit ")]
    (line,) = [line for line in lines if "--cpu" in line and "--step" not in line]
    return shlex.split(line)


def submit(cluster, place, run, *more, cpu="m6i.xlarge:2", gpu="g6.xlarge:2", timeout=540, **defaults) -> Said:
    """The documented command on a cluster, for the nodes that it has."""
    words = documented()
    filled = {"--config": f"{place}/night.yaml", "--run": run, "--cpu": cpu, "--gpu": gpu}
    for name, value in filled.items():
        words[words.index(name) + 1] = value
    environment = cluster.environment(**defaults) | {"PLACE": place}
    asked = [sys.executable, "-m", *words, *more]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, timeout=timeout)
    return Said(done.returncode, done.stdout, done.stderr)


def events(folder, after=0.0):
    """What Spark recorded of its applications, oldest first: app id -> events; one that was killed ends amid a line."""
    paths = sorted((path for path in folder.iterdir() if path.stat().st_mtime >= after), key=lambda path: path.name)
    whole = {path.name: path.read_text().rpartition("\n")[0] for path in paths}
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in whole.items()}
