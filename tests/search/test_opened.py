"""An index opened for one process: filters, single rows, chains of runs, and what is torn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_warehouse import make_vocabulary, unit, write_index

from devise.errors import IndexingError, StorageError
from devise.search import opened
from devise.search.opened import OpenedIndex
from devise.warehouse import manifest

DIM, N = 8, 400
KINDS = ["Flat", "IVF8,Flat", "IVF8,SQ8", "HNSW8", "IVF8,PQ4x4"]
LOSSY = ("HNSW8", "IVF8,PQ4x4")
"""What these lead to may not be all that is nearest, whatever the effort."""
FOLDERS = ("a", "ab", "b")


def corpus(seed, n=N, start=0):
    """uri -> id and vector: ids all over their range, in three folders."""
    rng = np.random.default_rng(seed)
    ids = rng.choice(2**62, n, replace=False) * 2 + 1
    return {
        f"s3://b/{FOLDERS[row % 3]}/{row + start}": (int(image_id), unit(rng.normal(size=DIM)))
        for row, image_id in enumerate(ids)
    }


@pytest.fixture(scope="module", params=KINDS)
def index(request, tmp_path_factory):
    """A base of three shards, and a night that hides, changes and adds; and what is live by then."""
    warehouse = str(tmp_path_factory.mktemp("index"))
    base, new = corpus(0), corpus(1, 60, start=N)
    gone, changed = list(base)[:40], list(base)[40:80]
    rng = np.random.default_rng(2)
    again = {uri: (base[uri][0], unit(rng.normal(size=DIM))) for uri in changed}
    lists = {"nprobe": dict.fromkeys(("image", "word", "words", "differences"), 8)}
    write_index(warehouse, "r1", base, request.param, 3, **lists)
    hides = [base[uri][0] for uri in (*gone, *changed)]
    write_index(warehouse, "r2", again | new, request.param, 2, base="r1", hides=hides, **lists)
    live = {uri: found for uri, found in base.items() if uri not in gone} | again | new
    return OpenedIndex(warehouse, [manifest.read(warehouse, "index", run) for run in ("r1", "r2")]), live


def brute(live, query_D, k, passes=lambda uri: True):
    """(ids, scores) of the nearest that pass."""
    found = sorted((-float(vector_D @ query_D), image_id) for uri, (image_id, vector_D) in live.items() if passes(uri))
    return [image_id for _, image_id in found[:k]], [-score for score, _ in found[:k]]


def agree(found, wanted):
    """The scores are those wanted, and each id has its score: near ties may change places."""
    ids, scores = wanted
    assert len(found.image_id_K) == len(ids) == len(set(found.image_id_K.tolist()))
    np.testing.assert_allclose(found.score_K, scores, atol=2e-4)


@pytest.mark.parametrize("few", [0, 5_000], ids=["more are searched for", "all that pass are scored"])
@pytest.mark.parametrize("under", ["s3://b/a", "s3://b/a/", "s3://b/b/4", "s3://b/", "s3://b/a/3", "s3://elsewhere/"])
def test_a_filter_s_answers_are_those_of_a_look_at_every_image_that_passes(index, monkeypatch, few, under):
    monkeypatch.setattr(opened, "FEW", few)
    found_index, live = index
    passing = found_index.passing(under, [])
    assert set(passing.all.tolist()) == {image_id for uri, (image_id, _) in live.items() if uri.startswith(under)}
    for row, query_D in enumerate(unit(np.random.default_rng(5).normal(size=(6, DIM)))):
        k = (1, 10, 1000)[row % 3]
        found = found_index.search(query_D, "words", k, passing)
        wanted = brute(live, query_D, k, lambda uri: uri.startswith(under))
        if few or found_index.run.details["kind"] not in LOSSY:
            agree(found, wanted)
        assert len(found.image_id_K) == len(wanted[0])
        assert set(found.image_id_K.tolist()) <= set(passing.all.tolist())
        assert found.exact or not few


def test_ids_of_tables_and_prefixes_pass_together(index):
    found_index, live = index
    ids = np.array(sorted(image_id for image_id, _ in live.values()))
    some, others = ids[::2], ids[::3]
    for under, among in [(None, [some]), ("s3://b/a", [some]), ("s3://b/a", [some, others]), (None, [ids[:0]])]:
        wanted = {image_id for uri, (image_id, _) in live.items() if uri.startswith(under or "")}
        for part in among:
            wanted &= set(part.tolist())
        foreign = [np.union1d(part, [3, 5, 2**62]) for part in among]  # ids of no shard: rejects, say
        passing = found_index.passing(under, foreign)
        assert set(passing.all.tolist()) == wanted and len(passing) == len(wanted)
        assert passing.holds(ids).tolist() == [image_id in wanted for image_id in ids.tolist()]


def test_what_is_hidden_or_changed_is_not_found_as_it_was(index):
    found_index, live = index
    assert found_index.n_live == len(live)
    for query_D in unit(np.random.default_rng(6).normal(size=(3, DIM))):
        found = found_index.search(query_D, "image", 10**9)
        if found_index.run.details["kind"] != "HNSW8":  # a graph with many hidden does not lead to all
            assert sorted(found.image_id_K.tolist()) == sorted(image_id for image_id, _ in live.values())
            agree(found, brute(live, query_D, len(live)))


def test_the_row_of_an_image_is_read_back(index):
    found_index, live = index
    for image_id, vector_D in list(live.values())[::7]:
        np.testing.assert_allclose(found_index.vector_of(image_id), vector_D, atol=2e-4)
    uris = found_index.uris(np.array([image_id for image_id, _ in live.values()]))
    assert uris == {image_id: uri for uri, (image_id, _) in live.items()}
    with pytest.raises(IndexingError, match="run r2: no live image has the id 4"):
        found_index.vector_of(4)
    for image_id in (-1, 2**63, 2**70):
        with pytest.raises(IndexingError, match=f"no live image has the id {image_id}"):
            found_index.vector_of(image_id)


def test_an_image_that_left_has_no_row(tmp_path):
    warehouse, pictures = str(tmp_path), corpus(3, 30)
    left = next(iter(pictures.values()))[0]
    write_index(warehouse, "r1", pictures, "IVF2,Flat", 1)
    write_index(warehouse, "r2", corpus(4, 2, start=30), "IVF2,Flat", 1, base="r1", hides=[left])
    chain = [manifest.read(warehouse, "index", run) for run in ("r1", "r2")]
    assert OpenedIndex(warehouse, chain[:1]).vector_of(left).shape == (DIM,)
    with pytest.raises(IndexingError, match=f"no live image has the id {left}"):
        OpenedIndex(warehouse, chain).vector_of(left)


@pytest.fixture
def torn(tmp_path):
    """An index of one base of SQ8, and what opening it says once `spoil` has had its folder."""
    warehouse = str(tmp_path / "warehouse")
    write_index(warehouse, "r1", corpus(0, 200), "IVF4,SQ8", 2)
    place = tmp_path / "warehouse" / "index" / "run=r1"

    def opening(spoil, fault=IndexingError):
        spoil(place)
        with pytest.raises(fault) as told:
            OpenedIndex(warehouse, [manifest.read(warehouse, "index", "r1")])
        assert "\n" not in str(told.value)
        return str(told.value)

    return opening


def test_a_torn_or_missing_file_is_one_line_with_its_name(torn):
    shard = "shard-00001-0.faiss"

    def cut(name, keep):
        return lambda place: (place / name).write_bytes((place / name).read_bytes()[:keep])

    assert f"{shard}: no faiss index" in torn(cut(shard, 10))
    assert f"{shard}: no such file" in torn(lambda place: (place / shard).unlink(), StorageError)


@pytest.mark.parametrize("ending", ["faiss", "arrow", "i16"])
def test_a_file_cut_short_is_one_line_and_never_a_crash(torn, ending):
    name = f"shard-00000-0.{ending}"

    def cut(place):
        content = (place / name).read_bytes()
        (place / name).write_bytes(content[: len(content) * 2 // 3])

    assert name in torn(cut)


def test_a_shard_of_another_template_is_one_line(torn, tmp_path):
    write_index(str(tmp_path / "other"), "r1", corpus(9, 200), "IVF8,SQ8", 2)
    name = "shard-00000-0.faiss"
    said = torn(lambda place: (place / name).write_bytes((tmp_path / "other" / "index" / "run=r1" / name).read_bytes()))
    assert f"{name}: found dims and lists (8, 8), wanted those of its template, (8, 4)" in said


def test_files_of_two_shards_are_one_line(torn):
    def swap(place):
        (place / "shard-00000-0.arrow").write_bytes((place / "shard-00001-0.arrow").read_bytes())

    said = torn(swap)
    assert "shard-00000-0" in said and "rows" in said


def test_words_of_a_vocabulary_of_other_dims_are_one_line(index):
    with pytest.raises(IndexingError, match="run r2: the query has 5 dims, wanted 8"):
        index[0].search(np.eye(5)[0], "word", 3)
    assert make_vocabulary().vectors.shape[1] == DIM


@given(
    n=st.integers(1, 30),
    share=st.floats(0, 1),
    k=st.integers(1, 40),
    few=st.sampled_from([0, 5, 5_000]),
    nprobe=st.integers(1, 3),
)
@settings(max_examples=40)
def test_k_answers_pass_as_long_as_k_do(tmp_path_factory, n, share, k, few, nprobe):
    warehouse, pictures = str(tmp_path_factory.mktemp("index")), corpus(n, n)
    write_index(warehouse, "r1", pictures, f"IVF{min(3, n)},Flat", 2, nprobe={"word": nprobe})
    found_index = OpenedIndex(warehouse, [manifest.read(warehouse, "index", "r1")])
    far = sorted(pictures.values(), key=lambda found: float(found[1][0]))[: round(share * n)]  # those to be found last
    chosen = np.array(sorted(image_id for image_id, _ in far), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened, "FEW", few)
        found = found_index.search(np.eye(DIM)[0], "word", k, found_index.passing(None, [chosen]))
    assert len(found.image_id_K) == min(k, len(chosen)) == len(set(found.image_id_K.tolist()) & set(chosen.tolist()))
    assert (np.diff(found.score_K) <= 0).all()
