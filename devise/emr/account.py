"""The one door to an AWS account: boto3's calls, which a dry run prints instead of making; knows no cluster, no night.

Credentials and region come from the standard AWS chain; a region may be given. What only reads is asked on a dry run
too; where there are no credentials the account is taken for an empty one, so that a plan can be read before there is
any account.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devise.errors import AwsError, ConfigError
from devise.store import s3

Say = Callable[[str], None]
WAIT_SECONDS = 10
PRINTED = 4_000
"""Characters of a parameter that a dry run prints; templates are longer."""


class Account:
    """An account in a region; `dry` prints each call that would change something and changes nothing."""

    def __init__(self, region: str | None, dry: bool, say: Say = print):
        import boto3

        self.dry = dry
        self.say = say
        self._session = boto3.Session(region_name=region)
        self.region = self._session.region_name
        if not self.region:
            raise ConfigError("found no AWS region, wanted emr.region, AWS_DEFAULT_REGION or a profile that has one")
        self._clients: dict[str, Any] = {}
        self._blind = dry and self._session.get_credentials() is None
        if self._blind:
            say("# no AWS credentials: the account is taken for an empty one")

    @property
    def id(self) -> str:
        """Its 12 digits, zeros where it is not known."""
        return (self.ask("sts", "get_caller_identity") or {"Account": "0" * 12})["Account"]

    @property
    def partition(self) -> str:
        """First part of its ARNs."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rpartition("-")[0].rpartition("-")[0], "aws")

    def ask(self, service: str, operation: str, absent: tuple[str, ...] = (), **parameters: Any) -> Any:
        """What a call that changes nothing answers; None for the error codes `absent`, and without credentials.

        Raises:
            AwsError: any other error.
        """
        return None if self._blind else self._call(service, operation, absent, parameters)

    def pages(self, service: str, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing; none without credentials."""
        if self._blind:
            return
        try:
            yield from self._client(service).get_paginator(operation).paginate(**parameters)
        except s3.errors() as error:
            raise AwsError(f"{service} {operation}: {s3.reason(error)}") from None

    def change(self, service: str, operation: str, absent: tuple[str, ...] = (), **parameters: Any) -> Any:
        """What a call answers that changes something; None for the error codes `absent`, and on a dry run."""
        if self.dry:
            self.say(f"{service} {operation} {self._told(parameters)}")
            return None
        return self._call(service, operation, absent, parameters)

    def upload(self, path: Path, bucket: str, key: str, sha256: str, metadata: dict[str, str]) -> None:
        """Put a file, in parts if it is large; S3 checks each part's SHA-256 as it comes."""
        if self.dry:
            self.say(f"s3 upload_file {self._told({'Filename': str(path), 'Bucket': bucket, 'Key': key})}")
            return
        more = {"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": sha256} | metadata}
        try:
            self._client("s3").upload_file(str(path), bucket, key, ExtraArgs=more)
        except s3.errors() as error:
            raise AwsError(f"{path} to s3://{bucket}/{key}: {s3.reason(error)}") from None

    def wait(self, what: str, ended: Callable[[], bool]) -> None:
        """Return once `ended` says so; on a dry run at once."""
        if self.dry:
            return
        began = time.monotonic()
        while not ended():
            self.say(f"{what}: {time.monotonic() - began:.0f} s")
            time.sleep(WAIT_SECONDS)

    def _call(self, service: str, operation: str, absent: tuple[str, ...], parameters: dict[str, Any]) -> Any:
        try:
            return getattr(self._client(service), operation)(**parameters)
        except s3.errors() as error:
            if code(error) in absent:
                return None
            raise AwsError(f"{service} {operation}: {s3.reason(error)}") from None

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            from botocore.config import Config

            retries = Config(retries={"mode": "standard", "max_attempts": 8})
            self._clients[service] = self._session.client(service, config=retries)
        return self._clients[service]

    @staticmethod
    def _told(parameters: dict[str, Any]) -> str:
        short = {
            name: f"{value[:200]}... ({len(value)} characters)"
            if isinstance(value, str) and len(value) > PRINTED
            else value
            for name, value in parameters.items()
        }
        return json.dumps(short, default=str)


def code(error: Exception) -> str:
    """The error code that AWS answered with; empty where it answered nothing."""
    return s3.answer(error).get("Error", {}).get("Code", "")
