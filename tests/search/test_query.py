"""Questions by their form, and answers from what is published, without Spark."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_warehouse import DIM, make_vocabulary, publish, unit

from devise.errors import IndexingError, ManifestError, VocabularyError
from devise.search import query
from devise.search.grammar import query_vector
from devise.search.query import LiveIndex, Query
from devise.store import storage
from devise.warehouse import manifest


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("published"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ship", "word"),
        ("sports car", "word"),
        ("t-shirt", "word"),
        ("c++", "word"),
        ('"ship"', "word"),
        ("2 * ship", "word"),
        ("-1 * ship", "differences"),
        ("ship + sail", "words"),
        ("2 * ship + 0.5 * sail", "words"),
        ("ship - -2 * sail", "words"),
        ("king - man + woman", "differences"),
        ("king\t-  man", "differences"),
        ('"ship - sail"', "word"),
        ("image:/a/b + c.jpg", "image"),
        ("image:s3://bucket/key", "image"),
        ("2 * image:s3://bucket/key", "image"),
        ("image:s3://bucket/key + snow", "words"),
        ("image:s3://bucket/key - image:/b", "differences"),
    ],
)
def test_the_form_of_a_query_tells_its_kind(text, kind):
    assert query.parse(text) == Query(text, kind)


@given(st.one_of(st.text(), st.text('ship sail+-*.12:"\t \u0301', max_size=20)))
def test_any_query_has_a_unit_vector_or_is_one_line(text):
    known = {"ship": np.array([1.0, 0.0]), "sail": np.array([0.6, 0.8])}
    try:
        vector_D = query_vector(query.parse(text).text, known.get, lambda uri: np.array([0.0, 1.0]))
    except VocabularyError as refused:
        assert "\n" not in str(refused)
    else:
        assert np.linalg.norm(vector_D) == pytest.approx(1, abs=1e-5)


def test_a_picture_asked_about_is_named_as_in_the_tables(tmp_path):
    assert Query(f"image:{tmp_path}/a b.jpg", "image").uris == [storage.normalise(f"{tmp_path}/a b.jpg")]
    assert Query("image:s3://bucket/a + b.jpg", "image").uris == ["s3://bucket/a + b.jpg"]
    asked = query.parse("image:s3://b/1.jpg - 2 * image:s3://b/2.jpg + ship")
    assert asked.uris == ["s3://b/1.jpg", "s3://b/2.jpg"]


def test_words_are_asked_however_their_letters_are_composed_and_a_picture_s_name_is_left_as_it_is():
    assert query.parse("cafe\u0301 + ship") == Query("caf\u00e9 + ship", "words")
    assert query.parse("image:/cafe\u0301.jpg").text == "image:/cafe\u0301.jpg"


def test_answers_are_the_nearest_of_all_shards_best_first_with_their_uris(published):
    warehouse, pictures = published
    live = LiveIndex(warehouse)
    for kind in ("word", "words"):
        for query_D in make_vocabulary().vectors:
            hits = live.search(query_D, kind, 5)
            wanted = sorted(pictures.items(), key=lambda item: -float(item[1][1] @ query_D))[:5]
            assert [hit.uri for hit in hits] == [uri for uri, _ in wanted]
            assert [hit.image_id for hit in hits] == [image_id for _, (image_id, _) in wanted]
            assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
            np.testing.assert_allclose([hit.score for hit in hits], [v @ query_D for _, (_, v) in wanted], atol=1e-5)


def test_each_kind_of_query_is_searched_with_its_own_nprobe(published, monkeypatch):
    from devise.search import index

    asked = []
    real = index.prepare
    monkeypatch.setattr(index, "prepare", lambda template, query_QD, nprobe: asked.append(nprobe) or real(
        template, query_QD, nprobe
    ))  # fmt: skip
    live = LiveIndex(published[0])
    for kind in ("image", "word", "words", "differences"):
        live.search(make_vocabulary().vectors[0], kind, 3)
    assert asked == [1, 2, 2, 2]  # this index is as old as kinds without differences: they take the effort of words
    live.index.details["nprobe"]["differences"] = 1
    live.search(make_vocabulary().vectors[0], "differences", 3)
    assert asked[-1] == 1


def test_every_published_picture_finds_itself_and_more_than_there_are_gives_all(published):
    warehouse, pictures = published
    live = LiveIndex(warehouse)
    for uri, (image_id, embedding_D) in pictures.items():
        best = live.search(embedding_D, "image", 1)[0]
        assert (best.uri, best.image_id) == (uri, image_id) and best.score == pytest.approx(1, abs=1e-5)
    hits = live.search(unit(np.ones(DIM)), "word", 10**30)
    assert {hit.uri for hit in hits} == set(pictures) and len(hits) == 12


def test_words_are_looked_up_in_the_live_vocabulary(published):
    lookup = LiveIndex(published[0]).lookup(None)
    np.testing.assert_array_equal(lookup("Lions"), make_vocabulary().vectors[0])
    np.testing.assert_array_equal(lookup("king of beasts"), make_vocabulary().vectors[0])
    assert lookup("submarine") is None


def test_what_is_missing_or_does_not_fit_is_said(published, tmp_path):
    with pytest.raises(ManifestError, match="nothing is published"):
        LiveIndex(str(tmp_path))
    with pytest.raises(IndexingError, match=f"the query has 3 dims, the live index {DIM}"):
        LiveIndex(published[0]).search(np.ones(3, np.float32), "word", 1)
    with pytest.raises(ManifestError, match="the live run r1 has no labels"):
        LiveIndex(published[0]).newest("labels")


def test_the_model_lies_where_its_card_is(published):
    live = LiveIndex(published[0])
    found = live.newest("model")
    folder = query.model_folder(manifest.localise(published[0], found), found)
    assert folder.name == "attempt" and (folder / "card.json").is_file()
