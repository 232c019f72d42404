"""What a run of the vocabulary holds: labels, the weights' classes, the hierarchy above both; and its ranker."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from devise.errors import TrainingError
from devise.search.ranking import EVIDENCE, SEEN_PENALTY, Ranker
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.words import vocabulary as vocabularies
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary

CLASSES, HYPERNYMS = "_classes-", "_hypernyms-"
"""How the names of the files of the core visual model's classes, and of the hierarchy above labels and classes, begin;
SQL engines pass over a leading underscore."""


def read_class_vectors(warehouse: str, found: Manifest) -> ClassVectors | None:
    """The classes of the core visual model; None if the vocabulary was built without classes."""
    if not _has(found, CLASSES):
        return None
    table = _read(manifest.localise_one(warehouse, found, CLASSES))
    name, texts, synset = (table.column(column).to_pylist() for column in ("name", "texts", "synset"))
    return ClassVectors(name, texts, np.array(table.column("vector").to_pylist(), dtype=np.float32), synset)


def read_ancestry(warehouse: str, found: Manifest, synsets: Sequence[str | None]) -> Ancestry:
    """The hierarchy above the labels, of these `synsets`, and the classes; empty if the vocabulary has none."""
    return _ancestry_in(_hypernyms(warehouse, found), synsets)


def require_classes(found: Manifest) -> None:
    """`TrainingError` if a vocabulary's run has no classes: a projection cannot start from them."""
    if not _has(found, CLASSES):
        raise TrainingError(
            f"vocabulary, run {found.run}: built without `classes`, wanted the class table of the weights, "
            "which projection convex starts from"
        )


def make_ranker(
    known: Vocabulary,
    ancestry: Ancestry,
    class_synsets: Sequence[str | None],
    seen: Collection[str],
    *,
    evidence: float = EVIDENCE,
    seen_penalty: float = SEEN_PENALTY,
    candidates: np.ndarray | None = None,
    denied: Collection[int] = (),
) -> Ranker:
    """The ranker of a vocabulary; `seen` are names of what the model was trained on, `denied` are label ids."""
    by_name = {label: number for number, label in enumerate(known.labels)}
    numbers = (by_name[name] if name in by_name else known.find_one(name) for name in seen)
    return Ranker(
        *(known.vectors, ancestry, class_synsets, {number for number in numbers if number is not None}),
        evidence=evidence,
        seen_penalty=seen_penalty,
        candidates=candidates,
        denied=denied,
    )


def open_ranker(
    warehouse: str, found: Manifest, card: Mapping[str, Any], candidates: Sequence[str] | None = None
) -> tuple[Vocabulary, Ranker]:
    """The labels of a vocabulary's run and their ranker, opened once in this process.

    Args:
        card: of the model that was trained on the vocabulary: its `class_synsets` and what it has `seen`; a card of
            before labels were ranked by them has none, and its embeddings have no classes.

    Raises:
        VocabularyError: a candidate is no label.
    """
    labels = manifest.localise_one(warehouse, found, end=".parquet")
    above = _hypernyms(warehouse, found)
    told = tuple(card.get("class_synsets", ())), tuple(card.get("seen", ()))
    return _open_ranker(labels, above, *told, None if candidates is None else tuple(candidates))


@lru_cache(maxsize=2)
def _open_ranker(
    labels: Path,
    hypernyms: Path | None,
    class_synsets: tuple[str | None, ...],
    seen: tuple[str, ...],
    candidates: tuple[str, ...] | None,
) -> tuple[Vocabulary, Ranker]:
    known = vocabularies.load(labels)
    chosen = known.find(candidates) if candidates is not None else None
    ancestry = _ancestry_in(hypernyms, known.synsets)
    return known, make_ranker(known, ancestry, class_synsets, seen, candidates=chosen)


def _ancestry_in(path: Path | None, synsets: Sequence[str | None]) -> Ancestry:
    if path is None:
        return Ancestry({}, synsets)
    return Ancestry(dict(zip(*(column.to_pylist() for column in _read(path).columns), strict=True)), synsets)


def _hypernyms(warehouse: str, found: Manifest) -> Path | None:
    return manifest.localise_one(warehouse, found, HYPERNYMS) if _has(found, HYPERNYMS) else None


def _has(found: Manifest, begins: str) -> bool:
    return any(file.path.startswith(begins) for file in found.files)


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
