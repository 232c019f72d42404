"""The boto3 client and what its errors mean; only `storage` uses it, and only for s3:// URIs.

How the store is reached travels to workers in the environment variable DEVISE_S3, as the JSON of `config.S3Config`:
it holds no secret. Credentials come from the standard AWS chain of the process that asks.
"""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from devise.errors import StorageError
from devise.groups import S3Config
from devise.store import patience, traffic
from devise.store.lane import Lane

VARIABLE = "DEVISE_S3"

POOL_CONNECTIONS = 64
"""At least as many as the fetch threads of a worker."""
BODY_ATTEMPTS = 4

_answered_at = time.monotonic()
"""When this process last heard of the store; at first, when it began to ask."""


def configured() -> S3Config:
    """How the store is reached, as `configure` was told in this process or the one that started it."""
    return S3Config.model_validate_json(os.environ.get(VARIABLE, "{}"))


def configure(settings: S3Config) -> None:
    """Reach the store so from now on, in this process and those it starts."""
    os.environ[VARIABLE] = settings.model_dump_json(exclude_defaults=True)


class _Ways(NamedTuple):
    client: Any
    lane: Lane


def client() -> Any:
    """The one client of this process: adaptive retries, `patience`'s timeouts, a pool as wide as the threads.

    Keyed by process id, because Spark's workers are forked and a connection must never be shared across a fork.
    """
    return _client(os.getpid(), os.environ.get(VARIABLE, "{}"), patience.now()).client


def lane() -> Lane:
    """The quick way to GET objects, beside the client of this process and as it goes."""
    return _client(os.getpid(), os.environ.get(VARIABLE, "{}"), patience.now()).lane


@lru_cache(maxsize=1)
def _client(process_id: int, settings: str, waits: patience.Patience) -> _Ways:
    import boto3
    from botocore.config import Config
    from botocore.httpsession import get_cert_path
    from botocore.session import get_session
    from botocore.utils import get_environ_proxies

    session = get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
    found = S3Config.model_validate_json(settings)
    made = boto3.Session(botocore_session=session).client(
        "s3",
        endpoint_url=found.endpoint,
        region_name=found.region,
        config=Config(
            retries={"mode": "adaptive", "max_attempts": waits.again},
            max_pool_connections=POOL_CONNECTIONS,
            connect_timeout=waits.connect_s,
            read_timeout=waits.silent_s,
            tcp_keepalive=True,
            s3={"addressing_style": "path"} if found.path_style else None,
        ),
    )
    always = {"RequestPayer": "requester"} if found.requester_pays else {}
    always |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": found.kms_key} if found.kms_key else {}

    def add(params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        return {name: value for name, value in always.items() if name in model.input_shape.members} | params

    made.meta.events.register("provide-client-params.s3", add)
    made.meta.events.register_first("request-created.s3", _begin)  # it may wait: a signature is good for minutes
    made.meta.events.register("response-received.s3", _end)
    made.meta.events.register_last("needs-retry.s3", _outlast)
    trusted = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE", True)  # as botocore does
    quick = Lane(session.get_credentials(), get_cert_path(trusted), get_environ_proxies)
    made.meta.events.register("before-send.s3.GetObject", quick.watch)
    return _Ways(made, quick)


def _begin(request: Any, operation_name: str, **_: Any) -> None:
    sent = request.context.get("devise_sent", 0)
    request.context["devise_sent"] = sent + 1
    request.context.setdefault("devise_began", time.monotonic())
    traffic.begin(operation_name, retry=sent > 0)


def _end(response_dict: dict[str, Any] | None, event_name: str, **_: Any) -> None:
    if response_dict:
        heard()
    operation, headers = event_name.rsplit(".", 1)[-1], response_dict["headers"] if response_dict else {}
    traffic.end(operation, 0 if operation.startswith("Head") else int(headers.get("content-length", 0)))


def _outlast(attempts: int, caught_exception: Exception | None, request_dict: dict[str, Any], **_: Any) -> float | None:
    """Seconds until a request that nothing answered is sent again, None for never; of botocore's handlers the last."""
    waited_s = time.monotonic() - request_dict["context"].get("devise_began", 0)
    lasts = isinstance(caught_exception, unanswered_errors()) and waited_s <= patience.now().outage_s
    return min(0.2 * 2**attempts, 5) if lasts else None


def heard() -> None:
    """The store has just answered something."""
    global _answered_at
    _answered_at = time.monotonic()


def _read_time(text: Any) -> datetime:
    """A time as S3 lists it, ISO 8601 in UTC; botocore reads every other kind.

    botocore's own parser takes two thirds of the time of reading a page of a listing.
    """
    if isinstance(text, str) and text.endswith("Z") and "T" in text:
        try:
            return datetime.fromisoformat(text[:-1] + "+00:00")
        except ValueError:
            pass
    from botocore.utils import parse_timestamp

    return parse_timestamp(text)


def split(uri: str) -> dict[str, str]:
    """Bucket and key of an s3:// URI, as boto3's arguments."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"{uri}: no bucket in the URI, wanted s3://bucket/key")
    return {"Bucket": bucket, "Key": key}


def read(uri: str, **conditions: str) -> tuple[bytes, str]:
    """The whole content of an object and its etag; asked for again if its body breaks off."""
    torn = 0
    while True:
        try:
            found = client().get_object(**split(uri), **conditions)
            return found["Body"].read(), found["ETag"].strip('"')
        except body_errors():
            torn += 1
            if torn == BODY_ATTEMPTS:
                raise
        except unanswered_errors() as error:
            _refuse_outage(uri, error)
            raise
        time.sleep(0.1 * 2**torn)


def _refuse_outage(uri: str, error: Exception) -> None:
    """`StorageError` where nobody is reached and nothing has been answered for long: that is no fault of one object,
    and to wait for each of millions would take days."""
    from botocore import exceptions

    quiet_s = time.monotonic() - _answered_at
    if quiet_s > patience.now().outage_s and isinstance(
        error, (exceptions.ConnectTimeoutError, exceptions.EndpointConnectionError)
    ):
        raise StorageError(f"{uri}: the store has answered nothing for {quiet_s:.0f} s: {reason(error)}") from None


def head(uri: str) -> dict[str, Any]:
    """Size, etag and time of an object."""
    try:
        return client().head_object(**split(uri))
    except errors() as error:
        if status(error) == 403:  # the answer to a HEAD has no body and so no words; the one to a GET tells why
            client().get_object(**split(uri), Range="bytes=0-0")["Body"].close()
        raise


def put_if(uri: str, content: bytes, refused: tuple[int, ...], **condition: str) -> bool:
    """Write an object under a condition; False if the server refused with one of the statuses `refused`.

    A refusal of a call that was sent more than once may be of a later try, after an earlier one was done and its answer
    lost: what is there tells.
    """
    try:
        client().put_object(**split(uri), Body=content, **condition)
        return True
    except errors() as error:
        if status(error) not in refused:
            raise
        return was_retried(error) and read(uri)[0] == content


def delete_below(uri: str) -> None:
    """Remove every object whose key starts with the key of `uri`."""
    bucket = split(uri)["Bucket"]
    for page in pages(uri):
        delete([f"s3://{bucket}/{found['Key']}" for found in page.get("Contents", [])])


def delete(uris: Sequence[str]) -> None:
    """Remove objects of one bucket, a thousand a request; one that is gone is no error."""
    for start in range(0, len(uris), 1000):
        places = [split(uri) for uri in uris[start : start + 1000]]
        if len(places) == 1:
            client().delete_object(**places[0])
            continue
        bucket, keys = places[0]["Bucket"], [{"Key": place["Key"]} for place in places]
        done = client().delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        if kept := done.get("Errors"):
            raise StorageError(f"s3://{bucket}/{kept[0]['Key']}: not deleted: {kept[0].get('Message', '')}")


def pages(uri: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Pages of the listing of the keys that start with the key of `uri`: a request a page, one page held at a time."""
    place = split(uri)
    paginator = client().get_paginator("list_objects_v2")
    found = iter(paginator.paginate(Bucket=place["Bucket"], Prefix=place["Key"], **arguments))
    while True:
        with traffic.purpose("listing"):
            page = next(found, None)
        if page is None:
            return
        yield page


def errors() -> tuple[type[Exception], ...]:
    """Every error that boto3 raises for what a server or the network did."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, Boto3Error


def body_errors() -> tuple[type[Exception], ...]:
    """What a body that breaks off raises; botocore tries a call again, but not the reading of its body."""
    from botocore import exceptions

    return exceptions.IncompleteReadError, exceptions.ResponseStreamingError, exceptions.ReadTimeoutError


def unanswered_errors() -> tuple[type[Exception], ...]:
    """What a network raises that is away: it says nothing of the object."""
    from botocore import exceptions

    return exceptions.ConnectionClosedError, exceptions.ConnectTimeoutError, exceptions.EndpointConnectionError


def answer(error: Exception) -> dict[str, Any]:
    """What the server answered; nothing where there was no whole answer: botocore then says None, or not even that."""
    return getattr(_cause(error), "response", None) or {}


def _cause(error: Exception) -> BaseException:
    """The error itself, or what boto3's upload of a file was ended by, which it tells in words alone."""
    from boto3.exceptions import S3UploadFailedError

    return error.__context__ or error if isinstance(error, S3UploadFailedError) else error


def was_retried(error: Exception) -> bool:
    """Whether the call had been sent more than once: an earlier try may have been done, and its answer lost."""
    return answer(error).get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0


def no_bucket(error: Exception) -> bool:
    return answer(error).get("Error", {}).get("Code", "") == "NoSuchBucket"


def status(error: Exception) -> int:
    """The HTTP status of a ClientError, 0 of anything else."""
    return answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def reason(error: Exception) -> str:
    """An error in a few words: the server's code and message, or the network's."""
    found = answer(error).get("Error", {})
    words = f"{found.get('Code', '')}: {found.get('Message', '')}" if found else f"{type(error).__name__}: {error}"
    return " ".join(words.split())


def image_fault(error: Exception) -> tuple[str, str]:
    """Reject code and message for a GET of an image that failed."""
    code = answer(error).get("Error", {}).get("Code", "")
    by_status = {403: "denied", 404: "gone", 412: "changed", 503: "throttled", 429: "throttled"}
    if code in ("SlowDown", "Throttling", "RequestLimitExceeded"):
        return "throttled", reason(error)
    if "Timeout" in type(error).__name__ or "Connect" in type(error).__name__:
        return "timeout", reason(error)
    return by_status.get(status(error), "unreadable"), reason(error)
