"""Point look-ups in Parquet files: which rows, and how little of which files is read for them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import SchemaError, StorageError
from devise.search import lookups
from devise.search.lookups import SortedFiles
from devise.search.shards import Stored
from devise.store import scratch


def write(path, table, group_rows=4, **options):
    pq.write_table(table, path, row_group_size=group_rows, **options)
    return Stored(f"file://{path}", None)


def split(folder, table, n_files, **options):
    cuts = np.linspace(0, table.num_rows, n_files + 1).astype(int)
    parts = (table.slice(start, end - start) for start, end in zip(cuts[:-1], cuts[1:], strict=True))
    return [write(folder / f"part-{number}.parquet", part, **options) for number, part in enumerate(parts)]


@pytest.fixture
def fetched(monkeypatch):
    """The names of the files that were fetched."""
    names, real = [], scratch.localise
    monkeypatch.setattr(
        "devise.search.shards.scratch.localise", lambda uri, sha256: names.append(uri[-1 - 8 :]) or real(uri, sha256)
    )
    return names


@given(
    keys=st.lists(
        st.none() | st.sampled_from(["a", "ab", "b", "\u00e9", "z", "\U0001f600"]) | st.text(max_size=3), max_size=40
    ),
    asked=st.lists(st.sampled_from(["a", "b", "z", ""]) | st.text(max_size=3), max_size=3),
    n_files=st.integers(1, 3),
    ordered=st.booleans(),
)
@settings(max_examples=40)
def test_a_look_up_finds_what_a_look_at_every_row_finds(tmp_path_factory, keys, asked, n_files, ordered):
    keys = sorted(keys, key=lambda key: (key is None, key or "")) if ordered else keys
    table = pa.table({"label": pa.array(keys, pa.string()), "row": pa.array(range(len(keys)), pa.int64())})
    files = SortedFiles(split(tmp_path_factory.mktemp("files"), table, n_files), "label")
    found = files.find(asked, ["row"]).column("row").to_pylist()
    assert found == [row for row, key in enumerate(keys) if key in asked]


@given(
    keys=st.lists(st.none() | st.integers(0, 12) | st.integers(2**63 - 3, 2**63 - 1), max_size=40),
    asked=st.lists(st.lists(st.integers(0, 13) | st.just(2**63 - 1), max_size=4), min_size=1, max_size=4),
    n_files=st.integers(1, 3),
    ordered=st.booleans(),
    keep_bytes=st.sampled_from([1, 200, 2**20]),
)
@settings(max_examples=40)
def test_kept_row_groups_answer_as_read_ones(tmp_path_factory, keys, asked, n_files, ordered, keep_bytes):
    keys = sorted(keys, key=lambda key: (key is None, key or 0)) if ordered else keys
    table = pa.table({"image_id": pa.array(keys, pa.int64()), "row": pa.array(range(len(keys)), pa.int64())})
    files = SortedFiles(split(tmp_path_factory.mktemp("files"), table, n_files), "image_id", keep_bytes)
    for values in asked:
        found = files.find(values, ["row"]).column("row").to_pylist()
        assert sorted(found) == [row for row, key in enumerate(keys) if key in values]


def test_a_kept_row_group_is_decoded_once_and_the_longest_unused_goes(tmp_path, monkeypatch):
    decoded, real = [], pq.ParquetFile.read_row_groups
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_groups",
        lambda self, groups, **told: decoded.append(*groups) or real(self, groups, **told),
    )
    file = write(tmp_path / "part-0.parquet", pa.table({"image_id": np.arange(60), "row": np.arange(60)}))
    for keep_bytes, asked, wanted in [(2**20, [0, 59, 1, 58], [0, 14]), (1, [0, 0, 59, 1], [0, 14, 0])]:
        decoded.clear()
        files = SortedFiles([file], "image_id", keep_bytes)
        assert [files.find([value], ["row"]).column("row").to_pylist() for value in asked] == [[v] for v in asked]
        assert decoded == wanted


def test_only_the_files_that_hold_a_value_are_fetched_and_only_once(tmp_path, fetched):
    image_id = np.arange(0, 120, 2)
    files = SortedFiles(split(tmp_path, pa.table({"image_id": image_id, "row": np.arange(60)}), 3), "image_id")
    assert files.find([], ["row"]).num_rows == files.find([1000, -7], ["row"]).num_rows == 0
    assert fetched == []
    assert files.find([2, 6, 7], ["row"]).column("row").to_pylist() == [1, 3]
    assert files.find([4], ["row"]).column("row").to_pylist() == [2]
    assert fetched == ["0.parquet"]
    assert files.find([118, 0], ["row"]).column("row").to_pylist() == [0, 59]
    assert fetched == ["0.parquet", "2.parquet"]


def test_only_row_groups_that_may_hold_a_value_are_decoded(tmp_path, monkeypatch):
    decoded, real = [], pq.ParquetFile.read_row_groups
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_groups",
        lambda self, groups, **told: decoded.append(groups) or real(self, groups, **told),
    )
    table = pa.table({"label": [f"{row // 6:02d}" for row in range(60)], "row": np.arange(60)})
    files = SortedFiles([write(tmp_path / "part-0.parquet", table)], "label")
    assert files.find(["04"], ["row", "label"]).to_pydict() == {"row": [24, 25, 26, 27, 28, 29], "label": ["04"] * 6}
    assert decoded == [[6, 7]]


def test_statistics_longer_than_what_is_read_at_first_are_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(lookups, "END_BYTES", 64)
    files = SortedFiles([write(tmp_path / "part-0.parquet", pa.table({"label": list("abcdefghijkl")}))], "label")
    assert files.find(["k"], ["label"]).column("label").to_pylist() == ["k"]


def test_many_threads_find_what_one_does(tmp_path, fetched):
    image_id = np.arange(5_000) * 3
    files = SortedFiles(
        split(tmp_path, pa.table({"image_id": image_id, "row": np.arange(5_000)}), 4, group_rows=64), "image_id"
    )
    asked = [[3 * number, 3 * (4_999 - number), 1] for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda values: files.find(values, ["row"]).column("row").to_pylist(), asked))
    assert found == [[number, 4_999 - number] for number in range(200)]
    assert sorted(fetched) == ["0.parquet", "3.parquet"]


def test_what_cannot_be_looked_up_is_one_line(tmp_path):
    whole = write(tmp_path / "part-0.parquet", pa.table({"label": list("abcdefgh"), "row": range(8)}))
    write(tmp_path / "part-1.parquet", pa.table({"label": ["a"]}), write_statistics=False)
    content = bytearray((tmp_path / "part-0.parquet").read_bytes())
    content[4:40] = bytes(36)
    (tmp_path / "part-2.parquet").write_bytes(content)
    (tmp_path / "part-3.parquet").write_bytes(content[:50])
    (tmp_path / "part-4.parquet").write_bytes(b"")
    for name, said in [
        ("1", "found no statistics of label"),
        ("2", "cannot be read as Parquet"),
        ("3", "cannot be read as Parquet"),
        ("4", "cannot be read as Parquet"),
    ]:
        with pytest.raises(SchemaError, match=f"part-{name}.parquet: {said}") as told:
            SortedFiles([Stored(f"file://{tmp_path}/part-{name}.parquet", None)], "label").find(["a"], ["label"])
        assert "\n" not in str(told.value)
    with pytest.raises(SchemaError, match=r"found columns \['label', 'row'\], wanted image_id among them"):
        SortedFiles([whole], "image_id").find([1], ["row"])
    with pytest.raises(SchemaError, match=r"found no columns \['uri'\]"):
        SortedFiles([whole], "label").find(["a"], ["uri"])
    with pytest.raises(StorageError, match="part-9.parquet: no such file"):
        SortedFiles([Stored(f"file://{tmp_path}/part-9.parquet", None)], "label").find(["a"], ["label"])
