"""The boto3 client and what its errors mean; only `storage` uses it, and only for s3:// URIs."""

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from devise.errors import StorageError

POOL_CONNECTIONS = 64
"""At least as many as the fetch threads of a worker."""


def client() -> Any:
    """The one client of this process: adaptive retries, short timeouts, a pool as wide as the threads.

    Keyed by process id, because Spark's workers are forked and a connection must never be shared across a fork.
    """
    return _client(os.getpid())


@lru_cache(maxsize=1)
def _client(process_id: int) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        config=Config(
            retries={"mode": "adaptive", "max_attempts": 8},
            max_pool_connections=POOL_CONNECTIONS,
            connect_timeout=10,
            read_timeout=30,
            tcp_keepalive=True,
        ),
    )


def split(uri: str) -> dict[str, str]:
    """Bucket and key of an s3:// URI, as boto3's arguments."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"{uri}: no bucket in the URI, wanted s3://bucket/key")
    return {"Bucket": bucket, "Key": key}


def pages(uri: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Pages of the listing of everything below the folder `uri`."""
    place = split(uri)
    prefix = place["Key"].rstrip("/") + "/" if place["Key"].rstrip("/") else ""
    paginator = client().get_paginator("list_objects_v2")
    return iter(paginator.paginate(Bucket=place["Bucket"], Prefix=prefix, **arguments))


def errors() -> tuple[type[Exception], ...]:
    """Every error that boto3 raises for what a server or the network did."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, S3UploadFailedError


def status(error: Exception) -> int:
    """The HTTP status of a ClientError, 0 of anything else."""
    return getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def reason(error: Exception) -> str:
    """An error in a few words: the server's code and message, or the network's."""
    found = getattr(error, "response", {}).get("Error", {})
    words = f"{found.get('Code', '')}: {found.get('Message', '')}" if found else f"{type(error).__name__}: {error}"
    return " ".join(words.split())


def image_fault(error: Exception) -> tuple[str, str]:
    """Reject code and message for a GET of an image that failed."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    by_status = {403: "denied", 404: "gone", 412: "changed", 503: "throttled", 429: "throttled"}
    if code in ("SlowDown", "Throttling", "RequestLimitExceeded"):
        return "throttled", reason(error)
    if "Timeout" in type(error).__name__ or "Connect" in type(error).__name__:
        return "timeout", reason(error)
    return by_status.get(status(error), "unreadable"), reason(error)
