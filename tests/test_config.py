"""Settings are checked whole before anything starts."""

import pytest

from devise import settings
from devise.config import CatalogConfig, EmbedConfig, LabelConfig, SearchConfig, TrainConfig
from devise.errors import ConfigError


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
