"""The state machine of a night, walked (tests/statemachine.py), and the template that carries it, linted."""

import json
import re
from pathlib import Path

import pytest
from cfnlint import api
from statemachine import Fault, evaluate, walk

from devise.emr import cluster, schedule, template
from devise.emr.config import EmrConfig
from devise.emr.night import BY_CHOICE, STEPS, steps_of, submit_arguments

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = (ROOT / "deploy/cloudformation/devise.yaml").read_text()
SUBNETS = ["subnet-0"]
VARIANTS = {
    "7.13": EmrConfig(subnets=SUBNETS),
    "spark 8.0": EmrConfig(subnets=SUBNETS, release="emr-spark-8.0.0"),
    "CPU only": EmrConfig(subnets=SUBNETS, cards=None),
}
SETTINGS = VARIANTS["7.13"]
HAPPY = {
    "Remember", "CreateCluster", "Catalogue", "Embed", "EmbedOnCards", "ReturnCards", "Settle", "EndCluster", "Done",
}  # fmt: skip


class Aws:
    """Answers the machine's tasks, and keeps what it was asked; `faults` are raised as often as they are there."""

    def __init__(self, faults=(), looks=3, provisioned=2, meanwhile="PROVISIONING"):
        self.meanwhile = meanwhile
        self.faults = list(faults)
        self.looks = looks
        self.provisioned = provisioned
        self.asked = []

    def __call__(self, resource, arguments):
        name = resource.split(":")[-1]
        step = arguments.get("Step", {}).get("Name", "")
        self.asked.append((name, arguments))
        if (step or name) in self.faults:
            self.faults.remove(step or name)
            raise Fault("EMR.AmazonElasticMapReduceException", f"{step or name} failed")
        if name == "listInstanceFleets":
            self.looks -= 1
            fleet = {"Id": "if-2", "Status": {"State": self.meanwhile if self.looks > 0 else "RUNNING"}}
            fleet |= {"ProvisionedSpotCapacity": self.provisioned, "ProvisionedOnDemandCapacity": 0}
            return {"InstanceFleets": [{"Id": "if-1", "Status": {"State": "RUNNING"}}, fleet]}
        return {"createCluster.sync": {"ClusterId": "j-1"}, "addInstanceFleet": {"InstanceFleetId": "if-2"}}.get(
            name, {}
        )

    def names(self):
        return [arguments["Step"]["Name"] if "Step" in arguments else name for name, arguments in self.asked]


def filled(machine, **values):
    """The machine as CloudFormation fills it in."""
    values = {name: f"<{name}>" for name in cluster.HOLES} | values
    text = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], json.dumps(machine))
    return json.loads(text)


def test_a_night_has_cards_for_embed_alone_and_ends_its_cluster():
    aws = Aws()
    found = walk(filled(schedule.definition(SETTINGS, STEPS)), {"run": "r"}, aws)
    assert found.status == "SUCCEEDED" and set(found.states) >= HAPPY
    assert aws.names() == [
        *("createCluster.sync", "catalogue", "addInstanceFleet", *["listInstanceFleets"] * 3, "embed"),
        *("modifyInstanceFleet", "settle", "terminateCluster.sync", "putMetricData"),
    ]
    returned = next(arguments for name, arguments in aws.asked if name == "modifyInstanceFleet")
    assert returned["InstanceFleet"] == {
        "InstanceFleetId": "if-2",
        "TargetOnDemandCapacity": 0,
        "TargetSpotCapacity": 0,
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_step_s_command_is_the_night_s_own(variant):
    settings, aws = VARIANTS[variant], Aws()
    machine = filled(schedule.definition(settings, STEPS), Warehouse="s3://b/w", Config="s3://a/night.yaml")
    assert walk(machine, {"run": "2026-11-26"}, aws).status == "SUCCEEDED"
    night = cluster.night(settings, "2026-11-26", "s3://b/w", "s3://a/night.yaml")
    commands = [a["Step"]["HadoopJarStep"]["Args"] for name, a in aws.asked if name == "addStep.sync"]
    assert commands == [submit_arguments(step, night) for step in STEPS]


@pytest.mark.parametrize("chosen", [[], ["report_run"], ["find_neighbours", "report_run"]])
def test_what_a_file_chooses_is_in_the_command_that_settles_its_night(chosen):
    aws = Aws()
    machine = filled(schedule.definition(SETTINGS, steps_of({"run_nightly": {"stages": chosen}})))
    assert walk(machine, {"run": "r"}, aws).status == "SUCCEEDED"
    (words,) = (a["Step"]["HadoopJarStep"]["Args"] for _, a in aws.asked if a.get("Step", {}).get("Name") == "settle")
    (told,) = (word for word in words if word.startswith("run_nightly.stages="))
    assert [stage for stage in BY_CHOICE if stage in told] == chosen


def test_overrides_and_setup_of_an_execution_reach_its_steps():
    aws = Aws()
    given = {"run": "r", "set": ["a.b=1", "publish_run.accept_removed=5"], "setup": True}
    assert walk(filled(schedule.definition(SETTINGS, STEPS)), given, aws).status == "SUCCEEDED"
    commands = {
        a["Step"]["Name"]: a["Step"]["HadoopJarStep"]["Args"] for name, a in aws.asked if name == "addStep.sync"
    }
    assert list(commands) == ["setup", "catalogue", "embed", "settle"]
    assert all(words[-4:] == ["--set", "a.b=1", "--set", "publish_run.accept_removed=5"] for words in commands.values())


@pytest.mark.parametrize("step", ["catalogue", "embed", "settle", "addInstanceFleet", "modifyInstanceFleet"])
def test_after_any_fault_no_step_follows_and_the_cluster_is_ended(step):
    aws = Aws(faults=[step] * 9)
    found = walk(filled(schedule.definition(SETTINGS, STEPS)), {"run": "r"}, aws)
    names = aws.names()
    assert found.status == "FAILED" and found.output["Cause"] == f"{step} failed"
    assert names[-1] == "terminateCluster.sync" and names[names.index(step) :][-2] == step


def test_a_step_is_tried_again_once():
    aws = Aws(faults=["embed"])
    assert walk(filled(schedule.definition(SETTINGS, STEPS)), {"run": "r"}, aws).status == "SUCCEEDED"
    assert aws.names().count("embed") == 2


def test_a_step_that_takes_too_long_is_not_tried_again_and_its_cluster_is_ended():
    machine, asked = filled(schedule.definition(SETTINGS, STEPS)), []

    def late(resource, arguments):
        asked.append(arguments.get("Step", {}).get("Name") or resource.split(":")[-1])
        if asked[-1] == "catalogue":
            raise Fault("States.Timeout")
        return {"ClusterId": "j-1"}

    assert walk(machine, {"run": "r"}, late).status == "FAILED"
    assert asked == ["createCluster.sync", "catalogue", "terminateCluster.sync"]
    steps = [machine["States"][name]["TimeoutSeconds"] for name in ("Setup", "Catalogue", "EmbedOnCards", "Settle")]
    assert set(steps) == {SETTINGS.hours * 3600} and machine["TimeoutSeconds"] > 2 * sum(steps)  # each tried twice


def test_a_cluster_that_does_not_come_fails_the_night():
    found = walk(filled(schedule.definition(SETTINGS, STEPS)), {"run": "r"}, Aws(faults=["createCluster.sync"] * 9))
    assert found.status == "FAILED" and "terminateCluster.sync" not in found.states


def test_to_end_a_cluster_is_tried_until_it_works():
    aws = Aws(faults=["embed"] * 2 + ["terminateCluster.sync"] * 5)
    assert walk(filled(schedule.definition(SETTINGS, STEPS)), {"run": "r"}, aws).output["Cause"] == "embed failed"
    assert aws.names().count("terminateCluster.sync") == 6


def test_cards_that_never_come_end_the_night_and_a_part_of_them_does_not():
    machine = filled(schedule.definition(SETTINGS, STEPS))
    none = Aws(looks=10**6, provisioned=0)
    found = walk(machine, {"run": "r"}, none)
    assert found.status == "FAILED" and found.output["Error"] == "NoCards" and "embed" not in none.names()
    assert none.names().count("listInstanceFleets") == schedule.CARDS_LOOKS
    assert none.names()[-1] == "terminateCluster.sync"
    assert walk(machine, {"run": "r"}, Aws(looks=10**6, provisioned=1)).status == "SUCCEEDED"
    given_up = Aws(looks=10**6, meanwhile="SUSPENDED")
    assert walk(machine, {"run": "r"}, given_up).output["Error"] == "NoCards"
    assert given_up.names().count("listInstanceFleets") == 1


def test_the_scheduler_s_night_is_named_by_its_date_and_begun_once():
    aws = Aws()
    given = {"scheduled": "2026-11-26T01:30:00Z"}
    assert walk(filled(schedule.definition(SETTINGS, STEPS)), given, aws).status == "SUCCEEDED"
    ((name, arguments),) = aws.asked
    assert (name, arguments["Name"], arguments["Input"]) == ("startExecution", "2026-11-26", {"run": "2026-11-26"})

    def begun(resource, arguments):
        raise Fault("StepFunctions.ExecutionAlreadyExistsException")

    assert walk(filled(schedule.definition(SETTINGS, STEPS)), given, begun).status == "SUCCEEDED"


def test_subnets_are_as_many_as_cloudformation_knows():
    request = schedule.definition(SETTINGS, STEPS)["States"]["CreateCluster"]["Arguments"]
    machine = filled(request, Subnets="subnet-0,subnet-1")
    found = evaluate(machine, {}, {"run": "r"})
    assert found["Instances"]["Ec2SubnetIds"] == ["subnet-0", "subnet-1"] and found["Name"] == "<Stack> r"


def test_the_template_carries_the_machine_of_the_default_settings():
    assert template.with_machine(TEMPLATE, template.DEFAULT, template.STEPS) == TEMPLATE, "run `make emr-template`"


def test_every_hole_of_the_machine_is_filled_by_the_template():
    told = TEMPLATE.partition("DefinitionSubstitutions:")[2].partition(template.BEGIN)[0]
    machine = json.dumps([schedule.definition(settings, STEPS) for settings in VARIANTS.values()])
    assert set(re.findall(r"\$\{(\w+)\}", machine)) == set(re.findall(r"^ +(\w+): ", told, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)\}", machine)) == set(cluster.HOLES)


def lint(text, informational=True):
    """What cfn-lint says of a template, its rules for IAM, Step Functions and good manners with it."""
    config = api.ManualArgs(regions=["us-east-1", "eu-central-1"], include_checks=["I"] if informational else [])
    return [f"{match.rule.id} {match.message}" for match in api.lint(text, config=config)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_template_is_clean_and_small_enough_to_be_sent(variant):
    text = template.with_machine(TEMPLATE, VARIANTS[variant], STEPS)
    assert len(text.encode()) <= 51_200
    assert lint(text) == []


@pytest.mark.parametrize(
    ("was", "is_", "rule"),
    [
        ('"Type": "Succeed"', '"Type": "Success"', "E3601"),
        ("s3:DeleteObject, ", "s3:DeletObject, ", "W3037"),
        ("TreatMissingData: breaching", "TreatMissingData: breeching", "E3030"),
    ],
)
def test_the_linter_would_have_seen(was, is_, rule):
    assert was in TEMPLATE
    assert any(re.match(rule, found) for found in lint(TEMPLATE.replace(was, is_, 1)))
