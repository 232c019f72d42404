"""How much memory a Python task and a JVM have, by the settings of the cluster or the size of the machine; no job.

Python lives beside the JVM: on a cluster in what an executor was granted above its heap, on one machine in what the
driver's heap leaves. Tasks that run at one time share it.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pyspark.sql import SparkSession

from devise.errors import ConfigError

MIB = 2**20
UNITS = {"": MIB, "b": 1, "k": 2**10, "m": MIB, "g": 2**30, "t": 2**40}
LEAST_OVERHEAD = 384 * MIB
"""Spark's own least overhead of an executor: what the JVM itself needs outside its heap."""
SHARE_OF_MACHINE = 0.5
"""Of one machine's memory: the rest is the page cache's and of whoever else works there."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


def task_bytes(spark: SparkSession) -> int:
    """Memory, in bytes, that one of the Python tasks that run at one time may take."""
    context = spark.sparkContext
    conf = dict(context.getConf().getAll())
    if is_one_machine(context.master):
        return share_of_machine(conf, context.defaultParallelism, machine_bytes())
    return share_of_executor(conf)


def heap_bytes(spark: SparkSession) -> int:
    """Memory, in bytes, of the smallest JVM that holds what is sent to all of them."""
    return smallest_heap(dict(spark.sparkContext.getConf().getAll()), spark.sparkContext.master)


def smallest_heap(conf: Mapping[str, str], master: str) -> int:
    """The same by the settings: on one machine the driver's, else also that of an executor."""
    names = ("driver",) if is_one_machine(master) else ("driver", "executor")
    return min(read_bytes(conf.get(f"spark.{name}.memory", "1g")) for name in names)


def is_one_machine(master: str) -> bool:
    """Whether driver and tasks share one process."""
    return master.startswith("local") and not master.startswith("local-cluster")


def share_of_executor(conf: Mapping[str, str]) -> int:
    """The same on a cluster: what is above an executor's heap and its JVM's own needs, for each of its tasks."""
    overhead = executor_bytes(conf) - read_bytes(conf.get("spark.executor.memory", "1g"))
    tasks = max(1, int(conf.get("spark.executor.cores", "1")) // int(conf.get("spark.task.cpus", "1")))
    return max(0, overhead - LEAST_OVERHEAD) // tasks


def executor_bytes(conf: Mapping[str, str]) -> int:
    """Memory, in bytes, that an executor is asked for with: its heap, and what is granted above it."""
    heap = read_bytes(conf.get("spark.executor.memory", "1g"))
    factor = float(conf.get("spark.executor.memoryOverheadFactor", "0.1"))
    told = conf.get("spark.executor.memoryOverhead")
    overhead = max(LEAST_OVERHEAD, int(heap * factor)) if told is None else read_bytes(told)
    return heap + overhead + read_bytes(conf.get("spark.executor.pyspark.memory", "0"))


def share_of_machine(conf: Mapping[str, str], n_cores: int, total_bytes: int) -> int:
    """The same where driver and tasks share one machine of so much memory."""
    tasks = max(1, n_cores // int(conf.get("spark.task.cpus", "1")))
    free = total_bytes - read_bytes(conf.get("spark.driver.memory", "1g"))
    return max(0, int(SHARE_OF_MACHINE * free)) // tasks


def machine_bytes() -> int:
    """What this machine has, or what the container it is may take: not what happens to be free now, which would cut an
    index otherwise each night."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no Linux, or `max`
        return min(total, int(CGROUP.read_text()))
    return total


def read_bytes(text: str) -> int:
    """A size as Spark's memory settings have it: `6g`, `512m`, or a mere number of MiB.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"(\d+)([bkmgt]?)b?", text.strip().lower())
    if found is None:
        raise ConfigError(f"found the memory {text!r} in Spark's settings, wanted a number with k, m, g or t")
    return int(found.group(1)) * UNITS[found.group(2)]
