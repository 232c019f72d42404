"""Listing covers every image once, whatever its name and however the sources overlap."""

import json
import os

import inventories
import pyarrow.parquet as pq
import pytest
import yaml

from devise.config import CatalogConfig
from devise.errors import EmptyCorpus, InventoryError, ManifestError, StorageError
from devise.jobs import catalog_images
from devise.spark.frame import command, job, schemas, tables
from devise.spark.stages import catalog
from devise.store import listing, passedover, storage

EVERYTHING = (["*"], [])


@pytest.fixture
def corpus(tmp_path):
    for name in [
        "a/1.jpg",
        "a/2.JPG",
        "a b/ü=1.png",
        "deep/er/and/deeper/3.jpeg",
        "notes.txt",
        "top.gif",
        "skip/4.jpg",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def keys(frame, root):
    return sorted(row.uri.removeprefix(storage.normalise(str(root)) + "/") for row in frame.collect())


@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 100])
def test_folders_handed_out_cover_every_file_once(corpus, wanted):
    root = storage.normalise(str(corpus))
    found = [file.uri for part in listing.spread(f"{root}/", wanted) for page in listing.read(part) for file in page]
    assert sorted(found) == sorted(file.uri for file in storage.list_files(root))


def test_listing_keeps_what_the_patterns_ask_for(spark, corpus):
    images = catalog.list_images(spark, [str(corpus)], ["*.jpg", "*.jpeg", "*.png"], ["skip/*"])
    assert keys(images, corpus) == ["a b/ü=1.png", "a/1.jpg", "a/2.JPG", "deep/er/and/deeper/3.jpeg"]


def test_an_object_listed_twice_is_one_image_and_ids_are_never_negative(spark, corpus):
    images = catalog.list_images(spark, [str(corpus), str(corpus / "a"), str(corpus / "a" / "1.jpg")], *EVERYTHING)
    rows = images.collect()
    assert len(rows) == 7 == len({row.image_id for row in rows})
    assert min(row.image_id for row in rows) >= 0
    again = catalog.list_images(spark, [str(corpus / "a")], *EVERYTHING).collect()
    assert {(row.image_id, row.uri, row.etag) for row in again} <= {(row.image_id, row.uri, row.etag) for row in rows}


def test_modified_at_is_a_timestamp_in_microseconds_that_every_engine_reads(spark, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    written = tables.write(catalog.list_images(spark, [str(corpus)], *EVERYTHING), f"file://{folder}/t", schemas.IMAGES)
    column = pq.ParquetFile(folder / "t" / written.files[0].path).schema.column(4)
    kind = json.loads(column.logical_type.to_json())
    assert (column.name, column.physical_type) == ("modified_at", "INT64")
    assert (kind["Type"], kind["timeUnit"], kind["isAdjustedToUTC"]) == ("Timestamp", "microseconds", True)
    rows = {row["uri"]: row["modified_at"] for row in pq.read_table(folder / "t").to_pylist()}
    for uri, found in rows.items():
        assert abs(found.timestamp() - storage.stat(uri).modified_at) < 1e-5


def test_a_missing_source_stops_the_job_with_one_line(spark, corpus):
    with pytest.raises(StorageError, match="nowhere: no such file or folder"):
        catalog.list_images(spark, [str(corpus), str(corpus / "nowhere")], *EVERYTHING)


def test_an_empty_corpus_commits_nothing(spark, corpus, tmp_path):
    config = CatalogConfig(warehouse=str(tmp_path / "w"), run="r1", sources=[str(corpus)], include=["*.tiff"])
    with pytest.raises(EmptyCorpus, match="found no image"):
        job.perform(catalog_images.JOB, spark, config)
    assert not list((tmp_path / "w").rglob("_manifest.json"))


def test_one_bad_name_is_counted_and_the_night_goes_on(spark, corpus, tmp_path_factory, capsys):
    os.symlink("self.jpg", corpus / "self.jpg")
    os.symlink("..", corpus / "deep" / "above")
    os.mkfifo(corpus / "a" / "pipe.jpg")
    for name in (b"caf\xe9.jpg", b"caf\xe9/1.jpg"):
        path = os.path.join(os.fsencode(corpus / "skip"), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    config = CatalogConfig(
        warehouse=str(tmp_path_factory.mktemp("w")), run="r1", sources=[str(corpus)], exclude=["*.gif"]
    )
    made = job.perform(catalog_images.JOB, spark, config)["images"]
    assert made.rows == 5
    assert made.details["passed_over"] == {
        ".gif": 1,
        ".txt": 1,
        passedover.LINK: 2,
        passedover.NOT_UTF8: 2,
        passedover.SPECIAL: 1,
    }
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith("[catalog_images] 5 images listed, 7 passed over: 2 links that lead nowhere")


@pytest.fixture(scope="module")
def bucket(started):
    if isinstance(started[1], str):
        pytest.skip(started[1])
    made = started[1].make_bucket("catalogued")
    for name in ("0/a.jpg", "0+ 1.jpg", "f/ü=%41.png", "~.jpg", "zz/notes.txt", "1.jpg"):
        storage.write_bytes(f"{made}/in/{name}", name.encode())
    storage.write_bytes(f"{made}/out.jpg", b"outside")
    return made


@pytest.fixture(scope="module")
def store(started, bucket):
    return started[1].make_bucket("inventories")


def catalogue(spark, warehouse, bucket, **more):
    """The rows of the images table that the job writes."""
    config = CatalogConfig(warehouse=str(warehouse), run="r1", sources=[f"{bucket}/in", f"{bucket}/in/f"], **more)
    images = job.perform(catalog_images.JOB, spark, config)["images"]
    return sorted(map(tuple, tables.read(spark, str(warehouse), [images], schemas.IMAGES).collect()))


def test_a_fan_out_and_inventories_give_the_rows_of_a_listing(spark, bucket, store, tmp_path):
    listed = catalogue(spark, tmp_path / "listed", bucket)
    assert [row[1].removeprefix(f"{bucket}/in/") for row in sorted(listed, key=lambda row: row[1])] == [
        "0+ 1.jpg", "0/a.jpg", "1.jpg", "f/ü=%41.png", "~.jpg",
    ]  # fmt: skip
    assert catalogue(spark, tmp_path / "fanned", bucket, fan_out=["0", "1.jpg", "f"]) == listed
    for kind in ("Parquet", "CSV"):
        uri = inventories.write(store, kind, bucket, kind, inventories.rows(bucket))
        assert catalogue(spark, tmp_path / kind, bucket, inventory=uri) == listed


def test_a_source_that_an_inventory_lists_nothing_of_commits_nothing(spark, bucket, store, tmp_path):
    uri = inventories.write(store, "mistyped", bucket, "CSV", inventories.rows(bucket))
    config = CatalogConfig(
        warehouse=f"{tmp_path}/w", run="r1", sources=[f"{bucket}/in", f"{bucket}/inn"], inventory=uri
    )
    with pytest.raises(EmptyCorpus, match="/inn: no image below it in the inventory .*mistyped"):
        job.perform(catalog_images.JOB, spark, config)
    assert not list((tmp_path / "w").rglob("_manifest.json"))


def test_a_committed_run_is_of_one_inventory(spark, bucket, store, tmp_path):
    uri = inventories.write(store, "twice", bucket, "CSV", inventories.rows(bucket))
    first = catalogue(spark, tmp_path / "w", bucket, inventory=uri)
    assert catalogue(spark, tmp_path / "w", bucket, inventory=uri) == first
    inventories.write(store, "twice", bucket, "Parquet", inventories.rows(bucket))
    with pytest.raises(ManifestError, match="committed with other inputs"):
        catalogue(spark, tmp_path / "w", bucket, inventory=uri)


def test_a_data_file_that_changed_stops_the_job_and_commits_nothing(spark, bucket, store, tmp_path):
    uri = inventories.write(store, "changed", bucket, "Parquet", inventories.rows(bucket))
    storage.write_bytes(f"{store}/changed/data/1.parquet", b"other")
    with pytest.raises(InventoryError, match="changed/data/1.parquet: its MD5 is .* wanted"):
        catalogue(spark, tmp_path / "w", bucket, inventory=uri)
    assert not list((tmp_path / "w").rglob("_manifest.json"))


def test_an_inventory_of_another_bucket_is_one_line_and_exit_code_2(one_session, bucket, store, tmp_path, capsys):
    uri = inventories.write(store, "other", bucket, "CSV", [], sourceBucket="elsewhere")
    settings = {"warehouse": f"{tmp_path}/w", "catalog_images": {"sources": [f"{bucket}/in"], "inventory": uri}}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit) as ended:
        command.run(catalog_images.JOB, ["--config", f"{tmp_path}/conf.yaml", "--run", "r1"])
    told = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(told) == 1 and "an inventory of s3://elsewhere/, wanted" in told[0]
