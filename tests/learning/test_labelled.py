"""Labels of images from folders, wnids and tables; the guard; targets."""

from unicodedata import normalize

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import ConfigError, TrainingError
from devise.learning.labelled import (
    draw_rows,
    drop_targets,
    folder_names,
    labels_from_folder,
    labels_from_wnid,
    mean_targets,
    read_pairs,
    resolve,
)

WNIDS = {"n01440764": ["tench", "Tinca tinca"], "n02012849": ["crane"]}


@pytest.mark.parametrize(
    ("uri", "labels"),
    [
        ("file:///corpus/sea horse/1.jpg", ["sea horse"]),
        ("file:///corpus/sea_horse/deep/er/1.jpg", ["sea_horse"]),
        ("file:///corpus/größe=1%20/1.jpg", ["größe=1%20"]),
        ("file:///corpus/1.jpg", []),
    ],
)
def test_the_label_is_the_first_folder_below_the_root(uri, labels):
    assert labels_from_folder(uri, "file:///corpus") == labels == labels_from_folder(uri, "file:///corpus/")


def test_a_folder_is_called_what_the_names_say_or_has_no_label():
    assert labels_from_folder("s3://b/c/Faces/1.jpg", "s3://b/c", {"Faces": "face"}) == ["face"]
    assert labels_from_folder("s3://b/c/other/1.jpg", "s3://b/c", {"Faces": "face"}) == []


def test_an_image_outside_the_root_is_refused():
    with pytest.raises(ValueError, match="below"):
        labels_from_folder("file:///corpus2/a/1.jpg", "file:///corpus")


@pytest.mark.parametrize(
    ("uri", "labels"),
    [
        ("s3://b/n01440764_tench.JPEG", ["tench", "Tinca tinca"]),
        ("s3://b/n01440764_18.JPEG", ["tench", "Tinca tinca"]),
        ("s3://b/n01440764/x.jpg", ["tench", "Tinca tinca"]),
        ("s3://b/n02012849/n01440764_1.JPEG", ["tench", "Tinca tinca"]),
        ("s3://b/n02012849/deep/x.jpg", ["crane"]),
        ("s3://b/n99999999/x.jpg", []),
        ("s3://b/n014407641/x.jpg", []),
        ("s3://b/photo.jpg", []),
    ],
)
def test_the_wnid_in_the_path_names_the_synset(uri, labels):
    assert labels_from_wnid(uri, WNIDS) == labels


@pytest.mark.parametrize("label", ["\ud800", "a\0"])
def test_a_label_that_no_table_can_hold_is_refused(label):
    with pytest.raises(ConfigError, match=r"p\.json: found '.*', wanted Unicode text without NUL"):
        folder_names({"a": label}, None, "p.json")


def test_folder_names_come_from_a_plain_document_or_a_group_of_it():
    groups = {"note": "text", "seen": {"ant": "ant"}, "zero_shot": {"Faces": "face"}}
    assert folder_names(groups, "zero_shot", "p.json") == {"Faces": "face"}
    assert folder_names({"Faces": "face"}, None, "p.json") == {"Faces": "face"}
    with pytest.raises(ConfigError, match=r"p.json: found no group 'other'; groups are \['seen', 'zero_shot'\]"):
        folder_names(groups, "other", "p.json")
    with pytest.raises(ConfigError, match="name a group"):
        folder_names(groups, None, "p.json")
    with pytest.raises(ConfigError, match="wanted folder -> label"):
        folder_names(["a"], None, "p.json")


def test_a_folder_is_named_however_its_letters_are_composed():
    names = folder_names({"café": "coffeehouse"}, None, "p.json")
    for folder in ("caf\u00e9", "cafe\u0301"):
        assert labels_from_folder(f"s3://b/c/{folder}/1.jpg", "s3://b/c", names) == ["coffeehouse"]
    with pytest.raises(ConfigError, match="p.json: names the folder 'café' twice"):
        folder_names({"caf\u00e9": "a", "cafe\u0301": "b"}, None, "p.json")


FOLDERS = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1)


@given(FOLDERS, st.sampled_from(["NFC", "NFD"]))
def test_any_folder_is_a_label_to_the_letter_and_found_by_either_form_of_its_name(folder, form):
    uri = f"file:///corpus/{folder}/1.jpg"
    assert labels_from_folder(uri, "file:///corpus") == [folder]
    names = folder_names({normalize(form, folder): "a label"}, None, "p.json")
    assert labels_from_folder(uri, "file:///corpus", names) == ["a label"]


CSV = "uri,split,label\ns3://b/1.jpg,x,ship|sail\ns3://b/2.jpg,x,NA\ns3://b/3.jpg,x,\ns3://b/1.jpg,y, sea |ship\n"
PAIRS = [("s3://b/1.jpg", ["ship", "sail", "sea"]), ("s3://b/2.jpg", ["NA"]), ("s3://b/3.jpg", [])]


def test_a_table_gives_each_uri_once_with_all_its_labels(tmp_path):
    (tmp_path / "labels.csv").write_text(CSV)
    assert read_pairs(tmp_path / "labels.csv") == PAIRS


def test_parquet_labels_may_be_texts_numbers_or_lists(tmp_path):
    path = tmp_path / "labels.parquet"
    frame = pd.DataFrame({"uri": ["a", "b", "a"], "label": ["ship|sail", None, "sea"]})
    frame.to_parquet(path)
    assert read_pairs(path) == [("a", ["ship", "sail", "sea"]), ("b", [])]
    frame.assign(label=[["ship", "sail"], [None], ["sea"]]).to_parquet(path)
    assert read_pairs(path) == [("a", ["ship", "sail", "sea"]), ("b", [])]
    frame.assign(label=[0, None, 7]).to_parquet(path)
    assert read_pairs(path) == [("a", ["0", "7"]), ("b", [])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("uri,label\n", "found no rows"),
        ("uri,label\na,b\n,c\n", "row 2: found no uri"),
        ("uri,label\na,\nb,|\n", "2 images and not one label"),
    ],
)
def test_labels_that_break_their_promise_are_one_line(tmp_path, content, message):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(TrainingError, match=f"labels.csv.*{message}"):
        read_pairs(tmp_path / "labels.csv")


IDS = {"ship": 4, "vessel": 4, "sail": 2}


def test_texts_become_label_ids_and_unknown_ones_are_counted():
    resolved = resolve([["ship", "foo"], ["foo"], ["sail", "vessel", "ship"], [], ["bar", "ship"]], IDS.get)
    assert resolved.rows == [0, 2, 4]
    assert resolved.label_ids == [[4], [2, 4], [4]]
    assert resolved.unknown == {"foo": 2, "bar": 1} and resolved.n_unlabelled == 2
    assert str(resolved) == (
        "3 labelled images, 2 left out without a known label; 2 unknown labels: foo (2), bar (1)"
    )  # fmt: skip


def test_of_alternatives_the_first_that_is_known_counts():
    resolved = resolve([["Navis", "vessel", "sail"], ["Navis", "foo"]], IDS.get, alternatives=True)
    assert (resolved.rows, resolved.label_ids, resolved.unknown) == ([0], [[4]], {"Navis": 1})


def test_a_long_list_of_unknown_labels_is_cut():
    resolved = resolve([["ship"], [f"word{i}" for i in range(13)]], IDS.get)
    assert str(resolved).endswith("and 3 more") and len(resolved.unknown) == 13


def test_nothing_known_is_an_error_that_lists_the_texts():
    with pytest.raises(TrainingError, match=r"nothing to learn from.*foo \(2\)"):
        resolve([["foo"], ["foo"]], IDS.get)


def test_no_row_with_a_held_out_noun_is_kept():
    labels = [["sports car", "car"], ["tench"], ["Sea-Horse"], ["horse"], ["car", "sea horse"], []]
    guarded = drop_targets(labels, ["car", "sea_horse", "ferry"])
    assert guarded.keep_N.tolist() == [False, True, False, True, False, True]
    assert guarded.dropped == {"car": 2, "sea_horse": 2}


def test_a_draw_is_fair_repeatable_and_differs_by_salt():
    ids_N = np.random.default_rng(0).integers(0, 2**63, 20_000)
    first, second = draw_rows(ids_N, 0.2, 1), draw_rows(ids_N, 0.2, 2)
    assert first.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(draw_rows(ids_N[::-1], 0.2, 1), first[::-1])
    assert (first & second).mean() == pytest.approx(0.04, abs=0.006)
    assert draw_rows(np.arange(1000), 0.2, 1).mean() == pytest.approx(0.2, abs=0.05)
    assert not draw_rows(ids_N, 0.0, 1).any() and draw_rows(ids_N, 1.0, 1).all()
    assert first[ids_N % 8 == 0].mean() == pytest.approx(0.2, abs=0.03)


def test_a_larger_draw_holds_the_smaller():
    ids_N = np.arange(500)
    assert not (draw_rows(ids_N, 0.1, 1) & ~draw_rows(ids_N, 0.3, 1)).any()


def test_targets_are_unit_means_of_label_vectors():
    vectors_LD = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    targets_ND = mean_targets([[0], [0, 1], [1, 2]], vectors_LD)
    half = 0.5**0.5
    np.testing.assert_allclose(targets_ND, [[1, 0], [half, half], [-half, half]], atol=1e-6)
    with pytest.raises(TrainingError, match="image 1: .* cancel"):
        mean_targets([[0], [0, 2]], vectors_LD)
    with pytest.raises(TrainingError, match="no labelled images"):
        mean_targets([], vectors_LD)


def test_a_held_out_noun_is_found_however_its_letters_are_composed():
    assert drop_targets([["cafe\u0301"], ["CAF\u00c9"], ["cafe"]], ["caf\u00e9"]).keep_N.tolist() == [
        False,
        False,
        True,
    ]
