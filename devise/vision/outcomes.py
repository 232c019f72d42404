"""Items in and outcomes out of the inference engine, and the batch between them; knows no threads, devices or models.

Shape letters: N items, B pictures that a batch has room for, D dims, C classes, T most probable classes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from devise.errors import ImageError
from devise.vision.images import Picture, Thumbnail


@dataclass(frozen=True, slots=True)
class Item:
    """An image to embed, as it was listed."""

    image_id: int
    uri: str
    etag: str
    size_bytes: int


@dataclass
class Outcomes:
    """What became of some items, a row each: an embedding, or a reject code and message (its numbers are zeros then).

    Attributes:
        embedding_ND: float32 unit rows; with output="features" the pooled features, not unit.
        norm_N: float32, length before it was made unit.
        width_N, height_N: int32 pixels, as displayed.
        codes, messages: None for an embedding. attempts_N: int32, always 1 here.
        thumbnails: None where none was asked for or made.
        probabilities_NC: float32 softmax of the core's own classification layer; only with output="features".
        class_id_NT, class_probability_NT: the most probable classes of the weights, best first (int32 places in their
            list), and their probabilities; None where the model knows no classes.
    """

    items: list[Item]
    embedding_ND: np.ndarray
    norm_N: np.ndarray
    width_N: np.ndarray
    height_N: np.ndarray
    codes: list[str | None]
    messages: list[str | None]
    attempts_N: np.ndarray
    thumbnails: list[Thumbnail | None]
    probabilities_NC: np.ndarray | None = None
    class_id_NT: np.ndarray | None = None
    class_probability_NT: np.ndarray | None = None

    @property
    def classes(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """class_id_NT and class_probability_NT."""
        return self.class_id_NT, self.class_probability_NT

    @property
    def kept_N(self) -> np.ndarray:
        """bool: the rows that are embeddings."""
        return np.array([code is None for code in self.codes], dtype=bool)


@dataclass
class Batch:
    """Pictures on their way through the network, and the faults that ride along without a place in it.

    Attributes:
        pixels: torch.uint8 (B, 3, crop, crop); the first `len(rows)` are pictures, those of the items in `rows`.
    """

    pixels: Any
    items: list[Item] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    faults: list[ImageError | None] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    thumbnails: list[Thumbnail | None] = field(default_factory=list)

    def add(self, item: Item, found: Picture | ImageError) -> None:
        fault = found if isinstance(found, ImageError) else None
        if fault is None:
            self.pixels[len(self.rows)] = found.pixels
            self.rows.append(len(self.items))
        self.items.append(item)
        self.faults.append(fault)
        self.widths.append(0 if fault else found.width)
        self.heights.append(0 if fault else found.height)
        self.thumbnails.append(None if fault else found.thumbnail)

    @property
    def full(self) -> bool:
        return len(self.rows) == len(self.pixels) or len(self.items) >= 2 * len(self.pixels)

    def outcomes(
        self,
        dim: int,
        vectors_BD: Any,
        other: Any,
        class_id_BT: Any = None,
        probability_BT: Any = None,
        *,
        features: bool = False,
    ) -> Outcomes:
        """The outcomes of all items, from what the network returned for `pixels` (None if it was not called).

        Args:
            dim: D. other: norms (B,); with `features`, probabilities (B, C) or None.
            class_id_BT, probability_BT: the most probable classes, or None.
        """
        n, rows = len(self.items), self.rows
        out = Outcomes(
            items=self.items,
            embedding_ND=np.zeros((n, dim), np.float32),
            norm_N=np.zeros(n, np.float32),
            width_N=np.array(self.widths, np.int32),
            height_N=np.array(self.heights, np.int32),
            codes=[fault.code if fault else None for fault in self.faults],
            messages=[str(fault) if fault else None for fault in self.faults],
            attempts_N=np.ones(n, np.int32),
            thumbnails=self.thumbnails,
        )
        if not rows:
            return out
        out.embedding_ND[rows] = vectors_BD[: len(rows)]
        if features:
            out.norm_N[rows] = np.linalg.norm(vectors_BD[: len(rows)], axis=1)
        else:
            out.norm_N[rows] = other[: len(rows)]
        if features and other is not None:
            out.probabilities_NC = np.zeros((n, other.shape[1]), np.float32)
            out.probabilities_NC[rows] = other[: len(rows)]
        if class_id_BT is not None:
            out.class_id_NT = np.zeros((n, class_id_BT.shape[1]), np.int32)
            out.class_probability_NT = np.zeros((n, class_id_BT.shape[1]), np.float32)
            out.class_id_NT[rows] = class_id_BT[: len(rows)]
            out.class_probability_NT[rows] = probability_BT[: len(rows)]
        _reject_not_finite(out, rows, zero_is_fine=features)
        return out


def _reject_not_finite(out: Outcomes, rows: list[int], zero_is_fine: bool) -> None:
    for row in rows:
        finite = np.isfinite(out.embedding_ND[row]).all() and np.isfinite(out.norm_N[row])
        if finite and (zero_is_fine or out.norm_N[row] > 0):
            continue
        out.codes[row] = "not_finite"
        out.messages[row] = "the network's output is zero" if finite else "the network's output is not finite"
        out.embedding_ND[row] = out.norm_N[row] = out.width_N[row] = out.height_N[row] = 0
        out.thumbnails[row] = None
        if out.probabilities_NC is not None:
            out.probabilities_NC[row] = 0
