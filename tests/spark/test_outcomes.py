"""A command leaves its outcome where --outcome says: code, line, stages; whatever ends it, but for SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from devise.config import CatalogConfig
from devise.spark.frame import command, job
from devise.warehouse import outcome

SLOW = Path(__file__).with_name("slow_job.py")


def settings(tmp_path):
    (tmp_path / "corpus").mkdir()
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump({"warehouse": str(tmp_path / "w"), "catalog_images": {"sources": [str(tmp_path / "corpus")]}})
    )
    return ["--config", str(path), "--run", "r1", "--outcome", str(tmp_path / "o" / "outcome.json")]


def left(tmp_path):
    return outcome.read(f"file://{tmp_path}/o/outcome.json")


def ends(main):
    def task(_):
        main()

    task.__module__ = __name__
    return job.Job("catalog_images", CatalogConfig, task, writes=())


def test_a_command_that_did_its_work_says_so(tmp_path, one_session):
    command.run(ends(lambda: None), settings(tmp_path))
    found = left(tmp_path)
    assert (found.exit_code, found.line, found.run) == (0, "", "r1")
    assert found.stages == found.done == ["catalog_images"] and 0 <= found.finished_at - found.started_at < 60


def test_a_broken_promise_and_a_fault_of_ours_are_told_in_one_line(tmp_path, one_session):
    asked = settings(tmp_path)
    with pytest.raises(SystemExit) as ended:
        command.run(ends(lambda: None), [*asked, "--set", "catalog_images.sources=[]"])
    found = left(tmp_path)
    assert (ended.value.code, found.exit_code, found.stages, found.done) == (2, 2, [], [])
    assert (
        found.line.startswith("error: ") and "catalog_images: sources: List should have at least 1 item" in found.line
    )

    def fault():
        raise ValueError("first\nsecond " + 400 * "x")

    with pytest.raises(ValueError):
        command.run(ends(fault), asked)
    found = left(tmp_path)
    assert (found.exit_code, found.stages, found.done) == (1, ["catalog_images"], [])
    assert found.line.startswith("a fault of ours: ValueError: first second xxx") and len(found.line) < 400


def test_while_a_command_works_no_earlier_attempt_s_outcome_is_there(tmp_path, one_session):
    asked, found = settings(tmp_path), []
    command.run(ends(lambda: None), asked)
    command.run(ends(lambda: found.append(left(tmp_path))), asked)
    assert found == [None] and left(tmp_path).exit_code == 0


def test_an_outcome_that_cannot_be_written_fails_what_did_well_and_hides_no_other_fault(tmp_path, one_session, capsys):
    asked = settings(tmp_path)
    with pytest.raises(SystemExit) as ended:
        command.run(ends(lambda: (tmp_path / "o").write_text("a file where a folder is wanted")), asked)
    assert ended.value.code == 2 and "outcome.json: File exists" in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(SystemExit):
        command.run(ends(lambda: None), [*asked, "--set", "catalog_images.sources=[]"])
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("catalog_images: the outcome was not written: file:///") and "at least 1 item" in last


@pytest.mark.slow
def test_a_command_that_is_terminated_says_so(tmp_path):
    asked = [sys.executable, str(SLOW), *settings(tmp_path)]
    env = {**os.environ, "DEVISE_MASTER": "local[1]", "PYSPARK_PYTHON": sys.executable}
    with subprocess.Popen(asked, stderr=subprocess.DEVNULL, env=env) as running:
        while not (tmp_path / "corpus" / "started").exists():
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
    assert running.returncode == 143
    told = json.loads((tmp_path / "o" / "outcome.json").read_text())
    assert (told["exit_code"], told["line"], told["done"]) == (143, "terminated", [])
