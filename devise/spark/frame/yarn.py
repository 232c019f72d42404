"""What the YARN that a session runs on can grant, against what its settings ask; knows no job.

Two settings are taken by Spark and by YARN without a word, and then nothing is as it seems. Cards asked for where the
ResourceManager knows none: containers come without, every executor's script tells of card 0, and all share it. More
cores an executor than YARN's largest container has: none is ever granted, and the application waits for ever.
"""

from pyspark.sql import SparkSession

from devise.errors import ConfigError

GPU = "yarn.io/gpu"
"""YARN's own name for cards, unless `spark.yarn.resourceGpuDeviceName` says another."""


def refuse_what_is_never_granted(session: SparkSession) -> None:
    """Return if YARN knows cards where some are asked for, and grants containers as large as an executor.

    The ResourceManager is asked: a node's own configuration may tell something else.

    Raises:
        ConfigError: it does not.
    """
    conf, jvm = session.sparkContext.getConf(), session.sparkContext._jvm
    hadoop = jvm.org.apache.hadoop.yarn.conf.YarnConfiguration(session.sparkContext._jsc.hadoopConfiguration())
    client = jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
    client.init(hadoop)
    client.start()
    try:
        cards = int(conf.get("spark.executor.resource.gpu.amount", "0"))
        known = [kind.getName() for kind in client.getResourceTypeInfo()]
        name = conf.get("spark.yarn.resourceGpuDeviceName", GPU)
        if cards and name not in known:
            raise ConfigError(
                f"YARN: found the resources {', '.join(sorted(known))}, and executors are asked for with {cards} of "
                f"{name}, without which they would share cards: wanted it in yarn.resource-types (deploy/README.md)"
            )
        most = client.createApplication().getNewApplicationResponse().getMaximumResourceCapability()
        cores = int(conf.get("spark.executor.cores", "1"))
        if cores > most.getVirtualCores():
            raise ConfigError(
                f"YARN: found {most.getVirtualCores()} cores in its largest container, and executors are asked for "
                f"with {cores}: wanted at most that in spark.executor.cores (yarn.scheduler.maximum-allocation-vcores)"
            )
    finally:
        client.stop()
