"""Listing covers every image once, whatever its name and however the sources overlap."""

import pytest

from devise import storage
from devise.config import CatalogConfig
from devise.errors import EmptyCorpus, StorageError
from devise.jobs import catalog_images
from devise.spark import catalog, job

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
    found = []
    for folder, deep in catalog.spread(root, wanted):
        found += [file.uri for file in (storage.list_files(folder) if deep else storage.list_level(folder)[1])]
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


def test_a_missing_source_stops_the_job_with_one_line(spark, corpus):
    with pytest.raises(StorageError, match="nowhere: no such file or folder"):
        catalog.list_images(spark, [str(corpus), str(corpus / "nowhere")], *EVERYTHING)


def test_an_empty_corpus_commits_nothing(spark, corpus, tmp_path):
    config = CatalogConfig(warehouse=str(tmp_path / "w"), run="r1", sources=[str(corpus)], include=["*.tiff"])
    with pytest.raises(EmptyCorpus, match="found no image"):
        job.perform(catalog_images.JOB, spark, config)
    assert not list((tmp_path / "w").rglob("_manifest.json"))
