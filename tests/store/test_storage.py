"""Bytes and files: create-only, compare-and-set, and faults as one line (file://; s3:// has its own server tests)."""

import os
import threading

import pytest

from devise.errors import AlreadyExists, ImageError, PointerMoved, StorageError
from devise.store import scratch, storage


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("s3a://b/k", "s3://b/k"),
        ("s3n://b/k", "s3://b/k"),
        ("/a/../b c/ü=1%20", "file:///b c/ü=1%20"),
        ("file:/a", "file:///a"),
        ("file://localhost/a", "file:///a"),
        ("file:///localhost/a", "file:///localhost/a"),
        ("file:///a/", "file:///a"),
    ],
)
def test_uris_have_one_spelling(text, uri):
    assert storage.normalise(text) == uri == storage.normalise(uri)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(StorageError, match="'hdfs'"):
        storage.normalise("hdfs://x/y")


def test_create_never_overwrites_and_exactly_one_of_many_writers_wins(store):
    """Of conditional overwrites the S3 server lets several pass at once: nothing here rests on those."""
    uri, won = f"{store}/x/one", []

    def write(number):
        try:
            storage.create(uri, str(number).encode())
            won.append(number)
        except AlreadyExists:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(won) == 1 and storage.read_bytes(uri) == str(won[0]).encode()
    assert [file.uri for file in storage.list_files(f"{store}/x")] == [uri]


def test_replace_wants_the_etag_that_was_read(store):
    uri = f"{store}/replaced"
    with pytest.raises(PointerMoved):
        storage.replace(uri, b"1", "0" * 32)
    storage.create(uri, b"1")
    content, etag = storage.read_tagged(uri)
    assert (content, etag) == (b"1", storage.stat(uri).etag)
    storage.replace(uri, b"2" + content, etag)
    with pytest.raises(PointerMoved):
        storage.replace(uri, b"333", etag)
    assert storage.read_bytes(uri) == b"21" and storage.read_tagged(f"{store}/nothing") is None


def test_a_file_that_grew_since_it_was_listed_is_not_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"1")
    found = storage.stat(uri := f"file://{tmp_path}/a.jpg")
    os.truncate(tmp_path / "a.jpg", 2**42)  # sparse: 4 TiB that no memory holds
    with pytest.raises(ImageError) as caught:
        storage.fetch_image(uri, found.etag)
    assert caught.value.code == "changed"


def test_a_write_that_cannot_be_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "x" * 300):
        with pytest.raises(StorageError):
            storage.write_bytes(f"file://{tmp_path}/{name}", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_listing_covers_every_file_once_with_odd_names(tmp_path):
    names = ["a b.jpg", "ü/ö=1.jpg", "x%20/y#z?.jpg", "deep/er/est/1.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    root = storage.normalise(str(tmp_path))
    found = {file.uri: file for file in storage.list_files(root)}
    assert set(found) == {f"{root}/{name}" for name in names}
    for uri, file in found.items():
        assert storage.fetch_image(uri, file.etag) == uri.removeprefix(root + "/").encode()
    folders, files = storage.list_level(root)
    assert [folder.rsplit("/", 1)[-1] for folder in folders] == ["deep", "x%20", "ü"]
    assert [file.uri for file in files] == [f"{root}/a b.jpg"]


def test_an_image_that_changed_or_vanished_since_the_listing_is_a_reject(tmp_path):
    path = tmp_path / "i.jpg"
    path.write_bytes(b"1")
    uri = storage.normalise(str(path))
    etag = storage.stat(uri).etag
    path.write_bytes(b"22")
    with pytest.raises(ImageError) as error:
        storage.fetch_image(uri, etag)
    assert error.value.code == "changed"
    path.unlink()
    with pytest.raises(ImageError) as error:
        storage.fetch_image(uri, etag)
    assert error.value.code == "gone"


def test_missing_things_are_one_line_with_the_place(tmp_path):
    for call in (storage.read_bytes, scratch.localise, lambda uri: list(storage.list_files(uri)), storage.list_level):
        with pytest.raises(StorageError, match="nowhere.*no such file") as error:
            call(storage.normalise(str(tmp_path / "nowhere")))
        assert "\n" not in str(error.value)


def test_a_wrong_checksum_is_refused(tmp_path):
    (tmp_path / "w").write_bytes(b"weights")
    uri = storage.normalise(str(tmp_path / "w"))
    good = scratch.hash_file(tmp_path / "w")
    assert scratch.localise(uri, good).read_bytes() == b"weights"
    with pytest.raises(StorageError, match=f"sha256 is {good}, wanted {'0' * 64}"):
        scratch.localise(uri, "0" * 64)


def test_a_file_that_is_put_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "source").write_bytes(b"whole")
    target, seen = tmp_path / "folder" / "part.parquet", []

    def half(source, to):
        to.write_bytes(b"wh")
        seen.append(sorted(path.name for path in target.parent.glob("*.parquet")))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", half)
        with pytest.raises(StorageError, match="No space left on device"):
            storage.put_file(tmp_path / "source", f"file://{target}")
    assert seen == [[]] and list(target.parent.iterdir()) == []
    storage.put_file(tmp_path / "source", f"file://{target}")
    assert target.read_bytes() == b"whole" and len(list(target.parent.iterdir())) == 1


def test_a_stretch_of_a_file_is_read_without_the_rest(store):
    uri = f"{store}/file"
    storage.write_bytes(uri, b"0123456789")
    found = [storage.read_bytes(uri, span=span) for span in ((0, 1), (2, 5), (9, 10), (0, 10), (8, 99))]
    assert found == [b"0", b"234", b"9", b"0123456789", b"89"]
    with pytest.raises(StorageError, match="nowhere"):
        storage.read_bytes(f"{store}/nowhere", span=(2, 4))


def test_the_end_of_a_file_is_read_without_the_rest(store):
    uri = f"{store}/file"
    storage.write_bytes(uri, b"0123456789")
    assert [storage.read_bytes(uri, last=n) for n in (1, 4, 10, 99)] == [b"9", b"6789", b"0123456789", b"0123456789"]
    with pytest.raises(StorageError, match="nowhere"):
        storage.read_bytes(f"{store}/nowhere", last=4)
