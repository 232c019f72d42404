"""What is refused before a command's first job, and before Spark starts: missing inputs, gates that cannot hold."""

import shutil
from types import SimpleNamespace

import pytest
import yaml
from tiny_warehouse import _commit, _folder, add_night, publish

from devise.errors import ConfigError, GateError, IndexingError, ManifestError
from devise.jobs.run_nightly import JOBS
from devise.spark.frame import command
from devise.spark.frame.command import foresee, stages_after
from devise.warehouse import upkeep

NIGHT = ["catalog_images", "embed_images", "label_images", "build_index", "evaluate_model", "publish_run"]


@pytest.fixture
def warehouse(tmp_path):
    """Live are vocabulary, model and an index, and then a night on top."""
    place, _ = publish(tmp_path)
    add_night(place, "r2")
    return place


def plan(warehouse, stages, run="r3", **publish_run):
    needed = {"catalog_images": {"sources": ["x"]}, "publish_run": publish_run}
    made = [(JOBS[stage], needed.get(stage, {})) for stage in stages]
    return [(job, job.config(warehouse=warehouse, run=run, **settings)) for job, settings in made]


def test_a_whole_night_is_foreseen_to_end_well(warehouse, tmp_path):
    foresee(plan(warehouse, NIGHT))
    with pytest.raises(ManifestError, match="plan_images needs model and found .*; train_model makes it"):
        foresee(plan(str(tmp_path / "new"), NIGHT))


@pytest.mark.parametrize(
    ("left_out", "error", "words"),
    [
        ("catalog_images", ManifestError, "images/run=r3: plan_images needs images and found no committed run"),
        ("embed_images", ManifestError, "plan/run=r3: label_images needs plan .*; embed_images makes it"),
        ("label_images", ManifestError, "labels/run=r3: publish_run needs labels .*; label_images makes it"),
        ("build_index", GateError, "run r3: the live run r2 has an index, and build_index is no stage"),
        (
            "evaluate_model",
            GateError,
            "wants a measured recall of at least 0.9, and evaluate_model is no stage",
        ),
    ],
)
def test_a_stage_that_another_needs_is_missed_before_the_first(warehouse, left_out, error, words):
    with pytest.raises(error, match=words):
        foresee(plan(warehouse, [stage for stage in NIGHT if stage != left_out]))


@pytest.mark.parametrize(
    "order",
    [[*NIGHT[:4], "publish_run", "evaluate_model"], [*NIGHT[:3], "evaluate_model", "build_index", "publish_run"]],
)
def test_a_stage_that_comes_too_late_or_too_early_is_no_stage_between(warehouse, order):
    with pytest.raises(GateError, match="evaluate_model is no stage between build_index and it"):
        foresee(plan(warehouse, order))


def test_what_a_stage_has_made_on_another_publication_is_found_before_the_first(warehouse):
    _commit(warehouse, "images", {}, "r3", parent=1)
    with pytest.raises(GateError, match="images/run=r3: built on publication 1, .* now is publication 2"):
        foresee(plan(warehouse, NIGHT))


def test_a_code_to_retry_that_is_none_is_refused_and_the_default_ones_are_codes(warehouse):
    from devise.config import EmbedConfig
    from devise.vision.images import REJECT_CODES

    assert set(EmbedConfig.model_fields["retry_codes"].default) <= set(REJECT_CODES)
    [catalogue, (embed, _)] = plan(warehouse, NIGHT[:2])
    for codes, known in ((["corrupt", "gone"], True), (["throtled"], False)):
        config = EmbedConfig(warehouse=warehouse, run="r3", retry_codes=codes)
        if known:
            foresee([catalogue, (embed, config)])
        else:
            for work, later in (([catalogue, (embed, config)], []), ([catalogue], [(embed, config)])):
                with pytest.raises(ConfigError, match=r"retry_codes: unknown codes \['throtled'\]; known are"):
                    foresee(work, later)


def test_what_the_run_has_already_need_not_be_a_stage(warehouse):
    rejects = _commit(warehouse, "rejects", {}, "r3", parent=2)
    thumbnails = _commit(warehouse, "thumbnails", {}, "r3", parent=2)
    _commit(warehouse, "embeddings", {}, "r3", parent=2, secondary={"rejects": rejects, "thumbnails": thumbnails})
    for table in ("images", "plan", "labels", "index", "metrics"):
        _commit(warehouse, table, {}, "r3", parent=2)
    foresee(plan(warehouse, ["publish_run"]))


def test_an_index_without_recall_is_published_where_none_is_asked_for(warehouse):
    foresee(plan(warehouse, [stage for stage in NIGHT if stage != "evaluate_model"], min_recall=0))


@pytest.mark.parametrize(("run", "words"), [("r1", "older than the live run r2"), ("r2b", "run r2b was discarded")])
def test_a_run_that_must_not_be_made_is_refused(warehouse, run, words):
    _commit(warehouse, "images", {}, "r2b", parent=2)
    upkeep.discard(warehouse, "r2b")
    with pytest.raises(GateError, match=words):
        foresee(plan(warehouse, NIGHT, run))


def test_more_images_than_the_memory_holds_are_refused_once_listed_and_before_they_are_embedded(warehouse):
    def night(memory_bytes, stages=NIGHT, **settings):
        work = plan(warehouse, stages)
        config = JOBS["build_index"].config(warehouse=warehouse, run="r3", memory_bytes=memory_bytes, **settings)
        return [(job, config if job.name == "build_index" else asked) for job, asked in work]

    foresee(night(2**20))  # nothing is listed yet
    (_folder(warehouse, "images", "r3") / "part-0.parquet").touch()
    _commit(warehouse, "images", {"part-0.parquet": 1_000_000}, "r3", parent=2)
    foresee(night(2**24))  # 16 dims of half a byte and an id: 16 bytes an image
    for stages in (NIGHT, NIGHT[1:]):
        with pytest.raises(IndexingError, match="1,000,000 x 8 need 0.0 GiB even with 4 bits a number, wanted at most"):
            foresee(night(2**20, stages))
    foresee(night(2**20, kind="IVF64,PQ4"))  # a kind that is named is the user's own choice
    foresee(night(2**20, NIGHT[:3]))
    foresee([(JOBS["build_vocabulary"], JOBS["build_vocabulary"].config(warehouse=warehouse, run="r3", vectors="x")),
             *night(2**20, NIGHT[1:])])  # fmt: skip  # of how many dims the new one will be is not known


def test_stages_that_come_in_commands_of_their_own_are_foreseen_with_those_asked_for(warehouse):
    assert stages_after(["embed_images"], NIGHT) == NIGHT[2:] and stages_after(NIGHT, NIGHT) == []
    assert stages_after(["train_model"], NIGHT) == []
    (_folder(warehouse, "images", "r3") / "part-0.parquet").touch()
    _commit(warehouse, "images", {"part-0.parquet": 1_000_000}, "r3", parent=2)
    work = plan(warehouse, NIGHT)
    foresee(work[1:2], work[2:])
    short = JOBS["build_index"].config(warehouse=warehouse, run="r3", memory_bytes=2**20)
    with pytest.raises(IndexingError, match="1,000,000 x 8 need"):
        foresee(work[1:2], [(JOBS["build_index"], short)])


def test_a_night_is_foreseen_again_once_its_catalogue_is_made(warehouse, tmp_path, monkeypatch, capsys):
    """The command, whose jobs only tell that they were asked."""
    done = []
    monkeypatch.setattr(command, "start_session", lambda *_: SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(command, "refuse_spelling", lambda *_: None)

    def perform(job, spark, config, check):
        done.append(job.name)
        (_folder(warehouse, "images", "r3") / "part-0.parquet").touch()
        _commit(warehouse, "images", {"part-0.parquet": 1_000_000}, "r3", parent=2)

    monkeypatch.setattr(command, "perform", perform)
    sections = {
        "warehouse": warehouse, "run_nightly": {"stages": NIGHT}, "catalog_images": {"sources": ["x"]},
        "build_index": {"memory_bytes": 2**20},
    }  # fmt: skip
    (tmp_path / "night.yaml").write_text(yaml.safe_dump(sections))
    for asked in ([], ["--set", "run_nightly.stages=[catalog_images, embed_images]"]):
        done.clear()
        shutil.rmtree(f"{warehouse}/images/run=r3", ignore_errors=True)
        with pytest.raises(SystemExit) as ended:
            command.run_in_order(
                "run_nightly", "", JOBS, ["--config", str(tmp_path / "night.yaml"), "--run", "r3", *asked]
            )
        assert ended.value.code == 2 and done == ["catalog_images"]
        assert "1,000,000 x 8 need 0.0 GiB even with 4 bits a number" in capsys.readouterr().err
