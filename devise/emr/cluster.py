"""A night's cluster as EMR is asked for it: fleets, classifications, bootstrap; asks nothing itself.

What only the account knows (roles, buckets, subnets) stands as `${Name}`, one of HOLES: in the state machine
CloudFormation fills them in, for everybody else `fill` does. Sources: EMR's RunJobFlow; NVIDIA's recipe for YARN's GPU
plugin on EMR 7; Hadoop's UsingGpus. Nothing of this was run on EMR.
"""

import re
from typing import Any

from devise.emr.config import CardsConfig, EmrConfig
from devise.emr.instances import find
from devise.emr.night import DEFAULTS, Night, Nodes
from devise.emr.sizes import Device

PRIMARY = "m7i.xlarge"
"""It runs YARN's and HDFS's masters and no driver: steps run in cluster mode."""
ROOT_GIB = 80
"""Of each node's root volume: torch with CUDA takes 6 GB, and the system's own software as much again."""
IDLE_SECONDS = 3600
"""Without a step for so long a cluster ends by itself: a state machine that is stopped ends none."""
SPOT_MINUTES = 20
"""How long Spot is asked for before cards are taken on demand."""
TAG = "devise-stack"
"""Tag of each cluster; rights on clusters are bound to it."""
MANAGED = "for-use-with-amazon-emr-managed-policies"
"""Tag that AmazonEMRServicePolicy_v2 wants on all that it may touch."""
CGROUPS = "/run/devise-cgroup"
"""Where deploy/gpu-cgroup.sh mounts version 1 of the devices controller: YARN knows no other way to fence cards off."""
HOLES = (
    *("Stack", "Region", "ServiceRole", "InstanceProfile", "SecurityConfiguration", "Subnets", "LogUri"),
    *("Warehouse", "Config", "Archive", "Bootstrap", "CgroupScript"),
)


def classifications(settings: EmrConfig) -> list[dict[str, Any]]:
    """What all nodes are set up with; of cards only what their masters must know."""
    return [
        *([_of("spark", {"enableSparkRapids": "true"})] if settings.cards else []),  # drivers, and who finds the cards
        _of("yarn-site", _yarn(settings)),
        # The default one counts memory alone: cards and cores would be granted twice.
        _of(
            "capacity-scheduler",
            {
                "yarn.scheduler.capacity.resource-calculator": (
                    "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"
                ),
                # One application at a time: its driver may take what it needs, a tenth of the cluster or not.
                "yarn.scheduler.capacity.maximum-am-resource-percent": "1",
            },
        ),
        _of(
            "spark-defaults",
            {
                # Containers are not told the region, and boto3 asks for one.
                "spark.yarn.appMasterEnv.AWS_DEFAULT_REGION": "${Region}",
                "spark.executorEnv.AWS_DEFAULT_REGION": "${Region}",
                "spark.dynamicAllocation.enabled": "false",
                "spark.speculation": "false",
                "spark.yarn.maxAppAttempts": "1",
                **DEFAULTS,
            },
        ),
    ]


def card_classifications(settings: EmrConfig) -> list[dict[str, Any]]:
    """What nodes with cards alone are set up with: a NodeManager with the plugin and no card does not start.

    yarn-site is whole, the cluster's part with it: whether an instance type's is laid over the cluster's or replaces
    it, the result is the same.
    """
    plugin = "yarn.nodemanager.resource-plugins"
    executor = "yarn.nodemanager.linux-container-executor.cgroups"
    return [
        _of(
            "yarn-site",
            _yarn(settings)
            | {
                plugin: "yarn.io/gpu",
                f"{plugin}.gpu.allowed-gpu-devices": "auto",
                f"{plugin}.gpu.path-to-discovery-executables": "/usr/bin",
                f"{executor}.mount": "true",
                f"{executor}.mount-path": CGROUPS,
                f"{executor}.hierarchy": "yarn",
                "yarn.nodemanager.container-executor.class": (
                    "org.apache.hadoop.yarn.server.nodemanager.LinuxContainerExecutor"
                ),
            },
        ),
        _of(
            "container-executor",
            {},
            _of("gpu", {"module.enabled": "true"}),
            _of("cgroups", {"root": CGROUPS, "yarn-hierarchy": "yarn"}),
        ),
    ]


def _yarn(settings: EmrConfig) -> dict[str, str]:
    found = {
        # CUDA reserves far more address space than it uses.
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.resourcemanager.am.max-attempts": "1",
        # What bounds a container is its node: defaults are four cores, and what EMR works out for the primary, say.
        "yarn.scheduler.maximum-allocation-vcores": "128",
        "yarn.scheduler.maximum-allocation-mb": str(2**20),
    }
    if settings.cards:
        found["yarn.resource-types"] = "yarn.io/gpu"
        # A driver on a Spot node would end the night with that node; EMR labels core nodes so by itself.
        found["yarn.node-labels.enabled"] = "true"
        found["yarn.node-labels.am.default-node-label-expression"] = "CORE"
    return found


def _of(name: str, properties: dict[str, str], *below: dict[str, Any]) -> dict[str, Any]:
    """A classification. spark.plugins is in none: RAPIDS' SQL plugin would take the cards' memory."""
    return {"Classification": name, "Properties": properties} | ({"Configurations": list(below)} if below else {})


def request(settings: EmrConfig, name: str) -> dict[str, Any]:
    """RunJobFlow's parameters: a cluster that waits for steps, without its cards (`cards_fleet` are added to embed)."""
    bootstrap = [_script("devise", "${Bootstrap}", "${Archive}")]
    if settings.cards:
        bootstrap.append(_script("cgroup of the cards", "${CgroupScript}", CGROUPS))
    return {
        "Name": name,
        "ReleaseLabel": settings.release,
        "Applications": [{"Name": "Spark"}],
        "ServiceRole": "${ServiceRole}",
        "JobFlowRole": "${InstanceProfile}",
        "SecurityConfiguration": "${SecurityConfiguration}",
        "LogUri": "${LogUri}",
        "EbsRootVolumeSize": ROOT_GIB,
        "Configurations": classifications(settings),
        "BootstrapActions": bootstrap,
        "Tags": [{"Key": TAG, "Value": "${Stack}"}, {"Key": MANAGED, "Value": "true"}],
        "VisibleToAllUsers": True,
        "AutoTerminationPolicy": {"IdleTimeout": IDLE_SECONDS},
        "StepConcurrencyLevel": 1,
        "Instances": {
            "InstanceFleets": [
                _on_demand("MASTER", "primary", PRIMARY, 1),
                _on_demand("CORE", "core", settings.core.instance, settings.core.count),
            ],
            "Ec2SubnetIds": ["${Subnets}"],
            "KeepJobFlowAliveWhenNoSteps": True,
            "TerminationProtected": False,
        },
    }


def _script(name: str, uri: str, *arguments: str) -> dict[str, Any]:
    return {"Name": name, "ScriptBootstrapAction": {"Path": uri, "Args": list(arguments)}}


def _on_demand(kind: str, name: str, instance: str, count: int) -> dict[str, Any]:
    return {
        "InstanceFleetType": kind,
        "Name": name,
        "TargetOnDemandCapacity": count,
        "TargetSpotCapacity": 0,
        "InstanceTypeConfigs": [{"InstanceType": instance, "WeightedCapacity": 1}],
    }


def cards_fleet(settings: EmrConfig, cards: CardsConfig) -> dict[str, Any]:
    """AddInstanceFleet's task fleet: from Spot pools with room at a good price, on demand where there is none."""
    spot = cards.count if cards.spot else 0
    launch: dict[str, Any] = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
    if cards.spot:
        launch["SpotSpecification"] = {
            "AllocationStrategy": "price-capacity-optimized",
            "TimeoutDurationMinutes": SPOT_MINUTES,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        }
    return {
        "InstanceFleetType": "TASK",
        "Name": "cards",
        "TargetOnDemandCapacity": cards.count - spot,
        "TargetSpotCapacity": spot,
        "InstanceTypeConfigs": [
            {"InstanceType": name, "WeightedCapacity": 1, "Configurations": card_classifications(settings)}
            for name in cards.instances
        ],
        "LaunchSpecifications": launch,
    }


def night(settings: EmrConfig, run: str, warehouse: str, config: str) -> Night:
    """The night whose steps run on such a cluster: in cluster mode, the driver on a core node."""
    nodes: dict[Device, Nodes] = {"cpu": Nodes(find(settings.core.instance), settings.core.count)}
    if settings.cards:
        least = min((find(name) for name in settings.cards.instances), key=lambda one: one.memory_gib)
        nodes["gpu"] = Nodes(least, settings.cards.count)
    return Night(config, run, warehouse, nodes, deploy_mode="cluster")


def fill(document: Any, values: dict[str, str]) -> Any:
    """The document with each `${Name}` replaced; a list that is `${Subnets}` alone becomes one of them all.

    Raises:
        KeyError: a hole has no value.
    """
    if isinstance(document, dict):
        return {name: fill(value, values) for name, value in document.items()}
    if document == ["${Subnets}"]:
        return values["Subnets"].split(",")
    if isinstance(document, list):
        return [fill(value, values) for value in document]
    if isinstance(document, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], document)
    return document
