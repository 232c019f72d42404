"""Road vehicles and aircraft: wheels, hulls and wings shared by kin; knows shapes only."""

import numpy as np

from devise.sample.canvas import DARK, WHITE, Canvas, Colour, shade

GLASS: Colour = (178, 212, 226)
PAINTS: tuple[Colour, ...] = (
    (206, 62, 56),
    (66, 116, 180),
    (92, 150, 100),
    (226, 220, 210),
    (90, 92, 104),
    (228, 160, 60),
)


def _wheel(c: Canvas, x: float, y: float, radius: float, hub: Colour = (190, 190, 194)) -> None:
    c.oval(x, y, radius, radius, (52, 50, 54))
    c.oval(x, y, radius * 0.48, radius * 0.48, hub, outline=False)
    c.flush()


def _panes(c: Canvas, x0: float, x1: float, y0: float, y1: float, n_panes: int) -> None:
    step = (x1 - x0) / n_panes
    for pane in range(n_panes):
        c.box(x0 + (pane + 0.1) * step, y0, x0 + (pane + 0.9) * step, y1, GLASS, outline=False)
    c.flush()


def _sedan(c: Canvas, paint: Colour, roof: float, open_top: bool = False) -> None:
    c.blob(
        [
            (-0.86, 0.2),
            (-0.84, -0.02),
            (-0.5, -0.08),
            (0.4, -0.08),
            (0.8, 0.02),
            (0.88, 0.2),
            (0.84, 0.36),
            (-0.84, 0.36),
        ],
        paint,
    )
    if not open_top:
        c.blob([(-0.56, -0.02), (-0.42, roof), (0.14, roof), (0.42, -0.02), (0, 0.02)], paint)
    c.flush()
    if open_top:
        c.stroke([(0.3, -0.08), (0.14, -0.36)], 0.05, DARK)
        c.box(-0.4, -0.24, -0.2, -0.04, shade(paint, 0.6))
    else:
        top = roof + 0.07
        c.poly([(-0.46, -0.06), (-0.37, top), (-0.13, top), (-0.13, -0.06)], GLASS, outline=False)
        c.poly([(-0.05, -0.06), (-0.05, top), (0.1, top), (0.32, -0.06)], GLASS, outline=False)
    c.oval(0.8, 0.12, 0.06, 0.05, (250, 226, 140), outline=False)
    c.flush()
    for x in (-0.5, 0.52):
        _wheel(c, x, 0.36, 0.19)


def car(c: Canvas) -> None:
    _sedan(c, c.pick(*PAINTS), c.rng.uniform(-0.42, -0.32))


def convertible(c: Canvas) -> None:
    _sedan(c, c.pick(*PAINTS), 0, open_top=True)


def taxi(c: Canvas) -> None:
    paint, roof = c.pick((240, 196, 50), (244, 206, 70)), c.rng.uniform(-0.42, -0.34)
    c.box(-0.26, roof - 0.14, 0.02, roof + 0.02, WHITE)
    c.flush()
    _sedan(c, paint, roof)
    for x in np.arange(-0.7, 0.72, 0.16):
        c.box(x, 0.12, x + 0.08, 0.18, DARK, outline=False)
    c.flush()


def _bonnet_van(c: Canvas, paint: Colour, roof: float, glass: float) -> None:
    c.blob(
        [
            (-0.86, 0.34),
            (-0.88, roof + 0.06),
            (-0.8, roof),
            (0.3, roof),
            (0.46, roof + 0.08),
            (0.66, -0.02),
            (0.88, 0.08),
        ]
        + [(0.9, 0.34)],
        paint,
    )
    c.flush()
    c.poly([(0.2, -0.02), (0.2, roof + 0.12), (0.4, roof + 0.12), (0.56, -0.02)], GLASS, outline=False)
    if glass:
        _panes(c, -0.76, 0.14, roof + 0.12, -0.02, 2)
    c.oval(0.84, 0.14, 0.05, 0.05, (250, 226, 140), outline=False)
    c.flush()
    for x in (-0.5, 0.52):
        _wheel(c, x, 0.36, 0.18)


def van(c: Canvas) -> None:
    _bonnet_van(c, c.pick(*PAINTS), c.rng.uniform(-0.52, -0.42), c.rng.random() < 0.5)


def ambulance(c: Canvas) -> None:
    roof = c.rng.uniform(-0.54, -0.46)
    c.box(0.0, roof - 0.1, 0.2, roof + 0.03, c.pick((70, 120, 210)))
    c.flush()
    _bonnet_van(c, c.pick((246, 244, 240)), roof, 0)
    c.box(-0.88, 0.1, 0.1, 0.18, (214, 60, 54), outline=False)
    c.box(-0.4, roof + 0.1, -0.28, 0.04, (214, 60, 54), outline=False)
    c.box(-0.5, roof + 0.2, -0.18, roof + 0.32, (214, 60, 54), outline=False)
    c.flush()


def truck(c: Canvas) -> None:
    cab, box = c.pick(*PAINTS), c.pick((222, 216, 204), (170, 150, 120), (120, 140, 160))
    c.box(-0.92, c.rng.uniform(-0.52, -0.3), 0.32, 0.26, box)
    c.flush()
    c.blob([(0.38, 0.3), (0.38, -0.3), (0.66, -0.32), (0.8, -0.04), (0.92, 0.02), (0.92, 0.3)], cab)
    c.box(-0.9, 0.24, 0.5, 0.32, DARK)
    c.flush()
    c.poly([(0.5, -0.04), (0.5, -0.24), (0.64, -0.24), (0.74, -0.04)], GLASS, outline=False)
    for x in (-0.66, -0.3, 0.66):
        _wheel(c, x, 0.36, 0.17)


def bus(c: Canvas) -> None:
    paint, roof = c.pick((206, 62, 56), (232, 180, 60), (66, 130, 170)), c.rng.uniform(-0.52, -0.42)
    c.blob([(-0.9, 0.32), (-0.93, roof + 0.04), (-0.86, roof), (0.84, roof), (0.93, roof + 0.08), (0.93, 0.32)], paint)
    c.flush()
    _panes(c, -0.84, 0.6, roof + 0.12, -0.06, int(c.rng.integers(4, 6)))
    c.box(0.66, roof + 0.12, 0.84, 0.28, GLASS, outline=False)
    c.box(-0.92, 0.04, 0.62, 0.1, shade(paint, 1.5), outline=False)
    c.flush()
    for x in (-0.56, 0.5):
        _wheel(c, x, 0.34, 0.17)


def tractor(c: Canvas) -> None:
    paint = c.pick((206, 62, 56), (92, 150, 80))
    c.box(-0.46, -0.62, 0.12, -0.54, paint)
    for x in (-0.4, 0.06):
        c.stroke([(x, -0.56), (x + 0.03, 0)], 0.05, DARK)
    c.stroke([(0.56, -0.1), (0.56, -0.5)], 0.06, DARK)
    c.box(-0.5, -0.06, 0.2, 0.3, paint)
    c.box(0.14, -0.1, 0.82, 0.3, paint)
    c.flush()
    _wheel(c, -0.38, 0.3, 0.42, (236, 200, 90))
    _wheel(c, 0.62, 0.44, 0.24, (236, 200, 90))


def _spoked(c: Canvas, x: float, y: float, radius: float) -> None:
    ring = [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 25)]
    for at in np.linspace(0, np.pi, 5)[:-1] + c.rng.uniform(0, 1):
        dx, dy = radius * np.cos(at), radius * np.sin(at)
        c.stroke([(x - dx, y - dy), (x + dx, y + dy)], 0.012, (150, 150, 154))
    c.stroke(ring, 0.06, DARK)
    c.flush()


def bicycle(c: Canvas) -> None:
    paint = c.pick(*PAINTS)
    for x in (-0.54, 0.54):
        _spoked(c, x, 0.32, 0.36)
    frame = [(-0.54, 0.32), (-0.2, -0.2), (0.38, -0.2), (-0.02, 0.32), (-0.54, 0.32)]
    c.stroke(frame, 0.06, paint)
    c.stroke([(-0.02, 0.32), (-0.24, -0.34)], 0.06, paint)
    c.stroke([(0.54, 0.32), (0.34, -0.42), (0.5, -0.5)], 0.055, paint)
    c.limb([(-0.36, -0.36), (-0.12, -0.36)], [0.06, 0.03], DARK)
    c.flush()


def motorcycle(c: Canvas) -> None:
    paint = c.pick(*PAINTS)
    for x in (-0.56, 0.58):
        _wheel(c, x, 0.34, 0.3)
    c.stroke([(0.58, 0.34), (0.36, -0.3), (0.2, -0.42)], 0.07, (170, 170, 176))
    c.blob([(-0.36, 0.3), (-0.3, 0.0), (0.3, 0.0), (0.26, 0.34)], (110, 108, 112))
    c.limb([(-0.2, 0.42), (-0.8, 0.46)], [0.05, 0.07], (190, 190, 194))
    c.flush()
    c.limb([(-0.78, -0.14), (-0.5, -0.06), (-0.06, -0.08)], [0.07, 0.1, 0.07], DARK)
    c.blob([(-0.14, -0.04), (0.06, -0.26), (0.38, -0.2), (0.36, 0.04)], paint)
    c.blob([(-0.86, 0.06), (-0.56, -0.04), (-0.26, 0.1), (-0.56, 0.04)], paint)
    c.flush()


def _airframe(c: Canvas, paint: Colour, trim: Colour, long: float, thick: float) -> None:
    c.poly([(-long * 0.78, -thick * 0.3), (-long, -0.42), (-long * 0.84, -0.42), (-long * 0.5, -thick * 0.6)], trim)
    c.blob(
        [(-long, -thick * 0.5), (-long * 0.4, -thick * 0.9), (long * 0.6, -thick), (long, 0), (long * 0.6, thick * 0.9)]
        + [(-long * 0.4, thick * 0.7)],
        paint,
    )
    c.poly([(-long * 0.86, -0.02), (-long * 1.02, 0.08), (-long * 0.82, 0.08), (-long * 0.66, 0)], trim)
    c.flush()


def airliner(c: Canvas) -> None:
    paint, trim = c.pick((240, 240, 240), (220, 228, 236)), c.pick(*PAINTS[:3])
    c.poly([(0.1, -0.08), (-0.24, -0.42), (-0.1, -0.42), (0.3, -0.1)], shade(paint, 0.8))
    _airframe(c, paint, trim, 0.9, 0.15)
    for x in np.arange(-0.5, 0.6, 0.1):
        c.oval(x, -0.04, 0.025, 0.03, (90, 120, 150), outline=False)
    c.poly([(0.2, 0.05), (-0.4, 0.5), (-0.2, 0.5), (0.34, 0.08)], shade(paint, 0.88))
    c.limb([(-0.1, 0.3), (0.1, 0.3)], [0.06, 0.07], trim)
    c.flush()


def _propeller(c: Canvas, x: float) -> None:
    c.oval(x, 0, 0.04, 0.05, DARK)
    c.oval(x + 0.05, 0, 0.02, c.rng.uniform(0.16, 0.3), (120, 110, 104))
    c.flush()


def biplane(c: Canvas) -> None:
    paint, trim = c.pick(*PAINTS), c.pick((236, 214, 160), (220, 80, 60))
    _airframe(c, paint, trim, 0.72, 0.17)
    for x in (0.0, 0.36):
        c.stroke([(x, -0.36), (x, 0.14)], 0.03, DARK)
    c.limb([(-0.14, -0.38), (0.5, -0.38)], [0.05, 0.05], trim)
    c.limb([(-0.14, 0.14), (0.5, 0.14)], [0.05, 0.05], trim)
    c.stroke([(0.2, 0.14), (0.24, 0.36)], 0.035, DARK)
    _wheel(c, 0.24, 0.4, 0.09)
    _propeller(c, 0.74)


def seaplane(c: Canvas) -> None:
    paint, trim = c.pick((240, 236, 226), (236, 190, 80), (210, 80, 60)), c.pick(*PAINTS[:3])
    _airframe(c, paint, trim, 0.76, 0.17)
    c.limb([(-0.12, -0.24), (0.44, -0.24)], [0.05, 0.05], trim)
    for x in (-0.1, 0.34):
        c.stroke([(x, 0.1), (x + 0.04, 0.4)], 0.035, DARK)
    c.blob([(-0.5, 0.36), (0.5, 0.36), (0.74, 0.34), (0.5, 0.5), (-0.4, 0.48)], shade(trim, 1.1))
    _panes(c, 0.1, 0.46, -0.13, -0.02, 2)
    _propeller(c, 0.78)


def helicopter(c: Canvas) -> None:
    paint, blade = c.pick(*PAINTS), c.rng.uniform(0.55, 0.95)
    c.limb([(-0.2, 0.0), (-0.88, -0.12)], [0.12, 0.04], paint)
    c.poly([(-0.82, -0.1), (-0.98, -0.36), (-0.84, -0.34)], paint)
    c.oval(0.2, 0.06, 0.46, 0.32, paint)
    c.flush()
    c.blob([(0.26, -0.18), (0.56, -0.06), (0.64, 0.1), (0.28, 0.1)], GLASS, outline=False)
    c.stroke([(0.16, -0.26), (0.16, -0.44)], 0.05, DARK)
    c.limb([(0.16 - blade, -0.46), (0.16 + blade, -0.46)], [0.022, 0.022], DARK)
    for x in (0.02, 0.36):
        c.stroke([(x, 0.34), (x, 0.52)], 0.035, DARK)
    c.stroke([(-0.2, 0.53), (0.58, 0.53), (0.66, 0.46)], 0.045, DARK)
    c.flush()


def balloon(c: Canvas) -> None:
    first, second = c.pick(*PAINTS), c.pick((244, 214, 110), (246, 240, 226))
    for x in (-0.16, 0.16):
        c.stroke([(x * 2.0, 0.3), (x, 0.66)], 0.02, DARK)
    c.blob([(-0.16, 0.42), (-0.6, 0.0), (-0.5, -0.6), (0, -0.86), (0.5, -0.6), (0.6, 0.0), (0.16, 0.42)], first)
    c.flush()
    for x in (-0.34, 0.0, 0.34):
        c.blob(
            [(x * 0.4, 0.38), (x * 1.2 - 0.09, -0.1), (x * 0.2, -0.8), (x * 1.2 + 0.09, -0.1)], second, outline=False
        )
    c.box(-0.16, 0.66, 0.16, 0.9, c.pick((160, 110, 66)))
    c.flush()


def airship(c: Canvas) -> None:
    paint, trim = c.pick((200, 204, 210), (226, 196, 150), (150, 170, 190)), c.pick(*PAINTS[:3])
    for side in (-1, 1):
        c.poly([(-0.56, side * 0.1), (-0.94, side * 0.4), (-0.94, side * 0.08)], trim)
    c.limb([(-0.2, 0.38), (0.2, 0.38)], [0.09, 0.09], shade(trim, 0.9))
    c.oval(0, 0, 0.9, 0.32, paint)
    c.flush()
    for y in (-0.14, 0.12):
        c.limb([(-0.78, y * 0.4), (0, y), (0.8, y * 0.3)], [0.012, 0.014], shade(paint, 0.75), False)
    _panes(c, -0.2, 0.22, 0.36, 0.42, 3)


ROAD = {
    "car": car, "convertible": convertible, "taxi": taxi, "van": van, "ambulance": ambulance, "truck": truck,
    "bus": bus, "tractor": tractor, "bicycle": bicycle, "motorcycle": motorcycle,
}  # fmt: skip
AIR = {
    "airliner": airliner, "biplane": biplane, "seaplane": seaplane, "helicopter": helicopter, "balloon": balloon,
    "airship": airship,
}  # fmt: skip
