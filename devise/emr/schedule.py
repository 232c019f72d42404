"""The state machine of a night, in Amazon States Language with JSONata; it asks AWS nothing.

    run named? -> cluster -> [setup] -> catalogue -> cards come -> embed -> cards go -> settle -> cluster ends -> told
                                  any fault -> cluster ends -> failed

An execution is named after its run, so that a run is begun once. What EventBridge Scheduler starts has no run yet: it
names one by its date and starts itself again under that name. Cards are there for embed alone. Source: the States
Language's reference, Step Functions' EMR integration (createCluster.sync takes RunJobFlow's parameters, without steps).
"""

import json
from collections.abc import Sequence
from typing import Any

from devise.emr import cluster
from devise.emr.config import EmrConfig
from devise.emr.night import SETUP, Step, submit_arguments

RUN, WAREHOUSE, CONFIG = "RUN-ID", "s3://warehouse-of/the-night", "s3://settings-of/the-night"
"""Stand in command lines for what is known later."""
RETRIES, RETRY_SECONDS = 1, 180
"""How often a step is tried again, and when: one that died holds the lease of the warehouse for two minutes more."""
CARDS_LOOKS, CARDS_SECONDS = 40, 60
"""Looks for the cards until they are there, and the seconds between: 20 minutes for Spot, 20 for the rest."""
LAST_SECONDS = 2 * 3600
"""What clusters and cards may take beside the steps. Where a step's time is up its cluster is ended; an execution whose
own time is up ends none."""


def definition(settings: EmrConfig, steps: Sequence[Step]) -> dict[str, Any]:
    """The state machine; `${Name}` of cluster.HOLES are filled by CloudFormation's DefinitionSubstitutions.

    Args:
        steps: the night's, as `night.steps_of` tells of its file.
    """
    first = _name(steps[0])
    states = [(_name(SETUP), _step(settings, SETUP, first))]
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        following = _name(after) if after else "EndCluster"
        if step.device == "gpu" and settings.cards:
            states += _with_cards(settings, step, following)
        else:
            states += [(_name(step), _step(settings, step, following))]
    return {
        "Comment": "A night of DeViSE on EMR; input {run, set?, setup?}, or {scheduled} from the scheduler",
        "QueryLanguage": "JSONata",
        "StartAt": "RunNamed",
        "TimeoutSeconds": (len(steps) + 1) * (1 + RETRIES) * _seconds(settings) + LAST_SECONDS,
        "States": dict([*_beginning(settings, first), *states, *_ending()]),
    }


def _beginning(settings: EmrConfig, first: str) -> list[tuple[str, dict[str, Any]]]:
    again = {
        "StateMachineArn": "{% $states.context.StateMachine.Id %}",
        "Name": "{% $substringBefore($states.input.scheduled, 'T') %}",
        "Input": {"run": "{% $substringBefore($states.input.scheduled, 'T') %}"},
    }
    return [
        ("RunNamed", _choice("{% $exists($states.input.run) %}", "Remember", "NameRun")),
        (
            "NameRun",
            {
                "Type": "Task",
                "Resource": "arn:aws:states:::states:startExecution",
                "Arguments": again,
                # The scheduler asks at least once: what is begun already is all that it wanted.
                "Catch": [{"ErrorEquals": ["StepFunctions.ExecutionAlreadyExistsException"], "Next": "Begun"}],
                "Next": "Begun",
            },
        ),
        ("Begun", {"Type": "Succeed"}),
        (
            "Remember",
            {
                "Type": "Pass",
                "Assign": {
                    "run": "{% $states.input.run %}",
                    "more": "{% $exists($states.input.set) ? $states.input.set : [] %}",
                    "setup": "{% $exists($states.input.setup) and $states.input.setup %}",
                    "looks": 0,
                },
                "Next": "CreateCluster",
            },
        ),
        (
            "CreateCluster",
            {
                "Type": "Task",
                "Resource": "arn:aws:states:::elasticmapreduce:createCluster.sync",
                "Arguments": _subnets(cluster.request(settings, "{% '${Stack} ' & $run %}")),
                "Assign": {"cluster": "{% $states.result.ClusterId %}"},
                # No room for on-demand nodes, or throttled: the service ends what it could not bring up.
                "Retry": [_retry(300, 2)],
                "Catch": [_catch("Failed")],
                "Next": "SetUpFirst",
            },
        ),
        ("SetUpFirst", _choice("{% $setup %}", _name(SETUP), first)),
    ]


def _subnets(request: dict[str, Any]) -> dict[str, Any]:
    """How many subnets there are is known to CloudFormation alone, which fills in texts and no lists."""
    instances = request["Instances"] | {"Ec2SubnetIds": "{% $split('${Subnets}', ',') %}"}
    return request | {"Instances": instances}


def _step(settings: EmrConfig, step: Step, following: str) -> dict[str, Any]:
    night = cluster.night(settings, RUN, WAREHOUSE, CONFIG)
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::elasticmapreduce:addStep.sync",
        "Arguments": {
            "ClusterId": "{% $cluster %}",
            "Step": {
                "Name": step.name,
                "ActionOnFailure": "CONTINUE",  # what comes next is decided here, and the cluster is ended here
                "HadoopJarStep": {"Jar": "command-runner.jar", "Args": _words(submit_arguments(step, night))},
            },
        },
        "TimeoutSeconds": _seconds(settings),
        # Tried again, a step does what is left; one whose promise was broken says so again, within minutes.
        "Retry": [_retry(RETRY_SECONDS, RETRIES)],
        "Catch": [_catch("EndClusterAfterFault")],
        "Next": following,
    }


def _words(words: list[str]) -> str:
    """A command line as a JSONata array: run, warehouse and settings filled in, the execution's --set at its end."""
    sets = "$reduce($more, function($words, $set) { $append($words, ['--set', $set]) }, [])"
    return "{% $append([" + ",".join(_word(word) for word in words) + f"], {sets}) %}}"


def _word(word: str) -> str:
    filled = word.replace(WAREHOUSE, "${Warehouse}").replace(CONFIG, "${Config}")
    parts = [json.dumps(part) for part in filled.split(RUN)]
    return "&$run&".join(parts).replace('""&', "").replace('&""', "")


def _with_cards(settings: EmrConfig, step: Step, following: str) -> list[tuple[str, dict[str, Any]]]:
    assert settings.cards is not None
    fleet = "$states.result.InstanceFleets[Id = $fleet]"
    return [
        (
            _name(step),
            _sdk(
                "emr:addInstanceFleet",
                {"ClusterId": "{% $cluster %}", "InstanceFleet": cluster.cards_fleet(settings, settings.cards)},
                "AwaitCards",
                {"fleet": "{% $states.result.InstanceFleetId %}"},
            ),
        ),
        ("AwaitCards", {"Type": "Wait", "Seconds": CARDS_SECONDS, "Next": "LookForCards"}),
        (
            "LookForCards",
            _sdk(
                "emr:listInstanceFleets",
                {"ClusterId": "{% $cluster %}"},
                "CardsThere",
                {
                    "state": f"{{% {fleet}.Status.State %}}",
                    "there": f"{{% $sum([{fleet}.ProvisionedSpotCapacity, {fleet}.ProvisionedOnDemandCapacity]) %}}",
                    "looks": "{% $looks + 1 %}",
                },
            ),
        ),
        (
            "CardsThere",
            {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $state = 'RUNNING' %}", "Next": "EmbedOnCards"},
                    # A part of them does the same work, later.
                    {
                        "Condition": f"{{% $looks >= {CARDS_LOOKS} and $there > 0 %}}",
                        "Next": "EmbedOnCards",
                    },
                    {
                        "Condition": (
                            f"{{% $looks >= {CARDS_LOOKS} or $state in ['SUSPENDED', 'TERMINATING', 'TERMINATED'] %}}"
                        ),
                        "Assign": {
                            "fault": {
                                "Error": "NoCards",
                                "Cause": "{% 'the fleet of cards is ' & $state & ' after ' & $looks & ' minutes' %}",
                            }
                        },
                        "Next": "EndClusterAfterFault",
                    },
                ],
                "Default": "AwaitCards",
            },
        ),
        ("EmbedOnCards", _step(settings, step, "ReturnCards")),
        (
            "ReturnCards",
            _sdk(
                "emr:modifyInstanceFleet",
                {
                    "ClusterId": "{% $cluster %}",
                    "InstanceFleet": {
                        "InstanceFleetId": "{% $fleet %}",
                        "TargetOnDemandCapacity": 0,
                        "TargetSpotCapacity": 0,
                    },
                },
                following,
                {},
            ),
        ),
    ]


def _ending() -> list[tuple[str, dict[str, Any]]]:
    told = {
        "Namespace": "devise",
        "MetricData": [
            {"MetricName": "NightsDone", "Value": 1, "Dimensions": [{"Name": "Stack", "Value": "${Stack}"}]}
        ],
    }
    return [
        ("EndCluster", _end("TellDone")),
        ("TellDone", _sdk("cloudwatch:putMetricData", told, "Done", {}, "Failed")),
        ("Done", {"Type": "Succeed"}),
        ("EndClusterAfterFault", _end("Failed")),
        (
            "Failed",
            {
                "Type": "Fail",
                "Error": "{% $fault.Error %}",
                "Cause": "{% $exists($fault.Cause) ? $fault.Cause : 'no cause told' %}",
            },
        ),
    ]


def _end(following: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::elasticmapreduce:terminateCluster.sync",
        "Arguments": {"ClusterId": "{% $cluster %}"},
        "Retry": [_retry(30, 6)],
        "Catch": [_catch("Failed")],
        "Next": following,
    }


def _sdk(
    call: str, arguments: dict[str, Any], following: str, assign: dict[str, Any], at_fault: str = "EndClusterAfterFault"
) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:{call}",
        "Arguments": arguments,
        **({"Assign": assign} if assign else {}),
        "Retry": [_retry(30, 4)],
        "Catch": [_catch(at_fault)],
        "Next": following,
    }


def _choice(condition: str, then: str, otherwise: str) -> dict[str, Any]:
    return {"Type": "Choice", "Choices": [{"Condition": condition, "Next": then}], "Default": otherwise}


def _retry(seconds: int, times: int) -> dict[str, Any]:
    return {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": seconds, "MaxAttempts": times, "BackoffRate": 2}


def _catch(following: str) -> dict[str, Any]:
    return {"ErrorEquals": ["States.ALL"], "Assign": {"fault": "{% $states.errorOutput %}"}, "Next": following}


def _seconds(settings: EmrConfig) -> int:
    return int(settings.hours * 3600)


def _name(step: Step) -> str:
    return step.name.capitalize()
