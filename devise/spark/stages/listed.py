"""Answers to many queries: single words from the lists of images that labels have, all else by the index."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from devise.search import vocabularies, wordlists
from devise.search.query import Query
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task
from devise.spark.stages import search


def find_images(task: Task) -> DataFrame:
    """schemas.RESULTS of the job's queries, the k best images of each.

    A word that is a label is answered by the newest lists that this run has or builds on: exactly, by relevance. What
    is wanted beyond a list's length follows from the index, none twice.

    Raises:
        VocabularyError: a query cannot be answered, or is a label that is denied.
    """
    config, model, known_run = task.config, task.input("model"), task.input("vocabulary")
    search.refuse_other_model(task.inputs["index"], task.model_id)
    queries = search.read_queries(config)
    label_ids = listed_words(task, queries)
    lists = task.inputs["word_images"][-1] if label_ids else None
    n_told = lists.config["images_per_label"] if lists else 0
    beyond = n_told if config.k > n_told else 0  # of what a list holds all may come again
    rest = [row for row in range(len(queries)) if row not in label_ids or beyond]
    vectors = search.query_vectors(
        task.spark, [queries[row] for row in rest], config.warehouse, known_run, config.vectors, model
    )
    found = None
    if rest:
        asked, index = [queries[row] for row in rest], task.inputs["index"]
        found = search.search_shards(task.spark, asked, vectors, config.warehouse, index, config.k + beyond)
    if not label_ids:
        return found
    told = listed_images(task, queries, label_ids)
    if found is not None:
        found = found.join(told.select("query", "image_id"), on=["query", "image_id"], how="left_anti")
        told = told.withColumn("_first", F.lit(0)).unionByName(found.withColumn("_first", F.lit(1)))
        order = Window.partitionBy("query").orderBy("_first", "rank")
        told = told.withColumn("rank", F.row_number().over(order)).drop("_first")
    places = [(row, asked.text) for row, asked in enumerate(queries)]
    numbers = F.broadcast(task.spark.createDataFrame(places, "number int, query string"))
    told = told.where(F.col("rank") <= config.k).join(numbers, on="query")
    return told.orderBy("number", "rank").select(schemas.RESULTS.names)


def listed_words(task: Task, queries: Sequence[Query]) -> dict[int, int]:
    """Number of a query -> label_id, of the words whose label has a list.

    Raises:
        VocabularyError: a label is denied.
    """
    if not task.inputs["word_images"] or not task.inputs["word_images"][-1].rows:
        return {}
    lists = task.inputs["word_images"][-1]
    if lists.vocabulary_id != task.vocabulary_id or lists.model_id != task.model_id:
        return {}
    known = vocabularies.read_labels(task.config.warehouse, task.input("vocabulary"))
    words = {row: known.find_one(one.terms[0].text) for row, one in enumerate(queries) if one.kind == "word"}
    wanted = {row: label_id for row, label_id in words.items() if label_id is not None}
    if not wanted:
        return {}
    rows = read_lists(task).where("rank = 1").select("label_id")
    asked = task.spark.createDataFrame([(label_id,) for label_id in set(wanted.values())], "label_id int")
    having = {row.label_id for row in rows.join(F.broadcast(asked), on="label_id").collect()}
    for row, label_id in wanted.items():
        if label_id not in having:
            wordlists.refuse_denied(queries[row].text, label_id, known, lists)
    return {row: label_id for row, label_id in wanted.items() if label_id in having}


def listed_images(task: Task, queries: Sequence[Query], label_ids: Mapping[int, int]) -> DataFrame:
    """schemas.RESULTS of these queries, as their labels' lists have them; a recall of 1, and no lists to visit."""
    told = [(queries[row].text, queries[row].kind, label_id) for row, label_id in label_ids.items()]
    asked = F.broadcast(task.spark.createDataFrame(told, "query string, kind string, label_id int"))
    visited = F.lit(None).cast("int").alias("nprobe"), F.lit(1.0).alias("recall")
    return read_lists(task).join(asked, on="label_id").select("*", *visited).select(schemas.RESULTS.names)


def read_lists(task: Task) -> DataFrame:
    """schemas.WORD_IMAGES of the newest lists."""
    newest = task.inputs["word_images"][-1:]
    return tables.read(task.spark, task.config.warehouse, newest, schemas.WORD_IMAGES)
