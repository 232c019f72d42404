"""What a run of the vocabulary holds: labels, the weights' classes, and the hierarchy above both."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from devise.errors import TrainingError
from devise.facts import shipped
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors

if TYPE_CHECKING:
    from devise.words.vocabulary import Vocabulary

CLASSES, HYPERNYMS, CALIBRATION = "_classes-", "_hypernyms-", "calibration.json"
"""How the names of the files of the core visual model's classes, and of the hierarchy above labels and classes, begin
(SQL engines pass over a leading underscore); and the file of a model's run that says how its probabilities are made."""

BATCH_ROWS = 4_096
"""Of a hierarchy, made into objects at a time: whoever answers questions meanwhile waits for no more."""


def read_labels(warehouse: str, found: Manifest) -> "Vocabulary":
    """The labels; the same object again in this process."""
    from devise.words import vocabulary  # with the rules of names, which not every reader of a run needs

    return vocabulary.load(manifest.localise_one(warehouse, found, end=".parquet"))


def read_class_vectors(warehouse: str, found: Manifest) -> ClassVectors | None:
    """The classes of the core visual model; None if the vocabulary was built without classes."""
    if (path := find_one(warehouse, found, CLASSES)) is None:
        return None
    table = _read(path)
    name, texts, synset = (table.column(column).to_pylist() for column in ("name", "texts", "synset"))
    return ClassVectors(name, texts, np.array(table.column("vector").to_pylist(), dtype=np.float32), synset)


def read_ancestry(warehouse: str, found: Manifest, synsets: Sequence[str | None]) -> Ancestry:
    """The hierarchy above the labels, of these `synsets`, and the classes; empty if the vocabulary has none."""
    return ancestry_in(find_one(warehouse, found, HYPERNYMS), synsets)


def read_class_synsets(warehouse: str, found: Manifest) -> dict[str, tuple[str | None, str | None]]:
    """The wnid and the synset of each class by its name, as a vocabulary's run has them; empty without classes."""
    if (path := find_one(warehouse, found, CLASSES)) is None:
        return {}
    table = _read(path)
    columns = (table.column(name).to_pylist() for name in ("name", "wnid", "synset"))
    return {name: (wnid, synset) for name, wnid, synset in zip(*columns, strict=True)}


def read_card(warehouse: str, model: Manifest) -> dict[str, Any]:
    """What is known of a model, without its weights."""
    return json.loads(manifest.localise_one(warehouse, model, end="card.json").read_text(encoding="utf-8"))


def require_classes(found: Manifest) -> None:
    """`TrainingError` if a vocabulary's run has no classes: a projection cannot start from them."""
    if not _has(found, CLASSES):
        raise TrainingError(
            f"vocabulary, run {found.run}: built without `classes`, wanted the class table of the weights, "
            "which projection convex starts from"
        )


def find_vectors(vectors: str | None) -> Path | None:
    """The local file of a setting `vectors`; None where there is none."""
    return shipped.find("vectors", vectors) or (scratch.localise(storage.normalise(vectors)) if vectors else None)


def find_denied(deny: str) -> Path | None:
    """The local file of the setting `deny`; None for `none`."""
    if deny == "none":
        return None
    return shipped.find("deny", deny) or scratch.localise(storage.normalise(deny))


def ancestry_in(path: Path | None, synsets: Sequence[str | None]) -> Ancestry:
    """`read_ancestry` of its file."""
    if path is None:
        return Ancestry({}, synsets)
    above, names = dict[str, list[str]](), dict[str, str | None]()
    for part in _read(path).to_batches(BATCH_ROWS):
        synset, hypernyms, name = (column.to_pylist() for column in part.columns)
        above |= zip(synset, hypernyms, strict=True)
        names |= zip(synset, name, strict=True)
    return Ancestry(above, synsets, names)


def find_one(warehouse: str, found: Manifest, start: str = "", end: str = "") -> Path | None:
    """The run's one file whose name begins and ends so, on this host; None if it has none."""
    if not _has(found, start, end):
        return None
    return manifest.localise_one(warehouse, found, start, end)


def _has(found: Manifest, start: str = "", end: str = "") -> bool:
    return any(file.path.startswith(start) and file.path.endswith(end) for file in found.files)


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
