"""The one body plan of the four-legged animals; knows no animal by name."""

from collections.abc import Callable

from devise.sample.canvas import DARK, Canvas, Colour, shade


def quadruped(
    c: Canvas,
    coat: Colour,
    *,
    length: float = 0.56,
    depth: float = 0.24,
    legs: float = 0.5,
    leg: float = 0.075,
    neck: tuple[float, float] = (0.16, -0.3),
    neck_width: float = 0.14,
    head: float = 0.16,
    snout: float = 0.2,
    snout_width: float = 0.09,
    droop: float = 0.08,
    muzzle: Colour | None = None,
    ears: str = "point",
    tail: str = "thin",
    socks: Colour | None = None,
    mane: Colour | None = None,
    mark: Callable[[Canvas, float, float], None] | None = None,
    crown: Callable[[Canvas, float, float, float], None] | None = None,
) -> None:
    """A four-legged animal that stands or walks to the right, its head up or (now and then) held lower.

    `mark(c, length, depth)` draws on the flank, `crown(c, x, y, head)` on the head; the rest are lengths in units.
    """
    rng = c.rng
    length, depth, legs = length * rng.uniform(0.92, 1.1), depth * rng.uniform(0.9, 1.12), legs * rng.uniform(0.88, 1.1)
    dip = rng.choice([0.0, 0.14, 0.3], p=[0.6, 0.25, 0.15])
    swing = rng.uniform(-0.16, 0.16)
    hip, chest, foot = -length * 0.78, length * 0.74, legs + 0.06
    _legs(c, (hip + 0.1, chest + 0.1), -swing, foot, leg * 0.95, shade(coat, 0.78), socks)
    c.flush()
    _tail(c, tail, -length, -depth * 0.55, coat, mane or shade(coat, 0.7))
    c.blob(
        [(-length, -depth * 0.5), (-length * 0.4, -depth * 0.9), (length * 0.4, -depth * 0.85), (length, -depth * 0.6)]
        + [
            (length, depth * 0.3),
            (length * 0.3, depth * 0.85),
            (-length * 0.5, depth * 0.8),
            (-length * 1.02, depth * 0.3),
        ],
        coat,
    )
    _legs(c, (hip, chest), swing, foot, leg, coat, socks)
    hx, hy = length * 0.8 + neck[0] + dip * 0.3, -depth * 0.45 + neck[1] * (1 - dip)
    c.limb([(length * 0.68, -depth * 0.2), (hx, hy)], [neck_width * 1.35, neck_width], coat)
    c.flush()
    if mark:
        mark(c, length, depth)
        c.flush()
    if mane and ears == "round":
        c.oval(hx - 0.03, hy + 0.04, head * 1.75, head * 1.85, mane)
        c.flush()
    elif mane:
        c.limb([(hx - head * 0.6, hy - head * 0.8), (length * 0.62, -depth * 0.8)], [0.05, 0.07], mane)
        c.flush()
    _ears(c, ears, hx, hy, head, coat)
    nose = (hx + head * 0.6 + snout, hy + droop)
    c.limb([(hx, hy + head * 0.15), nose], [head * 0.8, snout_width], muzzle or coat)
    c.oval(hx, hy, head, head * 0.95, coat)
    c.flush()
    if ears == "flap":
        c.blob(
            [
                (hx - 0.02, hy - 0.2),
                (hx - 0.3, hy - 0.24),
                (hx - 0.38, hy + 0.1),
                (hx - 0.14, hy + 0.26),
                (hx, hy + 0.1),
            ],
            shade(coat, 0.88),
        )
        c.flush()
    c.oval(nose[0] + snout_width * 0.6, nose[1] - snout_width * 0.3, 0.035, 0.03, DARK, outline=False)
    c.eye(hx + head * 0.4, hy - head * 0.25)
    if crown:
        crown(c, hx, hy, head)
    c.flush()


def _legs(c: Canvas, at: tuple[float, float], swing: float, foot: float, leg: float, coat: Colour, socks) -> None:
    for sign, x in zip((1, -1), at, strict=True):
        end = (x + sign * swing, foot)
        c.limb([(x, 0.02), (x + sign * swing * 0.35, foot * 0.5), end], [leg * 1.5, leg, leg * 0.85], coat)
        if socks:
            c.limb([(x + sign * swing * 0.8, foot * 0.85), end], [leg * 0.9, leg * 0.95], socks)


def _tail(c: Canvas, kind: str, x: float, y: float, coat: Colour, tuft: Colour) -> None:
    lift = c.rng.uniform(-0.3, 0.25)
    if kind == "bushy":
        c.limb([(x, y), (x - 0.22, y + 0.06 + lift * 0.5), (x - 0.42, y + lift)], [0.06, 0.13, 0.05], coat)
        c.flush()
        c.limb([(x - 0.34, y + 0.03 + lift * 0.8), (x - 0.42, y + lift)], [0.07, 0.04], shade(coat, 1.6))
    elif kind == "long":
        c.limb(
            [(x, y), (x - 0.2, y + 0.08), (x - 0.34, y - 0.1 + lift), (x - 0.3, y - 0.3 + lift)], [0.05, 0.045], coat
        )
    elif kind == "hair":
        c.limb([(x + 0.03, y), (x - 0.1, y + 0.12), (x - 0.12, y + 0.5)], [0.05, 0.08, 0.06], tuft)
    elif kind == "short":
        c.limb([(x, y), (x - 0.1, y - 0.1)], [0.05, 0.05], coat)
    else:
        c.limb([(x, y), (x - 0.1, y + 0.2), (x - 0.1, y + 0.38)], [0.035, 0.025], coat)
        c.oval(x - 0.1, y + 0.42, 0.045, 0.08, tuft)
    c.flush()


def _ears(c: Canvas, kind: str, x: float, y: float, head: float, coat: Colour) -> None:
    dark = shade(coat, 0.75)
    if kind == "point":
        c.poly([(x - head * 0.85, y - head * 0.3), (x - head * 0.6, y - head * 1.75), (x, y - head * 0.7)], dark)
        c.poly(
            [(x - head * 0.3, y - head * 0.6), (x + head * 0.1, y - head * 1.75), (x + head * 0.5, y - head * 0.6)],
            coat,
        )
    elif kind == "round":
        c.oval(x - head * 0.7, y - head * 0.8, head * 0.42, head * 0.42, dark)
        c.oval(x + head * 0.25, y - head * 0.95, head * 0.4, head * 0.4, coat)
    elif kind == "long":
        c.limb([(x - head * 0.5, y - head * 0.6), (x - head * 0.9, y - head * 2.5)], [0.06, 0.045], dark)
        c.limb([(x - head * 0.1, y - head * 0.7), (x - head * 0.1, y - head * 2.7)], [0.06, 0.045], coat)
    elif kind == "flop":
        c.limb(
            [(x - head * 0.5, y - head * 0.5), (x - head * 1.1, y + head * 0.1), (x - head * 1.0, y + head)],
            [0.06, 0.08],
            dark,
        )
    elif kind == "side":
        c.limb([(x - head * 0.4, y - head * 0.5), (x - head * 1.5, y - head * 0.35)], [0.05, 0.07, 0.02], dark)
    if kind not in ("flop", "flap"):
        c.flush()
