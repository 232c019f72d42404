"""What stands before every route: who may ask, how often, how much; and the headers of every answer. Pure ASGI."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import IPv6Network, ip_address
from typing import Any

from starlette.requests import cookie_parser

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable], Callable[[Any], Awaitable]], Awaitable[None]]

COOKIE = "devise_session"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SESSION = "/api/session"
SESSION_BYTES = 4 * 2**10
SESSION_S = 12 * 3_600
"""Seconds for which a cookie is good, then the token is asked for again."""
OPEN = ("/", "/docs", "/openapi.json", "/api/health", SESSION, "/favicon.ico")
"""What is told without the token: the page without its pictures, and how to give the token."""
LEAST_TOKEN = 16
MOST_FIELDS = 64 * 2**10
"""Bytes of a multipart body around the picture."""
RATE, BURST = 200.0, 1_000.0
"""A client's cost per second, and at once: ten pages of a hundred pictures."""
COSTS = {SESSION: 100.0, "/api/pictures": 40.0, "/api/labels": 40.0, "/api/similar": 40.0}
ASKING, LOOKING = 5.0, 1.0
"""The cost of any other call, and of a thumbnail or a file of the page."""
CLIENTS = 10_000
IN_PROGRESS, OF_A_CLIENT = 64, 16
BODY_S = 30.0

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{inline}; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
NIGHT = "/night"
NIGHT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The night's page has its scripts inside: they run as nobody's, without the cookie, and fetch nothing."""
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Refused(Exception):
    """A request that is not let through: status, one line, and seconds to wait, if waiting helps."""

    def __init__(self, status: int, line: str, retry_s: int | None = None):
        super().__init__(line)
        self.status, self.line, self.retry_s = status, line, retry_s


class Guard:
    """Wraps the explorer.

    - On loopback and without a token only names of loopback are served: a page elsewhere whose name is made to mean
      this machine is not. (With one, that page would not have the cookie.)
    - With a token, all but OPEN wants it, as `Authorization: Bearer` or as the session's cookie.
    - What is sent by another site's page is refused; bodies are cut off at `most_bytes`.
    - Each client (`_one`) has a rate; no more than IN_PROGRESS requests are worked on, OF_A_CLIENT of one client's.

    Args:
        token: None where none is wanted. local: whether only loopback is listened on. most_bytes: of a body.
        clock: seconds, for rates. moment: seconds since 1970, for sessions, which outlast the process.
    """

    def __init__(
        self, app: App, *, token: str | None, local: bool, most_bytes: int, clock=time.monotonic, moment=time.time
    ):
        self._app, self._token, self._local, self._most_bytes = app, token, local, most_bytes
        self._clock, self._moment, self._in_progress = clock, moment, Counter[str]()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None  # no websockets here
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        began = False

        async def sent(message: dict) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message["headers"] = [*message["headers"], *self._headers(scope["path"])]
            await send(message)

        client = _one((scope.get("client") or ("", 0))[0])
        try:
            self._check(scope, headers, client)
            self._in_progress[client] += 1
            try:
                await self._app(scope, self._bounded(receive, scope["path"]), sent)
            finally:
                self._in_progress[client] -= 1
                if not self._in_progress[client]:
                    del self._in_progress[client]
        except Refused as refused:
            if not began:
                await _answer(sent, refused)

    def session(self) -> str:
        """The cookie's value of whoever gives the token now: the moment, and what the token alone makes of it."""
        return self._signed(str(int(self._moment())))

    def _signed(self, moment: str) -> str:
        made = hmac.new(self._token.encode(), f"a session of the explorer {moment}".encode(), hashlib.sha256)
        return f"{moment}.{made.hexdigest()}"

    def _once_lasted(self, session: str) -> bool:
        """Whether there is none, or one made with this token, however long ago: a tab left open tries nothing."""
        moment = session.partition(".")[0]
        return not session or hmac.compare_digest(session.encode(errors="replace"), self._signed(moment).encode())

    def _lasts(self, session: str) -> bool:
        """Whether it is a session that was made with this token, less than SESSION_S ago."""
        moment = session.partition(".")[0]
        if not (moment.isascii() and moment.isdigit() and len(moment) < 20):
            return False
        return self._once_lasted(session) and self._moment() - int(moment) < SESSION_S

    def knows(self, token: str) -> bool:
        """Whether this is the token; compared in constant time."""
        given = token.encode(errors="replace")
        return self._token is not None and hmac.compare_digest(given, self._token.encode())

    def _check(self, scope: Scope, headers: dict[str, str], client: str) -> None:
        if self._local and self._token is None and _host(headers.get("host", "")) not in LOOPBACK:
            raise Refused(421, "this explorer is served to names of this machine alone")
        path, method = scope["path"], scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise Refused(405, "found another method, wanted GET or POST")
        if method == "POST" and not self._same_site(headers):
            raise Refused(403, "a page of another site sent this")
        self._pay(client, _cost(path))
        if self._token is not None and not self._admitted(scope, headers):
            if "authorization" in headers or not self._once_lasted(_session(scope, headers)):
                self._pay(client, COSTS[SESSION])  # a try
            raise Refused(401, "wanted the explorer's token")
        if self._in_progress[client] >= OF_A_CLIENT or self._in_progress.total() >= IN_PROGRESS:
            raise Refused(503, "too much is asked at once", 1)
        told, most = headers.get("content-length", "0"), self._most(path)
        if not (told.isascii() and told.isdigit()) or int(told) > most:
            raise Refused(413, f"found a body of {told[:20]} bytes, wanted at most {most:,}")

    def _most(self, path: str) -> int:
        """Bytes of a body."""
        return SESSION_BYTES if path == SESSION else self._most_bytes + MOST_FIELDS

    def _same_site(self, headers: dict[str, str]) -> bool:
        if (told := headers.get("sec-fetch-site")) is not None:  # a browser's own word, which no page can change
            return told in ("same-origin", "none")
        origin = headers.get("origin")
        return origin is None or origin.partition("://")[2] == headers.get("host")

    def _admitted(self, scope: Scope, headers: dict[str, str]) -> bool:
        path = scope["path"]
        if path in OPEN or path.startswith("/page/"):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows(given.strip()):
            return True
        return self._lasts(_session(scope, headers))

    def _pay(self, client: str, cost: float) -> None:
        now = self._clock()
        left, since = self._left.pop(client, (BURST, now))
        left = min(BURST, left + RATE * (now - since))
        self._left[client] = (left - cost if left >= cost else left, now)  # what is refused costs nothing
        while len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        if left < cost:
            raise Refused(429, "asked too often", max(1, round((cost - left) / RATE)))

    def _bounded(self, receive: Callable, path: str) -> Callable:
        """What receives a body that is neither too long, though no length may be told, nor too slow."""
        most, got, whole = self._most(path), 0, False
        ends = time.monotonic() + BODY_S

        async def bounded() -> dict:
            nonlocal got, whole
            if whole:
                return await receive()  # of when the client leaves
            try:
                message = await asyncio.wait_for(receive(), max(0.0, ends - time.monotonic()))
            except asyncio.TimeoutError:
                raise Refused(408, f"found no whole body in {BODY_S:.0f} seconds") from None
            got, whole = got + len(message.get("body", b"")), not message.get("more_body", False)
            if got > most:
                raise Refused(413, f"found a body of more than {most:,} bytes")
            return message

        return bounded

    def _headers(self, path: str) -> list[tuple[bytes, bytes]]:
        policy = NIGHT_POLICY if path == NIGHT else POLICY.format(inline=" 'unsafe-inline'" if path == "/docs" else "")
        told = {**HEADERS, "content-security-policy": policy}
        if path == NIGHT:  # a sandbox has an origin of its own; beside it the other policy is a fault (HTML Standard)
            told["cross-origin-opener-policy"] = "unsafe-none"
        return [(name.encode(), value.encode()) for name, value in told.items()]


def cookie_name(scope: Scope) -> str:
    """The session's: ports of a host share their cookies."""
    return f"{COOKIE}_{(scope.get('server') or ('', 0))[1]}"


def _session(scope: Scope, headers: dict[str, str]) -> str:
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(scope), "")


def _one(address: str) -> str:
    """Who counts as one client: an IPv4 address, also where it is written as IPv6; of IPv6 the network of 64 bits,
    whose addresses are all somebody's own to choose. What is behind one translator (64:ff9b::/96) is one client too."""
    try:
        found = ip_address(address)
    except ValueError:  # no address: a socket of this machine
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((int(found), 64), strict=False))


def _host(text: str) -> str:
    """The name of a Host header, without its port: `[::1]:8000`, `localhost:8000`."""
    if text.startswith("["):
        return text[1:].partition("]")[0].lower()
    return text.rpartition(":")[0].lower() if ":" in text else text.lower()


def _cost(path: str) -> float:
    if path.endswith("/thumbnail") or path.startswith("/page/"):
        return LOOKING
    return COSTS.get(path, ASKING)


async def _answer(send: Callable, refused: Refused) -> None:
    content = json.dumps({"error": refused.line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if refused.retry_s is not None:
        headers.append((b"retry-after", str(refused.retry_s).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
