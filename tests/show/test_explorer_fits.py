"""Which words are said to fit no picture: by labels that are likely, by kinds of a word, by what lies above it."""

import pytest

from devise.search.answers import Label, Labelled
from devise.show.explorer import fits
from devise.words.ancestry import Ancestry

SYNSETS = {name: f"{name}.n" for name in ("thing", "craft", "aircraft", "helicopter", "jet", "boat", "dog", "beagle")}
ABOVE = {"jet": "aircraft", "helicopter": "aircraft", "aircraft": "craft", "boat": "craft", "craft": "thing"}
ABOVE |= {"beagle": "dog", "dog": "thing"}
TREE = Ancestry({SYNSETS[name]: [SYNSETS[up]] for name, up in ABOVE.items()}, list(SYNSETS.values()))
TRAINED = fits.trained_on(TREE, [SYNSETS["jet"], SYNSETS["beagle"], None])
"""So not on helicopters and boats."""


def picture(*names, probability=0.5, answer=None):
    return Labelled(tuple(Label(name, 0.5, probability) for name in names), answer, answer and 0.9)


def met(word, *answers, synset_of=SYNSETS):
    return fits.is_met(word, answers, synset_of, TREE, TRAINED)


def test_what_a_network_was_trained_on_lies_at_and_above_what_it_saw():
    assert {SYNSETS[name] for name in ("jet", "aircraft", "craft", "thing", "beagle", "dog")} == TRAINED


@pytest.mark.parametrize("word", ["jet", "aircraft", "craft", "thing"])
def test_a_word_is_met_by_itself_and_by_kinds_of_it(word):
    assert met(word, picture("beagle"), picture("jet"))
    assert met(word, picture("beagle", answer="jet"))
    assert not met("dog", picture("jet")) and not met("jet", picture("aircraft"))


def test_a_label_that_is_not_likely_tells_nothing_of_what_the_network_knows():
    assert not met("dog", picture("beagle", probability=0.09))
    assert met("dog", picture("beagle", probability=0.1))
    assert met("dog", picture("beagle", probability=None))  # a model without calibration
    assert met("helicopter", picture("helicopter", probability=0.001))


def test_what_the_network_was_never_shown_is_met_by_what_lies_right_above_it():
    half = [picture("aircraft")] * 5 + [picture("beagle")] * 5
    assert met("helicopter", *half) and not met("helicopter", *half[1:])
    assert met("helicopter", picture("craft")) and not met("helicopter", picture("thing"))
    assert not met("jet", *half)  # it would have been told
    assert not met("helicopter", *[picture("beagle")] * 10, *[picture("aircraft")] * 90)
    assert not met("helicopter")


def test_without_a_hierarchy_the_label_itself_is_all_that_tells():
    assert met("boat", picture("boat"), synset_of={}) and not met("boat", picture("jet"), synset_of={})
