"""Thumbnails of a publication: which row of an image counts, and how little is read for it, on disk and on S3."""

import io
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from devise.errors import SchemaError, StorageError
from devise.search import shards, thumbnails
from devise.search.thumbnails import Thumbnail, Thumbnails
from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import File, Manifest

GROUP = 20
IDS = np.sort(np.random.default_rng(0).choice(2**63 - 1, 200, replace=False)).tolist()


def webp(image_id, etag):
    return b"RIFF" + np.random.default_rng(image_id).bytes(3_000) + etag.encode()


def write(place, run, files, n_ranges=4):
    """Commit a run; files: name -> the contents (image_id, etag) in it, in this order."""
    told = []
    for name, contents in files.items():
        rows = {
            "image_id": pa.array([image_id for image_id, _ in contents], pa.int64()),
            "etag": [etag for _, etag in contents],
            "webp": [webp(*content) for content in contents],
            "width": pa.array([256] * len(contents), pa.int32()),
            "height": pa.array([image_id % 256 for image_id, _ in contents], pa.int32()),
        }
        sink = io.BytesIO()
        pq.write_table(pa.table(rows), sink, row_group_size=GROUP, compression={"webp": "none", "etag": "zstd"})
        storage.write_bytes(storage.join(manifest.folder(place, "thumbnails", run), name), sink.getvalue())
        told.append(File(path=name, size_bytes=sink.tell(), sha256="0" * 64, rows=len(contents)))
    common = {
        "run": run, "parent": 0, "columns": [], "inputs": {}, "inputs_hash": "", "config": {}, "config_hash": "",
        "code_version": "0", "started_at": 0, "finished_at": 0,
    }  # fmt: skip
    n_rows, details = sum(file.rows for file in told), {"ranges": n_ranges}
    small = Manifest(table="thumbnails", rows=n_rows, files=told, details=details, **common)
    manifest.write(place, Manifest(table="embeddings", rows=0, files=[], secondary={"thumbnails": small}, **common))


def in_ranges(contents, n_ranges=4):
    """Contents as the files of a night's slices."""
    files: dict[str, list] = {}
    numbers = shards.number_of_ids(np.array([image_id for image_id, _ in contents]), n_ranges).tolist()
    names = {number: f"part-{number:05d}-{uuid.uuid4().hex}.parquet" for number in set(numbers)}
    for number, content in zip(numbers, contents, strict=True):
        files.setdefault(names[number], []).append(content)
    return files


@pytest.fixture
def live(store):
    """Three runs: a base with standing rows; then a change, and one that was taken back; then a few more."""
    place = f"{store}/w"
    write(place, "r1", {f"standing-{uuid.uuid4().hex}.parquet": [(image_id, "A") for image_id in IDS[:100]]})
    write(place, "r2", in_ranges([(IDS[3], "B"), (IDS[4], "B")]))
    write(place, "r3", in_ranges([(image_id, "A") for image_id in [*IDS[100:], IDS[3]]], 3), 3)
    return place, pointer.swap(place, [("thumbnails", run) for run in ("r1", "r2", "r3")], "r3", None)


def test_the_thumbnail_of_an_image_s_live_content_is_found_in_whichever_run_it_is(live):
    found = Thumbnails.open(*live)
    assert found.find({}) == {}
    wanted = {image_id: "A" for image_id in IDS} | {IDS[4]: "B"}
    assert found.find(wanted) == {
        image_id: Thumbnail(webp(image_id, etag), 256, image_id % 256) for image_id, etag in wanted.items()
    }
    assert found.find({IDS[4]: "A", IDS[3]: "C", 7: "A", 2**63 - 1: "A"}).keys() == {
        IDS[4]
    }  # it was A before, and is again
    assert found.find({IDS[3]: "B"})[IDS[3]].webp == webp(IDS[3], "B")


def test_of_a_file_its_end_is_read_once_and_of_its_rows_a_group(live, monkeypatch):
    read, real = [], storage.read_bytes

    def watched(uri, **part):
        read.append((uri.rsplit("/", 2)[-2], len(content := real(uri, **part))))
        return content

    found = Thumbnails.open(*live)
    monkeypatch.setattr(thumbnails, "END_BYTES", 4_000)
    monkeypatch.setattr(storage, "read_bytes", watched)
    assert len(found.find({IDS[50]: "A"})) == 1
    assert read[-1][0] == "run=r1" and GROUP * 3_000 < read[-1][1] < GROUP * 3_500
    assert sum(n_bytes for _, n_bytes in read) < 2 * GROUP * 3_500 and {run for run, _ in read} == {"run=r1", "run=r3"}
    del read[:]
    assert len(found.find({IDS[51]: "A", IDS[52]: "A"})) == 2 and read == []  # of the group that is kept
    assert len(found.find({IDS[61]: "A"})) == 1  # for which the end of another file of r3 is read
    del read[:]
    assert len(found.find({IDS[85]: "A"})) == 1
    assert len(read) == 1 and read[0][0] == "run=r1"
    del read[:]
    assert found.find({IDS[2] + 1: "A"}) == {} and len(read) <= 3


def test_a_row_group_is_read_once_for_all_who_ask_at_a_time_and_again_once_it_is_not_kept(live, monkeypatch):
    reads, begun, go_on, real = [], threading.Event(), threading.Event(), storage.read_bytes

    def counting(uri, **part):
        if "span" in part and "run=r1" in uri:
            reads.append(part["span"])
            begun.set()
            assert go_on.wait(20)
        return real(uri, **part)

    monkeypatch.setattr(storage, "read_bytes", counting)
    monkeypatch.setattr(thumbnails, "KEPT_BYTES", GROUP * 6_500)  # a group and the ends of files
    found = Thumbnails.open(*live)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(found.find, {image_id: "A"}) for image_id in IDS[40:48]]
        assert begun.wait(20)
        time.sleep(0.2)  # for those who would read it too
        go_on.set()
        assert [len(each.result()) for each in asked] == [1] * 8
    assert len(reads) == 1
    for image_id in (IDS[45], IDS[65], IDS[45]):  # a group, another in its place, and the first again
        assert len(found.find({image_id: "A"})) == 1
    assert len(reads) == 3 and reads[0] == reads[2]


def test_a_row_group_that_could_not_be_read_is_read_again(live, monkeypatch):
    found, real = Thumbnails.open(*live), storage.read_bytes

    def fail(uri, **part):
        if "span" in part:
            raise StorageError("not just now")
        return real(uri, **part)

    monkeypatch.setattr(storage, "read_bytes", fail)
    with pytest.raises(StorageError, match="not just now"):
        found.find({IDS[45]: "A"})
    monkeypatch.setattr(storage, "read_bytes", real)
    assert len(found.find({IDS[45]: "A"})) == 1


def test_a_publication_without_the_table_has_none(live):
    place, _ = live
    other = pointer.swap(place, [("embeddings", "r1")], "r4", pointer.read(place))
    assert Thumbnails.open(place, other).find({IDS[0]: "A"}) == {}


def test_a_file_that_is_gone_or_torn_is_named(live):
    place, publication = live
    (path,) = (file.path for file in manifest.read(place, "thumbnails", "r1").files)
    uri = storage.join(manifest.folder(place, "thumbnails", "r1"), path)
    content = storage.read_bytes(uri)
    storage.write_bytes(uri, content[:-50_000] + bytes(49_992) + content[-8:])
    with pytest.raises(SchemaError, match=r"standing-.*parquet: cannot be read as Parquet"):
        Thumbnails.open(place, publication).find({IDS[0]: "A"})
    storage.delete(uri)
    with pytest.raises(StorageError, match=r"standing-.*parquet"):
        Thumbnails.open(place, publication).find({IDS[0]: "A"})
