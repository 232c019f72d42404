"""The choices of kind, lists, training rows and nprobe, worked out by hand and over all small sizes."""

import re

import pytest

from devise.errors import IndexingError
from devise.search.kinds import (
    GRAPH_LISTS,
    TRAIN_ROWS,
    TRAIN_ROWS_PER_LIST,
    Effort,
    choose_kind,
    count_training_rows,
    effort,
    explain,
    measured,
    nprobe_steps,
    settle_nprobe,
)

GIB = 2**30


def test_the_kind_is_exact_while_that_is_quick_then_lists_then_8_bits_then_4_then_a_refusal():
    n, dim = 1_000_000, 300
    assert choose_kind(100_000, dim, GIB).factory == "Flat"
    above = choose_kind(100_001, dim, GIB)
    assert (above.factory, above.nlist) == ("IVF1024,Flat", 1024)
    assert (above.bytes_per_vector, above.mapped_per_vector) == (1208, 0)
    exact, eight, four = n * (1200 + 8), n * (304 + 8), n * (152 + 8)
    assert choose_kind(n, dim, exact).factory == "IVF4096,Flat"
    assert choose_kind(n, dim, exact - 1).factory == choose_kind(n, dim, eight).factory == "Pad304,IVF4096,SQ8"
    assert choose_kind(n, dim, eight - 1).factory == choose_kind(n, dim, four).factory == "Pad304,IVF4096,SQ4"
    assert choose_kind(60_000, dim, 60_000 * 1199).factory == "Pad304,IVF1024,SQ8"
    with pytest.raises(IndexingError, match=re.escape("1,000,000 x 300 need 0.1 GiB even with 4 bits")) as error:
        choose_kind(n, dim, four - 1)
    assert "\n" not in str(error.value) and "raise memory_bytes" in str(error.value)


@pytest.mark.parametrize(
    ("dim", "padded"), [(8, 16), (16, 16), (17, 32), (300, 304), (304, 304), (500, 512), (512, 512)]
)
def test_dims_are_padded_where_codes_would_be_read_number_by_number_and_only_there(dim, padded):
    made = choose_kind(10**6, dim, 10**6 * (padded + 8))
    assert made.factory == ("" if padded == dim else f"Pad{padded},") + "IVF4096,SQ8"
    assert (made.bytes_per_vector, made.mapped_per_vector) == (padded + 8, 2 * dim + 8)


def test_lists_have_enough_rows_to_be_trained_whatever_the_size():
    for n_rows in (1, 38, 39, 100, 5_000, 100_000, 3_000_000, 10**9):
        kind = choose_kind(n_rows, 16, n_rows * 63)  # too little for exact vectors of 64 bytes
        assert 1 <= kind.nprobe <= kind.nlist <= max(1, n_rows // TRAIN_ROWS_PER_LIST)
        assert kind.factory == f"IVF{kind.nlist}{'_HNSW32' if kind.nlist >= GRAPH_LISTS else ''},SQ8"


def test_a_kind_that_is_named_is_taken_as_it_is():
    kind = choose_kind(10, 4, 1, "IVF256_HNSW32,SQ8")
    assert (kind.factory, kind.nlist, kind.nprobe) == ("IVF256_HNSW32,SQ8", 256, 16)
    assert (choose_kind(10, 4, 1, "Flat").nlist, choose_kind(10, 4, 1, "Flat").nprobe) == (0, 1)


def test_steps_of_nprobe_rise_by_a_half_and_a_third_and_end_with_all_lists():
    assert nprobe_steps(0) == nprobe_steps(1) == [1]
    assert nprobe_steps(2) == [1, 2]
    assert nprobe_steps(16) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert nprobe_steps(20) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    for nlist in range(1, 3000):
        steps = nprobe_steps(nlist)
        assert steps[0] == 1 and steps[-1] == nlist
        assert all(one < other <= 2 * one for one, other in zip(steps, steps[1:], strict=False))


def test_the_least_nprobe_that_reaches_the_target_is_settled():
    recall = {1: 0.5, 2: 0.94, 3: 0.95, 4: 0.96, 8: 1.0}
    assert settle_nprobe(recall, 0.95) == Effort(3, 0.95, 1.0, True)
    assert settle_nprobe(recall, 0.0).nprobe == 1 and settle_nprobe(recall, 1.0).nprobe == 8
    assert settle_nprobe(dict(reversed(recall.items())), 0.95).nprobe == 3


def test_a_target_out_of_reach_takes_the_least_nprobe_near_the_ceiling_and_says_so():
    effort = settle_nprobe({1: 0.5, 2: 0.9369, 3: 0.9381, 4: 0.939, 8: 0.94}, 0.95)
    assert effort == Effort(3, 0.9381, 0.94, False)
    assert effort.describe(8, 0.95) == (
        "nprobe 3 of 8, recall@10 0.9381: 0.95 is out of reach, the best of any nprobe is 0.9400"
    )
    assert "out of reach" not in settle_nprobe({1: 0.95}, 0.95).describe(8, 0.95)
    with pytest.raises(ValueError, match="no nprobe was tried"):
        settle_nprobe({}, 0.95)


def test_lists_are_bounded_by_the_rows_that_train_them_not_by_the_corpus():
    for n_rows in (10**6, 10**7, 10**8, 10**9, 10**10):
        for sample_rows in (100, 39_000, 200_000, 640_000, 5_200_000):
            kind = choose_kind(n_rows, 300, 2**60, sample_rows=sample_rows)
            trained = count_training_rows(n_rows, kind.nlist, sample_rows)
            assert trained <= min(n_rows, sample_rows)
            assert kind.nlist == 2 ** (kind.nlist.bit_length() - 1)
            assert trained >= TRAIN_ROWS_PER_LIST * kind.nlist
    assert choose_kind(10**9, 300, 2**60, sample_rows=200_000).nlist == 4096
    assert choose_kind(10**9, 300, 2**60, sample_rows=640_000).factory == "IVF16384_HNSW32,Flat"
    assert choose_kind(10**9, 300, 2**60, sample_rows=5_200_000).factory == "IVF131072_HNSW32,Flat"
    assert choose_kind(1, 300, 2**60, "auto", 1).factory == "Flat"


def test_few_lists_are_trained_with_many_rows_and_many_with_as_many_as_they_need():
    assert count_training_rows(1000, 8, 640_000) == 1000
    assert count_training_rows(10**9, 1024, 640_000) == TRAIN_ROWS
    assert count_training_rows(10**9, GRAPH_LISTS, 640_000) == TRAIN_ROWS_PER_LIST * GRAPH_LISTS
    assert count_training_rows(10**9, 2**20, 640_000) == 640_000  # a kind that the settings name


def test_centroids_are_looked_up_by_a_graph_from_where_that_is_quicker():
    assert "HNSW" not in choose_kind(8 * 10**6, 300, 2**60, sample_rows=10**7).factory
    for n_rows in (2 * 10**7, 10**9):
        kind = choose_kind(n_rows, 300, n_rows * 312, sample_rows=650_000)
        assert kind.factory == f"Pad304,IVF{GRAPH_LISTS}_HNSW32,SQ8"


def test_a_kind_of_query_that_an_index_has_no_effort_for_is_refused():
    nprobe = {"image": 1, "word": 2, "words": 3}
    assert [effort(nprobe, kind) for kind in nprobe] == [1, 2, 3]
    with pytest.raises(IndexingError, match=r"no search effort for the kind 'differences' among"):
        effort(nprobe, "differences")


def test_an_index_tells_the_recall_that_was_measured_and_none_that_was_not():
    lists = {"kind": "IVF8,SQ8", "nprobe": {"image": 2, "word": 3}, "tuning": {"image": {"recall": 0.97}}}
    assert measured(lists, "image") == (2, 0.97) and measured(lists, "word") == (3, None)
    assert measured({"kind": "Flat", "nprobe": {"image": 1}, "tuning": {}}, "image") == (None, 1.0)
    assert measured({"kind": "HNSW32", "nprobe": {"image": 1}, "tuning": {}}, "image") == (None, None)


def test_the_choice_is_explained_with_its_figures():
    told = (640_000, 200, 0.95)
    kind = choose_kind(10**6, 300, 500 * 2**20, sample_rows=640_000)
    lines = explain(kind, 10**6, 300, 500 * 2**20, *told)
    assert lines[0] == f"{kind.factory} for 1,000,000 x 300: {kind.reason}"
    assert lines[1] == "4,096 lists, trained on 200,000 rows"
    assert "recall@10 of 0.95, by 200 queries of each kind (image, word, words, differences); 128 for" in lines[2]
    assert lines[3] == "312 bytes a vector, 0.29 GiB of the 0.49 GiB that all shards may take"
    assert lines[4].startswith("608 bytes a vector more on disk, mapped: its exact row; of a shard 128 candidates")
    assert re.fullmatch(r"to build: about 160 s on one core for the template, then \d+ core-seconds .*", lines[5])
    flat = explain(choose_kind(5000, 300, GIB), 5000, 300, GIB, *told)
    assert flat[1].startswith("no lists and no nprobe") and "1,200 bytes a vector, 0.01 GiB of the 1.00 GiB" in flat[2]
    named = explain(choose_kind(5000, 300, GIB, "IVF16,PQ75"), 5000, 300, GIB, *told)
    assert named[1] == "16 lists, trained on 5,000 rows" and "not foretold" in named[-1]


def test_what_is_explained_of_building_grows_with_the_rows():
    seconds = []
    for n_rows in (10**4, 10**5, 10**6, 10**7, 10**8, 10**9):
        kind = choose_kind(n_rows, 300, 2**60, sample_rows=640_000)
        line = explain(kind, n_rows, 300, 2**60, 640_000, 200, 0.95)[-1]
        seconds.append(sum(int(found.replace(",", "")) for found in re.findall(r"([\d,]+) (?:s|core-seconds)\b", line)))
    assert seconds == sorted(seconds) and seconds[0] <= 1 and seconds[-1] > 100 * seconds[2]
