"""The lines of a night: one run id, one file of settings, every stage once, each on its own nodes."""

from pathlib import Path

import pytest

from devise import yamlfile
from devise.config import SECTIONS
from devise.emr.night import BY_CHOICE, SETUP, STEPS, Night, Nodes, named, settings, steps_of, submit_arguments
from devise.errors import ConfigError
from devise.jobs.run_nightly import JOBS


@pytest.fixture
def night():
    nodes = {"cpu": Nodes.parse("m6i.4xlarge:10"), "gpu": Nodes.parse("g6.2xlarge:4")}
    return Night("s3://b/n.yaml", "r1", "s3://b/w", nodes, sets=["label_images.k=3"], environment={"BUCKET": "b"})


def options(words, name):
    return [words[place + 1] for place, word in enumerate(words) if word == name]


def test_the_steps_are_the_stages_of_the_settings_that_come_with_us_in_their_order(monkeypatch):
    monkeypatch.setenv("BUCKET", "b")
    document = yamlfile.read(Path(__file__).parents[2] / "conf/emr.yaml")
    assert [stage for step in steps_of(document) for stage in step.stages] == document["run_nightly"]["stages"]
    every = [stage for step in (SETUP, *STEPS) for stage in step.stages]
    assert {*every} == {*SECTIONS, "plan_images"} - {"run_nightly"}
    assert every == [name for name in JOBS if name in every]  # in one application's order


@pytest.mark.parametrize("chosen", [[], ["report_run"], ["find_neighbours"], ["find_neighbours", "report_run"]])
def test_what_is_by_choice_is_in_a_night_whose_file_names_it_in_whatever_order(chosen):
    stages = [*reversed(chosen), "embed_images"]
    found = [stage for step in steps_of({"run_nightly": {"stages": stages}}) for stage in step.stages]
    assert found == [stage for step in STEPS for stage in step.stages if stage in chosen or stage not in BY_CHOICE]


@pytest.mark.parametrize("document", [{}, {"run_nightly": None}, {"run_nightly": {}}])
def test_a_file_without_stages_chooses_nothing(document):
    assert not {*BY_CHOICE} & {stage for step in steps_of(document) for stage in step.stages}


def test_a_stage_that_is_named_twice_is_refused():
    with pytest.raises(ConfigError, match="found report_run twice, wanted it once"):
        steps_of({"run_nightly": {"stages": ["report_run", "embed_images", "report_run"]}})


@pytest.mark.parametrize("stages", [["report_runs"], "report_run", {"report_run": None}, [["report_run"]]])
def test_a_choice_that_is_none_is_refused(stages):
    with pytest.raises(ConfigError, match=r"run_nightly.stages: found .*report_run.*, wanted a list of some of build_"):
        steps_of({"run_nightly": {"stages": stages}})


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
