"""`devise card`: what it writes is what is live; mlcroissant loads its metadata, and reads tables through it."""

import hashlib
import json
import re
from datetime import datetime, timezone

import duckdb
import mlcroissant
import pytest
import yaml
from tiny_warehouse import add_night, add_tables, publish

from devise import cli
from devise.errors import ConfigError, ManifestError
from devise.show import croissant, datasetcard
from devise.show.published import File, Published, Table
from devise.spark.frame import schemas
from devise.warehouse import pointer


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A warehouse with an append table of two runs and lists of images, and its card."""
    folder = tmp_path_factory.mktemp("card")
    warehouse, pictures = publish(folder)
    for run in ("r2", "r3"):
        add_night(warehouse, run)
    add_tables(warehouse, pictures, "r4")
    cli.main(["card", "--warehouse", warehouse, "--license", "CC0-1.0"])
    return folder / "warehouse"


def metadata(place):
    return json.loads((place / "croissant.json").read_text())


def facts_of(n_files, **more):
    files = [File(f"labels/run=r1/part-{number}.parquet", 9, "0" * 64) for number in range(n_files)]
    table = Table("labels", *schemas.described()["labels"], ["r0", "r1"], 7, files)
    told = {"counts": {"listed": 10**9, "embedded": 10**9 - 1, "rejected": 1}, "model_card": None} | more
    at = datetime(2026, 11, 23, tzinfo=timezone.utc)
    return Published("s3://b/a/w", 12, "r1", at, told["counts"], "m", "v", "0.1", told["model_card"], [table])


def test_mlcroissant_finds_nothing_to_say(place):
    issues = mlcroissant.Dataset(jsonld=str(place / "croissant.json")).metadata.ctx.issues
    assert not issues.errors and not issues.warnings


@pytest.mark.parametrize("table", ["images", "vocabulary", "labels", "word_images"])
def test_mlcroissant_reads_the_rows_that_the_live_run_has(place, table):
    records = list(mlcroissant.Dataset(jsonld=str(place / "croissant.json")).records(table))
    run = pointer.read(str(place)).runs(table)[-1]
    wanted = duckdb.sql(f"SELECT * FROM read_parquet('{place}/{table}/run={run}/part*.parquet')")
    names = [name for name in schemas.TABLES[table].names if name in wanted.columns]
    found = [tuple(plain(record[f"{table}/{name}"]) for name in names) for record in records]
    assert found and {record[f"{table}/run"] for record in records} == {run.encode()}
    assert sorted(map(str, found)) == sorted(
        str(tuple(map(plain, row))) for row in wanted.select(*map(duckdb.ColumnExpression, names)).fetchall()
    )


def plain(value):
    """A value of either reader: texts as texts, times in UTC, lists of these."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.astimezone(timezone.utc).isoformat() if isinstance(value, datetime) else value


def test_each_file_is_named_with_its_size_and_checksum_and_none_that_holds_no_rows(place):
    files = [part for part in metadata(place)["distribution"] if part["@type"] == "cr:FileObject"]
    for file in files:
        content = (place / file["contentUrl"]).read_bytes()
        assert (file["sha256"], file["contentSize"]) == (hashlib.sha256(content).hexdigest(), f"{len(content)} B")
    live = pointer.read(str(place))
    paths = [
        path.relative_to(place).as_posix()
        for table, run in live.pairs()
        if table in schemas.TABLES
        for path in place.glob(f"{table}/run={run}/[!_]*.parquet")
    ]
    assert sorted(file["contentUrl"] for file in files) == sorted(paths)
    assert not any("_reserve" in path for path in paths) and len(paths) > 8


def test_a_chain_of_runs_has_a_pattern_for_each(place):
    (files,) = (part for part in metadata(place)["distribution"] if part["@id"] == "embeddings-files")
    assert [pattern.split("/")[1] for pattern in files["includes"]] == ["run=r2", "run=r3"]


def test_fields_say_what_the_columns_are(place):
    for records in metadata(place)["recordSet"]:
        for field in records["field"][:-1]:
            name = field["name"]
            assert field["description"] == schemas.TABLES[records["name"]][name].metadata["comment"]
    vector = next(
        field for records in metadata(place)["recordSet"] for field in records["field"] if field["name"] == "vector"
    )
    assert (vector["dataType"], vector["repeated"]) == ("sc:Float", True)


def test_every_type_of_column_can_be_told():
    kinds = {kind for _, columns in schemas.described().values() for _, kind, _ in columns}
    assert {kind.removeprefix("array<").removesuffix(">") for kind in kinds} == croissant.TYPES.keys()


@pytest.mark.parametrize(("n_files", "named"), [(100, 100), (101, 0), (100_000, 0)])
def test_the_metadata_of_a_large_corpus_stays_small(n_files, named):
    made = croissant.describe(facts_of(n_files), "x", "y", None)
    kinds = [part["@type"] for part in made["distribution"]]
    assert kinds.count("cr:FileObject") == named and kinds.count("cr:FileSet") == 1
    assert len(json.dumps(made)) < 60_000


def test_the_card_s_head_names_the_live_files_for_a_hub(place):
    text = (place / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "CC0-1.0" and head["pretty_name"].endswith("/warehouse")
    configs = {config["config_name"]: config["data_files"][0]["path"] for config in head["configs"]}
    assert configs["labels"] == ["labels/run=r4/[!_.]*.parquet"]
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["labels"]
    assert "| `word_images` | the best images of every label" in text and "`embeddings` and `rejects` also hold" in text


def test_the_card_s_sql_runs_where_it_lies(place, monkeypatch):
    monkeypatch.chdir(place)
    (query,) = re.findall(r"```sql\n(.*?)```", (place / "README.md").read_text(), re.DOTALL)
    assert len(duckdb.sql(query).fetchall()) == 10


def test_the_counts_are_of_all_live_images(place):
    assert "Of 4 images 2 have an embedding and labels; 2 could" in (place / "README.md").read_text()  # 1 a night
    text = datasetcard.card(facts_of(3, model_card="metrics/run=r1/_model-card-x.md"), None)
    assert "Of 1,000,000,000 images 999,999,999 have an embedding and labels; 1 could not be read" in text
    assert "[_model-card-x.md](metrics/run=r1/_model-card-x.md)" in text
    assert "license: unknown" in text and "1B<n<10B" in text
    assert "was not measured" in datasetcard.card(facts_of(3, counts={}), None)


@pytest.mark.parametrize(
    ("n", "told"),
    [
        *((0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (999_999, "100K<n<1M"), (10**9, "1B<n<10B")),
        *((10**12 - 1, "100B<n<1T"), (10**12, "n>1T"), (10**15, "n>1T")),
    ],
)
def test_sizes_have_the_hub_s_names(n, told):
    assert datasetcard.size_category(n) == told


def test_it_goes_elsewhere_when_asked_and_never_over_somebody_else_s_file(place, tmp_path, capsys):
    before = (place / "README.md").read_bytes()
    for _ in range(2):  # over its own it does
        cli.main(["card", "--warehouse", str(place), "--out", str(tmp_path)])
        assert "no license is said in it: --license" in capsys.readouterr().out
    assert (place / "README.md").read_bytes() == before
    (tmp_path / "README.md").write_text("# Mine\n")
    (tmp_path / "croissant.json").unlink()
    with pytest.raises(ConfigError, match="README.md: found a file that `devise card` did not write"):
        datasetcard.write(str(place), schemas.described(), str(tmp_path), None)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_nothing_published_is_said(tmp_path):
    with pytest.raises(ManifestError, match="nothing is published here yet"):
        datasetcard.write(str(tmp_path), schemas.described(), None, None)
