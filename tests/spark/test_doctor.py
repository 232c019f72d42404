"""What doctor makes of executors' answers; and a look at this machine by the command line."""

import dataclasses

import pytest

from devise import cli
from devise.spark.stages import doctor
from devise.spark.stages.executors import Answer, versions

GIB = 2**30
HERE = {"devise": "1", "pyspark": "3.5.6", "torch": "2.9", "numpy": "2.4"}
GOOD = Answer("n1", 7, HERE, (), 0, "", None, None, (("ok", "warehouse w: list"), ("ok", "clock: well")))
CLUSTER = {"spark.executor.memory": "3g", "spark.executor.memoryOverhead": "5g", "spark.executor.cores": "3"}


def states(found):
    return [finding.state for finding in found]


def other(**change):
    return dataclasses.replace(GOOD, host="n2", process=8, **change)


def test_executors_with_the_driver_s_versions_are_one_line():
    assert states(doctor.judge_versions(HERE, [GOOD, other()])) == ["ok"]


@pytest.mark.parametrize(
    ("name", "version", "state"),
    [("devise", "2", "fault"), ("pyspark", "3.5.5", "fault"), ("torch", "", "fault"), ("numpy", "2.3", "warning")],
)
def test_another_version_is_told_with_its_host(name, version, state):
    (found,) = doctor.judge_versions(HERE, [GOOD, other(versions=HERE | {name: version})])
    assert found.state == state and f"found {name} {version or 'nowhere'} on n2" in found.text


def test_a_driver_may_lack_what_executors_have():
    here = HERE | {"torch": ""}
    (found,) = doctor.judge_versions(here, [GOOD])
    assert found.state == "warning"


def test_what_an_executor_s_store_refuses_is_told_with_its_host_and_only_the_rest_is_well():
    bad = other(findings=(("fault", "warehouse w: put: AccessDenied"), ("ok", "clock: well")))
    fault, well = doctor.judge_stores([GOOD, bad])
    assert str(fault) == "fault    executors on n2: warehouse w: put: AccessDenied"
    assert str(well) == "ok       executors: clock as on the driver"


@pytest.mark.parametrize(
    ("memory", "cpus", "state"),
    [(None, None, "ok"), (8 * GIB, 3.0, "ok"), (7 * GIB, 3.0, "fault"), (8 * GIB, 2.0, "warning")],
)
def test_a_cgroup_is_held_against_what_spark_counts_on(memory, cpus, state):
    (found,) = doctor.judge_containers([dataclasses.replace(GOOD, memory_bytes=memory, cpus=cpus)], CLUSTER, False)
    assert found.state == state


@pytest.mark.parametrize(
    ("granted", "cards", "device", "asked", "state"),
    [
        (("0",), 1, "cuda", "1", "ok"),
        (("0",), 0, "cuda", "1", "fault"),
        ((), 0, "cuda", "0", "fault"),
        ((), 0, "auto", "0", "ok"),
        (("2",), 4, "auto", "1", "warning"),  # a container that sees its neighbours' cards
        ((), 1, "auto", "0", "warning"),  # cards that Spark does not hand out
        ((), 0, "cpu", "0", "ok"),
    ],
)
def test_cards_of_spark_and_of_torch_are_held_against_the_settings(granted, cards, device, asked, state):
    answers = [dataclasses.replace(GOOD, granted=granted, cards=cards), other(granted=granted, cards=cards)]
    found = doctor.judge_cards(answers, {"spark.executor.resource.gpu.amount": asked}, device)
    assert set(states(found)) == {state}


def test_executors_that_do_not_come_are_a_warning():
    assert doctor.judge_number(1, 2).state == "warning" and doctor.judge_number(2, 2).state == "ok"


@pytest.fixture
def config(tmp_path, spark, monkeypatch):
    """Settings of a night with one picture, looked at by the tests' Spark."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.jpg").write_bytes(b"x")
    path = tmp_path / "night.yaml"
    path.write_text(
        f"warehouse: {tmp_path}/warehouse\ncatalog_images: {{sources: [{tmp_path}/pictures]}}\nembed_images: {{}}\n"
    )
    monkeypatch.setattr(doctor, "start_session", lambda *_: spark)
    monkeypatch.setattr(spark, "stop", lambda: None)
    return path


def test_this_machine_is_well_and_a_line_says_so_of_each_check(config, capsys):
    cli.main(["doctor", "--config", str(config)])
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok ", "warning ")) for line in lines)
    for kind in ("warehouse", "source", "clock", "disk", "Java 17", "executors: 1 of 1", "cgroup", "cards", "Arrow"):
        assert any(kind in line for line in lines), kind
    assert f"devise {versions()['devise']}" in "\n".join(lines)


def test_a_card_that_is_wanted_and_absent_ends_with_2_after_all_other_checks(config, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--config", str(config), "--set", "embed_images.engine.device=cuda"])
    said = capsys.readouterr()
    assert ended.value.code == 2 and "torch sees none, wanted a driver and a torch with CUDA" in said.out
    assert "ok       Arrow: 100 of 100" in said.out
    assert said.err.splitlines()[-1].startswith("doctor: error: found 1 of ")


def test_a_spark_that_does_not_start_is_a_fault(config, capsys, monkeypatch):
    from devise.errors import ConfigError

    def refuse(*_):
        raise ConfigError("no Java 17")

    monkeypatch.setattr(doctor, "start_session", refuse)
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--config", str(config)])
    assert "fault    Spark: no Java 17" in capsys.readouterr().out
