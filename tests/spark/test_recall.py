"""nprobe settled in the shards and recall measured on other queries: the same as in one process."""

import io
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest

from devise.config import EvaluateConfig, IndexConfig
from devise.errors import VectorError
from devise.learning.metrics import recall_at_k
from devise.search import index, kinds, shards
from devise.search.filling import fill_shard
from devise.search.template import read_template
from devise.spark.frame.job import Task
from devise.spark.frame.tables import Written
from devise.spark.stages import evaluate, fill, recall
from devise.spark.stages import index as stage
from devise.store import storage

N_ROWS, N_WORDS, DIM = 3000, 300, 16
RNG = np.random.default_rng(0)


def unit(array_ND):
    return (array_ND / np.linalg.norm(array_ND, axis=1, keepdims=True)).astype(np.float32)


WORD_VD = unit(RNG.normal(size=(N_WORDS, DIM)))
CENTRE_CD = unit(np.einsum("ct,ctd->cd", RNG.dirichlet([1] * 3, 60), WORD_VD[RNG.integers(N_WORDS, size=(60, 3))]))
EMBEDDING_ND = unit(CENTRE_CD[RNG.integers(60, size=N_ROWS)] + 0.15 * RNG.normal(size=(N_ROWS, DIM)))
EMBEDDING_ND[1:150] = EMBEDDING_ND[0]  # copies of one picture, more than exact search looks for ties
IMAGE_ID_N = RNG.choice(2**63 - 1, size=N_ROWS, replace=False)


@pytest.fixture(scope="module")
def frames(spark):
    """Embeddings and vocabulary, as the index stage reads them."""
    rows = [(int(i), f"file:///{i}", "1", v.tolist()) for i, v in zip(IMAGE_ID_N, EMBEDDING_ND, strict=True)]
    embeddings = spark.createDataFrame(
        rows, "image_id long, uri string, etag string, embedding array<float>"
    ).repartition(3)
    words = [(label_id, vector.tolist()) for label_id, vector in enumerate(WORD_VD)]
    return embeddings.cache(), spark.createDataFrame(words, "label_id int, vector array<float>").cache()


def build(spark, frames, folder, factory, **settings):
    """The stage's task after its shards are filled and nprobe is settled; and the kind."""
    embeddings, vocabulary = frames
    values = {"rows_per_shard": 1001, "tune_queries": 60, **settings}
    config = IndexConfig(warehouse=str(folder), run="r1", kind=factory, **values)
    task = Task(spark, config, None, {}, str(folder / "_staging"))
    task.read = {"vocabulary": vocabulary}.__getitem__
    kind = kinds.choose_kind(N_ROWS, DIM, config.memory_bytes, config.kind)
    folder = task.folder("index")
    template = fill.train_template(embeddings, folder, kind, N_ROWS, N_ROWS, config.seed)
    files = fill.fill_shards(embeddings, folder, shards.template(folder, [template]), 3, N_ROWS)
    task.written["index"] = Written(fill.SIDECAR.names, [template, *files])
    task.details |= {"dim": DIM, "base": "r1", "n_shards": 3, "layout": shards.LAYOUT}
    task.details |= stage.settle_nprobe(task, embeddings, kind)
    return task, kind


@pytest.fixture(scope="module")
def tuned(spark, frames, tmp_path_factory):
    """An index whose nprobe is settled: its task, its kind, and what was printed."""
    with redirect_stdout(io.StringIO()) as printed:
        task, kind = build(spark, frames, tmp_path_factory.mktemp("tuned"), "IVF32,Flat", target_recall=0.9)
    return task, kind, printed.getvalue()


def in_one_process(task, kind, queries):
    """Kind -> nprobe -> recall@10 of one shard of all rows, without Spark."""
    template = next(file.path for file in task.written["index"].files if file.path.startswith("template"))
    opened = read_template(storage.local_path(task.folder("index")) / template)
    whole = fill_shard(opened, [(IMAGE_ID_N, EMBEDDING_ND)])
    query_QD = np.array(queries.vectors, dtype=np.float32)

    def without_itself(ids_QK, scores_QK, k):
        kept = [np.flatnonzero(ids != own)[:k] for ids, own in zip(ids_QK, queries.left_out, strict=True)]
        return np.array([ids_QK[row][own] for row, own in enumerate(kept)]), np.array(
            [scores_QK[row][own] for row, own in enumerate(kept)]
        )

    exact = without_itself(*index.exact_search(query_QD, IMAGE_ID_N, EMBEDDING_ND, 111), 110)
    found = {}
    for nprobe in kinds.nprobe_steps(kind.nlist):
        near = without_itself(*index.search([whole], index.prepare(opened, query_QD, nprobe), 11), 10)
        for name in recall.KINDS:
            rows = np.array([row for row, asked in enumerate(queries.kinds) if asked == name])
            figures = [table[rows] for table in (*near, *exact)]
            found.setdefault(name, {})[nprobe] = recall_at_k(*figures, 10)
    return found


def test_the_settled_nprobe_is_the_least_that_reaches_the_target_in_one_process_too(frames, tuned):
    task, kind, lines = tuned
    queries = recall.draw_queries(*frames, 60, 0, "tune")
    tried = in_one_process(task, kind, queries)
    for name in recall.KINDS:
        wanted = kinds.settle_nprobe(tried[name], 0.9)
        settled = task.details["tuning"][name]
        assert settled["nprobe"] == task.details["nprobe"][name] == wanted.nprobe
        assert settled["recall"] == pytest.approx(wanted.recall, abs=0.005)  # copies tie, each shard picks its own
        assert settled["recall"] >= 0.9 and settled["reached"] and settled["n_queries"] == 60
        assert (
            f"[build_index] {name} queries: nprobe {wanted.nprobe} of 32, recall@10 {settled['recall']:.4f} " in lines
        )
    nprobe = task.details["nprobe"]
    assert nprobe["word"] > nprobe["image"]  # words are no images, and one setting for all would fail them


def test_a_target_beyond_what_the_candidates_hold_takes_the_ceiling_and_says_so(spark, frames, tmp_path, capsys):
    task, kind = build(spark, frames, tmp_path, "PCA2,IVF32,Flat", target_recall=1.0)
    lines = capsys.readouterr().out
    for name in recall.KINDS:
        settled = task.details["tuning"][name]
        assert not settled["reached"] and settled["ceiling"] < 1
        assert settled["ceiling"] - kinds.CEILING_SLACK <= settled["recall"] <= settled["ceiling"]
        assert f"{name} queries: nprobe {settled['nprobe']} of 32" in lines
    assert lines.count("1 is out of reach, the best of any nprobe is 0.") == 4


def test_a_flat_index_has_nothing_to_settle(spark, frames, tmp_path, capsys):
    task, _ = build(spark, frames, tmp_path, "Flat")
    assert task.details["nprobe"] == dict.fromkeys(recall.KINDS, 1) and task.details["tuning"] == {}
    assert "Flat has no lists: no nprobe to settle" in capsys.readouterr().out


def test_words_of_another_dimension_than_the_images_are_refused(spark, frames, tmp_path):
    short = spark.createDataFrame([(0, [1.0, 0.0]), (1, [0.0, 1.0])], "label_id int, vector array<float>")
    with pytest.raises(VectorError, match="embeddings have 16 dims, the vocabulary's vectors 2"):
        build(spark, (frames[0], short), tmp_path, "IVF4,Flat")


def test_evaluation_asks_other_queries_than_tuning_whatever_the_seeds(frames):
    for seeds in [(0, 0), (3, 4)]:
        tuned = recall.draw_queries(*frames, 75, seeds[0], "tune")  # 75 words and 150 in pairs: half of all 300
        measured = recall.draw_queries(*frames, 75, seeds[1], "measure")
        for kind in recall.KINDS:
            one, other = ({tuple(v) for k, v in zip(q.kinds, q.vectors, strict=True) if k == kind}
                          for q in (tuned, measured))  # fmt: skip
            if kind == "image":
                one, other = ({i for i in q.left_out if i >= 0} for q in (tuned, measured))
            assert len(one) >= 60 and len(other) >= 60 and not one & other
    assert recall.draw_queries(*frames, 10, 0, "tune") == recall.draw_queries(*frames, 10, 0, "tune")
    assert recall.draw_queries(*frames, 10, 0, "tune") != recall.draw_queries(*frames, 10, 1, "tune")


def test_a_corpus_too_small_for_two_halves_gives_all_it_has(frames):
    few, words = (frame.limit(5).cache() for frame in frames)
    for purpose in ("tune", "measure"):
        queries = recall.draw_queries(few, words, 200, 0, purpose)
        assert [queries.kinds.count(kind) for kind in recall.KINDS] == [5, 5, 2, 2]


def test_differences_are_of_the_drawn_pairs_and_two_labels_of_one_vector_have_none(spark, frames):
    queries = recall.draw_queries(*frames, 20, 0, "tune")
    by_kind = {name: np.array([v for k, v in zip(queries.kinds, queries.vectors, strict=True) if k == name])
               for name in recall.KINDS}  # fmt: skip
    assert {len(found) for found in by_kind.values()} == {20}
    np.testing.assert_allclose(np.einsum("qd,qd->q", by_kind["words"], by_kind["differences"]), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(by_kind["differences"], axis=1), 1, atol=1e-5)
    same = spark.createDataFrame([(row, WORD_VD[0].tolist()) for row in range(40)], "label_id int, vector array<float>")
    twins = recall.draw_queries(frames[0], same, 20, 0, "tune")
    assert [twins.kinds.count(name) for name in recall.KINDS] == [20, 20, 20, 0]
    assert np.isfinite(twins.vectors).all()


@pytest.mark.parametrize("n_parts", [1, 7])
def test_exact_neighbours_are_a_sort_of_all_products_whatever_the_partitions(frames, n_parts):
    embeddings, vocabulary = frames
    queries = recall.draw_queries(embeddings, vocabulary, 20, 5, "measure")
    found = recall.exact_neighbours(embeddings.repartition(n_parts), queries, 10)
    score_QN = np.array(queries.vectors) @ EMBEDDING_ND.T.astype(np.float64)
    score_QN[np.array(queries.left_out)[:, None] == IMAGE_ID_N] = -9
    assert found.ids_QK.shape == (80, 10 + recall.TIES)
    np.testing.assert_allclose(found.scores_QK, -np.sort(-score_QN, axis=1)[:, : 10 + recall.TIES], atol=1e-5)
    place = {image_id: row for row, image_id in enumerate(IMAGE_ID_N.tolist())}
    for row, ids in enumerate(found.ids_QK.tolist()):
        assert len(set(ids)) == len(ids)
        np.testing.assert_allclose(
            score_QN[row, [place[image_id] for image_id in ids]], found.scores_QK[row], atol=1e-5
        )


def test_measured_recall_is_what_the_settled_nprobe_gives(spark, frames, tuned):
    task, kind, _ = tuned
    asked = SimpleNamespace(
        spark=spark, config=EvaluateConfig(warehouse=task.config.warehouse, run="r1", recall_queries=60), details={},
        model_id="m", vocabulary_id="v", input=lambda table: SimpleNamespace(details={"dim": DIM}),
    )  # fmt: skip
    made = SimpleNamespace(table="index", run="r1", files=task.written["index"].files, details=task.details)
    rows = evaluate.evaluate_index(asked, *frames, [made])
    tried = in_one_process(task, kind, recall.draw_queries(*frames, 60, 0, "measure"))
    assert [(name, k) for _, name, k, *_ in rows] == [(name, k) for k in (1, 10) for name in recall.KINDS]
    for _, name, k, value, low, high, n, _, _ in rows:
        assert low <= value <= high + 1e-9 and n == 60
        if k == 10:
            assert value == pytest.approx(tried[name][task.details["nprobe"][name]], abs=0.005)
            assert asked.details["recall"]["10"][name] == value > 0.8
