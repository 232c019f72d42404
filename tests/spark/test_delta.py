"""Nights of small changes: what a search over base and deltas finds is what an index built from scratch finds."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from devise.config import EvaluateConfig, IndexConfig
from devise.errors import AccountingError, StorageError
from devise.jobs import build_index, evaluate_model
from devise.search import index
from devise.search.filling import fill_shard
from devise.search.kinds import choose_kind
from devise.search.query import Query
from devise.search.searcher import Searcher
from devise.search.template import train_template
from devise.spark.frame import inputs, job, schemas, tables
from devise.spark.stages.search import search_shards
from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.warehouse.lineage import begin
from devise.warehouse.manifest import File, Manifest
from devise.words import vocabulary
from devise.words.vocabulary import Vocabulary

DIM, N_ROWS, K = 8, 60, 10
RNG = np.random.default_rng(0)


def unit(array):
    return (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)


IMAGE_ID_N = RNG.choice(2**63 - 1, size=100, replace=False).tolist()
CENTRE_CD = unit(RNG.normal(size=(12, DIM)))
QUERY_QD = unit(RNG.normal(size=(40, DIM)))


def some(rng):
    """A unit vector near one of the centres."""
    return unit(CENTRE_CD[rng.integers(12)] + 0.3 * rng.normal(size=DIM))


class Corpus:
    """What is live in a warehouse as the tests know it, and the runs that say so."""

    def __init__(self, spark, place, **settings):
        self.spark, self.warehouse, self.run, self.settings = spark, str(place), None, settings
        self.chains: dict[str, list[str]] = {"embeddings": [], "index": []}
        self.live: dict[int, str] = {}
        self.published: tuple[str | None, dict[int, str]] = None, {}
        """The images run that is live, and what was live with it."""
        self.held_in: dict[tuple[int, str], str] = {}
        """Content -> the file of embeddings that holds it."""
        self.vectors: dict[tuple[int, str], np.ndarray] = {}
        self.rng = np.random.default_rng(1)

    def night(self, run, puts=(), removals=(), model_id="m" * 16, vectors=None, anew=False, live=True, **settings):
        """Commit what is listed, what it changes and what is embedded, build the index, publish; its manifest.

        Args:
            puts: (image_id, etag) that is new, changed, or changed back.
            vectors: (len(puts), DIM), instead of drawn ones.
            anew: the run of embeddings is a base.
            live: whether the night is published.
        """
        self.run = run
        new = []
        for place, (image_id, etag) in enumerate(puts):
            self.live[image_id] = etag
            if (image_id, etag) not in self.vectors:
                self.vectors[image_id, etag] = some(self.rng) if vectors is None else vectors[place]
                new.append((image_id, etag))
        for image_id in removals:
            del self.live[image_id]
        listed = list(self.live.items())
        self.chains["embeddings"] = [run] if anew else [*self.chains["embeddings"], run]
        self._write("images", {"part": _rows(schemas.IMAGES, listed)}, schemas.IMAGES.names)
        self._plan(new, model_id)
        standing = [pair for pair in listed if pair not in new] if anew else []
        parts = {"part": self._embedded(new), "standing": self._embedded(standing)}
        details = {"embedded": len(new), "unchanged": len(listed) - len(new)}
        self._write("embeddings", parts, schemas.EMBEDDINGS.names, model_id, base=anew, **details)
        if manifest.find(self.warehouse, "vocabulary", "r1") is None:
            labels = [f"noun {number}" for number in range(12)]
            known = Vocabulary(np.arange(12, dtype=np.int32), labels, [None] * 12, [[]] * 12, CENTRE_CD,
                               np.array([False] * 12), ["exact"] * 12)  # fmt: skip
            self._write(
                "vocabulary", {"part": vocabulary.to_arrow(known)}, schemas.VOCABULARY.names, vocabulary_id="v", dim=DIM
            )
        self._write("model", {}, [], model_id)
        made = self.build(**settings)
        if live:
            self.publish()
        return made

    def build(self, **settings):
        """The run's index; its manifest."""
        settings = {"rows_per_shard": 25, **self.settings, **settings}
        config = IndexConfig(warehouse=self.warehouse, run=self.run, **settings)
        made = job.perform(build_index.JOB, self.spark, config)["index"]
        self.chains["index"] = [self.run] if made.base else [*self.chains["index"], self.run]
        return made

    def wanted(self):
        """(ids, scores) of the best K of each query: an index built anew on what is live."""
        image_id_N = np.array(list(self.live))
        embedding_ND = np.array([self.vectors[pair] for pair in self.live.items()])
        template = train_template(embedding_ND, choose_kind(len(image_id_N), DIM, 2**30), seed=0)
        shard = fill_shard(template, [(image_id_N, embedding_ND)])
        return index.search([shard], index.prepare(template, QUERY_QD, 1), K)

    def found_by_spark(self):
        """The same from the search stage, and the uris."""
        runs = inputs.resolve("search_images", {"index": "through"}, begin(self.warehouse, self.run))["index"]
        queries = [Query(str(number), "image") for number in range(len(QUERY_QD))]
        rows = search_shards(self.spark, queries, QUERY_QD.tolist(), self.warehouse, runs, K).collect()
        rows = sorted(rows, key=lambda row: (int(row["query"]), row["rank"]))
        columns = [np.array([row[name] for row in rows]).reshape(-1, K) for name in ("image_id", "score", "uri")]
        return columns[:2], columns[2]

    def found_live(self):
        """The same from what is published, without Spark."""
        live = Searcher.open(self.warehouse)
        hits = [live.search(query_D, "image", K).hits for query_D in QUERY_QD]
        return [np.array([[getattr(hit, name) for hit in best] for best in hits]) for name in ("image_id", "score")], (
            np.array([[hit.uri for hit in best] for best in hits])
        )

    def publish(self, index=None):
        """Make this run live; with an earlier chain of the index, only that."""
        pairs = [("index", run) for run in index or self.chains["index"]]
        if index is None:
            pairs += [("vocabulary", "r1"), ("images", self.run), ("model", self.run)]
            pairs += [("embeddings", run) for run in self.chains["embeddings"]]
            own = ("neighbours", "labels", "word_images", "metrics")
            pairs += [(table, self.run) for table in own if manifest.find(self.warehouse, table, self.run)]
            self.published = self.run, dict(self.live)
        pointer.swap(self.warehouse, pairs, self.run, pointer.settle(self.warehouse))

    def _beside(self, table, base):
        """What the embeddings of a night were made beside."""
        runs = self.chains["embeddings"][:-1] if table == "embeddings" and not base else []
        return {table: [manifest.read(self.warehouse, table, run).identity() for run in runs]}

    def _parent(self):
        return live.number if (live := pointer.read(self.warehouse)) else 0

    def assert_exact(self):
        wanted = self.wanted()
        for (ids_QK, scores_QK), uris_QK in (self.found_by_spark(), self.found_live()):
            np.testing.assert_array_equal(ids_QK, wanted[0])
            np.testing.assert_allclose(scores_QK, wanted[1], atol=4e-5)
            assert uris_QK.tolist() == [[_uri(image_id) for image_id in row] for row in wanted[0].tolist()]

    def _plan(self, new, model_id):
        """The night's change since what is published, as `plan_images` says it."""
        since, before = self.published
        gained = [pair for pair in self.live.items() if pair not in before.items()]
        states = [(pair, "todo", None) for pair in gained if pair in new]
        states += [(pair, "found", self.held_in[pair]) for pair in gained if pair not in new]
        states += [(pair, "lost", None) for pair in before.items() if pair not in self.live.items()]
        columns = {"state": [state for _, state, _ in states], "held_in": [held_in for *_, held_in in states]}
        counts = {name: columns["state"].count(name) for name in ("found", "lost")}
        rows = _rows(schemas.PLAN, [pair for pair, *_ in states], **columns)
        self._write("plan", {"part": rows}, schemas.PLAN.names, model_id, since=since, removed=0, **counts)

    def _embedded(self, pairs):
        for pair in pairs:
            self.held_in[pair] = f"part-embeddings-{self.run}.parquet"
        return _rows(schemas.EMBEDDINGS, pairs, embedding=[self.vectors[pair].tolist() for pair in pairs])

    def _write(self, table, parts, columns, model_id=None, vocabulary_id=None, base=False, **details):
        """Commit a run; parts: how a file's name begins -> its rows."""
        files = []
        folder = storage.local_path(manifest.folder(self.warehouse, table, self.run))
        for part, rows in parts.items():
            if len(rows):
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{part}-{table}-{self.run}.parquet"
                pq.write_table(rows, path)
                files.append(File(path=path.name, size_bytes=path.stat().st_size, sha256="0" * 64, rows=len(rows)))
        manifest.write(self.warehouse, Manifest(
            table=table, run=self.run, parent=self._parent(), rows=sum(file.rows for file in files), columns=columns,
            files=files, inputs=self._beside(table, base), inputs_hash="i", config={}, config_hash="c",
            model_id=model_id, vocabulary_id=vocabulary_id, base=base, code_version="0", started_at=0, finished_at=1,
            details=details,
        ))  # fmt: skip


def _rows(schema, pairs, **columns):
    """A table of these contents, and null in the columns that are not given."""
    known = {"image_id": [image_id for image_id, _ in pairs], "uri": [_uri(image_id) for image_id, _ in pairs]}
    known |= {"etag": [etag for _, etag in pairs]} | columns
    wanted = schemas.to_arrow_schema(schema)
    arrays = [pa.array(known.get(field.name, [None] * len(pairs)), field.type) for field in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _uri(image_id):
    return f"file:///pictures/{image_id}.jpg"


def counts(made):
    """Shards, rows added, hidden and live, and the base, of a run."""
    n_shards = sum(file.path.endswith(".faiss") and file.path.startswith("shard-") for file in made.files)
    assert made.details["n_shards"] == n_shards
    return (n_shards, *(made.details[name] for name in ("added", "hidden", "live_rows", "base")))


@pytest.fixture(scope="module")
def corpus(spark, tmp_path_factory):
    return Corpus(spark, tmp_path_factory.mktemp("nights") / "warehouse")


def test_every_night_finds_what_an_index_built_from_scratch_finds(corpus, capsys):
    ids = IMAGE_ID_N
    base = corpus.night("r1", [(image_id, "A") for image_id in ids[:N_ROWS]])
    assert base.base and counts(base) == (3, 60, 0, 60, "r1") and base.rows == 60
    assert "a base: there is none to add to" in capsys.readouterr().out
    corpus.assert_exact()

    # One image changes, one goes, one comes.
    second = corpus.night("r2", [(ids[3], "B"), (ids[60], "A")], [ids[5]])
    assert not second.base and counts(second) == (1, 2, 2, 60, "r1") and second.rows == 2
    assert second.details["nprobe"] == base.details["nprobe"] and second.details["kind"] == base.details["kind"]
    line = "a delta on base r1: 2 rows added, 2 hidden, 60 live; 4 since the base are at most 0.25 of its 60"
    assert f"[build_index] {line}\n" in capsys.readouterr().out and second.details["decision"] == line
    corpus.assert_exact()
    at_second = corpus.found_live()

    # The changed one is as it was at first, the one that went is back: both embeddings are the first night's.
    third = corpus.night("r3", [(ids[3], "A"), (ids[5], "A")], [ids[7]])
    assert counts(third) == (1, 2, 2, 60, "r1")
    corpus.assert_exact()

    # Nothing changes: nothing but a manifest.
    fourth = corpus.night("r4")
    assert counts(fourth) == (0, 0, 0, 60, "r1") and fourth.files == []
    assert [path.name for path in storage.local_path(f"{corpus.warehouse}/index/run=r4").iterdir()] == [manifest.NAME]
    corpus.assert_exact()

    # It goes again, and the other changes for the third time: with tonight's 3, 11 rows since the base.
    fifth = corpus.night("r5", [(ids[3], "C")], [ids[5]])
    assert counts(fifth) == (1, 1, 2, 59, "r1")
    corpus.assert_exact()

    # 11 and 5 are more than a quarter of 60.
    sixth = corpus.night("r6", [(ids[number], "A") for number in range(61, 66)])
    assert sixth.base and counts(sixth) == (3, 64, 0, 64, "r6")
    assert "16 rows added and hidden since base r1 are more than 0.25 of its 60" in sixth.details["decision"]
    corpus.assert_exact()

    seventh = corpus.night("r7", [(ids[3], "A")])
    assert counts(seventh) == (1, 1, 1, 64, "r6")
    corpus.assert_exact()

    # What was live on the second night is found as it was, whatever came after.
    corpus.publish(index=["r1", "r2"])
    for one, other in zip(corpus.found_live(), at_second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_model_or_another_layout_is_a_base(spark, tmp_path):
    corpus = Corpus(spark, tmp_path)
    pairs = [(image_id, "A") for image_id in IMAGE_ID_N[:30]]
    assert corpus.night("r1", pairs).base
    other = corpus.night("r2", rows_per_shard=40, seed=1)
    assert other.base and "base r1 was built with another seed, rows_per_shard" in other.details["decision"]
    tuned = corpus.night("r3", rows_per_shard=40, seed=1, target_recall=0.5, tune_queries=3)
    assert not tuned.base and tuned.details["base"] == "r2"  # no matter of layout
    corpus.vectors.clear()
    model = corpus.night("r4", pairs, model_id="n" * 16, rows_per_shard=40, seed=1)
    assert model.base and f"base r2 is of model {'m' * 16}" in model.details["decision"]


def test_new_rows_far_from_their_centroids_are_drift_and_a_base(spark, tmp_path):
    rng = np.random.default_rng(3)
    corpus = Corpus(spark, tmp_path)
    ids = rng.choice(2**63 - 1, size=8000, replace=False).tolist()
    alike_ND = np.array([some(rng) for _ in range(6200)])
    settings = {"kind": "IVF12,Flat", "rows_per_shard": 10_000, "tune_queries": 5, "rebuild_fraction": 1.0}
    base = corpus.night("r1", [(image_id, "A") for image_id in ids[:5000]], vectors=alike_ND[:5000], **settings)
    added = [(image_id, "A") for image_id in ids[5000:6200]]
    alike = corpus.night("r2", added, vectors=alike_ND[5000:], **settings)
    assert not alike.base and abs(alike.details["drift"]) < 0.02
    others_ND = unit(rng.normal(size=(1200, DIM)))
    few = corpus.night("r3", [(ids[6200], "A")], vectors=others_ND[:1], **settings)
    assert not few.base and "drift" not in few.details  # one row tells nothing
    drifted = corpus.night("r4", [(image_id, "A") for image_id in ids[6201:7400]], vectors=others_ND[1:], **settings)
    assert drifted.base and drifted.details["drift"] > 0.1
    assert "a drift of more than 0.1" in drifted.details["decision"]
    assert drifted.details["live_rows"] == 7400 and drifted.details["centroid_score"] < base.details["centroid_score"]


@pytest.fixture
def two_nights(spark, tmp_path):
    """A base and a delta of their own, to be spoilt, of a kind that its exact rows rank."""
    corpus = Corpus(spark, tmp_path, kind="SQ4")
    corpus.night("r1", [(image_id, "A") for image_id in IMAGE_ID_N[:30]])
    corpus.night("r2", [(IMAGE_ID_N[0], "B")])
    return corpus


def test_a_chain_that_does_not_add_up_or_has_a_torn_template_adds_nothing(two_nights):
    corpus, place = two_nights, storage.local_path(f"{two_nights.warehouse}/index")
    template = next((place / "run=r1").glob("template-*"))
    kept = template.read_bytes()
    template.write_bytes(kept[:-1] + b"?")
    with pytest.raises(StorageError, match="template-.*: sha256 is .*, wanted"):
        corpus.night("r3", [(IMAGE_ID_N[1], "B")])
    template.write_bytes(kept)
    for name in ("images", "embeddings", "model"):
        assert manifest.find(corpus.warehouse, name, "r3")
    path = place / "run=r2" / manifest.NAME
    document = json.loads(path.read_text())
    document["details"]["live_rows"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(AccountingError, match="31 rows can be found in base r1 and the runs since, wanted 30"):
        corpus.night("r4")


def test_recall_of_a_delta_is_its_base_s_unless_other_queries_are_asked(spark, tmp_path, capsys):
    corpus = Corpus(spark, tmp_path)

    def evaluate(run, puts=(), recall_queries=4, **settings):
        """A night with its metrics, published."""
        corpus.night(run, puts, live=False)
        capsys.readouterr()
        config = EvaluateConfig(warehouse=corpus.warehouse, run=run, recall_queries=recall_queries, **settings)
        made = job.perform(evaluate_model.JOB, spark, config)["metrics"]
        corpus.publish()
        read = tables.read(spark, corpus.warehouse, [made], schemas.METRICS)
        return made, sorted(tuple(row) for row in read.collect()), capsys.readouterr().out

    def recall_of(made):
        return [made.details[name] for name in ("recall_of", "recall")]

    carried_line = "recall as run r1 has it: tonight's index is a delta on the same base, r1"
    first, rows, said = evaluate("r1", [(image_id, "A") for image_id in IMAGE_ID_N[:30]])
    assert first.details["recall_of"] == "r1" and first.details["recall"]["10"]["image"] == 1 and len(rows) == 8
    assert carried_line not in said
    second, same_rows, said = evaluate("r2", [(IMAGE_ID_N[0], "B")])
    assert carried_line in said and same_rows == rows and recall_of(second) == recall_of(first)
    third, other_rows, said = evaluate("r3", [(IMAGE_ID_N[1], "B")], recall_queries=3)
    assert "recall as run" not in said and third.details["recall_of"] == "r1" and other_rows != rows
    fourth, _, said = evaluate("r4", recall_queries=3, ks=[1])
    assert "recall as run r3 has it" in said and recall_of(fourth) == recall_of(third)


def test_an_image_embedded_twice_is_in_the_index_once(two_nights):
    """By two nights that were not published, of which the first ended after the other had begun."""
    corpus, pair = two_nights, (IMAGE_ID_N[0], "C")
    for run in ("r3", "r4"):
        corpus.vectors.pop(pair, None)
        corpus.night(run, [pair], live=False)
    fifth = corpus.night("r5", [(IMAGE_ID_N[31], "A")])
    assert counts(fifth) == (1, 2, 1, 31, "r1")
    corpus.assert_exact()
    anew = corpus.night("r6", [(IMAGE_ID_N[32], "A")], rebuild_fraction=0)
    assert anew.base and anew.rows == 32


def test_what_is_hidden_is_dropped_with_the_embeddings_that_a_base_drops(two_nights):
    corpus = two_nights
    third = corpus.night("r3", anew=True)
    assert third.base and "1 rows are hidden in base r1, and run r3 dropped such rows" in third.details["decision"]
    fourth = corpus.night("r4", anew=True)
    assert not fourth.base and counts(fourth) == (0, 0, 0, 30, "r3")  # nothing is hidden: nothing to erase
    corpus.assert_exact()
    assert not corpus.night("r5", [(IMAGE_ID_N[31], "A")], anew=True).base
    sixth = corpus.night("r6", [(IMAGE_ID_N[2], "B")])
    assert not sixth.base and counts(sixth) == (1, 1, 1, 31, "r3")  # hidden since the embeddings' base: it has them
    assert corpus.night("r7", anew=True).base
