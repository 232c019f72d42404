"""A run exists when its manifest does; the pointer moves whole or not at all."""

import pytest

from devise.errors import ManifestError, StorageError
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest


def make(table="images", run="r1", primary=None, **values):
    return Manifest(
        table=table, run=run, primary=primary or table, rows=1, columns=["a"],
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


def test_a_secondary_table_exists_only_with_its_primary(tmp_path):
    warehouse = str(tmp_path)
    manifest.write(warehouse, make("rejects", primary="embeddings"))
    assert manifest.find(warehouse, "rejects", "r1") is None
    manifest.write(warehouse, make("embeddings"))
    assert manifest.find(warehouse, "rejects", "r1") is not None


def test_sweeping_removes_leftovers_and_never_a_committed_run(tmp_path):
    warehouse = str(tmp_path)
    manifest.write(warehouse, make("rejects", primary="embeddings"))
    leftover = tmp_path / "embeddings" / "run=r1" / "part-9.parquet"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"x")
    manifest.sweep(warehouse, ["rejects", "embeddings"], "r1")
    assert not leftover.exists() and not (tmp_path / "rejects" / "run=r1").exists()
    manifest.write(warehouse, make("embeddings"))
    with pytest.raises(ManifestError, match="never swept"):
        manifest.sweep(warehouse, ["embeddings"], "r1")


def test_newest_and_earlier_follow_the_order_of_run_ids(tmp_path):
    warehouse = str(tmp_path)
    for run in ("2026-11-22", "2026-11-24", "2026-11-23"):
        manifest.write(warehouse, make(run=run))
    (tmp_path / "images" / "run=2026-11-25").mkdir()  # begun, never finished
    assert manifest.newest(warehouse, "images", "2026-11-23").run == "2026-11-23"
    assert manifest.newest(warehouse, "images", "2026-11-30").run == "2026-11-24"
    assert [found.run for found in manifest.earlier(warehouse, "images", "2026-11-24")] == ["2026-11-22", "2026-11-23"]


def test_a_torn_manifest_is_an_error_and_not_an_absence(tmp_path):
    path = tmp_path / "images" / "run=r1"
    path.mkdir(parents=True)
    (path / manifest.NAME).write_text("{")
    with pytest.raises(ManifestError, match="not a manifest"):
        manifest.find(str(tmp_path), "images", "r1")


def test_a_fetch_that_fails_leaves_nothing_on_the_local_disk(tmp_path, monkeypatch, s3_server):
    monkeypatch.setattr(manifest.scratch, "cache_folder", lambda: tmp_path)
    with pytest.raises(StorageError, match="part-0.parquet"):
        manifest.localise(s3_server.make_bucket("fetched"), make("index"))
    assert list(tmp_path.iterdir()) == []
