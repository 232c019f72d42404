"""Neighbours night by night: what a change leaves is what exact search of all that is live finds, groups included."""

from collections import Counter

import numpy as np
import pytest
from test_delta import DIM, IMAGE_ID_N, Corpus, unit

from devise.config import NeighboursConfig
from devise.jobs import find_neighbours
from devise.search.duplicates import contract
from devise.spark.frame import job, schemas, tables
from devise.spark.stages import groups, nearest
from devise.warehouse.manifest import File

K, DUPLICATE = 3, 0.99


def near(vector_D, cosine, rng):
    """A unit vector at this cosine of another one."""
    other_D = rng.normal(size=DIM)
    other_D = unit(other_D - other_D @ vector_D * vector_D)
    return (cosine * vector_D + np.sqrt(1 - cosine**2) * other_D).astype(np.float32)


def perform(corpus, run, **settings):
    """The night's table, as it is written."""
    config = NeighboursConfig(warehouse=corpus.warehouse, run=run, k=K, duplicate_score=DUPLICATE, **settings)
    made = job.perform(find_neighbours.JOB, corpus.spark, config)["neighbours"]
    corpus.publish()
    rows = tables.read(corpus.spark, corpus.warehouse, [made], schemas.NEIGHBOURS).collect()
    assert len(rows) == made.rows and {row.model_id for row in rows} == {"m" * 16}
    return made, sorted(rows, key=lambda row: (row.image_id, row.rank))


def assert_exact(corpus, rows):
    """The rows are those of exact search of all that is live."""
    ids_N = np.array(sorted(corpus.live))
    vectors_ND = np.array([corpus.vectors[image_id, corpus.live[image_id]] for image_id in ids_N.tolist()])
    score_NN = vectors_ND @ vectors_ND.T
    np.fill_diagonal(score_NN, -2)
    order_NK = np.argsort(-score_NN, axis=1, kind="stable")[:, :K]
    best_NK = np.take_along_axis(score_NN, order_NK, axis=1)
    row_E, place_E = np.nonzero(best_NK >= DUPLICATE)
    grouped = contract(ids_N[row_E], ids_N[order_NK[row_E, place_E]])
    group = dict(zip(*map(np.ndarray.tolist, grouped), strict=True))
    found = [(row.image_id, row.rank, row.neighbour_id, row.duplicate, row.group_id) for row in rows]
    assert found == [
        (image_id, rank + 1, int(ids_N[order_NK[n, rank]]), bool(best_NK[n, rank] >= DUPLICATE), group.get(image_id))
        for n, image_id in enumerate(ids_N.tolist())
        for rank in range(K)
    ]
    np.testing.assert_allclose([row.score for row in rows], best_NK.reshape(-1), atol=1e-5)
    assert all(row.uri == f"file:///pictures/{row.image_id}.jpg" for row in rows)
    assert all(row.neighbour_uri == f"file:///pictures/{row.neighbour_id}.jpg" for row in rows)
    return group


def groups_of(rows):
    """Group -> its images."""
    found = Counter(row.group_id for row in rows if row.rank == 1)
    return {group_id: n for group_id, n in found.items() if group_id is not None}


def test_a_night_s_change_leaves_what_an_exact_search_of_all_finds(spark, tmp_path):
    """Chains of near-duplicates lose an end or a middle, or are mended; an image is changed into another's copy."""
    corpus, rng, ids = Corpus(spark, tmp_path), np.random.default_rng(5), sorted(IMAGE_ID_N)
    vectors_ND = unit(rng.normal(size=(50, DIM)))
    for start, end in ((0, 4), (10, 12), (20, 22)):  # on an arc, where each is a near-duplicate of the next one alone
        at_right_angles_D = near(vectors_ND[start], 0, rng)
        angle_N = np.array([0, 0.1, 0.205, 0.315, 0.43])[: end - start + 1, None]
        vectors_ND[start : end + 1] = np.cos(angle_N) * vectors_ND[start] + np.sin(angle_N) * at_right_angles_D
    middle_D, others = vectors_ND[11], [n for n in range(50) if n != 11]
    corpus.night("r1", [(ids[n], "A") for n in others], vectors=vectors_ND[others], live=False)
    made, rows = perform(corpus, "r1")
    assert_exact(corpus, rows)
    assert groups_of(rows) == {ids[0]: 5, ids[20]: 3}
    assert made.details["searched"] == 49 and [file.path[:4] for file in made.files] == ["part"]

    # 0 goes, which 4 never had in its list, and 21, the middle of its group; 11 comes, the middle of another one.
    puts = [(ids[11], "A"), (ids[30], "B")]
    copy_D = near(vectors_ND[40], 0.999, rng)
    corpus.night("r2", puts, [ids[0], ids[21]], vectors=[middle_D, copy_D], live=False)
    made, rows = perform(corpus, "r2")
    assert_exact(corpus, rows)
    assert groups_of(rows) == {ids[1]: 4, ids[10]: 3, ids[30]: 2} and made.details["searched"] < 30
    assert {file.path[:4] for file in made.files} == {"kept", "new-"}

    # Nothing changes: the rows are copied.
    corpus.night("r3", live=False)
    made, again = perform(corpus, "r3")
    assert again == rows and made.details["searched"] == 0 and {file.path[:4] for file in made.files} == {"kept"}


@pytest.mark.slow  # the steps themselves: tests/search/test_duplicates.py
def test_pairs_that_no_task_holds_are_grouped_in_rounds_as_those_that_one_does(spark, tmp_path):
    links = [(5, 3), (3, 9), (9, 1), (20, 21), (30, 31), (31, 32), (32, 30)]
    pairs = spark.createDataFrame(links, groups.PAIR)
    task = job.Task(spark, None, None, {}, str(tmp_path))
    wanted = {1: 1, 3: 1, 5: 1, 9: 1, 20: 20, 21: 20, 30: 30, 31: 30, 32: 30}
    for per_task in (7, 6):
        assert dict(map(tuple, groups.find_groups(task, pairs, 7, per_task).collect())) == wanted


def test_rounds_take_the_files_of_queries_in_order_and_none_twice():
    files = [File(path=str(n), size_bytes=1, sha256="0" * 64, rows=rows) for n, rows in enumerate([3, 3, 9, 1, 1])]
    assert [[file.rows for file in some] for some in nearest.cut_rounds(files, 6)] == [[3, 3], [9], [1, 1]]
    assert nearest.cut_rounds(files, 100) == [files]
