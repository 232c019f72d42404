"""Four-legged animals, all on the body plan of `quadruped`; knows shapes only, not which of them are trained on."""

import numpy as np

from devise.sample.canvas import WHITE, Canvas, Colour, shade
from devise.sample.quadruped import quadruped

PINK: Colour = (226, 160, 160)


def _stripes(c: Canvas, length: float, depth: float, colour: Colour, width: float) -> None:
    n_stripes = c.rng.integers(6, 9)
    for x in np.linspace(-length * 0.85, length * 0.8, n_stripes):
        reach = depth * np.sqrt(1 - (x / length) ** 2 * 0.7)
        lean = c.rng.uniform(-0.05, 0.05)
        c.limb([(x, -reach * 0.82), (x + lean, reach * c.rng.uniform(0.0, 0.5))], [width, width * 0.4], colour, False)


def _spots(c: Canvas, length: float, depth: float, colour: Colour, n_spots: int, radius: float) -> None:
    for _ in range(n_spots):
        x, y = c.rng.uniform(-0.88, 0.88) * length, c.rng.uniform(-0.75, 0.65) * depth
        turn, size = c.rng.uniform(0, 180), radius * c.rng.uniform(0.7, 1.3)
        c.oval(x, y, size * 1.2, size, colour, turn, False)


def _horns(c: Canvas, x: float, y: float, head: float, points: list[tuple[float, float]], width: float) -> None:
    horn = c.pick((214, 200, 166), (170, 150, 120))
    c.limb([(x + dx * head, y + dy * head) for dx, dy in points], [width, width * 0.9, width * 0.3], horn)


def _beard(c: Canvas, x: float, y: float, head: float) -> None:
    _horns(c, x, y, head, [(-0.1, -0.7), (-0.5, -1.7), (-1.4, -2.1)], 0.05)
    c.poly([(x + head * 1.0, y + 0.12), (x + head * 1.7, y + 0.12), (x + head * 1.2, y + 0.36)], WHITE)


def dog(c: Canvas) -> None:
    coat = c.pick((150, 104, 66), (206, 166, 112), (226, 214, 196), (84, 74, 70), (136, 134, 138))
    quadruped(c, coat, ears=str(c.rng.choice(["flop", "point"], p=[0.75, 0.25])), tail="long", snout=0.17)


def wolf(c: Canvas) -> None:
    coat = c.pick((130, 130, 136), (108, 104, 104), (150, 142, 132))
    quadruped(c, coat, ears="point", tail="bushy", snout=0.2, legs=0.54, neck_width=0.17, muzzle=shade(coat, 1.4))


def fox(c: Canvas) -> None:
    coat = c.pick((212, 106, 46), (196, 90, 40))
    quadruped(
        c, coat, ears="point", tail="bushy", snout=0.2, snout_width=0.05, depth=0.19, legs=0.42,
        socks=(60, 44, 42), muzzle=shade(coat, 1.55),
    )  # fmt: skip


CAT = {"head": 0.19, "snout": 0.04, "snout_width": 0.12, "neck": (0.1, -0.2), "droop": 0.05, "depth": 0.2, "legs": 0.42}


def cat(c: Canvas) -> None:
    coat = c.pick((110, 104, 104), (220, 160, 92), (232, 226, 216), (66, 60, 64))
    tabby = shade(coat, 0.7)
    mark = (lambda c, x, y: _stripes(c, x, y, tabby, 0.02)) if c.rng.random() < 0.4 else None
    quadruped(c, coat, ears="point", tail="long", mark=mark, **{**CAT, "length": 0.48})


def tiger(c: Canvas) -> None:
    coat = c.pick((230, 140, 54), (238, 158, 70))
    quadruped(
        c, coat, ears="round", tail="long", leg=0.095, muzzle=shade(coat, 1.6),
        mark=lambda c, x, y: _stripes(c, x, y, (52, 38, 34), 0.034), **{**CAT, "length": 0.62, "depth": 0.24},
    )  # fmt: skip


def lion(c: Canvas) -> None:
    coat = c.pick((214, 170, 98), (200, 152, 84))
    quadruped(c, coat, ears="round", tail="thin", leg=0.09, mane=c.pick((140, 82, 40), (112, 66, 38)), **CAT)


def leopard(c: Canvas) -> None:
    coat = c.pick((226, 178, 96), (216, 186, 120))
    quadruped(
        c, coat, ears="round", tail="long", leg=0.085, muzzle=shade(coat, 1.5),
        mark=lambda c, x, y: _spots(c, x, y, (66, 46, 36), 26, 0.032), **{**CAT, "length": 0.6},
    )  # fmt: skip


HORSE = {"legs": 0.6, "leg": 0.06, "neck": (0.24, -0.46), "head": 0.13, "snout": 0.26, "droop": 0.16, "tail": "hair"}


def horse(c: Canvas) -> None:
    coat = c.pick((128, 80, 50), (160, 104, 62), (92, 70, 60), (222, 212, 200), (150, 142, 136))
    quadruped(c, coat, mane=shade(coat, 0.5), muzzle=shade(coat, 0.9), **HORSE)


def zebra(c: Canvas) -> None:
    quadruped(
        c, c.pick((240, 238, 232)), mane=(46, 42, 44), muzzle=(90, 84, 84),
        mark=lambda c, x, y: _stripes(c, x, y, (40, 36, 40), 0.036), **{**HORSE, "legs": 0.54},
    )  # fmt: skip


def donkey(c: Canvas) -> None:
    coat = c.pick((148, 138, 130), (124, 112, 104), (160, 140, 120))
    quadruped(
        c, coat, mane=shade(coat, 0.5), ears="long", muzzle=shade(coat, 1.55), **{**HORSE, "legs": 0.48, "length": 0.52}
    )


COW = {"length": 0.62, "depth": 0.29, "legs": 0.46, "neck": (0.2, -0.16), "head": 0.15, "snout": 0.17, "ears": "side"}


def cow(c: Canvas) -> None:
    coat, patch = c.pick((238, 234, 226)), c.pick((60, 52, 50), (120, 74, 48))
    quadruped(
        c, coat, snout_width=0.12, muzzle=PINK,
        mark=lambda c, x, y: _spots(c, x * 0.9, y * 0.8, patch, 6, 0.1),
        crown=lambda c, x, y, h: _horns(c, x, y, h, [(0, -0.8), (0.3, -1.4), (0.8, -1.7)], 0.04), **COW,
    )  # fmt: skip


def sheep(c: Canvas) -> None:
    wool, face = c.pick((240, 236, 224), (226, 218, 204)), c.pick((70, 62, 62), (226, 206, 186))

    def fleece(c: Canvas, length: float, depth: float) -> None:
        for angle in np.arange(0, 2 * np.pi, 0.5):
            c.oval(length * 0.95 * np.cos(angle), -0.02 + depth * 0.9 * np.sin(angle), 0.16, 0.15, wool)
        c.oval(0, 0, length * 0.95, depth * 0.9, wool, outline=False)

    quadruped(
        c, face, mark=fleece, muzzle=face, tail="short", legs=0.42, leg=0.055, depth=0.27, length=0.5,
        neck=(0.24, -0.14), head=0.13, snout=0.1, ears="side",
    )  # fmt: skip


def goat(c: Canvas) -> None:
    coat = c.pick((240, 236, 224), (226, 218, 204), (178, 146, 112))
    quadruped(
        c, coat, tail="short", legs=0.46, leg=0.055, length=0.5, neck=(0.18, -0.32), head=0.13, snout=0.15,
        ears="side", crown=_beard,
    )  # fmt: skip


def giraffe(c: Canvas) -> None:
    coat = c.pick((234, 196, 116), (226, 180, 104))
    quadruped(
        c, coat, length=0.4, depth=0.2, legs=0.74, leg=0.055, neck=(0.2, -0.66), neck_width=0.08, head=0.1, snout=0.13,
        tail="thin", ears="side", mane=(140, 84, 48),
        mark=lambda c, x, y: _spots(c, x, y, (164, 98, 52), 16, 0.055),
        crown=lambda c, x, y, h: _horns(c, x, y, h, [(-0.1, -0.8), (-0.2, -1.3), (-0.2, -1.7)], 0.025),
    )  # fmt: skip


def elephant(c: Canvas) -> None:
    coat = c.pick((146, 148, 156), (122, 126, 138), (164, 156, 150))

    def trunk(c: Canvas, x: float, y: float, head: float) -> None:
        reach = c.rng.uniform(-0.1, 0.2)
        c.limb(
            [(x + head * 0.7, y), (x + head * 1.5, y + 0.25), (x + head * 1.6 + reach, y + 0.55)],
            [0.1, 0.07, 0.05],
            coat,
        )
        c.limb(
            [(x + head * 0.6, y + 0.18), (x + head * 1.5, y + 0.26), (x + head * 2, y + 0.16)], [0.035, 0.015], WHITE
        )

    quadruped(
        c, coat, length=0.58, depth=0.4, legs=0.58, leg=0.12, neck=(0.1, -0.12), neck_width=0.2, head=0.25, snout=0.0,
        snout_width=0.1, ears="flap", tail="thin", crown=trunk,
    )  # fmt: skip


DRAWINGS = {
    "dog": dog, "wolf": wolf, "fox": fox, "cat": cat, "tiger": tiger, "lion": lion, "leopard": leopard,
    "horse": horse, "zebra": zebra, "donkey": donkey, "cow": cow, "sheep": sheep, "goat": goat,
    "giraffe": giraffe, "elephant": elephant,
}  # fmt: skip
