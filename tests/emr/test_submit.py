"""What submit makes of a step's end, with a spark-submit that is a script: its code and line, or that there is none."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from devise import cli
from devise.emr import submit
from devise.emr.night import STEPS, Night, Nodes
from devise.errors import ConfigError

SETTINGS = """warehouse: {folder}/w
run_nightly: {{stages: [embed_images]}}
catalog_images: {{sources: [{folder}]}}
search_images: {{queries: [ferry]}}
"""
SCRIPT = """#!{python}
import json, pathlib, sys, time
place = pathlib.Path(sys.argv[sys.argv.index("--outcome") + 1].removeprefix("file://"))
with open("{folder}/asked", "a") as file:
    print(place.stem, file=file)
left, code = json.load(open("{folder}/plan"))[place.stem]
if left == "wait":
    time.sleep(60)
if left is not None:
    place.parent.mkdir(parents=True, exist_ok=True)
    told = dict(run="r1", stages=[], done=[], exit_code=left, line="error: no good" if left else "")
    place.write_text(json.dumps(told | dict(started_at=0, finished_at=1)))
sys.exit(code)
"""


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """Submits a night whose steps end as told: step -> (code in the outcome or None for no outcome, exit code)."""
    script = tmp_path / "spark-submit"
    script.write_text(SCRIPT.format(python=sys.executable, folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    night = Night(str(tmp_path / "n.yaml"), "r1", str(tmp_path / "w"), {"cpu": Nodes.parse("m6i.xlarge:1")})

    def run(**plan):
        (tmp_path / "asked").write_text("")
        (tmp_path / "plan").write_text(json.dumps({step.name: (0, 0) for step in STEPS} | plan))
        return submit.run(STEPS, night), (tmp_path / "asked").read_text().split()

    return run


def test_all_steps_are_done_in_order(ended):
    assert ended() == (("settle", 0, ""), ["catalogue", "embed", "settle"])


def test_the_first_that_fails_is_the_last(ended):
    assert ended(embed=(2, 2)) == (("embed", 2, "error: no good"), ["catalogue", "embed"])


def test_the_job_s_own_code_counts_where_the_cluster_has_another(ended):
    """Cluster mode: spark-submit ends with 1 whatever happened."""
    assert ended(embed=(2, 1))[0] == ("embed", 2, "error: no good")
    assert ended(embed=(2, 0))[0] == ("embed", 2, "error: no good")
    assert ended(catalogue=(143, 1))[0] == ("catalogue", 143, "error: no good")


@pytest.mark.parametrize("code", [0, 1, 143])
def test_an_application_that_left_nothing_was_killed_whatever_spark_submit_says(ended, code):
    ended(embed=(0, 0))  # an earlier attempt's outcome is there, and is not this one's
    (step, exit_code, line), asked = ended(embed=(None, code))
    assert (step, exit_code, asked[-1]) == ("embed", 1, "embed")
    assert line.startswith("error: found no outcome at file:///") and f"spark-submit ended with {code}: " in line


def test_a_job_that_ended_well_in_an_application_that_did_not_has_failed(ended):
    assert ended(settle=(0, 1))[0] == ("settle", 1, "error: the job ended well, and spark-submit with 1")


def test_without_spark_there_is_one_line(ended, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="found no spark-submit on the PATH"):
        ended()


def test_the_command_ends_with_the_step_s_code_and_line_and_stops_its_step_when_stopped(ended, tmp_path):
    ended()  # makes the script
    (tmp_path / "n.yaml").write_text(SETTINGS.format(folder=tmp_path))
    asked = [sys.executable, "-m", "devise", "emr", "submit", "--config", str(tmp_path / "n.yaml"), "--run", "r1"]
    asked += ["--cpu", "m6i.xlarge:1"]
    (tmp_path / "plan").write_text(json.dumps({"catalogue": (2, 1)}))
    done = subprocess.run(asked, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "devise: step catalogue: error: no good\n")
    (tmp_path / "plan").write_text(json.dumps({"catalogue": ("wait", 0)}))
    (tmp_path / "asked").write_text("")
    with subprocess.Popen(asked, stderr=subprocess.PIPE, text=True) as running:
        while not (tmp_path / "asked").read_text():
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        said = running.stderr.read()
    assert (running.returncode, said) == (143, "devise: terminated\n")


def test_steps_are_done_in_the_night_s_order_whatever_the_file_says_of_stages(tmp_path, capsys):
    more = "build_vocabulary: {vectors: w.vec}\ntrain_model: {architecture: small_cnn, weights: w.pth, loss: none}\n"
    (tmp_path / "n.yaml").write_text(SETTINGS.format(folder=tmp_path).replace("run_nightly", "# run_nightly") + more)
    asked = ["emr", "submit", "--config", str(tmp_path / "n.yaml"), "--run", "r1", "--cpu", "m6i.xlarge:1", "--dry-run"]
    cli.main([*asked, "--step", "embed", "--step", "setup"])
    places = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    assert places == ["setup.json", "embed.json"]


def test_what_the_file_chooses_or_the_command_line_is_in_the_last_line(tmp_path, capsys):
    (tmp_path / "n.yaml").write_text(SETTINGS.format(folder=tmp_path))
    asked = ["emr", "submit", "--config", str(tmp_path / "n.yaml"), "--run", "r1", "--cpu", "m6i.xlarge:1", "--dry-run"]
    cli.main(asked)
    assert "report_run" not in capsys.readouterr().out
    cli.main([*asked, "--set", "run_nightly.stages=[report_run]"])
    lines = capsys.readouterr().out.splitlines()
    assert ["evaluate_model, report_run, publish_run" in line for line in lines] == [False, False, True]
    assert all(line.count("run_nightly.stages=") == 1 for line in lines)


def test_a_dry_run_prints_the_lines_and_runs_nothing(ended, tmp_path):
    ended()
    (tmp_path / "asked").write_text("")
    (tmp_path / "n.yaml").write_text(SETTINGS.format(folder=tmp_path))
    asked = ["emr", "submit", "--config", str(tmp_path / "n.yaml"), "--run", "r1", "--cpu", "m6i.xlarge:1", "--dry-run"]
    done = subprocess.run([sys.executable, "-m", "devise", *asked], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["spark-submit"] * 3
    assert (tmp_path / "asked").read_text() == ""


def test_a_section_that_a_later_step_lacks_is_said_before_the_first_begins(ended, tmp_path, capsys):
    ended()
    (tmp_path / "asked").write_text("")
    (tmp_path / "n.yaml").write_text(SETTINGS.format(folder=tmp_path).replace("search_images", "# search_images"))
    with pytest.raises(SystemExit) as refused:
        cli.main(["emr", "submit", "--config", str(tmp_path / "n.yaml"), "--run", "r1", "--cpu", "m6i.xlarge:1"])
    assert refused.value.code == 2 and "search_images: no queries" in capsys.readouterr().err
    assert (tmp_path / "asked").read_text() == ""
