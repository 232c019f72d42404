"""A page of the worst confusions: pictures that were given a wrong label, pair by pair; knows no tables, no models."""

from collections.abc import Sequence
from typing import NamedTuple

from devise.show import gallery


class Pair(NamedTuple):
    """A true label, the wrong one that stood first on `n` of its `of` images, and some of them with its cosine."""

    label: str
    predicted: str
    n: int
    of: int
    pictures: Sequence[tuple[str, float]]


def write_page(pairs: Sequence[Pair], title: str, path: str) -> None:
    """Write the page, most frequent pair first as they are given; its chips are the wrong labels.

    Raises:
        ValueError: there is no pair. StorageError: it cannot be written.
    """
    tiles = [
        gallery.Tile(uri, f"{pair.label} ({pair.n:,} of {pair.of:,})", [(pair.predicted, score)])
        for pair in pairs
        for uri, score in pair.pictures
    ]
    told = "Above each answer the true label, and how many of its pictures were given that answer."
    gallery.write_page(tiles, title, told, path)
