"""The vocabulary stage: label table and class vectors written as a run; the rules are `devise.words.vocabulary`.

It runs on the driver: the word vectors are one file, read once, and only the wanted rows stay in memory.
"""

import tempfile
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise.config import VocabularyConfig
from devise.errors import TrainingError
from devise.facts import shipped
from devise.spark.frame import schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.tables import Written, deliver
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.words import coverage, vocabulary
from devise.words.classes import ClassList, ClassMatches, ClassVectors, read_classes

CLASSES = "_classes-"
"""How the name of the file of the core visual model's classes begins; SQL engines pass over a leading underscore."""


def write_vocabulary(task: Task) -> None:
    """Build the vocabulary of the settings and write it, with its coverage printed and kept in the manifest."""
    config: VocabularyConfig = task.config
    vectors = shipped.find("vectors", config.vectors) or scratch.localise(storage.normalise(config.vectors))
    hierarchy, classes = (
        shipped.find(setting, uri) or scratch.localise_table(storage.normalise(uri)) if uri else None
        for setting, uri in (("hierarchy", config.hierarchy), ("classes", config.classes))
    )
    built, found = coverage.make(str(vectors), hierarchy, config.nouns, classes, shipped_classes())
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
            files.append(deliver(_write_classes(found.classes, Path(place)), folder, rows=-1))
    task.written["vocabulary"] = Written(schemas.VOCABULARY.names, files)


def shipped_classes() -> ClassList:
    """The classes whose wnids a list of names alone takes on, where it has their names in their order."""
    return read_classes(shipped.CLASSES["imagenet1k"])


def read_class_vectors(warehouse: str, found: Manifest) -> ClassVectors | None:
    """The classes of the core visual model as a vocabulary's run has them; None if it was built without classes."""
    if not _has_classes(found):
        return None
    with pa.memory_map(str(manifest.localise_one(warehouse, found, CLASSES))) as source:
        table = pa.ipc.open_file(source).read_all()
        vectors_CD = np.array(table.column("vector").to_pylist(), dtype=np.float32)
        return ClassVectors(table.column("name").to_pylist(), table.column("texts").to_pylist(), vectors_CD)


def read_class_synsets(warehouse: str, found: Manifest) -> dict[str, tuple[str | None, str | None]]:
    """The wnid and the synset of each class by its name, as a vocabulary's run has them; empty without classes."""
    if not _has_classes(found):
        return {}
    with pa.memory_map(str(manifest.localise_one(warehouse, found, CLASSES))) as source:
        table = pa.ipc.open_file(source).read_all()
        columns = [table.column(name).to_pylist() for name in ("name", "wnid", "synset")]
    return {name: (wnid, synset) for name, wnid, synset in zip(*columns, strict=True)}


def require_classes(found: Manifest) -> None:
    """`TrainingError` if a vocabulary's run has no classes: a projection cannot start from them."""
    if not _has_classes(found):
        raise TrainingError(
            f"vocabulary, run {found.run}: built without `classes`, wanted the class table of the weights, "
            "which projection convex starts from"
        )


def _has_classes(found: Manifest) -> bool:
    return any(file.path.startswith(CLASSES) for file in found.files)


def _write_classes(found: ClassMatches, place: Path) -> Path:
    named = list(zip(found.classes, found.labels, strict=True))
    table = pa.table(
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
    path = place / f"{CLASSES}{uuid.uuid4().hex}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return path
