"""`devise.store.lane` and `devise.store.fetch`: the quick GET, and that it says what boto3 says."""

import http.server
import threading
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import botocore.awsrequest
import pytest
from botocore.credentials import RefreshableCredentials
from faultproxy import FaultProxy

from devise.errors import ImageError
from devise.groups import S3Config
from devise.store import lane, s3, storage, traffic
from devise.store.lane import Lane

ODD_KEYS = [
    "with space.jpg",
    "ümlaut/日本/😀.jpg",
    "a=b/c&d;e?f#g.jpg",
    "100%25/x%20y.jpg",
    "-",
    "a+b~c!d'(e)*,:@$.jpg",
]
SIGNED = "AWS4-HMAC-SHA256 Credential=KEY/20261126/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=00"


@pytest.fixture(scope="module")
def proxy(s3_server):
    with FaultProxy(s3_server.port) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv(s3.VARIABLE, "")
        s3.configure(S3Config(endpoint=running.endpoint, path_style=True, region="us-east-1"))
        s3_server.make_bucket("lane")
        yield running
    s3._client.cache_clear()


@pytest.fixture
def opened(proxy):
    """The lane of a new client, which boto3 has opened for the bucket; `s3://lane/a` is there, and its etag."""
    proxy.clear()
    s3._client.cache_clear()
    storage.write_bytes("s3://lane/a", b"content")
    etag = storage.stat("s3://lane/a").etag
    assert s3.lane().get("lane", "a", etag) is None
    assert storage.fetch_image("s3://lane/a", etag) == b"content"
    proxy.forget()
    yield SimpleNamespace(lane=s3.lane(), etag=etag, proxy=proxy, before=traffic.snapshot())
    proxy.clear()


def requests(opened):
    """GETs and tries again, as they were counted here; every one that was on the wire is counted."""
    n, retries, _, seconds = traffic.since(opened.before)["images GetObject"]
    assert n == opened.proxy.count("GET") and seconds > 0
    return n, retries


def test_what_boto3_opened_the_lane_goes_on(opened, monkeypatch):
    monkeypatch.setattr(s3, "read", None)
    for _ in range(20):
        assert storage.fetch_image("s3://lane/a", opened.etag) == b"content"
    assert requests(opened) == (20, 0)
    assert traffic.since(opened.before)["images GetObject"][2] == 20 * len(b"content")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_is_what_it_is_written_as(opened, key):
    storage.write_bytes(f"s3://lane/{key}", key.encode())
    etag = storage.stat(f"s3://lane/{key}").etag
    assert opened.lane.get("lane", key, etag) == lane.Answer(200, key.encode())


def test_a_key_that_libcurl_would_resolve_is_left_to_boto3(opened):
    for key in (".", "..", "a/./b", "a/../b", "../a", "a/.."):
        assert opened.lane.get("lane", key, opened.etag) is None
    for key in ("...", ".a", "a.", "..a/b", "dots/b..", "dots/...", "%2e%2e/a"):
        assert opened.lane.get("lane", key, opened.etag).status == 404


def test_what_is_refused_is_told_as_boto3_tells_it(opened, monkeypatch):
    opened.proxy.deny("lane/denied", methods=("GET",))
    asked = [("a", "0" * 32), ("none", opened.etag), ("denied", opened.etag)]

    def told():
        faults = []
        for key, etag in asked:
            with pytest.raises(ImageError) as fault:
                storage.fetch_image(f"s3://lane/{key}", etag)
            faults.append((fault.value.code, str(fault.value)))
        return faults

    quick = told()
    assert requests(opened) == (3, 0) and [code for code, _ in quick] == ["changed", "gone", "denied"]
    monkeypatch.setattr(Lane, "get", lambda *_: None)
    assert told() == quick


def test_what_fails_is_asked_again_by_boto3_and_each_request_counts(opened):
    def fetched(rule):
        assert storage.fetch_image("s3://lane/a", opened.etag) == b"content" and rule.fired
        opened.proxy.clear()
        return requests(opened)

    assert fetched(opened.proxy.fail("lane/a", times=1)) == (2, 1)
    assert fetched(opened.proxy.truncate("lane/a")) == (4, 2)
    assert fetched(opened.proxy.reset("lane/a")) == (6, 3)
    assert storage.fetch_image("s3://lane/a", opened.etag) == b"content"  # a connection that is kept again
    assert fetched(opened.proxy.reset("lane/a")) == (9, 4)  # libcurl's own second try on one that turned out closed
    assert fetched(opened.proxy.reset("lane/a", times=2)) == (12, 6)


def test_a_prefix_that_is_throttled_is_left_to_boto3_for_a_while(opened, monkeypatch):
    opened.proxy.slow_down("lane/a", 0.3)
    assert storage.fetch_image("s3://lane/a", opened.etag) == b"content"
    assert opened.lane.get("lane", "a", opened.etag) is None
    storage.fetch_image("s3://lane/a", opened.etag)
    monkeypatch.setattr(lane, "time", SimpleNamespace(monotonic=lambda: lane_time() + lane.SHUT_SECONDS))
    lane_time = s3.time.monotonic
    assert opened.lane.get("lane", "a", opened.etag).status == 200


def test_a_lane_that_never_gets_a_whole_answer_is_shut_for_a_while(opened):
    opened.proxy.truncate("lane/a", times=None)
    answers = [opened.lane.get("lane", "a", opened.etag) for _ in range(lane.FAILURES + 1)]
    assert answers == [lane.Answer(0)] * lane.FAILURES + [None]


def request(url, **headers):
    return botocore.awsrequest.AWSPreparedRequest("GET", url, headers, None, False)


def taught(made, url, key="a b", **headers):
    with made.learning("photos", key):
        made.watch(request(url, **headers))
    return made._routes.get("photos")


def test_a_route_is_what_boto3_sent_and_nothing_that_was_of_one_object():
    made = Lane(None, "", lambda url: {})
    assert taught(made, "https://photos.s3.eu-west-1.amazonaws.com/a%20b", Authorization=SIGNED, **{
        "X-Amz-Request-Payer": b"requester", "User-Agent": "Boto3", "If-Match": '"1"', "X-Amz-Date": "20261126T000000Z",
        "X-Amz-Security-Token": "t", "amz-sdk-invocation-id": "1", "x-amz-checksum-mode": "ENABLED",
    }) == lane.Route(
        "https://photos.s3.eu-west-1.amazonaws.com/", "eu-west-1",
        (("x-amz-request-payer", "requester"), ("user-agent", "Boto3")),
    )  # fmt: skip
    elsewhere = SIGNED.replace("eu-west-1", "us-east-2")
    assert (
        taught(made, "https://photos.s3.us-east-2.amazonaws.com/a%20b", Authorization=elsewhere).region == "us-east-2"
    )
    assert taught(made, "https://photos.s3.amazonaws.com/a%20b") == lane.Route(
        "https://photos.s3.amazonaws.com/", None, ()
    )


@pytest.mark.parametrize(
    ("url", "authorization"),
    [
        ("https://photos.s3express-use1-az4.us-east-1.amazonaws.com/a%20b", SIGNED.replace("/s3/", "/s3express/")),
        ("https://photos.s3.amazonaws.com/a%20b", "AWS KEY:signature"),
        ("https://photos.s3.amazonaws.com/a%20b?x-id=GetObject", SIGNED),
        ("https://photos.s3.amazonaws.com/other", SIGNED),
    ],
)
def test_what_is_asked_for_in_another_way_stays_boto3_s(url, authorization):
    made = Lane(None, "", lambda url: {})
    assert taught(made, "https://photos.s3.amazonaws.com/a%20b", Authorization=SIGNED)
    assert taught(made, url, Authorization=authorization) is None and made.get("photos", "a b", "1") is None


def test_boto3_finds_host_and_region_for_the_lane(monkeypatch):
    """AWS's own host names, and who pays: what boto3 would send is stopped before the network."""
    monkeypatch.setenv(s3.VARIABLE, "")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    s3.configure(S3Config(region="eu-central-1", requester_pays=True))

    class Raw:
        def stream(self, *_, **__):
            yield b"content"

        def read(self, *_):
            return b""

    answer = botocore.awsrequest.AWSResponse("", 200, {"content-length": "0", "etag": '"1"'}, Raw())
    s3.client().meta.events.register("before-send.s3", lambda **_: answer)
    try:
        storage.fetch_image("s3://photos/a b", "1")
        route = s3.lane()._routes["photos"]
    finally:
        s3._client.cache_clear()
    assert (route.base, route.region) == ("https://photos.s3.eu-central-1.amazonaws.com/", "eu-central-1")
    assert ("x-amz-request-payer", "requester") in route.headers


@pytest.fixture
def listener():
    """A server that keeps the headers of what it is asked for."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            seen.append(self.headers)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield SimpleNamespace(seen=seen, endpoint=f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


def test_credentials_that_expire_are_renewed(listener):
    """As an instance's role gives them: each is good for ten minutes, and too near its end when it comes."""
    given = []

    def renew():
        given.append(f"KEY{len(given)}")
        ends = datetime.now(timezone.utc) + timedelta(minutes=10)
        keys = {"access_key": given[-1], "secret_key": "secret", "token": f"token-{given[-1]}"}
        return keys | {"expiry_time": ends.isoformat()}

    made = Lane(RefreshableCredentials.create_from_metadata(renew(), renew, "test"), "", lambda url: {})
    taught(made, f"{listener.endpoint}/photos/a%20b", Authorization=SIGNED)
    for _ in range(2):
        assert made.get("photos", "a b", "1").status == 200
    keys = [headers["Authorization"].partition("Credential=")[2].split("/")[0] for headers in listener.seen]
    assert keys == given[1:] and len(set(keys)) == 2
    for key, headers in zip(keys, listener.seen, strict=True):
        assert headers["x-amz-security-token"] == f"token-{key}" and headers["If-Match"] == '"1"'
        assert "x-amz-security-token" in headers["Authorization"] and "/eu-west-1/s3/" in headers["Authorization"]


def test_what_boto3_does_not_sign_is_not_signed(listener):
    made = Lane(None, "", lambda url: {})
    taught(made, f"{listener.endpoint}/photos/a%20b")
    assert made.get("photos", "a b", "1").status == 200 and "Authorization" not in listener.seen[0]


def test_a_proxy_that_boto3_goes_by_is_gone_by(listener):
    made = Lane(None, "", lambda url: {"http": listener.endpoint})
    taught(made, "http://photos.example/a%20b")
    assert made.get("photos", "a b", "1").status == 200 and listener.seen[0]["Host"] == "photos.example"


def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path):
    """The lane trusts what boto3 trusts, no more; what fails so is boto3's to tell."""
    import ssl
    import subprocess

    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    endpoint = f"https://127.0.0.1:{server.server_address[1]}"
    from botocore.httpsession import get_cert_path

    for authorities, status in ((str(certificate), 200), (get_cert_path(True), 0)):
        made = Lane(None, authorities, lambda url: {})
        taught(made, f"{endpoint}/photos/a%20b")
        assert made.get("photos", "a b", "1").status == status
    server.shutdown()
    server.server_close()
