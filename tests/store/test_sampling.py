"""A sample is seeded, of all stretches of a listing, and says whether it saw all of it."""

import pytest

from devise.errors import EmptyCorpus
from devise.store import sampling, storage


@pytest.fixture
def corpus(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        for number in range(20):
            (tmp_path / folder / f"{number}.jpg").write_bytes(b"x")
    (tmp_path / "a/notes.txt").write_bytes(b"x")
    return [storage.normalise(str(tmp_path))]


def draw(corpus, n, **settings):
    return sampling.draw(corpus, ["*.jpg"], [], n, **settings)


def test_the_same_seed_draws_the_same_images_and_no_others(corpus):
    first = draw(corpus, 10)
    assert first == draw(corpus, 10) and first.drawn != draw(corpus, 10, seed=1).drawn
    assert len({stat.uri for stat in first.drawn}) == 10 and all(stat.uri.endswith(".jpg") for stat in first.drawn)


def test_a_corpus_that_was_listed_whole_is_counted(corpus):
    found = draw(corpus, 1_000)
    assert (len(found.drawn), found.n_listed, found.whole) == (60, 60, True)


def test_a_larger_one_gives_some_of_each_stretch_and_is_not_counted(corpus):
    found = draw(corpus, 1_000, most_listed=16)
    assert not found.whole and found.n_listed < 60
    assert {stat.uri.split("/")[-2] for stat in found.drawn} == {"a", "b", "c"}


def test_nothing_to_sample_is_one_line(corpus):
    with pytest.raises(EmptyCorpus, match="found no image that matches"):
        sampling.draw(corpus, ["*.png"], [], 5)
