"""An S3 Inventory gives the rows of a listing, or one line that says why not."""

import json

import inventories
import pyarrow as pa
import pytest

from devise.errors import InventoryError, StorageError
from devise.store import inventory, listing, scratch, storage

KEYS = [
    *("in/a.jpg", "in/with space.jpg", "in/a+b.jpg", "in/100%41.jpg", "in/ümlaut/日本/😀.jpg", "in/k=v/x;y&z.jpg"),
    *(
        "in/deep/er/1.JPG",
        "in/skip/2.jpg",
        "in/notes.txt",
        "in/NA",
        "in/true",
        "in/%2B.jpg",
        "inn/other.jpg",
        "top.jpg",
    ),
]
ROOTS = ["s3://inventoried/in/", "s3://inventoried/in/deep/"]
PATTERNS = (["*.jpg", "NA", "true"], ["skip/*"])


@pytest.fixture(scope="module")
def bucket(s3_server):
    made = s3_server.make_bucket("inventoried")
    for number, key in enumerate(KEYS):
        storage.write_bytes(f"{made}/{key}", b"x" * number)
    return made


@pytest.fixture(scope="module")
def store(s3_server):
    return s3_server.make_bucket("reports")


@pytest.fixture(scope="module")
def expected(bucket):
    """What a listing gives: one batch, sorted."""
    matches = listing.matcher(ROOTS[0], *PATTERNS)
    return pa.Table.from_batches(
        [listing.batch([file for file in storage.list_files(ROOTS[0]) if matches(file.uri)])]
    ).sort_by("uri")


def read(uri, roots=ROOTS):
    found = inventory.read_manifest(uri, roots)
    batches = [batch for file in found.files for batch in inventory.read_objects(found, file, roots, *PATTERNS)]
    return pa.Table.from_batches(batches, schema=listing.OBJECTS).sort_by("uri")


@pytest.mark.parametrize("kind", ["Parquet", "CSV"])
@pytest.mark.parametrize("versions", [True, False])
def test_an_inventory_gives_the_rows_of_a_listing(bucket, store, expected, kind, versions):
    """Odd keys, old versions, delete markers, folders' own objects, and an object below two sources."""
    found, fields = inventories.rows(bucket), inventories.FIELDS
    if not versions:
        found = [row for row in found if row["IsLatest"] and not row["IsDeleteMarker"]]
        fields = [field for field in fields if field not in ("VersionId", "IsLatest", "IsDeleteMarker")]
    table = read(inventories.write(store, f"{kind}-{versions}", bucket, kind, found, fields))
    assert expected.num_rows == 10 and table.equals(expected)


@pytest.mark.parametrize("kind", ["Parquet", "CSV"])
def test_files_are_read_a_batch_at_a_time(bucket, store, monkeypatch, kind):
    monkeypatch.setattr(inventory, "ROWS_PER_BATCH", 50)
    monkeypatch.setattr(inventory, "BLOCK_BYTES", 4096)
    rows = inventories.rows(bucket)
    many = [rows[0] | {"Key": f"in/{number:06d}.jpg"} for number in range(4000)]
    found = inventory.read_manifest(inventories.write(store, f"many-{kind}", bucket, kind, many), ROOTS)
    sizes = [batch.num_rows for batch in inventory.read_objects(found, found.files[0], ROOTS, *PATTERNS)]
    assert sum(sizes) == 2000 and max(sizes) <= 50


def test_nothing_is_left_in_scratch(bucket, store, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "cache_folder", lambda: tmp_path)
    read(inventories.write(store, "scratch", bucket, "CSV", inventories.rows(bucket)))
    assert not list(tmp_path.iterdir())


def test_a_data_file_without_rows_is_no_fault(bucket, store, expected):
    for kind in ("CSV", "Parquet"):
        table = read(inventories.write(store, f"none-{kind}", bucket, kind, []))
        assert table.num_rows == 0 and table.schema == expected.schema


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fileFormat": "ORC"}, "found an inventory in ORC, wanted Parquet or CSV"),
        ({"sourceBucket": "another"}, "an inventory of s3://another/, wanted one of the bucket of the source s3://inv"),
        ({"fileSchema": "Bucket, Key, Size"}, "lacks LastModifiedDate, ETag; found the fields Bucket, Key, Size"),
        ({"fileSchema": "Key, VersionId, Size, LastModifiedDate, ETag"}, "lacks IsLatest, IsDeleteMarker"),
        ({"files": []}, "names no data file"),
        ({"files": [{"key": "x"}]}, "KeyError.'MD5checksum'., wanted the manifest.json of an S3 Inventory"),
        ({"destinationBucket": None}, "wanted the manifest.json"),
        ({"fileSchema": None}, "wanted the manifest.json"),
    ],
)
def test_a_manifest_that_does_not_fit_is_one_line(bucket, store, changes, words):
    uri = inventories.write(store, "unfit", bucket, "CSV", [], **changes)
    with pytest.raises(InventoryError, match=words) as refused:
        inventory.read_manifest(uri, ROOTS)
    assert str(refused.value).startswith(uri)


def test_no_manifest_or_no_json_is_one_line(bucket, store):
    with pytest.raises(StorageError, match="NoSuchKey"):
        inventory.read_manifest(f"{store}/nothing/manifest.json", ROOTS)
    for content in (b"{torn", b"[]", b"\xff"):
        storage.write_bytes(f"{store}/torn/manifest.json", content)
        with pytest.raises(InventoryError, match="wanted the manifest.json of an S3 Inventory"):
            inventory.read_manifest(f"{store}/torn/manifest.json", ROOTS)


@pytest.mark.parametrize("kind", ["Parquet", "CSV"])
def test_a_data_file_that_differs_from_its_checksum_is_refused(bucket, store, kind):
    uri = inventories.write(store, f"changed-{kind}", bucket, kind, inventories.rows(bucket))
    file = inventory.read_manifest(uri, ROOTS).files[1]
    storage.write_bytes(file.uri, storage.read_bytes(file.uri)[:-1])
    with pytest.raises(InventoryError, match=f"{file.uri}: its MD5 is .*, wanted {file.md5} as the manifest says"):
        read(uri)


@pytest.mark.parametrize("kind", ["Parquet", "CSV"])
def test_rows_that_the_manifest_does_not_describe_are_refused(bucket, store, kind):
    """The files hold other fields than `fileSchema` says."""
    uri = inventories.write(store, f"other-{kind}", bucket, kind, inventories.rows(bucket))
    manifest = json.loads(storage.read_bytes(uri))
    fields = [field for field in inventories.FIELDS if field != "StorageClass"]
    fewer = inventories.write(store, f"fewer-{kind}", bucket, kind, inventories.rows(bucket), fields[:-1])
    manifest["files"] = json.loads(storage.read_bytes(fewer))["files"]
    storage.write_bytes(uri, json.dumps(manifest).encode())
    with pytest.raises(InventoryError, match=f"fewer-{kind}/data/0.*wanted rows of"):
        read(uri)


def test_an_object_without_a_size_is_refused(bucket, store):
    rows = [row | {"Size": None} for row in inventories.rows(bucket)]
    with pytest.raises(InventoryError, match="found objects without size_bytes, wanted one for each"):
        read(inventories.write(store, "sizeless", bucket, "Parquet", rows))
