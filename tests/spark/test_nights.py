"""Nights after rollbacks, discards and gates, on real pictures: what was live, and what each night was built on.

`pytest -s tests/spark/test_nights.py` prints the table.
"""

from shutil import copytree

import numpy as np
import pytest
from same_tables import compare_tables, live, same_live_tables
from week import NIGHT, perform

from devise.errors import GateError, ManifestError
from devise.jobs import label_images
from devise.sample.book import draw
from devise.sample.demo import SAMPLE
from devise.spark.frame import job
from devise.store import storage
from devise.warehouse import manifest, pointer, upkeep

NOUNS = ("lion", "tulip", "castle", "ferry")
TABLES = ("catalog_images", "embed_images", "label_images", "publish_run")
ALL = (*TABLES[:3], "build_index", "search_images", "evaluate_model", "publish_run")


class Warehouse:
    """A corpus of drawn pictures and the nights over it."""

    def __init__(self, spark, folder, jobs):
        self.jobs = jobs
        self.spark, self.corpus, self.place = spark, folder / "corpus", str(folder / "warehouse")
        self.table: list[tuple[str, str, str]] = []
        for number in range(20):
            self.draw(number)
        self.sections = {
            "build_vocabulary": {"vectors": str(SAMPLE / "vectors.vec.gz"), "hierarchy": str(SAMPLE / "nouns.tsv.gz")},
            "train_model": {
                **{"architecture": "small_cnn", "resize": 32, "crop": 32, "core_epochs": 3},
                "labelled": {"source": str(self.corpus)},
            },
            "catalog_images": {"sources": [str(self.corpus)]},
            "embed_images": {"engine": {"precision": "fp32"}},
            "search_images": {"queries": ["lion", "tulip + castle"]},
            "evaluate_model": {"recall_queries": 5},
            "publish_run": {"min_recall": 0 if jobs == TABLES else 0.9},
        }

    def draw(self, number, seed=None):
        path = self.corpus / NOUNS[number % 4] / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(NOUNS[number % 4], np.random.default_rng(number if seed is None else seed), 48).save(path)
        return path

    def night(self, run, jobs=None, place=None, train=False, **altered):
        """The manifests of a night; its line in the table says what was live and what it read."""
        place, jobs = place or self.place, [*NIGHT[:2] * train, *(jobs or self.jobs)]
        before = pointer.read(place)
        sections = {name: self.sections.get(name, {}) | altered.get(name, {}) for name in NIGHT}
        made = perform(self.spark, place, run, sections, jobs)
        built_on = {table: runs(place, run, table) for table in ("embeddings", "labels", "index", "model")}
        self.say(f"night {run}", before, ", ".join(f"{table} {names}" for table, names in built_on.items()))
        return made

    def say(self, what, published, built_on):
        self.table.append((what, published.describe() if published else "nothing", built_on))


def runs(place, run, table):
    """The runs of a table that a run's own tables name as their input."""
    maker = {"embeddings": "labels", "labels": "labels", "index": "index", "model": "embeddings"}[table]
    made = manifest.find(place, maker, run)
    return " ".join(name.split()[0] for name in made.inputs[table]) if made else "-"


@pytest.mark.parametrize("jobs", [TABLES, pytest.param(ALL, marks=pytest.mark.slow)], ids=["tables", "index too"])
def test_nights_build_on_what_is_live_whatever_was_published_and_left(spark, tmp_path, capsys, jobs):
    at = Warehouse(spark, tmp_path, jobs)
    at.night("n1", train=True)
    model = manifest.read(at.place, "model", "n1").model_id

    # A bad model is published and rolled back, then three nights without training: the good one, and none of n2's.
    at.draw(20)
    bad = at.night("n2", train=True, train_model={"seed": 9, "core_epochs": 1})
    assert bad["model"].model_id != model and bad["embeddings"].details["attempted"] == 21
    at.say("rollback", pointer.read(at.place), "; ".join(upkeep.rollback(at.place)))
    with pytest.raises(GateError, match="run n2 was discarded .rollback to publication 1."):
        at.night("n2")  # a scheduler that tries again
    third = at.night("n3")
    assert third["embeddings"].model_id == model and third["embeddings"].details["attempted"] == 1
    assert [run.split()[0] for run in third["labels"].inputs["embeddings"]] == ["n1", "n3"]
    assert third["labels"].inputs["labels"][0].startswith("n1 ") and third["labels"].details["labelled"] == 1
    at.draw(21)
    fourth = at.night("n4")
    assert (fourth["embeddings"].details["attempted"], fourth["embeddings"].model_id) == (1, model)
    fifth = at.night("n5")
    assert fifth["embeddings"].details["attempted"] == 0
    assert pointer.read(at.place).runs("embeddings") == ["n1", "n3", "n4", "n5"]

    # A listing that lost half is held back, with the number; the next night has it all again.
    half = sorted(at.corpus.rglob("*.jpg"))[::2]
    kept = {path: (path.read_bytes(), path.stat()) for path in half}
    [path.unlink() for path in half]
    at.draw(22)
    with pytest.raises(GateError, match=r"11 of 22 live images are no longer listed \(50.0%\), .* 10.0%.*removed=11"):
        at.night("n6")
    at.say("n6 lost half", pointer.read(at.place), "held back: 11 of 22 live images are no longer listed")
    assert pointer.read(at.place).run == "n5"
    for path, (content, stat) in kept.items():
        path.write_bytes(content)
        storage.os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    # The night after one that was held back: its one embedding is not paid for twice, its labels are not live.
    seventh = at.night("n7")
    assert seventh["embeddings"].details["attempted"] == 0
    assert [run.split()[0] for run in seventh["labels"].inputs["embeddings"]][-2:] == ["n6", "n7"]
    assert seventh["labels"].inputs["labels"][0].startswith("n5 ") and seventh["labels"].details["labelled"] == 1

    # A night whose embeddings are discarded before it is published.
    at.draw(23)
    at.night("n8", ("catalog_images", "embed_images"))
    at.say("discard", pointer.read(at.place), upkeep.discard(at.place, "n8"))
    ninth = at.night("n9")
    assert ninth["embeddings"].details["attempted"] == 1
    assert "n8" not in pointer.read(at.place).runs("embeddings")

    # Embed failed and the next step is started all the same: nothing is made, and the run can still be finished.
    at.night("na", ("catalog_images",))
    with pytest.raises(ManifestError, match="label_images needs plan and found no committed run; embed_im"):
        job.perform(label_images.JOB, spark, label_images.JOB.config(warehouse=at.place, run="na"))
    at.say("na: labels without embed", pointer.read(at.place), "refused: embed_images makes them")
    assert manifest.find(at.place, "labels", "na") is None
    at.night("na")

    # What was removed on purpose is said so, by its number.
    [path.unlink() for path in half[:4]]
    with pytest.raises(GateError, match="4 of 24 live images are no longer listed"):
        at.night("nb")
    with pytest.raises(GateError, match="4 of 24"):
        at.night("nb", ("publish_run",), publish_run={"accept_removed": 3})
    at.night("nb", ("publish_run",), publish_run={"accept_removed": 4})
    assert pointer.read(at.place).run == "nb"
    at.night("nb", ("publish_run",))  # a scheduler that tries again is not asked for the number

    anew = tmp_path / "anew"
    for table in ("vocabulary", "model", "features"):
        if (tmp_path / "warehouse" / table / "run=n1").exists():
            copytree(tmp_path / "warehouse" / table / "run=n1", anew / table / "run=n1")
    at.night("nb", place=str(anew))
    same = same_live_tables if jobs == ALL else lambda *places: compare_tables(*map(live, places))
    compared = same(at.place, str(anew))
    with capsys.disabled():
        print("\n" + "\n".join(" | ".join(line) for line in [("what", "live", "built on"), *at.table]))
        print(f"against a run from scratch: {compared}")
