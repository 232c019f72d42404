"""A whole night as one RunJobFlow request, its steps in it, for a scheduler of your own such as Airflow; calls nothing.

The state machine (schedule.py) adds cards for embed alone and takes them away; one request cannot: its cards are there
from beginning to end, and cost all night.
"""

from collections.abc import Sequence
from typing import Any

from devise.emr import cluster
from devise.emr.config import EmrConfig
from devise.emr.night import Step, submit_arguments
from devise.emr.stack import Stack


def holes(name: str, region: str, stack: Stack) -> dict[str, str]:
    """What fills cluster.HOLES, from the stack that `devise emr up` made."""
    known = stack.parameters | stack.outputs
    where = {"Warehouse": f"s3://{known['WarehouseBucket']}/{known['WarehousePrefix']}"}
    return {"Stack": name, "Region": region} | {hole: (known | where)[hole] for hole in cluster.HOLES[2:]}


def request(settings: EmrConfig, steps: Sequence[Step], run: str, values: dict[str, str]) -> dict[str, Any]:
    """RunJobFlow's parameters for a night: the cluster ends with its last step, or with the first that fails.

    Args:
        steps: the night's, as `night.steps_of` tells of its file.
        values: what `holes` told.

    Raises:
        ManifestError: the run id is none.
    """
    asked = cluster.request(settings, f"{values['Stack']} {run}")
    night = cluster.night(settings, run, values["Warehouse"], values["Config"])
    fleets = asked["Instances"]["InstanceFleets"]
    if settings.cards:
        fleets = [*fleets, cluster.cards_fleet(settings, settings.cards)]
    begun = [
        {
            "Name": step.name,
            "ActionOnFailure": "TERMINATE_CLUSTER",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": submit_arguments(step, night)},
        }
        for step in steps
    ]
    instances = asked["Instances"] | {"InstanceFleets": fleets, "KeepJobFlowAliveWhenNoSteps": False}
    return cluster.fill(asked | {"Instances": instances}, values) | {"Steps": begun}
