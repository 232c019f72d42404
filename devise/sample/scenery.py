"""Backgrounds, clutter, light and noise around a drawn thing; knows scenes by name and no noun."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SKIES = [(176, 212, 238), (205, 226, 240), (246, 214, 176), (226, 232, 236), (150, 190, 226), (240, 200, 190)]
GROUNDS = {
    "meadow": [(150, 190, 104), (120, 168, 92), (188, 200, 120), (206, 190, 130)],
    "road": [(150, 150, 154), (176, 170, 162), (128, 134, 142), (196, 186, 168)],
    "water": [(96, 152, 190), (70, 136, 160), (120, 176, 196)],
    "room": [(190, 156, 118), (168, 132, 104), (204, 190, 168), (150, 146, 150)],
}
WALLS = [(236, 226, 206), (214, 226, 222), (232, 208, 200), (206, 210, 226), (244, 236, 190), (198, 190, 182)]
DEEPS = [(120, 190, 214), (84, 156, 186), (150, 208, 208), (104, 170, 214)]


def compose(thing: Image.Image, scene: str, rng: np.random.Generator, size: int) -> Image.Image:
    """The thing (RGBA, any size) before a background of that scene, lit and with some grain: RGB, size x size."""
    background = _clutter(_background(scene, rng, size), scene, rng)
    cut = thing.resize((size, size), Image.Resampling.BOX)
    alpha = cut.getchannel("A")
    picture = np.asarray(background, np.float32)
    if rng.random() < 0.5:
        picture = _cast_shadow(picture, alpha, rng, size)
    mask = np.asarray(alpha, np.float32)[..., None] / 255
    body = np.asarray(cut.convert("RGB"), np.float32) * _light(rng, size)
    picture = picture * (1 - mask) + body * mask
    picture = picture * rng.uniform(0.85, 1.1) + rng.normal(0, rng.uniform(0, 9), (size, size, 1))
    finished = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        finished = finished.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * size / 128))
    return finished


def _background(scene: str, rng: np.random.Generator, size: int) -> Image.Image:
    row = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    if scene in GROUNDS:
        walls = WALLS if scene == "room" else SKIES
        top, ground = _pick(rng, walls), _pick(rng, GROUNDS[scene])
        horizon = rng.uniform(0.5, 0.85)
        above = top * (1.06 - 0.16 * row)
        below = ground * (0.85 + 0.25 * row)
        sheet = np.where(row < horizon, above, below)
    else:
        first = _pick(rng, DEEPS if scene == "deep" else SKIES if scene == "sky" else WALLS)
        second = first * rng.uniform(0.78, 1.12) + rng.normal(0, 8, 3)
        sheet = first * (1 - row) + second * row
    sheet = np.broadcast_to(sheet, (size, size, 3))
    coarse = rng.normal(0, rng.uniform(1, 12), (8, 8)).astype(np.float32)
    cloud = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
    return Image.fromarray((sheet + cloud[..., None]).clip(0, 255).astype(np.uint8))


def _clutter(background: Image.Image, scene: str, rng: np.random.Generator) -> Image.Image:
    """A few pale things behind: clouds, tufts, bubbles, spots, stripes; each in a tone near the background's own."""
    pen, size = ImageDraw.Draw(background), background.width
    pixels = background.load()
    if scene in ("plain", "room") and rng.random() < 0.35:
        step = int(rng.integers(2 + size // 14, 3 + size // 5))
        slope = rng.choice([0, 0, size // 3, size])
        for x in range(-size, 2 * size, step):
            pen.line([(x, 0), (x + slope, size)], fill=_near(pixels[0, 0], rng, 7), width=max(1, step // 3))
    for _ in range(rng.integers(0, 8)):
        x, y = rng.integers(0, size, 2).tolist()
        tone, reach = _near(pixels[x, y], rng, 16), size * rng.uniform(0.02, 0.09)
        kind = rng.integers(3)
        if scene == "deep" or kind == 0:
            pen.ellipse([x - reach, y - reach, x + reach, y + reach], fill=tone)
        elif kind == 1:
            for hop in (-1, 0, 1):
                pen.ellipse([x + hop * reach - reach, y - reach * 0.6, x + hop * reach + reach, y + reach * 0.6], tone)
        else:
            pen.polygon(
                [(x - reach, y + reach), (x + reach * rng.uniform(-1, 1), y - reach), (x + reach, y)], fill=tone
            )
    return background


def _cast_shadow(picture: np.ndarray, alpha: Image.Image, rng: np.random.Generator, size: int) -> np.ndarray:
    shift = (int(rng.integers(-size // 20, size // 20 + 1)), int(rng.integers(1, 2 + size // 14)))
    shadow = Image.new("L", alpha.size)
    shadow.paste(alpha, shift)
    soft = np.asarray(shadow.filter(ImageFilter.BoxBlur(size / 40)), np.float32)[..., None] / 255
    return picture * (1 - 0.35 * soft)


def _light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Brightness over the thing, about 1: light from one side, and sometimes paper grain or hatching."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    across, down = rng.uniform(-0.16, 0.16), rng.uniform(-0.16, 0.02)
    light = 1.02 + across * ramp[None, :] + down * ramp[:, None]
    kind = rng.random()
    if kind < 0.2:
        light = light + rng.normal(0, 0.05, (size, size))
    elif kind < 0.35:
        pitch = rng.uniform(0.5, 1.1) * 128 / size
        column, row = np.meshgrid(np.arange(size), np.arange(size))
        light = light + 0.05 * np.sin(pitch * (column + rng.uniform(-1, 1) * row))
    return light[..., None].astype(np.float32)


def _pick(rng: np.random.Generator, colours: list[tuple[int, int, int]]) -> np.ndarray:
    return (np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 9, 3)).astype(np.float32)


def _near(pixel: tuple[int, int, int], rng: np.random.Generator, spread: float) -> tuple[int, int, int]:
    return tuple(int(part) for part in (np.array(pixel) + rng.normal(0, spread)).clip(0, 255))
