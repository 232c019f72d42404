"""`devise check`: a line for everything that would fail in a night, all of them at once, and no Spark."""

import pytest
import yaml
from conftest import ARCHITECTURE

from devise.errors import ConfigError
from devise.quickstart import check, look

STAGES = (
    "build_vocabulary", "train_model", "catalog_images", "embed_images", "label_images", "build_index",
    "search_images", "evaluate_model", "publish_run",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("facts")


@pytest.fixture
def night(pictures, weights, tmp_path):
    """The settings of a night that would run; a test spoils them."""
    return {
        "warehouse": str(tmp_path / "warehouse"),
        "run_nightly": {"stages": list(STAGES)},
        "build_vocabulary": {"vectors": "wordnet", "hierarchy": "wordnet", "classes": "imagenet1k"},
        "train_model": {"architecture": ARCHITECTURE, "weights": str(weights)},
        "catalog_images": {"sources": [str(pictures)]},
        "search_images": {"queries": ["lion", "lion + castle", f"image:{pictures}/lion/0.jpg"]},
    }


@pytest.fixture
def ask(tmp_path):
    """The findings of settings, by state."""

    def examine(night):
        path = tmp_path / "night.yaml"
        path.write_text(yaml.safe_dump(night))
        found = list(check.examine(str(path), []))
        return {state: [one.text for one in found if one.state == state] for state in ("ok", "warning", "fault")}

    return examine


def test_a_night_that_would_run_is_all_ok_and_starts_no_spark(night, ask):
    from pyspark import SparkContext

    before = SparkContext._active_spark_context  # other tests of this process may have one
    found = ask(night)
    assert (found["fault"], found["warning"]) == ([], [])
    begins = [text.split(":")[0].split(" ")[0] for text in found["ok"]]
    wanted = {"settings", "listing", "images", "vectors", "memory", "index", "hierarchy", "classes", "weights"}
    assert wanted | {"queries", "warehouse", "clock", "disk", "live", "deny"} == set(begins)
    assert SparkContext._active_spark_context is before


def test_the_command_ends_with_2_where_something_is_at_fault_and_names_doctor(night, ask, tmp_path, capsys):
    ask(night)
    check.check(str(tmp_path / "night.yaml"), [])
    assert "no fault; what only Spark can tell" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="found 1 of .* checks at fault.*devise doctor"):
        check.check(str(tmp_path / "night.yaml"), ["search_images.queries=[zzxzz]"])


@pytest.mark.parametrize(
    ("section", "key", "value", "fault"),
    [
        ("build_vocabulary", "vectors", "gone.vec", "vectors: file://"),
        ("build_vocabulary", "hierarchy", "gone.tsv", "hierarchy: file://"),
        ("build_vocabulary", "classes", "gone.tsv", "classes: file://"),
        ("train_model", "weights", "gone.pth", "weights: file://"),
        ("train_model", "weights_sha256", "0" * 64, "sha256 is"),
        ("train_model", "architecture", "resnet18", "weights: "),
        ("train_model", "held_out_file", "gone.json", "held_out_file: "),
        ("catalog_images", "sources", ["gone"], "images: "),
        ("search_images", "queries", ["lion + zzxzz"], "'zzxzz' is no word"),
        ("search_images", "queries", ["lion + "], "queries: "),
        ("search_images", "queries", ["image:gone.jpg"], "gone.jpg: no such picture"),
        ("search_images", "queries", ["lion - image:gone.jpg"], "a URI with ` + ` or ` - ` in it wants quotes"),
        ("search_images", "queries", ["nan * lion"], "found 'nan' at letter 1, wanted a finite number"),
        ("search_images", "queries_file", "gone.csv", "queries: "),
        ("label_images", "candidates", ["lion", "zzxzz"], "label_images.candidates: 2 labels; 1 have no vector"),
        ("label_images", "k", 0, "settings: "),
        ("build_index", "memory_bytes", 1, "raise memory_bytes"),
        ("evaluate_model", "splits", [{"name": "x", "labelled": {"source": "gone"}}], "evaluate_model, split x: "),
    ],
)
def test_what_would_fail_is_one_fault_and_the_rest_is_looked_at_all_the_same(night, ask, section, key, value, fault):
    night.setdefault(section, {})[key] = value
    found = ask(night)
    assert len(found["fault"]) == 1 and fault in found["fault"][0], found["fault"]
    assert any(text.startswith("live: ") for text in found["ok"])


def test_classes_that_are_not_as_many_as_the_network_s_outputs_are_a_fault(night, ask, tmp_path):
    (tmp_path / "few.tsv").write_text("index\twnid\tname\tsynonyms\n0\tn0\tlion\tlion\n")
    night["build_vocabulary"]["classes"] = str(tmp_path / "few.tsv")
    assert "has 1000 outputs and build_vocabulary.classes 1 rows" in ask(night)["fault"][0]


def test_labels_without_a_vector_are_a_warning_and_labels_of_which_none_has_one_a_fault(night, ask, pictures):
    night["evaluate_model"] = {"splits": [{"name": "x", "labelled": {"source": str(pictures)}}]}
    found = ask(night)
    assert found["fault"] == [] and "3 of 3 folders have a label; 1 have no vector of their own (qqxqq)" in str(found)
    for noun in ("lion", "castle"):
        (pictures / noun).rename(pictures / f"qqq{noun}qqq")
    night["search_images"]["queries"] = ["lion"]
    assert "none of them has a vector" in ask(night)["fault"][0]


def test_a_broken_picture_is_a_warning_with_its_code(night, ask, pictures):
    (pictures / "lion" / "torn.jpg").write_bytes((pictures / "lion" / "0.jpg").read_bytes()[:300])
    warnings = ask(night)["warning"]
    assert any("torn.jpg" in text or "1 of 13 of the sample" in text for text in warnings)
    assert any("8% of the sample is rejected, wanted at most 5%" in text for text in warnings)


def test_what_is_live_and_made_with_other_settings_is_told_with_what_follows(night, ask, tmp_path):
    from tiny_warehouse import publish

    publish(tmp_path)
    for name, table in (("vectors", "VECTORS"), ("hierarchy", "HIERARCHY"), ("classes", "CLASSES")):
        setting = night["build_vocabulary"][name]
        night["build_vocabulary"][name] = look.place_of(setting, table)
    found = ask(night)
    assert found["fault"] == []
    assert any(text.startswith("live: run r1;") for text in found["ok"])
    assert any("live: model of run r1: other" in text and "embedded anew" in text for text in found["warning"])


def test_another_vocabulary_is_told_to_make_the_model_anew_too(night, ask, tmp_path, weights, pictures):
    from tiny_warehouse import publish

    publish(tmp_path)
    for name, table in (("vectors", "VECTORS"), ("hierarchy", "HIERARCHY"), ("classes", "CLASSES")):
        night["build_vocabulary"][name] = look.place_of(night["build_vocabulary"][name], table)
    warnings = [text for text in ask(night)["warning"] if text.startswith("live: ")]
    assert len(warnings) == 2 and "nouns" in warnings[0] and "nouns" in warnings[1]
