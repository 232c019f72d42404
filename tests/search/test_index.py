"""The index: faiss against exact search, ids that are the caller's."""

import numpy as np
import pytest

from devise.errors import IndexingError
from devise.search import index
from devise.search.filling import fill_shard, write_shard
from devise.search.kinds import choose_kind, nprobe_steps
from devise.search.template import hides_ids, train_template

DIM = 16
GIB = 2**30


def unit(array_ND):
    return (array_ND / np.linalg.norm(array_ND, axis=1, keepdims=True)).astype(np.float32)


def rows(n_rows, seed=0, dim=DIM):
    """Clustered unit rows, and ids from all over int64's positive half."""
    rng = np.random.default_rng(seed)
    centre_CD = rng.normal(size=(12, dim))
    embedding_ND = unit(centre_CD[rng.integers(12, size=n_rows)] + 0.5 * rng.normal(size=(n_rows, dim)))
    return rng.choice(2**63 - 1, size=n_rows), embedding_ND


def filled(factory, image_id_N, embedding_ND, seed=0):
    """A shard of these rows, and the template that they trained."""
    template = train_template(embedding_ND, choose_kind(len(embedding_ND), DIM, GIB, factory), seed)
    return fill_shard(template, [(image_id_N, embedding_ND)])


def template_of(shard):
    return shard.referenced_objects[-1]


def search(shards, query_QD, k, nprobe, hidden=None):
    """Shards of one template, searched from the query on."""
    return index.search(shards, index.prepare(template_of(shards[0]), query_QD, nprobe), k, hidden)


def assert_same_but_for_ties(found, exact):
    """Equal scores place by place; every id that is found has its own score, and none is found twice."""
    np.testing.assert_allclose(found[1], exact[1], atol=1e-5)
    for ids, others, scores in zip(found[0], exact[0], exact[1], strict=True):
        assert len(set(ids.tolist())) == len(ids)
        odd = set(ids.tolist()) ^ set(others.tolist())
        assert not odd or scores[-1] == pytest.approx(scores[-2], abs=1e-5)


@pytest.mark.parametrize("factory", ["Flat", "IVF16,Flat", "IVF16,SQ8"])
def test_every_stored_row_finds_itself(factory):
    image_id_N, embedding_ND = rows(400)
    found_NK, score_NK = search([filled(factory, image_id_N, embedding_ND)], embedding_ND, 1, nprobe=1)
    np.testing.assert_array_equal(found_NK[:, 0], image_id_N)
    assert np.abs(score_NK - 1).max() < 0.02


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "IVF16,Flat"])
@pytest.mark.parametrize("k", [1, 7, 200])
def test_all_lists_visited_is_exact_search(factory, k):
    image_id_N, embedding_ND = rows(200)
    query_QD = unit(np.random.default_rng(1).normal(size=(30, DIM)))
    found = search([filled(factory, image_id_N, embedding_ND)], query_QD, k, nprobe=10**6)
    assert_same_but_for_ties(found, index.exact_search(query_QD, image_id_N, embedding_ND, k))


def test_exact_search_is_a_sort_of_all_products():
    image_id_N, embedding_ND = rows(50)
    query_QD = unit(np.random.default_rng(2).normal(size=(9, DIM)))
    score_QN = query_QD.astype(np.float64) @ embedding_ND.T.astype(np.float64)
    for k in (1, 3, 50):
        found_QK, score_QK = index.exact_search(query_QD, image_id_N, embedding_ND, k)
        order_QK = np.argsort(-score_QN, axis=1)[:, :k]
        np.testing.assert_array_equal(found_QK, image_id_N[order_QK])
        np.testing.assert_allclose(score_QK, np.take_along_axis(score_QN, order_QK, axis=1), atol=1e-6)


def test_fewer_rows_than_k_leave_minus_one_with_no_score():
    image_id_N, embedding_ND = rows(3)
    for found in (
        search([filled("Flat", image_id_N, embedding_ND)], embedding_ND[:2], 5, 1),
        index.exact_search(embedding_ND[:2], image_id_N, embedding_ND, 5),
    ):
        assert (found[0][:, :3] >= 0).all() and (found[0][:, 3:] == -1).all() and np.isneginf(found[1][:, 3:]).all()
    none_QK, score_QK = index.search([], index.Prepared(*[embedding_ND[:2]] * 2, None, None), 4)
    assert none_QK.tolist() == [[-1] * 4] * 2 and np.isneginf(score_QK).all()


def test_ties_go_to_the_lower_id():
    same_ND = np.repeat(unit(np.ones((1, DIM))), 4, axis=0)
    image_id_N = np.array([9, 2**62, 5, 7])
    wanted = [5, 7, 9, 2**62]
    assert search([filled("Flat", image_id_N, same_ND)], same_ND[:1], 4, 1)[0].tolist() == [wanted]
    assert index.exact_search(same_ND[:1], image_id_N, same_ND, 4)[0].tolist() == [wanted]


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat"])
def test_any_split_into_shards_gives_the_answer_of_the_whole(factory):
    image_id_N, embedding_ND = rows(60)
    query_QD = unit(np.random.default_rng(3).normal(size=(10, DIM)))
    kind = choose_kind(60, DIM, GIB, factory)
    template = train_template(embedding_ND, kind, seed=0)
    whole = search([fill_shard(template, [(image_id_N, embedding_ND)])], query_QD, 10, nprobe=2)
    for n_shards in (1, 2, 3, 7, 59, 60):
        split = [image_id_N % n_shards == number for number in range(n_shards)]
        assert sum(part.sum() for part in split) == 60
        shards = [fill_shard(template, [(image_id_N[part], embedding_ND[part])]) for part in split]
        found = search(shards, query_QD, 10, nprobe=2)
        np.testing.assert_array_equal(found[0], whole[0])
        np.testing.assert_allclose(found[1], whole[1], atol=1e-6)
        everything_QK, _ = search(shards, query_QD[:1], 60, nprobe=10**6)
        assert sorted(everything_QK[0].tolist()) == sorted(image_id_N.tolist())


KINDS = [
    "Flat", "HNSW16", "IVF16,Flat", "IVF16,SQ8", "IVF16,SQfp16", "IVF16,PQ4x4", "IVF16,RaBitQ", "IVF16_HNSW8,SQ8",
    "PCA8,IVF16,SQ8", "Pad32,IVF16,SQ4", "IVF16,PQ4x4fs",
]  # fmt: skip
"""Exact, graph, lists of every sort of code, a graph over centroids, a transform before them, packed blocks."""


@pytest.mark.parametrize("factory", KINDS)
def test_a_search_of_lists_found_once_is_faiss_s_own_search_of_each_shard(factory, tmp_path):
    image_id_N, embedding_ND = rows(600)
    query_QD = unit(np.random.default_rng(11).normal(size=(40, DIM)))
    template = train_template(embedding_ND, choose_kind(600, DIM, GIB, factory), seed=0)
    opened, answers = [], []
    for number in range(3):
        part = image_id_N % 3 == number
        whole = index.faiss.deserialize_index(index.faiss.serialize_index(template))  # with its own centroids
        whole.add_with_ids(embedding_ND[part], image_id_N[part])
        lists = index.faiss.try_extract_index_ivf(whole)
        told = None if lists is None else index.faiss.SearchParametersIVF(nprobe=3)
        answers.append(whole.search(query_QD, 10, params=told))
        write_shard(fill_shard(template, [(image_id_N[part], embedding_ND[part])]), tmp_path / f"{number}.faiss")
        opened.append(index.read_shard(tmp_path / f"{number}.faiss", template))
    wanted = index.keep_best(*(np.concatenate([answer[place] for answer in answers], axis=1) for place in (1, 0)), 10)
    found = search(opened, query_QD, 10, nprobe=3)
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0], wanted[0])


def test_the_lists_of_a_query_are_found_once_whatever_the_shards(monkeypatch):
    image_id_N, embedding_ND = rows(300)
    template = train_template(embedding_ND, choose_kind(300, DIM, GIB, "IVF8,Flat"), seed=0)
    shards = [fill_shard(template, [(image_id_N[part::5], embedding_ND[part::5])]) for part in range(5)]
    queries = index.prepare(template, embedding_ND[:20], 3)
    template.quantizer.reset()  # nobody can look a list up any more
    found_QK, _ = index.search(shards, queries, 1)
    np.testing.assert_array_equal(found_QK[:, 0], image_id_N[:20])


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "IVF4,SQ8"])
def test_ids_are_the_callers_up_to_the_largest_and_never_row_numbers(factory):
    _, embedding_ND = rows(200)
    image_id_N = 2**63 - 1 - np.arange(200)
    found_NK, _ = search([filled(factory, image_id_N, embedding_ND)], embedding_ND, 3, nprobe=4)
    assert found_NK.dtype == np.int64 and found_NK.min() >= 2**63 - 200
    np.testing.assert_array_equal(found_NK[:, 0], image_id_N)


def test_a_kind_that_breaks_on_no_rows_is_built_and_searched():
    image_id_N, embedding_ND = rows(300)  # to add none to fast scan without lists kills the process
    found_QK, _ = search([filled("PQ4x4fs", image_id_N, embedding_ND)], embedding_ND[:5], 20, nprobe=1)
    assert all(own in found for own, found in zip(image_id_N[:5], found_QK, strict=True))


def test_a_shard_written_and_read_answers_the_same(tmp_path):
    image_id_N, embedding_ND = rows(300)
    for factory in ("Flat", "IVF8,Flat", "IVF8,SQ8"):
        made = filled(factory, image_id_N, embedding_ND)
        path = tmp_path / f"{factory}.faiss"  # a file of its own: what is mapped into memory is never rewritten
        write_shard(made, path)
        read = index.read_shard(path, template_of(made))
        for one, other in zip(*(search([shard], embedding_ND[:20], 5, 2) for shard in (made, read)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_no_index_or_no_kind_is_one_line(tmp_path):
    (tmp_path / "shard.faiss").write_bytes(b"not an index at all")
    image_id_N, embedding_ND = rows(60)
    flat = template_of(filled("Flat", image_id_N, embedding_ND))
    write_shard(filled("IVF4,Flat", image_id_N, embedding_ND), tmp_path / "lists.faiss")
    for broken, words in [
        (lambda: index.read_shard(tmp_path / "shard.faiss", flat), "no faiss index"),
        (lambda: index.read_shard(tmp_path / "absent.faiss", flat), "no faiss index"),
        (
            lambda: index.read_shard(tmp_path / "lists.faiss", flat),
            r"found dims and lists \(16, 4\), wanted",
        ),
        (lambda: filled("Flatt", image_id_N, embedding_ND), "'Flatt' on 60 sample rows"),
        (lambda: filled("IVF61,Flat", image_id_N, embedding_ND), "'IVF61,Flat' on 60 sample rows"),
        (lambda: filled("IVF4,SQ8,RFlat", image_id_N, embedding_ND), "add_with_ids not implemented"),
        (
            lambda: search([filled("Flat", image_id_N, embedding_ND)], np.ones((1, 5)), 1, 1),
            f"5 dims, the index {DIM}",
        ),
    ]:
        with pytest.raises(IndexingError, match=words) as error:
            broken()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "factory", ["Flat", "SQ8", "HNSW16", "IVF8,Flat", "IVF8,SQ8", "IVF8_HNSW8,Flat", "PCA8,IVF8,Flat"]
)
def test_a_search_leaves_hidden_ids_out_and_still_finds_k_others(factory, tmp_path):
    image_id_N, embedding_ND = rows(400)
    hidden_H = np.random.default_rng(7).choice(image_id_N, size=150, replace=False)  # in any order, and strangers too
    hidden_H = np.append(hidden_H, [3, 2**63 - 1, 17])
    made, path = filled(factory, image_id_N, embedding_ND), tmp_path / "shard.faiss"
    write_shard(made, path)
    assert hides_ids(factory, DIM)
    for shard in (made, index.read_shard(path, template_of(made))):
        whole_QK, _ = search([shard], embedding_ND[:50], 10, nprobe=8)
        found_QK, score_QK = search([shard], embedding_ND[:50], 10, nprobe=8, hidden=[hidden_H])
        assert np.isin(whole_QK, hidden_H).any() and not np.isin(found_QK, hidden_H).any()
        assert (found_QK >= 0).all() and np.isfinite(score_QK).all()
        everything_QK, _ = search([shard], embedding_ND[:1], 10, nprobe=8, hidden=[image_id_N])
        assert (everything_QK == -1).all()
        row_numbers_QK, _ = search([shard], embedding_ND[:50], 10, nprobe=8, hidden=[np.arange(400)])
        np.testing.assert_array_equal(row_numbers_QK, whole_QK)  # ids are hidden, not rows


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat"])
def test_each_shard_hides_its_own_ids_and_the_rest_is_exact(factory):
    image_id_N, embedding_ND = rows(120)
    old_ND = unit(embedding_ND + np.random.default_rng(8).normal(size=embedding_ND.shape))
    template = train_template(embedding_ND, choose_kind(120, DIM, GIB, factory), seed=0)
    changed = image_id_N % 3 == 0  # their old rows lie in the first shard, their new ones in the second
    first = fill_shard(template, [(image_id_N, np.where(changed[:, None], old_ND, embedding_ND))])
    second = fill_shard(template, [(image_id_N[changed], embedding_ND[changed])])
    hidden = [image_id_N[changed], np.empty(0, np.int64)]
    found = search([first, second], embedding_ND[:40], 10, nprobe=8, hidden=hidden)
    assert_same_but_for_ties(found, index.exact_search(embedding_ND[:40], image_id_N, embedding_ND, 10))


@pytest.mark.parametrize("factory", ["Flat", "IVF24,Flat", "IVF24,SQ8"])
def test_a_search_at_all_steps_is_the_search_at_each(factory):
    image_id_N, embedding_ND = rows(500)
    shard = filled(factory, image_id_N, embedding_ND)
    query_QD = unit(np.random.default_rng(4).normal(size=(40, DIM)))
    steps = nprobe_steps(24)
    found = list(index.search_at_steps(shard, index.prepare(template_of(shard), query_QD, 24), 10, steps))
    assert len(found) == len(steps)
    for nprobe, (ids_QK, scores_QK) in zip(steps, found, strict=True):
        wanted = search([shard], query_QD, 10, nprobe)
        np.testing.assert_array_equal(ids_QK, wanted[0])
        np.testing.assert_array_equal(scores_QK, wanted[1])
    if factory != "Flat":
        assert (found[0][0] != found[-1][0]).any()


def test_exact_search_in_blocks_is_exact_search_whatever_the_cuts():
    image_id_N, embedding_ND = rows(40)
    query_QD = unit(np.random.default_rng(6).normal(size=(8, DIM)))
    for k in (1, 5, 60):
        whole = index.exact_search(query_QD, image_id_N, embedding_ND, k)
        for size in (1, 3, 39, 40):
            cuts = range(0, 40, size)
            blocks = ((image_id_N[start : start + size], embedding_ND[start : start + size]) for start in cuts)
            found = index.exact_search_in_blocks(query_QD, blocks, k)
            np.testing.assert_array_equal(found[0], whole[0])
            np.testing.assert_allclose(found[1], whole[1], atol=1e-6)
    assert (index.exact_search_in_blocks(query_QD, [], 3)[0] == -1).all()


def test_best_of_many_keeps_its_order_over_any_grouping():
    rng = np.random.default_rng(5)
    id_QM, score_QM = rng.permuted(np.tile(np.arange(12), (6, 1)), axis=1), rng.integers(4, size=(6, 12)) / 4
    whole = index.keep_best(id_QM, score_QM, 5)
    for cut in range(13):
        parts = [index.keep_best(id_QM[:, part], score_QM[:, part], 5) for part in (slice(0, cut), slice(cut, 12))]
        joined = index.keep_best(*(np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True)), 5)
        np.testing.assert_array_equal(joined[0], whole[0])
        np.testing.assert_array_equal(joined[1], whole[1])
