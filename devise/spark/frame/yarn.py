"""What the YARN that a session runs on can grant, against what its settings ask; knows no job.

Two settings are taken by Spark and by YARN without a word, and then nothing is as it seems. Cards asked for where the
ResourceManager knows none: containers come without, every executor's script tells of card 0, and all share it. More
cores an executor than YARN's largest container has: none is ever granted, and the application waits for ever.
"""

from typing import NamedTuple

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


def ask(session: SparkSession) -> Granted:
    """What the ResourceManager can grant: a node's own configuration may tell something else."""
    jvm, context = session.sparkContext._jvm, session.sparkContext
    hadoop = jvm.org.apache.hadoop.yarn.conf.YarnConfiguration(context._jsc.hadoopConfiguration())
    client = jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
    client.init(hadoop)
    client.start()
    try:
        kinds = sorted(kind.getName() for kind in client.getResourceTypeInfo())
        most = client.createApplication().getNewApplicationResponse().getMaximumResourceCapability()
        return Granted(kinds, most.getVirtualCores(), most.getMemorySize())
    finally:
        client.stop()


def refuse_what_is_never_granted(session: SparkSession) -> Granted:
    """What YARN grants, if it knows cards where some are asked for, and its containers are as large as an executor.

    Raises:
        ConfigError: it does not.
    """
    granted, conf = ask(session), session.sparkContext.getConf()
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
    """YARN's largest container beside an executor, which Spark itself refuses where its memory is more."""
    granted, conf = refuse_what_is_never_granted(session), dict(session.sparkContext.getConf().getAll())
    cores, memory_mib = conf.get("spark.executor.cores", "1"), executor_bytes(conf) // MIB
    return (
        f"YARN: its largest container has {granted.cores} cores and {granted.memory_mib:,} MiB, an executor "
        f"{cores} and {memory_mib:,}; it knows {', '.join(granted.kinds)}"
    )
