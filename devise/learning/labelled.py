"""Label texts of labelled images, and targets made of them; knows no storage, no networks and no Spark.

Texts are kept as they are written: what a text means is the vocabulary's to say, through the `look_up` it hands in.
Shape letters: N images, D dims, L labels.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devise.errors import ConfigError, TrainingError
from devise.words.nouns import compose_letters
from devise.words.texttables import Cell, read_columns

Labels = Sequence[Sequence[int]]
"""For each image the rows of its true labels in some table of label vectors."""
SEPARATOR = "|"
LISTED = 10


def labels_from_folder(uri: str, root: str, names: Mapping[str, str] | None = None) -> list[str]:
    """The label of an image in a class folder: the first folder below `root`, or what `names` calls that folder.

    Empty for an image that lies in no class folder, or whose folder `names` (see `folder_names`) does not name. Nothing
    is percent-decoded.

    Raises:
        ValueError: `uri` is not below `root`.
    """
    below = uri.removeprefix(root.rstrip("/") + "/")
    if below == uri:
        raise ValueError(f"{uri}: wanted an image below {root}")
    folder, slash, _ = below.partition("/")
    if not slash:
        return []
    if names is None:
        return [folder]
    folder = compose_letters(folder)
    return [names[folder]] if folder in names else []


def labels_from_wnid(uri: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    """All names of the synset whose wnid the path holds, in the order of `names`; empty without a known wnid.

    `n01440764_tench.JPEG`, `n01440764_18.JPEG` and `n01440764/x.jpg` hold one; the file's own name counts first, then
    the folders from the innermost on. The names are alternatives for one thing: see `resolve`.
    """
    for part in reversed(uri.split("/")):
        found = re.match(r"n\d{8}(?!\d)", part)
        if found:
            return list(names.get(found.group(), []))
    return []


def folder_names(document: Any, group: str | None, source: str) -> dict[str, str]:
    """Folder, its letters composed (NFC), -> label out of a JSON document: `{folder: label}`, or groups of it,
    `{group: {folder: label}}`.

    Args:
        document: as `json.load` gives it.
        group: the group to take; None takes a document without groups.
        source: named in the error.

    Raises:
        ConfigError: there is no such group, it is no mapping of texts to texts, or it names a folder twice.
    """
    if group is not None:
        groups = [key for key, value in document.items() if isinstance(value, dict)]
        if group not in groups:
            raise ConfigError(f"{source}: found no group {group!r}; groups are {groups}")
        document = document[group]
    if not isinstance(document, dict) or not all(isinstance(label, str) for label in document.values()):
        raise ConfigError(f"{source}: wanted folder -> label{' (name a group)' if group is None else ''}")
    names: dict[str, str] = {}
    for folder, label in document.items():
        if "\0" in label or any("\ud800" <= letter <= "\udfff" for letter in label):
            raise ConfigError(f"{source}: found {label!a}, wanted Unicode text without NUL")
        if (composed := compose_letters(folder)) in names:
            raise ConfigError(f"{source}: names the folder {composed!r} twice, its letters composed and decomposed")
        names[composed] = label
    return names


def read_pairs(path: str | Path) -> list[tuple[str, list[str]]]:
    """(uri, label texts) of a table with columns `uri` and `label`, in the order in which each uri first occurs.

    A label cell holds one text, several as `a|b`, or (Parquet) a list of texts. Rows of one uri are put together, a
    repeated label counts once. A row without any label stays, with an empty list.

    Args:
        path: a local file, or a folder of parts; see `words.texttables`.

    Raises:
        TableError: not such a table.
        TrainingError: no rows, a row without uri, or no label at all.
    """
    uris, labels = read_columns(path, "uri", "label")
    if not uris:
        raise TrainingError(f"{path}: found no rows, wanted labelled images")
    pairs: dict[str, dict[str, None]] = {}
    for row, (uri, cell) in enumerate(zip(uris, labels, strict=True), start=1):
        if not isinstance(uri, str) or not uri.strip():
            raise TrainingError(f"{path}, row {row}: found no uri")
        pairs.setdefault(uri, {}).update(dict.fromkeys(_texts(cell)))
    if not any(pairs.values()):
        raise TrainingError(f"{path}: found {len(pairs)} images and not one label")
    return [(uri, list(texts)) for uri, texts in pairs.items()]


def _texts(cell: Cell) -> list[str]:
    cells = cell if isinstance(cell, list) else [cell or ""]
    return [text for one in cells for text in map(str.strip, one.split(SEPARATOR)) if text]


@dataclass(frozen=True)
class Resolved:
    """Labelled images in terms of the vocabulary.

    Attributes:
        rows: the images that keep at least one label, as positions in what was given, ascending.
        label_ids: the label ids of each of those.
        unknown: every text that no label was found for -> images it stood on, most frequent first.
        n_unlabelled: images that are left out, for want of a text or of a known one.
    """

    rows: list[int]
    label_ids: list[list[int]]
    unknown: dict[str, int]
    n_unlabelled: int

    def __str__(self) -> str:
        return describe(len(self.rows), self.n_unlabelled, self.unknown)


def describe(n_labelled: int, n_unlabelled: int, unknown: Mapping[str, int]) -> str:
    """One line of images with a known label, without, and the labels that are not known: text -> images."""
    line = f"{n_labelled} labelled images, {n_unlabelled} left out without a known label"
    if unknown:
        listed = ", ".join(f"{text} ({n_images})" for text, n_images in list(unknown.items())[:LISTED])
        more = len(unknown) - LISTED
        line += f"; {len(unknown)} unknown labels: {listed}{f' and {more} more' if more > 0 else ''}"
    return line


def resolve(
    labels: Sequence[Sequence[str]], look_up: Callable[[str], int | None], alternatives: bool = False
) -> Resolved:
    """Label ids for label texts.

    Args:
        labels: texts of each image.
        look_up: the vocabulary's: text -> label id, None if unknown.
        alternatives: the texts of an image name one thing (a synset's synonyms): the first that is known is its label,
            and the texts are unknown only if none is, counted under the first. Else each text is a label.

    Raises:
        TrainingError: no image keeps a label.
    """
    resolved = resolve_some(labels, look_up, alternatives)
    if not resolved.rows:
        raise TrainingError(f"nothing to learn from: {resolved}")
    return resolved


def resolve_some(
    labels: Sequence[Sequence[str]], look_up: Callable[[str], int | None], alternatives: bool = False
) -> Resolved:
    """As `resolve`, of a part of the images: it may be that none keeps a label."""
    known: dict[str, int | None] = {}
    rows, label_ids, unknown = [], [], Counter()
    for row, texts in enumerate(labels):
        for text in texts:
            if text not in known:
                known[text] = look_up(text)
        own = list(dict.fromkeys(known[text] for text in texts if known[text] is not None))
        missed = [text for text in texts if known[text] is None]
        if alternatives:
            own, missed = own[:1], [] if own else missed[:1]
        unknown.update(missed)
        if own:
            rows.append(row)
            label_ids.append(own)
    return Resolved(rows, label_ids, dict(unknown.most_common()), len(labels) - len(rows))


def find_labels(
    labels: Sequence[Sequence[str]], look_up: Callable[[str], int | None], alternatives: bool = False
) -> np.ndarray:
    """int32 ids, ascending, of all labels that images have; arguments and errors are those of `resolve`."""
    own = resolve(labels, look_up, alternatives).label_ids
    return np.unique([number for numbers in own for number in numbers]).astype(np.int32)


@dataclass(frozen=True)
class Guarded:
    """Which rows training may use, and which held-out nouns cost how many rows."""

    keep_N: np.ndarray
    dropped: dict[str, int]


def drop_targets(labels: Sequence[Collection[str]], held_out: Collection[str]) -> Guarded:
    """Mark every row that names a held-out noun: training never sees a target noun.

    A row is an image or a class with all its label texts, its target included: a "sports car" whose target is "car"
    gives the answer "car" away. Case, `_`, `-` and spaces do not count, nor how letters are composed.

    Returns:
        keep_N bool, and the rows dropped by held-out noun, as it was given, in its order; a row may count twice.
    """
    folded = {_fold(noun): noun for noun in held_out}
    dropped = dict.fromkeys(folded.values(), 0)
    keep_N = np.ones(len(labels), dtype=bool)
    for row, texts in enumerate(labels):
        for noun in sorted({folded[text] for text in map(_fold, texts) if text in folded}):
            keep_N[row] = False
            dropped[noun] += 1
    return Guarded(keep_N, {noun: n_rows for noun, n_rows in dropped.items() if n_rows})


def _fold(text: str) -> str:
    folded = compose_letters(compose_letters(text).casefold())
    return " ".join(folded.replace("_", " ").replace("-", " ").split())


def draw_rows(image_id_N: np.ndarray, fraction: float, salt: int) -> np.ndarray:
    """bool (N,): rows whose `image_id` hashes below `fraction`; the same image falls the same way in every run.

    Args:
        salt: draws with different salts are independent of each other, and of shards, which go by the bare id.
    """
    mixed_N = np.asarray(image_id_N).astype(np.uint64) + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finaliser of splitmix64
        mixed_N = (mixed_N ^ (mixed_N >> np.uint64(shift))) * np.uint64(factor)
    mixed_N ^= mixed_N >> np.uint64(31)
    return (mixed_N >> np.uint64(11)).astype(np.float64) < fraction * 2.0**53


def mean_targets(labels: Labels, label_vectors_LD: np.ndarray) -> np.ndarray:
    """The target of each image: the mean of its labels' unit vectors, scaled back to unit length; float32 (N, D).

    Raises:
        TrainingError: no images, an image without a label, or labels whose vectors cancel out.
    """
    check_labels(labels, len(label_vectors_LD))
    counts_N = np.array([len(row) for row in labels])
    starts_N = np.concatenate(([0], np.cumsum(counts_N)[:-1]))
    flat = np.fromiter((label for row in labels for label in row), dtype=np.int64, count=int(counts_N.sum()))
    sum_ND = np.add.reduceat(np.asarray(label_vectors_LD, dtype=np.float32)[flat], starts_N, axis=0)
    length_N1 = np.linalg.norm(sum_ND, axis=1, keepdims=True)
    if not (length_N1 > 1e-6).all():
        raise TrainingError(f"image {int(length_N1.argmin())}: the vectors of its labels cancel out")
    return (sum_ND / length_N1).astype(np.float32)


def check_labels(labels: Labels, n_labels: int) -> None:
    """`TrainingError` unless there are images and each has at least one label, 0 to `n_labels` - 1."""
    if len(labels) == 0:
        raise TrainingError("found no labelled images, wanted at least one")
    for row, own in enumerate(labels):
        if len(own) == 0 or min(own) < 0 or max(own) >= n_labels:
            raise TrainingError(f"image {row}: found labels {list(own)}, wanted at least one, each 0 to {n_labels - 1}")
