"""A page of labelled pictures: one HTML file with the thumbnails inside it; knows no tables and no models."""

import base64
import html
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from devise.errors import ImageError
from devise.show import onefile, thumbnails
from devise.store import storage

SIDE = 200
"""Pixels; a page shows them at up to that size."""
MOST_SHOWN = 2_000
"""Some 12 MB of thumbnails: what a browser still scrolls well."""
CHIPS = 24
"""Labels that most of the pictures share, offered to be looked at."""


class Tile(NamedTuple):
    """A picture on the page: where it is, what it is called there, its labels, best first, each with its score, and the
    answer with its probability, if it has one; or why it has no labels."""

    uri: str
    name: str
    labels: Sequence[tuple[str, float]]
    fault: str | None = None
    answer: tuple[str, float] | None = None


def write_page(tiles: Sequence[Tile], title: str, told: str, path: str) -> None:
    """Write the page; of more than MOST_SHOWN pictures those at even distances, and it says so.

    Args:
        told: a line below the title.
        path: of the page, a path or URI.

    Raises:
        ValueError: there are no tiles. StorageError: it cannot be written.
    """
    if not tiles:
        raise ValueError("found no tiles, wanted at least one")
    shown = tiles
    if len(tiles) > MOST_SHOWN:
        shown = [tiles[place * len(tiles) // MOST_SHOWN] for place in range(MOST_SHOWN)]
        told = f"{told}; {MOST_SHOWN:,} of {len(tiles):,} are shown, at even distances"
    commonest = Counter(tile.labels[0][0] for tile in shown if tile.labels).most_common(CHIPS)
    with ThreadPoolExecutor() as pool:
        pictures = pool.map(thumbnail, (tile.uri for tile in shown))
        figures = "\n".join(map(_figure, shown, pictures))
    page = onefile.fill(
        "devise.show",
        "gallery.html",
        title,
        told=html.escape(told),
        n=f"{len(shown):,}",
        chips="\n".join(_chip(label, number) for label, number in commonest),
        figures=figures,
    )
    storage.write_bytes(storage.normalise(path), page.encode())


def thumbnail(uri: str) -> bytes | None:
    """WebP of a picture as it is now; None for one that cannot be shown."""
    try:
        found = storage.stat(uri)
        return None if found is None else thumbnails.make(uri, found.etag)
    except ImageError:
        return None


def _figure(tile: Tile, picture: bytes | None) -> str:
    name = tile.name
    alt = ", ".join(label for label, _ in tile.labels[:3]) or tile.fault or "without labels"
    inside = '<span class="none">cannot be shown</span>'
    if picture is not None:
        data = base64.b64encode(picture).decode()
        inside = f'<img src="data:image/webp;base64,{data}" alt="{html.escape(alt)}" width="{SIDE}" height="{SIDE}">'
    link = html.escape(tile.uri) if tile.uri.startswith("file://") else None
    if link is not None:
        inside = f'<a href="{link}" title="{html.escape(tile.uri)}">{inside}</a>'
    rows = "".join(f"<li>{html.escape(label)} <i>{score:.2f}</i></li>" for label, score in tile.labels)
    if tile.answer is not None:
        noun, sure = tile.answer
        rows = f'<li class="answer">{html.escape(noun)} <i>{sure:.0%}</i></li>{rows}'
    told = f"<ol>{rows}</ol>" if rows else f"<p>{html.escape(tile.fault or '')}</p>"
    words = html.escape(
        " | ".join([*(label for label, _ in tile.labels), *(tile.answer or ())[:1], name, tile.fault or ""]).lower()
    )
    return f'<figure data-words="{words}">{inside}<figcaption><b>{html.escape(name)}</b>{told}</figcaption></figure>'


def _chip(label: str, number: int) -> str:
    return f'<button type="button" data-label="{html.escape(label)}">{html.escape(label)} <i>{number}</i></button>'
