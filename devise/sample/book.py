"""The picture book: which nouns are drawn, in which family and scene, and how they are written; no learning."""

import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from devise.sample import animals, birds, boats, buildings, creatures, garden, household, vehicles
from devise.sample.canvas import Canvas
from devise.sample.scenery import compose

# Family: its drawings, the scenes they stand in (see scenery), and how far they may be turned, in degrees.
FAMILIES = {
    "animal": (animals.DRAWINGS, ("meadow", "meadow", "plain", "sky"), 9),
    "bird": (birds.DRAWINGS, ("meadow", "sky", "sky", "plain"), 9),
    "fish": (creatures.FISH, ("deep", "deep", "deep", "plain"), 18),
    "insect": (creatures.INSECTS, ("meadow", "plain", "plain", "sky"), 30),
    "fruit": (garden.FRUIT, ("room", "plain", "plain"), 16),
    "plant": (garden.PLANTS, ("meadow", "meadow", "plain", "sky"), 5),
    "vehicle": (vehicles.ROAD, ("road", "road", "plain"), 6),
    "aircraft": (vehicles.AIR, ("sky", "sky", "sky", "plain"), 16),
    "boat": (boats.DRAWINGS, ("sky",), 6),
    "building": (buildings.DRAWINGS, ("meadow", "meadow", "sky", "plain"), 3),
    "tool": (household.TOOLS, ("room", "plain", "plain"), 40),
    "furniture": (household.FURNITURE, ("room", "room", "plain"), 5),
}

NOUNS: dict[str, str] = {noun: family for family, (drawings, _, _) in FAMILIES.items() for noun in drawings}
"""Every drawn noun and its family."""

HELD_OUT: tuple[str, ...] = (
    "wolf", "leopard", "donkey", "goat", "swan", "crane", "finch", "trout", "moth", "wasp", "plum", "lime",
    "birch", "fir", "sunflower", "taxi", "van", "seaplane", "ketch", "ferry", "rowboat", "cottage", "chapel",
    "mallet", "spade", "armchair", "desk",
)  # fmt: skip
"""The nouns that no model is trained on; each has a near relative among the others, drawn on the same plan."""


def draw(noun: str, rng: np.random.Generator, size: int = 128) -> Image.Image:
    """One picture of the noun: RGB, `size` x `size` pixels, varied by `rng` and by nothing else.

    Raises:
        ValueError: the noun is not in `NOUNS`.
    """
    if noun not in NOUNS:
        raise ValueError(f"no drawing of {noun!r}; drawn are {sorted(NOUNS)}")
    drawings, scenes, max_turn = FAMILIES[NOUNS[noun]]
    canvas = Canvas(rng, size, max_turn)
    drawings[noun](canvas)
    return compose(canvas.image, scenes[rng.integers(len(scenes))], rng, size)


def draw_book(
    folder: str | Path, pictures_per_noun: int = 40, size: int = 128, seed: int = 0, processes: int = 2
) -> int:
    """Write folder/NOUN/NNN.jpg for every noun (one picture in twenty as .png, one as .webp); returns n_pictures.

    A picture depends on its noun, its number, `size` and `seed` alone, whatever `processes` is.
    """
    jobs = [(Path(folder) / noun, pictures_per_noun, size, seed) for noun in NOUNS]
    if processes == 1:
        return sum(map(_draw_noun, jobs))
    with ProcessPoolExecutor(processes) as pool:
        return sum(pool.map(_draw_noun, jobs))


def _draw_noun(job: tuple[Path, int, int, int]) -> int:
    folder, n_pictures, size, seed = job
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n_pictures):
        # A checksum of the noun, since Python's own hash differs from process to process.
        rng = np.random.default_rng([zlib.crc32(folder.name.encode()), number, seed])
        picture, kind = draw(folder.name, rng, size), {7: "png", 13: "webp"}.get(number % 20, "jpg")
        picture.save(folder / f"{number:03d}.{kind}", quality=int(rng.integers(78, 96)))
    return n_pictures
