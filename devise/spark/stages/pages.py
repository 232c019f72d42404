"""What people read of a measurement: the model card and pages of confusions, written beside the metrics.

Their names begin with an underscore: SQL engines pass over them.
"""

import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from devise.search.vocabularies import read_card, read_class_synsets
from devise.spark.frame import schemas
from devise.spark.frame.job import Task
from devise.spark.frame.metering import counted
from devise.spark.frame.tables import Written, deliver, receipt_batch, receipts
from devise.spark.stages.evaluate import Measured
from devise.spark.stages.vocabulary import shipped_classes
from devise.warehouse.manifest import File

CARD, CONFUSIONS = "_model-card-", "_confusions-"
"""How the names of the files begin."""


def write_pages(task: Task, measured: Measured) -> None:
    """Write a page of confusions for each split that has some, and the model card; nothing where nothing was measured
    on labelled images."""
    if not measured.splits:
        return
    written = task.written["metrics"]
    files = [*written.files, _write_card(task, measured), *_write_confusions(task, measured)]
    task.written["metrics"] = Written(written.columns, files, written.rejects)


def _write_confusions(task: Task, measured: Measured) -> list[File]:
    """The pages, made by tasks: a worker reads and decodes the pictures, as it does those of a night."""
    names, folder = measured.known.labels, task.folder("metrics")
    rows = []
    for number, split in enumerate(measured.splits):
        pairs = [(names[one.label_id], names[one.predicted], one.n, one.of, one.pictures) for one in split.worst]
        if pairs:
            title = f"Worst confusions: {split.config.name}, run {task.config.run}"
            rows.append((number, title, json.dumps(pairs)))
    if not rows:
        return []

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.show import confusions

        for batch in batches:
            for row in batch.to_pylist():
                pairs = [confusions.Pair(*pair) for pair in json.loads(row["pairs"])]
                with tempfile.TemporaryDirectory() as place:
                    path = Path(place) / f"{CONFUSIONS}{row['number']:03d}-{uuid.uuid4().hex}.html"
                    confusions.write_page(pairs, row["title"], str(path))
                    yield receipt_batch(deliver(path, folder, rows=-1))

    asked = task.spark.createDataFrame(rows, "number int, title string, pairs string").repartition(len(rows), "number")
    with task.named("write pages of confusions"):
        return receipts(asked.mapInArrow(counted(write), schemas.RECEIPTS).collect())


def _write_card(task: Task, measured: Measured) -> File:
    from devise.show import modelcard

    config, model, vocabulary = task.config, task.input("model"), task.input("vocabulary")
    card = read_card(config.warehouse, model)
    splits = [
        modelcard.Split(
            name=one.config.name,
            source=one.config.labelled.source,
            kind=one.config.labelled.kind,
            candidates="listed" if isinstance(one.config.candidates, list) else one.config.candidates,
            n_candidates=one.n_candidates,
            n_images=int(one.sums.n_C.sum()),
            n_labels=len(one.sums.n_C),
        )
        for one in measured.splits
    ]
    facts = modelcard.Facts(
        run=config.run,
        model_id=task.model_id,
        vocabulary_id=task.vocabulary_id,
        model_run=model.run,
        vocabulary_run=vocabulary.run,
        model=model.config,
        vocabulary=vocabulary.config,
        n_labels=vocabulary.rows,
        n_seen_labels=int(measured.known.seen.sum()),
        n_learned=len(card["seen"]),
        imagenet_classes=_count_imagenet(task),
        n_people=_count_people(measured),
        splits=splits,
        pairs=[(pair.name, pair.seen, pair.zero_shot) for pair in config.generalised],
        figures=[modelcard.Figure(*row[:7]) for row in measured.rows],
        correct_sets=task.details["correct_sets"],
        labels=[modelcard.Label(*row[:9]) for row in measured.label_rows],
    )
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{CARD}{uuid.uuid4().hex}.md"
        path.write_text(modelcard.write(facts), encoding="utf-8")
        return deliver(path, task.folder("metrics"), rows=-1)


def _count_imagenet(task: Task) -> int:
    """How many of the classes that the vocabulary was built with are, by wnid, classes of ILSVRC 2012."""
    classes = read_class_synsets(task.config.warehouse, task.input("vocabulary"))
    known = {one.wnid for one in shipped_classes()}
    return sum(wnid in known for wnid, _ in classes.values())


def _count_people(measured: Measured) -> int | None:
    """How many labels name a kind of person, the label `person` among them; None where nothing tells."""
    known, relations = measured.known, measured.relations
    number = known.find_one("person")
    if relations is None or number is None or known.synsets[number] is None:
        return None
    person = known.synsets[number]
    return sum(synset is not None and person in relations.ancestry.above(synset) for synset in known.synsets)
