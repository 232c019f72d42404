"""Names and their spellings: which rule finds a name's vector, in which order, and what the rule is called."""

import numpy as np
import pytest

from devise.words.nouns import Finder, Match, Noun, fold, plurals, readable, singulars, unit, wanted_keys, words_of

WORDS = ["dog", "Crane", "crane", "ice_cream", "x-ray", "mailbox", "cherries", "foot", "fire", "engine", "Cardigan"]
VECTORS_VD = np.eye(len(WORDS), dtype=np.float32) * np.arange(1, len(WORDS) + 1, dtype=np.float32)[:, None]
FINDER = Finder(WORDS, VECTORS_VD)


def subword(text: str) -> np.ndarray:
    """A vector along the first axis for a word with an `e`; nothing for others."""
    return VECTORS_VD[0] * ("e" in text)


@pytest.mark.parametrize(
    ("name", "word", "how"),
    [
        ("dog", "dog", "exact"),
        ("ice cream", "ice_cream", "exact"),
        ("ice_cream", "ice_cream", "exact"),
        ("  ice   cream ", "ice_cream", "exact"),
        ("crane", "crane", "exact"),
        ("Crane", "Crane", "exact"),
        ("CRANE", "Crane", "case"),
        ("Ice Cream", "ice_cream", "case"),
        ("cardigan", "Cardigan", "case"),
        ("ice-cream", "ice_cream", "separator"),
        ("icecream", "ice_cream", "separator"),
        ("X ray", "x-ray", "separator"),
        ("mail box", "mailbox", "separator"),
        ("dogs", "dog", "plural"),
        ("Ice Creams", "ice_cream", "plural"),
        ("cherry", "cherries", "plural"),
        ("feet", "foot", "plural"),
        ("mail boxes", "mailbox", "plural"),
    ],
)
def test_a_name_finds_its_word_by_the_strictest_rule(name, word, how):
    match = FINDER.own(name)
    row = WORDS.index(word)
    assert (match.rows, match.how) == ((row,), how)
    assert np.array_equal(match.vector, np.eye(len(WORDS))[row]) and match.vector.dtype == np.float32


@pytest.mark.parametrize("name", ["doggy", "do", "cream", "glass", "", "犬", "dog house"])
def test_a_name_that_nothing_is_spelled_like_has_no_vector_of_its_own(name):
    assert FINDER.own(name) is None


def test_a_name_of_nothing_but_separators_is_only_itself():
    finder = Finder(["-", "--", "dog"], np.eye(3, dtype=np.float32))
    found = {name: finder.own(name) for name in ("-", "--", "", " ", "_", "---", "\u00a0")}
    assert [name for name, match in found.items() if match] == ["-", "--"] and found["--"].rows == (1,)


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u3000", "\x85"])
def test_any_space_of_unicode_is_a_space(space):
    assert Finder([f"ice{space}cream"], np.eye(1, dtype=np.float32)).own("ice cream").how == "exact"
    assert fold(f"ice{space}cream") == fold("ice cream")


def test_the_first_of_the_file_counts_among_words_by_one_rule():
    finder = Finder(["DOG", "Dog", "dog", "dog"], np.eye(4, dtype=np.float32))
    assert [finder.own(name).rows[0] for name in ("dog", "Dog", "DOG", "dOg", "d-og", "dogs")] == [2, 1, 0, 0, 0, 2]


def test_every_plural_of_a_word_leads_back_to_it():
    for word in ("dog", "fox", "church", "bush", "box", "cherry", "boy", "man", "fire engine", "foot", "wolf", "bus"):
        for plural in plurals(word):
            assert plural != word and word in singulars(plural)


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("cherries", ["cherry", "cherrie"]),
        ("Foxes", ["fox", "foxe"]),
        ("horses", ["hors", "horse"]),
        ("tomatoes", ["tomato", "tomatoe"]),
        ("fire-engines", ["fire-engine"]),
        ("wise_men", ["wise_man"]),
        ("glass", []),
        ("bus", []),
        ("iris", []),
        ("gas", []),
        ("dog", []),
    ],
)
def test_singulars_by_hand(plural, singular):
    assert singulars(plural) == singular


def test_spelling_by_hand():
    assert readable(" new_york  city_") == "new york city"
    assert fold("Ice-Cream_ Cone") == fold("icecreamCONE") == "icecreamcone"
    assert fold("Straße") == fold("STRASSE")
    assert words_of("A bird's-eye view of the River-Thames (in 1900)") == ["bird's", "eye", "view", "river", "thames"]
    assert words_of("of the") == words_of("") == []


def test_unit_vectors_have_length_1_and_zeros_stay():
    assert np.allclose(unit(np.array([3, 4])), [0.6, 0.8]) and unit(np.array([3.0, 4.0])).dtype == np.float32
    assert not unit(np.zeros(3)).any()


def test_a_noun_takes_its_own_word_then_a_synonyms_then_its_parts():
    assert FINDER.find(Noun("dog", synonyms=("crane",))).how == "exact"
    match = FINDER.find(Noun("hound", synonyms=("cur", "Dogs", "crane")))
    assert (match.rows, match.how) == ((0,), "synonym")
    match = FINDER.find(Noun("fire-engine", synonyms=("pumper",)))
    assert (match.rows, match.how) == ((8, 9), "words")
    assert FINDER.find(Noun("pumper", synonyms=("fire truck",))) is None


def test_a_phrase_of_its_own_comes_before_its_words():
    finder = Finder(["ice", "cream", "ice_cream"], np.eye(3, dtype=np.float32), subword=lambda _: np.ones(3))
    assert finder.find(Noun("ice cream")).rows == (2,)
    assert finder.find(Noun("ice-creams")).rows == (2,)


def test_a_composed_vector_is_the_unit_mean_of_unit_vectors():
    match = FINDER.compose("the engines of a fire")
    assert (match.rows, match.how) == ((9, 8), "words")
    wanted_D = np.zeros(len(WORDS))
    wanted_D[[8, 9]] = np.sqrt(0.5)
    assert np.allclose(match.vector, wanted_D)  # though the rows of the file have lengths 9 and 10


def test_subwords_stand_in_for_unknown_words_only():
    finder = Finder(WORDS, VECTORS_VD, subword)
    match = finder.find(Noun("kennel"))
    assert (match.rows, match.how) == ((), "subword") and np.array_equal(match.vector, np.eye(len(WORDS))[0])
    match = finder.find(Noun("kennel fire"))
    assert (match.rows, match.how) == ((8,), "subword")
    assert np.allclose(match.vector[[0, 8]], np.sqrt(0.5))
    assert finder.find(Noun("fire engine")).how == "words"
    assert finder.find(Noun("dog")).how == "exact"
    assert finder.find(Noun("kiosk")) is None and finder.find(Noun("fire kiosk")) is None


def test_nothing_is_composed_of_stop_words_or_of_words_that_cancel():
    assert FINDER.compose("of the") is None and FINDER.compose("1984") is None
    finder = Finder(["hot", "cold"], np.array([[1, 0], [-1, 0]], np.float32))
    assert finder.compose("hot cold") is None


def test_wanted_keys_cover_every_word_that_a_finder_may_use():
    names = ["Fire-Engines", "hound", "ice creams", "the cherry", "feet", "X ray"]
    keys = wanted_keys(names)
    rows = [row for row, word in enumerate(WORDS) if fold(word) in keys]
    fewer = Finder([WORDS[row] for row in rows], VECTORS_VD[rows])
    for name in names:
        whole, part = FINDER.find(Noun(name)), fewer.find(Noun(name))
        assert (whole is None) == (part is None)
        if isinstance(whole, Match):
            assert whole.how == part.how and np.array_equal(whole.vector, part.vector)
    assert "dog" not in keys and len(rows) < len(WORDS)
