"""The Airflow DAG, read by a real Airflow in an environment of its own; nothing is scheduled, and AWS is not asked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("apache-airflow==3.3.2", "apache-airflow-providers-amazon==9.39.0")
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(dag_folder=sys.argv[1])
(dag,) = bag.dags.values()
night, request = dag.get_task("night"), dag.get_task("request")
found = {
    "errors": list(bag.import_errors.values()),
    "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
    "waits for": night.wait_policy.name,
    "deferrable": night.deferrable,
    "one at a time": dag.max_active_runs == 1,
}
from devise.emr import account, jobflow, stack  # what the task `request` imports once it runs
print("FOUND" + json.dumps(found))
"""


@pytest.mark.slow
def test_an_airflow_reads_the_dag_and_would_wait_for_the_night_without_a_worker(tmp_path):
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    words = [python, "-c", READ, ROOT / "deploy/airflow/devise_nightly.py"]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.partition("FOUND")[2].splitlines()[0])
    assert found == {
        "errors": [],
        "tasks": {"request": [], "night": ["request"]},
        "waits for": "WAIT_FOR_STEPS_COMPLETION",
        "deferrable": True,
        "one at a time": True,
    }
