"""Chains of index runs: which runs belong, which ids each shard hides, where a uri counts. No faiss, no Spark."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from devise.errors import StorageError
from devise.search import shards
from devise.store import storage
from devise.warehouse.manifest import File, Manifest


def file(path, sha256="0" * 64):
    return File(path=path, size_bytes=1, sha256=sha256, rows=-1)


def run(name, made_from=(), base=False, files=(), n_shards=1):
    """A committed run of the index, made from others."""
    return Manifest(
        table="index", run=name, parent=0, rows=0, columns=[], files=[file(path) for path in files],
        inputs={"index": [found.identity() for found in made_from]}, inputs_hash="i", config={}, config_hash="c",
        base=base, code_version="0", started_at=0, finished_at=1, details={"n_shards": n_shards},
    )  # fmt: skip


def names(runs):
    return [found.run for found in runs]


def test_a_chain_is_the_newest_run_and_those_it_was_made_from_back_to_the_base():
    base = run("r1", base=True)
    second = run("r2", [base])
    third = run("r3", [base, second])
    assert shards.chain([]) == []
    assert names(shards.chain([base])) == ["r1"]
    assert names(shards.chain([base, second, third])) == ["r1", "r2", "r3"]
    assert names(shards.chain([base, second, third, run("r4", [base, second, third], base=True)])) == ["r4"]


def test_a_run_committed_late_between_two_of_a_chain_is_no_part_of_it():
    base = run("r1", base=True)
    late, third = run("r2", [base]), run("r3", [base])
    fourth = run("r4", [base, late, third])  # it found them all there, and was added to the chain of the third
    assert names(shards.chain([base, late, third])) == ["r1", "r3"]
    assert names(shards.chain([base, late, third, fourth])) == ["r1", "r3", "r4"]


def test_without_its_very_base_there_is_no_chain():
    base = run("r1", base=True)
    second = run("r2", [base])
    assert shards.chain([second]) == shards.chain([run("r1")]) == []
    assert shards.chain([run("r1", base=True, n_shards=2), second]) == []  # another run under the base's id


def write(folder, name, **columns):
    pq.write_table(pa.table(columns), storage.local_path(folder) / name)


@pytest.fixture
def night(tmp_path):
    """Folders and runs of a base of two shards and two deltas; ids reach to the end of int64."""
    folders = [f"file://{tmp_path}/{name}" for name in ("r1", "r2", "r3")]
    for folder in folders:
        storage.local_path(folder).mkdir()
    top = 2**63 - 2
    write(folders[1], "tombstones-b.parquet", image_id=[1, 4, top])
    write(folders[2], "tombstones-c.parquet", image_id=[7, 8, 4])
    base = run("r1", base=True, n_shards=2, files=[
        "shard-00000-a.faiss", "shard-00000-a.parquet", "shard-00001-a.faiss", "shard-00001-a.parquet",
        "template-a.faiss",
    ])  # fmt: skip
    second = run("r2", files=["shard-00000-b.faiss", "shard-00000-b.parquet", "tombstones-b.parquet"])
    return folders, [base, second, run("r3", files=["tombstones-c.parquet"], n_shards=0)], top


def test_a_shard_hides_the_ids_it_may_hold_that_later_runs_name_and_never_its_own_run_s(night):
    folders, runs, top = night
    even, odd, added = shards.of_chain(folders, runs)
    assert [Path(found.index.uri).name for found in (even, odd, added)] == [
        "shard-00000-a.faiss", "shard-00001-a.faiss", "shard-00000-b.faiss",
    ]  # fmt: skip
    assert added.sidecar.uri == f"{folders[1]}/shard-00000-b.parquet"
    assert even.hidden().tolist() == [4, 8, top] and odd.hidden().tolist() == [1, 7]
    assert added.hidden().tolist() == [4, 7, 8]
    assert all(found.hidden().dtype == np.int64 for found in (even, odd, added))
    yesterday = shards.of_chain(folders[:2], runs[:2])  # what was live before is hidden from as it was
    assert [found.hidden().tolist() for found in yesterday] == [[4, top], [1], []]


def test_the_template_is_no_shard_and_is_checked_wherever_it_lies(night):
    folders, runs, _ = night
    base = runs[0]
    assert shards.shard_names(base.files) == ["shard-00000-a.faiss", "shard-00001-a.faiss"]
    storage.local_path(f"{folders[0]}/template-a.faiss").write_bytes(b"another one")
    with pytest.raises(StorageError, match="template-a.faiss: sha256 is .*, wanted 000"):
        shards.template(folders[0], base.files).fetch()


def test_uris_are_found_over_all_sidecars_and_empty_places_passed_over(tmp_path):
    for number in range(2):
        ids = np.arange(number, 100, 2) + 2**62
        table = pa.table({"image_id": ids, "uri": [f"file:///{image_id}" for image_id in ids]})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=10)
    both, none = [tmp_path / "0.parquet", tmp_path / "1.parquet"], [np.empty(0, np.int64)] * 2
    asked = np.array([2**62 + 7, -1, 2**62 + 40, -1])
    wanted = {image_id: f"file:///{image_id}" for image_id in (2**62 + 7, 2**62 + 40)}
    assert shards.find_uris(both, none, asked) == wanted
    assert shards.find_uris(both, none, np.array([-1, -1])) == shards.find_uris([], [], asked) == {}


def test_a_uri_counts_only_where_its_id_is_not_hidden(tmp_path):
    for name, uri in (("old", "file:///before"), ("new", "file:///after")):
        pq.write_table(pa.table({"image_id": [5], "uri": [uri]}), tmp_path / f"{name}.parquet")
    old, new, five, none = tmp_path / "old.parquet", tmp_path / "new.parquet", np.array([5]), np.empty(0, np.int64)
    assert shards.find_uris([old, new], [five, none], five) == {5: "file:///after"}
    assert shards.find_uris([new, old], [none, five], five) == {5: "file:///after"}
    assert shards.find_uris([old, new], [five, five], five) == {}
