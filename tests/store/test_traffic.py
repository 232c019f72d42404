"""Requests counted by purpose and operation, and their pace."""

import threading
import time

import pytest

from devise.errors import ImageError, StorageError
from devise.store import storage, traffic


def test_requests_count_by_purpose_with_their_bytes(s3_server):
    bucket = s3_server.make_bucket("traffic")
    uri = f"{bucket}/a"
    before = traffic.snapshot()
    storage.write_bytes(uri, b"12345")
    etag = storage.stat(uri).etag
    storage.fetch_image(uri, etag)
    with pytest.raises(ImageError):
        storage.fetch_image(uri, "0" * 32)
    storage.read_bytes(uri)
    list(storage.list_files(bucket))
    with pytest.raises(StorageError):
        storage.read_bytes(f"{bucket}/missing")
    told = traffic.describe(traffic.since(before))
    assert {purpose: {name: count["requests"] for name, count in found.items()} for purpose, found in told.items()} == {
        "files": {"GetObject": 2, "HeadObject": 1, "PutObject": 1},
        "images": {"GetObject": 2},
        "listing": {"ListObjectsV2": 1},
    }
    assert told["images"]["GetObject"]["bytes"] >= 5 and told["files"]["HeadObject"]["bytes"] == 0
    assert all(count["retries"] == 0 and count["seconds"] > 0 for found in told.values() for count in found.values())


def test_a_purpose_ends_with_its_block_and_is_a_thread_s_own():
    seen = []

    def count():
        traffic.begin("Op", retry=False)
        seen.append(sorted(traffic.since(before)))

    before = traffic.snapshot()
    with traffic.purpose("listing"):
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
        traffic.begin("Op", retry=True)
    traffic.begin("Op", retry=False)
    assert seen == [["files Op"]]
    assert traffic.since(before) == {"files Op": [2, 0, 0, 0.0], "listing Op": [1, 1, 0, 0.0]}


def test_the_pace_holds_for_all_threads_together():
    pace, passed = traffic.Pace(100), []

    def go():
        for _ in range(5):
            pace.wait()
            passed.append(time.monotonic())

    started = time.monotonic()
    threads = [threading.Thread(target=go) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(passed) == 20 and max(passed) - started >= 19 / 100


def test_requests_for_images_have_a_pace_and_others_have_none(s3_server):
    bucket = s3_server.make_bucket("paced")
    storage.write_bytes(f"{bucket}/a", b"x")
    etag = storage.stat(f"{bucket}/a").etag

    def seconds(do):
        started = time.monotonic()
        for _ in range(8):
            do()
        return time.monotonic() - started

    traffic.limit_images(20)
    try:
        assert seconds(lambda: storage.fetch_image(f"{bucket}/a", etag)) > 7 / 20
        assert seconds(lambda: traffic.begin("Op", retry=True)) < 7 / 20
        with traffic.purpose("images"):  # a try again is a request too
            assert seconds(lambda: traffic.begin("Op", retry=True)) > 7 / 20
    finally:
        traffic.limit_images(None)
