"""What CloudFormation answers when a stack does not come to stand, or has nothing to change; played by the test."""

import pytest

from devise.emr import stack
from devise.emr.account import Account
from devise.errors import AwsError, ConfigError

ARN = "arn:stack"


class Played(Account):
    """An account whose every answer is given; no call is made."""

    def __init__(self, status, events=(), refusal=None):
        self.dry = False
        self.said, self.status, self.events, self.refusal = [], status, list(events), refusal
        self.say = self.said.append

    def ask(self, service, operation, absent=(), **parameters):
        if operation == "describe_stack_events":
            return {"StackEvents": self.events}
        return {"Stacks": [{"StackStatus": self.status, "Parameters": [], "Outputs": []}]} if self.status else None

    def change(self, service, operation, absent=(), **parameters):
        if self.refusal:
            raise AwsError(f"{service} {operation}: {self.refusal}")


def event(status, name, reason="", physical="x"):
    return {
        **{"ResourceStatus": status, "LogicalResourceId": name, "ResourceStatusReason": reason},
        **{"PhysicalResourceId": physical, "StackId": ARN},
    }


def test_the_first_resource_that_failed_this_time_is_named():
    events = [
        event("UPDATE_ROLLBACK_COMPLETE", "devise", physical=ARN),
        event("UPDATE_FAILED", "Schedule", "cancelled"),
        event("UPDATE_FAILED", "NightRole", "no such action"),
        event("UPDATE_IN_PROGRESS", "devise", physical=ARN),
        event("CREATE_FAILED", "Warehouse", "long ago"),
    ]
    account = Played("UPDATE_ROLLBACK_COMPLETE", events)
    with pytest.raises(AwsError, match="UPDATE_ROLLBACK_COMPLETE: NightRole: no such action"):
        stack.make(account, "devise", "{}", {}, stack.Stack("CREATE_COMPLETE", {}, {}))


def test_a_stack_with_nothing_to_change_is_no_fault():
    account = Played("UPDATE_COMPLETE", refusal="ValidationError: No updates are to be performed.")
    stack.make(account, "devise", "{}", {}, stack.Stack("UPDATE_COMPLETE", {}, {}))
    assert account.said == ["stack devise: unchanged"]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "UPDATE_IN_PROGRESS", "DELETE_FAILED"])
def test_a_torn_stack_is_refused_and_may_be_looked_at(status):
    with pytest.raises(AwsError, match=status):
        stack.wanted(Played(status), "devise")
    assert stack.wanted(Played(status), "devise", at_rest=False).status == status


@pytest.mark.parametrize("uri", ["s3://b/a,b", "s3://b/a*", "s3://b/$x"])
def test_a_prefix_that_a_policy_would_take_for_a_pattern_is_refused(uri):
    with pytest.raises(ConfigError, match="plain prefix"):
        stack.rights([uri], "aws")


def test_a_whole_bucket_a_prefix_and_a_file_are_allowed_as_they_are_written():
    assert stack.rights(["s3://whole", "s3://b/p/", "s3://b/f.csv"], "aws-cn") == {
        "ReadableObjects": ",".join(
            f"arn:aws-cn:s3:::{each}" for each in ("b/f.csv", "b/f.csv/*", "b/p", "b/p/*", "whole/*")
        ),
        "ReadableBuckets": "arn:aws-cn:s3:::b,arn:aws-cn:s3:::whole",
        "ReadablePrefixes": "*,f.csv,f.csv/*,p,p/*",
    }
