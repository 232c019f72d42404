"""A night as one request: taken by botocore's own model of EMR, and the same lines and nodes as the state machine's."""

import boto3
import pytest
from botocore.validate import ParamValidator

from devise.emr import cluster, jobflow, schedule
from devise.emr.config import EmrConfig
from devise.emr.night import STEPS, submit_arguments
from devise.emr.stack import Stack

STACK = Stack(
    "CREATE_COMPLETE",
    {
        **{
            "WarehouseBucket": "b",
            "WarehousePrefix": "w",
            "Subnets": "subnet-0,subnet-1",
            "Config": "s3://a/1/night.yaml",
        },
        **{
            "Archive": "s3://a/2/devise.tar",
            "Bootstrap": "s3://a/3/bootstrap.sh",
            "CgroupScript": "s3://a/4/gpu-cgroup.sh",
        },
    },
    {"ServiceRole": "arn:s", "InstanceProfile": "p", "SecurityConfiguration": "c", "LogUri": "s3://b-logs/emr/"},
)
SETTINGS = EmrConfig(subnets=["subnet-0"])


@pytest.mark.parametrize("settings", [SETTINGS, EmrConfig(subnets=["subnet-0"], cards=None)])
def test_emr_s_own_model_takes_the_night(settings):
    asked = jobflow.request(settings, STEPS, "r", jobflow.holes("devise", "eu-central-1", STACK))
    shape = boto3.client("emr", region_name="us-east-1").meta.service_model.operation_model("RunJobFlow").input_shape
    assert ParamValidator().validate(asked, shape).generate_report() == "" and "${" not in str(asked)
    fleets = [each["InstanceFleetType"] for each in asked["Instances"]["InstanceFleets"]]
    assert fleets == ["MASTER", "CORE"] + ["TASK"] * bool(settings.cards)


def test_the_cluster_ends_with_its_steps_or_with_the_first_that_fails():
    asked = jobflow.request(SETTINGS, STEPS, "r", jobflow.holes("devise", "eu-central-1", STACK))
    assert not asked["Instances"]["KeepJobFlowAliveWhenNoSteps"]
    assert {step["ActionOnFailure"] for step in asked["Steps"]} == {"TERMINATE_CLUSTER"}


def test_its_lines_are_those_of_the_night():
    asked = jobflow.request(SETTINGS, STEPS, "r", jobflow.holes("devise", "eu-central-1", STACK))
    night = cluster.night(SETTINGS, "r", "s3://b/w", "s3://a/1/night.yaml")
    assert [step["HadoopJarStep"]["Args"] for step in asked["Steps"]] == [
        submit_arguments(step, night) for step in STEPS
    ]
    created = schedule.definition(SETTINGS, STEPS)["States"]["CreateCluster"]["Arguments"]
    assert created["Name"] == "{% '${Stack} ' & $run %}"
    assert asked["Name"] == "devise r"
