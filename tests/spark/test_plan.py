"""The plan of a night by its change says what a judgement of the whole corpus says, whatever the nights were like.

Made nights: listings by hand, ids that two uris share, an embed that decides without a picture. What a night finds by
its change is compared with `judge_images` over all and with `find_live`.
"""

import random

import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from tiny_warehouse import commit_vocabulary_and_model

from devise.config import EmbedConfig
from devise.errors import AccountingError
from devise.jobs import embed_images, plan_images
from devise.spark.frame import job, live, schemas, tables
from devise.spark.frame.parts import Part, file_of
from devise.spark.stages import accounting, embed
from devise.spark.stages.accounting import judge_images
from devise.spark.stages.slices import Record
from devise.warehouse import manifest, pointer
from devise.warehouse.lineage import begin
from devise.warehouse.manifest import Manifest

RETRY = ["gone"]


class Nights:
    """A warehouse whose listings and outcomes are made.

    listing: uri -> etag. ids: uri -> image_id. codes: uri -> the code with which its next attempts end.
    """

    def __init__(self, spark, place, monkeypatch):
        self.spark, self.place, self.ids, self.listing, self.codes = spark, str(place), {}, {}, {}
        self.live: set[tuple] = set()
        self.attempted: list[str] = []
        commit_vocabulary_and_model(self.place)
        monkeypatch.setattr(embed, "_embed", self.embed)

    def commit(self, table, run, written, **more):
        made = self.manifest(table, run, written, **more)
        manifest.write(self.place, made)
        return made

    def manifest(self, table, run, written, **more):
        line = begin(self.place, run)
        return Manifest(
            table=table, run=run, parent=line.number, rows=written.rows, columns=written.columns, files=written.files,
            inputs={}, inputs_hash="", config={}, config_hash="", code_version="0", started_at=0, finished_at=0, **more,
        )  # fmt: skip

    def embed(self, task, plan, attempted):
        """What the slices would come to: an embedding, or the code that the test has put there."""
        folders = {table: task.folder(table) for table in ("embeddings", "rejects")}
        parts = {table: Part(folder, schemas.TABLES[table]) for table, folder in folders.items()}
        codes: dict[str, int] = {}
        for row in task.read("plan").where("state IN ('todo', 'collision')").collect():
            self.attempted.append(row.uri)
            code = "id_collision" if row.state == "collision" else self.codes.get(row.uri)
            key = [row.image_id, row.uri, row.etag]
            if code is None:
                values, table = [*key, [1.0, 0.0], 1.0, 1, 1, None, None, task.model_id], "embeddings"
            else:
                values, table = [*key, code, "made", row.attempts + 1, task.model_id], "rejects"
                codes[code] = codes.get(code, 0) + 1
            arrays = [pa.array([value]) for value in values]
            parts[table].write(schemas.record_batch(arrays, schemas.TABLES[table]))
        told = {table: part.deliver() for table, part in parts.items()}
        files = {table: [file_of(receipt)] for table, receipt in told.items()}
        counts = {table: part.rows for table, part in parts.items()}
        return [Record(number=0, embedded=counts["embeddings"], rejected=counts["rejects"], codes=codes, **files)], 1

    def night(self, run, publish=True, **more):
        rows = [(self.ids[uri], uri, etag, 1, None) for uri, etag in self.listing.items()]
        frame = self.spark.createDataFrame(rows, schemas.IMAGES)
        folder = manifest.folder(self.place, "images", run)
        images = self.commit("images", run, tables.write(frame, folder, schemas.IMAGES))
        config = EmbedConfig(warehouse=self.place, run=run, retry_codes=RETRY, **more)
        oracle = self.judge(run)
        self.attempted = []
        made = job.perform(embed_images.JOB, self.spark, config)
        plan = manifest.read(self.place, "plan", run)
        counts = {state: plan.details[state] for state in accounting.STATES}
        assert counts == oracle, run
        self.check_live(run, plan, images, made["embeddings"])
        if publish:
            self.publish(run, images, plan)
        return plan

    def judge(self, run):
        """The states of all images tonight, counted over the whole corpus."""
        line = begin(self.place, run)
        read = {
            table: tables.read(self.spark, self.place, runs, schemas.TABLES[table])
            for table, runs in (
                ("images", [line.this("images")]),
                ("embeddings", line.before("embeddings")),
                ("rejects", line.before("rejects")),
            )
        }
        judged = judge_images(read["images"], read["embeddings"], read["rejects"], RETRY)
        found = {row.state: row["count"] for row in judged.groupBy("state").count().collect()}
        return {state: found.get(state, 0) for state in accounting.STATES}

    def check_live(self, run, plan, images, embeddings):
        """What is live by the change since what was live, and by a look at all: one and the same."""
        line = begin(self.place, run)
        read = {"images": [images], "plan": [plan], "embeddings": line.chain("embeddings")}
        task = job.Task(self.spark, EmbedConfig(warehouse=self.place, run=run), line, read, "")
        task.stage = lambda frame, name: frame
        whole = {tuple(row) for row in live.find_live(task).select(live.CONTENT).collect()}
        change = live.find_change(task)
        if change is not None:
            lost = {tuple(row) for row in change.lost.collect()}
            gained = [tuple(row) for row in change.embeddings.select(live.CONTENT).collect()]
            assert (len(gained), len(lost)) == (change.n_gained, change.n_lost), run
            assert len(set(gained)) == len(gained) and lost <= self.live and not set(gained) & self.live, run
            assert (self.live - lost) | set(gained) == whole, run
        found = embeddings.details
        assert len(whole) == found["embedded"] + found["unchanged"], run
        joined: list[str] = []
        task.stage = lambda frame, name: joined.append(name) or frame
        assert sorted(tuple(row) for row in live.read_live(task).select(live.CONTENT).collect()) == sorted(whole), run
        self.joined = bool(joined)
        self.tonight = whole

    def publish(self, run, images, plan):
        line = begin(self.place, run)
        chains = [found for table in ("embeddings", "rejects") for found in line.chain(table)]
        pairs = [(found.table, found.run) for found in [images, plan, *chains]]
        pairs += [("model", "r1"), ("vocabulary", "r1")]
        pointer.swap(self.place, pairs, run, pointer.read(self.place), parent=line.number)
        self.live = self.tonight


@pytest.fixture
def nights(spark, tmp_path, monkeypatch):
    return Nights(spark, tmp_path / "w", monkeypatch)


def test_a_change_and_back_is_found_and_not_paid_for_twice(nights):
    nights.ids = {"a": 1, "b": 2}
    nights.listing = {"a": "1", "b": "1"}
    nights.night("r2")
    nights.listing = {"a": "2", "b": "1"}
    assert nights.night("r3").details["lost"] == 1 and nights.attempted == ["a"]
    nights.listing = {"a": "1", "b": "1"}
    back = nights.night("r4")
    assert nights.attempted == [] and (back.details["found"], back.details["lost"]) == (1, 1)


def test_all_vectors_are_read_without_a_join_where_all_are_live(nights):
    nights.ids = {"a": 1, "b": 2}
    nights.listing = {"a": "1", "b": "1"}
    nights.night("r2")
    assert not nights.joined
    nights.listing = {"a": "2", "b": "1"}
    nights.night("r3", nights_per_base=2)
    assert nights.joined  # the old content of a is still there
    nights.night("r4", nights_per_base=2)
    assert not nights.joined  # a base


def test_a_night_without_a_change_plans_nothing(nights):
    nights.ids, nights.listing = {"a": 1, "b": 2}, {"a": "1", "b": "1"}
    nights.codes = {"b": "corrupt"}
    nights.night("r2")
    plan = nights.night("r3")
    assert (plan.rows, plan.files, nights.attempted) == (0, [], [])
    assert (plan.details["unchanged"], plan.details["carried"], plan.details["since"]) == (1, 1, "r2")


def test_what_a_held_back_night_embedded_is_found_and_what_it_retried_too(nights):
    nights.ids, nights.listing = {"a": 1, "b": 2, "c": 3}, {"a": "1", "b": "1"}
    nights.codes = {"b": "gone"}
    nights.night("r2")
    nights.listing["c"], nights.codes = "1", {}
    nights.night("r3", publish=False)
    assert sorted(nights.attempted) == ["b", "c"]
    plan = nights.night("r4")
    assert nights.attempted == [] and plan.details["found"] == 2 and plan.details["since"] == "r2"


def test_listings_that_the_change_does_not_explain_stop_the_night(nights, monkeypatch):
    nights.ids, nights.listing = {"a": 1, "b": 2}, {"a": "1"}
    nights.night("r2")
    nights.listing = {"a": "1", "b": "1"}
    from devise.spark.stages import plan

    found = plan.changed_ids
    monkeypatch.setattr(plan, "changed_ids", lambda *frames: found(*frames).where(F.col("image_id") != 2))
    with pytest.raises(AccountingError, match="does not add up|were judged"):
        nights.night("r3")


@pytest.mark.parametrize("seed", range(2))
def test_random_nights_come_out_as_a_look_at_everything_does(nights, seed):
    """Images come, go, change and come back; two uris share an id; some are rejected; some nights are not published."""
    rng = random.Random(seed)
    uris = [f"u{number:02d}" for number in range(14)]
    nights.ids = {uri: 100 + number * 2 // 3 for number, uri in enumerate(uris)}  # every third id has two uris
    for number in range(2, 9):
        for uri in uris:
            if rng.random() < 0.3:
                nights.listing.pop(uri, None)
            elif uri not in nights.listing or rng.random() < 0.2:
                nights.listing[uri] = str(rng.randrange(3))
        nights.codes = {uri: rng.choice(["gone", "corrupt"]) for uri in uris if rng.random() < 0.2}
        nights.night(f"r{number}", publish=number == 2 or rng.random() < 0.7, nights_per_base=3 if seed else 30)


def test_the_plan_s_settings_are_those_that_decide_it(nights):
    nights.ids, nights.listing = {"a": 1}, {"a": "1"}
    plan = nights.night("r2")
    assert set(plan.config) == {"retry_codes", "nights_per_base", "thumbnails"}
    config = EmbedConfig(warehouse=nights.place, run="r2", retry_codes=RETRY, engine={"threads": 3})
    assert job.perform(plan_images.JOB, nights.spark, config)["plan"] == plan
