"""What the template's roles and buckets allow, read from it; cfn-lint (test_schedule.py) knows that the actions exist.

Nothing here asks IAM: that a night can do what it must with these rights is not shown.
"""

import re
from pathlib import Path

import pytest
from cfnlint.decode import cfn_yaml

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy/cloudformation/devise.yaml"
RESOURCES = cfn_yaml.load(str(TEMPLATE))["Resources"]
ANY_RESOURCE = {
    # Sid of a statement on every resource -> the key of the condition that bounds it instead.
    "ClustersOfThisStack": "elasticmapreduce:RequestTag/devise-stack",
    "TellDone": "cloudwatch:namespace",
}


def of_type(kind):
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(role):
    """The statements of a role's own policies, those under a condition of the template too."""
    for policy in of_type("AWS::IAM::Role")[role]["Policies"]:
        for each in policy["PolicyDocument"]["Statement"]:
            yield each["Fn::If"][1] if "Fn::If" in each else each


ROLES = sorted(of_type("AWS::IAM::Role"))


def test_the_roles_are_those_that_are_needed():
    assert ROLES == ["NightRole", "NodeRole", "ScheduleRole", "ServiceRole"]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_do_everything_or_touch_everything(role):
    for each in statements(role):
        assert each["Effect"] == "Allow"
        assert all("*" not in action for action in listed(each["Action"])), each["Sid"]
        if "*" in listed(each["Resource"]):
            (condition,) = each["Condition"].values()
            assert ANY_RESOURCE[each["Sid"]] in condition


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_passed_on_by_name_and_to_one_service(role):
    for each in statements(role):
        if "iam:PassRole" in listed(each["Action"]):
            assert "Fn::GetAtt" in each["Resource"]
            ((key, service),) = next(iter(each["Condition"].values())).items()
            assert key == "iam:PassedToService" and service.startswith(("ec2.amazonaws.com", "elasticmapreduce."))


@pytest.mark.parametrize("role", [role for role in ROLES if role != "NodeRole"])
def test_roles_of_services_are_taken_for_this_account_alone(role):
    (trust,) = of_type("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_nodes_read_corpus_and_artefacts_write_the_warehouse_and_logs_and_no_more():
    allowed = {each["Sid"]: set(listed(each["Action"])) for each in statements("NodeRole")}
    writes = {"s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
    assert {sid for sid, actions in allowed.items() if actions & writes} == {"Warehouse", "WriteLogs"}
    assert allowed["WriteLogs"] == {"s3:PutObject"} and allowed["ReadArtefacts"] == {"s3:GetObject"}
    assert {action.partition(":")[0] for actions in allowed.values() for action in actions} == {"s3", "kms"}
    where = {each["Sid"]: str(each["Resource"]) for each in statements("NodeRole")}
    assert where["Warehouse"].endswith("${WarehouseBucket}/${WarehousePrefix}/*'}")
    for sid in ("ListCorpusAndInputs", "ListWarehouse"):
        (each,) = [each for each in statements("NodeRole") if each["Sid"] == sid]
        assert "s3:prefix" in each["Condition"]["StringLike"]


def test_what_waits_for_emr_may_make_the_rules_that_tell_it():
    (each,) = [each for each in statements("NightRole") if "events:PutRule" in each["Action"]]
    waits = set(re.findall(r"elasticmapreduce:(\w+)\.sync", TEMPLATE.read_text()))
    calls = {"createCluster": "RunJobFlow", "addStep": "AddJobFlowSteps", "terminateCluster": "TerminateJobFlows"}
    assert waits == calls.keys()
    told = {re.search(r"rule/StepFunctionsGetEventForEMR(\w+)Rule$", one["Fn::Sub"])[1] for one in each["Resource"]}
    assert told == set(calls.values())


def test_clusters_of_others_are_out_of_the_night_s_reach():
    for each in statements("NightRole"):
        if any(action.startswith("elasticmapreduce:") for action in listed(each["Action"])):
            assert any("devise-stack" in key for key in each["Condition"]["StringEquals"])


BUCKETS = of_type("AWS::S3::Bucket")


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets_are_private_encrypted_versioned_owned_and_kept(bucket):
    found, resource = BUCKETS[bucket], RESOURCES[bucket]
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms" and rule["BucketKeyEnabled"]
    assert found["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_rule_of_a_bucket_removes_a_current_object(bucket):
    for rule in BUCKETS[bucket]["LifecycleConfiguration"]["Rules"]:
        assert rule.keys() <= {
            *("Id", "Status", "NoncurrentVersionExpiration", "ExpiredObjectDeleteMarker"),
            "AbortIncompleteMultipartUpload",
        }


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets_are_reached_by_tls_alone(bucket):
    policies = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": bucket}]
    (statement,) = policies[0]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny" and statement["Principal"] == "*" and statement["Action"] == "s3:*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert str(bucket) in str(statement["Resource"]) and len(statement["Resource"]) == 2


def test_the_key_outlives_the_stack_and_is_turned():
    assert RESOURCES["Key"]["DeletionPolicy"] == "Retain" and RESOURCES["Key"]["Properties"]["EnableKeyRotation"]
    for each in RESOURCES["Key"]["Properties"]["KeyPolicy"]["Statement"]:
        if each["Principal"] == {"AWS": "*"}:
            assert each["Condition"]["StringEquals"]["kms:CallerAccount"] == {"Ref": "AWS::AccountId"}


def test_nodes_are_reached_for_credentials_by_imdsv2_alone_and_their_disks_are_encrypted():
    security = RESOURCES["Security"]["Properties"]["SecurityConfiguration"]
    assert security["InstanceMetadataServiceConfiguration"]["MinimumInstanceMetadataServiceVersion"] == 2
    disks = security["EncryptionConfiguration"]["AtRestEncryptionConfiguration"]["LocalDiskEncryptionConfiguration"]
    assert security["EncryptionConfiguration"]["EnableAtRestEncryption"] and disks["EnableEbsEncryption"]


def test_failure_and_lateness_are_told():
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert {name: each["AlarmActions"] for name, each in alarms.items()} == {
        "NightFailed": [{"Ref": "Topic"}],
        "NightLate": [{"Ref": "Topic"}],
    }
    assert alarms["NightLate"]["TreatMissingData"] == "breaching"
    assert RESOURCES["Schedule"]["Properties"]["State"] == {"Ref": "ScheduleState"}
