"""The map of the night's page: dots, names at places, and pictures to look at; one SVG, a sprite and a list of numbers.

It knows no tables, and not how a place was found: it draws what it is handed.
"""

import base64
import html
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from typing import NamedTuple

from PIL import Image, ImageOps

from devise.show.nightly.facts import Dot

WIDTH, HEIGHT, MARGIN = 960, 640, 24
SIDE, COLUMNS = 72, 16
"""Of a picture in the sprite, in pixels, and pictures in a row of it."""
PICTURES_A_PLACE = 8
NAME_SPACE = 9, 22
"""Half of a name's room on the map: for each letter across, and down."""


class Place(NamedTuple):
    """A named place of the map: how many images, its middle in pixels, and the pictures that stand for it."""

    name: str
    n: int
    x: float
    y: float
    shown: Sequence[Dot]


def choose(dots: Sequence[Dot]) -> list[Dot]:
    """The images whose pictures the map shows: the same few of each place, in the order that they come."""
    of: Counter[int] = Counter()
    chosen = []
    for dot in dots:
        if of[dot.place] < PICTURES_A_PLACE:
            of[dot.place] += 1
            chosen.append(dot)
    return chosen


def places(dots: Sequence[Dot]) -> list[Place]:
    """The places, the largest first, each with the noun that is commonest there for how common it is elsewhere.

    That is the noun with the most n x log(n / expected): a general one that is everywhere tells nothing of a place, a
    special one of a few images little.
    """
    everywhere, scale = Counter(name for dot in dots for name in dot.names), _Scale(dots)
    by_place: dict[int, list[Dot]] = {}
    for dot in dots:
        by_place.setdefault(dot.place, []).append(dot)
    found = []
    for own in by_place.values():
        name = _name(Counter(name for dot in own for name in dot.names), everywhere, len(own) / len(dots))
        x, y = (sorted(axis)[len(axis) // 2] for axis in zip(*(scale(dot) for dot in own), strict=True))
        found.append(Place(name, len(own), x, y, choose(own)))
    return sorted(found, key=lambda one: (-one.n, one.name))


def _name(here: Counter[str], everywhere: Counter[str], share: float) -> str:
    return max(sorted(here), key=lambda name: here[name] * log(here[name] / (everywhere[name] * share)))


def draw(dots: Sequence[Dot], thumbnails: Mapping[str, bytes]) -> str:
    """The map as HTML: the SVG, its places as buttons with pictures, and as a table."""
    scale, chosen = _Scale(dots), [dot for dot in choose(dots) if thumbnails.get(dot.uri)]
    found, number = places(dots), {dot.uri: place for place, dot in enumerate(chosen)}
    path = "".join("M{:.0f} {:.0f}h0".format(*scale(dot)) for dot in dots)
    names, room = [], []
    for one in found:
        wide, high = NAME_SPACE[0] * len(one.name) / 2, NAME_SPACE[1]
        x = min(max(one.x, wide), WIDTH - wide)
        if all(abs(x - left) > wide + half or abs(one.y - top) > high for left, top, half in room):
            room.append((x, one.y, wide))
            names.append(f'<text x="{x:.0f}" y="{one.y:.0f}">{html.escape(one.name)}</text>')
    told = f"{len(dots):,} images; alike ones lie near each other. Names stand where the images that bear them are."
    listed = [
        [*(round(part) for part in scale(dot)), dot.names[0], dot.uri.rsplit("/", 1)[-1], number.get(dot.uri, -1)]
        for dot in dots
    ]
    data = json.dumps(listed, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    buttons = "".join(
        f'<button type="button" data-x="{one.x:.0f}" data-y="{one.y:.0f}" aria-pressed="false" data-shown="'
        f'{" ".join(str(number[dot.uri]) for dot in one.shown if dot.uri in number)}">{html.escape(one.name)} '
        f"<i>{one.n:,}</i></button>"
        for one in found
    )
    return (
        f'<div class="map"><svg id="atlas" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="map-title map-told">'
        f'<title id="map-title">Map of the corpus</title><desc id="map-told">{html.escape(told)}</desc>'
        f'<path class="dots" d="{path}"/><circle id="spot" r="9" cx="-20" cy="-20"/>{"".join(names)}</svg>'
        '<div id="tip" hidden><span class="thumb"></span><b></b><small></small></div></div>'
        f'<nav class="places choices" aria-label="places of the map">{buttons}</nav>'
        '<div id="shown" aria-live="polite"></div>'
        f"{_sprite(chosen, thumbnails)}"
        f'<script type="application/json" id="dots">{data}</script>'
    )


def _sprite(chosen: Sequence[Dot], thumbnails: Mapping[str, bytes]) -> str:
    """All pictures of the map in one, as a style that the page's script cuts them from."""
    if not chosen:
        return ""
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * SIDE))
    for number, dot in enumerate(chosen):
        with Image.open(io.BytesIO(thumbnails[dot.uri])) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE))
        sheet.paste(fitted, (number % COLUMNS * SIDE, number // COLUMNS * SIDE))
    made = io.BytesIO()
    sheet.save(made, "WEBP", quality=60, method=4)
    data = base64.b64encode(made.getvalue()).decode()
    return f"<style>.thumb {{ background-image: url(data:image/webp;base64,{data}) }}</style>"


class _Scale:
    """A dot's place in pixels."""

    def __init__(self, dots: Sequence[Dot]):
        xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
        self._left, self._top = min(xs), max(ys)
        self._wide, self._high = max(xs) - min(xs) or 1, max(ys) - min(ys) or 1

    def __call__(self, dot: Dot) -> tuple[float, float]:
        x = MARGIN + (dot.x - self._left) / self._wide * (WIDTH - 2 * MARGIN)
        return x, MARGIN + (self._top - dot.y) / self._high * (HEIGHT - 2 * MARGIN)
