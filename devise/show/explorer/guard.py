"""What stands before every route: who may ask, how often, how much; and the headers of every answer. Pure ASGI."""

import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable], Callable[[Any], Awaitable]], Awaitable[None]]

COOKIE = "devise_session"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
OPEN = ("/", "/docs", "/openapi.json", "/api/health", "/api/session", "/favicon.ico")
"""What is told without the token: the page without its pictures, and how to give the token."""
LEAST_TOKEN = 16
MOST_FIELDS = 64 * 2**10
"""Bytes of a multipart body around the picture."""
RATE, BURST = 200.0, 1_000.0
"""A client's cost per second, and at once: ten pages of a hundred pictures."""
COSTS = {"/api/session": 100.0, "/api/pictures": 40.0, "/api/labels": 40.0, "/api/similar": 40.0}
ASKING, LOOKING = 5.0, 1.0
"""The cost of any other call, and of a thumbnail or a file of the page."""
CLIENTS = 10_000
IN_PROGRESS = 64

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{inline}; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
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

    - On loopback and without a token only names of loopback are served: a page elsewhere whose name is made to mean this
      machine is not. (With one, that page would not have the cookie.)
    - With a token, all but OPEN wants it, as `Authorization: Bearer` or as the session's cookie.
    - What is sent by another site's page is refused; bodies are cut off at `most_bytes`.
    - Each client has a rate, and no more than IN_PROGRESS requests are worked on.

    Args:
        token: None where none is wanted. local: whether only loopback is listened on. most_bytes: of a body.
    """

    def __init__(self, app: App, *, token: str | None, local: bool, most_bytes: int, clock=time.monotonic):
        self._app, self._token, self._local, self._most_bytes = app, token, local, most_bytes
        self._clock, self._in_progress = clock, 0
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

        try:
            self._check(scope, headers)
            self._in_progress += 1
            try:
                await self._app(scope, self._bounded(receive, headers), sent)
            finally:
                self._in_progress -= 1
        except Refused as refused:
            if not began:
                await _answer(sent, refused)

    def session(self) -> str:
        """The cookie's value of whoever gave the token; the token cannot be told from it."""
        return hmac.new(self._token.encode(), b"a session of the explorer", hashlib.sha256).hexdigest()

    def knows(self, token: str) -> bool:
        """Whether this is the token; compared in constant time."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        if self._local and self._token is None and _host(headers.get("host", "")) not in LOOPBACK:
            raise Refused(421, "this explorer is served to names of this machine alone")
        path, method = scope["path"], scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise Refused(405, "found another method, wanted GET or POST")
        if method == "POST" and not self._same_site(headers):
            raise Refused(403, "a page of another site sent this")
        self._pay((scope.get("client") or ("", 0))[0], _cost(path))
        if self._token is not None and not self._admitted(path, headers):
            raise Refused(401, "wanted the explorer's token")
        if self._in_progress >= IN_PROGRESS:
            raise Refused(503, "too much is asked at once", 1)
        told = headers.get("content-length", "0")
        if not told.isdigit() or int(told) > self._most_bytes + MOST_FIELDS:
            raise Refused(413, f"found a body of {told[:20]} bytes, wanted at most {self._most_bytes:,}")

    def _same_site(self, headers: dict[str, str]) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or origin.partition("://")[2] == headers.get("host")

    def _admitted(self, path: str, headers: dict[str, str]) -> bool:
        if path in OPEN or path.startswith("/page/"):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.session().encode())

    def _pay(self, client: str, cost: float) -> None:
        now = self._clock()
        left, since = self._left.pop(client, (BURST, now))
        left = min(BURST, left + RATE * (now - since))
        self._left[client] = (max(0.0, left - cost), now)
        while len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        if left < cost:
            raise Refused(429, "asked too often", max(1, round((cost - left) / RATE)))

    def _bounded(self, receive: Callable, headers: dict[str, str]) -> Callable:
        most, got = self._most_bytes + MOST_FIELDS, 0

        async def bounded() -> dict:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:  # a body of no told length
                raise Refused(413, f"found a body of more than {most:,} bytes")
            return message

        return bounded

    def _headers(self, path: str) -> list[tuple[bytes, bytes]]:
        policy = POLICY.format(inline=" 'unsafe-inline'" if path == "/docs" else "")
        told = {**HEADERS, "content-security-policy": policy}
        return [(name.encode(), value.encode()) for name, value in told.items()]


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
