"""Synsets within so many edges of others: by hand, and ImageNet's published 2-hop and 3-hop sets by WordNet 3.0."""

import json
import random

import pytest

from devise.facts import shipped
from devise.spark.stages.labelled import read_class_names
from devise.words.hierarchy import Hierarchy
from devise.words.synsets import read_hierarchy

HYPERNYMS = {
    "robin": ["bird"], "wren": ["bird"], "bird": ["animal"], "dog": ["animal", "pet"], "hound": ["dog"],
    "pet": ["animal"], "animal": ["thing"], "boat": ["thing"], "thing": [],
}  # fmt: skip


def test_near_is_up_and_down_and_leaves_out_what_it_is_near_to():
    tree = Hierarchy({synset: [synset] for synset in HYPERNYMS}, HYPERNYMS)
    assert tree.near(["dog"], 0) == set()
    assert tree.near(["dog"], 1) == {"hound", "animal", "pet"}
    assert tree.near(["dog"], 2) == {"hound", "animal", "pet", "bird", "thing"}
    assert tree.near(["dog", "animal", "unknown"], 1) == {"hound", "pet", "bird", "thing"}
    assert tree.near([], 3) == set()


def test_near_is_what_hops_say():
    rng = random.Random(0)
    names = [str(number) for number in range(60)]
    tree = Hierarchy(
        {name: [name] for name in names},
        {name: rng.sample(names[:number], min(number, rng.choice([0, 1, 1, 2]))) for number, name in enumerate(names)},
    )
    for edges in range(4):
        starts = rng.sample(names, 3)
        hops = {name: [tree.hops(start, name) for start in starts] for name in names}
        wanted = {name for name, own in hops.items() if any(hop is not None and hop <= edges for hop in own)}
        assert tree.near(starts, edges) == wanted - set(starts)


@pytest.fixture(scope="module")
def published(data):
    return {name: set(own) for name, own in json.loads((data / "taxonomy/imagenet-testsets.json").read_text()).items()}


@pytest.mark.parametrize(
    ("hops", "name", "n_wordnet", "n_with_pictures", "n_common", "n_published"),
    [(2, "2-hops", 1742, 1548, 1548, 1549), (3, "3-hops", 6703, 5990, 5982, 7860)],
)
def test_the_published_sets_are_one_and_two_edges_of_wordnet(
    published, hops, name, n_wordnet, n_with_pictures, n_common, n_published
):
    ours = set(read_class_names("wordnet", hops))
    assert published["train"] == set(read_class_names("imagenet1k"))
    with_pictures = ours & published["all"]
    found = (len(ours), len(with_pictures), len(with_pictures & published[name]), len(published[name]))
    assert found == (n_wordnet, n_with_pictures, n_common, n_published)


def test_wordnet_names_every_wnid():
    names = read_class_names("wordnet")
    assert len(names) == len(read_hierarchy(shipped.HIERARCHY["wordnet"]).members) == 82_115
    assert names["n02084071"][0] == "dog"
