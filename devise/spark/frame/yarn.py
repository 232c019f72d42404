"""What the YARN that an application is to run on can grant, against what its settings ask; knows no job.

Cards asked for where the ResourceManager knows none are taken without a word: containers come without, every executor's
script tells of card 0, and all of a node share it. Executors of more cores than YARN's largest container end the
application's master with a page of Java, and the driver with another that says only that it ended.
"""

from pyspark import SparkConf, SparkContext

from devise.errors import ConfigError

GPU = "yarn.io/gpu"
"""YARN's own name for cards, unless `spark.yarn.resourceGpuDeviceName` says another."""


def refuse_what_is_never_granted() -> None:
    """Return if YARN knows cards where some are asked for, and grants containers as large as an executor; or if
    spark-submit, which started us, was given another master.

    Asked of the ResourceManager, because a node's own configuration may tell something else, and before the session
    starts: executors are asked for as soon as it does. YARN numbers the question like an application, which never runs.

    Raises:
        ConfigError: it does not.
    """
    SparkContext._ensure_initialized()
    jvm, conf = SparkContext._jvm, SparkConf()
    if conf.get("spark.master") != "yarn":
        return
    client = jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
    hadoop = jvm.org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(conf._jconf)
    client.init(jvm.org.apache.hadoop.yarn.conf.YarnConfiguration(hadoop))
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
