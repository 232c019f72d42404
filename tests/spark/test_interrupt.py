"""A job that is stopped: one line, its exit code, the lease released, nobody left behind; in a locale without UTF-8."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

JOB = Path(__file__).with_name("slow_job.py")


@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGINT, "interrupted"), pytest.param(signal.SIGTERM, "terminated", marks=pytest.mark.slow)],
)
def test_a_job_that_is_stopped_says_one_line_and_releases_its_lease(number, word, tmp_path):
    corpus, warehouse = tmp_path / "corpus", tmp_path / "wü"
    corpus.mkdir()
    settings = {"warehouse": str(warehouse), "catalog_images": {"sources": [str(corpus)]}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    asked = [sys.executable, str(JOB), "--config", str(tmp_path / "c.yaml"), "--run", "r1"]
    env = {**os.environ, "LC_ALL": "C", "DEVISE_MASTER": "local[2]", "PYSPARK_PYTHON": sys.executable}
    # A group of its own, as a terminal's: Ctrl-C goes to all of it.
    with subprocess.Popen(asked, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True) as running:
        while not (corpus / "started").exists():
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.1)
        os.killpg(running.pid, number)
        said = running.stderr.read().splitlines()
    assert running.returncode == 128 + number
    assert said[-1] == f"catalog_images: {word}" and not any("Traceback" in line or " ERROR " in line for line in said)
    (lease,) = (warehouse / "live" / "lease").iterdir()
    assert json.loads(lease.read_text())["released"]


def test_java_spells_paths_as_python_does_whatever_the_locale(tmp_path):
    program = f"""
from devise.spark.frame.session import refuse_spelling, start_session
spark = start_session("test")
spark.range(3).write.parquet("file://{tmp_path}/wü 北")
system = spark.sparkContext._jvm.System
print(system.getProperty("sun.jnu.encoding"), system.getProperty("file.encoding"))
refuse_spelling(spark, ["file:///wü"])
"""
    env = {**os.environ, "LC_ALL": "C", "DEVISE_MASTER": "local[1]"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "UTF-8 UTF-8\n" and [path.name for path in tmp_path.iterdir()] == ["wü 北"]


def test_a_java_that_others_started_without_utf8_is_refused_where_a_path_needs_it():
    """The JVM is that of spark-submit: it has the locale of whoever started it, and no session of ours changes that."""
    program = """
from types import SimpleNamespace
from pyspark.java_gateway import launch_gateway
from devise.errors import ConfigError
from devise.spark.frame.session import find_java, refuse_spelling
find_java()
gateway = launch_gateway()
session = SimpleNamespace(sparkContext=SimpleNamespace(_jvm=gateway.jvm))
refuse_spelling(session, ["file:///w", "s3://bucket/wü"])
try:
    refuse_spelling(session, ["file:///w", "file:///wü"])
except ConfigError as error:
    print(error)
gateway.shutdown()
"""
    env = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", env=env)
    assert ended.returncode == 0, ended.stderr
    wanted = "file:///wü: Java takes file names for ANSI_X3.4-1968: start spark-submit with LC_ALL=C.UTF-8\n"
    assert ended.stdout == wanted
