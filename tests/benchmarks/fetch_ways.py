"""Ways to GET an object of S3, each built in the process that fetches; `fetch.py` runs and measures them.

A way is made of an endpoint and the width of its pool, and gives `get(bucket, key, etag) -> bytes`, which many threads
call, or a coroutine of the same. All sign with SigV4 and send If-Match, but where the library cannot.
"""

import asyncio
import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlsplit

REGION = "us-east-1"
EMPTY = hashlib.sha256(b"").hexdigest()


def boto3_as_it_is(endpoint: str, width: int) -> Callable:
    return _boto3(endpoint, width)


def boto3_stripped(endpoint: str, width: int) -> Callable:
    """No checksum of answers, no check of parameters, no adaptive tries, no hooks."""
    return _boto3(
        endpoint,
        width,
        retries={"mode": "standard", "max_attempts": 1},
        parameter_validation=False,
        response_checksum_validation="when_required",
        request_checksum_calculation="when_required",
    )


def _boto3(endpoint: str, width: int, **more: Any) -> Callable:
    import boto3
    from botocore.config import Config

    more = {"retries": {"mode": "adaptive", "max_attempts": 8}} | more
    config = Config(max_pool_connections=width, s3={"addressing_style": "path"}, **more)
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, config=config)

    def get(bucket: str, key: str, etag: str) -> bytes:
        return client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')["Body"].read()

    return get


def botocore_signed_urllib3(endpoint: str, width: int) -> Callable:
    """botocore's signer, urllib3's pool."""
    import urllib3
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.session import get_session

    credentials = get_session().get_credentials()
    pool = _pool(endpoint, width, urllib3)

    def get(bucket: str, key: str, etag: str) -> bytes:
        request = AWSRequest("GET", f"{endpoint}/{bucket}/{quote(key)}", headers={"If-Match": f'"{etag}"'})
        S3SigV4Auth(credentials.get_frozen_credentials(), "s3", REGION).add_auth(request)
        answer = pool.request("GET", f"/{bucket}/{quote(key)}", headers=dict(request.headers.items()), retries=False)
        return _checked(answer.status, answer.data)

    return get


def own_signed_botocore_http(endpoint: str, width: int) -> Callable:
    """Signed here, sent by botocore's own HTTP session: its proxies, its certificates."""
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    session = URLLib3Session(verify=os.environ.get("AWS_CA_BUNDLE", True), max_pool_connections=width)
    sign = Signer(endpoint)

    def get(bucket: str, key: str, etag: str) -> bytes:
        path, headers = sign(bucket, key, etag)
        answer = session.send(AWSRequest("GET", endpoint + path, headers).prepare())
        return _checked(answer.status_code, answer.content)

    return get


def own_signed_urllib3(endpoint: str, width: int) -> Callable:
    import urllib3

    pool, sign = _pool(endpoint, width, urllib3), Signer(endpoint)

    def get(bucket: str, key: str, etag: str) -> bytes:
        path, headers = sign(bucket, key, etag)
        answer = pool.urlopen("GET", path, headers=headers, retries=False, redirect=False)
        return _checked(answer.status, answer.data)

    return get


def own_signed_http_client(endpoint: str, width: int) -> Callable:
    """Python's own http.client, a connection a thread."""
    import http.client
    import ssl

    found, sign, mine = urlsplit(endpoint), Signer(endpoint), threading.local()
    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))

    def get(bucket: str, key: str, etag: str) -> bytes:
        path, headers = sign(bucket, key, etag)
        if not hasattr(mine, "connection"):
            secure = found.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            mine.connection = kind(found.hostname, found.port, **({"context": context} if secure else {}))
        mine.connection.request("GET", path, headers=headers)
        answer = mine.connection.getresponse()
        return _checked(answer.status, answer.read())

    return get


def own_signed_httpx(endpoint: str, width: int) -> Callable:
    import ssl

    import httpx

    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
    client, sign = httpx.Client(limits=httpx.Limits(max_connections=width), verify=context), Signer(endpoint)

    def get(bucket: str, key: str, etag: str) -> bytes:
        path, headers = sign(bucket, key, etag)
        answer = client.get(endpoint + path, headers=headers)
        return _checked(answer.status_code, answer.content)

    return get


def own_signed_pycurl(endpoint: str, width: int) -> Callable:
    """libcurl, a handle a thread, signed here."""
    import pycurl

    sign, mine = Signer(endpoint), threading.local()

    def get(bucket: str, key: str, etag: str) -> bytes:
        path, headers = sign(bucket, key, etag)
        if not hasattr(mine, "curl"):
            mine.curl = pycurl.Curl()
            if ca := os.environ.get("AWS_CA_BUNDLE"):
                mine.curl.setopt(pycurl.CAINFO, ca)
        curl = mine.curl
        curl.setopt(pycurl.URL, endpoint + path)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        content = curl.perform_rb()
        return _checked(curl.getinfo(pycurl.RESPONSE_CODE), content)

    return get


def curl_signed_pycurl(endpoint: str, width: int) -> Callable:
    """libcurl, a handle a thread, signed by it."""
    import pycurl
    from botocore.session import get_session

    credentials, mine = get_session().get_credentials(), threading.local()

    def get(bucket: str, key: str, etag: str) -> bytes:
        if not hasattr(mine, "curl"):
            mine.curl = pycurl.Curl()
            mine.curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:{REGION}:s3")
            if ca := os.environ.get("AWS_CA_BUNDLE"):
                mine.curl.setopt(pycurl.CAINFO, ca)
        curl, found = mine.curl, credentials.get_frozen_credentials()
        curl.setopt(pycurl.USERNAME, found.access_key)
        curl.setopt(pycurl.PASSWORD, found.secret_key)
        curl.setopt(pycurl.URL, f"{endpoint}/{bucket}/{quote(key)}")
        curl.setopt(pycurl.HTTPHEADER, [f'If-Match: "{etag}"', f"x-amz-content-sha256: {EMPTY}"])
        content = curl.perform_rb()
        return _checked(curl.getinfo(pycurl.RESPONSE_CODE), content)

    return get


def _obstore(endpoint: str, bucket: str) -> Any:
    from obstore.store import S3Store

    # It takes no certificate authority but the system's: over TLS the responder's goes unchecked.
    more = {"allow_http" if endpoint.startswith("http:") else "allow_invalid_certificates": True}
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=REGION,
        virtual_hosted_style_request=False,
        client_options=more,
        retry_config={"max_retries": 0},
    )


def obstore_threads(endpoint: str, width: int) -> Callable:
    import obstore

    stores: dict[str, Any] = {}

    def get(bucket: str, key: str, etag: str) -> bytes:
        if bucket not in stores:
            stores[bucket] = _obstore(endpoint, bucket)
        return obstore.get(stores[bucket], key, options={"if_match": f'"{etag}"'}).bytes().to_bytes()

    return get


def obstore_asyncio(endpoint: str, width: int) -> Callable:
    import obstore

    stores: dict[str, Any] = {}

    async def get(bucket: str, key: str, etag: str) -> bytes:
        if bucket not in stores:
            stores[bucket] = _obstore(endpoint, bucket)
        found = await obstore.get_async(stores[bucket], key, options={"if_match": f'"{etag}"'})
        return (await found.bytes_async()).to_bytes()

    return get


def pyarrow_threads(endpoint: str, width: int) -> Callable:
    """The AWS SDK for C++ inside pyarrow; no If-Match, and the size must be known, or each GET has a HEAD before it."""
    from pyarrow.fs import S3FileSystem

    found = urlsplit(endpoint)
    more = {"tls_ca_file_path": os.environ["AWS_CA_BUNDLE"]} if os.environ.get("AWS_CA_BUNDLE") else {}
    system = S3FileSystem(endpoint_override=found.netloc, scheme=found.scheme, region=REGION, **more)

    def get(bucket: str, key: str, etag: str) -> bytes:
        with system.open_input_file(f"{bucket}/{key}") as file:
            return file.read()

    return get


def aiobotocore_asyncio(endpoint: str, width: int) -> Callable:
    """What s3fs rests on."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(max_pool_connections=width, s3={"addressing_style": "path"})
    made = get_session().create_client("s3", endpoint_url=endpoint, region_name=REGION, config=config)
    opened: list[Any] = []
    lock = asyncio.Lock()

    async def get(bucket: str, key: str, etag: str) -> bytes:
        async with lock:
            if not opened:
                opened.append(await made.__aenter__())
        found = await opened[0].get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
        return await found["Body"].read()

    return get


def own_signed_aiohttp(endpoint: str, width: int) -> Callable:
    import ssl

    import aiohttp

    sign, sessions = Signer(endpoint), []
    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))

    async def get(bucket: str, key: str, etag: str) -> bytes:
        from yarl import URL

        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width, ssl=context)))
        path, headers = sign(bucket, key, etag)
        async with sessions[0].get(URL(endpoint + path, encoded=True), headers=headers) as answer:
            return _checked(answer.status, await answer.read())

    return get


def before(endpoint: str, width: int) -> Callable:
    """What `storage.fetch_image` did until 2026-11-26: boto3 with adaptive tries, counted."""
    from devise.groups import S3Config
    from devise.store import s3

    s3.configure(S3Config(endpoint=endpoint, path_style=True, region=REGION))

    def get(bucket: str, key: str, etag: str) -> bytes:
        return s3.read(f"s3://{bucket}/{key}", IfMatch=f'"{etag}"')[0]

    return get


def in_place(endpoint: str, width: int) -> Callable:
    """What `storage.fetch_image` does."""
    from devise.groups import S3Config
    from devise.store import s3, storage

    s3.configure(S3Config(endpoint=endpoint, path_style=True, region=REGION))

    def get(bucket: str, key: str, etag: str) -> bytes:
        return storage.fetch_image(f"s3://{bucket}/{key}", etag)

    return get


class Signer:
    """The path and signed headers of a GET; the signing key is made once a day."""

    def __init__(self, endpoint: str):
        from botocore.session import get_session

        self.host = urlsplit(endpoint).netloc
        self.credentials = get_session().get_credentials()
        self.day, self.key = "", b""

    def __call__(self, bucket: str, key: str, etag: str) -> tuple[str, dict[str, str]]:
        found, now = self.credentials.get_frozen_credentials(), datetime.now(timezone.utc)
        time, path = now.strftime("%Y%m%dT%H%M%SZ"), f"/{bucket}/{quote(key)}"
        day = time[:8]
        if day != self.day:
            made = f"AWS4{found.secret_key}".encode()
            for part in (day, REGION, "s3", "aws4_request"):
                made = hmac.digest(made, part.encode(), "sha256")
            self.day, self.key = day, made
        headers = {"Host": self.host, "If-Match": f'"{etag}"', "x-amz-content-sha256": EMPTY, "x-amz-date": time}
        names = ";".join(name.lower() for name in headers)
        told = "".join(f"{name.lower()}:{value}\n" for name, value in headers.items())
        scope = f"{day}/{REGION}/s3/aws4_request"
        asked = hashlib.sha256(f"GET\n{path}\n\n{told}\n{names}\n{EMPTY}".encode()).hexdigest()
        signature = hmac.digest(self.key, f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{asked}".encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={found.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return path, headers


def _pool(endpoint: str, width: int, urllib3: Any) -> Any:
    more = {"ca_certs": os.environ["AWS_CA_BUNDLE"]} if endpoint.startswith("https:") else {}
    return urllib3.connection_from_url(endpoint, maxsize=width, block=False, **more)


def _checked(status: int, content: bytes) -> bytes:
    if status != 200:
        raise OSError(f"{status}: {content[:200]!r}")
    return content
