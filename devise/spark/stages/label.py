"""The label stage: every embedding's best words, exactly; the mathematics is `devise.search.ranking`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.accumulators import Accumulator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.errors import AccountingError
from devise.spark.frame import progress, schemas, tables
from devise.spark.frame.columns import classes, refuse_other_dims, vectors
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import Change, count_live, few, find_change, read_live
from devise.spark.frame.metering import counted, tally
from devise.spark.frame.spread import spread
from devise.spark.frame.tables import Written
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

LABELLED = StructType(schemas.LABELS.fields[:7])
ROWS_PER_FILE = 4_000_000
"""Of a sorted table of labels, at least half of them: 100 MB."""


def label_images(
    embeddings: DataFrame,
    warehouse: str,
    vocabulary: Manifest,
    card: Mapping[str, Any],
    k: int,
    candidates: Sequence[str] | None,
    done: Accumulator | None = None,
) -> DataFrame:
    """The k best labels of each image by `search.ranking`, by rank; ties go to the lower label_id.

    Args:
        embeddings: schemas.EMBEDDINGS.
        card: of the model.
        candidates: only these labels, or None for the whole vocabulary.
        done: a `tally` of images labelled.

    Returns:
        schemas.LABELS without model_id and vocabulary_id, in no order.
    """

    def rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.search import vocabularies

        known, ranker = vocabularies.open_ranker(warehouse, vocabulary, card, candidates)
        for batch in batches:
            if batch.num_rows == 0:
                continue
            embedding_ND = vectors(batch.column("embedding"))
            refuse_other_dims(embedding_ND.shape[1], known.vectors.shape[1])
            class_id_NT, probability_NT = classes(batch)
            ranked = ranker.top(embedding_ND, class_id_NT, probability_NT, k)
            label_id_NK = ranked.label_id_NK
            n, width = label_id_NK.shape
            repeated = np.repeat(np.arange(n), width)
            columns = [
                batch.column("image_id").take(pa.array(repeated)),
                batch.column("uri").take(pa.array(repeated)),
                pa.array(np.tile(np.arange(1, width + 1, dtype=np.int32), n)),
                pa.array([known.labels[i] for i in label_id_NK.reshape(-1)], pa.string()),
                pa.array([known.synsets[i] for i in label_id_NK.reshape(-1)], pa.string()),
                pa.array(ranked.score_NK.reshape(-1)),
                pa.array(ranked.relevance_NK.reshape(-1)),
            ]
            if done is not None:
                done.add({progress.IMAGES: n})
            yield schemas.record_batch(columns, LABELLED)

    wanted = embeddings.select("image_id", "uri", "embedding", "class_ids", "class_probabilities")
    return wanted.mapInArrow(counted(rank), LABELLED)


def write_labels(task: Task) -> None:
    """Label what is live from tonight, copy the labels of what stays live, and write both.

    The copy is a filter without a shuffle: files come out as they were, small ones one behind the other. New rows come
    in files of their own, sorted by image_id and rank; a night whose embeddings are a base sorts all of it again. Where
    the labels before are of another model or vocabulary, of other settings or of other images than the change starts
    from, all that is live is labelled.

    Raises:
        AccountingError: the rows are not those of all that is live: each image has the k best of the candidates.
    """
    config, change, embedded = task.config, find_change(task), task.inputs["embeddings"][-1]
    before, n_live = _labels_before(task, change), count_live(embedded)
    if before is None:
        embeddings, n_kept, n_new = read_live(task), 0, n_live
        kept = task.spark.createDataFrame([], schemas.LABELS)
    else:
        lost = few(change.lost.select("image_id"), change.n_lost)
        kept = task.read("labels").join(lost, on="image_id", how="left_anti").select(schemas.LABELS.names)
        embeddings = change.embeddings
        n_kept, n_new = before.details["n_images"] - change.n_lost, change.n_gained
    done = tally(task.spark.sparkContext)
    vocabulary = task.input("vocabulary")
    labels = label_images(embeddings, config.warehouse, vocabulary, read_card(task), config.k, config.candidates, done)
    new = identify(labels, task.model_id, task.vocabulary_id)
    told = progress.told("label_images", n_new, progress.counted_by(done))
    if before is None or embedded.base:
        with told:
            written = task.write("labels", sort_labels(new.unionByName(kept), n_live * config.k))
    else:
        with task.named("copy labels that stand"):
            files = tables.write(kept, task.folder("labels"), schemas.LABELS, "kept").files
        if n_new:
            rows = new.sortWithinPartitions("image_id", "rank")
            with told, task.named("label images"):
                files = [*files, *tables.write(rows, task.folder("labels"), schemas.LABELS, "new").files]
        written = task.written["labels"] = Written(schemas.LABELS.names, files)
    n_images = n_kept + n_new
    width = min(config.k, vocabulary.rows)
    if config.candidates is not None:  # two names of one label are one candidate, which the vocabulary's words tell
        width = min(width, written.rows // max(1, n_images))
    if written.rows != width * n_images:
        raise AccountingError(
            f"{written.rows} label rows of {n_images} images, {n_new} of them new, wanted {width} an image"
        )
    task.details |= {"n_images": n_images, "labelled": n_new}
    say("label_images", f"{n_new:,} images labelled, {n_kept:,} carried from the run before")


def read_card(task: Task) -> dict[str, Any]:
    """What is known of the model, without its weights."""
    path = manifest.localise_one(task.config.warehouse, task.input("model"), end="card.json")
    return json.loads(path.read_text(encoding="utf-8"))


def _labels_before(task: Task, change: Change | None) -> Manifest | None:
    """The labels that tonight's change can be added to, or None."""
    before = task.inputs["labels"][-1] if task.inputs["labels"] else None
    if before is None or change is None or before.inputs["images"][0].split()[0] != change.since:
        return None
    of = (task.model_id, task.vocabulary_id, task.config.config_hash())
    return before if (before.model_id, before.vocabulary_id, before.config_hash) == of else None


def identify(labels: DataFrame, model_id: str, vocabulary_id: str) -> DataFrame:
    """LABELLED to schemas.LABELS: by which model and vocabulary."""
    of = F.lit(model_id).alias("model_id"), F.lit(vocabulary_id).alias("vocabulary_id")
    return labels.select("*", *of).select(schemas.LABELS.names)


def sort_labels(labels: DataFrame, n_rows: int) -> DataFrame:
    """schemas.LABELS sorted by image_id and rank, so that a look-up by id reads few row groups.

    Ids are a hash, as many in each stretch: where a row goes is known without a look at the others.
    """
    bits = max(0, (n_rows // ROWS_PER_FILE).bit_length())
    stretch = F.shiftright("image_id", 63 - bits).cast("int")  # of a number that has 63 bits
    placed = spread(labels.withColumn("_stretch", stretch), "_stretch", 2**bits).drop("_stretch")
    return placed.sortWithinPartitions("image_id", "rank")
