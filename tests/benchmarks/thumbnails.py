"""What a thumbnail costs: CPU an image with and without, bytes an image, and whether embeddings are the same.

    python tests/benchmarks/thumbnails.py [--data ../shared/data] [--images 600] [--repeats 7]

Photographs of ILSVRC and Caltech-101, a share of each, in memory before the clock starts. The two ways take turns in
one process; the clock is its CPU time of all threads, as machines are shared. `decode` is one thread; `engine` is
decode and MobileNetV2 on all cores.
"""

import argparse
import datetime
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from embed_loop import THREADS, load_model, processor

from devise.vision import images, thumbnails
from devise.vision.engine import Engine, Item


def in_turns(one: Callable[[], object], other: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of CPU of each turn."""
    found: tuple[list[float], list[float]] = ([], [])
    one(), other()
    for repeat in range(repeats):
        for place in (0, 1) if repeat % 2 else (1, 0):
            started = time.process_time()
            (one, other)[place]()
            found[place].append(time.process_time() - started)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DEVISE_DATA", "../shared/data")))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    every = sorted(path for path in (options.data / "images").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    paths = every[:: max(1, len(every) // options.images)][: options.images]
    contents, model = [path.read_bytes() for path in paths], load_model(options.data)
    items = [Item(number, "", "", len(content)) for number, content in enumerate(contents)]
    embedding: dict[bool, np.ndarray] = {}
    made: dict[int, thumbnails.Thumbnail] = {}

    def decode(way: Callable) -> None:
        torch.set_num_threads(1)
        for content in contents:
            way(content, model.preprocessing, 10**8)

    engines = {
        small: Engine(
            model, lambda item: contents[item.image_id], device="cpu", thumbnail=lambda item, small=small: small
        )
        for small in (False, True)
    }

    def engine(small: bool) -> None:
        found_ND = embedding[small] = np.zeros((len(items), model.dim), np.float32)
        for out in engines[small].run(items):
            rows = [item.image_id for item in out.items]
            found_ND[rows] = out.embedding_ND
            if small:
                made.update(zip(rows, out.thumbnails, strict=True))

    print(f"{len(paths)} photographs, {options.repeats} turns; {platform.machine()} {processor()}, {THREADS} cores;")
    print(f"load {os.getloadavg()[0]:.1f} at the start; {datetime.date.today()}\n")
    print("| | CPU ms an image without | with | more, median of pairs | least, most |")
    print("|---|---|---|---|---|")
    told = {
        "decode": (lambda: decode(images.decode), lambda: decode(thumbnails.decode)),
        "engine": (lambda: engine(False), lambda: engine(True)),
    }
    for name, ways in told.items():
        without, with_them = in_turns(*ways, options.repeats)
        ms = [statistics.median(seconds) * 1000 / len(paths) for seconds in (without, with_them)]
        more = [(b - a) * 1000 / len(paths) for a, b in zip(without, with_them, strict=True)]
        spread = f"{statistics.median(more):.2f} | {min(more):.2f}, {max(more):.2f}"
        print(f"| {name} | {ms[0]:.2f} | {ms[1]:.2f} | {spread} |", flush=True)
    sizes = np.array([len(found.webp) for found in made.values()])
    sides = Counter(max(found.width, found.height) for found in made.values())
    ends = np.percentile(sizes, [5, 50, 95]).astype(int).tolist()
    print(f"\nBytes of a thumbnail: mean {sizes.mean():,.0f}; 5 %, half, 95 % below {ends}; largest {sizes.max():,}.")
    print(f"{sides[thumbnails.SIDE]} of {len(made)} have a longer side of {thumbnails.SIDE}.")
    print(f"Embeddings the same to the bit: {np.array_equal(embedding[False], embedding[True])}.")


if __name__ == "__main__":
    main()
