"""The whole pipeline on a few drawn pictures, odd and broken files among them: the tables, reruns, gates and doors.

Everything runs twice: with corpus and warehouse in a folder, and in buckets of a real S3 server.
"""

import io
import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import contents, copy, upload

from devise.config import (
    CatalogConfig,
    EmbedConfig,
    EngineConfig,
    EvaluateConfig,
    GeneralisedConfig,
    IndexConfig,
    LabelConfig,
    LabelledConfig,
    PublishConfig,
    SearchConfig,
    SplitConfig,
    TrainConfig,
    VocabularyConfig,
)
from devise.errors import AccountingError, GateError, ManifestError, RejectedTooMany
from devise.jobs import (
    build_index,
    build_vocabulary,
    catalog_images,
    embed_images,
    evaluate_model,
    label_images,
    publish_run,
    search_images,
    train_model,
)
from devise.learning.metrics import harmonic_mean
from devise.learning.relations import RELATIONS
from devise.sample.book import draw
from devise.sample.broken import write_broken, write_odd
from devise.sample.demo import SAMPLE
from devise.search import labelling, query
from devise.search.searcher import Searcher
from devise.spark.frame import job, schemas, tables
from devise.spark.stages import publish
from devise.store import storage
from devise.warehouse import manifest, pointer, upkeep, verify
from devise.warehouse.lineage import begin

NOUNS = ("lion", "tulip", "castle", "ferry")
QUERIES = {
    "lion": "word",
    "lion + tulip": "words",
    "image:{corpus}/lion/0.jpg": "image",
    "image:{corpus}/lion/0.jpg + 0.5 * tulip": "words",
    "image:{corpus}/lion/0.jpg - image:{corpus}/tulip/0.jpg": "differences",
    '2 * "lion" - tulip': "differences",
}
"""What search_images is asked, with the corpus's place filled in; and the kind of each."""
BY_CHOICE = ("neighbours", "label_counts", "map_images")
"""Tables of jobs that this night does without: tests/spark/test_neighbours.py, tests/spark/test_night_page.py."""


@pytest.fixture(scope="module")
def corpus(root, tmp_path_factory):
    """16 drawn pictures in class folders, 10 odd ones that must come through, and broken ones with their codes."""
    folder = tmp_path_factory.mktemp("corpus")
    for noun in NOUNS:
        (folder / noun).mkdir()
        for number in range(4):
            draw(noun, np.random.default_rng(number), 64).save(folder / noun / f"{number}.jpg")
    odd = write_odd(folder / "odd ones = ü")
    broken = write_broken(folder / "broken")
    return upload(folder, f"{root}/corpus"), odd, broken


def configs(warehouse, corpus, run="r1", **embed):
    """Every job's settings for one small night."""
    common = {"warehouse": warehouse, "run": run}
    labelled = LabelledConfig(source=corpus, kind="folders")
    seen = LabelledConfig(source=corpus, names=f"{warehouse}/names.json")
    held_out = LabelledConfig(source=corpus, names=f"{warehouse}/held-out.json")
    vectors = str(SAMPLE / "vectors.vec.gz")
    return [
        (build_vocabulary.JOB, VocabularyConfig(**common, vectors=vectors, hierarchy=str(SAMPLE / "nouns.tsv.gz"))),
        (
            train_model.JOB,
            TrainConfig(
                **common,
                architecture="small_cnn",
                resize=32,
                crop=32,
                core_epochs=10,
                labelled=seen,
                held_out=["ferry"],
            ),
        ),
        (catalog_images.JOB, CatalogConfig(**common, sources=[corpus])),
        (embed_images.JOB, EmbedConfig(**common, engine={"precision": "fp32"}, **embed)),
        (label_images.JOB, LabelConfig(**common, k=3)),
        (build_index.JOB, IndexConfig(**common, rows_per_shard=10)),
        (
            search_images.JOB,
            SearchConfig(**common, queries=[asked.format(corpus=corpus) for asked in QUERIES], k=5),
        ),
        (
            evaluate_model.JOB,
            EvaluateConfig(
                **common,
                ks=[1, 5],
                hierarchy=str(SAMPLE / "nouns.tsv.gz"),
                recall_queries=5,
                splits=[
                    SplitConfig(name="drawn", labelled=labelled, candidates=list(NOUNS)),
                    SplitConfig(name="trained on", labelled=seen),
                    SplitConfig(name="held out", labelled=held_out, candidates="given"),
                ],
                generalised=[GeneralisedConfig(name="both", seen="trained on", zero_shot="held out")],
            ),
        ),
        (publish_run.JOB, PublishConfig(**common)),
    ]


def run_all(spark, plan):
    return {made: found for stage, config in plan for made, found in job.perform(stage, spark, config).items()}


@pytest.fixture(scope="module")
def night(spark, root, corpus):
    """A published warehouse and its manifests."""
    warehouse = f"{root}/warehouse"
    storage.write_bytes(f"{warehouse}/names.json", json.dumps({noun: noun for noun in NOUNS}).encode())
    storage.write_bytes(f"{warehouse}/held-out.json", json.dumps({"ferry": "ferry"}).encode())
    return warehouse, run_all(spark, configs(warehouse, corpus[0]))


def rows(spark, night, table):
    warehouse, found = night
    return tables.read(spark, warehouse, [found[table]], schemas.TABLES[table]).collect()


def test_every_listed_image_is_an_embedding_or_a_reject_with_its_code(spark, night, corpus):
    _, odd, broken = corpus
    embedded = {row.uri.rsplit("/", 1)[-1]: row for row in rows(spark, night, "embeddings") if "/odd" in row.uri}
    rejected = {row.uri.rsplit("/", 1)[-1]: row.code for row in rows(spark, night, "rejects")}
    assert set(embedded) == set(odd) and rejected == broken
    counts = night[1]["embeddings"].details
    assert counts["listed"] == 16 + len(odd) + len(broken) == counts["embedded"] + counts["rejected"]
    assert night[1]["rejects"].rejects == {code: list(broken.values()).count(code) for code in set(broken.values())}
    for row in rows(spark, night, "embeddings"):
        assert abs(np.linalg.norm(row.embedding) - 1) < 1e-5 and row.model_id == night[1]["model"].model_id


def test_labels_are_the_most_relevant_words_of_the_stored_embeddings(spark, night):
    warehouse, made = night
    labeller = labelling.open_labeller(LabelConfig(warehouse=warehouse, run="r1"), made["vocabulary"], made["model"])
    names, vector_VD = labeller.known.labels, labeller.known.vectors
    embeddings = {row.image_id: row for row in rows(spark, night, "embeddings")}
    labels = sorted(rows(spark, night, "labels"), key=lambda row: (row.image_id, row["rank"]))
    assert len(labels) == 3 * len(embeddings)
    for number, row in enumerate(labels):
        assert row["rank"] == number % 3 + 1
        own = embeddings[row.image_id]
        embedding_D = np.array(own.embedding, np.float32)
        assert len(own.class_ids) == len(own.class_probabilities) and sum(own.class_probabilities) <= 1 + 1e-5
        classes = np.array([own.class_ids], np.int32), np.array([own.class_probabilities], np.float32)
        relevance_V = labeller.ranker.relevance(embedding_D[None], *classes)[0]
        assert abs(np.sort(relevance_V)[-row["rank"]] - row.relevance) < 1e-4
        number_of = names.index(row.label)
        assert abs(relevance_V[np.searchsorted(labeller.ranker.candidates, number_of)] - row.relevance) < 1e-4
        assert abs(row.score - vector_VD[number_of] @ embedding_D) < 1e-5
        assert row.probability is None and row.answer is None  # a core from scratch is not calibrated


def test_labels_are_sorted_by_image_id_across_their_files(night):
    folder = f"{night[0]}/labels/run=r1"
    files = [io.BytesIO(storage.read_bytes(f"{folder}/{file.path}")) for file in night[1]["labels"].files]
    ids = [pq.read_table(file).column("image_id").to_pylist() for file in files]
    assert [number for part in ids for number in part] == sorted(number for part in ids for number in part)


def test_a_picture_finds_itself_first_and_results_are_ranked(spark, night, corpus):
    found = rows(spark, night, "results")
    image = f"image:{corpus[0]}/lion/0.jpg"
    assert {(row["query"], row.kind) for row in found} == {
        (asked.format(corpus=corpus[0]), kind) for asked, kind in QUERIES.items()
    }
    assert {(row.nprobe, row.recall) for row in found} == {(None, 1.0)}  # so few pictures are compared one by one
    first = next(row for row in found if row["query"] == image and row["rank"] == 1)
    assert first.uri == f"{corpus[0]}/lion/0.jpg" and first.score > 0.9999
    lists = {(row.label, row["rank"]): row.image_id for row in rows(spark, night, "word_images")}
    for asked in {row["query"] for row in found}:
        best = [row for row in sorted(found, key=lambda row: row["rank"]) if row["query"] == asked]
        scores = [row.score for row in best]
        assert len(scores) == 5
        if best[0].kind == "word":  # of its label's list, which is ranked by relevance
            assert [row.image_id for row in best] == [lists[asked.strip('"'), rank] for rank in range(1, 6)]
        else:
            assert scores == sorted(scores, reverse=True)


def test_words_and_pictures_are_searched_for_by_their_weighted_sum(spark, night, corpus):
    place, found = corpus[0], rows(spark, night, "results")
    embedded = {row.uri: np.array(row.embedding) for row in rows(spark, night, "embeddings")}
    words = {row.label: np.array(row.vector) for row in rows(spark, night, "vocabulary")}
    lion_D, tulip_D = embedded[f"{place}/lion/0.jpg"], embedded[f"{place}/tulip/0.jpg"]
    wanted = {
        f"image:{place}/lion/0.jpg + 0.5 * tulip": lion_D + 0.5 * words["tulip"],
        f"image:{place}/lion/0.jpg - image:{place}/tulip/0.jpg": lion_D - tulip_D,
        '2 * "lion" - tulip': 2 * words["lion"] - words["tulip"],
    }
    for asked, query_D in wanted.items():
        query_D = query_D / np.linalg.norm(query_D)
        best = sorted((row for row in found if row["query"] == asked), key=lambda row: row["rank"])
        scores = sorted((float(vector_D @ query_D) for vector_D in embedded.values()), reverse=True)
        np.testing.assert_allclose([row.score for row in best], scores[:5], atol=1e-5)
        np.testing.assert_allclose([embedded[row.uri] @ query_D for row in best], scores[:5], atol=1e-5)


def test_the_index_has_a_shard_a_part_of_the_ids_and_finds_what_exact_search_finds(spark, night):
    index = night[1]["index"]
    assert index.details["n_shards"] == 3 == sum(file.path.endswith(".faiss") for file in index.files) - 1
    assert index.rows == night[1]["embeddings"].rows
    recall = [row for row in rows(spark, night, "metrics") if row.name == "recall" and row.k == 10]
    assert {row.split for row in recall} == {"image", "word", "words", "differences"} and all(
        row.value == 1 for row in recall
    )


def test_metrics_have_hits_and_hierarchical_precision_with_their_n(spark, night):
    found = {(row.name, row.split, row.k): row for row in rows(spark, night, "metrics")}
    assert found["hit", "drawn", 5].value == 1 and found["hit", "drawn", 5].n == 16  # four candidates, five guesses
    assert ("hp", "drawn", 1) in found
    assert all(row.low <= row.value + 1e-9 and row.value <= row.high + 1e-9 for row in found.values())


def test_the_figures_of_a_split_agree_with_its_table_of_labels(spark, night):
    found = {(row.name, row.split, row.k): row for row in rows(spark, night, "metrics")}
    labels = [row for row in rows(spark, night, "label_metrics") if row.split == "drawn"]
    assert {(row.label, row.n) for row in labels} == {(noun, 4) for noun in NOUNS}
    for k, column in ((1, "hit_1"), (5, "hit_5")):
        assert found["hit", "drawn", k].value == pytest.approx(np.mean([row[column] for row in labels]))
        assert found["hit_macro", "drawn", k].value == pytest.approx(found["hit", "drawn", k].value)
    assert found["hit_chance", "drawn", 1].value == 1 / 4 and found["hit_chance", "drawn", 5].value == 1
    assert found["hit_shuffled", "drawn", 5].value == 1
    for row in labels:
        assert (row.confused_with is None) == (row.n_confused == 0) and row.n_confused <= row.n * (1 - row.hit_1)
    relations = {row.label: row.relation for row in labels}
    assert relations.pop("ferry") in RELATIONS[1:] and relations == dict.fromkeys(NOUNS[:3], "seen")
    of_relations = [found.get((f"hit_{relation}", "drawn", 1)) for relation in RELATIONS]
    assert sum(row.n for row in of_relations if row is not None) == 16


def test_seen_and_held_out_pictures_are_ranked_among_the_labels_of_both(spark, night):
    of_both = [row for row in rows(spark, night, "metrics") if row.split == "both"]
    one, five = ({row.name: row for row in of_both if row.k == k} for k in (1, 5))
    assert (one["generalised_seen"].n, one["generalised_zero_shot"].n) == (16, 4)
    wanted = harmonic_mean(one["generalised_seen"].value, one["generalised_zero_shot"].value)
    assert one["generalised_harmonic"].value == pytest.approx(wanted)
    assert five["generalised_harmonic"].value == 1  # four labels, five guesses


def test_a_model_card_and_pages_of_confusions_lie_beside_the_metrics(spark, night):
    warehouse, found = night
    beside = [file.path for file in found["metrics"].files if file.rows == -1]
    (card,) = [name for name in beside if name.endswith(".md")]
    text = storage.read_bytes(f"{warehouse}/metrics/run=r1/{card}").decode()
    hit = next(row for row in rows(spark, night, "metrics") if (row.name, row.split, row.k) == ("hit", "drawn", 1))
    for words in (found["model"].model_id, "### drawn", "### both", f"{100 * hit.value:.1f} ", "| 1 nouns |"):
        assert words in text, words
    confused = {row.split for row in rows(spark, night, "label_metrics") if row.n_confused}
    pages = sorted(name for name in beside if name.endswith(".html"))
    assert len(pages) == len(confused) > 0
    page = storage.read_bytes(f"{warehouse}/metrics/run=r1/{pages[0]}").decode()
    assert "data:image/webp;base64," in page and "cannot be shown" not in page


def test_the_model_never_saw_the_held_out_noun(night):
    model = night[1]["model"]
    card = json.loads(query.model_folder(manifest.localise(night[0], model), model).joinpath("card.json").read_text())
    assert card["seen"] == ["castle", "lion", "tulip"]


def test_the_pointer_names_every_table_of_the_run(night):
    live = pointer.read(night[0])
    assert live.run == "r1"
    assert {entry.table for entry in live.entries} == {*schemas.TABLES, "model", "index"} - {"features", *BY_CHOICE}


def test_what_spark_wrote_is_sound_and_leaves_nothing_to_sweep(night, monkeypatch):
    warehouse, found = night
    assert {checked.table: checked.faults for checked in verify.verify(warehouse, "r1")} == {made: [] for made in found}
    monkeypatch.setattr(upkeep, "LEFTOVER_SECONDS", -60.0)
    lines = upkeep.expire(warehouse, keep=1, dry_run=True)
    nothing = "0 runs would be removed: 0 files, 0 bytes; leftovers: 0 files, 0 bytes, 0 unfinished uploads"
    assert len(lines) == 1 and lines[0].startswith(nothing), lines


@pytest.mark.parametrize("table", [table for table in schemas.TABLES if table not in BY_CHOICE])
def test_duckdb_and_pandas_read_every_table_as_it_lies(night, table, tmp_path):
    warehouse, found = on_disk(night, tmp_path, table), night[1]
    n_rows, columns = found[table].rows, [*schemas.TABLES[table].names, "run"]
    answer = duckdb.sql(f"SELECT * FROM read_parquet('{warehouse}/{table}/*/*.parquet', hive_partitioning = true)")
    frame = pd.read_parquet(f"{warehouse}/{table}")
    assert (answer.columns, len(answer.fetchall())) == (columns, n_rows)
    assert (list(frame.columns), len(frame)) == (columns, n_rows)


def test_the_sql_by_hand_counts_the_best_label_and_finds_the_vector_of_each_live_image(night, tmp_path):
    warehouse, found = on_disk(night, tmp_path, "labels"), night[1]
    [on_disk(night, tmp_path, table) for table in ("live", "images", "embeddings")]
    shutil.copytree(tmp_path / "embeddings" / "run=r1", tmp_path / "embeddings" / "run=r2")  # of a run that is not live
    shutil.copytree(tmp_path / "labels" / "run=r1", tmp_path / "labels" / "run=r0")  # the night before
    page = (Path(__file__).parents[2] / "docs/tables.md").read_text()
    queries = [part.partition(";")[0].replace("'warehouse/", f"'{warehouse}/") for part in page.split("-- DuckDB\n")]
    assert sum(images for _, images in duckdb.sql(queries[1]).fetchall()) == found["embeddings"].rows
    assert len(duckdb.sql(queries[2]).fetchall()) == found["embeddings"].rows


def test_starting_the_night_again_changes_no_byte(spark, night, corpus):
    before = contents(night[0])
    run_all(spark, configs(night[0], corpus[0]))
    assert contents(night[0]) == before


@pytest.mark.parametrize("root", ["file"], indirect=True, scope="module")  # the store makes no difference
def test_the_pandas_door_gives_the_same_embeddings_and_rejects(spark, root, night, corpus):
    other = copy_inputs(night, f"{root}/pandas")
    plan = {stage.name: (stage, config) for stage, config in configs(other, corpus[0], exchange="pandas")}
    made = job.perform(*_with_spark(plan["embed_images"], spark))
    again = {row.image_id: row for row in rows(spark, (other, made), "embeddings")}
    first = {row.image_id: row for row in rows(spark, night, "embeddings")}
    assert set(again) == set(first)
    for number, row in again.items():
        assert np.abs(np.array(row.embedding) - np.array(first[number].embedding)).max() < 1e-4
        assert (row.uri, row.etag, row.width, row.height) == tuple(
            first[number][name] for name in ("uri", "etag", "width", "height")
        )
    assert sorted((row.uri, row.code) for row in rows(spark, (other, made), "rejects")) == sorted(
        (row.uri, row.code) for row in rows(spark, night, "rejects")
    )


@pytest.mark.parametrize("root", ["file"], indirect=True, scope="module")  # the store makes no difference
def test_embed_udf_answers_from_sql_and_sends_rejects_as_rows(spark, night, corpus):
    from devise.spark.stages.embed import embed_udf

    spark.udf.register("embed", embed_udf(night[0], night[1]["model"], EngineConfig(precision="fp32")))
    pictures = [(uri, content) for uri, content in contents(corpus[0]).items() if uri.endswith(".jpg")]
    spark.createDataFrame(pictures, "uri string, content binary").repartition(3).createOrReplaceTempView("pictures")
    answers = spark.sql("SELECT uri, answer.* FROM (SELECT uri, embed(content) AS answer FROM pictures)").collect()
    stored = {row.uri: row.embedding for row in rows(spark, night, "embeddings")}
    codes = {row.uri: row.code for row in rows(spark, night, "rejects")}
    assert len(answers) == len(pictures)
    for row in answers:
        assert row.code == codes.get(row.uri)
        assert (row.embedding is None) == (row.uri in codes)
        if row.embedding is not None:
            assert np.abs(np.array(row.embedding) - np.array(stored[row.uri])).max() < 1e-4


def test_the_next_night_embeds_only_what_changed_and_forgets_what_left(spark, root, night, corpus):
    changed = copy(corpus[0], f"{root}/changed")
    warehouse = copy_inputs(night, f"{root}/nights", keep=("vocabulary", "model"))
    first = run_all(spark, configs(warehouse, changed)[2:])
    storage.delete(f"{changed}/lion/3.jpg")
    for name, seed in (("1.jpg", 99), ("9.jpg", 98)):
        storage.write_bytes(f"{changed}/lion/{name}", jpeg("lion", seed))
    second = run_all(spark, configs(warehouse, changed, run="r2")[2:])
    counts = second["embeddings"].details
    assert (counts["attempted"], counts["embedded"], counts["carried"]) == (2, 2, len(corpus[2]))
    assert counts["unchanged"] == first["embeddings"].rows - 2
    assert counts["listed"] == second["images"].rows == first["images"].rows
    labelled = {row.uri for row in rows(spark, (warehouse, second), "labels")}
    assert f"{changed}/lion/3.jpg" not in labelled and f"{changed}/lion/9.jpg" in labelled
    assert second["labels"].details["labelled"] == 2  # the others' rows are copied
    requests = counts["requests"].get("images", {"GetObject": {"requests": 0}})["GetObject"]["requests"]
    assert requests == (2 if root.startswith("s3:") else 0)
    found = second["index"].details
    assert (found["base"], found["added"], found["hidden"], second["index"].rows) == ("r1", 2, 2, 2)
    assert found["live_rows"] == second["embeddings"].details["unchanged"] + 2
    assert second["metrics"].details["recall_of"] == "r1"
    assert second["metrics"].details["recall"] == first["metrics"].details["recall"]
    live = Searcher.open(warehouse)
    assert (live.live.run, live.live.runs("index")) == ("r2", ["r1", "r2"])
    row = next(row for row in rows(spark, (warehouse, second), "embeddings") if row.uri.endswith("/lion/1.jpg"))
    hits = live.search(np.array(row.embedding, np.float32), "image", 50).hits
    own = next(hit for hit in hits if hit.uri == row.uri)
    assert own.score > 0.9999 and own.score > hits[0].score - 1e-6  # the picture as it is now; some are all but alike
    assert sorted(hit.uri for hit in hits) == sorted(labelled)


def test_after_a_base_the_runs_before_it_are_not_needed(spark, root, night, corpus):
    warehouse = copy_inputs(night, f"{root}/base", keep=("vocabulary", "model", "embeddings", "rejects"))
    based = run_all(spark, configs(warehouse, corpus[0], run="r2", nights_per_base=1)[2:4])
    assert (based["embeddings"].base, based["rejects"].base) == (True, True)
    assert based["embeddings"].rows == night[1]["embeddings"].rows and based["rejects"].rows == len(corpus[2])
    assert (based["embeddings"].details["embedded"], based["rejects"].details["rejected"]) == (0, 0)
    for table in ("embeddings", "rejects"):
        storage.delete_folder(f"{warehouse}/{table}/run=r1")
    after = run_all(spark, configs(warehouse, corpus[0], run="r3")[2:4])
    counts = after["embeddings"].details
    assert (counts["attempted"], counts["unchanged"], counts["carried"]) == (
        0,
        based["embeddings"].rows,
        len(corpus[2]),
    )
    assert [found.run for found in begin(warehouse, "r9").before("embeddings")] == ["r2", "r3"]


def test_each_gate_holds_back_a_run_that_breaks_it(spark, root, night):
    warehouse = copy_inputs(
        night,
        f"{root}/gates",
        keep=("images", "plan", "vocabulary", "model", "embeddings", "rejects", "labels", "index", "metrics"),
    )
    gate = PublishConfig(warehouse=warehouse, run="r1")

    def altered(table, **details):
        uri = f"{warehouse}/{table}/run=r1/{manifest.NAME}"
        kept = storage.read_bytes(uri)
        document = json.loads(kept)
        document |= {key: details.pop(key) for key in ("model_id", "vocabulary_id") if key in details}
        document["details"] |= details
        storage.write_bytes(uri, json.dumps(document).encode())
        return lambda: storage.write_bytes(uri, kept)

    for table, details, error, words in [
        ("embeddings", {"embedded": 3}, AccountingError, "add up to another number"),
        ("embeddings", {"attempted": 100, "rejected": 8}, RejectedTooMany, "8 of 100 .*8.0%.*at most 5.0%"),
        ("labels", {"n_images": 3}, AccountingError, "3 have labels"),
        ("metrics", {"recall": {"10": {"word": 0.5}}}, GateError, "'word': 0.5"),
        ("metrics", {"recall": {}}, GateError, "recall was not measured"),
        ("embeddings", {"model_id": "other"}, ManifestError, "embeddings/run=r1: of model other, wanted"),
        ("labels", {"model_id": "other"}, GateError, "labels is of model other, wanted"),
        ("labels", {"vocabulary_id": "other"}, GateError, "labels is of vocabulary other, wanted"),
        ("metrics", {"vocabulary_id": "other"}, GateError, "metrics is of vocabulary other, wanted"),
    ]:
        restore = altered(table, **details)
        with pytest.raises(error, match=words):
            job.perform(publish_run.JOB, spark, gate)
        restore()
        assert pointer.read(warehouse) is None
    job.perform(publish_run.JOB, spark, gate)
    assert pointer.read(warehouse).run == "r1"
    storage.delete_folder(f"{warehouse}/index")
    with pytest.raises(GateError, match="it has no index, and the live run r1 has; build_index makes it"):
        job.perform(publish_run.JOB, spark, gate)


@pytest.mark.parametrize("root", ["file"], indirect=True, scope="module")  # the store makes no difference
def test_candidates_that_are_one_label_count_once(spark, root, night, corpus):
    warehouse = copy_inputs(
        night, f"{root}/chosen", keep=("images", "plan", "vocabulary", "model", "embeddings", "rejects")
    )
    config = LabelConfig(warehouse=warehouse, run="r1", k=5, candidates=["lion", "lions", "Lion", "tulip"])
    made = job.perform(label_images.JOB, spark, config)["labels"]
    assert made.details["n_images"] == made.details["labelled"] == night[1]["embeddings"].rows
    assert made.rows == 2 * made.details["n_images"]


@pytest.mark.parametrize("root", ["file"], indirect=True, scope="module")  # the store makes no difference
def test_what_a_gate_held_back_the_next_night_does_not_publish(spark, root, night, corpus, monkeypatch):
    monkeypatch.setattr(publish, "ATTEMPTS_FOR_FRACTION", 10)
    warehouse = copy_inputs(night, f"{root}/held", keep=("vocabulary", "model"))
    stages = (catalog_images.JOB, embed_images.JOB, label_images.JOB)

    def embed_and_label(run):
        run_all(spark, [step for step in configs(warehouse, corpus[0], run=run) if step[0] in stages])
        return lambda **more: job.perform(
            publish_run.JOB, spark, PublishConfig(warehouse=warehouse, run=run, min_recall=0, **more)
        )

    with pytest.raises(RejectedTooMany, match="8 of 34 images"):
        embed_and_label("r1")()
    publish_second = embed_and_label("r2")
    assert manifest.read(warehouse, "embeddings", "r2").details["attempted"] == 0
    with pytest.raises(RejectedTooMany, match="8 of 34 images"):
        publish_second()
    file = manifest.read(warehouse, "embeddings", "r1").files[0]
    uri = f"{warehouse}/embeddings/run=r1/{file.path}"
    kept = storage.read_bytes(uri)
    rows = pq.read_table(io.BytesIO(kept))
    column = rows.schema.get_field_index("embedding")
    longer = pa.array([[2 * x for x in vector] for vector in rows["embedding"].to_pylist()], rows.schema.types[column])
    pq.write_table(rows.set_column(column, "embedding", longer), spoilt := io.BytesIO())
    storage.write_bytes(uri, spoilt.getvalue())
    storage.delete(f"{warehouse}/embeddings/run=r1/.{file.path}.crc")  # Hadoop's own checksum, on file:// alone
    with pytest.raises(GateError, match=f"{len(rows)} embeddings are not finite unit vectors"):
        publish_second(max_reject_fraction=0.5)
    storage.write_bytes(uri, kept)
    held_back = manifest.read(warehouse, "embeddings", "r2")
    details = held_back.details | {"attempted": 10, "rejected": 6, "unchanged": held_back.details["unchanged"] - 4}
    path = f"{warehouse}/embeddings/run=r2/{manifest.NAME}"
    spoilt = held_back.model_copy(update={"details": details | {"embedded": 4, "carried": details["carried"] - 6}})
    storage.write_bytes(path, spoilt.content())
    with pytest.raises(RejectedTooMany, match="6 of 10 images attempted"):  # tonight's own, whatever was before
        publish_second(max_reject_fraction=0.5)
    storage.write_bytes(path, held_back.content())
    publish_second(max_reject_fraction=0.5)
    embed_and_label("r3")()  # what was published once is judged no more
    assert pointer.read(warehouse).run == "r3"


def test_an_older_run_never_replaces_the_live_one(spark, root, night):
    warehouse = copy_inputs(
        night, f"{root}/older", keep=("images", "plan", "vocabulary", "model", "embeddings", "rejects", "labels")
    )
    pointer.swap(warehouse, [("images", "r9")], "r9", None)
    with pytest.raises(GateError, match="older than the live run r9"):
        job.perform(publish_run.JOB, spark, PublishConfig(warehouse=warehouse, run="r1"))


def copy_inputs(night, place, keep=("images", "plan", "vocabulary", "model")):
    """Another warehouse with some tables of the night."""
    for table in keep:
        copy(f"{night[0]}/{table}", f"{place}/{table}")
    for name in ("names.json", "held-out.json"):
        storage.write_bytes(f"{place}/{name}", storage.read_bytes(f"{night[0]}/{name}"))
    return place


def on_disk(night, folder, table):
    """A local path with the table as it lies in the warehouse."""
    copy(f"{night[0]}/{table}", f"file://{folder}/{table}")
    return folder


def jpeg(noun, seed):
    content = io.BytesIO()
    draw(noun, np.random.default_rng(seed), 64).save(content, "JPEG")
    return content.getvalue()


def _with_spark(pair, spark):
    return pair[0], spark, pair[1]
