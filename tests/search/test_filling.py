"""Shards filled batch by batch: the same as filled at once, and how many rows a task can hold."""

import faiss
import pytest
from test_index import DIM, GIB, KINDS, rows

from devise.errors import IndexingError
from devise.search import filling
from devise.search.filling import TASK_BYTES, fill_shard, rows_that_fit
from devise.search.kinds import choose_kind
from devise.search.template import train_template


@pytest.fixture(params=KINDS)
def template(request):
    return train_template(rows(600)[1], choose_kind(600, DIM, GIB, request.param), seed=0)


def test_a_shard_filled_batch_by_batch_is_the_shard_that_faiss_fills_at_once(template, monkeypatch):
    image_id_N, embedding_ND = rows(400, seed=1)
    wanted = faiss.deserialize_index(faiss.serialize_index(template))
    wanted.add_with_ids(embedding_ND, image_id_N)
    for block, size in ((16_384, 400), (64, 1), (64, 63), (50, 100)):
        monkeypatch.setattr(filling, "BLOCK_ROWS", block)
        cuts = range(0, 400, size)
        found = fill_shard(template, ((image_id_N[cut : cut + size], embedding_ND[cut : cut + size]) for cut in cuts))
        assert found.ntotal == 400
        if "Flat" in type(wanted).__name__ or faiss.try_extract_index_ivf(wanted) is not None:
            assert faiss.serialize_index(found).tobytes() == faiss.serialize_index(wanted).tobytes()


def test_a_shard_without_rows_is_the_template(template):
    image_id_N, embedding_ND = rows(5)
    for batches in ([], [(image_id_N[:0], embedding_ND[:0])]):
        assert fill_shard(template, batches).ntotal == 0


def test_lists_are_as_long_as_their_rows_and_no_longer():
    image_id_N, embedding_ND = rows(600)
    template = train_template(embedding_ND, choose_kind(600, DIM, GIB, "IVF4,SQ8"), seed=0)
    made = fill_shard(template, [(image_id_N[cut : cut + 7], embedding_ND[cut : cut + 7]) for cut in range(0, 600, 7)])
    lists = faiss.downcast_InvertedLists(made.invlists)
    assert sum(lists.list_size(number) for number in range(4)) == 600
    for number in range(4):
        codes = lists.codes.at(number)
        assert codes.size() == lists.list_size(number) * DIM


def test_a_shard_has_the_rows_that_the_memory_of_a_task_holds():
    free = 300 * 2**20
    assert rows_that_fit(TASK_BYTES + free, "IVF4096,SQ8", 300) == free // 308
    assert rows_that_fit(TASK_BYTES + free, "IVF4096,Flat", 300) == free // 1208
    assert rows_that_fit(TASK_BYTES + free, "PCA200,IVF4096,SQ8", 300) == free // 208
    assert rows_that_fit(TASK_BYTES + free, "Flat", 300) == free // (3 * 1200 + 64)  # it grows by doubling
    assert rows_that_fit(TASK_BYTES + free, "HNSW32", 300) < free // (3 * 1200)
    assert rows_that_fit(TASK_BYTES + free // 2, "IVF4096,PQ20x4fs", 300) < free // 60
    assert rows_that_fit(0, "IVF16,SQ8", 300) == filling.LEAST_ROWS
    assert rows_that_fit(2**50, "IVF16,SQ8", 300) == filling.MOST_ROWS
    with pytest.raises(IndexingError, match="index kind 'Flatt'"):
        rows_that_fit(GIB, "Flatt", 300)
