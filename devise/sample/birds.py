"""Birds: swimmers, waders, perchers and upright ones share a body plan each; knows shapes only."""

from devise.sample.canvas import DARK, WHITE, Canvas, Colour, shade

YELLOW: Colour = (236, 178, 60)


def _head(c: Canvas, x: float, y: float, size: float, plume: Colour, bill: Colour, length: float, depth: float) -> None:
    c.oval(x, y, size, size * 0.92, plume)
    c.flush()
    c.poly([(x + size * 0.7, y - depth), (x + size * 0.8 + length, y + depth * 0.3), (x + size * 0.7, y + depth)], bill)
    c.flush()
    c.eye(x + size * 0.35, y - size * 0.2, min(0.035, size * 0.28))
    c.flush()


def _water(c: Canvas, level: float) -> None:
    if c.rng.random() < 0.6:
        tone = c.pick((104, 162, 196), (130, 184, 206))
        crest = [(x / 4, level + 0.025 * (-1) ** x) for x in range(-10, 11)]
        c.blob([*crest, (2.6, 2.4), (-2.6, 2.4)], tone, outline=False)
        c.flush()


def swimmer(
    c: Canvas, plume: Colour, wing: Colour, neck: list[tuple[float, float]], neck_width: float, head: float,
    cap: Colour, bill: Colour, bill_length: float, body: float = 0.58,
) -> None:  # fmt: skip
    """A bird afloat or standing: a boat of a body, a neck along the points (from the breast), a flat bill."""
    wave = c.rng.random() < 0.7
    if not wave:
        for x in (-0.08, 0.12):
            c.stroke([(x, 0.45), (x + 0.02, 0.72), (x + 0.14, 0.74)], 0.05, bill)
    c.limb([(x, y) for x, y in neck], [neck_width * 1.5, neck_width, neck_width], cap if cap != plume else plume)
    c.blob(
        [(-body * 1.25, -0.06), (-body * 0.5, -0.02), (body * 0.3, -0.06), (body * 0.88, 0.12), (body * 0.6, 0.42)]
        + [(-body * 0.3, 0.5), (-body, 0.28)],
        plume,
    )
    c.flush()
    lift = c.rng.uniform(-0.06, 0.06)
    c.blob([(body * 0.35, 0.12), (-body * 0.2, 0.02 + lift), (-body * 1.05, 0.1 + lift), (-body * 0.2, 0.32)], wing)
    c.flush()
    _head(c, *neck[-1], head, cap, bill, bill_length, 0.05)
    if wave:
        _water(c, 0.36)


def duck(c: Canvas) -> None:
    plume, cap = c.pick((150, 122, 94), (236, 218, 120), (176, 164, 150)), c.pick((56, 120, 84), (236, 218, 120))
    top = c.rng.uniform(-0.42, -0.3)
    swimmer(c, plume, shade(plume, 0.78), [(0.4, 0.15), (0.5, -0.1), (0.52, top)], 0.11, 0.17, cap, YELLOW, 0.2)


def goose(c: Canvas) -> None:
    plume = c.pick((160, 146, 132), (214, 208, 198), (246, 244, 238))
    cap, top = c.pick((62, 56, 56), (216, 210, 200)), c.rng.uniform(-0.66, -0.5)
    swimmer(
        c,
        plume,
        shade(plume, 0.75),
        [(0.4, 0.15), (0.56, -0.2), (0.56, top)],
        0.085,
        0.125,
        cap,
        (224, 140, 60),
        0.15,
        0.62,
    )


def swan(c: Canvas) -> None:
    plume, top = c.pick((248, 246, 240)), c.rng.uniform(-0.74, -0.6)
    neck = [(0.4, 0.16), (0.64, -0.1), (0.4, -0.4), (0.46, top - 0.02), (0.58, top + 0.08)]
    swimmer(c, plume, shade(plume, 0.92), neck, 0.065, 0.1, plume, (226, 120, 50), 0.15, 0.64)


def wader(
    c: Canvas, plume: Colour, tip: Colour, bill: Colour, legs: Colour, cap: Colour, bill_length: float,
    bend: float = 0.0,
) -> None:  # fmt: skip
    """A bird on stilts with a long neck; `bend` above 0 puts the neck in an S, else it is stretched."""
    step, neck = c.rng.uniform(0.02, 0.16), c.rng.uniform(0.0, 0.12)
    for x in (-step, step):
        c.stroke([(-0.04, 0.16), (x - 0.02, 0.5), (x, 0.9), (x + 0.1, 0.9)], 0.035, legs)
    c.flush()
    head = (0.42 - neck, -0.68 + neck)
    c.limb([(0.2, 0.0), (0.36 + bend, -0.22), (0.3 - bend, -0.46), head], [0.1, 0.06, 0.05, 0.05], plume)
    c.blob([(-0.55, 0.2), (-0.2, -0.14), (0.2, -0.16), (0.36, 0.02), (0.1, 0.22)], plume)
    c.flush()
    c.blob([(-0.64, 0.28), (-0.36, 0.04), (0.08, -0.04), (-0.1, 0.14)], tip)
    c.flush()
    _head(c, *head, 0.09, cap, bill, bill_length, 0.035)


def heron(c: Canvas) -> None:
    plume = c.pick((142, 158, 176), (160, 170, 180))
    wader(c, plume, shade(plume, 0.65), YELLOW, (120, 110, 80), WHITE, 0.26, bend=0.1)
    c.limb([(0.36, -0.72), (0.12, -0.66)], [0.03, 0.01], DARK)
    c.flush()


def stork(c: Canvas) -> None:
    plume = c.pick((244, 242, 236))
    wader(c, plume, (48, 44, 46), (214, 70, 46), (214, 78, 52), plume, 0.3)


def crane(c: Canvas) -> None:
    plume = c.pick((196, 200, 204), (170, 176, 184))
    wader(c, plume, (84, 84, 92), (116, 108, 96), (70, 66, 66), c.pick((190, 62, 54)), 0.2, bend=0.03)


def flamingo(c: Canvas) -> None:
    plume = c.pick((242, 150, 160), (238, 128, 140))
    wader(c, plume, shade(plume, 0.85), (60, 50, 54), (232, 130, 140), plume, 0.12, bend=0.12)


def percher(c: Canvas, back: Colour, breast: Colour, wing: Colour, bill: Colour, head: float, bill_size: float) -> None:
    """A small round bird on a twig, tail behind."""
    tilt, perch = c.rng.uniform(-0.12, 0.12), c.rng.random() < 0.75
    for x in (0.02, 0.16):
        c.stroke([(x, 0.4), (x + 0.03, 0.66)], 0.04, (110, 80, 60))
    c.limb([(-0.4, 0.24), (-0.66, 0.4 + tilt), (-0.86, 0.5 + tilt * 2)], [0.1, 0.08, 0.09], shade(wing, 0.85))
    c.flush()
    c.blob([(-0.5, 0.26), (-0.3, -0.14), (0.1, -0.36), (0.42, -0.1), (0.4, 0.28), (0.0, 0.5)], back)
    c.oval(0.3, -0.34, head, head, back)
    c.flush()
    c.blob([(0.36, -0.2), (0.46, 0.04), (0.34, 0.34), (0.02, 0.46), (0.06, 0.16)], breast, outline=False)
    c.blob([(0.08, -0.06), (-0.2, -0.02), (-0.62, 0.32), (-0.1, 0.3)], wing)
    c.flush()
    _head(c, 0.3, -0.34, head, back, bill, bill_size, bill_size * 0.42)
    if perch:
        c.limb([(-0.9, 0.74 - tilt), (0.0, 0.68), (0.95, 0.7 + tilt)], [0.035, 0.045, 0.03], c.pick((122, 88, 62)))
        c.flush()


def sparrow(c: Canvas) -> None:
    back = c.pick((158, 120, 86), (140, 108, 82))
    percher(c, back, c.pick((222, 208, 186)), shade(back, 0.66), (84, 74, 66), 0.26, 0.13)


def robin(c: Canvas) -> None:
    back = c.pick((118, 104, 90), (104, 98, 92))
    percher(c, back, c.pick((222, 96, 48)), shade(back, 0.8), (90, 76, 60), 0.27, 0.13)


def finch(c: Canvas) -> None:
    back = c.pick((190, 150, 80), (150, 130, 90), (170, 110, 90))
    percher(c, back, c.pick((236, 206, 110), (226, 150, 120)), shade(back, 0.62), (222, 190, 150), 0.25, 0.17)


def crow(c: Canvas) -> None:
    back = c.pick((52, 50, 58), (40, 40, 46))
    percher(c, back, shade(back, 1.08), shade(back, 0.75), (70, 66, 66), 0.25, 0.24)


def eagle(c: Canvas) -> None:
    body, top = c.pick((104, 74, 52), (86, 66, 54)), c.rng.uniform(-0.5, -0.2)
    for side in (-1, 1):
        c.blob(
            [(side * 0.1, -0.1), (side * 0.5, top), (side * 0.98, top - 0.08), (side * 0.9, 0.08), (side * 0.5, 0.16)]
            + [(side * 0.12, 0.24)],
            shade(body, 0.85),
        )
        for x in (0.6, 0.75, 0.9):
            c.limb([(side * x, top + 0.1), (side * (x + 0.04), 0.22)], [0.07, 0.05], shade(body, 0.85))
    c.flush()
    c.poly([(-0.1, 0.3), (0.1, 0.3), (0.2, 0.7), (-0.2, 0.7)], WHITE)
    c.oval(0, 0.1, 0.19, 0.36, body)
    c.flush()
    _head(c, 0.02, -0.32, 0.15, WHITE, YELLOW, 0.12, 0.07)


def owl(c: Canvas) -> None:
    body = c.pick((146, 112, 80), (120, 100, 88), (196, 180, 158))
    for side in (-1, 1):
        c.poly([(side * 0.1, -0.56), (side * 0.36, -0.8), (side * 0.4, -0.4)], body)
    c.blob([(-0.4, -0.5), (0, -0.66), (0.4, -0.5), (0.46, 0.2), (0.2, 0.7), (-0.2, 0.7), (-0.46, 0.2)], body)
    c.flush()
    c.oval(0, 0.25, 0.28, 0.38, shade(body, 1.45), outline=False)
    for row in range(3):
        for x in range(-2, 3):
            c.oval(x * 0.1 + 0.05 * (row % 2), 0.05 + row * 0.16, 0.035, 0.03, body, outline=False)
    for side in (-1, 1):
        c.blob([(side * 0.38, -0.1), (side * 0.52, 0.2), (side * 0.34, 0.56), (side * 0.28, 0.2)], shade(body, 0.75))
        c.oval(side * 0.18, -0.38, 0.18, 0.18, WHITE)
        c.oval(side * 0.18 + c.rng.uniform(-0.03, 0.03), -0.38, 0.09, 0.09, DARK, outline=False)
    c.poly([(-0.07, -0.3), (0.07, -0.3), (0, -0.14)], YELLOW)
    c.flush()


def penguin(c: Canvas) -> None:
    back, tilt = c.pick((48, 52, 64), (60, 66, 80)), c.rng.uniform(-0.1, 0.1)
    for side in (-1, 1):
        c.oval(side * 0.18, 0.82, 0.17, 0.07, (232, 160, 60))
        c.limb([(side * 0.34, -0.2), (side * (0.56 + tilt), 0.3)], [0.08, 0.05], back)
    c.oval(0, -0.58, 0.25, 0.24, back)
    c.blob([(-0.28, -0.5), (0.28, -0.5), (0.44, 0.3), (0.24, 0.8), (-0.24, 0.8), (-0.44, 0.3)], back)
    c.flush()
    c.blob([(-0.2, -0.36), (0.2, -0.36), (0.31, 0.3), (0.16, 0.72), (-0.16, 0.72), (-0.31, 0.3)], WHITE, outline=False)
    _head(c, 0.08, -0.6, 0.2, back, (232, 160, 60), 0.14, 0.06)


DRAWINGS = {
    "duck": duck, "goose": goose, "swan": swan, "heron": heron, "stork": stork, "crane": crane, "flamingo": flamingo,
    "sparrow": sparrow, "robin": robin, "finch": finch, "crow": crow, "eagle": eagle, "owl": owl, "penguin": penguin,
}  # fmt: skip
