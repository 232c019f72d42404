"""Buildings: walls, roofs, doors and windows put together; knows shapes only."""

import numpy as np

from devise.sample.canvas import DARK, WHITE, Canvas, Colour, shade

WALLS: tuple[Colour, ...] = ((238, 222, 190), (226, 200, 170), (240, 238, 230), (200, 124, 96), (206, 214, 210))
ROOFS: tuple[Colour, ...] = ((176, 78, 58), (120, 76, 62), (92, 96, 108), (150, 110, 70))
STONES: tuple[Colour, ...] = ((190, 182, 170), (206, 190, 160), (168, 166, 170))
GLASS: Colour = (140, 184, 208)


def _window(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    glass = (250, 222, 130) if c.rng.random() < 0.2 else GLASS
    c.box(x - w, y - h, x + w, y + h, glass, outline=False)
    c.stroke([(x, y - h), (x, y + h)], 0.018, WHITE)
    c.stroke([(x - w, y), (x + w, y)], 0.018, WHITE)


def _door(c: Canvas, x: float, foot: float, w: float, h: float, arched: bool = False) -> None:
    paint = c.pick((130, 84, 56), (90, 110, 90), (150, 60, 56))
    c.box(x - w, foot - h, x + w, foot, paint, outline=False)
    if arched:
        c.oval(x, foot - h, w, w * 1.2, paint, outline=False)
    c.oval(x + w * 0.55, foot - h * 0.45, 0.018, 0.018, DARK, outline=False)


def _gable(c: Canvas, x: float, y: float, half: float, rise: float, roof: Colour, eave: float = 0.09) -> None:
    c.poly([(x - half - eave, y), (x, y - rise), (x + half + eave, y)], roof)
    c.flush()


def house(c: Canvas) -> None:
    wall, roof, half = c.pick(*WALLS), c.pick(*ROOFS), c.rng.uniform(0.46, 0.58)
    c.box(half * 0.4, -0.74, half * 0.4 + 0.13, -0.3, shade(roof, 0.85))
    c.box(-half, -0.2, half, 0.7, wall)
    c.flush()
    _gable(c, 0, -0.2, half, c.rng.uniform(0.44, 0.58), roof)
    for x in (-half * 0.55, half * 0.55):
        _window(c, x, 0.04, 0.1, 0.12)
    _window(c, half * 0.55, 0.42, 0.1, 0.12)
    _door(c, -half * 0.5, 0.7, 0.1, 0.36)
    c.flush()


def cottage(c: Canvas) -> None:
    wall, roof, half = c.pick(*WALLS[:3]), c.pick((170, 136, 84), *ROOFS[:2]), c.rng.uniform(0.5, 0.62)
    c.box(-half * 0.6, -0.5, -half * 0.6 + 0.15, -0.1, c.pick(*STONES))
    c.box(-half, 0.1, half, 0.66, wall)
    c.flush()
    c.blob(
        [(-half - 0.14, 0.16), (-half * 0.7, -0.3), (0, -0.4), (half * 0.7, -0.3), (half + 0.14, 0.16), (0, 0.12)], roof
    )
    c.flush()
    for x in (-half * 0.6, half * 0.6):
        _window(c, x, 0.34, 0.11, 0.1)
    _door(c, 0, 0.66, 0.1, 0.34, arched=True)
    c.flush()
    for x in (-half, half):
        for _ in range(3):
            c.oval(x + c.rng.uniform(-0.14, 0.14), 0.64, 0.1, 0.09, (104, 150, 80), outline=False)
    c.flush()


def barn(c: Canvas) -> None:
    wall, half = c.pick((182, 60, 50), (160, 70, 56), (150, 110, 76)), c.rng.uniform(0.54, 0.64)
    c.poly(
        [(-half, 0.7), (-half, -0.1), (-half * 0.66, -0.5), (0, -0.72), (half * 0.66, -0.5), (half, -0.1), (half, 0.7)],
        wall,
    )
    c.flush()
    edge = [(-half - 0.06, -0.04), (-half * 0.68, -0.54), (0, -0.76), (half * 0.68, -0.54), (half + 0.06, -0.04)]
    c.stroke(edge, 0.1, c.pick(*ROOFS[1:]))
    c.box(-0.24, 0.2, 0.24, 0.7, shade(wall, 0.75), outline=False)
    for line in ([(-0.24, 0.2), (0.24, 0.7)], [(0.24, 0.2), (-0.24, 0.7)], [(-0.24, 0.2), (0.24, 0.2)]):
        c.stroke(line, 0.035, WHITE)
    c.stroke([(-0.24, 0.7), (-0.24, 0.2)], 0.035, WHITE)
    c.stroke([(0.24, 0.7), (0.24, 0.2)], 0.035, WHITE)
    c.box(-0.1, -0.36, 0.1, -0.14, shade(wall, 0.6), outline=False)
    c.flush()


def _cross(c: Canvas, x: float, y: float) -> None:
    c.stroke([(x, y), (x, y - 0.18)], 0.03, DARK)
    c.stroke([(x - 0.06, y - 0.12), (x + 0.06, y - 0.12)], 0.03, DARK)


def church(c: Canvas) -> None:
    wall, roof = c.pick(*WALLS[:3], *STONES), c.pick(*ROOFS)
    c.box(-0.2, 0.0, 0.72, 0.72, wall)
    c.flush()
    c.poly([(-0.24, 0.04), (-0.1, -0.3), (0.62, -0.3), (0.8, 0.04)], roof)
    c.flush()
    c.box(-0.6, -0.34, -0.14, 0.72, shade(wall, 0.94))
    c.flush()
    _gable(c, -0.37, -0.34, 0.23, c.rng.uniform(0.36, 0.46), roof, 0.05)
    _cross(c, -0.37, -0.72)
    for x in (0.08, 0.32, 0.56):
        c.oval(x, 0.24, 0.06, 0.12, GLASS, outline=False)
        c.box(x - 0.06, 0.24, x + 0.06, 0.46, GLASS, outline=False)
    c.oval(-0.37, -0.14, 0.09, 0.09, GLASS, outline=False)
    _door(c, -0.37, 0.72, 0.11, 0.3, arched=True)
    c.flush()


def chapel(c: Canvas) -> None:
    wall, roof, half = c.pick(*WALLS[:3], *STONES), c.pick(*ROOFS), c.rng.uniform(0.36, 0.44)
    c.box(-0.11, -0.72, 0.11, -0.3, wall)
    c.flush()
    _gable(c, 0, -0.7, 0.11, 0.18, roof, 0.04)
    _cross(c, 0, -0.84)
    c.oval(0, -0.58, 0.05, 0.06, DARK, outline=False)
    c.box(-half, -0.06, half, 0.72, wall)
    c.flush()
    _gable(c, 0, -0.04, half, 0.46, roof)
    c.oval(0, -0.2, 0.08, 0.08, GLASS, outline=False)
    for x in (-half * 0.62, half * 0.62):
        c.oval(x, 0.2, 0.06, 0.11, GLASS, outline=False)
        c.box(x - 0.06, 0.2, x + 0.06, 0.42, GLASS, outline=False)
    _door(c, 0, 0.72, 0.11, 0.32, arched=True)
    c.flush()


def mosque(c: Canvas) -> None:
    wall, dome = c.pick(*WALLS[:3]), c.pick((90, 150, 150), (214, 176, 90), (110, 140, 170))
    for x in (-0.76, 0.76):
        c.box(x - 0.07, -0.5, x + 0.07, 0.72, shade(wall, 0.94))
        c.poly([(x - 0.09, -0.48), (x, -0.8), (x + 0.09, -0.48)], dome)
    c.box(-0.52, 0.06, 0.52, 0.72, wall)
    c.flush()
    c.blob(
        [(-0.42, 0.08), (-0.46, -0.2), (-0.2, -0.5), (0, -0.66), (0.2, -0.5), (0.46, -0.2), (0.42, 0.08), (0, 0.08)],
        dome,
    )
    c.stroke([(0, -0.64), (0, -0.82)], 0.03, DARK)
    c.flush()
    for x in (-0.34, 0.34):
        c.oval(x, 0.34, 0.06, 0.12, GLASS, outline=False)
    _door(c, 0, 0.72, 0.13, 0.3, arched=True)
    c.flush()


def _battlement(c: Canvas, x0: float, x1: float, y: float, stone: Colour) -> None:
    step = (x1 - x0) / 5
    for tooth in range(0, 5, 2):
        c.box(x0 + tooth * step, y - 0.11, x0 + (tooth + 1) * step, y + 0.02, stone)


def castle(c: Canvas) -> None:
    stone, flag, tall = (
        c.pick(*STONES),
        c.pick((206, 62, 56), (60, 110, 180), (240, 190, 70)),
        c.rng.uniform(-0.46, -0.3),
    )
    c.box(-0.5, -0.02, 0.5, 0.72, shade(stone, 0.9))
    _battlement(c, -0.3, 0.3, -0.02, shade(stone, 0.9))
    c.flush()
    for x in (-0.62, 0.62):
        c.stroke([(x, tall), (x, tall - 0.42)], 0.025, DARK)
        c.poly([(x, tall - 0.42), (x + 0.2, tall - 0.35), (x, tall - 0.28)], flag)
        c.box(x - 0.22, tall, x + 0.22, 0.72, stone)
        _battlement(c, x - 0.22, x + 0.22, tall, stone)
        c.flush()
        c.box(x - 0.04, tall + 0.16, x + 0.04, tall + 0.36, DARK, outline=False)
    _door(c, 0, 0.72, 0.16, 0.28, arched=True)
    c.flush()


def skyscraper(c: Canvas) -> None:
    wall, half, top = c.pick((120, 150, 180), (150, 156, 166), (196, 184, 166)), c.rng.uniform(0.26, 0.36), -0.7
    if c.rng.random() < 0.6:
        c.box(half * 0.6, -0.2, half + 0.26, 0.8, shade(wall, 0.8))
    c.stroke([(0, top), (0, -0.96)], 0.03, DARK)
    c.box(-half, top, half, 0.8, wall)
    c.flush()
    for y in np.arange(top + 0.12, 0.7, 0.15):
        for x in np.linspace(-half * 0.7, half * 0.7, 4):
            lit = c.rng.random() < 0.25
            c.box(
                x - 0.045, y - 0.04, x + 0.045, y + 0.05, (250, 226, 140) if lit else shade(wall, 0.55), outline=False
            )
    c.flush()


def lighthouse(c: Canvas) -> None:
    first, n_bands = c.pick((206, 62, 56), (60, 100, 160), (70, 70, 80)), 5
    c.box(-0.15, -0.66, 0.15, -0.44, (250, 226, 140))
    c.flush()
    _gable(c, 0, -0.64, 0.15, 0.2, first, 0.05)
    for band in range(n_bands):
        low, high = 0.8 - band * 0.25, 0.55 - band * 0.25
        wide, narrow = 0.36 - band * 0.032, 0.36 - (band + 1) * 0.032
        c.poly([(-wide, low), (wide, low), (narrow, high), (-narrow, high)], first if band % 2 else WHITE)
    c.flush()
    c.box(-0.26, -0.48, 0.26, -0.42, DARK)
    _door(c, 0, 0.8, 0.08, 0.24, arched=True)
    c.flush()


def windmill(c: Canvas) -> None:
    wall, start = c.pick(*WALLS[:4], *STONES), c.rng.uniform(0, 90)
    c.poly([(-0.36, 0.84), (-0.22, -0.16), (0.22, -0.16), (0.36, 0.84)], wall)
    c.blob([(-0.26, -0.14), (-0.2, -0.34), (0, -0.46), (0.2, -0.34), (0.26, -0.14)], c.pick(*ROOFS))
    c.flush()
    _door(c, 0, 0.84, 0.1, 0.3, arched=True)
    _window(c, 0, 0.24, 0.07, 0.09)
    c.flush()
    for angle in (0, 90, 180, 270):
        at = np.deg2rad(angle + start)
        along, side = np.array([np.cos(at), np.sin(at)]), np.array([-np.sin(at), np.cos(at)])
        hub = np.array([0, -0.2])
        c.poly(
            [
                hub + along * 0.14,
                hub + along * 0.72,
                hub + along * 0.72 + side * 0.18,
                hub + along * 0.14 + side * 0.18,
            ],
            WHITE,
        )
        c.stroke([hub, hub + along * 0.74], 0.04, shade(ROOFS[1], 0.8))
    c.oval(0, -0.2, 0.06, 0.06, DARK)
    c.flush()


DRAWINGS = {
    "house": house, "cottage": cottage, "barn": barn, "church": church, "chapel": chapel, "mosque": mosque,
    "castle": castle, "skyscraper": skyscraper, "lighthouse": lighthouse, "windmill": windmill,
}  # fmt: skip
