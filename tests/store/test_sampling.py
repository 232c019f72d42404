"""A sample is seeded, of all stretches of a listing, and says whether it saw all of it."""

import pytest
from listserver import ListServer, MadeKeys

from devise.errors import EmptyCorpus, StorageError
from devise.store import s3, sampling, storage


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


@pytest.mark.parametrize(
    ("keys", "texts"),
    [
        (MadeKeys(256, 40), [f"{digit:x}" for digit in range(16)]),
        (MadeKeys(1, 9000), ["00/00" + str(digit) for digit in range(9)]),
        ([f"corpus/IMG_{number:05d}.jpg" for number in range(9000)], [f"IMG_0{digit}" for digit in range(9)]),
    ],
)
def test_a_long_listing_on_s3_is_sampled_from_all_stretches_of_its_keys_in_few_requests(keys, texts, monkeypatch):
    with ListServer(keys) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(s3.VARIABLE, f'{{"endpoint": "{server.endpoint}"}}')
        found = sampling.draw(["s3://made/corpus"], ["*.jpg"], [], 200, most_listed=2000)
        assert (found.whole, found.texts) == (False, texts)
        assert {stat.uri[len("s3://made/corpus/") :][: len(texts[0])] for stat in found.drawn} == set(texts)
        assert len(server.asked) <= 3 + sampling.MOST_PROBES
        whole = sampling.draw(["s3://made/corpus"], ["*.jpg"], [], 5, most_listed=len(keys))
        assert (whole.whole, whole.n_listed, whole.texts) == (True, len(keys), [])
        with pytest.raises(StorageError, match="nothing is below this place"):
            sampling.draw(["s3://made/typo"], ["*.jpg"], [], 5)
