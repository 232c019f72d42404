"""What a question is answered with: images, their scores and labels, and what the answer rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TOLD = ("image_id", "rank", "label", "score", "probability", "answer", "answer_probability")
"""Columns of table `labels` that are told; a publication made before there were answers has no columns of them."""


@dataclass(frozen=True)
class Label:
    """A label of an image, its cosine, and the probability that it is true, None where the model is not calibrated."""

    label: str
    score: float
    probability: float | None


@dataclass(frozen=True)
class Labelled:
    """The labels of an image, best first, and the most specific noun that is sure enough, None if none is."""

    labels: tuple[Label, ...]
    answer: str | None
    answer_probability: float | None

    @property
    def best(self) -> str:
        """The answer, else the best label."""
        return self.answer or self.labels[0].label


@dataclass(frozen=True)
class Hit:
    """An image that answers, and the cosine of its embedding and the question's vector."""

    rank: int
    image_id: int
    uri: str
    score: float
    labels: Labelled | None = None
    """None where they were not asked for, or the image has none."""


@dataclass(frozen=True)
class Answer:
    """Hits, best first, and what they rest on.

    Attributes:
        kind: as `devise.search.grammar.kind_of` says.
        exact: whether no image that should be among the hits can be missing.
        nprobe: lists of the index that were visited; None where all rows were compared, or none had to be.
        recall: recall@10 of the kind, as measured when the index was built; 1.0 of an exact answer, None if it was not
            measured, as of what only some images may answer.
        publication, run: what was asked.
    """

    hits: tuple[Hit, ...]
    kind: str
    exact: bool
    nprobe: int | None
    recall: float | None
    publication: int
    run: str


def labelled(rows: Sequence[dict[str, Any]]) -> dict[int, Labelled]:
    """image_id -> its labels, from rows of table `labels` in any order, with what columns of TOLD there are."""
    rows_of: dict[int, list[dict]] = {}
    for row in sorted(rows, key=lambda row: (row["image_id"], row["rank"])):
        rows_of.setdefault(row["image_id"], []).append(row)
    return {image_id: _labelled(found) for image_id, found in rows_of.items()}


def _labelled(rows: Sequence[dict[str, Any]]) -> Labelled:
    labels = tuple(Label(row["label"], row["score"], row.get("probability")) for row in rows)
    return Labelled(labels, rows[0].get("answer"), rows[0].get("answer_probability"))
