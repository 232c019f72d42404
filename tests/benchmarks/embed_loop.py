"""Images per second of the engine beside two bare loops, without Spark.

    python tests/benchmarks/embed_loop.py [--data ../shared/data] [--images 600] [--repeats 5] [--precision auto]

recipe  the loop that the usual recipes boil down to: Pillow, float preprocessing, fp32, eager, batches of 32
bare    the best overlapped loop we know: our decoder and frozen graph, a thread a core, each taking whole batches
engine  devise.vision.engine.Engine over the same files

Each measurement is a process of its own (one of them changes the allocator for good), and the three take turns. Files
are read once before the clock starts; loading and warming up are left out.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

THREADS = len(os.sched_getaffinity(0))
DIM = 300


def load_model(data: Path):
    import torch

    from devise.vision.images import Preprocessing
    from devise.vision.model import DeviseModel, build_core, linear_projection

    core = build_core("mobilenet_v2", str(data / "weights/mobilenet_v2_imagenet1k.pth"), None, None)
    weight_FD = np.random.default_rng(0).normal(size=(core.n_features, DIM)).astype(np.float32)
    torch.set_num_threads(THREADS)
    preprocessing = Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)
    return DeviseModel(core, linear_projection(weight_FD, np.zeros(DIM, np.float32)), preprocessing)


def recipe(data: Path, paths: list[Path], precision: str) -> tuple[float, np.ndarray]:
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5], [0.5]),
        ]
    )
    model = load_model(data)

    def read(path: Path):
        with Image.open(path) as image:
            return transform(image.convert("RGB"))

    with torch.inference_mode(), ThreadPoolExecutor(2) as decoders:
        model.core.features(torch.zeros(32, 3, 224, 224))
        started, found = time.perf_counter(), []
        waiting = [decoders.submit(read, path) for path in paths]
        for first in range(0, len(paths), 32):
            batch = torch.stack([future.result() for future in waiting[first : first + 32]])
            found.append(model.embed(model.core.features(batch))[0])
        return time.perf_counter() - started, torch.cat(found).numpy()


def bare(data: Path, paths: list[Path], precision: str) -> tuple[float, np.ndarray]:
    import torch

    from devise.vision import graph
    from devise.vision.images import decode

    graph.keep_freed_memory()
    model, cpu = load_model(data), torch.device("cpu")
    features = graph.freeze(model, cpu, graph.choose_precision(precision, cpu), 8)
    embedding_ND = np.zeros((len(paths), DIM), np.float32)

    def work(first: int) -> None:
        torch.set_num_threads(1)
        pixels = torch.zeros(8, 224, 224, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
        chosen = paths[first : first + 8]
        with torch.inference_mode():
            for row, path in enumerate(chosen):
                pixels[row] = decode(path.read_bytes(), model.preprocessing, 10**8).pixels
            embedding_ND[first : first + 8] = model.embed(features(pixels))[0].numpy()[: len(chosen)]

    with ThreadPoolExecutor(THREADS) as threads:
        started = time.perf_counter()
        list(threads.map(work, range(0, len(paths), 8)))
        return time.perf_counter() - started, embedding_ND


def engine(data: Path, paths: list[Path], precision: str) -> tuple[float, np.ndarray]:
    from devise.vision.engine import Engine, Item

    made = Engine(load_model(data), lambda item: paths[item.image_id].read_bytes(), device="cpu", precision=precision)
    embedding_ND = np.zeros((len(paths), DIM), np.float32)
    started = time.perf_counter()
    for out in made.run(Item(i, str(path), "", path.stat().st_size) for i, path in enumerate(paths)):
        embedding_ND[[item.image_id for item in out.items]] = out.embedding_ND
    return time.perf_counter() - started, embedding_ND


LOOPS = {"recipe": recipe, "bare": bare, "engine": engine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DEVISE_DATA", "../shared/data")))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    paths = sorted((options.data / "images/caltech101").glob("*/*.jpg"))[: options.images]
    if options.one:
        loop, file = options.one
        for path in paths:
            path.read_bytes()
        elapsed_s, embedding_ND = LOOPS[loop](options.data, paths, options.precision)
        np.save(file, embedding_ND)
        print(json.dumps({"images_per_s": len(paths) / elapsed_s}))
        return
    scratch = Path(os.environ.get("TMPDIR", "/tmp"))
    rates: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(options.repeats):
        for name in LOOPS:
            command = [sys.executable, __file__, "--data", str(options.data), "--images", str(options.images)]
            command += ["--precision", options.precision, "--one", name, str(scratch / f"embed_loop.{name}.npy")]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rates[name].append(json.loads(told.splitlines()[-1])["images_per_s"])
    embedding = {name: np.load(scratch / f"embed_loop.{name}.npy") for name in LOOPS}
    print(
        f"{len(paths)} photographs, MobileNetV2 and a fixed 1280 x {DIM} projection, precision {options.precision}, "
        f"{THREADS} cores, {options.repeats} turns"
    )
    print(f"{platform.processor() or platform.machine()} {processor()}, {datetime.date.today()}")
    print("| loop | img/s, median | least | most | / recipe | / bare, median of turns | mean cosine to recipe |")
    print("|---|---|---|---|---|---|---|")
    for name, found in rates.items():
        shares = [
            statistics.median(one / other for one, other in zip(found, rates[base], strict=True))
            for base in ("recipe", "bare")
        ]
        cosine = (embedding[name] * embedding["recipe"]).sum(axis=1).mean()
        print(
            f"| {name} | {statistics.median(found):.0f} | {min(found):.0f} | {max(found):.0f} | {shares[0]:.2f} "
            f"| {shares[1]:.2f} | {cosine:.4f} |"
        )


def processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else ""


if __name__ == "__main__":
    main()
