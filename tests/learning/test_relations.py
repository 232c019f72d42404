"""Where labels lie with regard to the seen classes, on a hierarchy for paper and pencil."""

import pytest

from devise.learning.relations import RELATIONS, Relations
from devise.words.ancestry import Ancestry

HYPERNYMS = {
    "robin": ["bird"], "wren": ["bird"], "bird": ["animal"], "dog": ["animal", "pet"], "hound": ["dog"],
    "pet": ["animal"], "goldfish": ["pet"], "animal": ["thing"], "boat": ["thing"], "raft": ["boat"],
}  # fmt: skip


@pytest.fixture
def relations() -> Relations:
    return Relations(Ancestry(HYPERNYMS, list(HYPERNYMS)), ["robin", "dog"])


@pytest.mark.parametrize(
    ("synset", "wanted"),
    [
        ("robin", "seen"),
        ("dog", "seen"),
        ("bird", "ancestor"),
        ("pet", "ancestor"),  # by the second hypernym
        ("thing", "ancestor"),  # however far
        ("hound", "descendant"),
        ("wren", "sibling"),
        ("goldfish", "sibling"),  # of dog, by pet
        ("boat", "unrelated"),  # its hypernym is above the seen ones, and no direct hypernym of one
        ("raft", "unrelated"),
        (None, None),
    ],
)
def test_a_relation_is_the_one_that_paper_and_pencil_find(relations, synset, wanted):
    assert relations.of(synset) == wanted and wanted in (*RELATIONS, None)


def test_the_first_relation_that_holds_counts():
    # bird is seen itself, and above a seen class; dog is below the seen animal, and a sibling of the seen bird.
    relations = Relations(Ancestry(HYPERNYMS, []), ["robin", "bird"])
    assert (relations.of("bird"), relations.of("dog"), relations.of("wren")) == ("seen", "sibling", "descendant")
    assert Relations(Ancestry(HYPERNYMS, []), ["bird", "animal"]).of("dog") == "descendant"


def test_where_nothing_is_seen_there_is_no_relation():
    assert Relations(Ancestry(HYPERNYMS, []), []).of("bird") is None
