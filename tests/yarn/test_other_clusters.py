"""The same nights on Spark's own cluster, and the same tables on YARN as on one machine."""

import os
import subprocess
import sys

import pytest
from conftest import N_BROKEN, N_PICTURES, ON_CPU, ROOT, events, submit
from same_tables import live, same_live_tables
from standalone import StandaloneCluster

from devise.emr.night import BY_CHOICE, steps_of
from devise.warehouse import pointer

pytestmark = pytest.mark.slow
PHOTOGRAPHS = ["--set", "catalog_images.include=['*_000[5-6].jpg']", "--set", "embed_images.engine.precision=fp32"]
"""162 of them."""


@pytest.fixture(scope="module")
def standalone(tmp_path_factory, s3_server):
    with StandaloneCluster(tmp_path_factory.mktemp("standalone")) as cluster:
        yield cluster


def test_the_night_is_the_same_on_a_standalone_cluster_of_two_workers(standalone, place):
    done = submit(standalone, place, "r2", "--master", standalone.master, *ON_CPU)
    assert done.code == 0, done.error[-3000:]
    assert pointer.published(f"{place}/warehouse").run == "r2"
    found = {name: rows.num_rows for name, rows in live(f"{place}/warehouse").items()}
    assert (found["images"], found["embeddings"]) == (N_PICTURES + N_BROKEN, N_PICTURES)
    assert (found["rejects"], found["labels"]) == (N_BROKEN, 5 * N_PICTURES)
    catalogue, embed, settle = (
        [event["Executor Info"] for event in found if event["Event"] == "SparkListenerExecutorAdded"]
        for found in events(standalone.events).values()
    )
    assert sorted(info["Resources"]["gpu"]["addresses"][0] for info in embed) == ["0", "1"]
    assert not any(info["Resources"] for info in [*catalogue, *settle])
    assert [info["Total Cores"] for info in [*catalogue, *embed, *settle]] == [3] * 6


def test_photographs_have_the_tables_of_one_machine_on_yarn(yarn, data, tmp_path):
    """Vocabulary and model are made once, on YARN: training is not the same on another number of threads."""
    shared = {"DATA": str(data), "DEVISE_MASTER": "local[2]", "PYSPARK_PYTHON": sys.executable}
    night = ["--config", str(ROOT / "conf/photographs.yaml"), "--run", "r1", *PHOTOGRAPHS]

    def run(place, environment, *words):
        told = environment | shared | {"WAREHOUSE": str(tmp_path / place)}
        done = subprocess.run(
            [sys.executable, "-m", "devise", *words, *night], env=told, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]

    on_yarn = ["emr", "submit", "--cpu", "m6i.xlarge:2", "--gpu", "g6.xlarge:2", *ON_CPU]
    run("cluster", yarn.environment(), *on_yarn, "--step", "setup")
    (tmp_path / "local").mkdir()
    for table in ("vocabulary", "features", "model"):
        if (tmp_path / "cluster" / table).exists():
            (tmp_path / "local" / table).symlink_to(tmp_path / "cluster" / table)
    run("cluster", yarn.environment(), *on_yarn, "--set", f"run_nightly.stages=[{', '.join(BY_CHOICE)}]")
    own = steps_of({"run_nightly": {"stages": [*BY_CHOICE]}})
    stages = ", ".join(stage for step in own for stage in step.stages)
    run("local", dict(os.environ), "run", "run_nightly", *ON_CPU, "--set", f"run_nightly.stages=[{stages}]")
    told = same_live_tables(str(tmp_path / "local"), str(tmp_path / "cluster"))
    print(told)
    assert told.startswith("162 embeddings equal within")
    for place in ("cluster", "local"):
        assert len([*(tmp_path / place).glob("reports/run=r1/_nightly-page-*.html")]) == 1
        assert [*(tmp_path / place).glob("neighbours/run=r1/*.parquet")]
