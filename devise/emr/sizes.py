"""Spark's settings that follow from the machines of a step; knows no step, no cluster.

YARN grants containers of whole nodes' cores and memory, so that the application master, which needs a core and memory
of its own, must find room beside the executors on any node: where it does not, one executor of the step is never
granted, and with one node none is. Sizes are whole GiB: YARN rounds up to its least container, 1 GiB at most.
"""

from typing import Literal

from devise.emr.instances import Instance
from devise.errors import ConfigError

Device = Literal["cpu", "gpu"]
DRIVER_GIB = {"cpu": 12, "gpu": 2}
"""The driver of a CPU step sends the ids of a night's change to every worker (docs/scale.md); embed's sends none."""
HEAP_GIB = {"cpu": 6, "gpu": 4}
"""An executor's heap at most: 6 GiB hold what a billion images change; embed's JVM passes on the rows of a plan."""
HEAP_SHARE = {"cpu": 0.45, "gpu": 0.25}
"""Of what an executor is granted: Python, torch, faiss, CUDA's host memory and pictures in flight take the rest."""
CORES = 7
"""An executor of a CPU step has at most so many: few JVMs, to each of which a night's ids are sent, and none left over
on a node of 8."""
EVERYWHERE = {
    # Executors come and go with the fleet, not with the queue, and no task is done twice side by side.
    "spark.dynamicAllocation.enabled": "false",
    "spark.speculation": "false",
    # A night that failed is for its owner to look at; a second attempt would hide the first one's outcome.
    "spark.yarn.maxAppAttempts": "1",
    # Executors lost to Spot over many hours end no night; those that fail by themselves in one hour do.
    "spark.executor.failuresValidityInterval": "1h",
    "spark.driver.maxResultSize": "4g",
}
WITHOUT_CARDS = {
    # Said, because a cluster's own defaults may name cards, or their script alone, which ends every job without cards.
    "spark.executor.resource.gpu.amount": "0",
    "spark.task.resource.gpu.amount": "0",
}
ON_GPU = {
    "spark.executor.resource.gpu.amount": "1",
    "spark.task.resource.gpu.amount": "1",
    # Spot nodes leave with notice.
    "spark.decommission.enabled": "true",
    "spark.storage.decommission.enabled": "true",
    "spark.storage.decommission.shuffleBlocks.enabled": "true",
}


def yarn_gib(instance: Instance) -> int:
    """What EMR lets YARN grant of a node's memory, in GiB: three quarters, or all but 8 GiB where that is more.

    Source: yarn.nodemanager.resource.memory-mb of m5 and r5 in EMR's release guide (Task configuration).
    """
    return max(instance.memory_gib * 3 // 4, instance.memory_gib - 8)


def executors_a_node(instance: Instance, device: Device) -> int:
    """One a card, or on CPUs as few as there are with at most CORES each.

    Raises:
        ConfigError: cards are wanted and it has none, or it has too few cores to leave one.
    """
    if device == "gpu" and not instance.gpus:
        raise ConfigError(f"{instance.name}: found no card in it, wanted an instance type with GPUs for a GPU step")
    n = instance.gpus if device == "gpu" else -(-(instance.vcpus - 1) // CORES)
    if instance.vcpus - 1 < max(1, n):
        raise ConfigError(
            f"{instance.name}: found {instance.vcpus} vCPUs, wanted one for the application master and more"
        )
    return n


def cores_an_executor(instance: Instance, device: Device) -> int:
    """What a node's executors share alike, one vCPU being the application master's; raises as `executors_a_node`."""
    return (instance.vcpus - 1) // executors_a_node(instance, device)


def sizes(instance: Instance, device: Device, nodes: int = 1) -> dict[str, str]:
    """Spark's settings of a step on so many nodes of a kind: executors, their cores and memory, the driver, cards.

    Args:
        device: `gpu` for one executor and one task a card, `cpu` for a task a core.
        nodes: machines that grant containers, the primary not among them.

    Raises:
        ConfigError: the instance type has no cards, or no room beside the application master.
    """
    if nodes < 1:
        raise ConfigError(f"found {nodes} nodes of {instance.name}, wanted one or more")
    each, cores = executors_a_node(instance, device), cores_an_executor(instance, device)
    driver = min(DRIVER_GIB[device], max(1, yarn_gib(instance) // 4))
    master = driver + max(1, -(-driver // 10))  # its heap, and Spark's least overhead: 384 MiB, or a tenth
    share = (yarn_gib(instance) - master) // each
    heap = min(HEAP_GIB[device], int(share * HEAP_SHARE[device]))
    if heap < 1:
        raise ConfigError(f"{instance.name}: found {share} GiB for an executor, wanted 4 or more")
    found = EVERYWHERE | {
        "spark.executor.instances": str(nodes * each),
        "spark.executor.cores": str(cores),
        "spark.task.cpus": str(cores if device == "gpu" else 1),
        "spark.executor.memory": f"{heap}g",
        # Python, torch, faiss and Arrow live outside the heap; spark.executor.pyspark.memory stays unset (RLIMIT_AS).
        "spark.executor.memoryOverhead": f"{share - heap}g",
        "spark.driver.memory": f"{driver}g",
    }
    return found | (ON_GPU if device == "gpu" else WITHOUT_CARDS)


def as_arguments(settings: dict[str, str]) -> list[str]:
    """The settings as spark-submit takes them: `--conf NAME=VALUE` of each, in order of name."""
    return [word for name in sorted(settings) for word in ("--conf", f"{name}={settings[name]}")]
