"""Sizes leave room for the application master on every node, whatever the machine; a GPU step has one task a card."""

import re

import pytest

from devise.emr.instances import INSTANCES, find
from devise.emr.sizes import executors_a_node, sizes, yarn_gib
from devise.errors import ConfigError

KINDS = [(name, device) for name, found in INSTANCES.items() for device in ("cpu", "gpu")[: 1 + bool(found.gpus)]]


def gib(text):
    return int(re.fullmatch(r"(\d+)g", text)[1])


@pytest.mark.parametrize(("name", "device"), KINDS)
def test_every_executor_and_a_master_fit_on_one_node(name, device):
    """Whatever node the master is put on, in cluster mode with the driver in it."""
    instance = find(name)
    found = sizes(instance, device)
    n, cores = int(found["spark.executor.instances"]), int(found["spark.executor.cores"])
    assert n * cores <= instance.vcpus - 1
    heap, overhead = gib(found["spark.executor.memory"]), gib(found["spark.executor.memoryOverhead"])
    driver = gib(found["spark.driver.memory"])
    master = driver * 1024 + max(384, driver * 1024 // 10)
    assert n * (heap + overhead) * 1024 + master <= yarn_gib(instance) * 1024
    assert overhead >= heap and cores >= 3


@pytest.mark.parametrize(("name", "device"), [pair for pair in KINDS if pair[1] == "gpu"])
def test_a_gpu_step_has_one_executor_and_one_task_a_card(name, device):
    found = sizes(find(name), device, nodes=3)
    assert int(found["spark.executor.instances"]) == 3 * find(name).gpus
    assert found["spark.task.cpus"] == found["spark.executor.cores"]
    assert found["spark.executor.resource.gpu.amount"] == found["spark.task.resource.gpu.amount"] == "1"


def test_a_cpu_step_has_a_task_a_core_and_asks_for_no_card_in_so_many_words():
    """The script that finds cards may be a default of the cluster; alone it ends every job."""
    found = sizes(find("m6i.4xlarge"), "cpu", nodes=10)
    told = [found[f"spark.{name}"] for name in ("executor.instances", "executor.cores", "task.cpus")]
    assert told == ["30", "5", "1"]
    assert found["spark.executor.resource.gpu.amount"] == found["spark.task.resource.gpu.amount"] == "0"


@pytest.mark.parametrize(("name", "device"), KINDS)
def test_a_night_is_tried_once_by_a_fixed_number_of_executors(name, device):
    found = sizes(find(name), device)
    assert found["spark.yarn.maxAppAttempts"] == "1" and found["spark.speculation"] == "false"
    assert found["spark.dynamicAllocation.enabled"] == "false"


def test_cards_that_are_not_there_and_nodes_without_room_are_refused():
    with pytest.raises(ConfigError, match="m6i.xlarge: found no card in it"):
        executors_a_node(find("m6i.xlarge"), "gpu")
    with pytest.raises(ConfigError, match="found 0 nodes"):
        sizes(find("m6i.xlarge"), "cpu", 0)
    with pytest.raises(ConfigError, match="found the instance type 'p9.huge', wanted one of m6i.xlarge"):
        find("p9.huge")


def test_what_yarn_grants_is_as_emr_s_guide_has_it():
    """yarn.nodemanager.resource.memory-mb of m5.xlarge, m5.2xlarge, m5.4xlarge and r5.4xlarge, in GiB."""
    names = ("m6i.xlarge", "m6i.2xlarge", "m6i.4xlarge", "r6i.4xlarge")
    assert [yarn_gib(find(name)) for name in names] == [12, 24, 56, 120]


def test_prices_are_sums_of_two():
    found = find("g6.2xlarge")
    assert (found.gpus, found.gpu, found.memory_gib) == (1, "L4", 32)
    assert found.usd_hour == pytest.approx(0.9776 * 1.25)
