"""Progress is told in place on a terminal, as JSON elsewhere, and Spark's UI has our names."""

import io
import json
import time
from pathlib import Path

from pyspark.sql import SparkSession

from devise import telling
from devise.errors import StorageError
from devise.spark.frame import progress
from devise.spark.frame.metering import tally
from devise.spark.frame.progress import Counts
from devise.spark.stages import catalog


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_s_line_has_the_documented_keys():
    told = json.loads(progress.as_json("embed_images", Counts(1_200, 3), 5_000, telling.Speed(310.25, 12.6)))
    assert abs(told.pop("at") - time.time()) < 10
    assert told == {
        "progress": "embed_images", "done": 1_200, "total": 5_000, "rejected": 3, "per_second": 310.2, "left_s": 13,
    }  # fmt: skip
    page = (catalog.__file__.rpartition("/devise/")[0]) + "/docs/operations.md"
    page = Path(page).read_text().replace("\n", " ")
    assert ", ".join(f"`{key}`" for key in ("done", "total", "rejected")) in page


def follow(monkeypatch, stream, **settings):
    """What is written while 100 images are done one after another, the store silent once."""
    monkeypatch.setattr("sys.stderr", stream)
    for name in ("LOG_SECONDS", "TERMINAL_SECONDS", "STORE_SECONDS"):
        monkeypatch.setattr(progress, name, 0.01)
    asked = []

    def count():
        asked.append(1)
        if len(asked) == 3:
            raise StorageError("as made")
        return Counts(len(asked), 0, "words")

    with progress.told("job", 100, count, **settings):
        until = time.monotonic() + 20
        while len(asked) < 10 and time.monotonic() < until:
            time.sleep(0.01)
    return stream.getvalue()


def test_a_terminal_has_one_line_that_is_gone_at_the_end(monkeypatch, capsys):
    written = follow(monkeypatch, Terminal())
    assert "\n" not in written and written.count("\rjob: ") >= 5
    assert "of 100 images" in written and written.endswith("\r\x1b[K")
    assert capsys.readouterr().out == ""


def test_a_log_has_json_alone(monkeypatch, capsys):
    written = follow(monkeypatch, io.StringIO(), words_every_s=0.01)
    assert all(json.loads(line)["total"] == 100 for line in written.splitlines()) and "\r" not in written
    assert "[job] words, about" in capsys.readouterr().out


def test_what_is_said_takes_the_terminal_s_line_away_first(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    telling.show("half way")
    progress.say("job", "committed")
    assert terminal.getvalue() == "\rhalf way\x1b[K\r\x1b[K" and capsys.readouterr().out == "[job] committed\n"


def test_spark_s_jobs_have_our_names_while_the_body_runs(spark: SparkSession):
    context = spark.sparkContext
    with progress.named(context, "outer"), progress.named(context, "label_images", "copy labels"):
        assert context.getLocalProperty("spark.job.description") == "label_images: copy labels"
        spark.range(4).collect()
    assert context.statusTracker().getJobIdsForGroup("label_images")
    assert not context.getLocalProperty("spark.job.description")


def test_a_listing_counts_each_image_once(spark, tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    listed = tally(spark.sparkContext)
    frame = catalog.list_images(spark, [str(tmp_path)], ["*.jpg"], [], listed=listed)
    assert frame.count() == 7 and progress.counted_by(listed)() == Counts(7)
