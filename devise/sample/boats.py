"""Boats: hulls, masts and the water they float in; knows shapes only."""

import numpy as np

from devise.sample.canvas import DARK, WHITE, Canvas, Colour, shade

WOOD: Colour = (150, 100, 62)
HULLS: tuple[Colour, ...] = ((206, 62, 56), (60, 100, 160), (240, 236, 226), (70, 76, 90), (90, 140, 110), WOOD)
CLOTHS: tuple[Colour, ...] = (WHITE, (244, 228, 196), (226, 96, 70), (240, 200, 90))
WINDOW: Colour = (70, 100, 130)


def _sea(c: Canvas, level: float) -> None:
    """Water over the lower part of all that was drawn so far."""
    tone, length = c.pick((84, 146, 186), (70, 136, 160), (112, 176, 196)), c.rng.uniform(0.2, 0.34)
    phase, height = c.rng.uniform(0, 6), c.rng.uniform(0.015, 0.04)
    crest = [(x, level + height * np.sin(phase + 2 * np.pi * x / length)) for x in np.linspace(-2.4, 2.4, 90)]
    c.poly([*crest, (2.4, 2.6), (-2.4, 2.6)], tone, outline=False)
    for _ in range(7):
        x, y = c.rng.uniform(-1.1, 1.1), level + c.rng.uniform(0.1, 0.5)
        c.stroke([(x, y), (x + c.rng.uniform(0.1, 0.24), y)], 0.02, shade(tone, 1.25))
    c.flush()


def _hull(c: Canvas, x0: float, x1: float, top: float, paint: Colour, bow: float = 0.16, stern: float = 0.06) -> None:
    c.poly([(x0 - stern, top), (x1 + bow, top - 0.04), (x1 - 0.04, 0.62), (x0 + 0.06, 0.62)], paint)
    c.flush()
    c.stroke([(x0 - stern, top + 0.05), (x1 + bow - 0.05, top + 0.02)], 0.035, shade(paint, 1.45))
    c.flush()


def _mast(c: Canvas, x: float, top: float, foot: float = 0.3) -> None:
    c.stroke([(x, foot), (x, top)], 0.04, shade(WOOD, 0.8))
    c.flush()


def _sail(c: Canvas, x: float, top: float, reach: float, foot: float, cloth: Colour) -> None:
    """A three-cornered sail on the mast at x; a negative reach is the sail before the mast's other side."""
    belly = reach * c.rng.uniform(0.02, 0.12)
    gap = 0.04 if reach > 0 else -0.04
    c.blob([(x + gap, top), (x + reach * 0.6 + belly, (top + foot) / 2), (x + reach, foot), (x + gap, foot),
            (x + gap, (top + foot) / 2)], cloth)  # fmt: skip


def sailboat(c: Canvas) -> None:
    _mast(c, -0.04, -0.86)
    _sail(c, -0.04, -0.84, -0.58, 0.14, c.pick(*CLOTHS))
    _sail(c, -0.04, -0.7, 0.48, 0.16, c.pick(*CLOTHS))
    c.flush()
    _hull(c, -0.5, 0.46, 0.28, c.pick(*HULLS))
    _sea(c, 0.48)


def ketch(c: Canvas) -> None:
    cloth = c.pick(*CLOTHS)
    _mast(c, 0.1, -0.86)
    _mast(c, -0.5, -0.42)
    _sail(c, 0.1, -0.84, -0.46, 0.14, cloth)
    _sail(c, 0.1, -0.72, 0.52, 0.16, cloth)
    _sail(c, -0.5, -0.4, -0.3, 0.16, cloth)
    c.flush()
    _hull(c, -0.66, 0.58, 0.28, c.pick(*HULLS))
    _sea(c, 0.48)


def schooner(c: Canvas) -> None:
    cloth = c.pick(*CLOTHS)
    for x, top in ((-0.26, -0.86), (0.24, -0.72)):
        _mast(c, x, top)
        c.poly([(x - 0.04, top + 0.2), (x - 0.34, top + 0.06), (x - 0.44, 0.14), (x - 0.04, 0.14)], cloth)
    _sail(c, 0.24, -0.7, 0.36, 0.14, cloth)
    _sail(c, 0.36, -0.5, 0.46, 0.2, shade(cloth, 0.92))
    c.flush()
    _hull(c, -0.76, 0.62, 0.28, c.pick(*HULLS), bow=0.24)
    _sea(c, 0.48)


def _portholes(c: Canvas, x0: float, x1: float, y: float, step: float = 0.14) -> None:
    for x in np.arange(x0, x1, step):
        c.oval(x, y, 0.035, 0.035, WINDOW, outline=False)
    c.flush()


def _deck(c: Canvas, x0: float, x1: float, top: float, foot: float, paint: Colour) -> None:
    c.box(x0, top, x1, foot, paint)
    c.flush()
    step = 0.15
    for x in np.arange(x0 + 0.05, x1 - 0.1, step):
        c.box(x, top + 0.05, x + 0.09, top + 0.12, WINDOW, outline=False)
    c.flush()


def _funnel(c: Canvas, x: float, top: float, foot: float, paint: Colour, smoke: bool) -> None:
    if smoke:
        for puff in range(3):
            c.oval(
                x - 0.1 - puff * 0.14,
                top - 0.08 - puff * 0.07,
                0.08 + puff * 0.02,
                0.06,
                (206, 204, 204),
                outline=False,
            )
    c.poly([(x - 0.09, foot), (x - 0.07, top), (x + 0.09, top), (x + 0.11, foot)], paint)
    c.flush()
    c.box(x - 0.07, top + 0.02, x + 0.09, top + 0.08, DARK, outline=False)
    c.flush()


def ferry(c: Canvas) -> None:
    paint = c.pick(*HULLS[:3])
    _funnel(c, -0.3, -0.56, -0.2, c.pick(*HULLS[:2]), c.rng.random() < 0.5)
    _deck(c, -0.5, 0.3, -0.26, -0.06, c.pick(WHITE))
    _deck(c, -0.74, 0.56, -0.06, 0.16, c.pick(WHITE))
    _hull(c, -0.86, 0.82, 0.16, paint, bow=0.08)
    _portholes(c, -0.7, 0.8, 0.3)
    _sea(c, 0.46)


def liner(c: Canvas) -> None:
    paint = c.pick((50, 54, 66), (60, 60, 80), (130, 46, 44))
    for x in (-0.4, -0.08, 0.24)[: int(c.rng.integers(2, 4))]:
        _funnel(c, x, -0.56, -0.16, c.pick((216, 90, 60)), c.rng.random() < 0.5)
    _deck(c, -0.6, 0.48, -0.2, 0.0, c.pick(WHITE))
    _deck(c, -0.78, 0.62, -0.02, 0.16, c.pick(WHITE))
    _hull(c, -0.84, 0.78, 0.14, paint, bow=0.18, stern=0.1)
    _portholes(c, -0.8, 0.84, 0.28, 0.12)
    _sea(c, 0.48)


def tugboat(c: Canvas) -> None:
    paint = c.pick(*HULLS[:2], HULLS[3])
    _funnel(c, -0.24, -0.6, 0.1, c.pick((220, 90, 60), (240, 190, 70)), True)
    _deck(c, 0.0, 0.42, -0.38, -0.1, c.pick(WHITE, (240, 210, 150)))
    _deck(c, -0.36, 0.5, -0.1, 0.18, c.pick(WHITE, (240, 210, 150)))
    _hull(c, -0.62, 0.58, 0.16, paint)
    for x in (-0.4, -0.1, 0.2):
        c.oval(x, 0.36, 0.075, 0.085, DARK)
    c.flush()
    _sea(c, 0.5)


def freighter(c: Canvas) -> None:
    _deck(c, -0.8, -0.46, -0.46, 0.1, c.pick(WHITE))
    _funnel(c, -0.66, -0.7, -0.46, c.pick(*HULLS[:2]), False)
    for row in range(int(c.rng.integers(1, 4))):
        for x in np.arange(-0.36, 0.6, 0.22):
            c.box(x, -0.04 - row * 0.17, x + 0.2, 0.12 - row * 0.17, c.pick(*HULLS))
    c.flush()
    _hull(c, -0.86, 0.76, 0.12, c.pick(*HULLS[:2], HULLS[3]), bow=0.2)
    _sea(c, 0.46)


def _open_boat(c: Canvas, paint: Colour, half: float, sheer: float, depth: float) -> None:
    """A small open boat: ends raised by `sheer`, `depth` deep."""
    c.blob([(-half, 0.1 - sheer), (-half * 0.7, 0.2), (0, 0.24), (half * 0.7, 0.2), (half, 0.1 - sheer),
            (half * 0.78, 0.2 + depth), (0, 0.26 + depth), (-half * 0.78, 0.2 + depth)], paint)  # fmt: skip
    c.flush()
    c.limb(
        [(-half * 0.9, 0.12 - sheer * 0.4), (0, 0.26), (half * 0.9, 0.12 - sheer * 0.4)],
        [0.014] * 2,
        shade(paint, 1.4),
        False,
    )
    c.flush()


def _oars(c: Canvas, xs: tuple[float, ...], blade: float, lean: float) -> None:
    for x in xs:
        c.stroke([(x, -0.34), (x + lean, 0.44)], 0.035, shade(WOOD, 1.2))
        c.oval(x + lean * 1.1, 0.5, 0.06, blade, shade(WOOD, 1.3))
    c.flush()


def canoe(c: Canvas) -> None:
    _open_boat(c, c.pick(WOOD, (206, 62, 56), (90, 140, 110)), 0.92, 0.16, 0.2)
    _oars(c, (c.rng.uniform(-0.4, 0.3),), 0.13, 0.16)
    _sea(c, 0.42)


def kayak(c: Canvas) -> None:
    paint, tilt = c.pick((240, 190, 60), (220, 84, 60), (80, 150, 190)), c.rng.uniform(-0.24, 0.24)
    c.limb([(0.0, 0.1), (0.02, -0.18)], [0.15, 0.13], c.pick(*HULLS[:2]))
    c.oval(0.03, -0.38, 0.12, 0.13, c.pick((230, 186, 150), (150, 104, 76)))
    c.flush()
    _open_boat(c, paint, 0.95, 0.02, 0.12)
    c.stroke([(-0.56, -0.1 - tilt), (0.6, -0.1 + tilt)], 0.035, DARK)
    for side in (-1, 1):
        c.oval(side * 0.62, -0.1 + side * tilt, 0.12, 0.06, paint)
    c.flush()
    _sea(c, 0.4)


def rowboat(c: Canvas) -> None:
    _open_boat(c, c.pick(WOOD, *HULLS[:3]), 0.74, 0.06, 0.26)
    _oars(c, (-0.2, 0.26), 0.11, -0.2)
    _sea(c, 0.44)


def gondola(c: Canvas) -> None:
    x = c.rng.uniform(-0.6, -0.4)
    c.limb([(x, 0.16), (x + 0.02, -0.24)], [0.07, 0.09], c.pick(WHITE, (210, 80, 70)))
    c.oval(x + 0.03, -0.42, 0.08, 0.09, (226, 180, 146))
    c.limb([(x - 0.1, -0.5), (x + 0.16, -0.5)], [0.03, 0.03], (236, 206, 130))
    c.stroke([(x + 0.1, -0.3), (x - 0.3, 0.5)], 0.035, WOOD)
    c.flush()
    _open_boat(c, c.pick((46, 44, 50), (70, 40, 46)), 0.94, 0.34, 0.16)
    _sea(c, 0.38)


DRAWINGS = {
    "sailboat": sailboat, "ketch": ketch, "schooner": schooner, "ferry": ferry, "liner": liner, "tugboat": tugboat,
    "freighter": freighter, "canoe": canoe, "kayak": kayak, "rowboat": rowboat, "gondola": gondola,
}  # fmt: skip
