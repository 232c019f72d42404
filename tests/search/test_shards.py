"""Chains of index runs: which runs belong, which ids each shard hides, where a uri counts. No faiss, no Spark."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_warehouse import write_sidecar

from devise.errors import IndexingError, StorageError
from devise.search import shards
from devise.search.mapped import Sidecar
from devise.store import storage
from devise.warehouse.manifest import File, Manifest


def file(path, sha256="0" * 64):
    return File(path=path, size_bytes=1, sha256=sha256, rows=-1)


def run(name, made_from=(), base=False, files=(), n_shards=1):
    """A committed run of the index, made from others."""
    return Manifest(
        table="index", run=name, parent=0, rows=0, columns=[], files=[file(path) for path in files],
        inputs={"index": [found.identity() for found in made_from]}, inputs_hash="i", config={}, config_hash="c",
        base=base, code_version="0", started_at=0, finished_at=1,
        details={"n_shards": n_shards, "layout": shards.LAYOUT},
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


TOP = 2**63 - 1
HALF, THIRD = 2**62, -(-(2**63) // 3)


@pytest.fixture
def night(tmp_path):
    """Folders and runs of a base of two shards and two deltas, of which the first has three; ids reach to the end."""
    folders = [f"file://{tmp_path}/{name}" for name in ("r1", "r2", "r3")]
    for folder in folders:
        storage.local_path(folder).mkdir()
    write(folders[1], "tombstones-00000-00001-b.parquet", image_id=[1, HALF - 1, HALF, TOP])
    write(folders[2], "tombstones-00000-00004-c.parquet", image_id=[1, 4])
    write(folders[2], "tombstones-00001-00004-c.parquet", image_id=[THIRD - 1, THIRD])
    write(folders[2], "tombstones-00003-00004-c.parquet", image_id=[TOP - 10**6, TOP - 1])
    base = run("r1", base=True, n_shards=2, files=[
        "shard-00000-a.faiss", "shard-00000-a.arrow", "shard-00001-a.faiss", "shard-00001-a.arrow",
        "template-a.faiss",
    ])  # fmt: skip
    second = run("r2", n_shards=3, files=[
        *(f"shard-0000{number}-b.{end}" for number in range(3) for end in ("faiss", "arrow", "i16")),
        "tombstones-00000-00001-b.parquet",
    ])  # fmt: skip
    third = run("r3", files=[f"tombstones-0000{number}-00004-c.parquet" for number in (0, 1, 3)], n_shards=0)
    return folders, [base, second, third]


def test_a_shard_hides_the_ids_of_its_range_that_later_runs_name_and_never_its_own_run_s(night):
    folders, runs = night
    low, high, first, second, third = found = shards.of_chain(folders, runs)
    assert [Path(shard.index.uri).name for shard in found] == [
        "shard-00000-a.faiss", "shard-00001-a.faiss", "shard-00000-b.faiss", "shard-00001-b.faiss",
        "shard-00002-b.faiss",
    ]  # fmt: skip
    assert low.exact is None and first.exact.uri == f"{folders[1]}/shard-00000-b.i16"
    assert first.sidecar.uri == f"{folders[1]}/shard-00000-b.arrow"
    assert low.hidden().tolist() == [1, 4, THIRD - 1, THIRD, HALF - 1]
    assert high.hidden().tolist() == [HALF, TOP - 10**6, TOP - 1, TOP]
    assert first.hidden().tolist() == [1, 4, THIRD - 1] and second.hidden().tolist() == [THIRD]
    assert third.hidden().tolist() == [TOP - 10**6, TOP - 1]
    assert all(shard.hidden().dtype == np.int64 for shard in found)
    yesterday = shards.of_chain(folders[:2], runs[:2])  # what was live before is hidden from as it was
    assert [shard.hidden().tolist() for shard in yesterday] == [[1, HALF - 1], [HALF, TOP], [], [], []]


def test_a_shard_reads_those_tombstones_only_that_meet_its_range(night):
    named = [{Path(found.file.uri).name[11:22] for found in shard.tombstones} for shard in shards.of_chain(*night)]
    whole = "00000-00001"  # of the second run: it is no later run than its own shards'
    assert named == [
        {"00000-00004", "00001-00004", whole}, {"00003-00004", whole},
        {"00000-00004", "00001-00004"}, {"00001-00004"}, {"00003-00004"},
    ]  # fmt: skip


def test_ranges_cover_every_id_once_and_a_shard_s_number_is_that_of_its_span():
    rng = np.random.default_rng(0)
    for n in [*range(1, 70), 500, 4096, 99_999, 10**6]:
        width = shards.range_width(n)
        for number in sorted({0, n - 1, n // 2, *rng.integers(n, size=20).tolist()}):
            least, most = shards.span(number, n)
            assert least == (shards.span(number - 1, n)[1] + 1 if number else 0)
            assert most - least + 1 == width if number < n - 1 else most == TOP
            assert shards.number_of_ids(np.array([least, most]), n).tolist() == [number, number]
            assert abs(most - least + 1 - 2**63 / n) <= max(n, 2048)  # 2048: of the float


def test_an_index_of_another_layout_is_refused_in_one_line(night):
    folders, runs = night
    for layout in ({}, {"layout": 2}, {"layout": 4}):
        old = runs[0].model_copy(update={"details": {"n_shards": 2, **layout}})
        with pytest.raises(IndexingError, match=r"index of run r1 has layout [124], wanted 3: .* build_index makes it"):
            shards.of_chain(folders, [old, *runs[1:]])


def test_the_template_is_no_shard_and_is_checked_wherever_it_lies(night):
    folders, runs = night
    base = runs[0]
    assert shards.shard_names(base.files) == ["shard-00000-a.faiss", "shard-00001-a.faiss"]
    storage.local_path(f"{folders[0]}/template-a.faiss").write_bytes(b"another one")
    with pytest.raises(StorageError, match="template-a.faiss: sha256 is .*, wanted 000"):
        shards.template(folders[0], base.files).fetch()


def test_uris_are_found_over_all_sidecars_and_empty_places_passed_over(tmp_path):
    sidecars, none = [], [np.empty(0, np.int64)] * 2
    for number in range(2):
        ids = np.arange(number, 100, 2) + 2**62
        path = write_sidecar(tmp_path / f"{number}", ids, [f"file:///{image_id}" for image_id in ids], group_rows=10)
        sidecars.append(Sidecar(path))
    asked = np.array([2**62 + 7, -1, 2**62 + 40, -1])
    wanted = {image_id: f"file:///{image_id}" for image_id in (2**62 + 7, 2**62 + 40)}
    assert shards.find_uris(sidecars, none, asked) == wanted
    assert shards.find_uris(sidecars, none, np.array([-1, -1])) == shards.find_uris([], [], np.array([-1])) == {}
    for sidecar in ([], sidecars[:1]):
        with pytest.raises(IndexingError, match=f"found no uri of image_id {2**62 + 7} in {len(sidecar)} sidecars"):
            shards.find_uris(sidecar, none[:1] * len(sidecar), asked)


def test_a_uri_counts_only_where_its_id_is_not_hidden(tmp_path):
    five, none = np.array([5]), np.empty(0, np.int64)
    uris = {"old": "file:///before", "new": "file:///after"}
    old, new = (Sidecar(write_sidecar(tmp_path / name, five, [uri])) for name, uri in uris.items())
    assert shards.find_uris([old, new], [five, none], five) == {5: "file:///after"}
    assert shards.find_uris([new, old], [none, five], five) == {5: "file:///after"}
    with pytest.raises(IndexingError, match="found no uri of image_id 5 in 2 sidecars"):
        shards.find_uris([old, new], [five, five], five)
