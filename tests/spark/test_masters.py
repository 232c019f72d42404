"""`spark-submit jobs/run_nightly.py` gives the same tables on local[2], on two executors, and through either door."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from same_tables import compare

from devise.config import EngineConfig
from devise.errors import ConfigError
from devise.sample.book import draw
from devise.sample.broken import write_broken
from devise.sample.demo import SAMPLE
from devise.spark.stages import engines

ROOT = Path(__file__).resolve().parents[2]
SPARK_SUBMIT = Path(sys.executable).with_name("spark-submit")
CONFIG = """
warehouse: ${PLACE}/${WAREHOUSE}
run_nightly:
  stages: [build_vocabulary, train_model, catalog_images, embed_images, label_images, build_index, search_images,
           evaluate_model, publish_run]
build_vocabulary: {vectors: "${SAMPLE}/vectors.vec.gz", hierarchy: "${SAMPLE}/nouns.tsv.gz"}
train_model: {architecture: small_cnn, resize: 32, crop: 32, core_epochs: 1, labelled: {source: "${PLACE}/pictures"}}
catalog_images: {sources: ["${PLACE}/pictures"]}
embed_images: {engine: {precision: fp32}}
search_images: {queries: [lion, tulip + castle], k: 5}
evaluate_model: {recall_queries: 5}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """40 pictures of four nouns, a few broken ones, and the settings of a night."""
    folder = tmp_path_factory.mktemp("masters")
    for noun in ("lion", "tulip", "castle", "ferry"):
        (folder / "pictures" / noun).mkdir(parents=True)
        for number in range(10):
            draw(noun, np.random.default_rng(number), 48).save(folder / "pictures" / noun / f"{number}.jpg")
    write_broken(folder / "pictures" / "broken")
    (folder / "night.yaml").write_text(CONFIG)
    return folder


def night(place, master, warehouse, *more):
    """A whole night by spark-submit; a warehouse starts with the model and vocabulary of the first one."""
    command = [SPARK_SUBMIT, "--master", master, "--properties-file", ROOT / "conf/spark/local.conf"]
    command += [ROOT / "jobs/run_nightly.py", "--config", place / "night.yaml", "--run", "r1", *more]
    environment = os.environ | {"PLACE": str(place), "WAREHOUSE": warehouse, "SAMPLE": str(SAMPLE)}
    environment |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return str(place / warehouse)


@pytest.fixture(scope="module")
def local(place):
    return night(place, "local[2]", "local")


@pytest.mark.parametrize(
    ("name", "master", "more"),
    [
        ("executors", "local-cluster[2,1,2048]", []),
        pytest.param(
            *("pandas", "local-cluster[2,1,2048]", ["--set", "embed_images.exchange=pandas"]), marks=pytest.mark.slow
        ),
    ],
)
def test_two_executors_give_the_tables_of_one_process(place, local, name, master, more):
    """The model is trained once: training is not the same on another number of threads."""
    (place / name).mkdir()
    for table in ("vocabulary", "features", "model"):
        (place / name / table).symlink_to(Path(local) / table)
    stages = "[catalog_images, embed_images, label_images, build_index, search_images, evaluate_model, publish_run]"
    other = night(place, master, name, *more, "--set", f"run_nightly.stages={stages}")
    told = compare((local, "r1"), (other, "r1"))
    assert told.startswith("40 embeddings equal") and "8 rejects equal" in told


def test_a_cap_on_requests_is_shared_by_the_most_tasks_that_may_run_at_one_time():
    def cluster(registered, **settings):
        conf = {f"spark.{key.replace('_', '.')}": str(value) for key, value in settings.items()}
        context = SimpleNamespace(defaultParallelism=registered, getConf=lambda: conf)
        return SimpleNamespace(sparkContext=context, conf=conf)

    assert engines.most_slots(cluster(8)) == 8
    late = cluster(2, executor_instances=10, executor_cores=8, task_cpus=4)  # most register late
    assert engines.most_slots(late) == 20
    come_and_go = {"dynamicAllocation_enabled": "true", "executor_cores": 4}
    bound = cluster(2, **come_and_go, dynamicAllocation_maxExecutors=50)
    assert engines.most_slots(bound) == 200 and engines.most_slots(cluster(2, **come_and_go)) is None
    capped = EngineConfig(requests_per_second=100)
    assert engines.share_requests(late, capped, 5).requests_per_second == 20
    assert engines.share_requests(late, capped, 500).requests_per_second == 5
    assert engines.share_requests(cluster(2, **come_and_go), EngineConfig(), 5) == EngineConfig()
    with pytest.raises(ConfigError, match="found dynamic allocation without a bound"):
        engines.share_requests(cluster(2, **come_and_go), capped, 5)
