"""Near-duplicates by cosine: how many of a photograph's altered copies a threshold finds, and how many others it takes.

    python tests/benchmarks/duplicates.py MODEL IMAGES [COPIED]

MODEL is the folder of a model (`model.safetensors` and `card.json`), IMAGES one of class folders of photographs, COPIED
how many of them, drawn by seed, are altered (default 1,000). Each copy is found or missed by its cosine to the
photograph it was made from. Every pair of two photographs is held to be false: a corpus with true copies in it only
makes the threshold look worse. Those that score highest are named, to be looked at.
"""

import datetime
import io
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from devise.vision import model
from devise.vision.engine import Engine, Item

SEED = 0
THRESHOLDS = (0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.9975, 0.999)
NAMED = 12


def encoded(picture: Image.Image, quality: int = 90) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def cropped(picture: Image.Image, share: float) -> Image.Image:
    """Without this share of its width and of its height, from the left and from the top."""
    return picture.crop((round(share * picture.width), round(share * picture.height), picture.width, picture.height))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG, quality 50": lambda picture: encoded(picture, 50),
    "half the size": lambda picture: encoded(picture.resize((picture.width // 2, picture.height // 2))),
    "3 % cropped": lambda picture: encoded(cropped(picture, 0.03)),
    "8 % cropped": lambda picture: encoded(cropped(picture, 0.08)),
    "mirrored": lambda picture: encoded(ImageOps.mirror(picture)),
    "20 % brighter": lambda picture: encoded(ImageEnhance.Brightness(picture).enhance(1.2)),
}


def embed(network: model.DeviseModel, n: int, fetch: Callable[[int], bytes]) -> np.ndarray:
    """Unit rows (n, D) of contents by number."""
    engine = Engine(network, lambda item: fetch(item.image_id), device="cpu")
    embedding_ND = np.empty((n, network.dim), np.float32)
    for found in engine.run(Item(number, str(number), "", 0) for number in range(n)):
        assert not any(found.codes)
        embedding_ND[[item.image_id for item in found.items]] = found.embedding_ND
    return embedding_ND


def main(folder: str, images: str, n_copied: int = 1_000) -> None:
    network = model.load(folder)
    paths = sorted(path for path in Path(images).glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg"))
    class_N = np.array([path.parent.name for path in paths])
    copied = np.sort(np.random.default_rng(SEED).choice(len(paths), min(n_copied, len(paths)), replace=False))
    embedding_ND = embed(network, len(paths), lambda number: paths[number].read_bytes())
    print(f"{platform.processor() or platform.machine()}, {datetime.date.today()}")
    print(
        f"model {network.model_id}, {network.dim} dims; {len(paths):,} photographs, {len(copied):,} of them altered\n"
    )

    found = {}
    for name, alter in COPIES.items():

        def fetch(number: int, alter: Callable[[Image.Image], bytes] = alter) -> bytes:
            return alter(Image.open(paths[copied[number]]).convert("RGB"))

        found[name] = (embedding_ND[copied] * embed(network, len(copied), fetch)).sum(axis=1)
    score_NN = embedding_ND @ embedding_ND.T
    np.fill_diagonal(score_NN, -1)
    one_E, other_E = np.nonzero(np.triu(score_NN) >= THRESHOLDS[0])
    score_E, same_E = score_NN[one_E, other_E], class_N[one_E] == class_N[other_E]

    print("| threshold | " + " | ".join(f"missed, {name}" for name in found) + " | false pairs, one class | others |")
    print("|---" * (len(found) + 3) + "|")
    for threshold in THRESHOLDS:
        missed = [f"{(scores < threshold).mean():.1%}" for scores in found.values()]
        false_E = score_E >= threshold
        counts = [f"{int((false_E & of_E).sum()):,}" for of_E in (same_E, ~same_E)]
        print(f"| {threshold} | " + " | ".join([*missed, *counts]) + " |")
    n_same = int(sum(n * (n - 1) // 2 for n in np.unique(class_N, return_counts=True)[1]))
    print(f"\nof {n_same:,} pairs of one class and {len(paths) * (len(paths) - 1) // 2 - n_same:,} others\n")
    for place in np.argsort(-score_E)[:NAMED]:
        names = " and ".join(f"{paths[row].parent.name}/{paths[row].name}" for row in (one_E[place], other_E[place]))
        print(f"- {score_E[place]:.4f} {names}")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
