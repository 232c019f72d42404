"""The fault proxy alone: what passes it is unchanged and counted exactly, what it spoils is spoiled as told."""

import os
import socket
import threading
import time
import urllib.request

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError
from faultproxy import DROP, FaultProxy, describe, owner


@pytest.fixture(scope="module")
def running(s3_server):
    s3_server.make_bucket("proxied")
    with FaultProxy(s3_server.port) as proxy:
        yield proxy, s3_server


@pytest.fixture
def proxy(running):
    running[0].clear()
    running[0].forget()
    return running[0]


@pytest.fixture(scope="module")
def server(running):
    """A client past the proxy."""
    return running[1].client()


def client_of(running, attempts):
    proxy, server = running
    return boto3.client(
        "s3",
        endpoint_url=proxy.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.identity,
        aws_secret_access_key=server.secret,
        config=Config(
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=16,
        ),
    )


@pytest.fixture(scope="module")
def patient(running):
    return client_of(running, 4)


@pytest.fixture(scope="module")
def hasty(running):
    """A client that never tries again."""
    return client_of(running, 1)


def put(client, key, content=b"0123456789"):
    client.put_object(Bucket="proxied", Key=key, Body=content)


def get(client, key):
    return client.get_object(Bucket="proxied", Key=key)["Body"].read()


def test_what_is_put_through_it_is_got_through_it_and_both_are_counted(proxy, patient, server):
    keys = [f"counted/ü {number}=&+?.jpg" for number in range(20)]
    contents = {key: os.urandom(number * 7000) for number, key in enumerate(keys)}  # the first one is empty
    threads = [threading.Thread(target=put, args=(patient, *pair)) for pair in contents.items()]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert {key: get(patient, key) for key in keys} == contents == {key: get(server, key) for key in keys}
    listed = patient.list_objects_v2(Bucket="proxied", Prefix="counted/")["Contents"]
    assert sorted(found["Key"] for found in listed) == sorted(keys)
    head = patient.head_object(Bucket="proxied", Key=keys[3])
    assert head["ContentLength"] == 21000
    patient.delete_object(Bucket="proxied", Key=keys[0])
    patient.delete_objects(Bucket="proxied", Delete={"Objects": [{"Key": key} for key in keys[1:]]})
    total = sum(map(len, contents.values()))
    assert (proxy.count("PUT", "proxied/counted/"), proxy.count("GET", "proxied/counted/")) == (20, 20)
    assert (proxy.count("GET", "proxied/counted/", "list"), proxy.count("HEAD", "proxied/counted/")) == (1, 1)
    assert (proxy.count("DELETE", "proxied/counted/"), proxy.count("POST", "proxied/", "delete")) == (1, 1)
    assert proxy.count(purpose=None) == 44 == proxy.count(purpose=None, status=200) + proxy.count(status=204)
    assert sum(request.received_bytes for request in proxy.requests("GET")) == total
    assert sum(request.sent_bytes for request in proxy.requests("PUT")) >= total  # and the chunks' signatures
    assert proxy.count("GET", "proxied/other/") == 0


def test_a_large_object_goes_in_parts_and_comes_back_whole(proxy, patient, server, tmp_path):
    content = np.random.default_rng(0).bytes(20 * 2**20)
    (tmp_path / "large").write_bytes(content)
    patient.upload_file(str(tmp_path / "large"), "proxied", "large")
    patient.download_file("proxied", "large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content == get(server, "large")
    # 8 MiB is boto3's part: three parts between a beginning and an end, and as many ranges on the way back.
    assert (proxy.count("POST", "proxied/large", "multipart"), proxy.count("PUT", "proxied/large", "multipart")) == (
        2,
        3,
    )
    assert proxy.count("GET", "proxied/large", status=206) == 3 == proxy.count("GET")
    assert sum(request.received_bytes for request in proxy.requests("GET")) == 20 * 2**20


def test_one_connection_carries_many_requests(proxy, hasty):
    for number in range(5):
        put(hasty, f"kept/{number}")
        get(hasty, f"kept/{number}")
    with pytest.raises(ClientError, match="NoSuchKey"):
        get(hasty, "kept/none")
    get(hasty, "kept/0")
    assert len({request.client_port for request in proxy.requests()}) == 1


def test_a_body_in_chunks_and_an_answer_without_length_pass(proxy, running):
    """By a server of our own: S3 itself sends neither."""
    import http.server

    class Echo(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        with FaultProxy(echo.server_port) as other:
            pieces = (piece for piece in (b"one", b"two" * 50_000))
            asked = urllib.request.Request(f"{other.endpoint}/b/k", data=pieces, method="PUT")
            asked.add_header("Transfer-Encoding", "chunked")
            assert urllib.request.urlopen(asked).read() == b"one" + b"two" * 50_000
            assert other.requests("PUT", "b/k")[0].sent_bytes == 150_003
        echo.shutdown()


def test_the_client_that_expects_to_be_told_sends_its_body_only_when_told(proxy):
    head = "PUT /proxied/denied/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    address = ("127.0.0.1", int(proxy.endpoint.rsplit(":", 1)[1]))
    proxy.deny("proxied/denied/")
    with socket.create_connection(address) as plain:
        plain.sendall(head.encode())
        assert plain.makefile("rb").readline().startswith(b"HTTP/1.1 403")
    proxy.clear()
    with socket.create_connection(address) as plain, plain.makefile("rb") as answers:
        plain.sendall(head.encode())
        assert answers.readline().startswith(b"HTTP/1.1 100") and answers.readline() == b"\r\n"
        plain.sendall(b"12345")
        assert answers.readline().startswith(b"HTTP/1.1 403")  # of the server: nothing was signed
    assert [request.sent_bytes for request in proxy.requests("PUT")] == [0, 5]


def test_every_third_place_fails_once(proxy, patient, server):
    for number in range(9):
        put(server, f"third/{number}")
    rule = proxy.fail("proxied/third/", every=3)
    assert [get(patient, f"third/{number}") for number in range(9)] == [b"0123456789"] * 9
    assert [request.place[-1] for request in proxy.requests("GET", status=500)] == ["2", "5", "8"]
    assert rule.fired == 3 and proxy.count("GET", status=200) == 9


def test_a_throttled_prefix_says_so_for_so_long(proxy, hasty, server):
    put(server, "slow/x")
    put(server, "free/x")
    proxy.slow_down("proxied/slow/", seconds=0.5)
    with pytest.raises(ClientError, match="SlowDown.*reduce your request rate"):
        get(hasty, "slow/x")
    with pytest.raises(ClientError) as listing:
        hasty.list_objects_v2(Bucket="proxied", Prefix="slow/")
    assert listing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert get(hasty, "free/x") == b"0123456789"
    time.sleep(0.6)
    assert get(hasty, "slow/x") == b"0123456789"
    assert proxy.count("GET", "proxied/slow/", None, status=503) == 2


def test_a_body_may_end_early_and_a_connection_be_reset(proxy, hasty, patient, server):
    put(server, "torn/x")
    proxy.truncate("proxied/torn/")
    with pytest.raises(ResponseStreamingError):
        get(hasty, "torn/x")
    assert proxy.requests("GET", "proxied/torn/")[0].received_bytes == 5
    assert get(hasty, "torn/x") == b"0123456789"
    proxy.reset("proxied/torn/")
    with pytest.raises(ConnectionClosedError):
        get(hasty, "torn/x")
    proxy.reset("proxied/torn/", times=2)
    assert get(patient, "torn/x") == b"0123456789"
    assert [request.status for request in proxy.requests("GET", "proxied/torn/")] == [200, 200, 0, 0, 0, 200]


def test_a_denied_write_leaves_nothing_and_a_lost_answer_leaves_all(proxy, hasty, server):
    proxy.deny("proxied/closed/")
    for content in (b"x", b"x" * 300_000):
        with pytest.raises(ClientError, match="AccessDenied"):
            put(hasty, "closed/x", content)
    with pytest.raises(ClientError, match="AccessDenied"):
        hasty.create_multipart_upload(Bucket="proxied", Key="closed/x")
    assert server.list_objects_v2(Bucket="proxied", Prefix="closed/")["KeyCount"] == 0
    proxy.lose_answer("proxied/lost/")
    with pytest.raises(ConnectionClosedError):
        put(hasty, "lost/x")
    assert get(server, "lost/x") == b"0123456789"


def test_without_a_network_nothing_answers_until_it_is_back(proxy, hasty, patient, server):
    put(server, "cut/x")
    proxy.cut(0.5)
    for ask in (lambda: get(hasty, "cut/x"), lambda: put(hasty, "cut/y"), lambda: hasty.list_buckets()):
        with pytest.raises(ConnectionClosedError):
            ask()
    time.sleep(0.6)
    assert get(hasty, "cut/x") == b"0123456789"


def test_a_request_is_late_by_its_delay(proxy, hasty, server):
    put(server, "late/x")
    proxy.delay("proxied/late/", 0.3, times=1)
    started = time.monotonic()
    get(hasty, "late/x")
    assert time.monotonic() - started >= 0.3
    started = time.monotonic()
    get(hasty, "late/x")
    assert time.monotonic() - started < 0.3


def test_a_test_acts_between_two_requests(proxy, hasty, server):
    put(server, "between/x", b"old")
    proxy.before("proxied/between/", lambda request: put(server, "between/x", b"new"))
    assert get(hasty, "between/x") == b"new"
    proxy.before("proxied/between/", lambda request: DROP, methods=("PUT",))
    with pytest.raises(ConnectionClosedError):
        put(hasty, "between/x", b"never")
    assert get(server, "between/x") == b"new"


def test_the_process_that_asks_is_known(proxy, hasty, server):
    put(server, "owned/x")
    found = []
    proxy.before("proxied/owned/", lambda request: found.append(owner(request.client_port)))
    get(hasty, "owned/x")
    assert found == [os.getpid()]


@pytest.mark.parametrize(
    ("method", "target", "place", "purpose"),
    [
        ("GET", "/b/a%20b/%C3%BC.jpg", "b/a b/ü.jpg", "object"),
        ("GET", "/b?list-type=2&prefix=a%2Fb&delimiter=%2F", "b/a/b", "list"),
        ("GET", "/b/?prefix=a", "b/a", "list"),
        ("GET", "/b?location", "b/", "bucket"),
        ("HEAD", "/b", "b/", "bucket"),
        ("POST", "/b?delete", "b/", "delete"),
        ("POST", "/b/k?uploads", "b/k", "multipart"),
        ("PUT", "/b/k?partNumber=1&uploadId=x", "b/k", "multipart"),
    ],
)
def test_a_request_line_tells_its_place_and_purpose(method, target, place, purpose):
    found = describe(method, target)
    assert (found.place, found.purpose) == (place, purpose)
