"""The label stage: every embedding's best words, exactly, and every word's best images, from the same products.

The mathematics is `devise.search.labelling`, `reaching` and `wordimages`.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.accumulators import Accumulator
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from devise.config import LabelConfig
from devise.errors import AccountingError
from devise.search import vocabularies
from devise.search.evidence import EVIDENCE, SEEN_PENALTY
from devise.search.wordimages import order
from devise.spark.frame import parts, progress, schemas, tables
from devise.spark.frame.columns import classes, refuse_other_dims, vectors
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import Change, count_live, few, find_change, read_live
from devise.spark.frame.metering import counted, tally
from devise.spark.frame.spread import spread
from devise.spark.frame.tables import Written
from devise.spark.stages import floors, wordimages
from devise.spark.stages.wordimages import Merging
from devise.store import scratch
from devise.warehouse.manifest import File, Manifest

if TYPE_CHECKING:
    import numpy as np

    from devise.search.labelling import Labels
    from devise.words.vocabulary import Vocabulary

LABELLED = StructType(schemas.LABELS.fields[:11])
MADE = StructType([*LABELLED.fields, *wordimages.CHUNKS.fields])
"""A row is a label of an image, or a chunk of entries for the lists of images a label."""
ROWS_PER_FILE = 4_000_000
"""Of a sorted table of labels, at least half of them: 100 MB."""


def label_images(
    embeddings: DataFrame,
    config: LabelConfig,
    vocabulary: Manifest,
    model: Manifest,
    floor_V: "np.ndarray | None" = None,
    done: Accumulator | None = None,
) -> DataFrame:
    """The k best labels of each image by `search.labelling`, by rank, ties to the lower label_id; and, of the same
    products, what reaches the floors of the lists of images a label.

    Args:
        embeddings: schemas.EMBEDDINGS.
        floor_V: float32, by place in alphabetical order; None for no lists.
        done: a `tally` of images labelled.

    Returns:
        MADE, in no order.
    """

    def rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import labelling
        from devise.search.reaching import Passed

        labeller = labelling.open_labeller(config, vocabulary, model)
        listed = floor_V is not None
        passed = Passed(labeller.ranker, floor_V, order(labeller.known.labels)) if listed else None
        step = passed.rows_at_a_time if listed else None
        for batch in floors.in_steps(batches, step):
            embedding_ND = vectors(batch.column("embedding"))
            refuse_other_dims(embedding_ND.shape[1], labeller.known.vectors.shape[1])
            found = labeller.label(embedding_ND, *classes(batch), config.k, passed.see if listed else None)
            if done is not None:
                done.add({progress.IMAGES: batch.num_rows})
            yield _padded(label_rows(batch, found, labeller.known))
            if listed:
                passed.name(batch.column("image_id"), batch.column("uri"))
                yield from map(_padded, floors.send(passed, floors.SENT_ROWS))
        if listed:
            yield from map(_padded, floors.send(passed, 1))

    wanted = embeddings.select("image_id", "uri", "embedding", "class_ids", "class_probabilities")
    return wanted.mapInArrow(counted(rank), MADE)


def _padded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """MADE: the columns that a batch lacks are null."""
    names = batch.schema.names
    columns = [
        batch.column(field.name) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in to_arrow_schema(MADE)
    ]
    return schemas.record_batch(columns, MADE)


def label_rows(batch: pa.RecordBatch, found: "Labels", known: "Vocabulary") -> pa.RecordBatch:
    """LABELLED: a row an image and rank, the answer on the first of each."""
    import numpy as np

    n, width = found.label_id_NK.shape
    each = pa.array(np.repeat(np.arange(n), width))
    rank = np.tile(np.arange(1, width + 1, dtype=np.int32), n)
    ids = found.label_id_NK.reshape(-1)
    answers = [known.labels[number] if number >= 0 else None for number in found.answer_id_N]
    sure = pa.array(found.answer_probability_N, mask=found.answer_id_N < 0)
    on_first = [
        pa.array(column).cast(kind).take(pa.array(np.repeat(np.arange(n), width), mask=rank > 1))
        for column, kind in ((answers, pa.string()), (found.answer_synsets, pa.string()), (sure, pa.float32()))
    ]
    probability = found.probability_NK
    columns = [
        batch.column("image_id").take(each),
        batch.column("uri").take(each),
        pa.array(rank),
        pa.array([known.labels[number] for number in ids], pa.string()),
        pa.array([known.synsets[number] for number in ids], pa.string()),
        pa.array(found.score_NK.reshape(-1)),
        pa.array(found.relevance_NK.reshape(-1)),
        pa.nulls(n * width, pa.float32()) if probability is None else pa.array(probability.reshape(-1)),
        *on_first,
    ]
    return schemas.record_batch(columns, LABELLED)


def write_labels(task: Task) -> None:
    """Label what is live from tonight, copy the labels of what stays live, and write both; and each label's images.

    The copy is a filter without a shuffle: files come out as they were, small ones one behind the other. New rows come
    in files of their own, sorted by image_id and rank; a night whose embeddings are a base sorts all of it again. Where
    the labels before are of another model or vocabulary, of other settings or of other images than the change starts
    from, all that is live is labelled.

    Raises:
        AccountingError: the rows are not those of all that is live: each image has the k best of the candidates, each
            label the images that are told, or all.
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
    vocabulary, files = task.input("vocabulary"), []
    lists, floor_V = floors.begin_lists(task, before, embeddings, n_live)
    done = tally(task.spark.sparkContext)
    made = label_images(embeddings, config, vocabulary, task.input("model"), floor_V, done)
    made = identify(made, task.model_id, task.vocabulary_id)
    if before is None or embedded.base:
        made, n_rows, name = made.unionByName(kept, allowMissingColumns=True), n_live * config.k, "part"
    else:
        n_rows, name = n_new * config.k, "new"
        with task.named("copy labels that stand"):
            files = tables.write(kept, task.folder("labels"), schemas.LABELS, "kept").files
    if before is not None and lists is not None and change.n_lost:
        chunks = floors.lost_chunks(change.lost, len(lists.ranges))
        made = made.unionByName(chunks, allowMissingColumns=True)
    with progress.told("label_images", n_new, progress.counted_by(done)), task.named("label images"):
        found = write_made(task, made, n_rows, name, lists)
    written = task.written["labels"] = Written(schemas.LABELS.names, [*files, *found])
    n_images = n_kept + n_new
    width = min(config.k, vocabulary.rows)
    if config.candidates is not None:  # two names of one label are one candidate, which the vocabulary's words tell
        width = min(width, written.rows // max(1, n_images))
    if written.rows != width * n_images:
        raise AccountingError(
            f"{written.rows} label rows of {n_images} images, {n_new} of them new, wanted {width} an image"
        )
    task.details |= {"n_images": n_images, "labelled": n_new, "labelled_by": labelled_by(task)}
    say("label_images", f"{n_new:,} images labelled, {n_kept:,} carried from the run before")


def labelled_by(task: Task) -> str:
    """A text that changes with what labels rest on beside model, vocabulary and settings.

    That is the hierarchy, the calibration, the list of what is denied, and the weights of relevance.
    """
    model, words, denied = task.input("model"), task.input("vocabulary"), vocabularies.find_denied(task.config.deny)
    named = [file for file in model.files if file.path.endswith(vocabularies.CALIBRATION)]
    named += [file for file in words.files if file.path.startswith(vocabularies.HYPERNYMS)]
    weights = f"{EVIDENCE:g} {SEEN_PENALTY:g}"
    return " ".join([*(file.sha256 for file in named), scratch.hash_file(denied) if denied else "none", weights])


def _labels_before(task: Task, change: Change | None) -> Manifest | None:
    """The labels that tonight's change can be added to, or None.

    Nothing is added to the labels of fewer images than are new: floors of the lists that were found among few let too
    many of many through.
    """
    before = task.inputs["labels"][-1] if task.inputs["labels"] else None
    if before is None or change is None or before.inputs["images"][0].split()[0] != change.since:
        return None
    if change.n_gained > before.details["n_images"]:
        return None
    of = (task.model_id, task.vocabulary_id, task.config.config_hash(), labelled_by(task))
    told = before.details.get("labelled_by")
    return before if (before.model_id, before.vocabulary_id, before.config_hash, told) == of else None


def identify(made: DataFrame, model_id: str, vocabulary_id: str) -> DataFrame:
    """MADE, and by which model and vocabulary."""
    return made.select("*", F.lit(model_id).alias("model_id"), F.lit(vocabulary_id).alias("vocabulary_id"))


def write_made(task: Task, made: DataFrame, n_rows: int, name: str, lists: Merging | None) -> list[File]:
    """Write labels, sorted by image_id and rank, so that a look-up by id reads few row groups; and the lists.

    Both from one shuffle, so that no product is computed twice. Image ids are a hash, as many in each stretch: where a
    row goes is known without a look at the others.

    Args:
        made: MADE, with model_id and vocabulary_id.
        n_rows: about how many of them are labels. name: how the names of their files begin.

    Returns:
        The files of labels; those of the lists are in `task.written`.

    Raises:
        AccountingError: the files do not hold the labels that were made.
    """
    bits = max(0, (n_rows // ROWS_PER_FILE).bit_length())
    ranges = lists.ranges if lists is not None else range(0)
    begun = task.spark.createDataFrame([(number, b"") for number in ranges], wordimages.CHUNKS)
    is_label, folder = F.col("chunk").isNull(), task.folder("labels")
    given = Observation("given")
    made = made.observe(given, F.count(F.when(is_label, 1)).alias("labels"))
    made = made.unionByName(begun, allowMissingColumns=True)
    stretch = F.shiftright("image_id", 63 - bits).cast("int")  # of a number that has 63 bits
    made = made.withColumn("_place", F.when(is_label, stretch).otherwise(F.col("range") + 2**bits))
    placed = spread(made, "_place", 2**bits + len(ranges)).drop("_place").sortWithinPartitions("image_id", "rank")

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                batches = chain([batch], batches)
                if batch.column("chunk").null_count:
                    rows = (labels.select(schemas.LABELS.names) for labels in batches)
                    for receipt in parts.write_parts(rows, folder, schemas.LABELS, name):
                        yield wordimages.folded(receipt, "labels")
                else:
                    yield from lists.write(batches)

    found = placed.mapInArrow(counted(write), wordimages.FOLDED).collect()
    files = tables.receipts([row for row in found if row.table == "labels"])
    n_given = given.get.get("labels", 0)  # where Spark knows beforehand that there are none, it observes nothing
    if (n_written := sum(file.rows for file in files)) != n_given:
        raise AccountingError(f"{folder}: {n_written} rows in the files, {n_given} rows were written")
    task.written["word_images"] = floors.fill_short(task, lists, [row for row in found if row.table != "labels"])
    return files or [tables.empty_file(folder, schemas.LABELS)]
