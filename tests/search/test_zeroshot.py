"""Labels are exact, whatever the batch; queries are sums of words."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch

from devise.search import zeroshot
from devise.search.zeroshot import top_labels


def unit(array_ND):
    return (array_ND / np.linalg.norm(array_ND, axis=1, keepdims=True)).astype(np.float32)


def draw(n_rows, dim, seed):
    return unit(np.random.default_rng(seed).normal(size=(n_rows, dim)))


def grid(n_rows, dim, seed):
    """Rows of -1, 0 and 1: their products are whole numbers, exact in any order of summation, and often tie."""
    return np.random.default_rng(seed).integers(-1, 2, size=(n_rows, dim)).astype(np.float32)


def sorted_by_hand(embedding_ND, vectors_VD, k, chosen):
    """A stable sort of all scores: equal ones stay in order of label id."""
    score_NC = embedding_ND @ vectors_VD[chosen].T
    order_NK = np.argsort(-score_NC, axis=1, kind="stable")[:, :k]
    return chosen[order_NK], np.take_along_axis(score_NC, order_NK, axis=1)


@pytest.mark.parametrize("n_images", [0, 1, 3, 300])
@pytest.mark.parametrize("n_labels", [1, 2, 7, 40])
@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_labels_are_a_full_sort_with_ties_by_label_id(n_images, n_labels, k):
    embedding_ND, vectors_VD = grid(n_images, 3, n_images), grid(n_labels, 3, n_labels)
    found_NK, score_NK = top_labels(embedding_ND, vectors_VD, k)
    wanted_NK, wanted_score_NK = sorted_by_hand(embedding_ND, vectors_VD, k, np.arange(n_labels))
    assert found_NK.dtype == np.int32 and score_NK.dtype == np.float32
    assert found_NK.shape == (n_images, min(k, n_labels))
    np.testing.assert_array_equal(found_NK, wanted_NK)
    np.testing.assert_array_equal(score_NK, wanted_score_NK)


@pytest.mark.parametrize("k", [1, 5, 50])
@pytest.mark.parametrize("n_labels", [5_119, 20_000])
def test_groups_of_groups_of_many_labels_lose_none_also_of_those_that_tie(k, n_labels):
    for dim in (3, 60):  # 3: some hundred labels share the best score; 60: two or three do
        embedding_ND, vectors_VD = grid(40, dim, dim), grid(n_labels, dim, k)
        found_NK, score_NK = top_labels(embedding_ND, vectors_VD, k)
        wanted_NK, wanted_score_NK = sorted_by_hand(embedding_ND, vectors_VD, k, np.arange(n_labels))
        np.testing.assert_array_equal(found_NK, wanted_NK)
        np.testing.assert_array_equal(score_NK, wanted_score_NK)


def test_labels_of_which_all_others_are_lowered_out_of_sight_are_still_told_by_label_id():
    def lower(products_BV, part):
        products_BV[:, np.arange(3_000) % 1_000 != 7] = -np.inf

    found_NK, score_NK = top_labels(draw(9, 20, 0), draw(3_000, 20, 1), 5, adjust=lower)
    np.testing.assert_array_equal(np.sort(found_NK[:, :3], axis=1), np.tile([7, 1007, 2007], (9, 1)))
    np.testing.assert_array_equal(found_NK[:, 3:], np.tile([0, 1], (9, 1)))
    assert np.isneginf(score_NK[:, 3:]).all()


def test_labels_of_real_vectors_are_the_nearest_by_cosine():
    embedding_ND, vectors_VD = draw(70, 50, 0), draw(500, 50, 1)
    found_NK, score_NK = top_labels(embedding_ND, vectors_VD, 8)
    wanted_NK, wanted_score_NK = sorted_by_hand(
        embedding_ND.astype(np.float64), vectors_VD.astype(np.float64), 8, np.arange(500)
    )
    np.testing.assert_array_equal(found_NK, wanted_NK)
    np.testing.assert_allclose(score_NK, wanted_score_NK, atol=1e-6)


def test_only_candidates_are_chosen_and_keep_their_label_ids():
    embedding_ND, vectors_VD = grid(20, 4, 0), grid(30, 4, 1)
    given = np.array([17, 3, 3, 29, 8])
    found_NK, score_NK = top_labels(embedding_ND, vectors_VD, 10, given)
    wanted_NK, wanted_score_NK = sorted_by_hand(embedding_ND, vectors_VD, 10, np.array([3, 8, 17, 29]))
    np.testing.assert_array_equal(found_NK, wanted_NK)
    np.testing.assert_array_equal(score_NK, wanted_score_NK)


def test_scores_have_the_same_bits_whatever_batch_an_image_came_in():
    embedding_ND, vectors_VD = draw(zeroshot.BLOCK_ROWS + 45, 300, 2), draw(1000, 300, 3)
    whole_NK, whole_score_NK = top_labels(embedding_ND, vectors_VD, 5)
    for size in (1, 7, 100, zeroshot.BLOCK_ROWS):
        some = (0, 255, 256, zeroshot.BLOCK_ROWS - 1, zeroshot.BLOCK_ROWS, zeroshot.BLOCK_ROWS + 44)
        starts = range(0, len(embedding_ND), size) if size > 1 else some
        for start in starts:
            found_NK, score_NK = top_labels(embedding_ND[start : start + size], vectors_VD, 5)
            np.testing.assert_array_equal(found_NK, whole_NK[start : start + size])
            np.testing.assert_array_equal(score_NK.view(np.int32), whole_score_NK[start : start + size].view(np.int32))


def test_what_cannot_be_ranked_is_refused_with_its_shapes():
    embedding_ND, vectors_VD = draw(2, 4, 0), draw(3, 4, 1)
    for arguments in [
        (draw(2, 5, 0), vectors_VD, 1),
        (embedding_ND[0], vectors_VD, 1),
        (embedding_ND, vectors_VD, 0),
        (embedding_ND, vectors_VD, 1, np.empty(0, np.int32)),
    ]:
        with pytest.raises(ValueError, match="wanted equal dims, k of at least 1 and a candidate"):
            top_labels(*arguments)


def test_vectors_that_may_only_be_read_give_no_warning_and_are_not_copied():
    vectors_VD = pa.array(draw(50, 8, 0).reshape(-1)).to_numpy().reshape(50, 8)
    embedding_ND = pa.array(draw(5, 8, 1).reshape(-1)).to_numpy().reshape(5, 8)
    assert not vectors_VD.flags.writeable and not embedding_ND.flags.writeable
    torch.set_warn_always(True)  # torch gives a warning once a process, and another test may have had it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found_NK, _ = top_labels(embedding_ND, vectors_VD, 3)
            assert zeroshot._shared(vectors_VD).data_ptr() == vectors_VD.ctypes.data
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(found_NK, top_labels(embedding_ND.copy(), vectors_VD.copy(), 3)[0])
