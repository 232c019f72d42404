"""Nights of changes: a label's list of images is that of brute force, to the bit; one that runs dry is filled again."""

import json

import numpy as np
import pytest
from same_tables import table
from test_delta import IMAGE_ID_N, Corpus, unit

from devise.config import LabelConfig, SearchConfig
from devise.errors import AccountingError
from devise.jobs import label_images, search_images
from devise.search import labelling, wordimages
from devise.spark.frame import job, schemas
from devise.spark.stages import wordimages as merging
from devise.store import storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File

TOLD = 10


class Listed(Corpus):
    """Nights that label, too."""

    images_per_label = TOLD

    def _write(self, name, parts, columns, *of, **details):
        super()._write(name, parts, columns, *of, **details)
        if name == "model":
            folder = manifest.folder(self.warehouse, name, self.run)
            content = json.dumps({"seen": [], "class_synsets": []}).encode()
            storage.write_bytes(f"{folder}/made/card.json", content)
            found = manifest.read(self.warehouse, name, self.run)
            file = File(path="made/card.json", size_bytes=len(content), sha256="0" * 64, rows=-1)
            storage.delete(f"{folder}/_manifest.json")
            manifest.write(self.warehouse, found.model_copy(update={"files": [file]}))

    def build(self, **settings):
        """No index but of one night, whose words are asked."""
        return super().build(**settings) if self.run == "r2" else None

    def label(self):
        self.config = LabelConfig(
            warehouse=self.warehouse, run=self.run, deny="none", images_per_label=self.images_per_label
        )
        return job.perform(label_images.JOB, self.spark, self.config)

    def publish(self, index=None):
        self.made = self.label()
        super().publish(index)

    def assert_lists(self):
        """Of the run: equal to brute force over what is live; its rows."""
        known, model = (manifest.read(self.warehouse, *of) for of in (("vocabulary", "r1"), ("model", self.run)))
        ranker = labelling.open_labeller(self.config, known, model).ranker
        ids = np.array(list(self.live))
        embedding_ND = np.array([self.vectors[pair] for pair in self.live.items()])
        blocks = []
        ranker.top(embedding_ND, None, None, 1, see=lambda block: blocks.append(block.relevance_BW.copy()))
        (relevance_NV,) = blocks
        wanted = []
        for label in wordimages.order([f"noun {number}" for number in range(12)]).tolist():
            best = np.lexsort((ids, -relevance_NV[:, label]))[:TOLD]
            wanted += [
                (
                    f"noun {label}",
                    label,
                    rank,
                    int(ids[row]),
                    f"file:///pictures/{ids[row]}.jpg",
                    relevance_NV[row, label],
                )
                for rank, row in enumerate(best, start=1)
            ]
        rows = table(self.warehouse, "word_images", self.run)
        found = rows.select(["label", "label_id", "rank", "image_id", "uri", "relevance"]).to_pylist()
        assert [tuple(row.values()) for row in found] == wanted
        vectors_VD = labelling.open_labeller(self.config, known, model).known.vectors
        place = {image: row for row, image in enumerate(ids.tolist())}
        score_M = [embedding_ND[place[row["image_id"]]] @ vectors_VD[row["label_id"]] for row in found]
        np.testing.assert_allclose(rows.column("score").to_numpy(), score_M, atol=2e-6)
        assert rows.schema.names == schemas.WORD_IMAGES.names
        return rows

    def assert_words_are_answered_by_lists(self):
        """Two more than a list holds follow from the index; sums are the index's alone."""
        queries, k = ["noun 3", "Noun 5", "noun 1 + noun 2"], TOLD + 2
        config = SearchConfig(warehouse=self.warehouse, run=self.run, queries=queries, k=k)
        job.perform(search_images.JOB, self.spark, config)
        results, lists = (table(self.warehouse, name, self.run).to_pylist() for name in ("results", "word_images"))
        for query, label in zip(queries, ("noun 3", "noun 5", None), strict=True):
            found = sorted((row for row in results if row["query"] == query), key=lambda row: row["rank"])
            listed = [row["image_id"] for row in lists if row["label"] == label]
            assert [row["image_id"] for row in found[:TOLD] if listed] == listed
            assert [row["rank"] for row in found] == list(range(1, k + 1))
            assert len({row["image_id"] for row in found}) == k
            assert {row["recall"] for row in found} == {1.0} and {row["nprobe"] for row in found} == {None}


@pytest.fixture
def corpus(spark, tmp_path):
    return Listed(spark, tmp_path)


def test_lists_are_those_of_brute_force_after_every_night_of_a_week(corpus, capsys):
    ids = IMAGE_ID_N
    twins = unit(np.repeat(np.random.default_rng(3).normal(size=(30, 8)), 2, axis=0))  # ties everywhere
    corpus.night("r1", [(image, "a") for image in ids[:60]], vectors=twins)
    corpus.assert_lists()
    corpus.night("r2", [(ids[0], "b"), (ids[3], "b"), *((image, "a") for image in ids[60:70])], ids[10:14])
    corpus.assert_lists()
    assert "filled again" not in capsys.readouterr().out
    corpus.assert_words_are_answered_by_lists()
    corpus.night("r3", [], ids[20:58])
    corpus.assert_lists()
    assert "lists of images are filled again" in capsys.readouterr().out
    corpus.night("r4", [])
    corpus.assert_lists()
    assert "lists of images" not in capsys.readouterr().out
    corpus.night("r5", [(ids[0], "a"), *((image, "a") for image in ids[20:40])], [ids[1]], anew=True)
    corpus.assert_lists()
    corpus.night("r6", [(image, "c") for image in (*ids[40:58], *ids[70:100])])
    corpus.assert_lists()
    assert "95 images labelled, 0 carried" in capsys.readouterr().out  # more are new than were there
    listed = corpus.made["word_images"]
    assert {file.path.split("-")[0] for file in listed.files} == {"part", "_reserve", "_floors"}
    assert listed.rows == 12 * TOLD and listed.columns == schemas.WORD_IMAGES.names


@pytest.mark.slow
def test_without_lists_the_table_is_empty_and_the_labels_are_the_same(corpus):
    corpus.night("r1", [(image, "a") for image in IMAGE_ID_N[:20]])
    other = Listed(corpus.spark, f"{corpus.warehouse}-other")
    other.images_per_label, vectors = 0, np.array([corpus.vectors[pair] for pair in corpus.live.items()])
    other.night("r1", list(corpus.live.items()), vectors=vectors)
    assert (corpus.made["word_images"].rows, other.made["word_images"].rows) == (12 * TOLD, 0)
    order = [("image_id", "ascending"), ("rank", "ascending")]
    one, another = (table(place.warehouse, "labels", "r1").sort_by(order) for place in (corpus, other))
    assert one.equals(another)


@pytest.mark.slow
def test_a_list_of_another_length_than_is_told_stops_the_night(corpus, monkeypatch):
    monkeypatch.setattr(merging.Merging, "n_told", 7)
    with pytest.raises(AccountingError, match="120 rows, wanted 7 of each label that has a list"):
        corpus.night("r1", [(image, "a") for image in IMAGE_ID_N[:20]])
