"""Groups of near-duplicates, in one task and in rounds over parts of the pairs; and what an analyst asks of them."""

import re
from pathlib import Path

import duckdb
import numpy as np
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from devise.search.duplicates import contract, large_star, small_star

IDS = st.integers(0, 30).map(lambda number: number * (2**63 - 1) // 30)
PAIRS = st.lists(st.tuples(IDS, IDS).filter(lambda pair: pair[0] != pair[1]), max_size=40)


def columns(pairs):
    return tuple(np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T)


def by_hand(pairs):
    """Image -> least of its group: groups are joined pair by pair."""
    group = {image: {image} for pair in pairs for image in pair}
    for one, other in pairs:
        joined = group[one] | group[other]
        group |= dict.fromkeys(joined, joined)
    return {image: min(members) for image, members in group.items()}


def in_parts(step, pairs, n_parts):
    """A step over nodes that are spread over parts, each of which knows all pairs of its nodes."""
    parts = [[pair for pair in pairs if pair[0] % n_parts == part] for part in range(n_parts)]
    return {pair for part in parts if part for pair in zip(*map(np.ndarray.tolist, step(*columns(part))), strict=True)}


def rounds(pairs, n_parts):
    """Image -> least of its group, and how many rounds it took to find out that nothing changes any more."""
    found, before, n_rounds = {(max(pair), min(pair)) for pair in pairs}, None, 0
    while found != before:
        before, n_rounds = found, n_rounds + 1
        found = in_parts(large_star, found | {pair[::-1] for pair in found}, n_parts)
        found = in_parts(small_star, found, n_parts)
        assert len(found) <= len(before)
    return dict(found) | {least: least for _, least in found}, n_rounds


@given(PAIRS)
def test_whatever_a_chain_of_pairs_joins_is_one_group_called_by_its_least_image(pairs):
    image_id_V, group_id_V = contract(*columns(pairs))
    assert dict(zip(image_id_V.tolist(), group_id_V.tolist(), strict=True)) == by_hand(pairs)
    assert (np.diff(image_id_V) > 0).all()


@given(PAIRS, st.integers(1, 4))
def test_rounds_over_any_parts_of_the_nodes_find_the_same_groups_and_never_more_pairs(pairs, n_parts):
    assert rounds(pairs, n_parts)[0] == by_hand(pairs)


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_a_chain_of_a_thousand_images_takes_a_dozen_rounds(order):
    ids = np.arange(1000) if order == "ascending" else np.random.default_rng(0).permutation(1000)
    groups, n_rounds = rounds(list(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True)), 3)
    assert set(groups.values()) == {0} and len(groups) == 1000 and n_rounds <= 12


def test_the_page_s_queries_keep_one_image_of_each_group_and_name_the_largest():
    page = (Path(__file__).parents[2] / "docs/search.md").read_text()
    queries = [query for query in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "neighbours_current" in query]
    rows = [(n, f"u{n}", rank, group) for n, group in enumerate([0, 0, 0, 3, 3, None]) for rank in (1, 2)]
    database = duckdb.connect()
    database.sql("CREATE TABLE neighbours_current (image_id BIGINT, uri VARCHAR, rank INTEGER, group_id BIGINT)")
    database.executemany("INSERT INTO neighbours_current VALUES (?, ?, ?, ?)", rows)
    database.sql("CREATE TABLE images_current AS SELECT DISTINCT image_id, uri FROM neighbours_current")
    database.sql("INSERT INTO images_current VALUES (9, 'u9')")  # rejected, or without a neighbour
    answers = [database.sql(query).fetchall() for query in queries]
    assert answers == [[("u0",), ("u3",), ("u5",), ("u9",)], [(0, 3, "u0"), (3, 2, "u3")]]
    for query in queries:
        for engine in ("athena", "trino", "spark", "duckdb"):
            assert sqlglot.parse_one(query, dialect=engine)
