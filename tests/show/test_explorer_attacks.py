"""What somebody who means harm may send to an explorer, and what comes back."""

import io
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from explorers import TOKEN, Asked, explorer, make_warehouse, picture, served
from PIL import Image

from devise.errors import ImageError
from devise.show.explorer import guard, uploads
from devise.show.explorer.guard import Guard
from devise.store import links, storage

NAME = f"{guard.COOKIE}_8000"


class Clock:
    def __init__(self, now: float = 0.0):
        self.now = now

    def __call__(self) -> float:
        return self.now


async def fine(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture(scope="module")
def behind_token(made):
    with explorer(made[0], token=TOKEN, local=False) as found:
        yield found


@pytest.fixture
def reads(monkeypatch):
    """What is read of the store, by uri."""
    found = []
    for name in ("fetch_image", "read_bytes", "stat"):
        real = getattr(storage, name)
        monkeypatch.setattr(storage, name, lambda uri, *told, real=real, **more: found.append(uri) or real(uri, *told))
    return found


PLACES = [
    "file:///etc/passwd", "/etc/passwd", "../../etc/passwd", "http://169.254.169.254/latest/meta-data/",
    "s3://other/secret.jpg", "https://example.org/a.jpg", "\\\\host\\share\\a.jpg", "gopher://x", "ID/../../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_a_query_names_is_read(asked, reads, place):
    for text in (f"image:{place}", f'image:"{place}" + lion'):
        found = asked.get("/api/search", q=text)
        assert found.status_code == 422 and "error" in found.json()
    assert not reads


@pytest.mark.parametrize(
    "path",
    ["/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2f..%2fcorpus.py", "/page//etc/passwd", "/page/",
     "/page/none.js", "/../../etc/passwd", "/page/%00", "/app.py"],
)  # fmt: skip
def test_no_file_but_the_page_s_own_is_served(asked, path):
    assert asked("GET", path).status_code == 404


@pytest.mark.parametrize(
    "image_id", ["0", "-1", "1e3", "../x", "9" * 19, "9" * 40, "file:%2F%2F%2Fetc%2Fpasswd", "%00"]
)
@pytest.mark.parametrize("what", ["", "/thumbnail", "/similar", "/link"])
def test_an_image_is_shown_by_the_id_of_a_live_one_alone(asked, reads, image_id, what):
    found = asked("GET", f"/api/images/{image_id}{what}")
    assert found.status_code in (404, 422) and not reads


def test_names_of_this_machine_alone_are_served_on_loopback(asked):
    for name in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
        assert asked("GET", "/api/live", headers={"host": name}).status_code == 200
    for name in ("attacker.example", "localhost.attacker.example", "127.0.0.1.attacker.example:8000", "", "[::2]"):
        found = asked("GET", "/api/live", headers={"host": name})
        assert found.status_code == 421, name


def test_with_a_token_any_name_is_served_on_loopback_as_a_proxy_in_front_has_one(made):
    with explorer(made[0], token=TOKEN) as asked:
        for token, status in ((TOKEN, 200), ("none", 401)):
            headers = {"host": "pictures.example", "authorization": f"Bearer {token}"}
            assert asked("GET", "/api/live", headers=headers).status_code == status


def test_what_another_site_s_page_sends_is_refused(asked):
    told = {"content": picture(), "headers": {"content-type": "image/png"}}
    for more in (
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://attacker.example"},
        {"sec-fetch-site": "cross-site", "origin": "http://localhost:8000"},
        {"origin": "null"}, {"origin": "http://localhost:8000.attacker.example"},
    ):  # fmt: skip
        assert asked("POST", "/api/labels", **told | {"headers": told["headers"] | more}).status_code == 403
    behind_a_proxy = {"sec-fetch-site": "same-origin", "origin": "https://pictures.example"}  # that keeps no Host
    for fine in ({"origin": "http://localhost:8000"}, behind_a_proxy, {}):
        assert asked("POST", "/api/labels", **told | {"headers": told["headers"] | fine}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO"])
def test_other_methods_are_refused(asked, method):
    assert asked(method, "/api/search", params={"q": "lion"}).status_code == 405


def test_without_the_token_the_page_alone_is_told(behind_token):
    for path in (
        "/api/live",
        "/api/search?q=lion",
        "/api/images/1/thumbnail",
        "/api/answers.csv?q=lion",
        "/api/words?text=a",
    ):
        found = behind_token("GET", path)
        assert (found.status_code, found.json()) == (401, {"error": "wanted the explorer's token"})
    assert behind_token("GET", "/api/health").status_code == 200
    wrong = [
        {"authorization": f"Bearer {TOKEN[:-1]}"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": "Bearer "},
        {"cookie": f"{NAME}={TOKEN}"}, {"cookie": f"{NAME}="}, {"cookie": ";;=\x7f"},
        {"authorization": "Bearer tökén"},
    ]  # fmt: skip
    for headers in wrong:
        headers = {name: value.encode("latin-1") for name, value in headers.items()}
        assert behind_token("GET", "/api/live", headers=headers).status_code == 401
    assert behind_token("GET", "/api/live", params={"token": TOKEN}).status_code == 401  # addresses end up in logs
    assert behind_token("GET", "/api/live", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_is_given_once_for_a_cookie_that_scripts_cannot_read(behind_token):
    for told in ({"token": "wrong"}, {"token": None}, {}, {"token": ["a"]}, {"token": "tökén"}):
        assert behind_token("POST", "/api/session", json=told).status_code == 401
    assert behind_token("POST", "/api/session", content=b'{"token": "\\ud800"}').status_code == 401
    for content in (b"", b"[]", b"\xff", b"[" * 4_000):
        assert behind_token("POST", "/api/session", content=content).status_code == 422
    given = behind_token("POST", "/api/session", json={"token": TOKEN})
    cookie = given.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert behind_token("GET", "/api/live", headers={"cookie": pair}).status_code == 200
    mixed = f'prefs={{"a":1}}; devise_session_9999=other; {pair}; x'  # ports of a host share their cookies
    assert behind_token("GET", "/api/live", headers={"cookie": mixed}).status_code == 200
    assert behind_token("GET", "/api/live", headers={"cookie": pair[:-1]}).status_code == 401


def test_a_session_lasts_twelve_hours_and_is_no_other_moment_s_or_token_s():
    now = Clock(1e9 + 0.5)

    def guarded(token):
        return Guard(fine, token=token, local=False, most_bytes=100, moment=now)

    def status(value, token=TOKEN):
        return Asked(guarded(token))(
            "GET", "/api/live", headers={"cookie": f"{NAME}={value}".encode("latin-1")}
        ).status_code

    session = guarded(TOKEN).session()
    moment, _, made = session.partition(".")
    assert status(session) == 200 and moment == "1000000000"
    assert status(session, token="another token of enough letters") == 401
    now.now += guard.SESSION_S - 1
    assert status(session) == 200  # of another process with this token too
    others = [f"{int(moment) + 3_600}.{made}", f"0{session}", f"{moment}.", made, f".{made}", moment]
    others += [f"{session}.{made}", f"{moment}.{made.upper()}", "9" * 4_000 + f".{made}", "\xb2.x"]
    for other in others:
        assert status(other) == 401, other
    now.now += 1
    assert status(session) == 401 and status(guarded(TOKEN).session()) == 200
    now.now = 1e9 - 60  # the clock was set back
    assert status(session) == 200


def test_a_tab_that_outlived_its_session_tries_no_token_and_starves_nobody():
    now = Clock(1e9)
    guarded = Guard(fine, token=TOKEN, local=False, most_bytes=100, moment=now, clock=Clock(0.0))
    asked, over = Asked(guarded, client="10.0.0.9"), guarded.session()
    now.now += guard.SESSION_S

    def status(value, **more):
        headers = {"cookie": f"{NAME}={value}", **more}
        return asked("GET", "/api/images/1/thumbnail", headers=headers).status_code

    assert [status(over) for _ in range(100)] == [401] * 100
    assert status(guarded.session()) == 200
    guesses = [status(over, authorization=f"Bearer {number}") for number in range(12)]
    assert guesses[0] == 401 and guesses[-1] == 429  # what is tried beside it costs what it did


def test_tokens_cannot_be_tried_quickly(made):
    with explorer(made[0], token=TOKEN, local=False) as asked:
        asked = Asked(asked.app, client="10.0.0.1")
        codes = [asked("POST", "/api/session", json={"token": str(number)}).status_code for number in range(14)]
        assert codes[:5] == [401] * 5 and codes[-1] == 429
        other = Asked(asked.app, client="10.0.0.2")
        tries = [{"authorization": "Bearer x"}, {"cookie": f"{NAME}=x"}] * 8
        codes = [other("GET", "/api/images/1/thumbnail", headers=headers).status_code for headers in tries]
    assert codes[:5] == [401] * 5 and codes[-1] == 429


def test_before_the_token_a_body_of_a_few_bytes_is_read(behind_token):
    headers = {"content-type": "application/json"}
    assert behind_token("POST", "/api/session", content=b"[]," * 5_000, headers=headers).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(made, monkeypatch):
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    with served(made[0], token=TOKEN) as url:
        place = (urlsplit(url).hostname, urlsplit(url).port)
        head = b"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        slow = [socket.create_connection(place, 5) for _ in range(guard.OF_A_CLIENT)]
        for one in slow:
            one.sendall(head)
        answers = [one.recv(100) for one in slow]
        assert {answer.partition(b" ")[2][:3] for answer in answers} <= {b"408", b"429"}
        assert httpx.get(f"{url}/api/health").status_code in (200, 429)
        for one in slow:
            one.close()


def test_every_answer_has_the_headers_that_bind_a_browser(asked, made):
    image_id = next(iter(made[1].values()))[0]
    for path in ("/api/live", "/api/search?q=", "/none", f"/api/images/{image_id}/thumbnail", "/api/health"):
        headers = asked("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY" and "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
    refused = asked("PUT", "/api/live").headers
    assert refused["x-content-type-options"] == "nosniff"


def bomb(side: int) -> bytes:
    """A PNG of side x side pixels in few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(10_000_000)))
        + chunk(b"IEND", b"")
    )


def tiff() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (8, 8)).save(made, "TIFF")
    return made.getvalue()


UPLOADS = {
    "nothing": (b"", 422, "empty"),
    "a web page": (b"<html><script>alert(1)</script></html>", 415, "not_an_image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 415, "unsupported"),
    "a program": (b"\x7fELF" + bytes(100), 415, "not_an_image"),
    "postscript": (b"%!PS-Adobe-3.0\n", 415, ""),
    "a pickle": (b"\x80\x04\x95", 415, "not_an_image"),
    "half a picture": (picture()[:40], 422, ""),
    "a bomb": (bomb(50_000), 422, "too_many_pixels"),
    "a false head": (b"\xff\xd8\xff" + bytes(200), 422, ""),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_a_given_file_is_decoded_by_the_engine_s_list_or_refused(asked, name):
    content, status, code = UPLOADS[name]
    for told in (
        {"content": content, "headers": {"content-type": "image/png"}},
        {"files": {"picture": ("../../x.svg", content, "text/html")}},
    ):
        found = asked("POST", "/api/pictures", **told)
        assert found.status_code == status and found.json()["error"].startswith(code), found.text


def test_bodies_of_other_types_and_fields_are_refused(asked):
    for kind in ("text/html", "image/svg+xml", "application/octet-stream", "", "image/png/x"):
        found = asked("POST", "/api/labels", content=picture(), headers={"content-type": kind})
        assert found.status_code == 415
    assert asked("POST", "/api/labels", files={"other": ("a", picture(), "image/png")}).status_code == 422
    assert asked("POST", "/api/labels", data={"picture": "text"}).status_code == 415
    many = [("picture", (str(number), b"x", "image/png")) for number in range(9)]
    assert asked("POST", "/api/labels", files=many).status_code == 400
    broken = {"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=x"}}
    assert asked("POST", "/api/labels", **broken).status_code in (400, 422)


def test_a_large_body_is_cut_off_with_and_without_its_length(asked):
    large = bytes(uploads.MOST_BYTES + guard.MOST_FIELDS + 1)
    told = {"content-type": "image/png"}
    assert asked("POST", "/api/labels", content=large, headers=told).status_code == 413
    for length in ("99999999999999999999", "-1", "1e9", "abc"):
        assert asked("POST", "/api/labels", content=b"", headers=told | {"content-length": length}).status_code == 413

    async def endless():
        while True:
            yield bytes(2**20)

    assert asked("POST", "/api/labels", content=endless(), headers=told).status_code == 413


def test_a_file_that_ends_its_reader_ends_a_process_of_its_own(asked, monkeypatch):
    def crash(self, content, wait_s):
        raise ImageError("crashed", "reading it ended a process (signal 11), 2 times")

    monkeypatch.setattr(uploads.Probe, "check", crash)
    found = asked("POST", "/api/labels", content=picture(), headers={"content-type": "image/png"})
    assert found.status_code == 422 and found.json()["error"].startswith("crashed")


SLEEPER = """
import sys, time
if "devise.vision.probe" in sys.orig_argv:
    from devise.vision import images
    decode = images.decode

    def sleepy(content, *more):
        time.sleep(3600 if content.endswith(b"SLEEP") else 0)
        return decode(content, *more)

    images.decode = sleepy
"""


def test_a_file_that_keeps_its_decoder_busy_is_given_up_and_the_next_one_is_looked_at(made, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(SLEEPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(uploads, "LIMIT_S", 3.0)
    monkeypatch.setattr(uploads, "AT_ONCE", 1)  # so that a place that is not freed is missed
    headers, children = {"content-type": "image/png"}, []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *told, **more: children.append(real(*told, **more)) or children[-1])
    with explorer(made[0]) as asked:
        found = asked("POST", "/api/labels", content=picture() + b"SLEEP", headers=headers)
        assert found.status_code == 422
        assert found.json() == {"error": "crashed: reading it took more than 3 seconds"}
        assert [child.returncode for child in children] == [-signal.SIGKILL]
        assert asked("POST", "/api/labels", content=picture(), headers=headers).status_code == 200
        assert [child.returncode for child in children] == [-signal.SIGKILL, None]


def test_pictures_wait_for_a_place_and_are_then_sent_away(made, monkeypatch):
    monkeypatch.setattr(uploads, "WAIT_S", 0.05)
    inside, go_on = threading.Semaphore(0), threading.Event()

    def slow(self, content, wait_s):
        inside.release()
        assert go_on.wait(20)
        raise ImageError("corrupt", "")

    monkeypatch.setattr(uploads.Probe, "check", slow)
    given = uploads.Uploads()

    def give():
        with pytest.raises(ImageError):
            given.see(None, b"x")

    threads = [threading.Thread(target=give) for _ in range(uploads.AT_ONCE)]
    for thread in threads:
        thread.start()
        inside.acquire()
    with pytest.raises(uploads.Busy):
        given.see(None, b"x")
    go_on.set()
    for thread in threads:
        thread.join()


QUERIES = [
    "", " ", "+", "lion +", '"lion', "nan * lion", "1e400 * lion", "lion - lion", "image:", "no such word at all",
    "x" * 20_000, "\x00", "<script>alert(1)</script>", "' OR 1=1 --", "\ud7ff\u202e", "image:ID/" + "9" * 5000,
    "image:VECTOR/mmmmmmmmmmmm." + "A" * 5000, "lion + " * 1000 + "lion +",
]  # fmt: skip


@pytest.mark.parametrize("text", QUERIES, ids=range(len(QUERIES)))
def test_a_query_that_is_none_is_one_line(asked, text):
    for path in ("/api/search", "/api/answers.csv"):
        found = asked.get(path, q=text)
        assert found.status_code == 422 and found.headers["content-type"].startswith("application/json")
        assert "\n" not in found.json()["error"] and len(found.json()["error"]) < 500


@pytest.mark.parametrize(
    "params",
    [{"least": "nan"}, {"least": "inf"}, {"least": "2"}, {"offset": "-1"}, {"offset": "1001"}, {"limit": "0"},
     {"limit": "101"}, {"limit": "x"}, {"since": "yesterday"}, {"since": "2026-02-30"}, {"label": "no such label"},
     {"fold": "maybe"}],
)  # fmt: skip
def test_parameters_out_of_range_are_one_line(asked, params):
    found = asked.get("/api/search", q="lion", **params)
    assert found.status_code == 422 and "\n" not in found.json()["error"]


def test_a_client_has_a_rate_of_its_own_and_gets_it_back():
    clock = Clock()
    app = Guard(fine, token=None, local=True, most_bytes=100, clock=clock)
    one, other = Asked(app, client="10.0.0.1"), Asked(app, client="10.0.0.2")
    n = int(guard.BURST / guard.ASKING)
    assert {one("GET", "/api/search").status_code for _ in range(n)} == {200}
    refused = one("GET", "/api/search", headers={"x-forwarded-for": "10.9.9.9"})
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert other("GET", "/api/search").status_code == 200
    for _ in range(100):  # what is refused costs nothing: who goes on asking is slowed, not shut out
        clock.now += 0.001
        one("GET", "/api/search")
    clock.now += 0.9
    assert {one("GET", "/api/search").status_code for _ in range(int(0.9 * guard.RATE / guard.ASKING))} == {200}
    assert one("GET", "/api/search").status_code == 429


def test_a_client_of_ipv6_is_its_network_of_64_bits_and_one_of_ipv4_its_address_however_written():
    app = Guard(fine, token=None, local=True, most_bytes=100, clock=Clock())
    n = int(guard.BURST / guard.ASKING)

    def codes(*addresses):
        return {Asked(app, client=address)("GET", "/api/search").status_code for address in addresses}

    assert codes(*(f"2001:db8:0:1:{number:x}::{number:x}" for number in range(1, n + 1))) == {200}
    assert codes("2001:db8:0:1::", "2001:DB8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::1%eth0") == {429}
    assert codes("2001:db8:0:2::1", "2001:db8::1:1:1:1", "::1", "fe80::1") == {200}
    assert codes(*["192.0.2.1", "::ffff:192.0.2.1"] * (n // 2)) == {200}
    assert codes("192.0.2.1", "::ffff:c000:201") == {429} and codes("192.0.2.2", "::ffff:192.0.2.3") == {200}
    assert codes("", "no address") == {200}


def test_clients_are_forgotten_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(guard, "CLIENTS", 10)
    app = Guard(fine, token=None, local=True, most_bytes=100)
    for number in range(50):
        assert Asked(app, client=f"10.0.0.{number}")("GET", "/").status_code == 200
    assert len(app._left) == 10


def test_too_many_at_once_are_sent_away(made):
    import asyncio

    waiting = asyncio.Event()

    async def slow(scope, receive, send):
        await waiting.wait()
        await fine(scope, receive, send)

    async def ask_all() -> list[int]:
        app = Guard(slow, token=None, local=True, most_bytes=100)
        transports = [httpx.ASGITransport(app, client=(f"10.0.0.{number}", 1)) for number in range(5)]
        clients = [httpx.AsyncClient(transport=each, base_url="http://localhost") for each in transports]
        tasks = []
        for client in clients[:4]:
            tasks += [asyncio.create_task(client.get("/page/x")) for _ in range(guard.OF_A_CLIENT)]
            await asyncio.sleep(0.05)
            one_more = await client.get("/page/x")
            assert (one_more.status_code, one_more.headers["retry-after"]) == (503, "1")
        assert len(tasks) == guard.IN_PROGRESS
        another = await clients[4].get("/page/x")
        waiting.set()
        codes = [another.status_code, *[(await task).status_code for task in tasks]]
        assert not app._in_progress
        return codes

    codes = asyncio.run(ask_all())
    assert codes == [503, *[200] * guard.IN_PROGRESS]


def test_a_picture_that_the_store_does_not_give_just_now_may_be_asked_for_again(asked, made, monkeypatch):
    def throttled(uri, etag):
        raise ImageError("throttled", "slow down")

    monkeypatch.setattr(storage, "fetch_image", throttled)
    found = asked.get(f"/api/images/{list(made[1].values())[5][0]}/thumbnail")
    assert found.status_code == 503 and found.headers["retry-after"] == "2"


def test_names_with_markup_stay_text(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path / "<img src=x onerror=alert(1)>")
    with explorer(warehouse) as asked:
        found = asked.get("/api/search", q="lion")
        assert found.headers["content-type"] == "application/json"
        assert "<img src=x onerror=alert(1)>" in found.json()["hits"][0]["uri"]


def test_links_are_given_where_they_were_asked_for_and_for_s3_alone(made, asked, monkeypatch):
    image_id = next(iter(made[1].values()))[0]
    assert asked.get(f"/api/images/{image_id}/link").status_code == 404
    with explorer(made[0], links_s=60) as linking:
        assert linking.get(f"/api/images/{image_id}/link").status_code == 404  # a file of this machine
        monkeypatch.setattr("devise.show.explorer.corpus.Corpus.uri_of", lambda *_: "s3://bucket/a.jpg")
        monkeypatch.setattr(links, "presign", lambda uri, seconds: f"https://s3/{uri[5:]}?expires={seconds}")
        told = linking.get(f"/api/images/{image_id}/link").json()
        assert told == {"url": "https://s3/bucket/a.jpg?expires=60", "expires_s": 60}


def test_a_link_reads_its_object_until_it_expires(s3_server):
    bucket = s3_server.make_bucket("links")
    storage.write_bytes(f"{bucket}/a b.txt", b"content")
    lasting, short = (links.presign(f"{bucket}/a b.txt", seconds) for seconds in (600, 1))
    assert httpx.get(lasting).content == b"content"
    assert httpx.get(lasting.replace("a%20b", "c")).status_code == 403
    time.sleep(2.1)
    assert httpx.get(short).status_code == 403


def test_a_server_outlives_what_is_no_http_and_those_who_never_end(made):
    with served(made[0]) as url:
        place = (urlsplit(url).hostname, urlsplit(url).port)
        wrong = [
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /" + b"a" * 200_000,
            b"POST /api/labels HTTP/1.1\r\n",
        ]
        slow = []
        for content in wrong:
            slow.append(socket.create_connection(place, 5))
            with suppress(OSError):
                slow[-1].sendall(content)
        heads = b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000))
        with closing(socket.create_connection(place, 5)) as one:
            one.sendall(heads[: 2 * 10**5])
        upgrade = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": "x",
            "sec-websocket-version": "13",
        }
        assert httpx.get(f"{url}/api/live", headers=upgrade).status_code in (200, 400)
        assert httpx.get(f"{url}/api/live").json()["images"] == 12
        for one in slow:
            one.close()
