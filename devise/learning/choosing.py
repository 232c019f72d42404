"""Which labelled images are learned from, and what they are to be mapped to; no networks, no storage and no Spark.

Shape letters: N images, D dims, L training labels.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from devise.errors import TrainingError
from devise.learning.labelled import describe, drop_targets, resolve_some
from devise.words.vocabulary import Vocabulary

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images in terms of the vocabulary.

    Attributes:
        rows_N: positions of the kept images in what was given.
        labels: of each its labels, rows of `vectors_LD`.
        vectors_LD: unit vectors of the training labels. With a teacher: a row an image, its target.
        label_ids_L: the vocabulary's ids of the training labels, ascending; empty with a teacher.
    """

    rows_N: np.ndarray
    labels: list[list[int]]
    vectors_LD: np.ndarray
    label_ids_L: np.ndarray

    def take(self, places: np.ndarray, among: Collection[int] | None = None) -> "TrainingSet":
        """The images at these positions of this set, and of the labels those that they have.

        Args:
            among: of each image's labels only these count; default all. None of the images may be left without one.
        """
        kept = [[one for one in self.labels[i] if among is None or one in among] for i in places]
        used_L = np.unique([one for own in kept for one in own])
        place = {int(one): row for row, one in enumerate(used_L)}
        ids_L = self.label_ids_L[used_L] if len(self.label_ids_L) else self.label_ids_L
        labels = [[place[one] for one in own] for own in kept]
        return TrainingSet(self.rows_N[places], labels, self.vectors_LD[used_L], ids_L)


@dataclass
class Tally:
    """What choosing found, to be added up over parts of the images: kept images, unknown labels, held-out nouns."""

    n_kept: int = 0
    n_held_out: int = 0
    n_unlabelled: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    label_ids: set[int] = field(default_factory=set)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n_kept + other.n_kept,
            self.n_held_out + other.n_held_out,
            self.n_unlabelled + other.n_unlabelled,
            self.unknown + other.unknown,
            self.dropped + other.dropped,
            self.label_ids | other.label_ids,
        )

    def to_json(self) -> str:
        return json.dumps({**vars(self), "label_ids": sorted(self.label_ids)})

    @classmethod
    def from_json(cls, text: str) -> "Tally":
        told = json.loads(text)
        sums = {"unknown": Counter(told.pop("unknown")), "dropped": Counter(told.pop("dropped"))}
        return cls(**told | sums | {"label_ids": set(told["label_ids"])})

    def tell(self, report: Report) -> None:
        """Report what is left out, by name.

        Raises:
            TrainingError: no image is left.
        """
        n_labelled = self.n_kept + self.n_held_out
        line = describe(n_labelled, self.n_unlabelled, dict(self.unknown.most_common()))
        if not n_labelled:
            raise TrainingError(f"nothing to learn from: {line}")
        report(line)
        if self.dropped:
            report("held out: " + ", ".join(f"{noun} ({n} images)" for noun, n in self.dropped.items()))
        if not self.n_kept:
            raise TrainingError(f"all {n_labelled} labelled images name a held-out noun, wanted some to learn from")


def choose_some(
    texts: Sequence[Sequence[str]], vocabulary: Vocabulary, held_out: Sequence[str], alternatives: bool
) -> tuple[list[int], list[list[int]], Tally]:
    """Of a part of the images: positions of those to learn from, the label ids of each, and the count of all.

    Args and meaning as of `choose_images`; it may be that none is left.
    """
    found = resolve_some(texts, vocabulary.find_one, alternatives)
    named = [
        [*texts[row], *(vocabulary.labels[i] for i in own)]
        for row, own in zip(found.rows, found.label_ids, strict=True)
    ]
    guarded = drop_targets(named, held_out)
    kept = np.flatnonzero(guarded.keep_N)
    label_ids = [found.label_ids[i] for i in kept]
    every = {number for own in label_ids for number in own}
    tally = Tally(
        len(kept), len(named) - len(kept), found.n_unlabelled, Counter(found.unknown), Counter(guarded.dropped), every
    )
    return [found.rows[i] for i in kept], label_ids, tally


def choose_images(
    texts: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    held_out: Sequence[str],
    alternatives: bool,
    report: Report,
) -> TrainingSet:
    """The images to learn from: those with a known label that is not held out; what is dropped is reported by name.

    Args:
        texts: label texts of each image.
        held_out: nouns that training must never see.
        alternatives: the texts of an image name one thing (wnids), the first known one is its label.

    Raises:
        TrainingError: no image is left.
    """
    rows, label_ids, tally = choose_some(texts, vocabulary, held_out, alternatives)
    tally.tell(report)
    label_ids_L = np.array(sorted(tally.label_ids))
    place = {int(number): row for row, number in enumerate(label_ids_L)}
    labels = [[place[number] for number in own] for own in label_ids]
    return TrainingSet(np.array(rows), labels, vocabulary.vectors[label_ids_L], label_ids_L)


def watch_classes(classes: Sequence[Sequence[int]], share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the classes that training is not to see, and find their images; (bool (N,) watched, the classes drawn).

    An image of several classes is watched if one of them was drawn.

    Args:
        classes: of each image, any numbers.
        share: of the classes, above 0 and below 1; two at least are drawn, and two at least are left.

    Raises:
        TrainingError: fewer than four classes.
    """
    every = np.unique([number for own in classes for number in own])
    if len(every) < 4:
        raise TrainingError(f"found {len(every)} classes, wanted at least 4: some train and some tell when to stop")
    n_drawn = min(max(2, math.ceil(share * len(every))), len(every) - 2)
    drawn = np.sort(np.random.default_rng(seed).permutation(every)[:n_drawn])
    members = set(drawn.tolist())
    return np.array([not members.isdisjoint(own) for own in classes]), drawn
