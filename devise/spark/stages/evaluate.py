"""hit@k and hp@k of the model on labelled images, and recall@k of the index; the figures themselves are `metrics`."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.config import EvaluateConfig
from devise.errors import TrainingError, VocabularyError
from devise.facts import shipped
from devise.learning.metrics import interval
from devise.search import shards
from devise.spark.frame import schemas, tables
from devise.spark.frame.columns import refuse_other_dims, vectors
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import find_live, read_embeddings
from devise.spark.frame.metering import counted
from devise.spark.stages import recall
from devise.spark.stages.labelled import labelled_images
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

RECALL_SETTINGS = ("recall_queries", "seed")
"""Settings that decide which queries recall is measured with."""
SCORED = StructType(
    [
        StructField("name", schemas.TEXT),
        StructField("k", schemas.INT),
        StructField("value", schemas.DOUBLE),
    ]
)
"""One image's share of one metric: 1 or 0 of a hit, a precision of hp."""


def evaluate_split(task: Task, live: DataFrame, number: int, vocabulary: Manifest) -> list[tuple]:
    """hit@k (and hp@k with a hierarchy) of one labelled set among the embedded images, as rows of schemas.METRICS.

    Args:
        live: the rows of `find_live`.
        number: the split's place among those of the settings.

    Raises:
        TrainingError: no labelled image is among the embedded ones, or no label is known.
    """
    config: EvaluateConfig = task.config
    split = config.splits[number]
    labelled = labelled_images(task.spark, split.labelled).select("image_id", "uri", "texts")
    chosen = task.stage(live.join(labelled, on=["image_id", "uri"], how="inner"), f"split-{number}-live")
    joined = read_embeddings(task, chosen).join(chosen.select("image_id", "texts"), on="image_id", how="inner")
    joined = task.stage(joined.select("embedding", "texts"), f"split-{number}")
    given = None
    if split.candidates == "given":
        given = [row.texts for row in joined.select("texts").distinct().collect()]  # a few thousand names at most
    elif split.candidates != "vocabulary":
        given = [[text] for text in split.candidates]
    scored = score_images(joined, config, vocabulary, split.labelled.kind == "wnids", given)
    found = scored.groupBy("name", "k").agg(F.avg("value").alias("value"), F.count("*").alias("n")).collect()
    if not found:
        raise TrainingError(f"split {split.name}: no labelled image is among the embedded ones, or no label is known")
    return [
        (
            row["name"],
            split.name,
            row.k,
            row.value,
            *interval(row.value, row.n),
            row.n,
            task.model_id,
            task.vocabulary_id,
        )
        for row in sorted(found, key=lambda row: (row["name"], row.k))
    ]


def refuse_unknown_candidates(config: EvaluateConfig, vocabulary: Manifest) -> None:
    """`VocabularyError` if a split lists a candidate that no label is found for: it would be left out unseen."""
    from devise.words import vocabulary as vocabularies

    for split in config.splits:
        if isinstance(split.candidates, list):
            known = vocabularies.load(manifest.localise_one(config.warehouse, vocabulary, end=".parquet"))
            try:
                known.find(split.candidates)
            except VocabularyError as error:
                raise VocabularyError(f"split {split.name}: {error}") from None


def score_images(
    labelled: DataFrame,
    config: EvaluateConfig,
    vocabulary: Manifest,
    alternatives: bool,
    given: Sequence[list[str]] | None,
) -> DataFrame:
    """SCORED: what each image (embedding, texts) adds to each metric; images without a known label add nothing."""
    warehouse, ks, hierarchy = config.warehouse, sorted(config.ks), config.hierarchy

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.learning import evaluation
        from devise.words import vocabulary as vocabularies

        known = vocabularies.load(manifest.localise_one(warehouse, vocabulary, end=".parquet"))
        tree = shipped.find("hierarchy", hierarchy)
        if hierarchy and tree is None:
            tree = scratch.localise_table(storage.normalise(hierarchy))
        scorer = evaluation.Scorer(known, ks, tree, given, alternatives)
        for batch in batches:
            if batch.num_rows:
                embedding_ND = vectors(batch.column("embedding"))
                refuse_other_dims(embedding_ND.shape[1], known.vectors.shape[1])
                found = scorer.score(embedding_ND, batch.column("texts").to_pylist())
                yield schemas.record_batch([pa.array(column) for column in zip(*found, strict=True)] or _none(), SCORED)

    return labelled.mapInArrow(counted(score), SCORED)


def evaluate_index(task: Task, embeddings: DataFrame, vocabulary: DataFrame, chain: Sequence[Manifest]) -> list[tuple]:
    """recall@k by query kind over a chain of runs, as rows of schemas.METRICS; the figures go into the manifest too."""
    config: EvaluateConfig = task.config
    newest, parts = chain[-1], shards.in_warehouse(config.warehouse, chain)
    refuse_other_dims(newest.details["dim"], task.input("vocabulary").details["dim"])
    queries = recall.draw_queries(embeddings, vocabulary, config.recall_queries, config.seed, "measure")
    exact = recall.exact_neighbours(embeddings, queries, 10)
    by_k = recall.measure_recall(task.spark, queries, exact, parts, newest.details["nprobe"], (1, 10))
    task.details |= {"recall": {}, "recall_of": newest.details["base"]}
    rows = []
    for k, found in by_k.items():
        task.details["recall"][str(k)] = {kind: value for kind, (value, _) in found.items()}
        rows += [
            ("recall", kind, k, value, *interval(value, n * k), n, task.model_id, task.vocabulary_id)
            for kind, (value, n) in found.items()
        ]
    return rows


def carry_recall(task: Task, chain: Sequence[Manifest]) -> list[tuple] | None:
    """The recall measured before on the chain's base with the same queries, or None: then it has to be measured.

    To measure it reads every embedding; a delta changes the lists' effort no more than its few rows do.
    """
    config, base = task.config.settings(), chain[0].run
    if len(chain) == 1 or not task.inputs["metrics"]:
        return None
    before = task.input("metrics")
    same = all(before.config.get(key) == config[key] for key in RECALL_SETTINGS)
    of = (before.model_id, before.vocabulary_id, before.details.get("recall_of"))
    if not same or of != (task.model_id, task.vocabulary_id, base):
        return None
    say("evaluate_model", f"recall as run {before.run} has it: tonight's index is a delta on the same base, {base}")
    task.details |= {"recall": before.details["recall"], "recall_of": base}
    rows = tables.read(task.spark, task.config.warehouse, [before], schemas.METRICS).where("name = 'recall'")
    return [tuple(row) for row in rows.orderBy("k", "split").collect()]


def evaluate(task: Task) -> DataFrame:
    """All metrics of a run, printed and as a frame (schemas.METRICS)."""
    config: EvaluateConfig = task.config
    refuse_unknown_candidates(config, task.input("vocabulary"))
    chain = shards.chain(task.inputs["index"])
    if chain and chain[-1].run != config.run:
        chain = []  # there was no index built tonight
    carried = carry_recall(task, chain) if chain else None
    rows, live = [], find_live(task)
    if config.splits or (chain and carried is None):
        live = task.stage(live, "live")
    for number in range(len(config.splits)):
        rows += evaluate_split(task, live, number, task.input("vocabulary"))
    if carried is not None:
        rows += carried
    elif chain:
        embeddings = task.stage(read_embeddings(task, live), "embeddings")  # recall reads them several times
        rows += evaluate_index(task, embeddings, task.read("vocabulary"), chain)
    for name, split, k, value, low, high, n, _, _ in rows:
        say("evaluate_model", f"{name:<7} {split:<24} @{k:<3} {value:7.4f}  [{low:.4f}, {high:.4f}]  n = {n:,}")
    return task.spark.createDataFrame(rows, schemas.METRICS)


def _none() -> list[pa.Array]:
    return [pa.array([], pa.string()), pa.array([], pa.int32()), pa.array([], pa.float64())]
