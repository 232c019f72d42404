"""The whole pipeline on a few drawn pictures, odd and broken files among them: the tables, reruns, gates and doors."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from devise import manifest, storage
from devise.config import (
    CatalogConfig,
    EmbedConfig,
    EngineConfig,
    EvaluateConfig,
    IndexConfig,
    LabelConfig,
    LabelledConfig,
    PublishConfig,
    SearchConfig,
    SplitConfig,
    TrainConfig,
    VocabularyConfig,
)
from devise.errors import AccountingError, GateError, RejectedTooMany
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
from devise.sample.book import draw
from devise.sample.broken import write_broken, write_odd
from devise.sample.demo import SAMPLE
from devise.spark import job, schemas, tables

NOUNS = ("lion", "tulip", "castle", "ferry")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """16 drawn pictures in class folders, 10 odd ones that must come through, and broken ones with their codes."""
    folder = tmp_path_factory.mktemp("corpus")
    for noun in NOUNS:
        (folder / noun).mkdir()
        for number in range(4):
            draw(noun, np.random.default_rng(number), 64).save(folder / noun / f"{number}.jpg")
    odd = write_odd(folder / "odd ones = ü")
    broken = write_broken(folder / "broken")
    return folder, odd, broken


def configs(warehouse, corpus, run="r1", **embed):
    """Every job's settings for one small night."""
    common = {"warehouse": str(warehouse), "run": run}
    labelled = LabelledConfig(source=str(corpus), kind="folders")
    seen = LabelledConfig(source=str(corpus), names=str(Path(warehouse) / "names.json"))
    vectors = str(SAMPLE / "vectors.vec.gz")
    return [
        (build_vocabulary.JOB, VocabularyConfig(**common, vectors=vectors, hierarchy=str(SAMPLE / "nouns.tsv.gz"))),
        (
            train_model.JOB,
            TrainConfig(
                **common, architecture="small_cnn", resize=32, crop=32, core_epochs=1, labelled=seen, held_out=["ferry"]
            ),
        ),
        (catalog_images.JOB, CatalogConfig(**common, sources=[str(corpus)])),
        (embed_images.JOB, EmbedConfig(**common, engine={"precision": "fp32"}, **embed)),
        (label_images.JOB, LabelConfig(**common, k=3)),
        (build_index.JOB, IndexConfig(**common, rows_per_shard=10)),
        (
            search_images.JOB,
            SearchConfig(**common, queries=["lion", "lion + tulip", f"image:{corpus}/lion/0.jpg"], k=5),
        ),
        (
            evaluate_model.JOB,
            EvaluateConfig(
                **common,
                ks=[1, 5],
                hierarchy=str(SAMPLE / "nouns.tsv.gz"),
                recall_queries=5,
                splits=[SplitConfig(name="drawn", labelled=labelled, candidates=list(NOUNS))],
            ),
        ),
        (publish_run.JOB, PublishConfig(**common)),
    ]


def run_all(spark, plan):
    return {made: found for stage, config in plan for made, found in job.perform(stage, spark, config).items()}


@pytest.fixture(scope="module")
def night(spark, tmp_path_factory, corpus):
    """A published warehouse and its manifests."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    (warehouse / "names.json").write_text(json.dumps({noun: noun for noun in NOUNS}))
    return warehouse, run_all(spark, configs(warehouse, corpus[0]))


def rows(spark, night, table):
    warehouse, found = night
    return tables.read(spark, str(warehouse), [found[table]], schemas.TABLES[table]).collect()


def test_every_listed_image_is_an_embedding_or_a_reject_with_its_code(spark, night, corpus):
    folder, odd, broken = corpus
    embedded = {row.uri.rsplit("/", 1)[-1]: row for row in rows(spark, night, "embeddings") if "/odd" in row.uri}
    rejected = {row.uri.rsplit("/", 1)[-1]: row.code for row in rows(spark, night, "rejects")}
    assert set(embedded) == set(odd) and rejected == broken
    counts = night[1]["embeddings"].details
    assert counts["listed"] == 16 + len(odd) + len(broken) == counts["embedded"] + counts["rejected"]
    assert night[1]["rejects"].rejects == {code: list(broken.values()).count(code) for code in set(broken.values())}
    for row in rows(spark, night, "embeddings"):
        assert abs(np.linalg.norm(row.embedding) - 1) < 1e-5 and row.model_id == night[1]["model"].model_id


def test_labels_are_the_exact_nearest_words_of_the_stored_embeddings(spark, night):
    vocabulary = rows(spark, night, "vocabulary")
    vector_VD = np.array([row.vector for row in sorted(vocabulary, key=lambda row: row.label_id)])
    names = [row.label for row in sorted(vocabulary, key=lambda row: row.label_id)]
    embeddings = {row.image_id: np.array(row.embedding) for row in rows(spark, night, "embeddings")}
    labels = sorted(rows(spark, night, "labels"), key=lambda row: (row.image_id, row["rank"]))
    assert len(labels) == 3 * len(embeddings)
    for number, row in enumerate(labels):
        scores = np.sort(vector_VD @ embeddings[row.image_id])[::-1]
        assert row["rank"] == number % 3 + 1
        assert abs(row.score - scores[row["rank"] - 1]) < 1e-5
        assert abs(row.score - vector_VD[names.index(row.label)] @ embeddings[row.image_id]) < 1e-5


def test_labels_are_sorted_by_image_id_across_their_files(night):
    folder = night[0] / "labels" / "run=r1"
    ids = [pq.read_table(folder / file.path).column("image_id").to_pylist() for file in night[1]["labels"].files]
    assert [number for part in ids for number in part] == sorted(number for part in ids for number in part)


def test_a_picture_finds_itself_first_and_results_are_ranked(spark, night, corpus):
    found = rows(spark, night, "results")
    image = f"image:{corpus[0]}/lion/0.jpg"
    assert {(row["query"], row.kind) for row in found} == {
        ("lion", "word"),
        ("lion + tulip", "words"),
        (image, "image"),
    }
    first = next(row for row in found if row["query"] == image and row["rank"] == 1)
    assert first.uri == storage.normalise(f"{corpus[0]}/lion/0.jpg") and first.score > 0.9999
    for query in {row["query"] for row in found}:
        scores = [row.score for row in sorted(found, key=lambda row: row["rank"]) if row["query"] == query]
        assert len(scores) == 5 and scores == sorted(scores, reverse=True)


def test_the_index_has_a_shard_a_part_of_the_ids_and_finds_what_exact_search_finds(spark, night):
    index = night[1]["index"]
    assert index.details["n_shards"] == 3 == sum(file.path.endswith(".faiss") for file in index.files) - 1
    assert index.rows == night[1]["embeddings"].rows
    recall = [row for row in rows(spark, night, "metrics") if row.name == "recall" and row.k == 10]
    assert {row.split for row in recall} == {"image", "word", "words"} and all(row.value == 1 for row in recall)


def test_metrics_have_hits_and_hierarchical_precision_with_their_n(spark, night):
    found = {(row.name, row.split, row.k): row for row in rows(spark, night, "metrics")}
    assert found["hit", "drawn", 5].value == 1 and found["hit", "drawn", 5].n == 16  # four candidates, five guesses
    assert ("hp", "drawn", 1) in found
    assert all(row.low <= row.value + 1e-9 and row.value <= row.high + 1e-9 for row in found.values())


def test_the_model_never_saw_the_held_out_noun(night):
    model = night[1]["model"]
    card = json.loads((night[0] / "model" / "run=r1" / model.files[0].path).parent.joinpath("card.json").read_text())
    assert card["seen"] == ["castle", "lion", "tulip"]


def test_the_pointer_names_every_table_of_the_run(night):
    live = manifest.read_live(str(night[0]))
    assert live.run == "r1"
    assert {entry.table for entry in live.entries} == {*schemas.TABLES, "model", "index"} - {"features"}


@pytest.mark.parametrize("table", schemas.TABLES)
def test_duckdb_and_pandas_read_every_table_as_it_lies(night, table):
    warehouse, found = night
    n_rows, columns = found[table].rows, [*schemas.TABLES[table].names, "run"]
    answer = duckdb.sql(f"SELECT * FROM read_parquet('{warehouse}/{table}/*/*.parquet', hive_partitioning = true)")
    frame = pd.read_parquet(warehouse / table)
    assert (answer.columns, len(answer.fetchall())) == (columns, n_rows)
    assert (list(frame.columns), len(frame)) == (columns, n_rows)


def test_an_analyst_counts_the_best_labels(night):
    warehouse, found = night
    best = f"read_parquet('{warehouse}/labels/*/*.parquet') WHERE rank = 1"
    counted = duckdb.sql(f"SELECT label, count(*) AS images FROM {best} GROUP BY label ORDER BY images DESC").fetchall()
    assert sum(images for _, images in counted) == found["embeddings"].rows


def test_starting_the_night_again_changes_no_byte(spark, night, corpus):
    before = {path: path.read_bytes() for path in night[0].rglob("*") if path.is_file()}
    run_all(spark, configs(night[0], corpus[0]))
    assert {path: path.read_bytes() for path in night[0].rglob("*") if path.is_file()} == before


def test_the_pandas_door_gives_the_same_embeddings_and_rejects(spark, night, corpus, tmp_path):
    other = copy_inputs(night, tmp_path)
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


def test_embed_udf_answers_from_sql_and_sends_rejects_as_rows(spark, night, corpus):
    from devise.spark.embed import embed_udf

    folder, _, _ = corpus
    spark.udf.register("embed", embed_udf(str(night[0]), night[1]["model"], EngineConfig(precision="fp32")))
    pictures = [(uri, storage.read_bytes(storage.normalise(uri))) for uri in map(str, sorted(folder.rglob("*.jpg")))]
    spark.createDataFrame(pictures, "uri string, content binary").repartition(3).createOrReplaceTempView("pictures")
    answers = spark.sql("SELECT uri, answer.* FROM (SELECT uri, embed(content) AS answer FROM pictures)").collect()
    stored = {row.uri: row.embedding for row in rows(spark, night, "embeddings")}
    codes = {row.uri: row.code for row in rows(spark, night, "rejects")}
    assert len(answers) == len(pictures)
    for row in answers:
        uri = storage.normalise(row.uri)
        assert row.code == codes.get(uri)
        assert (row.embedding is None) == (uri in codes)
        if row.embedding is not None:
            assert np.abs(np.array(row.embedding) - np.array(stored[uri])).max() < 1e-4


def test_the_next_night_embeds_only_what_changed_and_forgets_what_left(spark, night, corpus, tmp_path):
    changed = tmp_path / "corpus"
    shutil.copytree(corpus[0], changed)  # copy2 keeps mtimes, but the uris are new: this is night one of its own
    warehouse = copy_inputs(night, tmp_path / "w", keep=("vocabulary", "model"))
    first = run_all(spark, configs(warehouse, changed)[2:5])
    (changed / "lion" / "0.jpg").unlink()
    draw("lion", np.random.default_rng(99), 64).save(changed / "lion" / "1.jpg")
    draw("lion", np.random.default_rng(98), 64).save(changed / "lion" / "9.jpg")
    second = run_all(spark, configs(warehouse, changed, run="r2")[2:5])
    counts = second["embeddings"].details
    assert (counts["attempted"], counts["embedded"], counts["carried"]) == (2, 2, len(corpus[2]))
    assert counts["unchanged"] == first["embeddings"].rows - 2
    assert counts["listed"] == second["images"].rows == first["images"].rows
    labelled = {row.uri for row in rows(spark, (warehouse, second), "labels")}
    assert storage.normalise(str(changed / "lion/0.jpg")) not in labelled
    assert storage.normalise(str(changed / "lion/9.jpg")) in labelled


def test_each_gate_holds_back_a_run_that_breaks_it(spark, night, corpus, tmp_path):
    warehouse = copy_inputs(
        night, tmp_path, keep=("images", "vocabulary", "model", "embeddings", "rejects", "labels", "index", "metrics")
    )
    gate = PublishConfig(warehouse=str(warehouse), run="r1")

    def altered(table, **details):
        path = warehouse / table / "run=r1" / manifest.NAME
        document = json.loads(path.read_text())
        kept = path.read_text()
        document["details"] |= details
        path.write_text(json.dumps(document))
        return lambda: path.write_text(kept)

    for table, details, error, words in [
        ("embeddings", {"embedded": 3}, AccountingError, "add up to another number"),
        ("embeddings", {"attempted": 100, "rejected": 8}, RejectedTooMany, "8 of 100 .*8.0%.*at most 5.0%"),
        ("labels", {"n_images": 3}, AccountingError, "3 have labels"),
        ("metrics", {"recall": {"10": {"word": 0.5}}}, GateError, "'word': 0.5"),
        ("metrics", {"recall": {}}, GateError, "recall was not measured"),
    ]:
        restore = altered(table, **details)
        with pytest.raises(error, match=words):
            job.perform(publish_run.JOB, spark, gate)
        restore()
        assert manifest.read_live(str(warehouse)) is None
    job.perform(publish_run.JOB, spark, gate)
    assert manifest.read_live(str(warehouse)).run == "r1"


def test_an_older_run_never_replaces_the_live_one(spark, night, tmp_path):
    warehouse = copy_inputs(night, tmp_path, keep=("images", "vocabulary", "model", "embeddings", "rejects", "labels"))
    manifest.swap_live(str(warehouse), [("images", "r9")], "r9", None)
    with pytest.raises(GateError, match="older than the live run r9"):
        job.perform(publish_run.JOB, spark, PublishConfig(warehouse=str(warehouse), run="r1"))


def copy_inputs(night, place, keep=("images", "vocabulary", "model")):
    place.mkdir(exist_ok=True)
    for table in keep:
        shutil.copytree(night[0] / table, place / table)
    shutil.copy(night[0] / "names.json", place / "names.json")
    return place


def _with_spark(pair, spark):
    return pair[0], spark, pair[1]
