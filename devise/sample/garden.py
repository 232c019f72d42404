"""Fruit, trees and flowers; knows shapes only."""

import numpy as np

from devise.sample.canvas import DARK, WHITE, Canvas, Colour, shade

LEAF: Colour = (96, 150, 70)
BARK: Colour = (122, 88, 62)


def _stalk(c: Canvas, x: float, y: float, height: float, leaf: bool) -> None:
    lean = c.rng.uniform(-0.12, 0.12)
    c.limb([(x, y), (x + lean * 0.4, y - height * 0.6), (x + lean, y - height)], [0.03, 0.03], c.pick(BARK))
    if leaf:
        side = c.rng.choice([-1, 1])
        c.oval(x + side * 0.2, y - height * 0.7, 0.2, 0.085, c.pick(LEAF), turn=side * c.rng.uniform(-35, 5))
    c.flush()


def _glint(c: Canvas, x: float, y: float, size: float, flesh: Colour) -> None:
    c.oval(x, y, size, size * 0.6, shade(flesh, 1.45), turn=-40, outline=False)
    c.flush()


def apple(c: Canvas) -> None:
    flesh = c.pick((206, 56, 48), (150, 190, 70), (226, 190, 80), (130, 44, 66))
    c.blob(
        [(0, -0.4), (0.34, -0.52), (0.62, -0.2), (0.5, 0.4), (0.2, 0.64), (0, 0.58), (-0.2, 0.64), (-0.5, 0.4)]
        + [(-0.62, -0.2), (-0.34, -0.52)],
        flesh,
    )
    _stalk(c, 0, -0.38, 0.34, True)
    _glint(c, -0.3, -0.2, 0.14, flesh)


def pear(c: Canvas) -> None:
    flesh = c.pick((196, 200, 80), (216, 186, 90))
    c.blob(
        [(0, -0.66), (0.2, -0.54), (0.26, -0.2), (0.52, 0.2), (0.44, 0.6), (0, 0.76), (-0.44, 0.6), (-0.52, 0.2)]
        + [(-0.26, -0.2), (-0.2, -0.54)],
        flesh,
    )
    _stalk(c, 0, -0.62, 0.26, c.rng.random() < 0.6)
    _glint(c, -0.22, 0.16, 0.13, flesh)


def _drupe(c: Canvas, flesh: Colour, rx: float, ry: float, blush: Colour) -> None:
    """A stone fruit: an oval with a seam from the stalk downwards."""
    c.oval(0, 0.04, rx, ry, flesh)
    c.flush()
    c.oval(rx * 0.3, 0.08, rx * 0.6, ry * 0.75, blush, outline=False)
    c.limb([(0, 0.04 - ry * 0.96), (-rx * 0.34, 0), (-0.05, ry * 0.9)], [0.02, 0.014], shade(flesh, 0.65), False)
    _stalk(c, 0, 0.08 - ry, 0.24, c.rng.random() < 0.7)
    _glint(c, -rx * 0.55, -ry * 0.35, 0.11, flesh)


def peach(c: Canvas) -> None:
    _drupe(
        c, c.pick((244, 176, 110), (240, 160, 110), (196, 90, 90)), 0.56, 0.56, c.pick((232, 120, 96), (150, 60, 90))
    )


def plum(c: Canvas) -> None:
    flesh = c.pick((104, 58, 110), (80, 60, 124), (120, 50, 80))
    _drupe(c, flesh, 0.46, 0.56, shade(flesh, 1.12))


def cherry(c: Canvas) -> None:
    flesh, top = c.pick((190, 30, 48), (150, 24, 44)), c.rng.uniform(-0.1, 0.2)
    for x, y in ((-0.36, 0.36), (0.34, 0.46)):
        c.limb([(x, y), (x * 0.7 + top, -0.2), (top, -0.7)], [0.025, 0.025], c.pick((110, 130, 60)))
        c.oval(x, y, 0.3, 0.29, flesh)
    c.oval(top + 0.22, -0.62, 0.24, 0.1, c.pick(LEAF), turn=-15)
    c.flush()
    for x, y in ((-0.46, 0.26), (0.24, 0.36)):
        _glint(c, x, y, 0.07, flesh)


def _citrus(c: Canvas, flesh: Colour, rx: float, ry: float, nub: float) -> None:
    """A dimpled fruit, whole or (now and then) with a cut half before it."""
    if nub:
        c.blob([(-rx - nub, 0), (-rx * 0.75, -ry * 0.66), (0, -ry), (rx * 0.75, -ry * 0.66), (rx + nub, 0)]
               + [(rx * 0.75, ry * 0.66), (0, ry), (-rx * 0.75, ry * 0.66)], flesh)  # fmt: skip
    else:
        c.oval(0, 0, rx, ry, flesh)
    c.flush()
    for _ in range(14):
        angle, reach = c.rng.uniform(0, 2 * np.pi), np.sqrt(c.rng.uniform(0, 0.7))
        c.oval(rx * reach * np.cos(angle), ry * reach * np.sin(angle), 0.016, 0.016, shade(flesh, 0.82), outline=False)
    if not nub:
        c.oval(0, -ry * 0.88, 0.07, 0.04, LEAF)
    c.flush()
    _glint(c, -rx * 0.45, -ry * 0.45, 0.12, flesh)
    if c.rng.random() < 0.4:
        x, y, r = c.rng.choice([-0.4, 0.4]), 0.34, 0.36
        c.oval(x, y, r, r, flesh)
        c.flush()
        c.oval(x, y, r * 0.86, r * 0.86, WHITE, outline=False)
        for angle in np.arange(0, 360, 45):
            at = np.deg2rad(angle)
            c.oval(
                x + r * 0.46 * np.cos(at),
                y + r * 0.46 * np.sin(at),
                r * 0.32,
                r * 0.15,
                shade(flesh, 1.2),
                angle,
                False,
            )
        c.flush()


def orange(c: Canvas) -> None:
    _citrus(c, c.pick((242, 150, 44), (236, 136, 40)), 0.56, 0.55, 0.0)


def lemon(c: Canvas) -> None:
    _citrus(c, c.pick((246, 218, 72), (240, 226, 96)), 0.54, 0.44, 0.16)


def lime(c: Canvas) -> None:
    _citrus(c, c.pick((140, 186, 64), (110, 166, 60)), 0.48, 0.42, 0.1)


def banana(c: Canvas) -> None:
    flesh, n_fingers = c.pick((244, 214, 76), (236, 206, 90)), c.rng.integers(1, 4)
    for finger in range(n_fingers):
        drop = finger * 0.2
        c.limb(
            [(-0.72, -0.4), (-0.56, 0.06 + drop), (-0.06, 0.3 + drop), (0.5, 0.14 + drop), (0.72, -0.1 + drop)],
            [0.05, 0.15, 0.17, 0.14, 0.05], shade(flesh, 1 - 0.06 * (n_fingers - finger)),
        )  # fmt: skip
        c.flush()
    c.limb([(-0.74, -0.56), (-0.7, -0.36)], [0.06, 0.07], c.pick((140, 120, 60)))
    c.flush()


def strawberry(c: Canvas) -> None:
    flesh = c.pick((220, 50, 60), (232, 70, 66))
    c.blob(
        [(0, -0.42), (0.42, -0.4), (0.52, 0.0), (0.24, 0.52), (0, 0.7), (-0.24, 0.52), (-0.52, 0.0), (-0.42, -0.4)],
        flesh,
    )
    c.flush()
    for row, n_seeds in enumerate((4, 5, 4, 3, 2)):
        for x in np.linspace(-0.09, 0.09, n_seeds) * n_seeds:
            c.oval(x, -0.22 + row * 0.17, 0.022, 0.034, (246, 214, 130), outline=False)
    for angle in (-75, -40, 0, 40, 75):
        at = np.deg2rad(angle)
        c.oval(0.2 * np.sin(at), -0.46 + 0.1 * (1 - np.cos(at)), 0.2, 0.07, c.pick(LEAF), turn=90 + angle)
    _stalk(c, 0, -0.5, 0.22, False)


def _trunk(c: Canvas, top: float, width: float, bark: Colour) -> None:
    c.poly([(-width, 0.88), (width, 0.88), (width * 0.6, top), (-width * 0.6, top)], bark)
    c.flush()


def _crown(c: Canvas, leaf: Colour, rx: float, ry: float, y: float) -> None:
    for _ in range(9):
        angle, r = c.rng.uniform(0, 2 * np.pi), c.rng.uniform(0.24, 0.36)
        c.oval((rx - r * 0.6) * np.cos(angle), y + (ry - r * 0.6) * np.sin(angle), r, r * 0.9, leaf)
    c.oval(0, y, rx * 0.7, ry * 0.7, leaf, outline=False)
    c.flush()
    for _ in range(12):
        x, dy = c.rng.uniform(-0.7, 0.7) * rx, c.rng.uniform(-0.7, 0.6) * ry
        c.oval(x, y + dy, 0.08, 0.05, shade(leaf, c.rng.choice([0.85, 1.15])), outline=False)
    c.flush()


def oak(c: Canvas) -> None:
    _trunk(c, 0.0, 0.16, c.pick(BARK))
    _crown(c, c.pick((110, 146, 70), (90, 130, 66), (150, 182, 90), (196, 140, 70)), 0.78, 0.56, -0.28)


def birch(c: Canvas) -> None:
    _trunk(c, -0.3, 0.075, c.pick((236, 232, 224)))
    _crown(c, c.pick((150, 182, 90), (214, 190, 90)), 0.48, 0.58, -0.34)
    for y in np.arange(0.3, 0.86, 0.13):
        c.stroke([(-0.05, y), (0.03, y + 0.02)], 0.04, DARK)
    c.flush()


def maple(c: Canvas) -> None:
    _trunk(c, 0.0, 0.11, c.pick(BARK))
    _crown(c, c.pick((210, 84, 46), (226, 130, 50), (214, 190, 90), (130, 170, 80)), 0.64, 0.6, -0.28)


def _conifer(c: Canvas, leaf: Colour, width: float, tiers: int, sag: float, gap: float) -> None:
    _trunk(c, 0.5, 0.09, c.pick(BARK))
    for tier in range(tiers):
        low = 0.62 - tier * (1.3 / tiers)
        half = width * (1 - tier / (tiers + 0.6))
        high = low - 1.3 / tiers - gap
        c.blob([(0, high), (half * 0.45, (low + high) / 2), (half, low + sag), (0, low - sag), (-half, low + sag)]
               + [(-half * 0.45, (low + high) / 2)], shade(leaf, 0.92 + 0.06 * tier))  # fmt: skip
        c.flush()


def pine(c: Canvas) -> None:
    leaf = c.pick((70, 120, 84), (84, 124, 76))
    _trunk(c, -0.5, 0.08, c.pick((160, 96, 64)))
    for x, y, rx in ((-0.3, 0.02, 0.36), (0.32, -0.14, 0.36), (-0.16, -0.42, 0.4), (0.1, -0.68, 0.36)):
        c.stroke([(0, y + 0.16), (x, y)], 0.05, BARK)
        c.oval(x, y, rx, 0.17, leaf)
    c.flush()


def spruce(c: Canvas) -> None:
    _conifer(c, c.pick((62, 112, 100), (80, 124, 120)), 0.56, int(c.rng.integers(4, 6)), 0.06, 0.14)


def fir(c: Canvas) -> None:
    _conifer(c, c.pick((64, 118, 66), (74, 130, 80)), 0.5, int(c.rng.integers(3, 5)), 0.01, 0.16)


def palm(c: Canvas) -> None:
    lean = c.rng.uniform(-0.25, 0.25)
    c.limb([(0, 0.88), (lean * 0.3, 0.3), (lean, -0.36)], [0.1, 0.07, 0.06], c.pick((160, 124, 84)))
    c.flush()
    for angle in (-165, -130, -90, -50, -15, 20, 160):
        at = np.deg2rad(angle + c.rng.uniform(-8, 8))
        tip = (lean + 0.72 * np.cos(at), -0.26 + 0.5 * np.sin(at))
        middle = (lean + 0.42 * np.cos(at), -0.46 + 0.42 * np.sin(at))
        c.limb([(lean, -0.4), middle, tip], [0.05, 0.085, 0.015], c.pick((96, 156, 76)))
    c.flush()
    for x in (-0.07, 0.07):
        c.oval(lean + x, -0.3, 0.07, 0.08, c.pick((120, 80, 50)))
    c.flush()


def _stem(c: Canvas, leaf: Colour) -> None:
    lean = c.rng.uniform(-0.08, 0.08)
    c.limb([(lean, 0.95), (lean * 0.4, 0.4), (0, -0.2)], [0.04, 0.035], leaf)
    for side in (-1, 1):
        c.limb([(lean, 0.8), (side * 0.2, 0.5), (side * 0.36, 0.2 + lean)], [0.03, 0.09, 0.015], leaf)
    c.flush()


def tulip(c: Canvas) -> None:
    petal = c.pick((220, 60, 70), (240, 190, 70), (200, 100, 170))
    _stem(c, c.pick(LEAF))
    c.blob(
        [(-0.3, -0.66), (-0.16, -0.5), (0, -0.76), (0.16, -0.5), (0.3, -0.66), (0.34, -0.26), (0, 0), (-0.34, -0.26)],
        petal,
    )
    c.flush()
    c.blob([(0, -0.72), (0.13, -0.36), (0, -0.02), (-0.13, -0.36)], shade(petal, 0.88), outline=False)
    c.flush()


def _rays(c: Canvas, petal: Colour, heart: Colour, n_petals: int, reach: float, width: float, core: float) -> None:
    _stem(c, c.pick(LEAF))
    start = c.rng.uniform(0, 90)
    for angle in np.arange(0, 360, 360 / n_petals) + start:
        at = np.deg2rad(angle)
        c.oval(reach * 0.62 * np.cos(at), -0.34 + reach * 0.62 * np.sin(at), reach * 0.42, width, petal, angle)
    c.flush()
    c.oval(0, -0.34, core, core, heart)
    c.flush()


def daisy(c: Canvas) -> None:
    _rays(c, c.pick(WHITE), c.pick((240, 196, 60)), int(c.rng.integers(10, 14)), 0.5, 0.085, 0.15)


def sunflower(c: Canvas) -> None:
    _rays(
        c, c.pick((246, 196, 50), (240, 180, 40)), c.pick((110, 72, 44)), int(c.rng.integers(14, 18)), 0.56, 0.085, 0.29
    )


def poppy(c: Canvas) -> None:
    _rays(c, c.pick((222, 62, 44), (232, 84, 50)), DARK, int(c.rng.integers(4, 6)), 0.46, 0.26, 0.11)


FRUIT = {
    "apple": apple, "pear": pear, "peach": peach, "plum": plum, "cherry": cherry, "orange": orange, "lemon": lemon,
    "lime": lime, "banana": banana, "strawberry": strawberry,
}  # fmt: skip
PLANTS = {
    "oak": oak, "birch": birch, "maple": maple, "pine": pine, "spruce": spruce, "fir": fir, "palm": palm,
    "tulip": tulip, "daisy": daisy, "sunflower": sunflower, "poppy": poppy,
}  # fmt: skip
