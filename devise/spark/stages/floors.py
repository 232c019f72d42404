"""Which entries of the lists of images a label come from which tasks: floors, what reaches them, and what is lost.

A task that labels sends what reaches the floors, packed, to the tasks that merge (`wordimages`), one for each range of
labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from devise.errors import AccountingError
from devise.search import vocabularies, wordimages
from devise.search.wordimages import LABELS_A_RANGE
from devise.spark.frame import schemas, tables
from devise.spark.frame.columns import classes, vectors
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, few, find_live, holds_live_alone, read_live
from devise.spark.frame.metering import counted
from devise.spark.frame.spread import spread
from devise.spark.frame.tables import Written
from devise.spark.stages.wordimages import (
    CHUNKS,
    FOLDED,
    Merging,
    chunk_batch,
    kept_by_range,
    read_floors,
)
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np

    from devise.search.reaching import Passed

FLOOR_SEED = 20
"""Of the hash that draws the sample."""
SENT_ROWS = 1 << 17
"""Entries that wait in a task until they are sent: 3 MB."""
SAMPLED_A_TASK = 2_048
LOOKED_AT = ["image_id", "uri", "etag", "embedding", "class_ids", "class_probabilities"]
"""Of embeddings, what tells relevance and which images are live."""
MANY = 8
"""Where more than this part of all labels is filled again, nearly every image reaches one's floor."""
WIDER = 4
"""So much lower a place of the sample is taken each time that a list was not filled."""


def begin_lists(
    task: Task, before: Manifest | None, embeddings: DataFrame, n_live: int
) -> tuple[Merging | None, "np.ndarray | None"]:
    """What the lists of images begin with, and the floors, float32 by place, that tonight's images are to reach.

    Args:
        before: the labels that tonight's are added to, whose lists are too; without any, floors are found in a sample
            of the embeddings, which are all that is live.

    Returns:
        None and None where no lists are wanted.
    """
    config, words = task.config, task.input("vocabulary")
    if config.images_per_label == 0:
        return None, None
    folder, kept = task.folder("word_images"), {}
    if before is not None:
        lists = before.secondary["word_images"]
        kept = kept_by_range(manifest.folder(config.warehouse, lists.table, lists.run), lists.files)
    floor_V = read_floors(kept) if kept else sample_floors(task, embeddings, n_live)
    of = task.model_id, task.vocabulary_id
    return Merging(config, folder, words, *of, n_live, None if kept else floor_V, kept), floor_V


def fill_short(task: Task, lists: Merging | None, found: Sequence[Row]) -> Written:
    """The files of the lists, once those that lost too many images have been filled again from all that is live.

    Args:
        found: FOLDED rows of the files as they were merged.

    Raises:
        AccountingError: a list does not hold the images that are told of each label, or all.
    """
    import numpy as np

    if lists is None:
        folder = task.folder("word_images")
        return Written(schemas.WORD_IMAGES.names, [tables.empty_file(folder, schemas.WORD_IMAGES)])
    everything, widening = None, 1
    while any(row.dry for row in found):
        short = {row.range: row.short for row in found if row.short}
        known = vocabularies.read_labels(lists.config.warehouse, lists.vocabulary)
        places = np.array([number * LABELS_A_RANGE + place for number in short for place in short[number]])
        floor_V = np.full(len(known.labels), np.inf, np.float32)
        floor_V[places] = sample_floors(task, task.read("embeddings"), lists.n_live, widening)[places]
        names = [known.labels[number] for number in wordimages.order(known.labels)[places]]
        say("label_images", f"{len(names):,} lists of images are filled again: {', '.join(names[:3])}")
        if len(names) * MANY <= len(known.labels):
            images = live_of(task, near_images(task, floor_V, names), f"near-{widening}")
        else:
            images = everything = read_live(task) if everything is None else everything
        files = tables.receipts([row for row in found if row.range in short])
        again = replace(lists, floor_V=floor_V, before=kept_by_range(lists.folder, files))
        begun = task.spark.createDataFrame([(number, b"") for number in short], CHUNKS)
        chunks = spread(reaching(task, images, floor_V).unionByName(begun), "range", len(lists.ranges))
        with task.named("fill lists again"):
            anew = chunks.mapInArrow(counted(again.write), FOLDED).collect()
        found = [*(row for row in found if row.range not in short), *anew]
        widening *= WIDER
    written = Written(schemas.WORD_IMAGES.names, tables.receipts(found))
    width = lists.n_told
    if width and written.rows % width:
        raise AccountingError(f"{lists.folder}: {written.rows} rows, wanted {width} of each label that has a list")
    if not any(file.rows >= 0 for file in written.files):
        return Written(written.columns, [*written.files, tables.empty_file(lists.folder, schemas.WORD_IMAGES)])
    return written


def sample_floors(task: Task, embeddings: DataFrame, n_live: int, widening: int = 1) -> "np.ndarray":
    """float32 (V,), by place: floors that let enough images through for full lists, found in a sample of all.

    Args:
        embeddings: those of all that is live, or all there are.
        widening: how many times lower a place of the sample to take than should do.
    """
    import numpy as np

    config, words, model = task.config, task.input("vocabulary"), task.input("model")
    share = wordimages.sampled_share(n_live, config.images_per_label)
    if share == 0:
        return np.full(words.rows, -np.inf, np.float32)
    n = widening * wordimages.place_in_sample(wordimages.length(config.images_per_label), share)

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import labelling
        from devise.search.reaching import Sample

        labeller = labelling.open_labeller(config, words, model)
        sample = Sample(labeller.ranker, n)
        for batch in batches:
            if batch.num_rows:
                labeller.ranker.top(vectors(batch.column("embedding")), *classes(batch), 1, see=sample.see)
        best_VR = sample.best(wordimages.order(labeller.known.labels))
        for number in range(wordimages.count_ranges(words.rows)):
            part_LR = best_VR[number * LABELS_A_RANGE :][:LABELS_A_RANGE]
            yield chunk_batch(number, part_LR.tobytes())

    def settle(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        chunks = [row for batch in batches for row in batch.to_pylist()]
        best_LM = np.concatenate([np.frombuffer(row["chunk"], np.float32).reshape(-1, n) for row in chunks], axis=1)
        yield chunk_batch(chunks[0]["range"], np.partition(best_LM, -n, axis=1)[:, -n].tobytes())

    drawn = embeddings.select(*LOOKED_AT)
    if share < 1:
        drawn = drawn.where(F.xxhash64("image_id", F.lit(FLOOR_SEED)) <= F.lit(int(share * 2**64) - 2**63))
    drawn = live_of(task, drawn, f"sample-{widening}").repartition(max(1, int(share * n_live) // SAMPLED_A_TASK))
    best = spread(drawn.mapInArrow(counted(look), CHUNKS), "range", wordimages.count_ranges(words.rows))
    with task.named("set floors"):
        found = best.mapInArrow(counted(settle), CHUNKS).collect()
    return np.concatenate([np.frombuffer(row.chunk, np.float32) for row in sorted(found, key=lambda row: row.range)])


def live_of(task: Task, rows: DataFrame, name: str) -> DataFrame:
    """Those of some few rows of LOOKED_AT, of whatever was embedded, that are live tonight, an image once.

    Where all that was embedded is live they are the rows themselves; else they are staged by this name.
    """
    if holds_live_alone(task):
        return rows
    staged = task.stage(rows, name)
    ids = staged.select("image_id").distinct()
    return staged.join(find_live(task, few(ids, ids.count())), CONTENT, "left_semi").dropDuplicates(["image_id"])


def near_images(task: Task, floor_V: "np.ndarray", names: Sequence[str]) -> DataFrame:
    """LOOKED_AT of all that was embedded and reaches the floor of one of these labels, or nearly: some few images each.

    The products are of those labels alone.
    """
    config, words, model = task.config, task.input("vocabulary"), task.input("model")
    embedded = task.read("embeddings").select(*LOOKED_AT)

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import labelling
        from devise.search.reaching import near_floors

        labeller = labelling.open_labeller(config.model_copy(update={"candidates": list(names)}), words, model)
        order_V = wordimages.order(labeller.known.labels)
        for batch in batches:
            if batch.num_rows:
                pictured = vectors(batch.column("embedding")), *classes(batch)
                yield batch.filter(pa.array(near_floors(labeller.ranker, floor_V, order_V, *pictured)))

    return embedded.mapInArrow(counted(look), embedded.schema)


def reaching(task: Task, embeddings: DataFrame, floor_V: "np.ndarray") -> DataFrame:
    """CHUNKS: the entries that reach their floors, of images (LOOKED_AT) that are labelled already."""
    config, words, model = task.config, task.input("vocabulary"), task.input("model")

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search import labelling
        from devise.search.reaching import Passed

        labeller = labelling.open_labeller(config, words, model)
        passed = Passed(labeller.ranker, floor_V, wordimages.order(labeller.known.labels))
        for batch in in_steps(batches, passed.rows_at_a_time):
            labeller.ranker.top(vectors(batch.column("embedding")), *classes(batch), 1, see=passed.see)
            passed.name(batch.column("image_id"), batch.column("uri"))
            yield from send(passed, SENT_ROWS)
        yield from send(passed, 1)

    return embeddings.mapInArrow(counted(look), CHUNKS)


def in_steps(batches: Iterator[pa.RecordBatch], step: int | None) -> Iterator[pa.RecordBatch]:
    """The rows in their order, at most so many a batch; no batch is empty."""
    for batch in batches:
        for start in range(0, batch.num_rows, step or max(1, batch.num_rows)):
            yield batch.slice(start, step)


def send(passed: "Passed", least: int) -> Iterator[pa.RecordBatch]:
    """CHUNKS of what waits, once it is so many entries."""
    if passed.n_waiting >= least:
        for number, entries in passed.take():
            yield chunk_batch(number, wordimages.pack(entries))


def lost_chunks(image_ids: DataFrame, n_ranges: int) -> DataFrame:
    """CHUNKS: the images that leave all lists, for each range."""

    def pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                packed = wordimages.pack(pa.Table.from_batches([batch.select(["image_id"])]).cast(wordimages.LOST))
                for number in range(n_ranges):
                    yield chunk_batch(number, packed)

    return image_ids.select("image_id").mapInArrow(pack, CHUNKS)
