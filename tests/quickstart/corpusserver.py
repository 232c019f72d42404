"""A stand-in for what s3proxy cannot show: an S3 bucket of made keys, in a region, that refuses by right or by region.

It answers HEAD of the bucket, listings (tests/listserver.py), and a GET of any key with one picture. A request signed
for another region is refused as S3 does: 301 PermanentRedirect or 400 AuthorizationHeaderMalformed, both with
x-amz-bucket-region (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). It checks no signature.
"""

import http.server
import io
import re
import threading
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from listserver import page
from PIL import Image

CODES = {301: "PermanentRedirect", 400: "AuthorizationHeaderMalformed", 403: "AccessDenied"}


def picture() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((320, 240), 60).convert("RGB").save(content, "JPEG")
    return content.getvalue()


class CorpusServer:
    """The server in threads of this process; `listed` counts its listings.

    Args:
        region: of the bucket; refused: the status of a request that is signed for another.
        denied: refuse every request with 403.
    """

    def __init__(self, keys: Sequence[str], region: str = "us-east-1", refused: int = 301, denied: bool = False):
        server, content = self, picture()
        self.listed = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                signed = re.search(r"Credential=[^/]+/\d+/([^/]+)/s3", self.headers.get("Authorization", ""))
                status = 403 if denied else refused if signed is None or signed[1] != region else 200
                if status != 200:
                    code = CODES[status]
                    told = f"<Error><Code>{code}</Code><Message>made refusal</Message><Region>{region}</Region></Error>"
                    return self.answer(status, told.encode(), "application/xml")
                asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                if "list-type" in asked:
                    server.listed += 1
                    return self.answer(200, page(keys, asked).encode(), "application/xml")
                self.answer(200, content, "image/jpeg")

            def answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                for name, value in (("Content-Type", kind), ("Content-Length", len(body)), ("ETag", '"made"')):
                    self.send_header(name, str(value))
                self.send_header("x-amz-bucket-region", region)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "CorpusServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, region: str = "us-east-1") -> dict[str, str]:
        """AWS's own variables that lead here, with requests signed for a region."""
        return {
            "AWS_ACCESS_KEY_ID": "made",
            "AWS_SECRET_ACCESS_KEY": "made",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
        }
