"""Fish and insects; knows shapes only."""

import numpy as np

from devise.sample.canvas import DARK, WHITE, Canvas, Colour, shade


def fish(
    c: Canvas, back: Colour, belly: Colour, *, long: float = 0.72, deep: float = 0.26, fin: Colour | None = None,
    dorsal: float = 0.2, fork: float = 0.28, spots: Colour | None = None, snout: float = 0.0,
) -> None:  # fmt: skip
    """A fish that swims to the right: a spindle, a forked tail that beats, a back fin and a breast fin."""
    beat, fin = c.rng.uniform(-0.1, 0.1), fin or shade(back, 0.8)
    deep *= c.rng.uniform(0.88, 1.12)
    c.poly([(-long * 0.8, 0), (-long - 0.26, -fork + beat), (-long - 0.12, beat), (-long - 0.26, fork + beat)], fin)
    c.blob([(-0.2, -deep * 0.7), (-0.08, -deep - dorsal), (0.18, -deep * 0.8)], fin)
    c.blob([(-0.3, deep * 0.6), (-0.34, deep + dorsal * 0.5), (-0.1, deep * 0.75)], fin)
    c.blob(
        [
            (-long, -0.05),
            (-long * 0.4, -deep * 0.75),
            (long * 0.2, -deep),
            (long * 0.75, -deep * 0.62),
            (long + snout, 0),
        ]
        + [(long * 0.7, deep * 0.6), (long * 0.1, deep), (-long * 0.5, deep * 0.6), (-long, 0.05)],
        back,
    )
    c.flush()
    c.blob(
        [(-long * 0.8, 0.03), (0, deep * 0.2), (long * 0.92, 0.08), (long * 0.6, deep * 0.6), (0, deep * 0.92)]
        + [(-long * 0.5, deep * 0.5)],
        belly,
        outline=False,
    )
    if spots:
        for _ in range(16):
            x = c.rng.uniform(-0.8, 0.6) * long
            c.oval(x, c.rng.uniform(-0.6, 0.1) * deep, 0.022, 0.022, spots, outline=False)
    c.limb(
        [(long * 0.52, -deep * 0.5), (long * 0.44, 0), (long * 0.52, deep * 0.5)],
        [0.012, 0.016],
        shade(back, 0.6),
        False,
    )
    c.blob([(long * 0.3, deep * 0.25), (0.0, deep * 0.85 + beat * 0.5), (long * 0.1, deep * 0.2)], fin)
    c.eye(long * 0.74, -deep * 0.22, 0.045)
    c.flush()


def salmon(c: Canvas) -> None:
    fish(c, c.pick((222, 130, 110), (202, 120, 106)), c.pick((240, 206, 190)), deep=0.25)


def trout(c: Canvas) -> None:
    back = c.pick((150, 142, 96), (140, 150, 120))
    fish(c, back, c.pick((232, 200, 176)), deep=0.24, spots=(70, 60, 50))


def tuna(c: Canvas) -> None:
    fish(c, c.pick((64, 84, 130), (70, 100, 140)), c.pick((210, 218, 226)), deep=0.32, fork=0.36, dorsal=0.14)


def goldfish(c: Canvas) -> None:
    back = c.pick((240, 140, 50), (244, 164, 60), (232, 100, 50))
    fish(c, back, shade(back, 1.35), long=0.52, deep=0.36, fork=0.42, dorsal=0.24, fin=shade(back, 1.25))


def shark(c: Canvas) -> None:
    back = c.pick((120, 132, 146), (104, 120, 136))
    fish(c, back, c.pick((230, 232, 232)), long=0.76, deep=0.22, fork=0.38, dorsal=0.34, snout=0.08)
    for x in (0.26, 0.31, 0.36):
        c.stroke([(x, -0.08), (x - 0.02, 0.06)], 0.018, shade(back, 0.6))
    c.poly([(0.6, 0.07), (0.66, 0.12), (0.7, 0.06), (0.76, 0.1), (0.76, 0.05)], WHITE, outline=False)
    c.flush()


def _feelers(c: Canvas, x: float, y: float, reach: float) -> None:
    for side in (-1, 1):
        c.stroke([(x, y), (x + side * reach * 0.5, y - reach), (x + side * reach, y - reach * 1.1)], 0.025, DARK, True)


def _flutterer(
    c: Canvas, upper: Colour, lower: Colour, spots: Colour, body: Colour, stout: float, spread: float
) -> None:
    lift = c.rng.uniform(-0.1, 0.1)
    for side in (-1, 1):
        c.blob(
            [(side * 0.06, 0.0), (side * spread * 0.9, 0.12), (side * spread * 0.8, 0.6 + lift), (side * 0.2, 0.56)],
            lower,
        )
        c.blob(
            [
                (side * 0.05, -0.12),
                (side * spread * 0.6, -0.66 + lift),
                (side * spread, -0.6 + lift),
                (side * spread, -0.1),
            ]
            + [(side * 0.2, 0.12)],
            upper,
        )
    c.flush()
    for side in (-1, 1):
        c.oval(side * spread * 0.74, -0.36 + lift, 0.12, 0.12, spots, outline=False)
        c.oval(side * spread * 0.56, 0.34, 0.08, 0.08, spots, outline=False)
    c.limb([(0, -0.3), (0, 0), (0, 0.4)], [stout, stout * 1.1, stout * 0.6], body)
    c.oval(0, -0.36, stout * 1.2, stout * 1.1, body)
    _feelers(c, 0, -0.42, 0.24)
    c.flush()


def butterfly(c: Canvas) -> None:
    upper = c.pick((232, 130, 50), (96, 140, 214), (236, 204, 80), (190, 100, 170), (186, 152, 118), (150, 130, 120))
    _flutterer(c, upper, shade(upper, c.rng.uniform(0.7, 1.3)), c.pick(WHITE, DARK), DARK, 0.06, 0.82)


def moth(c: Canvas) -> None:
    upper = c.pick((176, 158, 134), (150, 136, 124), (206, 194, 168))
    _flutterer(c, upper, shade(upper, 1.2), shade(upper, 0.6), shade(upper, 0.7), 0.1, 0.74)


def _flyer(c: Canvas, body: Colour, bands: Colour | None, round_: float, waist: float, wing: Colour) -> None:
    """A stinging or buzzing insect from the side: abdomen, thorax, head, wings up, six legs."""
    lift = c.rng.uniform(-0.12, 0.12)
    for x in (0.1, 0.24, 0.36):
        c.stroke([(x, 0.18), (x - 0.05, 0.42), (x + 0.04, 0.6)], 0.03, DARK)
    c.flush()
    c.oval(-0.36 - waist, 0.12, 0.42, round_, body, turn=-12)
    c.poly([(-0.74 - waist, 0.16), (-0.94 - waist, 0.26), (-0.7 - waist, 0.26)], DARK)
    c.oval(0.22, 0.02, 0.24, 0.22, shade(body, 0.75))
    c.limb([(-0.1 - waist, 0.08), (0.2, 0.04)], [0.05, 0.05], shade(body, 0.7))
    c.oval(0.56, 0.04, 0.17, 0.17, shade(body, 0.6))
    c.flush()
    for x in (-0.6, -0.4, -0.2) if bands else ():
        reach = round_ * np.sqrt(1 - ((x + 0.36) / 0.45) ** 2) * 0.85
        c.limb([(x - waist - 0.03, 0.12 - reach), (x - waist + 0.03, 0.14 + reach)], [0.045, 0.045], bands, False)
    for x, turn in ((0.06, -50), (-0.14, -72)):
        c.oval(x - 0.1, -0.42 + lift, 0.36, 0.13, wing, turn=turn + 90 + 40)
    _feelers(c, 0.64, -0.08, 0.16)
    c.eye(0.62, 0.0, 0.055)
    c.flush()


def bee(c: Canvas) -> None:
    _flyer(c, c.pick((238, 190, 60), (228, 176, 70)), (56, 44, 40), 0.3, 0.0, c.pick((222, 234, 242)))


def wasp(c: Canvas) -> None:
    _flyer(c, c.pick((240, 206, 52), (236, 196, 40)), (40, 36, 36), 0.19, 0.1, c.pick((220, 206, 176)))


def fly(c: Canvas) -> None:
    _flyer(c, c.pick((92, 100, 106), (70, 90, 92)), None, 0.25, -0.06, c.pick((208, 218, 224)))
    c.oval(0.6, 0.0, 0.11, 0.12, c.pick((170, 60, 50)), outline=False)
    c.flush()


def _crawler(c: Canvas, parts: list[tuple[float, float, float]], tone: Colour) -> None:
    for x in (-0.3, 0.0, 0.3):
        for side in (-1, 1):
            reach = c.rng.uniform(-0.06, 0.06)
            c.stroke(
                [(x * 0.6, 0.1 * side), (x * 1.3 + reach, side * 0.46), (x * 1.7 + reach, side * 0.66)], 0.045, DARK
            )
    c.flush()
    for x, rx, ry in parts:
        c.oval(x, 0, rx, ry, tone)
    for side in (-1, 1):
        c.stroke([(parts[-1][0] + 0.08, side * 0.06), (parts[-1][0] + 0.26, side * 0.2)], 0.03, DARK)
    c.flush()


def ant(c: Canvas) -> None:
    _crawler(c, [(-0.5, 0.34, 0.24), (-0.02, 0.2, 0.13), (0.36, 0.22, 0.19)], c.pick((90, 56, 46), (60, 46, 46)))


def _shell(c: Canvas, tone: Colour, spots: Colour | None, dark: Colour) -> None:
    _crawler(c, [(-0.1, 0.5, 0.42), (0.44, 0.2, 0.24)], dark)
    c.oval(-0.14, 0, 0.54, 0.44, tone)
    c.flush()
    c.stroke([(-0.66, 0), (0.38, 0)], 0.03, shade(tone, 0.4))
    for x, y in ((-0.4, 0.2), (-0.1, 0.28), (0.16, 0.16), (-0.14, 0.1)) if spots else ():
        for side in (-1, 1):
            c.oval(x, y * side, 0.075, 0.075, spots, outline=False)
    c.flush()


def ladybug(c: Canvas) -> None:
    _shell(c, c.pick((212, 54, 44), (226, 90, 40)), DARK, DARK)


def beetle(c: Canvas) -> None:
    tone = c.pick((74, 92, 60), (70, 60, 84), (110, 74, 48))
    _shell(c, tone, None, shade(tone, 0.6))


FISH = {"salmon": salmon, "trout": trout, "tuna": tuna, "goldfish": goldfish, "shark": shark}
INSECTS = {
    "butterfly": butterfly, "moth": moth, "bee": bee, "wasp": wasp, "fly": fly, "ant": ant, "ladybug": ladybug,
    "beetle": beetle,
}  # fmt: skip
