"""Lists of classes as they are published, in excerpts: wnids, names in order of index, and what is none of them."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest

from devise.errors import TableError, VocabularyError
from devise.spark.stages import vocabulary
from devise.spark.stages.labelled import read_class_names
from devise.words import coverage
from devise.words.classes import ImageClass, match_classes, read_classes
from devise.words.classfiles import ClassList, take_wnids
from devise.words.nouns import Finder
from devise.words.synsets import read_hierarchy

# The first classes of ILSVRC-2012, as each file has them: Keras' imagenet_class_index.json; LOC_synset_mapping.txt of
# Kaggle's ImageNet challenge and Caffe's synset_words.txt; imagenet1000_clsidx_to_labels.txt, a
# dict; torchvision's categories; PyTorch hub's imagenet_classes.txt.
KERAS = '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"], "2": ["n01484850", "great_white_shark"]}'
KAGGLE = """n01440764 tench, Tinca tinca
n01443537 goldfish, Carassius auratus
n01484850 great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias
"""
GIST = """{0: 'tench, Tinca tinca',
 1: 'goldfish, Carassius auratus',
 2: "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"}"""
CATEGORIES = '["tench", "goldfish", "great white shark"]'
HUB = "tench\ngoldfish\ngreat white shark"
OURS = "index\twnid\tname\tsynonyms\n0\tn01440764\ttench\tTinca tinca\n1\tn01443537\tgoldfish\t\n"
WNIDS = ["n01440764", "n01443537", "n01484850"]
SHARK = ("great white shark", "white shark", "man-eater", "man-eating shark", "Carcharodon carcharias")


@pytest.mark.parametrize(
    ("content", "wnids", "names", "line"),
    [
        (KERAS, WNIDS, ("great white shark",), "Keras' class index, JSON: 3 classes"),
        (KAGGLE, WNIDS, SHARK, "wnid and names a line (Kaggle, Caffe): 3 classes"),
        (GIST, [None] * 3, SHARK, "names alone, a Python dict: 3 classes, 3 without a wnid"),
        (CATEGORIES, [None] * 3, SHARK[:1], "names alone, JSON: 3 classes, 3 without a wnid"),
        ('{"1": "goldfish", "0": "tench", "2": "white shark"}', [None] * 3, ("white shark",), "names alone, JSON"),
        (HUB, [None] * 3, SHARK[:1], "names alone, one class a line: 3 classes, 3 without a wnid"),
    ],
)
def test_every_published_list_is_told_by_its_content(content, wnids, names, line, tmp_path):
    for pack in (
        str.encode,
        lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(f"{text}\n\n".encode()),
    ):
        (tmp_path / "any name").write_bytes(pack(content))
        found = read_classes(tmp_path / "any name")
        assert [one.index for one in found] == [0, 1, 2] and [one.wnid for one in found] == wnids
        assert [one.name for one in found][:2] == ["tench", "goldfish"]
        assert found[2].names == names and found[2].name == names[0]
        assert found.line().startswith(line)


def test_our_own_table_is_still_one(tmp_path):
    for text in (OURS, OURS.replace("\t", ",")):
        (tmp_path / "classes").write_text(text)
        found = read_classes(tmp_path / "classes")
        assert found[0] == ImageClass(0, "n01440764", "tench", ("tench", "Tinca tinca"))
        assert found.line() == "a table of classes: 2 classes"


def test_names_may_stand_twice_where_the_published_lists_have_them_so(tmp_path):
    (tmp_path / "hub").write_text("crane\nmaillot\ncrane\nmaillot\n")  # 134 and 517, 638 and 639
    assert [one.name for one in read_classes(tmp_path / "hub")] == ["crane", "maillot", "crane", "maillot"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (KERAS.replace("n01443537", "n01440764"), "index 1: found ['n01440764', 'goldfish'], wanted a wnid of its own"),
        (KERAS.replace('"1"', '"3"'), "found 3 indices without 1, wanted 0 to 2"),
        (KERAS.replace('"1"', '"0"'), "found the index 0 twice"),
        (KERAS.replace('"1"', '"one"'), "JSON of another shape"),
        (KERAS.replace('["n01443537", "goldfish"]', '"goldfish"'), "index 1: found 'goldfish', wanted [wnid, name]"),
        (KERAS.replace('"n01443537"', "1443537"), "index 1"),
        (KERAS[:-9], "no whole JSON"),
        ('{"labels": ["tench", "goldfish"]}', "JSON of another shape"),
        ('[["n01440764", "tench"], ["n01443537", "goldfish"]]', "JSON of another shape"),
        ("[]", "JSON of another shape"),
        ('["tench", ""]', "index 1: found no name"),
        (KAGGLE.replace("n01443537", "n01440764"), "line 2: found ['n01440764', 'goldfish', 'Carassius auratus']"),
        (KAGGLE.replace("n01443537 ", ""), "line 2"),
        (KAGGLE.replace("n01443537 goldfish, Carassius auratus", "n01443537"), "line 2: found ['n01443537']"),
        ("\n".join(WNIDS), "line 1: found ['n01440764'], wanted a wnid of its own and a name"),
        (KAGGLE.replace("\nn01443537", "\n\nn01443537"), "line 2"),
        (GIST.replace(" 1:", " 0:"), "found the index 0 twice"),
        (GIST.replace(" 1:", " 4:"), "found 3 indices without 1"),
        (GIST[:-3], "no whole JSON, and no dict of index and names"),
        (GIST.replace("'goldfish, Carassius auratus'", "open('x')"), "no dict of index and names"),
        (GIST.replace("'goldfish, Carassius auratus'", "3"), "index 1: found '3', wanted names"),
        (HUB.replace("goldfish", ""), "line 2: found no name"),
        (HUB.replace("goldfish", "n01443537 goldfish"), "line 2: found 'n01443537 goldfish' among names"),
        ("wnid,name\nn01440764,tench\n", "line 1: found columns ['wnid', 'name']"),
        ("name\ntench\ngoldfish\n", "line 1: found columns ['name']"),
    ],
)
def test_a_list_that_is_torn_or_of_another_shape_is_refused_in_one_line(content, place, tmp_path):
    (tmp_path / "classes").write_text(content)
    with pytest.raises((TableError, VocabularyError)) as caught:
        read_classes(tmp_path / "classes")
    assert str(caught.value).startswith(f"{tmp_path}/classes") and place in str(caught.value)


def known(n_classes=20):
    names = [("crane", "lifting gear"), *((f"thing {row}", f"other name {row}") for row in range(1, n_classes))]
    return [ImageClass(row, f"n{row:08}", own[0], own) for row, own in enumerate(names)]


def alone(names):
    return ClassList([ImageClass(row, None, name, (name,)) for row, name in enumerate(names)], "names")


def test_names_in_the_known_order_take_on_the_wnids_and_other_names():
    classes = known()
    names = ["Crane", *(f"other-name {row}" for row in range(1, 19)), "a name of their own"]
    found = take_wnids(alone(names), classes)
    assert [one.wnid for one in found] == [one.wnid for one in classes]
    assert found[0].names == ("Crane", "crane", "lifting gear") and found[19].name == "a name of their own"
    assert found.line() == "names, wnids by the order of the known 20 classes: 20 classes"


def test_names_in_another_order_or_of_other_things_stay_alone():
    classes = known()
    names = [one.name for one in classes]
    swapped = [*names[:18], names[19], names[18]]
    others = [*names[:17], "x", "y", "z"]  # 17 of 20 are below nine in ten
    for given in (swapped, others, names[::-1], names[:-1], ["background", *names]):
        assert take_wnids(alone(given), classes) == alone(given)
    with_wnids = ClassList(classes, "table")
    assert take_wnids(with_wnids, classes) is with_wnids


def test_classes_without_a_wnid_have_vectors_and_the_sense_that_their_words_share(tmp_path):
    (tmp_path / "tree").write_text(
        "id\tmembers\thypernyms\tdefinition\nn1\tcrane\t\t\nn2\tcrane|hoist\t\t\nn3\tgoldfish|Carassius auratus\t\t\n"
    )
    (tmp_path / "classes").write_text("{0: 'crane, hoist', 1: 'crane', 2: 'goldfish, Carassius auratus', 3: 'unicorn'}")
    finder = Finder(["crane", "hoist", "goldfish"], np.array([[1, 0], [1, 1], [0, 1]], np.float32))
    found = match_classes(read_classes(tmp_path / "classes"), finder, read_hierarchy(tmp_path / "tree"))
    assert found.synsets == ["n2", None, "n3", None]  # a crane alone may be either
    assert found.labels[1:] == ["crane", "goldfish", None]
    assert found.lines()[1] == "without: class 3 unicorn"


def test_the_vocabulary_tells_what_it_read_and_keeps_classes_without_a_wnid(tmp_path):
    (tmp_path / "vectors").write_text("2 2\ntench 1 0\ngoldfish 0 1\n")
    (tmp_path / "tree").write_text("n01440764\ttench, Tinca tinca\nn01443537\tgoldfish\n")
    (tmp_path / "hub").write_text("tench\ngoldfish\n")
    files = (tmp_path / "vectors", tmp_path / "tree", "vectors", tmp_path / "hub")
    _, found = coverage.make(*files)
    assert found.lines()[:3] == [
        "vectors: fastText's text: 2 rows x 2",
        "hierarchy: a table of wnids and words: 2 synsets, 3 words",
        "classes: names alone, one class a line: 2 classes, 2 without a wnid",
    ]
    table = vocabulary._class_table(found.classes)
    with pa.memory_map(str(vocabulary._write_arrow(table, "_classes-", tmp_path))) as source:
        assert pa.ipc.open_file(source).read_all().column("wnid").to_pylist() == [None, None]
    (tmp_path / "keras").write_text('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}')
    _, found = coverage.make(*files, known=read_classes(tmp_path / "keras"))
    assert [one.wnid for one in found.classes.classes] == found.classes.synsets == ["n01440764", "n01443537"]


def test_pictures_named_by_wnid_need_a_list_with_wnids(tmp_path):
    (tmp_path / "hub").write_text(HUB)
    with pytest.raises(VocabularyError, match="hub: found names alone, one class a line: 3 classes, 3 without a wnid"):
        read_class_names(str(tmp_path / "hub"))
    (tmp_path / "kaggle").write_text(KAGGLE)
    assert read_class_names(str(tmp_path / "kaggle"))["n01484850"] == list(SHARK)


def test_torchvision_s_categories_take_on_the_wnids_of_the_real_table(data, tmp_path):
    meta = pytest.importorskip("torchvision.models._meta")
    (tmp_path / "lines").write_text("\n".join(meta._IMAGENET_CATEGORIES))
    (tmp_path / "json").write_text(json.dumps(meta._IMAGENET_CATEGORIES))
    table = read_classes(data / "taxonomy/imagenet1k_classes.tsv")
    for name in ("lines", "json"):
        assert {one.wnid for one in read_classes(tmp_path / name)} == {None}
        found = read_classes(tmp_path / name, table)
        assert [one.wnid for one in found] == [one.wnid for one in table]
