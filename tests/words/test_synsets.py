"""The noun hierarchy: hops and correct sets worked by hand, files of both formats, wnids joined to their synsets."""

import gzip
from itertools import combinations

import numpy as np
import pytest

from devise.errors import TableError, VocabularyError
from devise.words.synsets import Hierarchy, join, read_hierarchy, split_names
from devise.words.texttables import read_table

#              entity
#            /        \
#       animal         artifact          stone (apart)
#       /    \         /      \
#    bird    dog    machine   kennel
#     |     /  \       |
#   crane puppy pug  crane2
TREE = Hierarchy(
    members={
        "entity": ["entity"],
        "animal": ["animal", "beast"],
        "artifact": ["artifact"],
        "bird": ["bird"],
        "dog": ["dog", "domestic dog"],
        "machine": ["machine"],
        "kennel": ["kennel", "doghouse"],
        "crane": ["crane"],
        "puppy": ["puppy"],
        "pug": ["pug", "pug-dog"],
        "crane2": ["Crane", "hoist"],
        "stone": ["stone"],
    },
    hypernyms={
        "animal": ["entity"],
        "artifact": ["entity"],
        "bird": ["animal"],
        "dog": ["animal"],
        "machine": ["artifact"],
        "kennel": ["artifact", "nowhere"],
        "crane": ["bird"],
        "puppy": ["dog"],
        "pug": ["dog"],
        "crane2": ["machine"],
    },
)


@pytest.mark.parametrize(
    ("a", "b", "hops"),
    [
        ("dog", "dog", 0),
        ("dog", "pug", 1),
        ("pug", "dog", 1),
        ("puppy", "pug", 2),
        ("pug", "bird", 3),
        ("crane", "crane2", 6),
        ("entity", "crane", 3),
        ("stone", "stone", 0),
        ("stone", "dog", None),
        ("dog", "stone", None),
    ],
)
def test_hops_by_hand(a, b, hops):
    assert TREE.hops(a, b) == hops


def test_of_two_ways_up_the_shorter_counts():
    tree = Hierarchy(dict.fromkeys("abcde", ["x"]), {"a": ["b", "d"], "b": ["c"], "c": ["d"], "d": ["e"]})
    assert [tree.hops("a", to) for to in "abcde"] == [0, 1, 2, 1, 2]


def test_hops_are_the_shortest_ways_of_any_graph():
    rng = np.random.default_rng(0)
    for n_synsets in (1, 2, 5, 12, 25):
        names = [str(row) for row in range(n_synsets)]
        parents = {
            name: [names[p] for p in rng.choice(row, min(row, rng.integers(0, 3)), replace=False)]
            for row, name in enumerate(names)
            if row
        }
        hops = np.full((n_synsets, n_synsets), np.inf)
        np.fill_diagonal(hops, 0)
        for child, above in parents.items():
            for parent in above:
                hops[int(child), int(parent)] = hops[int(parent), int(child)] = 1
        for middle in range(n_synsets):
            hops = np.minimum(hops, hops[:, [middle]] + hops[[middle]])
        tree = Hierarchy({name: [name] for name in names}, parents)
        for a, b in combinations(range(n_synsets), 2):
            assert tree.hops(names[a], names[b]) == (None if np.isinf(hops[a, b]) else hops[a, b])


LEAVES = ["crane", "puppy", "pug", "crane2", "kennel", "stone"]


@pytest.mark.parametrize(
    ("synset", "k", "expected"),
    [
        ("pug", 1, {"pug"}),  # itself, at 0 hops
        ("pug", 2, {"pug", "puppy"}),  # puppy at 2
        ("pug", 3, {"pug", "puppy", "crane"}),  # crane at 4
        ("pug", 4, {"pug", "puppy", "crane", "kennel"}),  # kennel at 5
        ("pug", 5, {"pug", "puppy", "crane", "kennel", "crane2"}),  # crane2 at 6
        ("pug", 99, {"pug", "puppy", "crane", "kennel", "crane2"}),  # the stone is never reached
        ("dog", 1, {"puppy", "pug"}),  # no candidate itself; both at 1 hop come in together
        ("entity", 1, {"kennel"}),
        ("entity", 2, {"kennel", "crane", "puppy", "pug", "crane2"}),  # four at 3 hops
        ("stone", 3, {"stone"}),
    ],
)
def test_correct_sets_by_hand(synset, k, expected):
    assert TREE.correct_set(synset, k, LEAVES) == expected
    assert TREE.correct_set(synset, k, [*reversed(LEAVES), "unicorn"]) == expected


def test_correct_sets_grow_with_k_and_hold_all_that_are_as_near():
    for synset in TREE.members:
        before: set[str] = set()
        for k in range(1, len(TREE.members) + 1):
            found = TREE.correct_set(synset, k, TREE.members)
            assert before <= found and synset in found
            radius = max(TREE.hops(synset, one) for one in found)
            reachable = {one for one in TREE.members if TREE.hops(synset, one) is not None}
            assert found == {one for one in reachable if TREE.hops(synset, one) <= radius}
            assert len(found) >= min(k, len(reachable))
            before = found
    assert TREE.correct_set("stone", 1, ["dog", "unicorn"]) == TREE.correct_set("dog", 1, []) == set()


def test_correct_rows_are_the_correct_set_of_candidates_given_by_row():
    candidates = ["unicorn", *LEAVES, "dog"]
    rows_C = TREE.rows(candidates)
    assert rows_C.dtype == np.int64 and rows_C[0] == -1 and rows_C[-1] == list(TREE.members).index("dog")
    for synset in TREE.members:
        for k in (1, 2, 5, 99):
            correct_C = TREE.correct_rows(synset, k, rows_C)
            found = {one for one, correct in zip(candidates, correct_C, strict=True) if correct}
            assert correct_C.dtype == bool and found == TREE.correct_set(synset, k, set(candidates)) and found
    assert not TREE.correct_rows("stone", 1, TREE.rows(["unicorn", "dog"])).any()
    assert TREE.rows([]).shape == TREE.correct_rows("dog", 1, TREE.rows([])).shape == (0,)


def test_a_synset_that_is_not_there_is_refused():
    for ask in (
        lambda: TREE.hops("dog", "unicorn"),
        lambda: TREE.hops("unicorn", "dog"),
        lambda: TREE.correct_set("unicorn", 1, LEAVES),
    ):
        with pytest.raises(VocabularyError, match="found synset 'unicorn', wanted one of the hierarchy's 12"):
            ask()
    with pytest.raises(ValueError, match="k = 0"):
        TREE.correct_set("dog", 0, LEAVES)


def test_a_word_names_all_its_synsets_by_any_spelling():
    assert TREE.synsets("crane") == TREE.synsets("CRANE") == ["crane", "crane2"]
    assert TREE.synsets("Domestic_dog") == TREE.synsets("domestic-dog") == ["dog"]
    assert TREE.synsets("pug dog") == ["pug"]
    assert TREE.synsets("unicorn") == []


FULL = (
    "id\tlexfile\tmembers\thypernyms\tdefinition\n"
    "1-n\tTops\tentity\t\tall there is\n"
    "2-n\tanimal\tdog|domestic dog\t1-n\tbarks\n"
    "3-n\tanimal\tpug\t2-n|1-n\t\n"
)
NAMES = "n02084071\tdog, domestic dog, Canis familiaris\nn02110958\tpug, pug-dog\n"


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())])
def test_a_hierarchy_is_read_from_either_format(pack, tmp_path):
    for end in ("\n", "\r\n"):
        (tmp_path / "full").write_bytes(pack(FULL.replace("\n", end)))
        tree = read_hierarchy(tmp_path / "full")
        assert tree.members == {"1-n": ["entity"], "2-n": ["dog", "domestic dog"], "3-n": ["pug"]}
        assert tree.hypernyms == {"1-n": [], "2-n": ["1-n"], "3-n": ["2-n", "1-n"]}
        assert tree.definitions == {"1-n": "all there is", "2-n": "barks", "3-n": ""}
        (tmp_path / "names").write_bytes(pack(NAMES.replace("\n", end)))
        names = read_hierarchy(tmp_path / "names")
        assert names.members["n02084071"] == ["dog", "domestic dog", "Canis familiaris"]
        assert list(names.members) == ["n02084071", "n02110958"] and not names.hypernyms and not names.definitions
        assert names.hops("n02084071", "n02110958") is None


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", ": empty"),
        (b"\n \n", ": empty"),
        (FULL.replace("\tbarks", "").encode(), ", line 3: found 4 columns, wanted 5"),
        (FULL.replace("barks", "barks\tloud").encode(), ", line 3: found 6 columns, wanted 5"),
        (FULL.replace("\thypernyms", "\tabove").encode(), "no ['hypernyms']"),
        (NAMES.replace("\tpug", " pug").encode(), ", line 2: found 1 columns, wanted 2"),
        (FULL.replace("definition", "members").encode(), "no ['members', 'definition'] or not once"),
        (b"caf\xe9\tx\n", "cannot be read"),
        (gzip.compress(FULL.encode())[:-9], "cannot be read"),
        (gzip.compress(FULL.encode())[:-8] + b"\0" * 8, "cannot be read"),
        (gzip.compress(FULL.encode())[:15] + b"\xff" * 60, "cannot be read"),
    ],
)
def test_a_hierarchy_that_cannot_be_read_is_refused_in_one_line(content, place, tmp_path):
    (tmp_path / "tree.tsv").write_bytes(content)
    with pytest.raises((TableError, VocabularyError)) as caught:
        read_hierarchy(tmp_path / "tree.tsv")
    assert str(caught.value).startswith(str(tmp_path / "tree.tsv")) and "\n" not in str(caught.value)
    assert place in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TableError, match=r"nowhere\.tsv: cannot be read: No such file"):
        read_hierarchy(tmp_path / "nowhere.tsv")


def test_a_synonym_list_is_split_at_commas():
    assert split_names("dog, domestic dog,,  Canis familiaris ,") == ["dog", "domestic dog", "Canis familiaris"]
    assert split_names("") == split_names(" , ") == []


def test_wnids_join_by_id_where_the_hierarchy_has_them():
    tree = Hierarchy({"n02012849": ["bird of steel"], "n03126707": ["crane"]})
    assert join({"n02012849": ["crane"], "n03126707": ["crane"]}, tree) == {
        "n02012849": "n02012849",
        "n03126707": "n03126707",
    }


PLACED = Hierarchy(
    {
        "02000010-n": ["dog", "domestic dog"],
        "02500010-n": ["crane"],
        "02600010-n": ["jay"],
        "03000010-n": ["hammer"],
        "03500010-n": ["crane"],
        "92500000-n": ["crane"],
        "04000010-n": ["zebra crossing", "crosswalk"],
        "96000000-n": ["smartphone"],
    }
)


def test_wnids_of_one_name_join_by_their_order():
    wnids = {
        "n02000000": ["dog", "domestic dog"],
        "n02499999": ["crane"],
        "n03000000": ["hammers"],
        "n03499999": ["Crane"],
        "n09999999": ["unicorn"],
        "n03400000": ["smartphone"],  # added to the hierarchy later: its id is no place
        "n04000000": ["crosswalk", "zebra crossing"],
    }
    assert join(wnids, PLACED) == {
        "n02000000": "02000010-n",
        "n02499999": "02500010-n",
        "n03000000": "03000010-n",
        "n03499999": "03500010-n",
        "n03400000": "96000000-n",
        "n04000000": "04000010-n",
    }


def test_a_name_of_several_synsets_joins_none_without_places():
    assert join({"n02499999": ["crane"], "n02000000": ["dog"]}, PLACED) == {"n02000000": "02000010-n"}
    assert join({"crane": ["crane"], "dog": ["dog", "domestic dog"]}, PLACED) == {"dog": "02000010-n"}


def test_the_synset_that_shares_most_names_is_joined():
    tree = Hierarchy({"a": ["cab"], "b": ["cab", "taxi"], "c": ["taxi", "cab", "hack"], "d": ["hack"]})
    assert join({"n1": ["hack", "taxi", "cab"]}, tree) == {"n1": "c"}


@pytest.fixture(scope="module")
def nouns(data):
    return read_hierarchy(data / "taxonomy/oewn_noun_synsets.tsv.gz")


def above(tree: Hierarchy, synset: str) -> set[str]:
    found, waiting = set(), [synset]
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += tree.hypernyms[one]
    return found


def test_the_first_398_classes_of_imagenet_join_animals_and_no_other_does(data, nouns):
    wnids = {}
    for _, wnid, name, synonyms in read_table(data / "taxonomy/imagenet1k_classes.tsv")[1]:
        wnids[wnid] = [name, *split_names(synonyms)]
    found = join(wnids, nouns)
    assert len(found) == len(set(found.values())) == 1000
    [animal] = nouns.synsets("animate being")
    assert [animal in above(nouns, found[wnid]) for wnid in wnids] == [True] * 398 + [False] * 602
    [bird] = [synset for synset in nouns.synsets("bird") if nouns.definitions[synset].startswith("warm-blooded")]
    assert bird in above(nouns, found["n02012849"]) and bird not in above(nouns, found["n03126707"])


def test_real_hops_are_short_among_kin(nouns):
    dog, wolf, cat, hammer = (nouns.synsets(word)[0] for word in ("domestic dog", "grey wolf", "Siamese cat", "gavel"))
    # Over canine and wolf; over domestic animal and domestic cat; to a tool over all that is physical.
    assert [nouns.hops(dog, other) for other in (wolf, cat, hammer)] == [3, 3, 12]


def test_the_other_real_file_has_names_only(data):
    tree = read_hierarchy(data / "taxonomy/wnid_words.txt.gz")
    assert len(tree.members) == 82_115 and "crane" in tree.members["n02012849"] and not tree.hypernyms
