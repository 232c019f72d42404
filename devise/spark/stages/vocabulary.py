"""The vocabulary stage: label table and class vectors written as a run; the rules are `devise.words.vocabulary`.

It runs on the driver: the word vectors are one file, read once, and only the wanted rows stay in memory.
"""

import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from devise.config import VocabularyConfig
from devise.facts import shipped
from devise.search.vocabularies import CLASSES, HYPERNYMS
from devise.spark.frame import schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.tables import Written, deliver
from devise.store import scratch, storage
from devise.words import coverage, vocabulary
from devise.words.classes import ClassList, ClassMatches, read_classes


def write_vocabulary(task: Task) -> None:
    """Build the vocabulary of the settings and write it, with its coverage printed and kept in the manifest."""
    config: VocabularyConfig = task.config
    vectors = shipped.find("vectors", config.vectors) or scratch.localise(storage.normalise(config.vectors))
    hierarchy, classes = (
        shipped.find(setting, uri) or scratch.localise_table(storage.normalise(uri)) if uri else None
        for setting, uri in (("hierarchy", config.hierarchy), ("classes", config.classes))
    )
    built, found = coverage.make(str(vectors), hierarchy, config.nouns, classes, shipped_classes(), config.levels)
    for line in found.lines():
        say("build_vocabulary", line)
    task.vocabulary_id = vocabulary.vocabulary_id(built)
    task.details |= {"coverage": found.by_rule, "n_misses": len(found.misses), "dim": built.vectors.shape[1]}
    folder, name = task.folder("vocabulary"), f"part-00000-{uuid.uuid4().hex}.parquet"
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        pq.write_table(vocabulary.to_arrow(built), path, compression="zstd")
        files = [deliver(path, folder, rows=len(built.labels))]
        if found.classes is not None:
            files.append(deliver(_write_arrow(_class_table(found.classes), CLASSES, Path(place)), folder, rows=-1))
        if found.hypernyms:
            above = pa.table(
                {
                    "synset": pa.array(found.hypernyms, pa.string()),
                    "hypernyms": pa.array(found.hypernyms.values(), pa.list_(pa.string())),
                    "name": pa.array([found.names.get(synset) for synset in found.hypernyms], pa.string()),
                }
            )
            files.append(deliver(_write_arrow(above, HYPERNYMS, Path(place)), folder, rows=-1))
    task.written["vocabulary"] = Written(schemas.VOCABULARY.names, files)


def shipped_classes() -> ClassList:
    """The classes whose wnids a list of names alone takes on, where it has their names in their order."""
    return read_classes(shipped.CLASSES["imagenet1k"])


def _class_table(found: ClassMatches) -> pa.Table:
    named = list(zip(found.classes, found.labels, strict=True))
    return pa.table(
        {
            "index": pa.array([one.index for one in found.classes], pa.int32()),
            "wnid": pa.array([one.wnid for one in found.classes], pa.string()),
            "name": [one.name for one in found.classes],
            "texts": [[*one.names, *([label] if label else [])] for one, label in named],
            "label": pa.array(found.labels, pa.string()),
            "synset": pa.array(found.synsets, pa.string()),
            "how": pa.array(found.how, pa.string()),
            "vector": pa.array(found.vectors_CD.tolist(), pa.list_(pa.float32())),
        }
    )


def _write_arrow(table: pa.Table, begins: str, place: Path) -> Path:
    path = place / f"{begins}{uuid.uuid4().hex}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return path
