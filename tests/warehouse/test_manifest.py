"""A run exists when its manifest does; the pointer moves whole or not at all."""

import json

import pytest

from devise.errors import ManifestError, StorageError
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest


def make(table="images", run="r1", **values):
    return Manifest(
        table=table, run=run, parent=0, rows=1, columns=["a"],
        files=[File(path="part-0.parquet", size_bytes=1, sha256="0" * 64, rows=1)],
        inputs={}, inputs_hash="i", config={}, config_hash="c", code_version="0", started_at=0, finished_at=1, **values,
    )  # fmt: skip


def test_a_run_is_committed_once(tmp_path):
    warehouse = str(tmp_path)
    assert manifest.find(warehouse, "images", "r1") is None
    manifest.write(warehouse, make())
    with pytest.raises(ManifestError, match="committed already"):
        manifest.write(warehouse, make(model_id="other"))
    assert manifest.read(warehouse, "images", "r1") == make()
    with pytest.raises(ManifestError, match="no such run"):
        manifest.read(warehouse, "images", "r2")


def test_tables_of_one_job_exist_together_or_not_at_all(tmp_path):
    warehouse, rejects = str(tmp_path), make("rejects")
    assert manifest.find(warehouse, "rejects", "r1") is None
    manifest.write(warehouse, make("embeddings", secondary={"rejects": rejects}))
    assert manifest.find(warehouse, "rejects", "r1") == rejects
    assert manifest.run_ids(warehouse, "rejects") == ["r1"]  # also where it has no file
    assert manifest.tables(warehouse) == ["embeddings", "rejects", "thumbnails"]
    twin = make("embeddings", secondary={"rejects": make("rejects", model_id="twin")})
    with pytest.raises(ManifestError, match="committed already"):
        manifest.write(warehouse, twin)
    assert manifest.find(warehouse, "rejects", "r1") == rejects


def test_run_ids_are_those_of_finished_and_unfinished_runs_in_order(tmp_path):
    for run in ("2026-11-22", "2026-11-24", "2026-11-23"):
        manifest.write(str(tmp_path), make(run=run))
    (tmp_path / "images" / "run=2026-11-25").mkdir()  # begun, never finished
    assert manifest.run_ids(str(tmp_path), "images") == ["2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"]


OUTSIDE = ["/etc/passwd", "../run=r2/part-0.parquet", "a/../../x", "..", ".", "", "a//b", "a/./b", "a\\..\\b", "a\0b"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_manifest_with_a_path_that_leads_out_of_its_run_is_refused_and_nothing_is_written(
    path, tmp_path, s3_server, monkeypatch
):
    """A warehouse of somebody else, read on this host: whole, only this path is another."""
    warehouse = s3_server.make_bucket(f"others-{abs(hash(path)):x}")
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setattr(scratch, "cache_folder", lambda: tmp_path / "cache")
    document = json.loads(make("model").content())
    document["files"][0]["path"] = path
    storage.write_bytes(f"{warehouse}/model/run=r1/{manifest.NAME}", json.dumps(document).encode())
    with pytest.raises(ManifestError, match="files.0.path: found the path .*, wanted a relative one inside the run"):
        manifest.localise(warehouse, manifest.read(warehouse, "model", "r1"))
    assert [found.name for found in tmp_path.rglob("*")] == ["cache"]


@pytest.mark.parametrize("changes", [{"table": "labels"}, {"run": "r2"}, {"table": "../images"}, {"run": "../r1"}])
def test_a_manifest_that_says_it_is_another_run_s_is_refused(tmp_path, changes):
    manifest.write(str(tmp_path), make())
    path = tmp_path / "images" / "run=r1" / manifest.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ManifestError, match="found labels of run|of run r2 in it|not a manifest of this version"):
        manifest.read(str(tmp_path), "images", "r1")


def test_one_file_is_found_by_its_name_or_it_is_an_error():
    files = [File(path=f"a/{name}", size_bytes=1, sha256="0" * 64, rows=-1) for name in ("card.json", "b.bin", "c.bin")]
    made = make("model").model_copy(update={"files": files})
    assert made.one(end=".json").path == "a/card.json" and made.one("b").path == "a/b.bin"
    for start, end in (("", ".bin"), ("x", "")):
        with pytest.raises(ManifestError, match="model, run r1: found [02] files .*, wanted one"):
            made.one(start, end)


def test_a_torn_manifest_is_an_error_and_not_an_absence(tmp_path):
    path = tmp_path / "images" / "run=r1"
    path.mkdir(parents=True)
    (path / manifest.NAME).write_text("{")
    with pytest.raises(ManifestError, match="not a manifest"):
        manifest.find(str(tmp_path), "images", "r1")


def test_a_fetch_that_fails_leaves_nothing_on_the_local_disk(tmp_path, monkeypatch, s3_server):
    monkeypatch.setattr(scratch, "cache_folder", lambda: tmp_path)
    with pytest.raises(StorageError, match="part-0.parquet"):
        manifest.localise(s3_server.make_bucket("fetched"), make("index"))
    assert list(tmp_path.iterdir()) == []
