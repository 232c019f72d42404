"""Settings are checked whole before anything starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devise import settings
from devise.config import (
    CatalogConfig,
    EmbedConfig,
    EvaluateConfig,
    LabelConfig,
    LabelledConfig,
    SearchConfig,
    TrainConfig,
    VocabularyConfig,
)
from devise.errors import ConfigError
from devise.groups import S3Config


def write(tmp_path, text):
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    return path


def test_unknown_key_names_itself_and_the_known_ones(tmp_path):
    path = write(tmp_path, "warehouse: w\nembed_images: {exchnge: arrow}\n")
    with pytest.raises(ConfigError) as error:
        settings.load(path, "embed_images", EmbedConfig, "r1")
    text = str(error.value)
    assert "embed_images: unknown keys ['exchnge']; known are [" in text and "'exchange'" in text
    assert "\n" not in text


def test_unknown_key_in_a_group_is_found_too(tmp_path):
    path = write(tmp_path, "warehouse: w\nembed_images: {engine: {devize: cpu}}\n")
    with pytest.raises(ConfigError, match=r"unknown keys \['engine.devize'\]"):
        settings.load(path, "embed_images", EmbedConfig, "r1")


def test_a_wrong_value_says_where_and_what_was_found(tmp_path):
    path = write(tmp_path, "warehouse: w\ncatalog_images: {sources: []}\n")
    with pytest.raises(ConfigError, match="sources: .*at least 1 item.*found \\[\\]"):
        settings.load(path, "catalog_images", CatalogConfig, "r1")


def test_missing_warehouse_is_named(tmp_path):
    with pytest.raises(ConfigError, match="warehouse: Field required"):
        settings.load(write(tmp_path, "catalog_images: {sources: [a]}\n"), "catalog_images", CatalogConfig, "r1")


@pytest.mark.parametrize("run", ["", "a/b", "../x", "ü", "a b", ".hidden"])
def test_a_run_id_that_cannot_be_a_folder_name_is_refused(tmp_path, run):
    with pytest.raises(ConfigError, match="run: "):
        settings.load(write(tmp_path, "warehouse: w\nembed_images: {}\n"), "embed_images", EmbedConfig, run)


def test_missing_file_and_bad_yaml_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        settings.load(tmp_path / "none.yaml", "embed_images", EmbedConfig, "r1")
    with pytest.raises(ConfigError, match="not YAML") as error:
        settings.load(write(tmp_path, "a: [1\nb: }"), "embed_images", EmbedConfig, "r1")
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="found list"):
        settings.load(write(tmp_path, "- 1"), "embed_images", EmbedConfig, "r1")


def test_overrides_reach_nested_keys_and_the_warehouse(tmp_path):
    path = write(tmp_path, "warehouse: w\nembed_images: {}\n")
    found = settings.load(
        path, "embed_images", EmbedConfig, "r1", ["embed_images.engine.threads=3", "warehouse=/elsewhere"]
    )
    assert (found.engine.threads, found.warehouse) == (3, "/elsewhere")
    with pytest.raises(ConfigError, match="wanted section.key=value"):
        settings.load(path, "embed_images", EmbedConfig, "r1", ["embed_images.exchange"])


def test_environment_fills_in_and_a_missing_variable_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, "warehouse: ${WHERE:-/default}/x\nembed_images: {}\n")
    assert settings.load(path, "embed_images", EmbedConfig, "r1").warehouse == "/default/x"
    monkeypatch.setenv("WHERE", "/set")
    assert settings.load(path, "embed_images", EmbedConfig, "r1").warehouse == "/set/x"
    with pytest.raises(ConfigError, match=r"\$\{NOWHERE_TO_BE_FOUND\} is not set"):
        settings.load(write(tmp_path, "warehouse: ${NOWHERE_TO_BE_FOUND}\n"), "embed_images", EmbedConfig, "r1")


def test_hash_depends_on_the_choices_and_not_on_run_or_place(tmp_path):
    one = EmbedConfig(warehouse="a", run="1")
    assert one.config_hash() == EmbedConfig(warehouse="b", run="2").config_hash()
    assert one.config_hash() != EmbedConfig(warehouse="a", run="1", exchange="pandas").config_hash()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"projection": "linear", "loss": "none", "weights": "w"}, "needs a loss"),
        ({"projection": "mlp", "loss": "ridge", "weights": "w"}, "closed form of projection linear"),
        ({"projection": "convex"}, "labelled pictures are needed"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(warehouse="w", run="r", architecture="mobilenet_v2", **settings)


def test_a_search_without_a_question_is_refused():
    with pytest.raises(ValueError, match="no queries"):
        SearchConfig(warehouse="w", run="r")


def test_a_section_names_no_run(tmp_path):
    path = write(tmp_path, "warehouse: w\nlabel_images: {run: r-old}\n")
    with pytest.raises(ConfigError, match="label_images: found a run, wanted it by --run alone"):
        settings.load(path, "label_images", LabelConfig, "r1")


def test_what_stands_where_the_store_is_told_is_never_printed(tmp_path):
    path = write(tmp_path, "s3: {endpoint: 'https://KEY:S3CRET@host:9000'}\n")
    with pytest.raises(ConfigError, match="s3: endpoint: ") as refused:
        settings.load_s3(path)
    assert "S3CRET" not in str(refused.value) and "KEY" not in str(refused.value)


SPLIT = {"name": "a", "labelled": {"source": "x"}}
UNLABELLED = {"source": "x", "kind": "images"}
LINEAR = {"architecture": "m", "weights": "x", "projection": "linear", "loss": "ridge", "labelled": {"source": "x"}}
CORE = {"architecture": "mobilenet_v2", "weights": "w"}
LEAST_AND_MOST = [
    (CatalogConfig, {"sources": [""]}, "sources.0: found '', wanted a text that is not blank"),
    (CatalogConfig, {"sources": ["x"], "include": []}, "include: "),
    (CatalogConfig, {"sources": ["x"], "exclude": [" "]}, "exclude.0: "),
    (CatalogConfig, {"sources": ["x"], "inventory": ""}, "inventory: "),
    (LabelConfig, {"candidates": []}, "candidates: "),
    (LabelConfig, {"candidates": ["ship", ""]}, "candidates.1: "),
    (LabelConfig, {"k": 2**31}, "k: "),
    (SearchConfig, {"queries": ["\t"]}, "queries.0: "),
    (SearchConfig, {"queries_file": ""}, "queries_file: "),
    (EvaluateConfig, {"ks": []}, "ks: "),
    (EvaluateConfig, {"ks": [1, 5, 1]}, "ks: found 1 twice"),
    (EvaluateConfig, {"seed": -1}, "seed: "),
    (EvaluateConfig, {"splits": [{**SPLIT, "candidates": []}]}, "splits.0.candidates: List should have at least 1"),
    (EvaluateConfig, {"splits": [{**SPLIT, "candidates": ["a", ""]}]}, "splits.0.candidates.1: found '', wanted"),
    (EvaluateConfig, {"splits": [{**SPLIT, "candidates": "a"}]}, "candidates: Input should be 'given' or 'vocabulary'"),
    (EvaluateConfig, {"splits": [SPLIT, SPLIT]}, "found 'a' twice, wanted each once"),
    (
        EvaluateConfig,
        {"splits": [{**SPLIT, "name": "caf\u00e9"}, {**SPLIT, "name": "cafe\u0301"}]},
        "twice, wanted each",
    ),
    (EvaluateConfig, {"splits": [{**SPLIT, "labelled": None}]}, "splits.0.labelled.source: Field required"),
    (EvaluateConfig, {"hierarchy": "x"}, "hierarchy: is for hp@k of `splits`"),
    (LabelledConfig, {"source": ""}, "source: "),
    (LabelledConfig, {"source": "x", "fraction": 0}, "fraction: "),
    (LabelledConfig, {"source": "x", "only": "seen"}, "only: names a group of the JSON file in `names`"),
    (LabelledConfig, {"source": "x", "kind": "wnids", "names": "x", "only": "seen"}, "only: names a group"),
    (LabelledConfig, {"source": "x", "kind": "wnids"}, "labels by wnid need `names`"),
    (LabelledConfig, {"source": "x", "kind": "table", "names": "x"}, "names: has no effect on kind table"),
    (VocabularyConfig, {"vectors": "x", "nouns": "hierarchy"}, "takes them from `hierarchy`, found none"),
    (TrainConfig, {**CORE, "std": [1, 1, 0]}, "std.2: "),
    (TrainConfig, {**CORE, "temperature": float("inf")}, "temperature: "),
    (TrainConfig, {**CORE, "mean": [float("nan"), 0, 0]}, "mean.0: "),
    (TrainConfig, {**CORE, "resize": 100, "crop": 224}, "crop 224 is cut from a picture of short side 100"),
    (TrainConfig, {**CORE, "resize": 300}, "resize and crop: found one of them, wanted both or neither"),
    (TrainConfig, {**CORE, "std": [1, 1, 1]}, "mean and std: found one of them, wanted both or neither"),
    (TrainConfig, {**CORE, "interpolation": "nearest"}, "interpolation: Input should be 'bilinear' or 'bicubic'"),
    (
        TrainConfig,
        {"architecture": "efficientnet_lite2", "weights": "starter", "weights_sha256": "a" * 64},
        "weights_sha256: has no effect with weights starter",
    ),
    (TrainConfig, {**CORE, "margin": 0.5}, "margin: has no effect with weights, projection convex, loss none"),
    (TrainConfig, {**CORE, "core_epochs": 5}, "core_epochs: has no effect with weights"),
    (LabelledConfig, {"source": "x", "kind": "images", "names": "x"}, "names: has no effect on kind images"),
    (EvaluateConfig, {"splits": [{**SPLIT, "labelled": UNLABELLED}]}, "kind images: has no labels to measure with"),
    (TrainConfig, {**CORE, "loss": "cosine", "labelled": UNLABELLED}, "projection linear or mlp, and loss cosine or"),
    (TrainConfig, {**LINEAR, "labelled": UNLABELLED, "loss": "hinge_rank"}, "and loss cosine or ridge"),
    (TrainConfig, {**LINEAR, "finetune": {}}, "finetune: wanted weights to start from, and loss cosine or hinge_rank"),
    (TrainConfig, {**LINEAR, "loss": "cosine", "finetune": {"watched": 0}}, "finetune.watched: "),
    (TrainConfig, {**LINEAR, "temperature": 3}, "temperature: has no effect"),
    (TrainConfig, {**LINEAR, "rows_weight": 0.1}, "rows_weight: has no effect"),
    (TrainConfig, {**CORE, "rows_weight": -0.1}, "rows_weight: "),
    (TrainConfig, {**CORE, "rows_weight": 0, "rows_lambda": 7}, "rows_lambda: has no effect"),
    (TrainConfig, {**CORE, "rows_lambda": 0}, "rows_lambda: "),
    (TrainConfig, {**LINEAR, "loss": "softmax"}, "loss softmax makes projection convex"),
    (TrainConfig, {**CORE, "loss": "softmax"}, "labelled pictures are needed to train"),
    (TrainConfig, {**CORE, "loss": "softmax", "labelled": {"source": "x"}, "rows_weight": 0.1}, "rows_weight: has no"),
    (VocabularyConfig, {"vectors": "x", "hypernym_levels": -1}, "hypernym_levels: "),
    (LabelConfig, {"deny": ""}, "deny: "),
    (LabelConfig, {"answer_target": 0}, "answer_target: "),
    (LabelConfig, {"answer_target": 1.1}, "answer_target: "),
    (LabelConfig, {"answer_specificity": -0.1}, "answer_specificity: "),
    (LabelConfig, {"answer_specificity": 1.1}, "answer_specificity: "),
    (TrainConfig, {**CORE, "weights_sha256": "abc"}, "weights_sha256: "),
    (
        TrainConfig,
        {"architecture": "small_cnn", "labelled": {"source": "x"}, "weights_sha256": "a" * 64},
        "weights_sha256: has no effect with no weights",
    ),
    (EmbedConfig, {"engine": {"threads": 10**6}}, "engine.threads: "),
    (EmbedConfig, {"engine": 0}, "engine: "),
]


@pytest.mark.parametrize(("model", "values", "words"), LEAST_AND_MOST)
def test_every_list_and_count_has_its_least_and_most_and_what_has_no_effect_is_refused(model, values, words):
    shared = {} if model is LabelledConfig else {"warehouse": "w", "run": "r"}
    with pytest.raises(ValidationError) as refused:
        model(**shared, **values)
    assert words in f"{settings._one_line(refused.value, model)}"


def test_a_teacher_has_a_temperature():
    TrainConfig(warehouse="w", run="r", **{**LINEAR, "labelled": UNLABELLED, "temperature": 3})


def test_settings_of_labels_may_be_their_least_and_their_most():
    for target, specificity in ((0.001, 0), (1, 1)):
        LabelConfig(warehouse="w", run="r", deny="none", answer_target=target, answer_specificity=specificity)
    TrainConfig(warehouse="w", run="r", **{**CORE, "rows_weight": 0, "labelled": UNLABELLED})


@pytest.mark.parametrize(("values", "levels"), [({}, 6), ({"hypernym_levels": 0}, 0), ({"hypernym_levels": 2}, 2)])
def test_vectors_that_ship_are_not_smoothed_unless_asked(values, levels):
    assert VocabularyConfig(warehouse="w", run="r", vectors="a.vec", **values).levels == levels
    shipped_levels = VocabularyConfig(warehouse="w", run="r", vectors="wordnet", **values).levels
    assert shipped_levels == values.get("hypernym_levels", 0)


def test_null_is_an_empty_section_and_an_empty_group_everywhere(tmp_path):
    path = write(tmp_path, "warehouse: w\ns3:\nlabel_images:\nembed_images: {engine: null}\n")
    assert settings.load_s3(path) == S3Config()
    assert settings.load(path, "label_images", LabelConfig, "r1") == LabelConfig(warehouse="w", run="r1")
    assert settings.load(path, "embed_images", EmbedConfig, "r1") == EmbedConfig(warehouse="w", run="r1")
    set_it = ["embed_images.engine.batch_size=4", "label_images.k=3", "s3.region=x"]
    assert settings.load(path, "embed_images", EmbedConfig, "r1", set_it).engine.batch_size == 4
    assert settings.load(path, "label_images", LabelConfig, "r1", set_it).k == 3
    assert settings.load_s3(path, set_it).region == "x"


@pytest.mark.parametrize("value", ["0", "''", "[]", "false"])
def test_a_section_that_is_a_value_is_not_passed_over(tmp_path, value):
    path = write(tmp_path, f"warehouse: w\nlabel_images: {value}\n")
    with pytest.raises(ConfigError, match="label_images: found .*, wanted a mapping of settings"):
        settings.load(path, "label_images", LabelConfig, "r1")


def test_numbers_and_truths_are_read_from_the_environment_s_texts(tmp_path, monkeypatch):
    monkeypatch.setenv("N", "7")
    monkeypatch.setenv("TRUTH", "true")
    path = write(
        tmp_path, "warehouse: ${N}\ns3: {path_style: '${TRUTH}'}\nevaluate_model: {ks: [1, '${N}'], seed: 0${N}}"
    )
    found = settings.load(path, "evaluate_model", EvaluateConfig, "r1")
    assert (found.warehouse, found.ks, found.seed) == ("7", [1, 7], 7)
    assert settings.load_s3(path).path_style is True
    monkeypatch.setenv("TRUTH", "perhaps")
    with pytest.raises(ConfigError, match="s3: path_style: "):
        settings.load_s3(path)


def test_a_sha256_is_the_same_in_capitals(tmp_path):
    made = [TrainConfig(warehouse="w", run="r", **CORE, weights_sha256=text * 32) for text in ("ab", "AB", "aB")]
    assert {config.config_hash() for config in made} == {made[0].config_hash()}
    assert made[1].weights_sha256 == "ab" * 32


def test_a_wrong_value_that_is_a_book_is_printed_short(tmp_path):
    path = write(tmp_path, f"warehouse: w\nlabel_images: {{k: {'x' * 10**6}}}\n")
    with pytest.raises(ConfigError) as refused:
        settings.load(path, "label_images", LabelConfig, "r1")
    assert len(str(refused.value)) < 500


KEYS = st.sampled_from([*SearchConfig.model_fields, *EvaluateConfig.model_fields, *TrainConfig.model_fields, "x", ""])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=3)),
)


@given(
    st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from([SearchConfig, EvaluateConfig, TrainConfig, EmbedConfig])
)
def test_any_settings_are_taken_or_are_one_line(values, model):
    try:
        settings._section("here", {"search_images": values}, "search_images", model, {"warehouse": "w", "run": "r"})
    except ConfigError as refused:
        assert "\n" not in str(refused) and "here, search_images: " in str(refused)
