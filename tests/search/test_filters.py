"""Which images pass a filter: what it says, out of which tables, and how much of it is kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone

import numpy as np
import pyarrow as pa
import pytest
from tiny_warehouse import write_table

from devise.errors import ConfigError, SchemaError
from devise.search import filters
from devise.search.filters import Filter, Passing, ids_since, ids_with_label, keeping, read_day, uri_prefix


def test_a_prefix_is_a_path_or_uri_as_tables_have_it_and_a_slash_at_its_end_is_kept(tmp_path):
    assert uri_prefix("s3a://b/x") == "s3://b/x"
    assert uri_prefix("s3://b/x/") == "s3://b/x/"
    assert uri_prefix(f"{tmp_path}/a") == f"file://{tmp_path}/a"
    assert uri_prefix(f"{tmp_path}/a/") == f"file://{tmp_path}/a/"


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "2026-02-30", "01.02.2026", "2026-01-01T00:00", "", "2026"]
)
def test_a_day_that_is_none_is_one_line(text):
    with pytest.raises(ConfigError, match=f"found the day '{text}', wanted YYYY-MM-DD"):
        read_day(text)


def test_a_filter_that_says_nothing_is_none():
    assert not Filter() and Filter(under="") and Filter(label="lion") and Filter(since=date(2026, 1, 1))


def test_ids_come_out_of_all_files_sorted_and_once(tmp_path):
    columns = {"image_id": [9, 9, 4], "label": ["lion", "tulip", "lion"]}
    labels = write_table(
        str(tmp_path), "r1", "labels", {"part-0": columns, "part-1": {**columns, "image_id": [1, 2, 3]}}
    )
    assert ids_with_label(str(tmp_path), labels, "lion").tolist() == [1, 3, 4, 9]
    assert ids_with_label(str(tmp_path), labels, "ferry").tolist() == []
    last, first = datetime(2026, 1, 1, 23, 59, 59, 999_999, timezone.utc), datetime(2026, 1, 2, tzinfo=timezone.utc)
    days = pa.array([first, last, None], pa.timestamp("us", "UTC"))
    images = write_table(str(tmp_path), "r1", "images", {"part-0": {"image_id": [3, 1, 2], "modified_at": days}})
    assert ids_since(str(tmp_path), images, date(2026, 1, 2)).tolist() == [3]
    assert ids_since(str(tmp_path), images, date(2026, 1, 1)).tolist() == [1, 3]


def test_a_table_that_cannot_be_filtered_is_one_line(tmp_path):
    labels = write_table(str(tmp_path), "r1", "labels", {"part-0": {"image_id": [1]}})
    with pytest.raises(SchemaError, match="part-0.parquet: cannot be filtered by label") as told:
        ids_with_label(str(tmp_path), labels, "lion")
    assert "\n" not in str(told.value)


def test_what_passes_is_found_once_and_the_longest_unused_goes_first(monkeypatch):
    asked = []
    monkeypatch.setattr(filters, "KEPT_BYTES", 2 * Passing([np.arange(100)]).nbytes)
    kept = keeping()

    def passing(label):
        return kept(Filter(label=label), lambda only: asked.append(only.label) or Passing([np.arange(100)]))

    for label in "ababacabcc":
        assert len(passing(label)) == 100
    assert asked == ["a", "b", "c", "b", "c"]  # b goes for c, then c for b, then a for c
    monkeypatch.setattr(filters, "KEPT_BYTES", 1)
    kept = keeping()
    assert len(passing("d")) == len(passing("d")) == 100
    assert asked[5:] == ["d"]


def test_which_ids_pass_is_told_of_any():
    ids = np.unique(np.random.default_rng(0).integers(2**63 - 1, size=50))
    passing = Passing([ids[::2], ids[1::4]])
    wanted = {*ids[::2].tolist(), *ids[1::4].tolist()}
    asked = np.concatenate([ids, ids + 1, [0, 2**63 - 1]])
    assert passing.holds(asked).tolist() == [image_id in wanted for image_id in asked.tolist()]
    assert not Passing([]).holds(asked).any() and len(Passing([])) == 0


def test_who_asks_for_what_is_kept_does_not_wait_for_what_is_being_found():
    begun, go_on, finds = threading.Event(), threading.Event(), []

    def find(only):
        finds.append(only.label)
        if only.label == "slow":
            begun.set()
            assert go_on.wait(20)
        if only.label == "broken":
            raise SchemaError("torn")
        return Passing([np.arange(3)])

    kept = keeping()

    def passing(label):
        return kept(Filter(label=label), find)

    passing("lion")
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(passing, "slow") for _ in range(3)]
        assert begun.wait(20)
        assert len(passing("lion")) == len(passing("other")) == 3
        go_on.set()
        assert {len(found.result()) for found in slow} == {3}
    assert finds == ["lion", "slow", "other"]
    for _ in range(2):  # what failed is tried again
        with pytest.raises(SchemaError, match="torn"):
            passing("broken")
