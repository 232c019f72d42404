"""Class names to vectors of the right sense: a crane that is a bird is no machine; every rule is named in `how`."""

from collections import Counter

import numpy as np
import pytest

from devise.errors import TableError, VocabularyError
from devise.words import wordvectors
from devise.words.classes import ImageClass, Senses, match_classes, read_classes
from devise.words.nouns import Finder, unit
from devise.words.synsets import Hierarchy, read_hierarchy

HEADER = "index\twnid\ttorchvision_name\tsynonyms\n"

# Axes: birds, machines, clothes, dogs.
BIRD, MACHINE, CLOTHES, DOG = np.eye(4, dtype=np.float32)
VECTORS = {
    "bird": BIRD,
    "machine": MACHINE,
    "garment": CLOTHES,
    "dog": DOG,
    "crane": unit(BIRD + 2 * MACHINE),
    "hoist": MACHINE,
    "cardigan": CLOTHES,
    "ice_cream": unit(BIRD + CLOTHES),
    "fire": BIRD,
    "engine": MACHINE,
    "kite": unit(4 * BIRD + MACHINE),
}
TREE = Hierarchy(
    {
        "02000001-n": ["bird"],
        "02000002-n": ["crane"],
        "02000003-n": ["dog"],
        "02000004-n": ["Cardigan", "Cardigan Welsh corgi"],
        "02000005-n": ["kite"],
        "02000006-n": ["Affenpinscher"],
        "03000001-n": ["machine"],
        "03000002-n": ["crane", "Crane"],
        "03000003-n": ["garment"],
        "03000004-n": ["cardigan"],
        "03000005-n": ["kite"],
        "03000006-n": ["hoist", "lifting gear"],
    },
    {
        "02000002-n": ["02000001-n"],
        "02000004-n": ["02000003-n"],
        "02000005-n": ["02000001-n"],
        "02000006-n": ["02000003-n"],
        "03000002-n": ["03000001-n"],
        "03000004-n": ["03000003-n"],
        "03000005-n": ["03000001-n"],
        "03000006-n": ["03000001-n"],
    },
    {"02000006-n": "a small dog with a garment of hair"},
)
ROWS = [
    ("n02000001", "bird"),
    ("n02000002", "crane bird", "crane"),
    ("n02000004", "Cardigan", "Cardigan Welsh corgi"),
    ("n02000005", "kite"),
    ("n02000006", "Affenpinscher"),
    ("n03000001", "machine"),
    ("n03000002", "crane"),
    ("n03000004", "cardigan"),
    ("n03000006", "lifting gear", "hoist"),
    ("n09000001", "fire engine"),
    ("n09000002", "unicorn"),
]
CLASSES = [ImageClass(row, wnid, names[0], names) for row, (wnid, *names) in enumerate(ROWS)]
CLASSES = [ImageClass(one.index, one.wnid, one.name, tuple(one.names)) for one in CLASSES]
FINDER = Finder(list(VECTORS), np.stack(list(VECTORS.values())))
MATCHES = match_classes(CLASSES, FINDER, TREE)
ROW = {one.wnid: one.index for one in CLASSES}


def test_classes_are_read_with_all_their_names_once(tmp_path):
    text = HEADER + "0\tn1\tcrane bird\tcrane, heron\n1\tn2\tdog\tdog, domestic dog\n2\tn3\tpug\t\n"
    (tmp_path / "classes.tsv").write_text(text)
    assert read_classes(tmp_path / "classes.tsv") == [
        ImageClass(0, "n1", "crane bird", ("crane bird", "crane", "heron")),
        ImageClass(1, "n2", "dog", ("dog", "domestic dog")),
        ImageClass(2, "n3", "pug", ("pug",)),
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", ": empty"),
        (HEADER, "found a header and no classes"),
        (HEADER + "0\tn1\tdog\tdog\n2\tn2\tpug\tpug\n", "row 2: found ['2', 'n2', 'pug'], wanted 1, a wnid"),
        (HEADER + "1\tn1\tdog\tdog\n", "row 1: found ['1', 'n1', 'dog'], wanted 0"),
        (HEADER + "0\tn1\tdog\n", "line 2: found 3 columns, wanted 4"),
        (HEADER + "0\tn1\tdog\tdog\tanimal\n", "line 2"),
        (HEADER + "zero\tn1\tdog\tdog\n", "row 1"),
        (HEADER + "0\tn1\tdog\tdog\n1\tn1\tpug\tpug\n", "row 2: found ['1', 'n1', 'pug'], wanted 1, a wnid of its own"),
        (HEADER + "0\tn1\t\tdog\n", "row 1"),
        ("wnid\tname\nn1\tdog\n", "line 1: found columns ['wnid', 'name']"),
    ],
)
def test_a_class_table_that_is_none_is_refused_in_one_line(content, place, tmp_path):
    path = tmp_path / "classes.tsv"
    path.write_text(content)
    with pytest.raises((TableError, VocabularyError)) as caught:
        read_classes(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value) and place in str(caught.value)
    with pytest.raises(TableError, match="nowhere"):
        read_classes(tmp_path / "nowhere")


def test_a_reference_is_the_unit_sum_of_hypernyms_definition_and_own_name():
    senses = Senses(FINDER, TREE)
    assert np.allclose(senses.reference("02000002-n"), BIRD)  # `crane` names two synsets: no name of its own
    assert np.allclose(senses.reference("03000006-n"), MACHINE)
    # No vector of its own; above it a dog; of its definition `dog` and `garment` have vectors.
    assert np.allclose(senses.reference("02000006-n"), unit(DOG + unit(DOG + CLOTHES)), atol=1e-6)
    assert np.allclose(senses.reference("03000001-n"), MACHINE)  # a root: its own name alone
    alone = Hierarchy({"a": ["unicorn"], "b": ["centaur"], "c": ["dog"]}, {"a": ["b"], "b": ["c"]})
    assert np.allclose(Senses(FINDER, alone).reference("a"), DOG)  # the hypernym has none, so the one above it
    assert Senses(FINDER, Hierarchy({"a": ["unicorn"]})).reference("a") is None


def test_the_best_sense_is_the_one_the_vector_points_at():
    senses = Senses(FINDER, TREE)
    assert senses.best(VECTORS["crane"], "crane") == "03000002-n"
    assert senses.best(BIRD, "CRANE") == "02000002-n"
    assert senses.best(CLOTHES, "crane") == "02000002-n"  # a tie: the first of the file
    assert senses.best(BIRD, "hoist") == "03000006-n"  # of one sense whatever the vector
    assert senses.best(BIRD, "unicorn") is None


def test_a_vector_fits_unless_another_sense_is_nearer_by_the_margin():
    senses = Senses(FINDER, TREE)
    assert senses.fits(VECTORS["crane"], "crane", "03000002-n")
    assert not senses.fits(VECTORS["crane"], "crane", "02000002-n")
    for share, fits in ((0.03, True), (0.05, False)):  # cosines apart by share * sqrt(2): 0.042, 0.071
        assert senses.fits(unit(BIRD * (1 - share) + MACHINE * (1 + share)), "crane", "02000002-n") == fits
    assert senses.fits(MACHINE, "bird", "02000001-n")  # a name of one sense has no rival


def test_a_crane_that_is_a_bird_is_no_machine():
    bird_D, machine_D = MATCHES.vectors_CD[[ROW["n02000002"], ROW["n03000002"]]]
    assert MATCHES.synsets[ROW["n02000002"]] == "02000002-n" and MATCHES.synsets[ROW["n03000002"]] == "03000002-n"
    # One word serves both: each is that word's vector moved by its own synset's reference.
    assert np.allclose(bird_D, unit(VECTORS["crane"] + BIRD), atol=1e-6) and bird_D @ BIRD > bird_D @ MACHINE
    assert np.allclose(machine_D, unit(VECTORS["crane"] + MACHINE), atol=1e-6) and machine_D @ MACHINE > 0.9
    assert MATCHES.how[ROW["n02000002"]] == MATCHES.how[ROW["n03000002"]] == "sense"


@pytest.mark.parametrize(
    ("wnid", "label", "how", "vector_D"),
    [
        ("n02000001", "bird", "exact", BIRD),
        ("n02000002", "crane", "sense", unit(VECTORS["crane"] + BIRD)),
        ("n02000004", "Cardigan", "sense", unit(CLOTHES + DOG)),
        ("n02000005", "kite", "exact, ambiguous", VECTORS["kite"]),
        ("n02000006", "Affenpinscher", "definition", unit(DOG + unit(DOG + CLOTHES))),
        ("n03000006", "hoist", "synonym, shared", MACHINE),
        ("n09000001", "fire engine", "words", unit(BIRD + MACHINE)),
    ],
)
def test_the_rule_of_each_class_by_hand(wnid, label, how, vector_D):
    row = ROW[wnid]
    assert (MATCHES.labels[row], MATCHES.how[row]) == (label, how)
    assert np.allclose(MATCHES.vectors_CD[row], vector_D, atol=1e-6)


def test_a_class_that_nothing_knows_is_a_row_of_nan_and_is_named():
    row = ROW["n09000002"]
    assert np.isnan(MATCHES.vectors_CD[row]).all()
    assert MATCHES.labels[row] is MATCHES.how[row] is MATCHES.synsets[row] is None
    found = np.delete(MATCHES.vectors_CD, row, axis=0)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert MATCHES.lines() == [
        "10 of 11 classes have a vector: sense 4, exact 3, definition 1, synonym 1, words 1",
        "without: n09000002 unicorn",
    ]


def test_a_name_that_fits_the_sense_comes_before_one_that_does_not():
    heron = ImageClass(0, "n02000002", "crane", ("crane", "kite"))
    tree = Hierarchy(TREE.members | {"02000002-n": ["crane", "kite"]}, TREE.hypernyms)
    found = match_classes([heron], FINDER, tree)
    assert (found.labels, found.how) == (["kite"], ["synonym, ambiguous"])
    assert np.allclose(found.vectors_CD[0], VECTORS["kite"])


def test_without_a_hierarchy_names_are_all_there_is_and_sharing_is_told():
    found = match_classes(CLASSES, FINDER)
    assert found.synsets == [None] * len(CLASSES)
    how = dict(zip((one.wnid for one in CLASSES), found.how, strict=True))
    assert how["n02000002"] == "synonym, shared" and how["n03000002"] == "exact, shared"
    assert how["n02000004"] == "case, shared" and how["n03000004"] == "exact, shared"
    assert how["n02000005"] == "exact" and how["n02000006"] is None and how["n09000001"] == "words"


def test_subwords_serve_a_class_that_has_no_word():
    finder = Finder(list(VECTORS), np.stack(list(VECTORS.values())), lambda text: 2 * DOG)
    found = match_classes(CLASSES, finder, TREE)
    assert found.how[ROW["n09000002"]] == "subword" and np.allclose(found.vectors_CD[ROW["n09000002"]], DOG)
    assert found.how[:-1] == MATCHES.how[:-1]


@pytest.fixture(scope="module")
def real(data):
    vectors = wordvectors.read(data / "vectors/nouns-80k-300d.vec.gz")
    finder = Finder(vectors.words, vectors.vectors)
    tree = read_hierarchy(data / "taxonomy/oewn_noun_synsets.tsv.gz")
    classes = read_classes(data / "taxonomy/imagenet1k_classes.tsv")
    return classes, finder, tree, match_classes(classes, finder, tree)


def test_912_imagenet_classes_have_a_name_that_is_a_word_of_the_vectors(real):
    # 893 spelled alike (`_` is a space), 5 but for case, 14 but for separators; no plural is needed.
    classes, finder, _, matches = real
    own = [[match.how for name in one.names if (match := finder.own(name))] for one in classes]
    best = Counter(
        next((rule for rule in ("exact", "case", "separator", "plural") if rule in found), None) for found in own
    )
    assert best == {"exact": 893, "case": 5, "separator": 14, None: 88}
    # The other 88 are proper names, mostly of dogs: their vectors come from what the hierarchy says of them.
    assert [how.startswith("definition") for how in matches.how] == [not found for found in own]


def test_every_imagenet_class_has_a_vector_by_rules_that_keep_the_synset(real):
    classes, _, _, matches = real
    assert Counter(how.split(",")[0] for how in matches.how) == {
        "exact": 770, "definition": 88, "sense": 83, "synonym": 38, "separator": 19, "case": 2,
    }  # fmt: skip
    assert np.isfinite(matches.vectors_CD).all() and len(set(matches.synsets)) == 1000 and None not in matches.synsets
    # Two have one vector: of "the largest of the four Swiss breeds" and "a smaller" one, only size tells them apart.
    assert len({row.tobytes() for row in matches.vectors_CD}) == 999
    shared = [one.name for one, how in zip(classes, matches.how, strict=True) if how == "definition, shared"]
    assert shared == ["Greater Swiss Mountain dog", "Appenzeller"]


def test_all_but_two_imagenet_classes_fit_their_sense(real):
    # A word that means another sense strongly is moved half-way only: the artichoke that is eaten
    # lies nearer the plant, the vat nearer the bath.
    classes, finder, tree, matches = real
    senses = Senses(finder, tree)
    rows = zip(classes, matches.vectors_CD, matches.labels, matches.synsets, strict=True)
    missed = [one.name for one, vector_D, label, synset in rows if not senses.fits(vector_D, label, synset)]
    assert missed == ["tub", "artichoke"]


def test_without_a_hierarchy_921_imagenet_classes_have_a_vector(real):
    classes, finder, _, _ = real
    found = match_classes(classes, finder)
    assert Counter(how and how.split(",")[0] for how in found.how) == {
        "exact": 867, "synonym": 23, "separator": 19, "words": 9, "case": 3, None: 79,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wnid", "near", "far", "definition"),
    [
        ("n02012849", "wading bird", "lifting device", "wading bird"),
        ("n03126707", "lifting device", "wading bird", "lifts and moves heavy objects"),
        ("n02113186", "corgi", "jacket", "corgi"),
        ("n02963159", "sweater", "corgi", "knitted jacket"),
        ("n03710637", "tights", "tank suit", "tights for dancers"),
        ("n03710721", "swimsuit", "tights", "bathing suit"),
        ("n01847000", "duck", "dragon", "male of a wild or domestic duck"),
        ("n02108089", "dog", "prizefighter", "short-haired dog"),
        ("n02105412", "sheepdog", "water spirit", "sheepdog"),
        ("n03388043", "basin", "font", "water"),
        ("n02276258", "butterfly", "naval officer", "butterfl"),
    ],
)
def test_an_imagenet_class_lies_near_its_own_sense(real, wnid, near, far, definition):
    classes, finder, tree, matches = real
    row = next(one.index for one in classes if one.wnid == wnid)
    near_D, far_D = finder.own(near).vector, finder.own(far).vector
    vector_D = matches.vectors_CD[row]
    assert definition in tree.definitions[matches.synsets[row]]
    assert vector_D @ near_D > vector_D @ far_D
