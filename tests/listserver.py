"""An S3 server that only lists (ListObjectsV2), of any sorted keys, made or stored: for listings too large to store.

    with ListServer(sorted_keys) as server:         in this process, on loopback
    python tests/listserver.py --each 39063     in its own: prints its address and, when its input ends, the requests

It knows Prefix, StartAfter, Delimiter and continuation tokens, pages of at most 1,000, and checks no signature. Keys
are sorted by code point, which is UTF-8's byte order, as on AWS. One bucket, whatever its name.
"""

import argparse
import http.server
import sys
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from urllib.parse import parse_qs, quote, urlsplit

PAGE = 1000
LAST = "\U0010ffff"
"""No key of a test holds it: a prefix with it behind is after all keys with that prefix."""


class MadeKeys(Sequence):
    """`corpus/7f/000000.jpg` and so on, sorted, never stored: `prefixes` in hex, `each` of them with as many keys."""

    def __init__(self, prefixes: int, each: int, separator: str = "/"):
        self.prefixes, self.each, self.separator = prefixes, each, separator

    def __len__(self) -> int:
        return self.prefixes * self.each

    def __getitem__(self, number: int) -> str:
        return f"corpus/{number // self.each:02x}{self.separator}{number % self.each:06d}.jpg"


def page(keys: Sequence[str], asked: dict[str, str]) -> str:
    """The answer to one request, as XML."""
    prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
    end = bisect_right(keys, prefix + LAST)
    if "continuation-token" in asked:
        number = int(asked["continuation-token"])
    else:
        number = max(bisect_left(keys, prefix), bisect_right(keys, asked.get("start-after", "")))
    size = min(int(asked.get("max-keys", PAGE)), PAGE)
    found: list[str] = []
    while number < end and len(found) < size:
        key = keys[number]
        folder, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if cut:
            folder = prefix + folder + cut
            number = bisect_right(keys, folder + LAST)
            if folder > asked.get("start-after", ""):
                found.append(f"<CommonPrefixes><Prefix>{quote(folder)}</Prefix></CommonPrefixes>")
        else:
            found.append(
                f"<Contents><Key>{quote(key)}</Key><LastModified>2026-11-25T01:02:03.000Z</LastModified><ETag>&quot;"
                f"{number:032x}&quot;</ETag><Size>{number % 100_000}</Size><StorageClass>STANDARD</StorageClass>"
                "</Contents>"
            )
            number += 1
    more = f"<NextContinuationToken>{number}</NextContinuationToken>" if number < end else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>made</Name><Prefix>{quote(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount><MaxKeys>{size}</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}{''.join(found)}"
        "</ListBucketResult>"
    )


class ListServer:
    """The server in threads of this process; `asked` holds what each request asked for."""

    def __init__(self, keys: Sequence[str]):
        asked_for = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement
            wbufsize = -1

            def do_GET(self) -> None:
                asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                asked_for.append(asked)
                body = page(keys, asked).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ListServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """The standard AWS variables that lead here."""
        return {
            "AWS_ACCESS_KEY_ID": "made",
            "AWS_SECRET_ACCESS_KEY": "made",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefixes", type=int, default=256)
    parser.add_argument("--each", type=int, required=True)
    parser.add_argument("--separator", default="/")
    options = parser.parse_args()
    with ListServer(MadeKeys(options.prefixes, options.each, options.separator)) as server:
        print(server.endpoint, flush=True)
        sys.stdin.read()  # until whoever started it closes this
        print(len(server.asked), flush=True)
