"""A faulty network on loopback for tests: an HTTP/1.1 proxy before an S3 server that counts requests and spoils some.

    with FaultProxy(server.port) as proxy:
        proxy.fail("corpus/", every=5)                    reach the server at proxy.endpoint
        proxy.count("GET", "corpus/")

A *place* is `bucket/key` of an object, or `bucket/prefix` of a listing, percent-decoded; rules and counts are of all
places that begin with a prefix. The Host header stays as the client wrote it, so signatures hold. A request is in the
log before its client can know of the answer: what a test counts after an answer is exact.
"""

import http.client
import http.server
import os
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK_BYTES = 64 * 1024
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect", "transfer-encoding"}
READS, WRITES = ("GET", "HEAD"), ("PUT", "POST")
DROP = "drop"
"""What a callback returns so that its request is not forwarded: the connection is reset instead."""
MESSAGES = {
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "SlowDown": (503, "Please reduce your request rate."),
    "AccessDenied": (403, "Access Denied"),
}


@dataclass
class Request:
    """One request as it came, and what became of it.

    Attributes:
        purpose: `object`, `list`, `multipart` (of a multipart upload), `delete` (of many) or `bucket`.
        client_port: the client's end of the connection; `owner` finds its process.
        status: of the answer; 0 while there is none, and for good if the connection was reset instead.
        sent_bytes, received_bytes: bodies, as far as they went to the server and back to the client.
        fault: the rule that spoiled it, or None.
    """

    method: str
    place: str
    purpose: str
    client_port: int = 0
    status: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    fault: str | None = None


@dataclass
class Rule:
    """A fault for requests of some methods and purposes below a prefix, so many times or for so long."""

    kind: str
    prefix: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...] = ("object",)
    times: int | None = None
    seconds: float | None = None
    """Counted from the first request that it meets."""
    every: int = 1
    """Of different places, in the order they are asked for, each so manieth, at its first request."""
    argument: Any = None
    fired: int = 0
    seen: set[str] = field(default_factory=set)
    until: float | None = None

    def meets(self, request: Request) -> bool:
        """Whether it spoils this request; counts, so ask once a request."""
        if request.method not in self.methods or not request.place.startswith(self.prefix):
            return False
        if request.purpose not in self.purposes or (self.times is not None and self.fired >= self.times):
            return False
        if self.seconds is not None:
            self.until = self.until or time.monotonic() + self.seconds
            if time.monotonic() > self.until:
                return False
        if self.every > 1:
            if request.place in self.seen:
                return False
            self.seen.add(request.place)
            if len(self.seen) % self.every:
                return False
        self.fired += 1
        return True


class FaultProxy:
    """A running proxy; a context manager. Rules are set, and cleared, while requests pass."""

    def __init__(self, server_port: int):
        self.server_port = server_port
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._log: list[Request] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FaultProxy":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # Rules ------------------------------------------------------------------------------------------------------------

    def fail(self, prefix: str, every: int = 1, methods: tuple[str, ...] = ("GET",), **more: Any) -> Rule:
        """Answer 500 to the first request for each `every`-th place, or to all requests if `every` is 1."""
        return self._add(Rule("fail", prefix, methods, every=every, argument="InternalError", **more))

    def slow_down(self, prefix: str, seconds: float, methods: tuple[str, ...] = (*READS, *WRITES)) -> Rule:
        """Answer 503 SlowDown to everything, for so long."""
        purposes = ("object", "list", "multipart")
        return self._add(Rule("slow_down", prefix, methods, purposes, seconds=seconds, argument="SlowDown"))

    def deny(self, prefix: str, methods: tuple[str, ...] = WRITES, **more: Any) -> Rule:
        """Answer 403 AccessDenied."""
        more = {"purposes": ("object", "multipart")} | more
        return self._add(Rule("deny", prefix, methods, argument="AccessDenied", **more))

    def truncate(self, prefix: str, times: int | None = 1) -> Rule:
        """Send half of a body whose whole length was promised, then close."""
        return self._add(Rule("truncate", prefix, ("GET",), times=times))

    def reset(self, prefix: str, times: int | None = 1, methods: tuple[str, ...] = ("GET",), **more: Any) -> Rule:
        """Reset the connection, and forward nothing."""
        return self._add(Rule("reset", prefix, methods, times=times, **more))

    def lose_answer(self, prefix: str, times: int | None = 1, methods: tuple[str, ...] = WRITES) -> Rule:
        """Let the server do it, and reset the connection before its answer."""
        return self._add(Rule("lose_answer", prefix, methods, times=times))

    def delay(self, prefix: str, seconds: float, times: int | None = None, methods: tuple[str, ...] = READS) -> Rule:
        """Forward a request so much later."""
        return self._add(Rule("delay", prefix, methods, times=times, argument=seconds))

    def cut(self, seconds: float) -> Rule:
        """No network: reset every connection, for so long."""
        purposes = ("object", "list", "multipart", "delete", "bucket")
        return self._add(Rule("cut", "", (*READS, *WRITES, "DELETE"), purposes, seconds=seconds), first=True)

    def before(
        self,
        prefix: str,
        call: Callable[[Request], Any],
        methods: tuple[str, ...] = ("GET",),
        times: int | None = 1,
        purposes: tuple[str, ...] = ("object",),
    ) -> Rule:
        """Call a function before a request is forwarded; if it returns DROP, the connection is reset instead."""
        return self._add(Rule("before", prefix, methods, purposes, times=times, argument=call))

    def clear(self) -> None:
        """Forget all rules; the log stays."""
        with self._lock:
            self._rules = []

    def _add(self, rule: Rule, first: bool = False) -> Rule:
        with self._lock:
            self._rules.insert(0 if first else len(self._rules), rule)
        return rule

    # The log ----------------------------------------------------------------------------------------------------------

    def requests(
        self, method: str | None = None, prefix: str = "", purpose: str | None = "object", status: int | None = None
    ) -> list[Request]:
        """Requests so far, in order of arrival; None matches any."""
        with self._lock:
            return [
                request
                for request in self._log
                if request.place.startswith(prefix)
                and method in (None, request.method)
                and purpose in (None, request.purpose)
                and status in (None, request.status)
            ]

    def count(
        self, method: str | None = None, prefix: str = "", purpose: str | None = "object", status: int | None = None
    ) -> int:
        return len(self.requests(method, prefix, purpose, status))

    def forget(self) -> None:
        """Begin a new log."""
        with self._lock:
            self._log = []

    def _arrive(self, request: Request) -> list[Rule]:
        """Log a request; the callbacks and delays it meets, then the first fault."""
        with self._lock:
            self._log.append(request)
            met: list[Rule] = []
            for rule in self._rules:
                if rule.meets(request):
                    met.append(rule)
                    if rule.kind not in ("before", "delay"):
                        request.fault = rule.kind
                        break
            return met


def owner(port: int) -> int:
    """The process at the client's end of a loopback connection, by Linux's tables; 0 if it is gone."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            rows = [line.split() for line in lines][1:]
        for inode in (row[9] for row in rows if row[1].endswith(wanted) and row[9] != "0"):
            for process in filter(str.isdigit, os.listdir("/proc")):
                if f"socket:[{inode}]" in _open_files(process):
                    return int(process)
    return 0


def _open_files(process: str) -> list[str]:
    found = []
    with suppress(OSError):  # the process, or one of its files, is gone meanwhile
        for end in os.listdir(f"/proc/{process}/fd"):
            with suppress(OSError):
                found.append(os.readlink(f"/proc/{process}/fd/{end}"))
    return found


def describe(method: str, target: str) -> Request:
    """What a request line asks for."""
    found = urlsplit(target)
    query = parse_qs(found.query, keep_blank_values=True)
    place = unquote(found.path).removeprefix("/")
    bucket, _, key = place.partition("/")
    if "uploads" in query or "uploadId" in query:
        return Request(method, place, "multipart")
    if "delete" in query:
        return Request(method, f"{bucket}/", "delete")
    if key:
        return Request(method, place, "object")
    if method == "GET" and ("list-type" in query or not set(query) - {"prefix", "delimiter", "marker", "max-keys"}):
        return Request(method, f"{bucket}/{query.get('prefix', [''])[0]}", "list")
    return Request(method, f"{bucket}/", "bucket")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle_expect_100(self) -> bool:
        return True  # the body is asked for once it is known that the request will be forwarded

    def log_message(self, *_: object) -> None:
        pass

    def pass_on(self) -> None:
        request = describe(self.command, self.path)
        request.client_port = self.client_address[1]
        for rule in self.server.proxy._arrive(request):
            if rule.kind == "delay":
                time.sleep(rule.argument)
            elif rule.kind == "before":
                if rule.argument(request) is DROP:
                    request.fault = "drop"
                    return self.reset()
            elif rule.kind in ("reset", "cut"):
                return self.reset()
            elif rule.kind in ("fail", "slow_down", "deny"):
                return self.refuse(request, rule.argument)
        self.forward(request)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def forward(self, request: Request) -> None:
        server = http.client.HTTPConnection("127.0.0.1", self.server.proxy.server_port)
        try:
            self.send_request(server, request)
            answer = server.getresponse()
            if request.fault == "lose_answer":
                answer.read()
                return self.reset()
            request.status = answer.status
            self.send_answer(answer, request)
        finally:
            server.close()

    def send_request(self, server: http.client.HTTPConnection, request: Request) -> None:
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                server.putheader(name, value)
        chunked = self.chunked
        if chunked:
            server.putheader("Transfer-Encoding", "chunked")
        server.endheaders()
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        for piece in self.body():
            request.sent_bytes += len(piece)
            server.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            server.send(b"0\r\n\r\n")

    def send_answer(self, answer: http.client.HTTPResponse, request: Request) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        empty = self.command == "HEAD" or answer.status in (204, 304)
        length = answer.headers.get("Content-Length")
        if length is None and not empty:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if empty:
            return
        left = int(length or 0) // 2 if request.fault == "truncate" else None
        while piece := answer.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)):
            request.received_bytes += len(piece)
            if left is not None:
                left -= len(piece)
            self.wfile.write(piece if length is not None else b"%x\r\n%s\r\n" % (len(piece), piece))
        if length is None:
            self.wfile.write(b"0\r\n\r\n")
        if request.fault == "truncate":
            self.close_connection = True

    def refuse(self, request: Request, code: str) -> None:
        status, message = MESSAGES[code]
        if "Expect" in self.headers:
            self.close_connection = True  # its body was not asked for and will not come
        else:
            for _ in self.body():
                pass
        xml = '<?xml version="1.0" encoding="UTF-8"?>\n'
        xml += f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>faultproxy</RequestId></Error>"
        request.status, request.received_bytes = status, 0 if self.command == "HEAD" else len(xml)
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(xml)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(xml.encode())

    def reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())  # at once, by RST: an orderly end would say FIN first

    @property
    def chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    def body(self) -> Iterator[bytes]:
        """The request's body in pieces."""
        if self.chunked:
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece
