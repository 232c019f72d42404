"""The CloudFormation stack of the nights: its parameters, and making, changing and unmaking it; runs no night.

Everything of the account is in the stack, the schedule too, so that no change stands beside it and is undone by the
next one. Buckets and key outlive it: a stack that is made where they are takes them over.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from devise.emr.account import Account
from devise.emr.cluster import MANAGED
from devise.emr.config import EmrConfig
from devise.errors import AwsError, ConfigError
from devise.store import s3, storage

KEPT = {"ScheduleState": "DISABLED", "ScheduleExpression": "cron(30 2 * * ? *)", "ScheduleZone": "UTC"}
"""Parameters that `devise emr schedule` alone sets, and what they are before it does."""
LATE_HOURS = 26
"""Without a night that was done for so long a night is late: a day, and two hours more than the one before took."""
NO_STACK = ("ValidationError",)
BUCKET_LENGTH = 53
"""Of S3's 63 characters, what leaves room for `-artefacts`."""
PREFIX = r"[A-Za-z0-9][A-Za-z0-9._=/-]*"
"""It stands in rights, command lines and the state machine, where other characters mean something."""


class Stack(NamedTuple):
    """A stack as it stands."""

    status: str
    parameters: dict[str, str]
    outputs: dict[str, str]


def find(account: Account, name: str) -> Stack | None:
    """The stack of that name, None if there is none."""
    found = account.ask("cloudformation", "describe_stacks", NO_STACK, StackName=name)
    if not found:
        return None
    stack = found["Stacks"][0]
    return Stack(
        stack["StackStatus"],
        {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])},
    )


def wanted(account: Account, name: str, at_rest: bool = True) -> Stack:
    """The stack of that name; `AwsError` if there is none, or (to be begun with) it is torn or being changed."""
    found = find(account, name)
    if found is None:
        raise AwsError(f"found no stack {name} in {account.region}, wanted one: `devise emr up` makes it")
    if at_rest:
        refuse_torn(name, found)
    return found


def refuse_torn(name: str, stack: Stack) -> None:
    """`AwsError` for a stack that can only be removed, or that somebody changes at this moment."""
    if stack.status.endswith("_IN_PROGRESS"):
        raise AwsError(f"stack {name}: found {stack.status}, wanted it at rest: wait until it is")
    if stack.status in ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
        raise AwsError(f"stack {name}: found {stack.status}, wanted a whole one: `devise emr down --stack` removes it")


def place_of(warehouse: str) -> tuple[str, str]:
    """Bucket and prefix of a warehouse; `ConfigError` unless it is s3:// with both, and the bucket's name is short."""
    uri = storage.normalise(warehouse)
    if not uri.startswith("s3://"):
        raise ConfigError(f"found the warehouse {warehouse}, wanted s3://BUCKET/PREFIX for nights on EMR")
    found = s3.split(uri.rstrip("/"))
    if not found["Key"]:
        raise ConfigError(f"found the warehouse {warehouse}, wanted a prefix below the bucket: s3://BUCKET/PREFIX")
    if not re.fullmatch(PREFIX, found["Key"]):
        raise ConfigError(
            f"found the warehouse {warehouse}, wanted letters, digits and `. _ = / -` in its prefix on EMR"
        )
    if len(found["Bucket"]) > BUCKET_LENGTH:
        raise ConfigError(f"found the bucket {found['Bucket']}, wanted {BUCKET_LENGTH} characters at most")
    return found["Bucket"], found["Key"]


def parameters(
    account: Account,
    settings: EmrConfig,
    warehouse: str,
    uris: dict[str, str],
    readable: Sequence[str],
    now: Stack | None,
) -> dict[str, str]:
    """What the template asks for: from the settings, from what was staged, and from the stack that is there."""
    bucket, prefix = place_of(warehouse)
    if now and (there := now.parameters["WarehouseBucket"]) != bucket:
        raise ConfigError(f"found the warehouse in {bucket}, wanted it in {there}, which stack {settings.stack} has")
    known = {name: now.parameters[name] for name in KEPT} if now else KEPT
    key = now.parameters.get("ExistingKey", "") if now else existing_key(account, bucket)
    return {
        "WarehouseBucket": bucket,
        "WarehousePrefix": prefix,
        "ExistingKey": key,
        **rights(readable, account.partition),
        "ReadableKey": settings.reads_key or "",
        "Subnets": ",".join(settings.subnets),
        "Email": settings.email or "",
        "LateHours": str(LATE_HOURS),
        **uris,
        **known,
    }


def rights(readable: Sequence[str], partition: str) -> dict[str, str]:
    """The template's lists of what jobs read: each URI as an object, as a prefix, and as what is listed."""
    objects, buckets, prefixes = set(), set(), set()
    for uri in readable:
        place = s3.split(storage.normalise(uri))
        bucket, key = place["Bucket"], place["Key"].rstrip("/")
        if any(letter in key for letter in ",*?$"):
            raise ConfigError(f"{uri}: found one of `,*?$` in what is to be read, wanted a plain prefix")
        buckets.add(f"arn:{partition}:s3:::{bucket}")
        objects |= {f"arn:{partition}:s3:::{bucket}/{below}" for below in ((key, f"{key}/*") if key else ("*",))}
        prefixes |= {f"{key}/*", key} if key else {"*"}
    lists = {"ReadableObjects": objects, "ReadableBuckets": buckets, "ReadablePrefixes": prefixes}
    return {name: ",".join(sorted(value)) for name, value in lists.items()}


def existing_key(account: Account, bucket: str) -> str:
    """ARN of the key of a warehouse's bucket that is there already, empty where there is none.

    Raises:
        AwsError: it is there and has no key of its own, or belongs to somebody else.
    """
    if account.ask("s3", "head_bucket", ("404", "NoSuchBucket"), Bucket=bucket) is None:
        return ""
    absent = ("ServerSideEncryptionConfigurationNotFoundError",)
    found = account.ask("s3", "get_bucket_encryption", absent, Bucket=bucket) or {}
    rules = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])
    key = rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "")
    if not key.startswith("arn:"):
        raise AwsError(f"bucket {bucket}: found it there without a KMS key of its own, wanted a new name, or SSE-KMS")
    return key


def make(account: Account, name: str, template: str, values: dict[str, str], now: Stack | None) -> None:
    """Create the stack, or bring it to the template; returns once it stands.

    Raises:
        AwsError: it does not come to stand; the first resource that failed is named.
    """
    request = {
        "StackName": name,
        "TemplateBody": template,
        "Parameters": _listed(values),
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": [{"Key": MANAGED, "Value": "true"}],
    }
    if now is None:
        account.change("cloudformation", "create_stack", **request, OnFailure="ROLLBACK")
    elif not _update(account, request):
        return
    _await(account, name)


def reschedule(account: Account, name: str, now: Stack, told: dict[str, str]) -> None:
    """The same stack with these of KEPT set."""
    same = [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(now.parameters.keys() - told.keys())]
    request = {
        "StackName": name,
        "UsePreviousTemplate": True,
        "Parameters": [*same, *_listed(told)],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    if _update(account, request):
        _await(account, name)


def _listed(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(values.items())]


def remove(account: Account, name: str) -> None:
    """Delete the stack; buckets and key stay."""
    account.change("cloudformation", "delete_stack", StackName=name)
    account.wait(f"stack {name}", lambda: _gone(account, name))


def _gone(account: Account, name: str) -> bool:
    found = find(account, name)
    if found and found.status == "DELETE_FAILED":
        raise AwsError(f"stack {name}: {_fault(account, name)}")
    return found is None or found.status == "DELETE_COMPLETE"


def _update(account: Account, request: dict[str, Any]) -> bool:
    """Whether there is anything to change."""
    try:
        account.change("cloudformation", "update_stack", **request)
    except AwsError as error:
        if "No updates are to be performed" in str(error):
            account.say(f"stack {request['StackName']}: unchanged")
            return False
        raise
    return True


def _await(account: Account, name: str) -> None:
    account.wait(f"stack {name}", lambda: not (find(account, name) or NOTHING).status.endswith("_IN_PROGRESS"))
    if not account.dry and (status := (find(account, name) or NOTHING).status) not in STANDING:
        raise AwsError(f"stack {name}: found {status}: {_fault(account, name)}")


NOTHING = Stack("gone", {}, {})
STANDING = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
BEGUN = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


def _fault(account: Account, name: str) -> str:
    """The first resource that failed in the last change of the stack, and why."""
    failed = []
    for each in (account.ask("cloudformation", "describe_stack_events", StackName=name) or {})["StackEvents"]:
        status = each.get("ResourceStatus", "")  # the newest event comes first
        if status.endswith("_FAILED"):
            failed.append(each)
        if each.get("PhysicalResourceId") == each.get("StackId") and status in BEGUN:
            break
    if not failed:
        return "no resource tells why"
    return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', 'no reason told')}"
