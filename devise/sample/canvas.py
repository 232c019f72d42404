"""A small vector canvas: shapes in unit coordinates, placed, outlined, antialiased; knows no noun, no background."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

SUPERSAMPLE = 3
DARK: Colour = (38, 34, 40)
WHITE: Colour = (250, 249, 244)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor below 1) or mixed with white (factor above 1; 2 is white)."""
    if factor <= 1:
        return tuple(int(part * factor) for part in colour)
    return tuple(int(part + (255 - part) * (factor - 1)) for part in colour)


class Canvas:
    """A transparent sheet on which one thing is drawn, in coordinates where x and y run from -1 to 1, y downwards.

    Shapes gather in a layer. `flush` first draws the outlines of the whole layer and then its fills, so that shapes
    of one layer melt into one body with one outline. The pose (scale, place, turn, slant, flip), the kind of outline
    and the colour drift are drawn from `rng` once, when the canvas is made.

    Args:
        rng: the only source of variation.
        size: side of the finished square picture, in pixels.
        max_turn: the thing is turned by at most this many degrees either way.
    """

    def __init__(self, rng: np.random.Generator, size: int, max_turn: float = 10.0):
        self.rng = rng
        self.image = Image.new("RGBA", (size * SUPERSAMPLE, size * SUPERSAMPLE), (0, 0, 0, 0))
        self._pen = ImageDraw.Draw(self.image)
        self._layer: list[tuple[np.ndarray, Colour, bool]] = []
        half = size * SUPERSAMPLE / 2
        scale = rng.uniform(0.66, 0.96)
        turn = np.deg2rad(rng.uniform(-max_turn, max_turn))
        stretch = np.diag([scale * rng.uniform(0.92, 1.08) * rng.choice([-1, 1]), scale])
        slant = np.array([[1, rng.uniform(-0.08, 0.08)], [0, 1]])
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self._matrix = half * rotation @ slant @ stretch
        self._offset = half * (1 + rng.uniform(-0.14, 0.14, 2))
        self._unit = half * scale
        self._outline = rng.choice(["none", "dark", "tone"], p=[0.3, 0.4, 0.3])
        self._width = rng.uniform(0.018, 0.04)
        self._drift = rng.normal(0, 9, 3)

    def pick(self, *colours: Colour) -> Colour:
        """One of the colours, drifting a little: no two pictures share a palette."""
        chosen = np.array(colours[self.rng.integers(len(colours))]) + self._drift + self.rng.normal(0, 7, 3)
        return tuple(int(part) for part in chosen.clip(0, 255))

    def poly(self, points: Points, fill: Colour, outline: bool = True) -> None:
        """A closed shape with straight sides."""
        self._layer.append((np.asarray(points, float), fill, outline))

    def blob(self, points: Points, fill: Colour, outline: bool = True) -> None:
        """A closed smooth shape through the points."""
        self._layer.append((_smooth(np.asarray(points, float), closed=True), fill, outline))

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, outline: bool = True) -> None:
        """An upright rectangle."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: Colour, turn: float = 0.0, outline: bool = True
    ) -> None:
        """An ellipse of half-axes `rx` and `ry`, turned clockwise by `turn` degrees."""
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        u, v, turned = rx * np.cos(angle), ry * np.sin(angle), np.deg2rad(turn)
        outer = np.stack([x + u * np.cos(turned) - v * np.sin(turned), y + u * np.sin(turned) + v * np.cos(turned)], 1)
        self._layer.append((outer, fill, outline))

    def limb(self, points: Points, radii: Sequence[float], fill: Colour, outline: bool = True) -> None:
        """A smooth limb along the points, as thick as twice the radius given for each, with round ends."""
        path = _smooth(np.asarray(points, float), closed=False)
        radius = np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, len(radii)), radii)[:, None]
        along = np.gradient(path, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
        across = np.stack([-along[:, 1], along[:, 0]], 1)
        fan = np.linspace(0, np.pi, 7)[1:-1, None]
        tip = path[-1] + radius[-1] * (np.cos(fan) * across[-1] + np.sin(fan) * along[-1])
        root = path[0] - radius[0] * (np.cos(fan) * across[0] + np.sin(fan) * along[0])
        ring = np.concatenate([path + radius * across, tip, (path - radius * across)[::-1], root])
        self._layer.append((ring, fill, outline))

    def stroke(self, points: Points, width: float, colour: Colour, smooth: bool = False) -> None:
        """A line of the given width without an outline of its own; it belongs to the layer like a shape."""
        path = np.asarray(points, float)
        if smooth:
            path = _smooth(path, closed=False)
        for start, end in zip(path[:-1], path[1:], strict=True):
            along = (end - start) / (np.linalg.norm(end - start) + 1e-9) * width / 2
            side = np.array([-along[1], along[0]])
            reach = along * 0.5
            ring = np.stack([start - reach + side, end + reach + side, end + reach - side, start - reach - side])
            self._layer.append((ring, colour, False))

    def eye(self, x: float, y: float, radius: float = 0.032) -> None:
        """A dark eye with a glint."""
        self.oval(x, y, radius, radius, DARK, outline=False)
        self.oval(x + radius * 0.3, y - radius * 0.35, radius * 0.35, radius * 0.35, WHITE, outline=False)

    def flush(self) -> None:
        """Draw the layer: its outlines, then its fills in the order they were given."""
        placed = [(self._place(points), fill, outline) for points, fill, outline in self._layer]
        if self._outline != "none":
            width = max(2, round(2 * self._width * self._unit))
            for ring, fill, outline in placed:
                if outline:
                    ink = DARK if self._outline == "dark" else shade(fill, 0.5)
                    self._pen.line(ring + ring[:2], fill=(*ink, 255), width=width, joint="curve")
        for ring, fill, _ in placed:
            self._pen.polygon(ring, fill=(*fill, 255))
        self._layer.clear()

    def _place(self, points: np.ndarray) -> list[tuple[float, float]]:
        return [tuple(point) for point in (points @ self._matrix.T + self._offset).tolist()]


def _smooth(points: np.ndarray, closed: bool, steps: int = 6) -> np.ndarray:
    """A Catmull-Rom curve through the points, `steps` samples a span."""
    if len(points) < 3:
        return points
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    spans = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    return np.concatenate(spans if closed else [*spans, points[-1:]])
