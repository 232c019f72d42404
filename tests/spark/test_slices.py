"""Slices: each image once, files and record a slice, whatever order outcomes come in; no Spark, and a made engine."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from devise.config import EmbedConfig
from devise.errors import AccountingError, ImageError, ManifestError, StorageError
from devise.spark.frame import faults, parts, schemas
from devise.spark.frame.parts import Part
from devise.spark.stages import embed, slices
from devise.spark.stages.slices import Row, Slices, Work
from devise.store import storage
from devise.vision.images import Thumbnail
from devise.vision.outcomes import Outcomes

DIM = 4
SMALL = {f"u{number}" for number in range(12)} - {"u5"}
"""Images of which the made engine makes a thumbnail."""


class MadeEngine:
    """Gives outcomes three at a time, the last image first; an image whose uri ends in `bad` is a reject."""

    def __init__(self, fetch, seen, lose=()):
        self.fetch, self.seen, self.lose = fetch, seen, lose

    def run(self, items):
        waiting = []
        for item in items:
            self.seen.append(item.uri)
            waiting.append(item)
            if len(waiting) == 5:
                yield self.outcomes([waiting.pop() for _ in range(3)])
        while waiting:
            yield self.outcomes([waiting.pop() for _ in range(min(3, len(waiting)))])

    def outcomes(self, items):
        items = [item for item in items if item.uri not in self.lose]
        codes: list = []
        small: list = []
        for item in items:
            try:
                self.fetch(item)
                codes.append("corrupt" if item.uri.endswith("bad") else None)
            except ImageError as error:
                codes.append(error.code)
            small.append(Thumbnail(b"RIFF" + item.uri.encode(), 3, 2) if item.uri in SMALL and not codes[-1] else None)
        n = len(items)
        vectors = np.array([[item.image_id, 1, 2, 3] for item in items], np.float32).reshape(n, DIM)
        ones = np.ones(n, np.int32)
        messages = [code and "as made" for code in codes]
        return Outcomes(items, vectors, np.ones(n, np.float32), ones, ones, codes, messages, ones, small)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setattr("devise.store.storage.fetch_image", lambda uri, etag: b"content")
    seen: list[str] = []
    night = Slices(f"file://{tmp_path}/scratch", 3)
    folders = {table: f"file://{tmp_path}/{table}" for table in slices.TABLES}
    made = Work(night, folders, "m1", lambda fetch: MadeEngine(fetch, seen), 1000, 12)
    return SimpleNamespace(made=made, night=night, seen=seen, root=tmp_path)


def rows(n=20, **states):
    """Images 0 to n - 1 in three slices, sorted by slice; those whose number ends in 7 are bad."""
    found = [
        Row(number, f"u{number}" + ("bad" if number % 10 == 7 else ""), "e", 5, "todo", 0, number % 3)
        for number in range(n)
    ]
    return sorted(found, key=lambda row: (row.slice, row.image_id))


def read(work, table):
    """image_id -> row, of the files that records name."""
    done, _ = work.night.look()
    found = {}
    for record in work.night.records(done):
        for file in getattr(record, table):
            for row in pq.read_table(work.root / table / file.path).to_pylist():
                assert row["image_id"] not in found
                found[row["image_id"]] = row
    return found


def test_every_image_is_in_one_file_of_its_slice_with_its_own_vector(work):
    records = list(slices.embed_slices(iter(rows()), work.made))
    assert sorted(record.number for record in records) == [0, 1, 2]
    embeddings, rejects = read(work, "embeddings"), read(work, "rejects")
    assert embeddings.keys() | rejects.keys() == set(range(20)) and set(rejects) == {7, 17}
    assert all(row["embedding"] == [number, 1, 2, 3] for number, row in embeddings.items())
    assert {(row["code"], row["attempts"], row["model_id"]) for row in rejects.values()} == {("corrupt", 1, "m1")}
    assert sum(record.embedded for record in records) == 18 and {"corrupt": 1} in [r.codes for r in records]
    assert len(work.seen) == 20 and work.night.look()[1] == {}


def test_thumbnails_are_committed_with_their_slice_and_those_that_could_not_be_made_are_counted(work):
    """Of ids below 12: 7 is a reject, of 5 none could be made; it is embedded all the same."""
    records = list(slices.embed_slices(iter(rows()), work.made))
    found = read(work, "thumbnails")
    assert set(found) == set(range(12)) - {5, 7} and 5 in read(work, "embeddings")
    assert found[4] == {"image_id": 4, "etag": "e", "webp": b"RIFFu4", "width": 3, "height": 2}
    assert sum(record.without_thumbnail for record in records) == 1
    assert sum(file.rows for record in records for file in record.thumbnails) == 10


def test_what_is_done_is_not_done_again(work):
    first = [row for row in rows() if row.slice == 0]
    list(slices.embed_slices(iter(first), work.made))
    del work.seen[:]
    list(slices.embed_slices(iter(rows()), work.made))
    assert len(work.seen) == 13 and len(read(work, "embeddings")) == 18


def test_an_image_whose_id_is_taken_is_a_reject_that_no_engine_saw(work):
    taken = Row(7, "other", "e", 5, "collision", 2, 0)
    todo = Row(7, "mine", "e", 5, "todo", 0, 0)
    (record,) = slices.embed_slices(iter([taken, todo]), work.made)
    assert (record.embedded, record.rejected, record.codes) == (1, 1, {"id_collision": 1})
    assert work.seen == ["mine"] and read(work, "rejects")[7]["attempts"] == 3
    alone = Row(8, "other", "e", 5, "collision", 0, 1)
    (record,) = slices.embed_slices(iter([alone]), work.made)
    assert (record.embedded, record.rejected) == (0, 1)


def test_attempts_of_earlier_nights_are_added(work):
    list(slices.embed_slices(iter([Row(7, "xbad", "e", 5, "todo", 4, 0)]), work.made))
    assert read(work, "rejects")[7]["attempts"] == 5


def test_of_two_workers_with_one_slice_the_first_record_counts_and_the_other_s_files_go(work, monkeypatch):
    list(slices.embed_slices(iter(rows()), work.made))
    before = read(work, "embeddings"), sorted(path.name for path in (work.root / "embeddings").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Slices, "look", lambda night: (set(), {}))  # it began before there was a record
        list(slices.embed_slices(iter(rows()), work.made))
    assert len(work.seen) == 40
    assert (read(work, "embeddings"), sorted(path.name for path in (work.root / "embeddings").iterdir())) == before
    assert len(read(work, "thumbnails")) == 10 and len(list((work.root / "thumbnails").iterdir())) == 3


def test_an_image_without_an_outcome_stops_the_task_and_its_slice_has_no_record(work):
    work.made.open = lambda fetch: MadeEngine(fetch, work.seen, lose=("u4",))
    with pytest.raises(AccountingError, match=r"slices \[1\]: some of their images have no outcome"):
        list(slices.embed_slices(iter(rows()), work.made))
    done, begun = work.night.look()
    assert done == {0, 2} and begun == {1: 1}


def test_only_a_suspect_slice_s_images_are_read_apart_first(work, monkeypatch):
    checked = []

    class MadeProbe:
        def __init__(self, max_pixels, thumbnails):
            assert (max_pixels, thumbnails) == (1000, True)

        def check(self, content):
            checked.append(content)
            if len(checked) == 2:
                raise ImageError("crashed", "as made")
            return content

        def close(self):
            checked.append("closed")

    monkeypatch.setattr("devise.vision.probe.Probe", MadeProbe)
    work.night.begin(1)
    list(slices.embed_slices(iter(rows()), work.made))
    assert len(checked) == 8 and checked[-1] == "closed"
    assert sorted(row["code"] for row in read(work, "rejects").values()) == ["corrupt", "corrupt", "crashed"]


def test_marks_and_records_are_told_apart(tmp_path):
    night = Slices(f"file://{tmp_path}", 20_000)
    for number in (3, 3, 12_345, 4):
        night.begin(number)
    record = slices.Record(number=4, embedded=0, rejected=0, codes={}, embeddings=[], rejects=[])
    assert night.commit(record) and not night.commit(record)
    (tmp_path / "count").write_text("5")
    assert night.look() == ({4}, {3: 2, 12_345: 1})
    night.forget([4])
    assert night.look() == (set(), {3: 2, 12_345: 1, 4: 1})


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A task of embed_images and its plan, as far as is looked at before Spark is needed."""
    monkeypatch.setattr(embed, "most_slots", lambda spark: 2)
    details = {"todo": 500, "collision": 0, "standing": None}
    plan = SimpleNamespace(
        details=details, model_id="m1", inputs={table: [] for table in slices.TABLES}, identity=lambda: "r2 0"
    )
    return SimpleNamespace(
        config=EmbedConfig(warehouse=str(tmp_path), run="r2"), spark=None, model_id="m1", plan=plan,
        inputs={table: [] for table in slices.TABLES}, input=lambda table: plan,
        folder=lambda table: f"file://{tmp_path}/{table}",
    )  # fmt: skip


def test_records_of_another_cut_are_not_taken_for_this_one_s(night, monkeypatch):
    """What is swept a day after it was written begins with the number of slices, which was written first."""
    first = embed.open_slices(night, night.plan, 5_000)
    first.commit(slices.Record(number=0, embedded=1, rejected=0, codes={}, embeddings=[], rejects=[]))
    assert embed.open_slices(night, night.plan, 5_000).look()[0] == {0}
    (count,) = _local(night).rglob("count")
    count.unlink()
    monkeypatch.setattr(embed, "most_slots", lambda spark: 1)
    second = embed.open_slices(night, night.plan, 5_000)
    assert second.count != first.count and second.look()[0] == set()


def test_a_plan_for_another_model_embeds_nothing(night):
    night.model_id = "m2"
    with pytest.raises(ManifestError, match="its plan was made for model m1, and the model is m2 now"):
        embed.embed_plan(night)


def test_standing_rows_that_were_swept_meanwhile_stop_the_night(night, monkeypatch):
    monkeypatch.setattr(embed, "_embed", None)
    part = Part(night.folder("rejects"), schemas.REJECTS, "standing")
    told = part.deliver()
    told.pop("codes")
    night.plan.details["standing"] = {"embeddings": [], "rejects": [told], "thumbnails": [], "codes": {}}
    with pytest.raises(TypeError):  # all is there: it goes on to embed
        embed.embed_plan(night)
    (_local(night) / "rejects" / told["path"]).unlink()
    with pytest.raises(ManifestError, match=r"rejects/standing-.*: written with the plan and no longer there"):
        embed.embed_plan(night)


def test_an_executor_whose_shuffled_rows_are_gone_is_a_death():
    text = """Job aborted due to stage failure: ResultStage 5 (collect at X) has failed the maximum allowable number of
times: 4. Most recent failure reason:
org.apache.spark.shuffle.MetadataFetchFailedException: Missing an output location for shuffle 0 partition 1"""
    assert faults.worker_died(text)


def _local(night):
    return storage.local_path(storage.normalise(night.config.warehouse))


def test_a_part_is_delivered_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GROUP_ROWS", 3)
    folder = f"file://{tmp_path}/rejects"
    values = [[number, "u", "e", "gone", "m", 1, "m1"] for number in range(8)]
    columns = [
        schemas.record_batch(map(__import__("pyarrow").array, zip(row, strict=True)), schemas.REJECTS) for row in values
    ]
    part = Part(folder, schemas.REJECTS)
    for batch in columns:
        part.write(batch)
    assert not (tmp_path / "rejects").exists()
    told = part.deliver()
    file = pq.ParquetFile(tmp_path / "rejects" / told["path"])
    assert file.metadata.num_row_groups == 3 and file.read().column("image_id").to_pylist() == list(range(8))
    assert (told["rows"], json.loads(told["codes"])) == (8, {"gone": 8})
    dropped = Part(folder, schemas.REJECTS)
    dropped.write(columns[0])
    dropped.drop()
    assert len(list((tmp_path / "rejects").iterdir())) == 1


def test_a_table_that_is_looked_up_has_small_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "LOOKED_UP_ROWS", 4)
    numbers, text, real = pa.array(range(10)), pa.nulls(10, pa.string()), pa.nulls(10, pa.float32())
    columns = [numbers, text, numbers, text, text, real, real, real, text, text, real, text, text]
    part = Part(f"file://{tmp_path}", schemas.LABELS)
    part.write(schemas.record_batch(columns, schemas.LABELS))
    metadata = pq.ParquetFile(tmp_path / part.deliver()["path"]).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4, 4, 2]


@pytest.mark.parametrize("batch", [1, 150])
def test_thumbnails_lie_uncompressed_in_row_groups_of_256_kib_and_only_ids_have_statistics(tmp_path, batch):
    part = Part(f"file://{tmp_path}", schemas.THUMBNAILS)
    rng = np.random.default_rng(0)
    for start in range(0, 300, batch):
        numbers = list(range(start, start + batch))
        values = [numbers, ["e"] * batch, [rng.bytes(10_000) for _ in numbers], [256] * batch, [200] * batch]
        part.write(schemas.record_batch(list(map(pa.array, values)), schemas.THUMBNAILS))
    metadata = pq.ParquetFile(tmp_path / part.deliver()["path"]).metadata
    sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    assert len(sizes) in (10, 12) and all(2**18 < size < 1.2 * 2**18 for size in sizes[:-1])
    ids, webp = metadata.row_group(1).column(0), metadata.row_group(1).column(2)
    assert (webp.compression, webp.statistics, webp.has_dictionary_page) == ("UNCOMPRESSED", None, False)
    assert (ids.compression, ids.statistics.min) == ("ZSTD", metadata.row_group(0).num_rows)


def test_a_task_s_rows_become_several_files_where_they_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GROUP_ROWS", 2)
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    texts, ones = [pa.array(["a", "b"])] * 4, pa.array([1, 1])
    batch = schemas.record_batch([pa.array([1, 2]), *texts, ones, texts[0]], schemas.REJECTS)
    given = iter([batch, batch.slice(0, 0), batch])
    told = list(parts.write_parts(given, f"file://{tmp_path}/r", schemas.REJECTS, "part"))
    assert [receipt["rows"] for receipt in told] == [2, 2] and len({receipt["path"] for receipt in told}) == 2


def test_a_part_of_many_small_batches_looks_at_each_once(tmp_path, monkeypatch):
    asked = []

    class Batch:
        num_rows = 1

        @property
        def nbytes(self):
            asked.append(1)
            return 8

    monkeypatch.setattr(schemas, "record_batch", lambda columns, schema: Batch())
    part = Part(f"file://{tmp_path}/embeddings", schemas.EMBEDDINGS)
    given = pa.RecordBatch.from_pydict({"image_id": [1]})
    for _ in range(100):
        part.write(given)
    part.drop()
    assert len(asked) == 100 and part.rows == 100


@pytest.mark.parametrize(
    ("n_images", "slots", "wanted"),
    [(1, 8, 1), (10, 8, 8), (100_000, 2, 20), (1_000, 2, 16), (600, 2, 10), (10**9, 4, 10_000), (10**9, 4_000, 10_000)],
)
def test_slices_are_ten_thousand_at_most_several_a_slot_and_as_many_for_each(n_images, slots, wanted):
    assert embed.count_slices(n_images, slots, 5_000) == wanted


def test_a_part_is_dropped_where_no_room_is_left_for_its_end(tmp_path, monkeypatch):
    part = Part(f"file://{tmp_path}/rejects", schemas.REJECTS)

    def full(content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part._sink, "write", full)
    part.drop()
    assert not part._sink.path.parent.exists() and part._sink.closed


def test_progress_is_told_again_after_a_listing_that_failed(work, monkeypatch, capsys):
    monkeypatch.setattr(slices, "TELL_SECONDS", 0.01)
    looked = []

    def look(night):
        looked.append(1)
        if len(looked) == 2:
            raise StorageError("as made")
        return {0}, {}

    monkeypatch.setattr(Slices, "look", look)
    monkeypatch.setattr(Slices, "records", lambda night, numbers: [])
    with slices.watched(work.night, 9):
        for _ in range(500):
            time.sleep(0.01 if len(looked) < 4 else 0)
    assert "1 of 3 slices, 9 images in all" in capsys.readouterr().out
