"""The lines of a night: one run id, one file of settings, every stage once, each on its own nodes."""

from pathlib import Path

import pytest

from devise import yamlfile
from devise.config import SECTIONS
from devise.emr.night import SETUP, STEPS, Night, Nodes, named, settings, submit_arguments
from devise.errors import ConfigError


@pytest.fixture
def night():
    nodes = {"cpu": Nodes.parse("m6i.4xlarge:10"), "gpu": Nodes.parse("g6.2xlarge:4")}
    return Night("s3://b/n.yaml", "r1", "s3://b/w", nodes, sets=["label_images.k=3"], environment={"BUCKET": "b"})


def options(words, name):
    return [words[place + 1] for place, word in enumerate(words) if word == name]


def test_the_steps_are_the_stages_of_the_settings_that_come_with_us_in_their_order(monkeypatch):
    monkeypatch.setenv("BUCKET", "b")
    night = yamlfile.read(Path(__file__).parents[2] / "conf/emr.yaml")["run_nightly"]
    assert [stage for step in STEPS for stage in step.stages] == night["stages"]
    optional = {"find_neighbours", "report_run"}  # stages by choice, which no step has
    assert {*SETUP.stages, *(stage for step in STEPS for stage in step.stages)} == {*SECTIONS, "plan_images"} - {
        "run_nightly",
        *optional,
    }


@pytest.mark.parametrize("step", [SETUP, *STEPS], ids=lambda step: step.name)
def test_a_line_lays_settings_over_the_cluster_s_own_and_says_where_its_outcome_goes(step, night):
    words = submit_arguments(step, night)
    assert words[:5] == ["spark-submit", "--master", "yarn", "--deploy-mode", "client"]
    assert "--properties-file" not in words
    assert options(words, "--run") == ["r1"] and options(words, "--config") == ["s3://b/n.yaml"]
    assert options(words, "--set") == ["label_images.k=3", f"run_nightly.stages=[{', '.join(step.stages)}]"]
    assert options(words, "--outcome") == [f"s3://b/w/_staging/outcomes/run=r1/{step.name}.json"]
    confs = dict(pair.split("=", 1) for pair in options(words, "--conf"))
    assert confs == settings(step, night)
    assert confs["spark.executor.instances"] == ("4" if step.name == "embed" else "30")
    assert confs["spark.executor.resource.gpu.amount"] == ("1" if step.name == "embed" else "0")


def test_a_night_without_cards_embeds_on_the_cpu_s_nodes(night):
    alone = Night(night.config, night.run, night.warehouse, {"cpu": night.nodes["cpu"]})
    assert settings(named("embed"), alone) == settings(named("catalogue"), alone)


def test_a_driver_on_the_cluster_is_told_what_the_file_is_filled_with(night):
    on_cluster = Night(**{**vars(night), "deploy_mode": "cluster"})
    assert settings(STEPS[0], on_cluster)["spark.yarn.appMasterEnv.BUCKET"] == "b"
    assert not [name for name in settings(STEPS[0], night) if "appMasterEnv" in name]


@pytest.mark.parametrize("text", ["g6.2xlarge", "g6.2xlarge:0", "g6.2xlarge:x", ":3", "g6.2xlarge:-1", "p9.huge:1"])
def test_nodes_are_a_known_type_and_a_count(text):
    with pytest.raises(ConfigError, match="wanted"):
        Nodes.parse(text)


def test_a_step_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="found the step 'emded', wanted one of setup, catalogue, embed, settle"):
        named("emded")
