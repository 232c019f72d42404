"""The template: trained alike, its centroids stored once and shared; and what its kind can do."""

import faiss
import numpy as np
import pytest
from test_index import DIM, GIB, KINDS, rows, template_of, unit

from devise.errors import IndexingError
from devise.search import index
from devise.search.filling import fill_shard, write_shard
from devise.search.kinds import choose_kind
from devise.search.template import (
    GRAPH_EFFORT,
    centroid_score,
    copy,
    hides_ids,
    inverted_lists,
    read_template,
    train_template,
    write_template,
)


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "IVF8,SQ8"])
def test_the_template_is_the_same_bytes_for_the_same_seed_and_holds_no_row(factory):
    _, embedding_ND = rows(500)
    kind = choose_kind(500, DIM, GIB, factory)
    made = [
        faiss.serialize_index(train_template(sample_ND, kind, seed)).tobytes()
        for sample_ND, seed in ((embedding_ND, 3), (embedding_ND.astype(np.float64), 3), (embedding_ND, 4))
    ]
    assert made[0] == made[1] and (made[0] != made[2]) == (kind.nlist > 0)
    assert faiss.deserialize_index(np.frombuffer(made[0], np.uint8)).ntotal == 0


def test_kinds_whose_search_takes_no_ids_out_are_known_beforehand():
    image_id_N, embedding_ND = rows(400)
    assert not hides_ids("PQ4x4", DIM) and not hides_ids("PQ4x4fs", DIM)
    shard = fill_shard(
        train_template(embedding_ND, choose_kind(400, DIM, GIB, "PQ4x4"), 0), [(image_id_N, embedding_ND)]
    )
    with pytest.raises(RuntimeError):
        index.search([shard], index.prepare(template_of(shard), embedding_ND[:1], 1), 1, hidden=[image_id_N[:1]])
    with pytest.raises(IndexingError, match="index kind 'Flatt'"):
        hides_ids("Flatt", DIM)


@pytest.mark.parametrize("factory", ["IVF12,Flat", "PCA8,IVF12,Flat"])
def test_rows_like_those_that_trained_the_lists_score_as_they_do_and_others_less(factory):
    _, embedding_ND = rows(600)
    template = train_template(embedding_ND[:300], choose_kind(300, DIM, GIB, factory), seed=0)
    alike, trained = (centroid_score(template, part) for part in (embedding_ND[300:], embedding_ND[:300]))
    others = centroid_score(template, unit(np.random.default_rng(9).normal(size=(300, DIM))))
    assert abs(alike - trained) < 0.1 and others < alike - 0.2


def test_the_centroid_score_is_the_mean_of_the_best_cosines():
    _, embedding_ND = rows(100)
    template = train_template(embedding_ND, choose_kind(100, DIM, GIB, "IVF4,Flat"), seed=0)
    centroid_CD = template.quantizer.reconstruct_n(0, 4)
    wanted = (embedding_ND @ centroid_CD.T).max(axis=1).mean()
    assert centroid_score(template, embedding_ND) == pytest.approx(wanted, abs=1e-5)
    flat = train_template(embedding_ND, choose_kind(100, DIM, GIB, "Flat"), seed=0)
    for broken in ((flat, embedding_ND), (template, embedding_ND[:0])):
        with pytest.raises(ValueError, match="a kind with lists and at least one row"):
            centroid_score(*broken)


def test_a_graph_over_centroids_is_searched_well_enough_and_says_so_in_its_file(tmp_path):
    _, embedding_ND = rows(500)
    write_template(train_template(embedding_ND, choose_kind(500, DIM, GIB, "IVF8_HNSW8,Flat"), 0), tmp_path / "t")
    read = read_template(tmp_path / "t")
    graph = faiss.downcast_index(read.quantizer)
    assert graph.ntotal == 8 and graph.hnsw.efSearch == GRAPH_EFFORT


def test_centroids_that_a_graph_has_trained_fit_as_well_as_those_of_full_products():
    _, embedding_ND = rows(4000)
    scores = [
        centroid_score(
            train_template(embedding_ND[:3000], choose_kind(3000, DIM, GIB, factory), 0), embedding_ND[3000:]
        )
        for factory in ("IVF64,Flat", "IVF64_HNSW32,Flat")
    ]
    assert abs(scores[0] - scores[1]) < 0.005


@pytest.mark.parametrize("factory", [kind for kind in KINDS if "IVF" in kind])
def test_a_shard_s_file_holds_no_centroids_and_those_of_its_template_are_left_alone(factory, tmp_path):
    image_id_N, embedding_ND = rows(300)
    template = train_template(embedding_ND, choose_kind(300, DIM, GIB, factory), 0)
    before = faiss.serialize_index(template).tobytes()
    for number in range(3):
        shard = fill_shard(template, [(image_id_N[number::3], embedding_ND[number::3])])
        write_shard(shard, tmp_path / f"{number}.faiss")
        raw = faiss.read_index(str(tmp_path / f"{number}.faiss"))
        assert inverted_lists(raw).quantizer.ntotal == 0 and inverted_lists(raw).ntotal == 100
        assert index.read_shard(tmp_path / f"{number}.faiss", template).ntotal == 100
    del shard, raw
    assert faiss.serialize_index(template).tobytes() == before
    shared = copy(template)
    assert inverted_lists(shared).quantizer.ntotal == 16


def test_what_is_no_template_is_one_line(tmp_path):
    (tmp_path / "t").write_bytes(b"not an index at all")
    for name in ("t", "absent"):
        with pytest.raises(IndexingError, match="no faiss index"):
            read_template(tmp_path / name)


def test_any_number_of_shards_is_opened_and_closed(tmp_path):
    image_id_N, embedding_ND = rows(300)
    template = train_template(embedding_ND, choose_kind(300, DIM, GIB, "IVF8,Flat"), 0)
    write_shard(fill_shard(template, [(image_id_N, embedding_ND)]), tmp_path / "shard.faiss")
    for _ in range(50):
        index.read_shard(tmp_path / "shard.faiss", template)
    assert isinstance(faiss.index_factory(DIM, "IVF8,Flat"), faiss.IndexIVFFlat)  # classes are still known
    assert template.quantizer.ntotal == 8
