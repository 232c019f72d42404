"""What the YARN that an application is to run on can grant, against what its settings ask; knows no job.

Cards asked for where the ResourceManager knows none are taken without a word: containers come without, every executor's
script tells of card 0, and all of a node share it. Executors of more cores than YARN's largest container end the
application's master with a page of Java, and the driver with another that says only that it ended.
"""

from typing import NamedTuple

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from devise.errors import ConfigError
from devise.spark.frame.memory import MIB, executor_bytes

GPU = "yarn.io/gpu"
"""YARN's own name for cards, unless `spark.yarn.resourceGpuDeviceName` says another."""


class Granted(NamedTuple):
    """What YARN knows of, and its largest container."""

    kinds: list[str]
    cores: int
    memory_mib: int


def ask(conf: SparkConf) -> Granted:
    """What the ResourceManager can grant: a node's own configuration may tell something else. YARN numbers the question
    like an application, which never runs."""
    jvm = SparkContext._jvm
    client = jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
    hadoop = jvm.org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(conf._jconf)
    client.init(jvm.org.apache.hadoop.yarn.conf.YarnConfiguration(hadoop))
    client.start()
    try:
        kinds = sorted(kind.getName() for kind in client.getResourceTypeInfo())
        most = client.createApplication().getNewApplicationResponse().getMaximumResourceCapability()
        return Granted(kinds, most.getVirtualCores(), most.getMemorySize())
    finally:
        client.stop()


def refuse_what_is_never_granted() -> Granted | None:
    """What YARN grants, if it knows cards where some are asked for, and its containers are as large as an executor.

    None if spark-submit, which started us, was given another master.

    Asked before the session starts: executors are asked for as soon as it does.

    Raises:
        ConfigError: it does not.
    """
    SparkContext._ensure_initialized()
    conf = SparkConf()
    if conf.get("spark.master") != "yarn":
        return None
    granted = ask(conf)
    cards = int(conf.get("spark.executor.resource.gpu.amount", "0"))
    name = conf.get("spark.yarn.resourceGpuDeviceName", GPU)
    if cards and name not in granted.kinds:
        raise ConfigError(
            f"YARN: found the resources {', '.join(granted.kinds)}, and executors are asked for with {cards} of "
            f"{name}, without which they would share cards: wanted it in yarn.resource-types (deploy/README.md)"
        )
    cores = int(conf.get("spark.executor.cores", "1"))
    if cores > granted.cores:
        raise ConfigError(
            f"YARN: found {granted.cores} cores in its largest container, and executors are asked for "
            f"with {cores}: wanted at most that in spark.executor.cores (yarn.scheduler.maximum-allocation-vcores)"
        )
    return granted


def describe(session: SparkSession) -> str:
    """YARN's largest container beside an executor, which was granted, or else the session would not have started."""
    found = session.sparkContext.getConf()
    granted, conf = ask(found), dict(found.getAll())
    cores, memory_mib = conf.get("spark.executor.cores", "1"), executor_bytes(conf) // MIB
    return (
        f"YARN: its largest container has {granted.cores} cores and {granted.memory_mib:,} MiB, an executor "
        f"{cores} and {memory_mib:,}; it knows {', '.join(granted.kinds)}"
    )
