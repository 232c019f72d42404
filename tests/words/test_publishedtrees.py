"""WordNet's own files and Open English WordNet's, in excerpts: told by content, whatever their name and wrapping."""

import gzip
import io
import json
import tarfile
import zipfile

import pytest

from devise.errors import TableError, VocabularyError
from devise.words.synsets import join, read_hierarchy

# Lines of WordNet 3.0 (Princeton University 2006, in Debian's wordnet-base) and 3.1 (2011), whole.
LICENCE = """\
  1 This software and database is being provided to you, the LICENSEE, by  
  2 Princeton University under the following license.  By obtaining, using  
  14 WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved.  
"""
DATA = """\
00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 ~ 00002137 n 0000 ~ 04424418 n 0000 | that which is perceived or known or inferred to have its own distinct existence (living or nonliving)  
02012849 05 n 01 crane 0 004 @ 02000954 n 0000 #m 02012715 n 0000 + 00028167 v 0101 ~ 02013177 n 0000 | large long-necked wading bird of marshes and plains in many parts of the world  
02279637 05 n 02 danaid 0 danaid_butterfly 0 003 @ 02274259 n 0000 #m 02279442 n 0000 ~ 02279972 n 0000 | large tropical butterfly with degenerate forelegs and an unpleasant taste  
02279972 05 n 04 monarch 0 monarch_butterfly 0 milkweed_butterfly 0 Danaus_plexippus 0 002 @ 02279637 n 0000 #m 02279819 n 0000 | large migratory American butterfly having deep orange wings with black and white markings; the larvae feed on milkweed  
03126707 06 n 01 crane 0 004 @ 03664675 n 0000 ~ 03164929 n 0000 ~ 03178430 n 0000 ~ 04473884 n 0000 | lifts and moves heavy objects; lifting tackle is suspended from a pivoted boom that rotates around a vertical axis  
09295455 17 n 02 Grus 0 Crane 0 001 @i 09252970 n 0000 | a small constellation in the southern hemisphere near Phoenix  
"""  # noqa: E501
INDEX = """\
crane n 5 4 @ ~ #m + 5 0 10914447 10914331 09295455 03126707 02012849  
danaid n 1 3 @ ~ #m 1 0 02279637  
"""
DATA_31 = """\
02015503 05 n 01 crane 0 004 @ 02003608 n 0000 #m 02015369 n 0000 + 00028160 v 0101 ~ 02015831 n 0000 | large long-necked wading bird of marshes and plains in many parts of the world  
"""  # noqa: E501
VERBS = "00001740 29 v 04 breathe 0 take_a_breath 0 respire 0 suspire 3 000 02 + 02 00 + 08 00 | draw air\n"
# Open English WordNet (CC-BY 4.0): its elements as globalwordnet/english-wordnet releases them, its crane and monarch.
LMF = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.3.dtd">
<LexicalResource xmlns:dc="https://globalwordnet.github.io/schemas/dc/">
  <Lexicon id="oewn" label="Open English WordNet" language="en" email="english-wordnet@googlegroups.com"
           license="https://creativecommons.org/licenses/by/4.0" version="2024" url="https://en-word.net/">
    <LexicalEntry id="oewn-crane-n">
      <Lemma writtenForm="crane" partOfSpeech="n"/>
      <Sense id="oewn-crane__1.06.00.." synset="oewn-03131358-n"/>
      <Sense id="oewn-crane__1.05.00.." synset="oewn-02015503-n">
        <SenseRelation relType="derivation" target="oewn-crane__2.29.00.."/>
      </Sense>
    </LexicalEntry>
    <LexicalEntry id="oewn-crane-v">
      <Lemma writtenForm="crane" partOfSpeech="v"/>
      <Sense id="oewn-crane__2.29.00.." synset="oewn-00028160-v" subcat="vtai"/>
    </LexicalEntry>
    <LexicalEntry id="oewn-Grus-n">
      <Lemma writtenForm="Grus" partOfSpeech="n"/>
      <Sense id="oewn-grus__1.17.00.." synset="oewn-09318361-n"/>
    </LexicalEntry>
    <LexicalEntry id="oewn-Jack-o_-ap-_lantern-n">
      <Lemma writtenForm="wading bird &amp; wader" partOfSpeech="n"/>
      <Sense id="oewn-wader__1.05.00.." synset="oewn-02003608-n"/>
    </LexicalEntry>
    <Synset id="oewn-00028160-v" ili="i21943" members="oewn-crane-v" partOfSpeech="v" lexfile="verb.body">
      <Definition>stretch (the neck) so as to see better</Definition>
    </Synset>
    <Synset id="oewn-02003608-n" ili="i48000" members="oewn-Jack-o_-ap-_lantern-n" partOfSpeech="n">
      <Definition>any of many long-legged birds</Definition>
      <SynsetRelation relType="hyponym" target="oewn-02015503-n"/>
    </Synset>
    <Synset id="oewn-02015503-n" ili="i48099" members="oewn-crane-n" partOfSpeech="n" lexfile="noun.animal">
      <Definition>large long-necked wading bird of marshes and plains
        in many parts of the world</Definition>
      <SynsetRelation relType="hypernym" target="oewn-02003608-n"/>
      <SynsetRelation relType="holo_member" target="oewn-02015369-n"/>
      <Example>a crane stood</Example>
    </Synset>
    <Synset id="oewn-03131358-n" ili="i52634" members="oewn-crane__1.06.00.." partOfSpeech="n" lexfile="noun.artifact">
      <Definition>lifts and moves heavy objects</Definition>
      <SynsetRelation relType="hypernym" target="oewn-03670001-n"/>
    </Synset>
    <Synset id="oewn-09318361-n" ili="i85500" partOfSpeech="n" lexfile="noun.object">
      <Definition>a small constellation</Definition>
      <SynsetRelation relType="instance_hypernym" target="oewn-09275016-n"/>
    </Synset>
  </Lexicon>
</LexicalResource>
"""
JSON = {
    "entries-c.json": {
        "crane": {
            "n-1": {"sense": [{"id": "crane%1:06:00::", "synset": "03131358-n"}]},
            "n-2": {"sense": [{"derivation": ["crane%2:29:00::"], "id": "crane%1:05:00::", "synset": "02015503-n"}]},
            "v": {"sense": [{"id": "crane%2:29:00::", "subcat": ["vtai"], "synset": "00028160-v"}]},
        }
    },
    "entries-g.json": {"Grus": {"n": {"sense": [{"id": "grus%1:17:00::", "synset": "09318361-n"}]}}},
    "frames.json": {"vtai": "Somebody ----s something"},
    "noun.animal.json": {
        "02003608-n": {
            "definition": ["any of many long-legged birds"],
            "ili": "i48000",
            "members": ["wading bird & wader"],
            "partOfSpeech": "n",
        },
        "02015503-n": {
            "definition": ["large long-necked wading bird of marshes and plains in many parts of the world"],
            "example": ["a crane stood"],
            "holo_member": ["02015369-n"],
            "hypernym": ["02003608-n"],
            "ili": "i48099",
            "members": ["crane"],
            "partOfSpeech": "n",
        },
    },
    "noun.artifact.json": {
        "03131358-n": {
            "definition": ["lifts and moves heavy objects"],
            "hypernym": ["03670001-n"],
            "members": ["crane"],
            "partOfSpeech": "n",
        }
    },
    "noun.object.json": {
        "09318361-n": {
            "definition": ["a small constellation"],
            "instance_hypernym": ["09275016-n"],
            "members": ["Grus"],
            "partOfSpeech": "n",
        }
    },
    "verb.body.json": {
        "00028160-v": {"definition": ["stretch (the neck)"], "members": ["crane"], "partOfSpeech": "v"},
    },
}
FILES = {name: json.dumps(document, indent=1).encode() for name, document in JSON.items()}
PRINCETON = {"data.noun": (LICENCE + DATA).encode(), "data.verb": VERBS.encode(), "index.noun": INDEX.encode()}


def laid(place, files):
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred_plain(path, files):
    return tarred(path, files, "w")


def tarred(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_the_nouns_of_wordnet_have_wnids_words_hypernyms_and_definitions_without_examples(tmp_path):
    (tmp_path / "any name").write_text(LICENCE + DATA.replace("Phoenix", 'Phoenix; "a crane in the sky"'))
    tree = read_hierarchy(tmp_path / "any name")
    assert list(tree.members)[:2] == ["n00001740", "n02012849"]
    assert tree.members["n02279972"] == ["monarch", "monarch butterfly", "milkweed butterfly", "Danaus plexippus"]
    assert tree.hypernyms["n00001740"] == [] and tree.hypernyms["n02279972"] == ["n02279637"]
    assert tree.hypernyms["n09295455"] == ["n09252970"]  # an instance: a constellation
    assert tree.definitions["n09295455"] == "a small constellation in the southern hemisphere near Phoenix"
    assert tree.hops("n02279972", "n02279637") == 1
    assert tree.line() == "WordNet 3.0 data.noun: 6 synsets, 9 words; 4 hypernyms that it does not have"


@pytest.mark.parametrize("wrap", ["beside", "folder", "zip", "tar", "gzip"])
def test_an_index_beside_the_nouns_orders_the_senses(wrap, tmp_path):
    inside = {f"WordNet-3.0/dict/{name}": content for name, content in PRINCETON.items()} | {"._data.noun": b"junk"}
    folder = laid(
        tmp_path / "dict", {"data": PRINCETON["data.noun"], "x": PRINCETON["index.noun"], "y": VERBS.encode()}
    )
    beside = laid(tmp_path / "alone", PRINCETON) / "data.noun"
    (tmp_path / "alone" / "data.gz").write_bytes(gzip.compress(PRINCETON["data.noun"]))
    (tmp_path / "alone" / "index.gz").write_bytes(gzip.compress(PRINCETON["index.noun"]))
    path = {
        "beside": beside,
        "gzip": tmp_path / "alone" / "data.gz",
        "folder": folder,
        "zip": zipped(tmp_path / "a", inside),
        "tar": tarred(tmp_path / "b", inside),
    }[wrap]
    tree = read_hierarchy(path)
    assert tree.synsets("crane") == ["n09295455", "n03126707", "n02012849"]  # two more are not in the excerpt
    assert len(tree.members) == 6
    assert tree.format == "WordNet 3.0 data.noun, senses by index.noun" + f", in {wrap}" * (wrap != "beside")


def test_offsets_of_another_release_do_not_look_like_wnids(tmp_path):
    (tmp_path / "31").write_text(LICENCE.replace("3.0 Copyright 2006", "3.1 Copyright 2011") + DATA_31)
    (tmp_path / "none").write_text(DATA)
    tree = read_hierarchy(tmp_path / "31")
    assert tree.members == {"02015503-n": ["crane"]} and tree.hypernyms == {"02015503-n": ["02003608-n"]}
    assert tree.format == "WordNet 3.1 data.noun"
    # n02015503 is no crane in 3.0: a class of that wnid must not be found by its id.
    assert join({"n02015503": ["coot"], "n02012849": ["crane"]}, tree) == {"n02012849": "02015503-n"}
    assert "02012849-n" in read_hierarchy(tmp_path / "none").members


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (LICENCE + DATA[:-60], "and no line end; truncated?"),
        (LICENCE + DATA[:-90] + "\n", "line 9: '09295455 17 n 02 Grus 0 Crane 0"),
        (LICENCE + DATA + DATA[:200].split("\n")[0] + "\n", "line 10: found the synset n00001740 twice"),
        (LICENCE + DATA.replace(" 003 @ 02274259", " 004 @ 02274259"), "line 6: '02279637"),
        (LICENCE + DATA + VERBS, "line 10"),
        (VERBS, "found WordNet's synsets of kind v; wanted WordNet's data.noun"),
        (INDEX, "found WordNet's index, which has no hypernyms"),
        (LICENCE + INDEX, "found WordNet's index"),
    ],
)
def test_wordnet_files_that_are_torn_or_not_of_nouns_are_refused(content, place, tmp_path):
    (tmp_path / "data.noun").write_text(content)
    with pytest.raises(VocabularyError) as caught:
        read_hierarchy(tmp_path / "data.noun")
    assert str(caught.value).startswith(str(tmp_path / "data.noun")) and place in str(caught.value)


def test_a_torn_index_is_refused_by_its_line(tmp_path):
    place = laid(tmp_path / "dict", PRINCETON | {"index.noun": (INDEX + "dog n 7 5 @ ~ #m 7 1 020840\n").encode()})
    with pytest.raises(VocabularyError, match=r"index\.noun, line 3: 'dog n 7"):
        read_hierarchy(place)


def check_open_wordnet(tree):
    assert tree.members == {
        "02003608-n": ["wading bird & wader"],
        "02015503-n": ["crane"],
        "03131358-n": ["crane"],
        "09318361-n": ["Grus"],
    }
    assert tree.hypernyms["02015503-n"] == ["02003608-n"] and tree.hypernyms["09318361-n"] == ["09275016-n"]
    assert tree.hypernyms["02003608-n"] == []
    assert tree.definitions["02015503-n"] == (
        "large long-necked wading bird of marshes and plains in many parts of the world"
    )
    assert tree.synsets("crane") == ["03131358-n", "02015503-n"]  # as the entry has them, not as the file


@pytest.mark.parametrize(
    ("pack", "wrapping"),
    [
        (lambda path, text: path.write_bytes(text), ""),
        (lambda path, text: path.write_bytes(gzip.compress(text)), ", in gzip"),
        (lambda path, text: path.write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")), ""),
        (lambda path, text: tarred(path, {"a/oewn.xml": text, "a/LICENSE": b"CC-BY"}), ", in tar"),
        (lambda path, text: zipped(path, {"oewn.xml.gz": gzip.compress(text)}), ", in zip"),
    ],
)
def test_lmf_is_read_in_every_wrapping(pack, wrapping, tmp_path):
    pack(tmp_path / "tree", LMF.encode())
    tree = read_hierarchy(tmp_path / "tree")
    check_open_wordnet(tree)
    assert tree.format == "Open English WordNet 2024, WN-LMF XML" + wrapping


def test_lmf_1_0_has_no_members_but_its_senses(tmp_path):
    text = "\n".join(line for line in LMF.split("\n"))
    for named in (
        'members="oewn-crane-n" ',
        'members="oewn-crane__1.06.00.." ',
        'members="oewn-Jack-o_-ap-_lantern-n" ',
    ):
        text = text.replace(named, "")
    (tmp_path / "tree").write_text(text.replace("oewn-", "ewn-").replace('id="oewn"', 'id="ewn"'))
    check_open_wordnet(read_hierarchy(tmp_path / "tree"))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (LMF[:-40], "no whole XML"),
        (LMF[:2500], "no whole XML"),
        (
            LMF.replace('"oewn-02003608-n" ili', '"oewn-02015503-n" ili'),
            "found the synset '02015503-n' without id or twice",
        ),
        (
            LMF.replace('members="oewn-crane-n"', 'members="oewn-cran-n"'),
            "members ['oewn-cran-n'], which are no entries",
        ),
        (LMF.replace('partOfSpeech="n"', 'partOfSpeech="v"'), "found no synset of a noun"),
        (LMF.replace("</Lexicon>", '</Lexicon><Lexicon id="omw-fr"/>'), "a second lexicon, omw-fr"),
        ("<html><body>404</body></html>", "XML of another shape; wanted WordNet's data.noun"),
    ],
)
def test_lmf_that_is_torn_or_of_another_shape_is_refused(content, place, tmp_path):
    (tmp_path / "tree").write_text(content)
    with pytest.raises(VocabularyError) as caught:
        read_hierarchy(tmp_path / "tree")
    assert str(caught.value).startswith(f"{tmp_path}/tree: ") and place in str(caught.value)


@pytest.mark.parametrize("pack", [laid, zipped, tarred])
def test_the_json_release_is_read_in_every_wrapping(pack, tmp_path):
    tree = read_hierarchy(pack(tmp_path / "oewn", FILES))
    check_open_wordnet(tree)
    wrapping = {laid: "folder", zipped: "zip", tarred: "tar"}[pack]
    assert tree.format == f"Open English WordNet, JSON in 6 files, in {wrapping}"  # frames.json says nothing of synsets


def test_one_file_of_the_json_release_is_a_hierarchy_too(tmp_path):
    (tmp_path / "animals").write_bytes(gzip.compress(FILES["noun.animal.json"]))
    assert list(read_hierarchy(tmp_path / "animals").members) == ["02003608-n", "02015503-n"]


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (
            {"a.json": FILES["noun.animal.json"], "b.json": FILES["noun.animal.json"]},
            "b.json: found the synset 02003608-n",
        ),
        ({"a.json": FILES["noun.animal.json"][:-5]}, "a.json: no whole JSON"),
        ({"a.json": FILES["verb.body.json"]}, "found no synset of a noun in 1 files"),
        ({"a.json": FILES["noun.animal.json"].replace(b'"members"', b'"words"')}, "a.json: '02003608-n' is neither"),
        ({"a.json": b'{"1": {"partOfSpeech": "n", "members": "dog"}}'}, "a.json: '1' is neither a synset nor an entry"),
        ({"a.json": b'{"a": {"partOfSpeech": "n"}, "a": {}}'}, "found 'a' twice in an object"),
        ({"a.json": b'[{"partOfSpeech": "n"}]'}, "JSON of another shape"),
        ({"a.json": b'{"0": ["n01440764", "tench"]}'}, "JSON of another shape"),
    ],
)
def test_json_that_is_torn_or_of_another_shape_is_refused(files, place, tmp_path):
    with pytest.raises(VocabularyError) as caught:
        read_hierarchy(laid(tmp_path / "oewn", files))
    assert str(caught.value).startswith(f"{tmp_path}/oewn") and place in str(caught.value)


def test_a_parcel_holds_one_hierarchy(tmp_path):
    with pytest.raises(VocabularyError, match=r"holds 2 hierarchies, data\.noun, oewn\.xml; wanted one"):
        read_hierarchy(laid(tmp_path / "both", {"data.noun": PRINCETON["data.noun"], "oewn.xml": LMF.encode()}))
    with pytest.raises(VocabularyError, match=r"a\.zip: found no hierarchy in zip of a\.txt; wanted WordNet's"):
        read_hierarchy(zipped(tmp_path / "a.zip", {"a.txt": b"dog"}))


@pytest.mark.parametrize("pack", [zipped, tarred, tarred_plain])
def test_torn_archives_are_refused_in_one_line(pack, tmp_path):
    content = pack(tmp_path / "whole", PRINCETON).read_bytes()
    for cut in [*range(1, len(content), 37), *range(512, len(content), 512)]:
        (tmp_path / "torn").write_bytes(content[:cut])
        try:
            found = read_hierarchy(tmp_path / "torn")
        except (TableError, VocabularyError) as error:
            assert str(error).startswith(f"{tmp_path}/torn")
        else:  # what was cut off was behind the end mark
            assert found == read_hierarchy(tmp_path / "whole")
    locked = bytearray(zipped(tmp_path / "zip", PRINCETON).read_bytes())
    at = locked.index(b"PK\x01\x02")
    locked[6] |= 1
    locked[at + 8] |= 1
    (tmp_path / "locked").write_bytes(locked)
    with pytest.raises(TableError, match="wanted an archive without a password"):
        read_hierarchy(tmp_path / "locked")
