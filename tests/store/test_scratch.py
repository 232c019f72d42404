"""Local copies of what lies on S3: fetched once, checked, bounded in size, in a folder that is nobody else's."""

import os
import time

import pytest

from devise.errors import StorageError
from devise.store import scratch, storage
from devise.store.scratch import Remote


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """This test's own cache, as TMPDIR makes it, empty; and a process that has checked nothing yet."""
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(scratch, "_checked", {})
    return scratch.cache_folder()


@pytest.fixture(scope="module")
def bucket(s3_server):
    return s3_server.make_bucket("scratch")


def put(bucket, name, content):
    storage.write_bytes(f"{bucket}/{name}", content)
    return f"{bucket}/{name}"


def fetches(monkeypatch):
    """The URIs that are fetched from now on."""
    fetched, get_file = [], storage.get_file
    monkeypatch.setattr(storage, "get_file", lambda uri, path: (fetched.append(uri), get_file(uri, path)))
    return fetched


def test_a_folder_of_parts_is_fetched_whole_without_the_marks_of_its_writer(cache, bucket, monkeypatch, tmp_path):
    for name in ("part-0.csv", "part-1.csv", "_SUCCESS", ".part-0.csv.crc", "_temporary/0/x"):
        put(f"{bucket}/parts", name, name.encode())
    fetched = fetches(monkeypatch)
    for _ in range(2):
        place = scratch.localise_table(f"{bucket}/parts")
        assert sorted(path.name for path in place.iterdir()) == [scratch.SUMS, "part-0.csv", "part-1.csv"]
    assert (place / "part-1.csv").read_bytes() == b"part-1.csv" and len(fetched) == 2
    assert scratch.localise_table(f"{bucket}/parts/part-0.csv").read_bytes() == b"part-0.csv"
    assert scratch.localise_table(f"file://{tmp_path}") == tmp_path
    put(f"{bucket}/parts", "day=1/part-0.csv", b"")
    with pytest.raises(StorageError, match="parts/day=1: a folder in a folder, wanted files alone"):
        scratch.localise_table(f"{bucket}/parts")
    for absent in (f"{bucket}/none", f"file://{tmp_path}/none"):
        with pytest.raises(StorageError, match="none: no such file"):
            scratch.localise_table(absent)


def test_the_cache_is_this_user_s_alone(cache):
    assert cache.stat().st_uid == os.getuid() and cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722, 0o777])
def test_a_cache_in_which_others_may_write_is_refused(cache, mode):
    cache.chmod(mode)
    with pytest.raises(
        StorageError, match=f"found mode {mode:o}, wanted a folder of user {os.getuid()} in which nobody"
    ):
        scratch.cache_folder()


def test_a_cache_of_another_user_is_refused(cache, monkeypatch):
    if os.getuid() == 0:
        os.chown(cache, 12345, -1)
        words = "found a folder of user 12345, wanted a folder of user 0"
    else:  # who may give no folder away becomes another user in name
        cache.rename(cache.with_name(f"devise-{os.getuid() + 1}"))
        user = os.getuid() + 1
        monkeypatch.setattr(scratch.os, "getuid", lambda: user)
        words = "found a folder of user "
    with pytest.raises(StorageError, match=words):
        scratch.cache_folder()


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_a_cache_that_is_no_folder_is_refused(cache, tmp_path, kind):
    cache.rmdir()
    if kind == "file":
        cache.touch()
    else:
        (tmp_path / "elsewhere").mkdir() if kind == "link" else None
        cache.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="found a link or a file, wanted|no folder for scratch"):
        scratch.cache_folder()
    assert not (tmp_path / "elsewhere").exists() or not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("damage", ["bit", "short", "gone", "sums", "link"])
def test_a_cached_file_that_is_not_what_was_fetched_is_fetched_again(cache, bucket, monkeypatch, capsys, damage):
    uri = put(bucket, "model.bin", b"weights" * 1000)
    path = scratch.localise(uri)
    fetched = fetches(monkeypatch)
    assert scratch.localise(uri) == path and fetched == []
    monkeypatch.setattr(scratch, "_checked", {})  # as another process on this host sees it
    content = path.read_bytes()
    if damage == "bit":
        path.write_bytes(b"W" + content[1:])
    elif damage == "short":
        path.write_bytes(content[:-1])
    elif damage == "sums":
        (path.parent / scratch.SUMS).write_text("{")
    else:
        path.unlink()
        path.symlink_to("/etc/hostname") if damage == "link" else None
    assert scratch.localise(uri).read_bytes() == content and fetched == [uri]
    assert "not what was fetched; it is fetched again" in capsys.readouterr().err


def test_a_file_that_changes_is_noticed_by_the_process_that_had_checked_it(cache, bucket, monkeypatch):
    uri = put(bucket, "a.bin", b"a" * 100)
    path = scratch.localise(uri)
    fetched = fetches(monkeypatch)
    path.write_bytes(b"b" * 100)
    os.utime(path, ns=(1, 1))
    assert scratch.localise(uri).read_bytes() == b"a" * 100 and fetched == [uri]


def test_another_content_under_the_same_name_is_another_entry(cache, bucket):
    uri = put(bucket, "conf.yaml", b"one")
    first = scratch.localise(uri)
    put(bucket, "conf.yaml", b"another")
    assert scratch.localise(uri).read_bytes() == b"another" and first.read_bytes() == b"one"
    assert first.suffix == ".yaml"  # readers tell formats by it


@pytest.mark.parametrize("name", ["..", ".", ".sums", "x" * 400 + ".yaml", "ü" * 200, "a b=%41", "", "c:\\d"])
def test_an_object_of_any_name_stays_in_its_entry(cache, monkeypatch, name):
    """S3 takes any key; the test's server keeps files and does not, so what it would say is said here."""
    uri = f"s3://b/odd/{name}"
    monkeypatch.setattr(storage, "stat", lambda uri: storage.Stat(uri, 1, "etag", 0.0))
    monkeypatch.setattr(storage, "get_file", lambda uri, path: path.write_bytes(b"x"))
    path = scratch.localise(uri)
    assert path.read_bytes() == b"x" and path.parent.parent == cache and path.name.endswith(name[-60:])


def test_what_was_longest_unused_goes_once_all_take_more_than_their_share(cache, bucket, monkeypatch):
    monkeypatch.setattr(scratch, "most_bytes", lambda held: 350_000)
    uris = [put(bucket, f"{number}.bin", bytes([number]) * 100_000) for number in range(5)]
    paths = [scratch.localise(uri) for uri in uris[:3]]
    scratch.localise(uris[3])  # more than fits, but all of them may just be being opened
    assert len(list(cache.iterdir())) == 4
    hours_ago = time.time() - 7200
    for age, path in ((30, paths[0]), (10, paths[1]), (20, paths[2])):
        os.utime(path.parent, (hours_ago - age, hours_ago - age))
    scratch.localise(uris[2])  # used again
    kept = scratch.localise(uris[4])
    assert [path.exists() for path in paths] == [False, False, True] and kept.exists()
    assert sorted(found.name for found in cache.iterdir()) == sorted(
        path.parent.name for path in (paths[2], scratch.localise(uris[3]), kept)
    )


def test_the_cache_may_take_half_of_what_its_disk_has_without_it(cache, monkeypatch):
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 700}))
    assert scratch.most_bytes(300) == 500


def test_a_failed_fetch_leaves_nothing(cache, bucket):
    uri = put(bucket, "b.bin", b"b")
    with pytest.raises(StorageError, match="sha256 is"):
        scratch.localise(uri, "0" * 64)
    with pytest.raises(StorageError, match="NoSuchKey|Not Found"):
        scratch.localise_folder("ab", {"x": Remote(uri, 1, None), "y/z": Remote(f"{bucket}/none", 1, None)})
    assert list(cache.iterdir()) == []
