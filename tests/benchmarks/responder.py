"""What S3 answers to a GET and a HEAD, from memory, in a process of its own: for benchmarks of clients, nothing else.

It knows If-Match and Range, checks no signature, and costs little CPU.
"""

import asyncio
import multiprocessing
import ssl
import subprocess
from hashlib import md5
from pathlib import Path
from urllib.parse import unquote

HEAD = (
    "HTTP/1.1 {status}\r\nx-amz-id-2: 4hTDAwxVfcSyoJ2EGLQWzUvXzXfFv0V8dgbF7yYwKpZ1hS3mXo0lTqQJ8cJqJ9bX2bqH0v9k2Qw=\r\n"
    "x-amz-request-id: 7K4J2V9Q3M8N1B5C\r\nDate: Wed, 25 Nov 2026 01:00:00 GMT\r\n"
    "Last-Modified: Tue, 24 Nov 2026 01:00:00 GMT\r\nx-amz-server-side-encryption: AES256\r\nAccept-Ranges: bytes\r\n"
    "Content-Type: {kind}\r\nServer: AmazonS3\r\nContent-Length: {length}\r\n"
)
ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>'


class Answer(asyncio.Protocol):
    """One connection; requests have no body."""

    def __init__(self, objects: dict[str, bytes], latency_s: float):
        self.objects, self.latency_s, self.rest = objects, latency_s, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            lines, self.rest = self.rest[:end].decode("latin-1").split("\r\n"), self.rest[end + 4 :]
            method, target, _ = lines[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            self.answer(method, unquote(target.split("?")[0]).lstrip("/"), headers)

    def answer(self, method, place, headers):
        content, more, status, kind = self.objects.get(place), "", "200 OK", "image/jpeg"
        if content is None:
            status, kind, content = "404 Not Found", "application/xml", ERROR.format(code="NoSuchKey").encode()
        elif headers.get("if-match", etag := f'"{md5(content).hexdigest()}"') != etag:
            status, kind = "412 Precondition Failed", "application/xml"
            content = ERROR.format(code="PreconditionFailed").encode()
        else:
            more = f"ETag: {etag}\r\n"
            if found := headers.get("range"):
                first, _, last = found.removeprefix("bytes=").partition("-")
                whole, content = len(content), content[int(first) : int(last or len(content)) + 1]
                status = "206 Partial Content"
                more += f"Content-Range: bytes {first}-{int(first) + len(content) - 1}/{whole}\r\n"
        head = HEAD.format(status=status, kind=kind, length=len(content)) + more + "\r\n"
        answer = head.encode() + (b"" if method == "HEAD" else content)
        if self.latency_s:
            asyncio.get_running_loop().call_later(self.latency_s, self.transport.write, answer)
        else:
            self.transport.write(answer)


async def _serve(objects, told, certificate, latency_s):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answer(objects, latency_s), "127.0.0.1", 0, ssl=context, backlog=256)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(*arguments):
    asyncio.run(_serve(*arguments))


class Responder:
    """A running responder; a context manager.

    Args:
        objects: `bucket/key` -> content.
        certificate: its file and that of its key, to speak TLS.
        latency_s: from a request to the first byte of its answer.
    """

    def __init__(self, objects: dict[str, bytes], certificate: tuple[str, str] | None = None, latency_s: float = 0.0):
        self.certificate = certificate
        here, there = multiprocessing.Pipe()
        self._told = here
        self._process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(objects, there, certificate, latency_s), daemon=True
        )

    def __enter__(self) -> "Responder":
        self._process.start()
        self.endpoint = f"http{'s' if self.certificate else ''}://127.0.0.1:{self._told.recv()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def make_certificate(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
