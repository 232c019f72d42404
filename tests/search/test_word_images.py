"""Lists of images a label: equal to brute force, ties included, whatever the batches, and after any change."""

import numpy as np
import pyarrow as pa
import pytest

from devise.search import reaching, wordimages
from devise.search.ranking import Ranker
from devise.search.reaching import Passed, Sample, near_floors
from devise.search.wordimages import Floors, Lists
from devise.words.ancestry import Ancestry

V, D, T = 700, 16, 3


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def ranker():
    draw = np.random.default_rng(0)
    synsets = [f"n{number}" if number < 300 else None for number in range(V)]
    hypernyms = {f"n{number}": [f"n{number // 3}"] if number else [] for number in range(300)}
    ancestry = Ancestry(hypernyms, synsets)
    return Ranker(
        *(unit(draw.normal(size=(V, D))), ancestry, [f"n{number}" for number in range(100, 150)]),
        seen=range(100, 150), evidence=2.5, seen_penalty=1.0, denied=[7, 8],
    )  # fmt: skip


def pictures(n, seed):
    """Embeddings, class ids and probabilities; every fifth picture is the one before it again."""
    draw = np.random.default_rng(seed)
    embedding_ND, class_id_NT = unit(draw.normal(size=(n, D))), draw.integers(0, 50, (n, T)).astype(np.int32)
    probability_NT = draw.dirichlet(np.ones(T), n).astype(np.float32)
    for made in (embedding_ND, class_id_NT, probability_NT):
        made[5::5] = made[4:-1:5]
    return embedding_ND, class_id_NT, probability_NT


def relevances(ranker, pictured):
    """(N, V), of the very bits that a night ranks by, and the cosines of vectors and embeddings."""
    found = np.full((len(pictured[0]), V), -np.inf, np.float32)

    def see(block):
        found[block.rows] = block.relevance_BW

    ranker.top(*pictured, 1, see=see)
    return found, pictured[0] @ ranker.vectors_VD.T


def brute(relevance_NV, score_NV, ids, order_V, k):
    """(place, image_id, relevance, score), by place and rank."""
    rows = []
    for place, label in enumerate(order_V.tolist()):
        if np.isinf(relevance_NV[0, label]):
            continue
        best = np.lexsort((ids, -relevance_NV[:, label]))[:k]
        rows += [(place, int(ids[row]), relevance_NV[row, label], score_NV[row, label]) for row in best]
    return rows


def entries_of(ranker, pictured, ids, floor_V, order_V, batch=512):
    passed = Passed(ranker, floor_V, order_V)
    for start in range(0, len(ids), batch):
        part = slice(start, start + batch)
        ranker.top(*(rows[part] for rows in pictured), 5, see=passed.see)
        passed.name(pa.array(ids[part]), pa.array([f"u{number}" for number in ids[part]]))
    return passed.take()


def nothing():
    return wordimages.ENTRIES.empty_table()


def same(entries, wanted, k):
    rank_M = wordimages.ranks(entries.column("place").to_numpy())
    found = entries.filter(pa.array(rank_M <= k))
    assert found.column("place").to_pylist() == [row[0] for row in wanted]
    assert found.column("image_id").to_pylist() == [row[1] for row in wanted]
    np.testing.assert_array_equal(found.column("relevance").to_numpy(), np.array([row[2] for row in wanted]))
    np.testing.assert_allclose(found.column("score").to_numpy(), [row[3] for row in wanted], atol=2e-6)
    assert found.column("uri").to_pylist() == [f"u{row[1]}" for row in wanted]


@pytest.mark.parametrize(("batch", "floor"), [(512, -np.inf), (100, -np.inf), (512, 1.0), (7, 2.0)])
def test_lists_are_those_of_brute_force_ties_included_in_any_batches_at_any_floor(ranker, batch, floor):
    pictured, ids = pictures(600, 1), np.random.default_rng(2).permutation(600) + 10
    order_V = wordimages.order([f"w{(number * 7) % V}" for number in range(V)])
    floor_V = np.where(np.isin(order_V, ranker.candidates), floor, -np.inf).astype(np.float32)
    lists = Lists(nothing(), Floors.of(floor_V), wordimages.length(20))
    for number, found in entries_of(ranker, pictured, ids, floor_V, order_V, batch):
        assert number == 0
        lists.add(found)
    entries, _ = lists.merge()
    wanted = [row for row in brute(*relevances(ranker, pictured), ids, order_V, 20) if row[2] >= floor]
    counts = np.bincount([row[0] for row in wanted], minlength=V)
    assert lists.short(20).tolist() == np.flatnonzero((counts < 20) & (floor_V > -np.inf)).tolist()
    same(entries, wanted, 20)


def test_lists_of_several_ranges_are_those_of_brute_force(ranker, monkeypatch):
    for module in (wordimages, reaching):
        monkeypatch.setattr(module, "LABELS_A_RANGE", 64)
    monkeypatch.setattr(reaching, "CHUNK_ROWS", 50)
    pictured, ids = pictures(300, 1), np.arange(300) * 3
    order_V = wordimages.order([f"w{number}" for number in range(V)])
    floor_V = np.full(V, -np.inf, np.float32)
    chunks = entries_of(ranker, pictured, ids, floor_V, order_V, 100)
    lists = {number: Lists(nothing(), Floors.of(floor_V[:64]), wordimages.length(8)) for number in range(11)}
    for number, found in chunks:
        assert len(found) <= 50
        lists[number].add(found)
    wanted = brute(*relevances(ranker, pictured), ids, order_V, 8)
    for number, one in lists.items():
        here = [(place - 64 * number, *row) for place, *row in wanted if place // 64 == number]
        same(one.merge()[0], here, 8)


def test_where_floors_let_all_through_few_images_are_looked_at_together(ranker, monkeypatch):
    monkeypatch.setattr(reaching, "AT_A_TIME", 7_000)
    order_V = np.arange(V)
    floors = np.full(V, -np.inf, np.float32), np.full(V, 3.0, np.float32)
    assert [Passed(ranker, floor_V, order_V).rows_at_a_time for floor_V in floors] == [10, 7_000]


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_nights_leaves_the_lists_that_are_made_anew(ranker, seed):
    """Images come, change, go and come back, with the very same embedding or another; lists of 8 keep 10."""
    draw, order_V, k = np.random.default_rng(seed), wordimages.order([f"w{n:03d}" for n in range(V)]), 8
    pool, live, refilled = pictures(400, seed), {}, 0
    lists = Lists(nothing(), Floors.of(np.full(V, -np.inf)), wordimages.length(k))
    lists.merge()
    for night in range(9):
        gone = draw.choice(sorted(live), len(live) // 4, replace=False).tolist() if night else []
        new = {int(image): int(draw.integers(400)) for image in draw.choice(120, 60 if night == 0 else 12)}
        lost = [*gone, *(image for image in new if image in live)]
        live = {image: row for image, row in live.items() if image not in lost} | new
        floors = lists.floors
        lists = Lists(lists.merge()[0], floors, wordimages.length(k))
        for _, found in named_entries(ranker, pool, new, floors.relevance_L, order_V):
            lists.add(found)
        lists.lose(np.array(lost, np.int64))
        entries, _ = lists.merge()
        n_wanted = min(k, len(live))
        for floor in (2.0, -np.inf):  # the first may let too few through
            if not len(short := lists.short(n_wanted)):
                break
            refilled += len(short)
            floor_V = np.full(V, np.inf, np.float32)
            floor_V[short] = floor
            lists = Lists(entries, lists.floors, wordimages.length(k))
            lists.renew(short, floor_V[short])
            near = near_floors(few_of(ranker, order_V[short]), floor_V, order_V, *rows_of(pool, live))
            passing = {image: row for (image, row), kept in zip(live.items(), near, strict=True) if kept}
            for _, found in named_entries(ranker, pool, passing, floor_V, order_V):
                lists.add(found)
            entries, _ = lists.merge()
        relevance_NV, score_NV = relevances(ranker, rows_of(pool, live))
        same(entries, brute(relevance_NV, score_NV, np.array(list(live)), order_V, k), k)
    assert refilled


def rows_of(pool, images):
    return tuple(part[np.array(list(images.values()), np.int64)] for part in pool)


def named_entries(ranker, pool, images, floor_V, order_V):
    return entries_of(ranker, rows_of(pool, images), np.array(list(images), np.int64), floor_V, order_V)


def few_of(ranker, label_ids):
    """A ranker of some labels, told by that of all."""

    class Few:
        candidates = np.sort(label_ids)

        def relevance(self, *pictured):
            return ranker.relevance(*pictured)[:, np.searchsorted(ranker.candidates, self.candidates)]

    return Few()


@pytest.mark.parametrize(("n_wanted", "share"), [(250, 1 / 40), (250, 0.5), (250, 1e-4), (2, 0.3)])
def test_a_place_in_the_sample_is_behind_the_best_of_all_but_once_in_ten_thousand_draws(n_wanted, share):
    place = wordimages.place_in_sample(n_wanted, share)
    drawn = np.random.default_rng(0).binomial(n_wanted, share, 200_000)
    assert (drawn >= place).mean() <= 2e-4 or place == n_wanted
    assert (drawn >= place - 1).mean() >= 5e-5  # and no lower than need be


def test_what_is_sampled_of_a_corpus_is_a_fortieth_between_its_bounds():
    shares = [wordimages.sampled_share(n, 200) for n in (100, 250, 251, 5_000, 10**6, 10**9)]
    np.testing.assert_allclose(shares, [0, 0, 1, 512 / 5_000, 1 / 40, 65_536 / 10**9])
    assert wordimages.place_in_sample(250, 1.0) == 250
    for n_images in (1_251, 2_000, 5_000, 10**7):  # of 1,000 told
        share = wordimages.sampled_share(n_images, 1_000)
        assert wordimages.place_in_sample(1_250, share) <= share * n_images


def test_a_sample_keeps_the_best_of_each_label_over_its_blocks(ranker):
    sample, pictured = Sample(ranker, 3), pictures(1_100, 5)
    ranker.top(*pictured, 1, see=sample.see)
    order_V = wordimages.order([f"w{-number % V:03d}" for number in range(V)])
    wanted = np.sort(relevances(ranker, pictured)[0], axis=0)[::-1][:3].T[order_V]
    np.testing.assert_array_equal(sample.best(order_V), wanted)


@pytest.mark.parametrize("seed", range(20))
def test_entries_are_in_the_order_of_three_keys(seed):
    draw = np.random.default_rng(seed)
    place_M, id_M = draw.integers(0, 5, 300).astype(np.int32), draw.permutation(300)
    relevance_M = draw.choice(np.array([-2.5, -1e-40, -0.0, 0.0, 1e-40, 0.25, 3e38, -3e38], np.float32), 300)
    wanted = np.lexsort((id_M, -relevance_M, place_M))
    np.testing.assert_array_equal(wordimages.ranked_order(place_M, relevance_M, id_M), wanted)
