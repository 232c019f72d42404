"""GETs of whole objects by libcurl, at a tenth of boto3's CPU, the way boto3 goes; knows no tries again, no tables.

Nothing is resolved or configured here. Of the GETs that boto3 sends, a lane takes for each bucket the host, the region
and the headers, and sends the next ones there itself: so endpoint, path style, redirects to another region and who pays
stay boto3's matter. Credentials are those of boto3's session, which renews them. What is signed in another way than by
SigV4 for S3, or has a query, is left to boto3; so are keys with a segment `.` or `..`, which libcurl would resolve.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from devise.store import patience, traffic

SHUT_SECONDS = 30
"""So long every GET is boto3's, after an answer that asks to slow down, which boto3 does by itself, or after
`FAILURES` in a row without a whole answer: boto3 waits for a network that is away, and tells of one that is wrong."""
FAILURES = 8
LIBCURL_ADDS = 350
"""Bytes of a request, about: the signature with the names of what is signed, the date, ends of lines."""
EACH_ITS_OWN = {
    *("host", "if-match", "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"),
    *("amz-sdk-invocation-id", "amz-sdk-request", "x-amz-checksum-mode"),
}
"""Headers of one GET that the next does not copy. A checksum is not asked for: to read the headers of an answer, a call
into Python a line, doubles the CPU of a GET; its length is checked, and TLS guards the way."""
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d+/([^/]+)/s3/aws4_request, ")
DOTS = re.compile(r"(^|/)\.\.?(/|$)")
EMPTY_SHA256 = sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and content of an answer; status 0 where none came, or not whole."""

    status: int
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    """How the objects of one bucket are asked for.

    Attributes:
        base: URL that a percent-encoded key is put behind.
        region: of the signature; None: requests are not signed.
    """

    base: str
    region: str | None
    headers: tuple[tuple[str, str], ...]
    handles: deque = field(default_factory=deque, compare=False)
    """libcurl's handles that are not in use, the warmest connection last."""


class Lane:
    """The GETs of one process; `get` may be called from any number of its threads.

    Args:
        credentials: botocore's, or None.
        authorities: the file of the certificate authorities to trust.
        proxies: of a URL: scheme -> the proxy to go by.
    """

    def __init__(self, credentials: Any, authorities: str, proxies: Callable[[str], Mapping[str, str]]):
        self._credentials, self._authorities, self._proxies = credentials, authorities, proxies
        self._routes: dict[str, Route] = {}
        self._asked, self._failures, self._shut_until = threading.local(), 0, 0.0

    @contextmanager
    def learning(self, bucket: str, key: str) -> Iterator[None]:
        """What boto3 sends from this thread meanwhile is a GET of this object."""
        self._asked.place = bucket, key
        try:
            yield
        finally:
            self._asked.place = None

    def watch(self, request: Any, **_: Any) -> None:
        """Boto3 is about to send a GET: the handler of its event `before-send`."""
        if (place := getattr(self._asked, "place", None)) is None:
            return
        bucket, key = place
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        authorization = headers.get("authorization")
        signed = SIGNED.match(authorization or "")
        if not request.url.endswith("/" + encoded(key)) or (authorization and not signed):
            self._routes.pop(bucket, None)
            return
        base = request.url[: -len(encoded(key))]
        more = tuple((name, value) for name, value in headers.items() if name not in EACH_ITS_OWN)
        found = Route(base, signed.group(1) if signed else None, more)
        if self._routes.get(bucket) != found:
            self._routes[bucket] = found

    def get(self, bucket: str, key: str, etag: str) -> Answer | None:
        """One GET of an object if its etag is still `etag`; None where boto3 has to ask."""
        route = self._routes.get(bucket)
        if route is None or time.monotonic() < self._shut_until or DOTS.search(key):
            return None
        try:
            curl = route.handles.pop()
        except IndexError:
            curl = self._handle(route)
        headers = [f"{name}: {value}" for name, value in route.headers] + [f'if-match: "{etag}"']
        if route.region is not None:
            headers += self._sign(curl)
        traffic.begin("GetObject", retry=False)
        answer = _perform(curl, route.base + encoded(key), headers)
        route.handles.append(curl)
        self._failures = 0 if answer.status else self._failures + 1
        if answer.status in (429, 503) or self._failures >= FAILURES:
            self._failures, self._shut_until = 0, time.monotonic() + SHUT_SECONDS
        return answer

    def _sign(self, curl: Any) -> list[str]:
        import pycurl

        found = self._credentials.get_frozen_credentials()
        curl.setopt(pycurl.USERNAME, found.access_key)
        curl.setopt(pycurl.PASSWORD, found.secret_key)
        token = [f"x-amz-security-token: {found.token}"] if found.token else []
        return [f"x-amz-content-sha256: {EMPTY_SHA256}", *token]

    def _handle(self, route: Route) -> Any:
        import pycurl

        curl = pycurl.Curl()
        options = {
            pycurl.NOSIGNAL: 1,  # signals are the main thread's
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.CONNECTTIMEOUT: patience.now().connect_s,
            pycurl.LOW_SPEED_LIMIT: 1,
            pycurl.LOW_SPEED_TIME: patience.now().silent_s,
            pycurl.TCP_KEEPALIVE: 1,
            pycurl.CAINFO: self._authorities,
            pycurl.PROXY: self._proxies(route.base).get(route.base.partition(":")[0], ""),
        }
        if route.region is not None:
            options[pycurl.AWS_SIGV4] = f"aws:amz:{route.region}:s3"
        for option, value in options.items():
            curl.setopt(option, value)
        return curl


def encoded(key: str) -> str:
    """A key as it stands in a URL, and in what is signed."""
    return quote(key, safe="/~")


def _perform(curl: Any, url: str, headers: list[str]) -> Answer:
    import pycurl

    pieces: list[bytes] = []
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.HTTPHEADER, headers)
    curl.setopt(pycurl.WRITEFUNCTION, pieces.append)
    try:
        curl.perform()
        whole = True
    except pycurl.error:  # what it was is told by boto3, which asks again
        whole = False
    # libcurl sends again by itself, once, where a connection that was kept turns out to be closed: what it sent tells.
    size = len(url) + sum(map(len, headers)) + LIBCURL_ADDS
    for _ in range(round(curl.getinfo(pycurl.REQUEST_SIZE) / size) - 1):
        traffic.begin("GetObject", retry=True)
    content = b"".join(pieces)
    seconds = curl.getinfo(pycurl.STARTTRANSFER_TIME) or curl.getinfo(pycurl.TOTAL_TIME)
    traffic.end("GetObject", len(content), seconds)
    return Answer(curl.getinfo(pycurl.RESPONSE_CODE), content) if whole else Answer(0)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
