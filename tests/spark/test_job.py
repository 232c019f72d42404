"""The frame of a job: reruns change nothing, leftovers are swept, other inputs or settings are refused."""

import dataclasses
import json

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from devise.config import CatalogConfig, VocabularyConfig
from devise.errors import AccountingError, GateError, ManifestError, SchemaError
from devise.jobs import build_vocabulary, catalog_images
from devise.spark.frame import job, schemas, tables
from devise.store import scratch
from devise.warehouse import manifest, pointer
from devise.warehouse.lineage import begin


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(b"x" * number)
    return folder


def settings(tmp_path, corpus, **more):
    return CatalogConfig(warehouse=str(tmp_path / "w"), run="r1", sources=[str(corpus)], **more)


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_a_rerun_of_a_committed_run_changes_nothing(spark, tmp_path, corpus):
    config = settings(tmp_path, corpus)
    first = job.perform(catalog_images.JOB, spark, config)
    before = snapshot(tmp_path / "w")
    assert job.perform(catalog_images.JOB, spark, config) == first
    assert snapshot(tmp_path / "w") == before


def test_a_committed_run_with_other_settings_is_refused_by_name(spark, tmp_path, corpus):
    job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus))
    with pytest.raises(ManifestError, match=r"committed with other settings \(exclude\)"):
        job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus, exclude=["0*"]))


def test_what_a_killed_run_left_goes_once_the_commit_is_won_and_not_before(spark, tmp_path, corpus, monkeypatch):
    folder = tmp_path / "w" / "images" / "run=r1"
    dead = ("part-00000-dead.zstd.parquet", "_temporary/0/task_1/part-00001-dead.zstd.parquet", "_SUCCESS")
    left = [folder / name for name in dead]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a file")
    write, there = manifest.write, []
    monkeypatch.setattr(
        manifest, "write", lambda *of: (there.append([path.name for path in left if path.exists()]), write(*of))
    )
    committed = job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus))["images"]
    assert committed.rows == 5 and there == [[path.name for path in left]]
    found = {path.name for path in folder.rglob("*") if not path.name.endswith(".crc") and path.is_file()}
    assert found == {manifest.NAME, "_SUCCESS", *(file.path for file in committed.files)}


def test_a_link_among_what_a_killed_run_left_leads_nowhere(spark, tmp_path, corpus):
    folder = tmp_path / "w" / "images" / "run=r1"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(corpus)
    (folder / "part-00000-dead.zstd.parquet").touch()
    assert job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus))["images"].rows == 5
    assert len(list(corpus.iterdir())) == 5 and not (folder / "part-00000-dead.zstd.parquet").exists()


def test_a_zombie_that_commits_after_its_twin_is_refused_and_the_twin_s_run_is_whole(
    spark, tmp_path, corpus, monkeypatch
):
    """The zombie has written its files and is about to commit; its twin does the whole job meanwhile."""
    config, write = settings(tmp_path, corpus), manifest.write
    won = []

    def late(place, made):
        monkeypatch.setattr(manifest, "write", write)
        won.append(job.perform(catalog_images.JOB, spark, config)["images"])
        write(place, made)

    monkeypatch.setattr(manifest, "write", late)
    with pytest.raises(ManifestError, match="run=r1/_manifest.json: this run is committed already"):
        job.perform(catalog_images.JOB, spark, config)
    committed = manifest.read(str(tmp_path / "w"), "images", "r1")
    assert [committed] == won
    assert tables.read(spark, str(tmp_path / "w"), [committed], schemas.IMAGES).count() == 5
    names = {path.name for path in (tmp_path / "w" / "images" / "run=r1").glob("*.parquet")}
    assert names == {file.path for file in committed.files}  # the zombie's were there before the twin won


def test_a_zombie_that_commits_before_its_twin_has_a_run_with_all_its_files(spark, tmp_path, corpus, monkeypatch):
    """Its twin began after it had written its files: were they swept, the zombie would commit files that are gone."""
    config, held = settings(tmp_path, corpus), []
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", lambda *of: held.append(of))  # the zombie stands still right before its commit
        job.perform(catalog_images.JOB, spark, config)

    def main(task):
        catalog_images.main(task)
        manifest.write(*held[0])

    with pytest.raises(ManifestError, match="run=r1/_manifest.json: this run is committed already"):
        job.perform(dataclasses.replace(catalog_images.JOB, main=main), spark, config)
    committed = manifest.read(str(tmp_path / "w"), "images", "r1")
    assert committed == held[0][1]
    assert tables.read(spark, str(tmp_path / "w"), [committed], schemas.IMAGES).count() == 5


def test_a_reader_opens_only_files_that_the_manifest_lists(spark, tmp_path, corpus):
    committed = job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus))["images"]
    folder = tmp_path / "w" / "images" / "run=r1"
    (folder / "part-99999-zombie.zstd.parquet").write_bytes((folder / committed.files[0].path).read_bytes())
    assert tables.read(spark, str(tmp_path / "w"), [committed], schemas.IMAGES).count() == 5


def test_the_manifest_says_what_is_in_the_files(spark, tmp_path, corpus):
    committed = job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus))["images"]
    for file in committed.files:
        path = tmp_path / "w" / "images" / "run=r1" / file.path
        assert (path.stat().st_size, scratch.hash_file(path)) == (file.size_bytes, file.sha256)
    document = json.loads((tmp_path / "w" / "images" / "run=r1" / manifest.NAME).read_text())
    assert document["config"]["sources"] == [str(corpus)] and document["rows"] == 5


def test_rows_that_came_into_no_file_stop_the_commit(spark, tmp_path, monkeypatch):
    rows = spark.createDataFrame([(1, "u", "e", 1, None), (2, "v", "e", 1, None)], schemas.IMAGES)
    taken = tables.receipts
    monkeypatch.setattr(tables, "receipts", lambda rows: taken(rows)[1:])
    with pytest.raises(AccountingError, match="1 rows in the files, 2 rows were written"):
        tables.write(rows, f"file://{tmp_path}/w", schemas.IMAGES)


def test_a_task_s_rows_are_one_file_in_their_order_with_hash_and_codes(spark, tmp_path):
    rows = [(number, f"u{number}", "e", "gone" if number % 3 else "empty", "m", 1, "m1") for number in range(40)]
    frame = spark.createDataFrame(rows, schemas.REJECTS).coalesce(1).sortWithinPartitions(F.desc("image_id"))
    written = tables.write(frame, f"file://{tmp_path}/w", schemas.REJECTS, "late")
    (file,) = written.files
    assert file.path.startswith("late-") and (written.rows, written.rejects) == (40, {"empty": 14, "gone": 26})
    path = tmp_path / "w" / file.path
    assert (path.stat().st_size, scratch.hash_file(path)) == (file.size_bytes, file.sha256)
    assert pq.read_table(path).column("image_id").to_pylist() == list(range(39, -1, -1))
    assert [path.name for path in (tmp_path / "w").iterdir()] == [file.path]


def test_wrong_columns_are_refused_with_both_lists(spark, tmp_path):
    rows = spark.createDataFrame([(1,)], "image_id bigint")
    with pytest.raises(SchemaError, match="found columns .* wanted"):
        tables.write(rows, f"file://{tmp_path}/x", schemas.IMAGES)


def test_an_input_that_does_not_exist_names_the_job_that_makes_it(spark, tmp_path):
    from devise.config import LabelConfig
    from devise.jobs import label_images

    with pytest.raises(ManifestError, match="needs images and found no committed run; catalog_images makes it"):
        job.perform(label_images.JOB, spark, LabelConfig(warehouse=str(tmp_path), run="r1"))


def test_an_empty_table_is_a_table(spark, tmp_path):
    empty = spark.createDataFrame([], schemas.REJECTS)
    written = tables.write(empty, f"file://{tmp_path}/rejects/run=r1", schemas.REJECTS)
    assert (written.rows, written.rejects) == (0, {})


def test_a_run_before_the_live_one_is_begun_by_no_job(spark, tmp_path, corpus):
    pointer.swap(str(tmp_path / "w"), [("images", "r2")], "r2", None)
    with pytest.raises(GateError, match="run r1 is older than the live run r2; only a rollback goes back"):
        job.perform(catalog_images.JOB, spark, settings(tmp_path, corpus))
    assert not (tmp_path / "w" / "images").exists()


def test_a_setting_that_goes_back_makes_its_run_anew(spark, tmp_path):
    """Readers take the newest run: that an older one had the same settings helps nobody."""

    def build(run, words):
        path = tmp_path / f"{words[0]}.vec"
        if not path.exists():
            path.write_text(f"{len(words)} 2\n" + "".join(f"{word} 1 {place}\n" for place, word in enumerate(words)))
        config = VocabularyConfig(warehouse=str(tmp_path / "w"), run=run, vectors=str(path))
        job.perform(build_vocabulary.JOB, spark, config)
        return begin(str(tmp_path / "w"), run).newest("vocabulary")

    first, second = build("r1", ["lion", "tulip"]), build("r2", ["castle", "ferry"])
    assert second.run == "r2" and build("r3", ["castle", "ferry"]).run == "r2"
    back = build("r4", ["lion", "tulip"])
    assert back.run == "r4" and back.vocabulary_id == first.vocabulary_id != second.vocabulary_id


@pytest.mark.parametrize("name", ["a?", "x [54]", "../../x", "x" * 300 + "é", "", "A"])
def test_no_name_of_people_becomes_a_place_in_scratch(name):
    task = job.Task(None, None, None, {}, "file:///nowhere")
    with pytest.raises(ValueError, match="wanted small letters, digits and dashes"):
        task.stage(None, name)
