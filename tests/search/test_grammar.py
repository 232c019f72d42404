"""What a query says: words and pictures, signs, weights and quotes; and what is none, told in one line."""

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import VocabularyError
from devise.search import grammar
from devise.search.grammar import Term, parse, query_vector

WORDS = {
    "king": [1.0, 0.0, 0.0],
    "man": [0.6, 0.8, 0.0],
    "woman": [0.6, 0.0, 0.8],
    "t-shirt": [0.0, 1.0, 0.0],
    "sports car": [0.0, 0.0, 1.0],
    "rock + roll": [0.0, 0.6, 0.8],
    "7": [0.8, 0.6, 0.0],
    "7 * 7": [0.0, 0.8, 0.6],
}
PICTURES = {"/a/1.jpg": [0.0, 0.6, 0.8], "/b + c/2 - d.PNG": [0.8, 0.0, 0.6], "s3://b/key": [0.0, 1.0, 0.0]}


def lookup(word):
    return np.array(WORDS[word], dtype=np.float32) if word in WORDS else None


def picture(uri):
    return np.array(PICTURES[uri], dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("king", [1, 0, 0]),
        ("  king ", [1, 0, 0]),
        ("king + man", [1.6, 0.8, 0]),
        ("king - man + woman", [1, -0.8, 0.8]),
        ("king\t-  man   + woman", [1, -0.8, 0.8]),
        ("t-shirt", [0, 1, 0]),
        ("sports car + t-shirt", [0, 1, 1]),
        ("king + king", [1, 0, 0]),
        ("2 * king + t-shirt - sports car", [2, 1, -1]),
        ('0.5 * "t-shirt" + king', [1, 0.5, 0]),
        ("-2 * king + sports car", [-2, 0, 1]),
        ("king - -2 * t-shirt", [1, 2, 0]),
        (".25*king + king", None),
        ("+1e3  *  king + 1E3 * t-shirt", [1, 1, 0]),
        ("1e308 * king + 1e308 * t-shirt", [1, 1, 0]),
        ("1e-320 * king + 1e-320 * t-shirt", [1, 1, 0]),
        ('"rock + roll" + 2 * king', [2, 0.6, 0.8]),
        ("7", [0.8, 0.6, 0]),
        ("7 * 7", [0.8, 0.6, 0]),
        ('"7 * 7"', [0, 0.8, 0.6]),
        ('2 * "7"  -  king', [0.6, 1.2, 0]),
        ("image:/a/1.jpg + king", [1, 0.6, 0.8]),
        ("king - 2 * image:/a/1.jpg", [1, -1.2, -1.6]),
        ("image:/a/1.jpg - image:s3://b/key", [0, -0.4, 0.8]),
        ("image:/b + c/2 - d.PNG + king", [1.8, 0, 0.6]),
        ("king - image:/b + c/2 - d.PNG", [0.2, 0, -0.6]),
        ('image:"/b + c/2 - d.PNG" - image:"s3://b/key" + king', [1.8, -1, 0.6]),
        ("image:/b + c/2 - d.PNG + 0.5 * image:/a/1.jpg", [0.8, 0.3, 1]),
    ],
)
def test_a_query_is_the_unit_sum_of_its_weighted_terms(text, wanted):
    if wanted is None:
        with pytest.raises(VocabularyError, match="'.25.king' is no word"):
            query_vector(text, lookup)
        return
    found_D = query_vector(text, lookup, picture)
    assert found_D.dtype == np.float32
    np.testing.assert_allclose(found_D, np.array(wanted) / np.linalg.norm(wanted), atol=1e-6)


@pytest.mark.parametrize(
    "uri",
    ["/a/b.jpg", "/a b/c - d.jpg", "/a/b + c.jpg ", "s3://b/a-b+c", "/2 * a.png", '/a"b".jpg', "/cafe\u0301.gif", "-"],
)
def test_a_picture_alone_is_asked_by_its_uri_to_the_letter(uri):
    assert parse(f"image:{uri}") == (Term(1, uri, picture=True),)
    vector_D = np.array([0.1, 0.7, 0.3], dtype=np.float32)
    assert query_vector(f"image:{uri}", lookup, lambda asked: {uri: vector_D}[asked]) is vector_D


WRITTEN = st.tuples(st.sampled_from("+-"), st.floats(0.001, 1000), st.sampled_from([*WORDS, *PICTURES]))


@given(st.lists(WRITTEN, min_size=1, max_size=6))
def test_what_is_written_in_full_is_read_as_it_was_meant(terms):
    said = [f'{sign} {weight!r} * {"image:" * (name in PICTURES)}"{name}"' for sign, weight, name in terms]
    wanted = [Term(weight if sign == "+" else -weight, name, name in PICTURES) for sign, weight, name in terms]
    assert list(parse("1 * king " + " ".join(said)))[1:] == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found nothing at letter 1, wanted words"),
        ("   ", "wanted words"),
        ("king + ", "found nothing at letter 8, wanted words, with"),
        ("king +  + man", "found '. man' at letter 9, wanted words, with"),
        ("- king", "found '- king' at letter 1, wanted words, with"),
        ("king - king", "cancel out"),
        ("king -", "at letter 7, wanted words, with"),
        ("king - - man", "wanted words, with"),
        ("king + - man", "wanted words, with"),
        ("-", "wanted words, with"),
        ("man - t-shirt - woman + t-shirt + woman - man", "cancel out"),
        ("2 * king - 0.5 * king - 1.5 * king", "cancel out"),
        ("king + quene", "'quene' is no word"),
        ("king+man", "'king.man' is no word"),
        ("2 * 3 * king", "'3 . king' is no word"),
        ("king * 2", "'king . 2' is no word"),
        ("2 * ", "found nothing at letter 5, wanted words"),
        ("2 * + king", "found '. king' at letter 5, wanted words"),
        ("king + nan * man", "found 'nan' at letter 8, wanted a finite number other than 0 as the weight"),
        ("-inf * man", "found '-inf' at letter 1, wanted a finite number"),
        ("1e400 * man", "found '1e400' at letter 1, wanted a finite"),
        ("0 * man + king", "found '0' at letter 1, wanted a finite number other than 0"),
        ("2x * man", "found '2x' at letter 1, wanted a finite number"),
        ('king + "man', "found '\"man' at letter 8, wanted a second quote"),
        ('image:"/a b', "at letter 7, wanted a second quote"),
        ('"king" man', "found ' man' at letter 7, wanted ` . ` or ` - ` behind the quotes"),
        ('"king" * 2', "behind the quotes"),
        ('"" + king', "found nothing at letter 1, wanted words"),
        ("image:", "wanted a picture's URI"),
        ("king + image: ", "wanted a picture's URI"),
        ("image:/a.jpg + ", "found nothing at letter 16, wanted words"),
    ],
)
def test_a_query_that_asks_nothing_known_is_one_line_that_quotes_it(text, words):
    with pytest.raises(VocabularyError, match=words) as error:
        query_vector(text, lookup, lambda uri: np.array([0.0, 0.0, 1.0]))
    assert f"query {text!r}: " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("unit", ["a", " ", "+ ", "a + ", '"', '" + ', "2 * ", "image:", "image:a + ", "\n", "é"])
@pytest.mark.parametrize("length", [grammar.MOST_LETTERS, 10**6])
def test_however_long_a_query_is_it_is_answered_or_refused_at_once_and_briefly(unit, length):
    text = (unit * length)[:length]
    started = time.process_time()
    try:
        query_vector(text, lookup, picture=lambda uri: np.ones(3))
    except VocabularyError as refused:
        assert len(str(refused)) < 1000
        assert length == grammar.MOST_LETTERS or "found 1,000,000 letters, wanted at most 10,000" in str(refused)
    assert time.process_time() - started < 2


def test_words_and_pictures_of_unequal_dims_are_one_line():
    with pytest.raises(VocabularyError, match=r"words and pictures of \[2, 3\] dims, wanted equal ones"):
        query_vector("king + image:/a.jpg", lookup, lambda uri: np.ones(2))


def test_where_only_words_are_known_a_picture_is_refused():
    with pytest.raises(VocabularyError, match="found the picture '/a.jpg', wanted words alone"):
        query_vector("king + image:/a.jpg", lookup)


def test_a_picture_that_is_not_there_may_be_a_uri_that_wants_quotes():
    told = partial(grammar.no_picture, uri="file:///a")
    assert str(told("image:/a")) == "query 'image:/a': file:///a: no such picture"
    assert "wants quotes" in str(told("image:/a + b"))
