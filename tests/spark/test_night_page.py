"""The night's page over two nights of drawn pictures: what it counts is what the tables hold, and places stay."""

import duckdb
import numpy as np
import pytest
from test_nights import Warehouse
from tiny_warehouse import commit_vocabulary_and_model
from week import perform

from devise import cli
from devise.errors import ConfigError, ManifestError, VocabularyError
from devise.jobs import report_run
from devise.learning import places
from devise.sample.broken import write_broken
from devise.show.nightly import facts
from devise.spark.frame import job
from devise.spark.stages import report
from devise.store import storage
from devise.warehouse import manifest, pointer, verify

JOBS = ("catalog_images", "embed_images", "label_images", "build_index", "report_run", "publish_run")
WORDS = ["lion", "lion + tulip", "no such word"]


def rows(night, table, run):
    """Rows of a run of a table, as any engine reads them."""
    return duckdb.sql(f"SELECT * FROM '{night.place}/{table}/run={run}/*.parquet'").fetchall()


def page(night, run):
    made = manifest.read(night.place, "reports", run)
    folder = manifest.folder(night.place, "reports", run)
    return storage.read_bytes(f"{folder}/{made.one(facts.PAGE).path}").decode()


def counts(night, run):
    return {label: (n, n_first, n_new) for label, n, n_first, n_new, *_ in rows(night, "label_counts", run)}


def of_labels(night, run, among="TRUE"):
    """Label -> images of which it stands first, by the table of labels."""
    told = (
        f"SELECT label, count(*) FROM '{night.place}/labels/run={run}/*.parquet' WHERE rank = 1 AND {among} GROUP BY 1"
    )
    return dict(duckdb.sql(told).fetchall())


@pytest.fixture(scope="module")
def night(spark, tmp_path_factory):
    """Two nights: 64 pictures and broken ones; then four new ones, one changed and one removed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "LEAST_IMAGES", 40)
        at = Warehouse(spark, tmp_path_factory.mktemp("report"), JOBS)
        for number in range(20, 64):
            at.draw(number)
        at.n_broken = len(write_broken(at.corpus / "broken"))
        at.sections["report_run"] = {"words": WORDS, "usd_an_hour": 3.6}
        at.sections["publish_run"] = {"min_recall": 0}
        commit_vocabulary_and_model(at.place)
        for run in ("r2", "r3"):
            if run == "r3":
                at.gone = storage.normalise(str(at.draw(3)))
                storage.delete(at.gone)
                at.came = [storage.normalise(str(at.draw(number))) for number in range(64, 68)]
                at.changed = storage.normalise(str(at.draw(5, seed=99)))
            perform(spark, at.place, run, at.sections, JOBS)
        yield at


def test_counts_are_those_of_the_labels_and_of_what_came(night):
    first, second = counts(night, "r2"), counts(night, "r3")
    assert {label: n for label, (_, n, _) in first.items() if n} == of_labels(night, "r2")
    assert all(n == n_new for n, _, n_new in first.values())  # on a first night all came
    assert {label: n for label, (_, n, _) in second.items() if n} == of_labels(night, "r3")
    came = ", ".join(f"'{uri}'" for uri in [*night.came, night.changed])
    assert {label: n for label, (_, _, n) in second.items() if n} == of_labels(night, "r3", f"uri IN ({came})")


def test_what_is_on_the_map_stays_where_it_is_and_what_came_has_a_place(night):
    first, second = ({row[1]: row[4:6] for row in rows(night, "map_images", run)} for run in ("r2", "r3"))
    stood = first.keys() - {night.gone, night.changed}
    assert len(first) == manifest.read(night.place, "embeddings", "r2").rows
    assert {uri: second[uri] for uri in stood} == {uri: first[uri] for uri in stood}
    assert second.keys() == (stood | {*night.came, night.changed}) and np.isfinite(list(second.values())).all()
    told = [manifest.read(night.place, "reports", run) for run in ("r2", "r3")]
    assert [made.details["map_run"] for made in told] == ["r2", "r2"]
    assert len({made.one(end=".safetensors").sha256 for made in told}) == 1


def test_the_page_tells_the_night(night):
    first, second = page(night, "r2"), page(night, "r3")
    assert "first night of this model" in first and f"{night.n_broken:,} rejected" in first
    assert "<h3>truncated" in first and "None of" in first + second or "image/webp" in second
    for name, n in (("new", 4), ("changed", 1), ("removed", 1)):
        assert f"<dt>{name}</dt><dd>{n}</dd>" in second
    assert "<h3>lion</h3>" in second and "<h3>lion + tulip</h3>" in second and "no such word" not in second
    assert "labels were tested" in second and "at 3.6 USD an hour" in second and 'class="dots"' in second
    assert second.count("data:image/webp;base64,") > 24


def test_the_page_is_part_of_the_publication_and_sound(night):
    live = pointer.published(night.place)
    assert [live.runs(table) for table in ("reports", "label_counts", "map_images")] == [["r3"]] * 3
    found = {checked.table: checked.faults for checked in verify.verify(night.place, "r3")}
    assert found["reports"] == found["label_counts"] == found["map_images"] == []


def test_devise_report_writes_the_page_and_the_map(night, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["report", "--warehouse", night.place])
    assert (tmp_path / "night-r3.html").read_text() == page(night, "r3")
    cli.main(["report", "--warehouse", night.place, "--run", "r2", "--out", "one.html"])
    assert (tmp_path / "one.html").read_text() == page(night, "r2")
    cli.main(["report", "--warehouse", night.place, "--atlas", "map.parquet"])
    found = duckdb.sql(f"SELECT count(*), count(thumbnail), count(x) FROM '{tmp_path}/map.parquet'").fetchone()
    assert found == (len(rows(night, "map_images", "r3")),) * 3
    ids = duckdb.sql(f"SELECT image_id, uri FROM '{tmp_path}/map.parquet'").fetchall()  # text: no number in JavaScript
    assert sorted(ids) == sorted((str(row[0]), row[1]) for row in rows(night, "map_images", "r3"))
    (kind,) = set(duckdb.sql(f"SELECT thumbnail[9:12] FROM '{tmp_path}/map.parquet'").fetchall())
    assert kind == (b"WEBP",)  # bytes that say what they are: the viewer asks for nothing else
    assert "embedding-atlas map.parquet --x x --y y --text label --image thumbnail" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "--warehouse", night.place, "--run", "r0"])
    assert ended.value.code == 2 and "run r0 has no page" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [(["image:/a.jpg"], ConfigError, "wanted words"), (["lion +"], VocabularyError, "lion")],
)
def test_words_that_are_none_are_refused_before_anything_is_made(night, words, error, said):
    config = report_run.JOB.config(warehouse=night.place, run="r4", words=words)
    with pytest.raises(error, match=said):
        report.foresee(config, None, [])


def test_a_missing_library_is_told_by_name(monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"found no altair, vl_convert, openTSNE, wanted: pip install 'devise\[report\]'"
    ):
        report.foresee(report_run.JOB.config(warehouse="w", run="r1"), None, [])


def test_a_page_needs_a_labelled_night(night, spark):
    with pytest.raises(ManifestError, match="label_images makes it|catalog_images makes it"):
        job.perform(report_run.JOB, spark, report_run.JOB.config(warehouse=night.place, run="r4"))
