"""Contact sheets for words and sums of words: a word's own list, and this run's index for all else; no pictures yet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from devise.errors import VocabularyError
from devise.search import query, vocabularies
from devise.search.query import Query
from devise.spark.frame.job import Task
from devise.spark.stages import search

if TYPE_CHECKING:
    from devise.show.nightly.facts import Sheet

PICTURES = 10


def find(task: Task) -> "list[Sheet]":
    """A sheet a query of the settings, in order; none for those with a word that the vocabulary lacks."""
    from devise.show.nightly.facts import Sheet

    known = vocabularies.read_labels(task.config.warehouse, task.input("vocabulary"))
    asked = [query.parse(text) for text in task.config.words]
    label_ids = {one: [known.find_one(term.text) for term in one.terms] for one in asked}
    asked = [one for one in asked if None not in label_ids[one]]
    words = {one: known.labels[label_ids[one][0]] for one in asked if one.kind == "word"}
    listed, summed = _lists(task, sorted(set(words.values()))), _sums(task, [one for one in asked if one not in words])
    shows = _shown(task, [image_id for images in listed.values() for image_id, *_ in images])
    found = []
    for one in asked:
        images, told = listed.get(words[one], []) if one in words else summed.get(one.text, []), ""
        if one in words and not images:
            told = "The label has no list: it is denied, or no lists are made."
        elif one in words and not any((image_id, words[one]) in shows for image_id, *_ in images):
            images, told = [], f"None of the {len(images)} images that are nearest has it among its labels."
        elif one not in words and not images:
            told = "This run has no index to search for a sum."
        found.append(Sheet(one.text, [_tile(uri, score) for _, uri, score in images], told))
    return found


def _lists(task: Task, labels: Sequence[str]) -> dict[str, list[tuple[int, str, float]]]:
    """Label -> (image_id, uri, cosine) of its first images, out of the lists of this run."""
    if not task.inputs["word_images"] or not labels:
        return {}
    rows = task.read("word_images").where(F.col("label").isin(list(labels)) & (F.col("rank") <= PICTURES))
    found: dict[str, list] = {}
    for row in rows.select("label", "rank", "image_id", "uri", "score").orderBy("label", "rank").collect():
        found.setdefault(row.label, []).append((row.image_id, row.uri, row.score))
    return found


def _shown(task: Task, image_ids: Sequence[int]) -> set[tuple[int, str]]:
    """(image_id, label) of what these images are told to show, answers with it."""
    if not image_ids:
        return set()
    rows = task.read("labels").where(F.col("image_id").isin(list(image_ids))).select("image_id", "label", "answer")
    return {(row.image_id, label) for row in rows.collect() for label in (row.label, row.answer)}


def _sums(task: Task, asked: Sequence[Query]) -> dict[str, list[tuple[int, str, float]]]:
    """Query -> (image_id, uri, cosine) of the nearest images; none where this run has no index."""
    index = task.inputs["index"]
    if not asked or not index or index[-1].run != task.config.run:
        return {}
    warehouse, words, model = task.config.warehouse, task.input("vocabulary"), task.input("model")
    search.refuse_other_model(index, task.model_id)
    answered, vectors = [], []
    for one in asked:
        try:
            vectors += search.query_vectors(task.spark, [one], warehouse, words, None, model)
            answered.append(one)
        except VocabularyError:  # its words cancel out: a sheet without pictures says so
            continue
    found: dict[str, list] = {}
    rows = search.search_shards(task.spark, answered, vectors, warehouse, index, PICTURES).collect() if answered else []
    for row in rows:
        found.setdefault(row.query, []).append((row.image_id, row.uri, row.score))
    return found


def _tile(uri: str, score: float):
    from devise.show.nightly.facts import Tile

    return Tile(uri, f"{score:.2f}", ["/".join(uri.rsplit("/", 2)[-2:])])
