"""Tools on shafts and furniture on legs; knows shapes only."""

import numpy as np

from devise.sample.canvas import WHITE, Canvas, Colour, shade

WOOD: tuple[Colour, ...] = ((176, 122, 74), (140, 94, 60), (206, 160, 104), (110, 76, 56))
STEEL: tuple[Colour, ...] = ((160, 166, 176), (130, 138, 150), (186, 188, 190))
GRIPS: tuple[Colour, ...] = ((206, 62, 56), (60, 110, 180), (240, 190, 60), (60, 60, 66))
FABRICS: tuple[Colour, ...] = ((180, 80, 76), (80, 120, 150), (120, 150, 110), (200, 160, 100), (130, 110, 140))


def _shaft(c: Canvas, top: float, foot: float, width: float = 0.065) -> None:
    c.limb([(0, top), (0, foot)], [width * 0.85, width], c.pick(*WOOD))
    c.flush()


def hammer(c: Canvas) -> None:
    _shaft(c, -0.5, 0.8)
    steel = c.pick(*STEEL)
    c.blob([(-0.5, -0.74), (-0.1, -0.74), (0.16, -0.72), (0.5, -0.46), (0.14, -0.5), (-0.1, -0.5), (-0.5, -0.5)], steel)
    c.box(-0.54, -0.77, -0.4, -0.46, shade(steel, 0.85))
    c.flush()


def mallet(c: Canvas) -> None:
    _shaft(c, -0.5, 0.8)
    head, half = c.pick(*WOOD, (70, 66, 68)), c.rng.uniform(0.38, 0.48)
    c.box(-half, -0.8, half, -0.4, head)
    c.flush()
    for x in (-half + 0.08, half - 0.08):
        c.stroke([(x, -0.8), (x, -0.4)], 0.03, shade(head, 0.7))
    c.flush()


def axe(c: Canvas) -> None:
    _shaft(c, -0.78, 0.82)
    steel = c.pick(*STEEL)
    c.blob(
        [(-0.08, -0.7), (0.12, -0.68), (0.46, -0.84), (0.54, -0.5), (0.44, -0.18), (0.12, -0.42), (-0.08, -0.42)], steel
    )
    c.flush()
    c.limb([(0.45, -0.8), (0.52, -0.5), (0.44, -0.22)], [0.03, 0.035], shade(steel, 1.5), False)
    c.flush()


def saw(c: Canvas) -> None:
    steel, n_teeth = c.pick(*STEEL), int(c.rng.integers(9, 14))
    teeth = [
        point
        for x, step in zip(np.linspace(-0.3, 0.9, n_teeth), [1.2 / n_teeth] * n_teeth, strict=True)
        for point in ((x, 0.24 - 0.1 * (x + 0.3)), (x + step / 2, 0.34 - 0.1 * (x + 0.3)))
    ]
    c.poly([(-0.4, -0.22), (0.96, 0.0), (0.96, 0.1), *teeth[::-1], (-0.4, 0.26)], steel)
    c.flush()
    c.blob([(-0.3, -0.26), (-0.66, -0.3), (-0.86, 0.0), (-0.66, 0.32), (-0.3, 0.28)], c.pick(*WOOD, *GRIPS[:2]))
    c.flush()
    c.oval(-0.6, 0.0, 0.1, 0.14, WHITE)
    c.flush()


def _driver(c: Canvas, blade: float, tip: str) -> None:
    """A handle above, a blade or rod below."""
    grip = c.pick(*GRIPS, *WOOD[:2])
    steel = c.pick(*STEEL)
    c.box(-blade, -0.1, blade, 0.6, steel)
    if tip == "edge":
        c.poly([(-blade, 0.56), (blade, 0.56), (blade, 0.86), (-blade, 0.74)], steel)
    else:
        c.poly(
            [(-blade, 0.58), (-blade * 1.7, 0.74), (-blade, 0.84), (blade, 0.84), (blade * 1.7, 0.74), (blade, 0.58)],
            steel,
        )
    c.flush()
    c.limb([(0, -0.78), (0, -0.4), (0, -0.08)], [0.12, 0.17, 0.12], grip)
    c.flush()
    for x in (-0.07, 0.07):
        c.stroke([(x, -0.7), (x, -0.2)], 0.025, shade(grip, 0.75))
    c.flush()


def screwdriver(c: Canvas) -> None:
    _driver(c, 0.045, "tip")


def chisel(c: Canvas) -> None:
    _driver(c, c.rng.uniform(0.09, 0.12), "edge")


def _grip(c: Canvas) -> None:
    c.stroke(
        [(0, -0.6), (-0.16, -0.72), (-0.16, -0.86), (0.16, -0.86), (0.16, -0.72), (0, -0.6)],
        0.07,
        c.pick(*WOOD, *GRIPS),
    )
    c.flush()


def shovel(c: Canvas) -> None:
    _grip(c)
    _shaft(c, -0.58, 0.2, 0.05)
    c.blob(
        [(-0.1, 0.1), (-0.32, 0.18), (-0.32, 0.56), (0, 0.9), (0.32, 0.56), (0.32, 0.18), (0.1, 0.1)], c.pick(*STEEL)
    )
    c.flush()


def spade(c: Canvas) -> None:
    _grip(c)
    _shaft(c, -0.58, 0.2, 0.05)
    c.poly([(-0.26, 0.1), (-0.27, 0.7), (-0.2, 0.86), (0.2, 0.86), (0.27, 0.7), (0.26, 0.1)], c.pick(*STEEL))
    c.flush()


def _toothed(c: Canvas, half: float, n_teeth: int, length: float, y: float, tone: Colour) -> None:
    for x in np.linspace(-half, half, n_teeth):
        c.limb([(x, y), (x, y + length)], [0.032, 0.018], tone)
    c.limb([(-half, y), (half, y)], [0.05, 0.05], tone)
    c.flush()


def rake(c: Canvas) -> None:
    _shaft(c, -0.86, 0.52, 0.045)
    _toothed(c, c.rng.uniform(0.36, 0.46), int(c.rng.integers(6, 9)), 0.26, 0.54, c.pick(*STEEL, *GRIPS[:2]))


def pitchfork(c: Canvas) -> None:
    _shaft(c, -0.86, 0.3, 0.045)
    _toothed(c, c.rng.uniform(0.24, 0.3), int(c.rng.integers(3, 5)), 0.52, 0.32, c.pick(*STEEL))


def _posts(c: Canvas, xs: tuple[float, ...], top: float, wood: Colour, width: float = 0.05, foot: float = 0.82) -> None:
    for x in xs:
        c.limb([(x, top), (x, foot)], [width, width * 0.8], wood)


def chair(c: Canvas) -> None:
    wood, slant = c.pick(*WOOD), c.rng.uniform(0.0, 0.14)
    _posts(c, (-0.28, 0.4), 0.12, shade(wood, 0.75))
    c.flush()
    c.limb([(-0.4 - slant, -0.8), (-0.36, 0.1), (-0.38, 0.82)], [0.05, 0.05], wood)
    for y in (-0.72, -0.44, -0.18):
        c.limb([(-0.39 - slant * (0.1 - y), y), (-0.14 - slant * (0.1 - y), y - 0.06)], [0.05, 0.05], wood)
    c.limb([(-0.14 - slant, -0.84), (-0.14, 0.04)], [0.045, 0.045], shade(wood, 0.9))
    _posts(c, (0.3,), 0.12, wood)
    c.poly(
        [(-0.42, 0.1), (-0.16, -0.02), (0.48, -0.02), (0.36, 0.1), (0.36, 0.18), (-0.42, 0.18)], c.pick(*FABRICS, wood)
    )
    c.flush()


def armchair(c: Canvas) -> None:
    cloth = c.pick(*FABRICS)
    _posts(c, (-0.5, 0.5), 0.5, c.pick(*WOOD), 0.06, 0.78)
    c.blob([(-0.46, 0.4), (-0.5, -0.6), (-0.2, -0.74), (0.2, -0.74), (0.5, -0.6), (0.46, 0.4)], shade(cloth, 0.9))
    c.flush()
    c.box(-0.44, 0.08, 0.44, 0.62, shade(cloth, 1.12))
    c.flush()
    for x in (-0.54, 0.54):
        c.limb([(x, 0.06), (x, 0.56)], [0.15, 0.13], cloth)
        c.flush()


def sofa(c: Canvas) -> None:
    cloth, half = c.pick(*FABRICS), c.rng.uniform(0.72, 0.82)
    _posts(c, (-half + 0.08, half - 0.08), 0.4, c.pick(*WOOD), 0.055, 0.62)
    c.blob(
        [(-half, 0.3), (-half, -0.34), (-half * 0.6, -0.44), (half * 0.6, -0.44), (half, -0.34), (half, 0.3)],
        shade(cloth, 0.9),
    )
    c.flush()
    for x in (-0.36, 0.36):
        c.box(x - 0.35, 0.04, x + 0.35, 0.46, shade(cloth, 1.12))
        c.flush()
    for x in (-half, half):
        c.limb([(x, 0.04), (x, 0.42)], [0.13, 0.11], cloth)
        c.flush()


def stool(c: Canvas) -> None:
    wood, spread = c.pick(*WOOD), c.rng.uniform(0.04, 0.16)
    for x in (-0.3, 0.3, 0.0):
        c.limb([(x, -0.1), (x * (1 + spread * 4), 0.8)], [0.05, 0.04], shade(wood, 0.8 if x == 0 else 1))
    c.stroke([(-0.34, 0.42), (0.34, 0.42)], 0.05, wood)
    c.flush()
    c.oval(0, -0.12, 0.44, 0.14, c.pick(wood, *FABRICS))
    c.flush()


def table(c: Canvas) -> None:
    wood, half, top = c.pick(*WOOD), c.rng.uniform(0.68, 0.82), c.rng.uniform(-0.24, -0.08)
    _posts(c, (-half + 0.22, half - 0.22), top, shade(wood, 0.75), 0.05, 0.62)
    c.flush()
    _posts(c, (-half + 0.06, half - 0.06), top, wood, 0.055, 0.76)
    c.poly(
        [
            (-half, top),
            (-half + 0.2, top - 0.2),
            (half - 0.2, top - 0.2),
            (half, top),
            (half, top + 0.1),
            (-half, top + 0.1),
        ],
        wood,
    )
    c.flush()


def _drawers(c: Canvas, x0: float, x1: float, y0: float, y1: float, n_rows: int, wood: Colour) -> None:
    step = (y1 - y0) / n_rows
    for row in range(n_rows):
        top = y0 + row * step
        c.box(x0 + 0.03, top + 0.03, x1 - 0.03, top + step - 0.03, shade(wood, 1.2), outline=False)
        c.oval((x0 + x1) / 2, top + step / 2, 0.035, 0.03, shade(wood, 0.5), outline=False)
    c.flush()


def desk(c: Canvas) -> None:
    wood, half, top = c.pick(*WOOD), c.rng.uniform(0.7, 0.82), c.rng.uniform(-0.24, -0.1)
    _posts(c, (-half + 0.06, -half + 0.24), top, wood, 0.05, 0.74)
    c.box(half - 0.56, top, half - 0.04, 0.72, wood)
    c.flush()
    _drawers(c, half - 0.54, half - 0.06, top + 0.1, 0.7, 3, wood)
    c.poly(
        [
            (-half, top),
            (-half + 0.16, top - 0.16),
            (half - 0.16, top - 0.16),
            (half, top),
            (half, top + 0.1),
            (-half, top + 0.1),
        ],
        wood,
    )
    c.flush()


def bed(c: Canvas) -> None:
    wood, cloth, head = c.pick(*WOOD), c.pick(*FABRICS), c.rng.uniform(-0.5, -0.3)
    _posts(c, (-0.84,), head, wood, 0.07, 0.6)
    _posts(c, (0.84,), -0.06, wood, 0.065, 0.6)
    c.box(-0.84, 0.26, 0.84, 0.42, wood)
    c.flush()
    c.box(-0.78, 0.02, 0.78, 0.28, WHITE)
    c.oval(-0.56, -0.06, 0.22, 0.12, WHITE)
    c.flush()
    c.blob([(-0.3, -0.06), (0.2, -0.1), (0.76, -0.02), (0.8, 0.3), (0.2, 0.32), (-0.34, 0.28)], cloth)
    c.flush()


def _case(c: Canvas, wood: Colour, half: float, top: float) -> None:
    _posts(c, (-half + 0.08, half - 0.08), 0.7, shade(wood, 0.8), 0.05, 0.86)
    c.box(-half, top, half, 0.76, wood)
    c.box(-half - 0.05, top - 0.08, half + 0.05, top, shade(wood, 0.85))
    c.flush()


def bookcase(c: Canvas) -> None:
    wood, half, top = c.pick(*WOOD), c.rng.uniform(0.42, 0.56), -0.76
    _case(c, wood, half, top)
    for shelf in np.arange(top + 0.08, 0.7, 0.36):
        c.box(-half + 0.06, shelf, half - 0.06, shelf + 0.3, shade(wood, 0.5), outline=False)
        x = -half + 0.08
        while x < half - 0.16:
            width, height = c.rng.uniform(0.05, 0.1), c.rng.uniform(0.16, 0.28)
            c.box(x, shelf + 0.3 - height, x + width, shelf + 0.3, c.pick(*FABRICS, *GRIPS), outline=False)
            x += width + c.rng.choice([0.01, 0.01, 0.08])
    c.flush()


def wardrobe(c: Canvas) -> None:
    wood, half, top = c.pick(*WOOD), c.rng.uniform(0.44, 0.56), -0.78
    _case(c, wood, half, top)
    for x in (-half * 0.5, half * 0.5):
        c.box(x - half * 0.4, top + 0.1, x + half * 0.4, 0.4, shade(wood, 1.18), outline=False)
        c.oval(x * 0.3, -0.1, 0.03, 0.05, shade(wood, 0.45), outline=False)
    c.flush()
    _drawers(c, -half, half, 0.46, 0.74, 1, wood)


TOOLS = {
    "hammer": hammer, "mallet": mallet, "axe": axe, "saw": saw, "screwdriver": screwdriver, "chisel": chisel,
    "shovel": shovel, "spade": spade, "rake": rake, "pitchfork": pitchfork,
}  # fmt: skip
FURNITURE = {
    "chair": chair, "armchair": armchair, "sofa": sofa, "stool": stool, "table": table, "desk": desk, "bed": bed,
    "bookcase": bookcase, "wardrobe": wardrobe,
}  # fmt: skip
