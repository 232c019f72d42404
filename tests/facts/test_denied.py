"""The deny list: slurs and nouns of judgement are on it, harmless senses of the same words are not; files are read."""

import gzip

import numpy as np
import pytest

from devise.errors import VocabularyError
from devise.facts import shipped
from devise.facts.make_denied import ROOTS, synsets_named
from devise.facts.make_facts import Synset
from devise.words.denied import Denied
from devise.words.synsets import read_hierarchy


@pytest.fixture(scope="module")
def denied() -> Denied:
    return Denied.load(shipped.DENIED["shipped"])


def write(path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("label", "synset"),
    [
        ("nigger", "n09638009"), ("spic", None), ("fucking", None), ("bastard", "n09815188"), ("slut", "n10609198"),
        ("idiot", "n10197525"), ("murderer", "n10338707"), ("lesbian", "n10257221"), ("schizophrenic", "n10557854"),
        ("Filipino", "n09711132"), ("Mexican", "n09722658"), ("Baptist", "n09680344"), ("slave", "n10609325"),
        ("Einstein", "n10954498"), ("rat", "n10539715"), ("bitch", "n09982873"), ("cracker", "n10513938"),
        ("faggot", "n03317233"),  # its bundle of sticks too: the word is not worth the harm
    ],
)  # fmt: skip
def test_slurs_judgements_and_what_no_picture_shows_are_denied(denied, label, synset):
    assert denied.why(label, synset)


@pytest.mark.parametrize(
    ("label", "synset"),
    [
        ("rat", "n02331046"), ("bitch", "n02083672"), ("cock", "n01514668"), ("queen", "n02313008"),
        ("ass", "n02389559"), ("monkey", "n02484322"), ("dog", "n02084071"), ("snake", "n01726692"),
        ("pig", "n02395406"), ("cracker", "n07681926"), ("spade", "n04208210"),
        ("woman", "n10787470"), ("man", "n10287213"), ("child", "n09917593"), ("nurse", "n10366966"),
        ("goalkeeper", "n10136959"), ("nun", "n10368528"), ("ballplayer", "n09835506"), ("scuba diver", "n10565667"),
        ("groom", "n10148035"), ("person", "n00007846"), ("Persian cat", "n02123394"),
    ],
)  # fmt: skip
def test_animals_things_and_roles_that_a_picture_shows_may_be_told(denied, label, synset):
    assert denied.why(label, synset) is None


def test_no_class_of_imagenet_is_denied_by_its_synset(denied):
    lines = gzip.decompress(shipped.CLASSES["imagenet1k"].read_bytes()).decode().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    assert not denied.rows([row[2] for row in rows], [row[1] for row in rows], [[]] * len(rows)).any()


def test_entries_are_synsets_of_the_shipped_hierarchy_with_its_members(denied):
    tree = read_hierarchy(shipped.HIERARCHY["wordnet"])
    text = gzip.decompress(shipped.DENIED["shipped"].read_bytes()).decode()
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    synsets = [row for row in rows if row[2]]
    assert len(synsets) > 5000 and all(tree.members[row[0]] == row[2].split("|") for row in synsets)
    assert {row[1] for row in rows} == {*ROOTS, "slur", "obscene", "a person by name"}


def test_where_ids_are_another_hierarchy_s_a_synset_is_known_by_its_names(denied):
    names = ["dishonorable", "rotter", "dirty dog", "skunk", "stinker", "stinkpot", "bum", "puke", "crumb", "lowlife"]
    assert denied.rows(["rat", "rat"], ["a-1", "a-2"], [names, []]).tolist() == [True, False]
    own = ["pig", "squealer"], ["n02395406", "n10539715"], [["hog", "grunter", "squealer"], []]
    assert denied.rows(*own).tolist() == [False, True]  # pig shares two names with an informer, hog of its own does not


def test_a_list_of_words_denies_them_in_any_spelling_and_number_of_what_has_no_synset(tmp_path):
    path = write(tmp_path / "deny.txt", "# ours\nsports car\n\nGrim-Reaper\nn02084071\tno dogs here\n")
    found = Denied.load(path).rows(
        ["Sports_Car", "sports cars", "sports cars", "grim reaper", "dog", "car"],
        [None, None, "n1", "n2", "n02084071", "n3"],
        [[]] * 6,
    )
    assert found.tolist() == [True, True, False, True, True, False] and found.dtype == np.bool_


@pytest.mark.parametrize(
    ("text", "said"),
    [("rat, dog\n", "line 1"), ("rat\nrat\tslur\tx\ty\n", "line 2"), ("# nothing\n", "no entry"), ("", "no entry")],
)
def test_a_file_that_is_no_list_is_told_in_one_line(tmp_path, text, said):
    with pytest.raises(VocabularyError, match=said):
        Denied.load(write(tmp_path / "deny.txt", text))


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path):
    (tmp_path / "deny.gz").write_bytes(b"\x1f\x8bbroken")
    for path in (tmp_path / "deny.gz", tmp_path / "absent", tmp_path):
        with pytest.raises(VocabularyError, match="cannot be read"):
            Denied.load(path)


def test_a_root_must_name_a_member_of_its_synset():
    tree = {"00000001": Synset("person", ["fool"], [], False, [], "")}
    assert synsets_named("00000001 fool", tree) == ["00000001"]
    with pytest.raises(SystemExit, match="00000001"):
        synsets_named("00000001 sage", tree)
