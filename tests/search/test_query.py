"""Questions by their form: kind, terms and pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_warehouse import publish

from devise.errors import VocabularyError
from devise.search import query
from devise.search.grammar import query_vector
from devise.search.query import Query
from devise.store import storage
from devise.warehouse import manifest, pointer


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


def test_the_model_lies_where_its_card_is(tmp_path):
    warehouse, _ = publish(tmp_path)
    found = query.newest_live(warehouse, pointer.published(warehouse), "model")
    folder = query.model_folder(manifest.localise(warehouse, found), found)
    assert folder.name == "attempt" and (folder / "card.json").is_file()
