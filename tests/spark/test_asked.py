"""Queries of a search in blocks: each once, in order, so many that a task's memory holds their candidates."""

import numpy as np

from devise.search.index import Prepared
from devise.spark.stages import search


def test_blocks_hold_every_query_of_every_kind_once_in_order_and_no_more_candidates_than_fit(monkeypatch):
    monkeypatch.setattr(search, "BLOCK_CANDIDATES", 100)
    kinds = ["word", "image", "word", "words", "word"] * 30
    rows_of = search.rows_by_kind(kinds)
    assert {kind: len(rows_Q) for kind, rows_Q in rows_of.items()} == {"image": 30, "word": 90, "words": 30}
    vectors_QD = np.arange(150, dtype=np.float32)[:, None]
    prepared = [(rows_Q, Prepared(*[vectors_QD[rows_Q]] * 2, None, None)) for rows_Q in rows_of.values()]
    for n_candidates in (1, 7, 40, 100, 10**6):
        seen = []
        for rows_Q, queries in search.blocks(prepared, n_candidates):
            assert 1 <= len(rows_Q) <= max(1, 100 // n_candidates)
            np.testing.assert_array_equal(queries.query_QD[:, 0], rows_Q)
            assert len({kinds[row] for row in rows_Q}) == 1
            seen += rows_Q.tolist()
        assert seen == [*rows_of["image"], *rows_of["word"], *rows_of["words"]]
