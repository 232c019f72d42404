"""The memory of a Python task, by Spark's settings and the machine; no Spark is started."""

from types import SimpleNamespace

import pytest

from devise.emr.instances import find
from devise.emr.sizes import sizes
from devise.errors import ConfigError
from devise.search.filling import rows_that_fit
from devise.spark.frame import memory
from devise.spark.frame.live import ID_BYTES, MOST_BROADCAST, ROW_BYTES, most_broadcast
from devise.spark.frame.memory import read_bytes, share_of_executor, share_of_machine, smallest_heap

GIB, MIB = 2**30, 2**20


def test_an_executor_s_overhead_is_shared_by_its_tasks():
    assert share_of_executor({}) == 0  # 384 MiB of overhead are the JVM's own
    conf = {"spark.executor.memory": "6g", "spark.executor.memoryOverheadFactor": "0.6", "spark.executor.cores": "4"}
    assert share_of_executor(conf) == (int(3.6 * GIB) - 384 * MIB) // 4
    assert share_of_executor(conf | {"spark.task.cpus": "2"}) == (int(3.6 * GIB) - 384 * MIB) // 2
    assert share_of_executor(conf | {"spark.executor.memoryOverhead": "4480"}) == GIB
    assert share_of_executor(conf | {"spark.executor.memoryOverhead": "384m", "spark.task.cpus": "8"}) == 0


def test_one_machine_s_memory_is_halved_and_shared():
    assert share_of_machine({"spark.driver.memory": "2g"}, 4, 18 * GIB) == 2 * GIB
    assert share_of_machine({"spark.driver.memory": "2g", "spark.task.cpus": "4"}, 4, 18 * GIB) == 8 * GIB
    assert share_of_machine({"spark.driver.memory": "8g"}, 4, 4 * GIB) == 0
    assert 2**28 < memory.machine_bytes() < 2**50


def test_what_is_sent_to_all_must_fit_an_executor_too():
    conf = {"spark.driver.memory": "16g", "spark.executor.memory": "6g"}
    assert smallest_heap(conf, "yarn") == smallest_heap(conf, "local-cluster[2,1,6144]") == 6 * GIB
    assert smallest_heap(conf, "local[4]") == 16 * GIB and smallest_heap({}, "k8s://x") == GIB


def test_a_container_s_limit_is_the_machine_s_size(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "memory.max")
    whole = memory.machine_bytes()
    for text, wanted in (("max\n", whole), (f"{GIB}\n", GIB), (f"{2**60}\n", whole)):
        (tmp_path / "memory.max").write_text(text)
        assert memory.machine_bytes() == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("512", 512 * MIB), ("6g", 6 * GIB), ("6G", 6 * GIB), ("512mb", 512 * MIB), ("1024k", MIB), ("7b", 7), ("0", 0)],
)
def test_sizes_are_read_as_spark_writes_them(text, wanted):
    assert read_bytes(text) == wanted


@pytest.mark.parametrize("text", ["", "g", "1.5g", "6x", "-1"])
def test_what_is_no_size_is_one_line(text):
    with pytest.raises(ConfigError, match="in Spark's settings, wanted a number with k, m, g or t"):
        read_bytes(text)


def session(master, conf, n_cores=4):
    settings = SimpleNamespace(getAll=lambda: list(conf.items()))
    return SimpleNamespace(
        sparkContext=SimpleNamespace(master=master, defaultParallelism=n_cores, getConf=lambda: settings)
    )


def test_the_master_tells_whether_tasks_share_a_machine_or_an_executor(monkeypatch):
    monkeypatch.setattr(memory, "machine_bytes", lambda: 18 * GIB)
    conf = {"spark.driver.memory": "2g", "spark.executor.memoryOverhead": "4480", "spark.executor.cores": "4"}
    assert memory.task_bytes(session("local[4]", conf)) == 2 * GIB
    for master in ("yarn", "k8s://host", "local-cluster[2,1,1024]"):
        assert memory.task_bytes(session(master, conf)) == GIB


def test_the_nodes_of_the_page_on_scale_fill_shards_of_a_million_rows():
    conf = sizes(find("m6i.4xlarge"), "cpu", 10)
    assert rows_that_fit(share_of_executor(conf), "IVF4096,SQ8", 300) > 1_000_000


def test_rows_are_broadcast_as_far_as_the_smallest_heap_and_the_driver_s_results_allow():
    assert most_broadcast(GIB, "1g", ID_BYTES) == GIB // 4 // ID_BYTES
    assert most_broadcast(12 * GIB, "1g", ROW_BYTES) == GIB // (ROW_BYTES // 2)  # 1 GiB of results
    for unbound in ("4g", "0"):
        assert most_broadcast(12 * GIB, unbound, ROW_BYTES) == 3 * GIB // ROW_BYTES
    assert most_broadcast(12 * GIB, str(GIB), ROW_BYTES) == GIB // (ROW_BYTES // 2)
    assert most_broadcast(64 * GIB, "4g", ID_BYTES) == MOST_BROADCAST


def test_the_nodes_of_the_page_on_scale_broadcast_a_hundredth_of_a_billion_ids_twice():
    """As many came and went, of which the ids alone meet the whole corpus."""
    conf = sizes(find("m6i.4xlarge"), "cpu", 10)
    heap = smallest_heap(conf, "yarn")
    assert most_broadcast(heap, conf["spark.driver.maxResultSize"], ID_BYTES) >= 2 * 10**7
