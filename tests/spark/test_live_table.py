"""The live pointer as SQL engines read it: one table, whatever was published before."""

import duckdb
import pyarrow.dataset
import pytest

from devise.store import storage
from devise.warehouse import lease, pointer, upkeep

COLUMNS = ["parent", "publication", "published_at", "published_by", "restores", "run", "table"]


@pytest.fixture(scope="module")
def published(root):
    """A warehouse after five publications, the last one a rollback, and commands that held its lease."""
    warehouse, before = f"{root}/live-table", None
    for number in range(1, 5):
        pairs = [("images", f"r{number}"), *(("embeddings", f"r{run}") for run in range(1, number + 1))]
        with lease.hold(warehouse, f"r{number}", "run_nightly"):
            before = pointer.swap(warehouse, pairs, f"r{number}", before)
    pointer.swap(warehouse, pointer.find(warehouse, 3).pairs(), "r3", before, 2, 3)
    assert len(pointer.history(warehouse)) == 5
    return warehouse


WANTED = [("embeddings", "r1"), ("embeddings", "r2"), ("embeddings", "r3"), ("images", "r3")]


def test_the_folder_holds_one_file_and_nothing_else(published):
    folders, files = storage.list_level(f"{published}/live/current")
    assert folders == [] and [file.uri.rsplit("/", 1)[1] for file in files] == ["live.json"]
    if storage.is_local(published):
        assert [path.name for path in storage.local_path(f"{published}/live/current").iterdir()] == ["live.json"]
    assert len(storage.list_level(f"{published}/live")[0]) == 3  # history and lease beside it


def test_spark_reads_the_folder_as_one_table(spark, published):
    rows = spark.read.json(f"{published}/live/current")
    assert rows.columns == COLUMNS
    assert sorted((row.table, row.run) for row in rows.collect()) == WANTED
    assert {(row.publication, row.parent, row.restores) for row in rows.collect()} == {(5, 2, 3)}


@pytest.mark.parametrize("root", ["file"], indirect=True, scope="module")
def test_duckdb_and_pyarrow_read_the_folder_as_one_table(published):
    folder = storage.local_path(f"{published}/live/current")
    answer = duckdb.sql(f"SELECT * FROM read_json('{folder}/*')")
    assert sorted(answer.columns) == COLUMNS
    assert sorted(answer.project('"table", run').fetchall()) == WANTED
    table = pyarrow.dataset.dataset(str(folder), format="json").to_table()
    assert sorted(table.column_names) == COLUMNS
    assert sorted(zip(table["table"].to_pylist(), table["run"].to_pylist(), strict=True)) == WANTED


def test_what_a_killed_publisher_left_in_it_goes_with_expire(published, monkeypatch):
    storage.write_bytes(f"{published}/live/current/.0123abcd.tmp", b"{")
    monkeypatch.setattr(upkeep, "LEFTOVER_SECONDS", -60.0)
    upkeep.expire(published, keep=14)
    assert [file.uri.rsplit("/", 1)[1] for file in storage.list_level(f"{published}/live/current")[1]] == ["live.json"]
