"""Ancestors on a hierarchy small enough for paper and pencil."""

import math

import pytest

from devise.words.ancestry import Ancestry, closed_upward

HYPERNYMS = {
    "robin": ["bird"], "wren": ["bird"], "bird": ["animal"], "dog": ["animal", "pet"], "pet": ["animal"],
    "animal": ["thing"], "boat": ["thing"],
}  # fmt: skip
LABELS = ["robin", "wren", "bird", "dog", "hound", "boat", None]
SYNSETS = ["robin", "wren", "bird", "dog", "dog", "boat", None]


@pytest.fixture
def ancestry() -> Ancestry:
    return Ancestry(HYPERNYMS, SYNSETS)


def test_ancestors_come_with_their_least_depth_and_nearest_first(ancestry):
    assert list(ancestry.above("dog").items()) == [("dog", 0), ("animal", 1), ("pet", 1), ("thing", 2)]
    assert ancestry.above("unheard of") == {"unheard of": 0}


def test_a_synset_knows_its_labels_and_those_below_it(ancestry):
    assert ancestry.labels_of["dog"] == [3, 4]
    assert ancestry.labels_below == {
        "robin": 1, "wren": 1, "bird": 3, "dog": 1, "pet": 1, "animal": 4, "boat": 1, "thing": 5,
    }  # fmt: skip


def test_a_leaf_is_wholly_specific_and_the_root_is_not_at_all(ancestry):
    assert ancestry.specificity("robin") == 1 and ancestry.specificity("thing") == 0
    assert ancestry.specificity("bird") == pytest.approx(1 - math.log(3) / math.log(5))
    assert ancestry.specificity("unheard of") == 0


def test_a_hierarchy_goes_round_in_a_circle_and_still_ends():
    circle = Ancestry({"a": ["b"], "b": ["a"]}, ["a", "b"])
    assert circle.above("a") == {"a": 0, "b": 1}


def test_what_is_kept_of_a_hierarchy_is_all_above_and_nothing_beside():
    assert closed_upward(HYPERNYMS, ["robin"]) == {
        "robin": ["bird"], "bird": ["animal"], "animal": ["thing"], "thing": [],
    }  # fmt: skip
