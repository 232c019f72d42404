"""Checks of a store and a machine tell what they found, and leave nothing of their own behind."""

import time
import uuid

import pytest

from devise.errors import StorageError
from devise.store import checks, storage


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    if request.param == "file":
        return storage.normalise(str(tmp_path))
    return request.getfixturevalue("s3_server").make_bucket(f"checks-{uuid.uuid4().hex[:8]}")


def texts(found, state):
    return [finding.text for finding in found if finding.state == state]


def test_a_good_warehouse_is_one_line_and_nothing_is_left_in_it(place):
    (found,) = checks.check_warehouse(f"{place}/warehouse")
    assert found.state == "ok"
    assert found.text.endswith(
        "list, create, get, a second create refused, replace, a stale replace refused, put, delete"
    )
    assert list(storage.list_files(f"{place}/warehouse", missing_ok=True)) == []


def test_a_store_that_overlooks_a_condition_is_a_fault(place, monkeypatch):
    monkeypatch.setattr(storage, "create", storage.write_bytes)
    monkeypatch.setattr(storage, "replace", lambda uri, content, etag: storage.write_bytes(uri, content))
    found = checks.check_warehouse(f"{place}/warehouse")
    assert len(texts(found, "fault")) == 2
    assert all("PROBE overwritten, wanted a store with conditional writes" in text for text in texts(found, "fault"))


@pytest.mark.parametrize("name", ["create", "read_bytes", "write_bytes", "delete", "list_level"])
def test_a_right_that_is_missing_is_named_with_what_the_store_said(name, tmp_path, monkeypatch):
    def denied(uri, *_, **__):
        raise StorageError(f"{uri}: AccessDenied")

    monkeypatch.setattr(storage, name, denied)
    (fault,) = texts(checks.check_warehouse(storage.normalise(str(tmp_path))), "fault")
    right = {"create": "create", "read_bytes": "get", "write_bytes": "put", "delete": "delete", "list_level": "list"}
    assert "AccessDenied: wanted the right to " + right[name] in fault


def test_a_source_is_listed_and_its_first_image_read(place):
    storage.write_bytes(f"{place}/pictures/a.jpg", b"x")
    assert [found.state for found in checks.check_source(f"{place}/pictures")] == ["ok"]
    (empty,) = checks.check_source(f"{place}/nothing")
    assert empty.state == "fault"


def test_the_store_s_clock_is_told_from_this_host_s(place):
    storage.write_bytes(f"{place}/some", b"x")
    assert checks.check_clock(place).state == "ok"
    assert checks.check_clock(place, lambda: time.time() + 30).state == "warning"
    behind = checks.check_clock(place, lambda: time.time() - 100)
    assert behind.state == "fault" and "s behind the store, wanted at most 80 s" in behind.text


def test_a_store_that_does_not_answer_is_a_fault_of_the_clock(monkeypatch):
    def gone(uri):
        raise StorageError(f"{uri}: EndpointConnectionError")

    monkeypatch.setattr(checks, "_date", gone)
    assert checks.check_clock("s3://bucket/w").state == "fault"


@pytest.mark.parametrize(("gib", "state"), [(0.5, "fault"), (5, "warning"), (50, "ok")])
def test_room_on_disk_is_judged(gib, state):
    assert checks.judge_disk("/mnt/tmp", int(gib * checks.GIB)).state == state


def test_a_file_that_settings_name_must_be_there(tmp_path):
    (tmp_path / "there").write_text("x")
    assert checks.check_file("inventory", str(tmp_path / "there")).state == "ok"
    assert checks.check_file("inventory", str(tmp_path / "gone")).state == "fault"
