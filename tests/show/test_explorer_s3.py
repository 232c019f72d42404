"""The explorer over a warehouse and pictures on a real S3: answers as from a disk, requests, a store that is away."""

import io
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from zlib import crc32

import httpx
import pyarrow.parquet as pq
import pytest
from explorers import add_thumbnails, deliver, explorer, make_warehouse_of_s3, picture
from faultproxy import FaultProxy

from devise.groups import S3Config
from devise.store import patience, s3, storage
from devise.warehouse import pointer

ONE_LINE = {"error": "the warehouse cannot be read just now"}
SLOWER = ("slow_down", "fail", "reset")
"""Faults that are tried again with pauses."""


class Place:
    """A warehouse and its pictures on S3 behind a proxy, and a local copy of the tables."""

    def __init__(self, server, proxy, folder: Path, bucket: str):
        self.proxy, self.server, self.root = proxy, server, server.make_bucket(bucket)
        self.local, self.pictures = make_warehouse_of_s3(folder, self.root)
        self.warehouse = f"{self.root}/w"
        deliver(self.local, self.warehouse)
        self.ids = [image_id for image_id, _ in self.pictures.values()]

    def count(self, call, *given, **more) -> tuple:
        """What a call returns, and the requests that it made: by method, one text."""
        self.proxy.forget()
        found = call(*given, **more)
        made = [request.method for request in self.proxy.requests(purpose=None)]
        return found, " + ".join(f"{made.count(method)} {method}" for method in sorted(set(made)))


@pytest.fixture(scope="module")
def store(s3_server, tmp_path_factory):
    """The server behind a proxy, asked as `devise serve` asks; nothing is on this host's disk from before."""
    with FaultProxy(s3_server.port) as proxy, pytest.MonkeyPatch.context() as patch:
        settings = S3Config(endpoint=proxy.endpoint, path_style=True, region="us-east-1")
        patch.setenv(s3.VARIABLE, settings.model_dump_json(exclude_defaults=True))
        patch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("scratch")))
        patch.setattr(patience, "_now", patience.OF_A_PERSON._replace(outage_s=1))
        yield s3_server, proxy


@pytest.fixture(scope="module")
def place(store, tmp_path_factory):
    return Place(*store, tmp_path_factory.mktemp("place"), "explored")


@pytest.fixture
def fresh(store, tmp_path, monkeypatch, request):
    """A place of the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield Place(*store, tmp_path / "w", f"explored-{crc32(request.node.name.encode()):x}")
    store[1].clear()


def questions(place) -> dict[str, tuple[str, dict]]:
    """A call of each kind, by its name."""
    uri, (image_id, _) = list(place.pictures.items())[4]
    folder = uri.rsplit("/", 1)[0] + "/"
    search, one = "/api/search", f"/api/images/{image_id}"
    return {
        "a word": (search, {"q": "ferry"}),
        "another": (search, {"q": "tulip"}),
        "a sum": (search, {"q": '2 * lion - tulip + "sea lion"'}),
        "a stored picture by its id": (search, {"q": f"image:ID/{image_id}"}),
        "by its uri": (search, {"q": f"image:{uri} + ferry"}),
        "only of a folder": (search, {"q": "ferry", "under": folder}),
        "only with a label": (search, {"q": "ferry", "label": "sea lion"}),
        "only since a day": (search, {"q": "ferry", "since": "2026-01-09"}),
        "least score": (search, {"q": "ferry", "least": 0.1}),
        "near-duplicates folded": (search, {"q": "castle + lion", "fold": True}),
        "why a picture": ("/api/why", {"q": "lion", "image_id": image_id}),
        "a picture's own page": (one, {}),
        "like a picture": (f"{one}/similar", {}),
        "a word's completion": ("/api/words", {"text": "king"}),
        "an answer as CSV": ("/api/answers.csv", {"q": "lion + castle"}),
        "an answer as Parquet": ("/api/answers.parquet", {"q": "lion + castle"}),
        "what is live": ("/api/live", {}),
    }


def test_what_is_on_s3_is_answered_as_what_is_on_a_disk_and_fetched_once(place):
    told = {}
    with explorer(place.local) as here:
        there, told["opening"] = place.count(explorer(place.warehouse).__enter__)
        for name, (path, more) in questions(place).items():
            found, told[name] = place.count(there.get, path, **more)
            again, none = place.count(there.get, path, **more)
            assert found.status_code == 200, (name, found.text)
            assert found.content == again.content == here.get(path, **more).content, name
            assert none == "", (name, none)
    assert {told[name] for name in ("a sum", "by its uri", "only of a folder", "why a picture", "what is live")} == {""}
    assert all("GET" in told[name] for name in ("opening", "only since a day"))
    print(*(f"\n{name}: {requests or 'none'}" for name, requests in told.items()))


def test_an_answer_s_parquet_is_whole(place):
    with explorer(place.warehouse) as asked:
        rows = pq.read_table(io.BytesIO(asked.get("/api/answers.parquet", q="lion + ferry").content))
        assert rows.num_rows == 12 and set(rows.column("uri").to_pylist()) == set(place.pictures)


def test_a_picture_given_is_seen_by_the_model_on_s3_which_is_fetched_once(place):
    with explorer(place.local) as here, explorer(place.warehouse) as there:
        given = {"content": picture(), "headers": {"content-type": "image/png"}}
        wanted = here("POST", "/api/pictures", **given).json()
        found, first = place.count(there, "POST", "/api/pictures", **given)
        assert found.json() == wanted and len(wanted["labels"]) == 5 and "GET" in first
        assert there.search(wanted["term"]) == here.search(wanted["term"])
        assert place.count(there, "POST", "/api/similar?limit=3", **given)[1] == ""
        print(f"\na picture given, the first: {first}")


def test_thumbnails_are_made_of_originals_on_s3_and_read_from_the_table_once_there_is_one(fresh):
    first, second, last = f"{fresh.ids[0]}", f"{fresh.ids[1]}", f"{fresh.ids[-1]}"

    def seen(asked, image_id):
        found, requests = fresh.count(asked.get, f"/api/images/{image_id}/thumbnail")
        assert (found.status_code, found.headers["content-type"]) == (200, "image/webp")
        return found.content, requests

    with explorer(fresh.warehouse) as asked:
        made, requests = seen(asked, first)
        assert made[8:12] == b"WEBP" and requests == "1 GET"
        assert seen(asked, first) == (made, "")
    add_thumbnails(fresh.local, fresh.pictures, "r5")
    deliver(fresh.local, fresh.warehouse)
    with explorer(fresh.warehouse) as asked:
        assert asked.get("/api/live").json()["thumbnails"]
        assert seen(asked, first)[0] == b"RIFF %d" % fresh.ids[0]
        assert seen(asked, second) == (b"RIFF %d" % fresh.ids[1], "1 GET") and seen(asked, second)[1] == ""
        assert fresh.proxy.count(prefix=f"{fresh.root[5:]}/pictures/") == 0
        assert seen(asked, last)[0][8:12] == b"WEBP"  # the table has none of it
        assert fresh.proxy.count("GET", f"{fresh.root[5:]}/pictures/") == 1


def test_a_publication_that_comes_between_two_requests_is_answered_from(fresh):
    with explorer(fresh.warehouse, every_s=0.05) as asked:
        before = asked.search("lion + tulip", limit=5)
        add_thumbnails(fresh.local, fresh.pictures, "r5")
        deliver(fresh.local, fresh.warehouse)
        while (after := asked.search("lion + tulip", offset=5, limit=5))["publication"] == before["publication"]:
            time.sleep(0.02)
        assert (before["run"], after["run"], after["offset"]) == ("r4", "r5", 5)
        assert asked.get("/api/live").json()["thumbnails"]


def test_a_link_reads_the_original_where_links_are_given(place):
    uri, (image_id, _) = next(iter(place.pictures.items()))
    with explorer(place.warehouse, links_s=60) as asked:
        told, requests = place.count(asked.get, f"/api/images/{image_id}/link")
        assert told.json()["expires_s"] == 60 and requests == ""
        assert httpx.get(told.json()["url"]).content == storage.read_bytes(uri)
    with explorer(place.warehouse) as asked:
        assert asked.get(f"/api/images/{image_id}/link").status_code == 404


def test_a_picture_that_was_changed_denied_or_is_gone_cannot_be_shown(fresh):
    uri, (image_id, _) = next(iter(fresh.pictures.items()))
    with explorer(fresh.warehouse) as asked:

        def shown():
            found = asked.get(f"/api/images/{image_id}/thumbnail")
            return found.status_code, found.json()["error"]

        denied = fresh.proxy.deny(uri.removeprefix("s3://"), methods=("GET",))
        assert shown() == (410, "the picture cannot be shown: denied") and denied.fired
        fresh.proxy.clear()
        storage.write_bytes(uri, picture())
        assert shown() == (410, "the picture cannot be shown: changed")
        storage.delete(uri)
        assert shown() == (410, "the picture cannot be shown: gone")
        assert asked.search("lion")["total"] == 12  # what is published goes on to answer


@pytest.mark.parametrize("fault", ["cut", "deny", *(pytest.param(f, marks=pytest.mark.slow) for f in SLOWER)])
def test_a_store_that_is_away_is_one_line_and_goes_on_where_it_left_off(fresh, fault, caplog):
    with explorer(fresh.warehouse) as asked:
        kept = asked.search("lion")
        given = {"cut": (1e6,), "slow_down": ("", 1e6), "reset": ("", None)}.get(fault, ("",))
        more = {} if fault in ("cut", "slow_down") else {"methods": ("GET", "HEAD")}
        getattr(fresh.proxy, fault)(*given, **more)
        assert asked.search("lion") == kept and asked.search("castle + lion")["total"] == 12
        for path, told in (("/api/search", {"q": "lion", "since": "2026-01-09"}), (f"/api/images/{fresh.ids[0]}", {})):
            found = asked.get(path, **told)
            assert (found.status_code, found.json(), found.headers["retry-after"]) == (503, ONE_LINE, "5"), path
        found = asked.get(f"/api/images/{fresh.ids[0]}/thumbnail")
        assert found.status_code == (410 if fault == "deny" else 503) and "\n" not in found.json()["error"]
        assert all("\n" not in record.getMessage() for record in caplog.records if record.name == "devise.explorer")
        fresh.proxy.clear()
        assert asked.search("lion", since="2026-01-09")["total"] == 4
        assert asked.get(f"/api/images/{fresh.ids[0]}").json()["modified_at"]
        assert asked.get(f"/api/images/{fresh.ids[0]}/thumbnail").content[8:12] == b"WEBP"


def test_a_body_that_breaks_off_is_asked_for_again(fresh):
    with explorer(fresh.warehouse) as asked:
        torn = fresh.proxy.truncate(f"{fresh.warehouse[5:]}/images/", times=2)
        assert asked.search("lion", since="2026-01-09")["total"] == 4 and torn.fired == 2
        torn = fresh.proxy.truncate(f"{fresh.root[5:]}/pictures/")
        assert asked.get(f"/api/images/{fresh.ids[0]}/thumbnail").content[8:12] == b"WEBP" and torn.fired


def test_a_table_s_file_that_is_another_is_never_answered_from(fresh, caplog):
    with explorer(fresh.warehouse) as asked:
        file = f"{fresh.warehouse}/images/run=r3/part-0.parquet"
        content = storage.read_bytes(file)
        storage.write_bytes(file, content[:100] + b"x" + content[101:])
        found = asked.get("/api/search", q="lion", since="2026-01-09")
        assert (found.status_code, found.json()) == (503, ONE_LINE) and "part-0.parquet: sha256 is" in caplog.text
        storage.write_bytes(file, content)
        assert asked.search("lion", since="2026-01-09")["total"] == 4


def test_a_pointer_that_cannot_be_read_for_a_while_is_followed_afterwards(fresh, caplog):
    with explorer(fresh.warehouse, every_s=0.05) as asked:
        assert asked.search("lion")["publication"] == 4
        fresh.proxy.cut(1e6)
        while "still of publication 4" not in caplog.text:
            time.sleep(0.02)
        assert asked.search("lion")["publication"] == 4
        fresh.proxy.clear()
        live = pointer.read(fresh.local)
        pointer.swap(fresh.local, live.pairs(), "r5", live)
        deliver(fresh.local, fresh.warehouse)
        while asked.search("lion")["publication"] == 4:
            time.sleep(0.02)


def test_who_waits_for_serve_is_told_soon_that_the_store_is_away(fresh):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "devise", "serve", "--warehouse", fresh.warehouse, "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(fresh.local)}
    it = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert f"of {fresh.warehouse}: http://127.0.0.1:{port}" in it.stdout.readline()
        images = f"{fresh.warehouse[5:]}/images/"
        fresh.proxy.slow_down(images, 1e6)
        found = httpx.get(f"http://127.0.0.1:{port}/api/images/{fresh.ids[0]}", timeout=600)
        assert (found.status_code, found.json()) == (503, ONE_LINE)
        assert fresh.proxy.count("GET", images, status=503) == 1 + patience.OF_A_PERSON.again
        fresh.proxy.clear()
        assert httpx.get(f"http://127.0.0.1:{port}/api/images/{fresh.ids[0]}").status_code == 200
    finally:
        it.kill()
        it.communicate()
