"""What a GPU gives: right embeddings first; then pictures a second of each step of the engine, apart and together.

    python tests/benchmarks/gpu.py [--data ../shared/data] [--device cuda] [--images 2000]
    python tests/benchmarks/gpu.py --device cpu --images 200 --batch-sizes 8

correctness  the engine's embeddings beside those of the plain model in fp32 on the CPU; a difference ends the script, 1
apart        fetch: bytes of files that are in the page cache; decode: ours, on all cores, and torchvision's decode_jpeg
             with a resize, which on a GPU is nvJPEG; transfer: batches from pinned memory; model: batches on the device
together     the engine: fetch, decode, transfer and model, overlapped, as a Spark task runs it
tasks        several processes that share the card and the cores, as tasks of Spark do, begun together

Each figure is the median of `--repeats`; that of tasks is of one run. Prints markdown with machine and date. With
`--device cpu` all runs but the transfer, and torchvision's decoder is its CPU's. Without `--data` pictures are drawn.
"""

import argparse
import datetime
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from devise.store import storage
from devise.vision import graph
from devise.vision.engine import BATCH_SIZE, Engine, Item
from devise.vision.images import Preprocessing, decode
from devise.vision.model import DeviseModel
from devise.vision.rates import stand_in

CORES = len(os.sched_getaffinity(0))
DIM = 300
WEIGHTS = {"mobilenet_v2": "weights/mobilenet_v2_imagenet1k.pth"}
BATCH_SIZES = {"cuda": (64, 128, 256, 512), "cpu": (8,)}
LEAST_COSINE = {"fp32": 0.9999, "bf16": 0.95, "fp16": 0.99}
"""Of embeddings about their mean: without it networks that were never trained find all pictures alike. bf16 keeps 8
bits: 0.983 was found of an untrained MobileNetV2 on a CPU; between one picture and another it is about 0."""


def load_model(architecture: str, data: Path | None) -> DeviseModel:
    """With the data's weights where it has some, else with seeded ones; its projection is seeded."""
    torch.manual_seed(0)
    weights = data / WEIGHTS[architecture] if data and architecture in WEIGHTS else None
    return stand_in(architecture, str(weights) if weights else None, Preprocessing(256, 224), DIM)


def draw_pictures(folder: Path, n: int) -> list[Path]:
    """JPEGs of about 400 pixels: what a photograph of the web is to a decoder."""
    from devise.sample.book import NOUNS, draw

    nouns, paths = sorted(NOUNS), []
    for number in range(n):
        paths.append(folder / f"{number:05d}.jpg")
        draw(nouns[number % len(nouns)], np.random.default_rng(number), 400).save(paths[-1], quality=90)
    return paths


def pictures_below(folder: Path, n: int) -> list[Path]:
    """At most n JPEGs, of all folders alike."""
    return spread(sorted(folder.rglob("*.jpg")), n)


def spread(paths: list[Path], n: int) -> list[Path]:
    return paths[:: max(1, len(paths) // n)][:n]


def read(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def decode_all(contents: list[bytes], threads: int = CORES) -> torch.Tensor:
    """uint8 pixels (N, 3, 224, 224), channels last, by devise's decoder."""
    with ThreadPoolExecutor(threads) as pool:
        pictures = list(pool.map(lambda content: decode(content, Preprocessing(256, 224), 10**8).pixels, contents))
    return torch.stack(pictures).contiguous(memory_format=torch.channels_last)


def embed(paths: list[Path], model: DeviseModel, **settings) -> tuple[np.ndarray, float]:
    """embedding_ND by the engine, and its seconds; freezing the graph is left out."""
    engine = Engine(model, lambda item: storage.fetch_image(item.uri, item.etag), **settings)
    embedding_ND, started = np.zeros((len(paths), DIM), np.float32), time.perf_counter()
    for out in engine.run(items(paths)):
        if faults := [message for message in out.messages if message]:
            raise SystemExit(f"found {faults[0]}, wanted pictures that can be read")
        embedding_ND[[item.image_id for item in out.items]] = out.embedding_ND
    return embedding_ND, time.perf_counter() - started


def items(paths: list[Path]) -> list[Item]:
    stats = (storage.stat(path.absolute().as_uri()) for path in paths)
    return [Item(number, found.uri, found.etag, found.size_bytes) for number, found in enumerate(stats)]


def check(paths: list[Path], model: DeviseModel, device: str, precision: str) -> tuple[float, float]:
    """Least cosine, about the mean, and largest difference of a number, beside the plain model in fp32 on the CPU."""
    found_ND, _ = embed(paths, model, device=device, precision=precision)
    with torch.inference_mode():
        plain = model.cpu()
        wanted_ND = torch.cat([plain(pixels)[0] for pixels in decode_all(read(paths)).split(16)]).numpy()
    centred = [array_ND - wanted_ND.mean(axis=0) for array_ND in (found_ND, wanted_ND)]
    lengths_N = [np.linalg.norm(array_ND, axis=1) for array_ND in centred]
    cosine_N = (centred[0] * centred[1]).sum(axis=1) / (lengths_N[0] * lengths_N[1])
    return float(cosine_N.min()), float(np.abs(found_ND - wanted_ND).max())


def per_second(n: int, work: Callable[[], object], repeats: int) -> float:
    """Pictures a second, the median; done once before the clock starts."""
    rates = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rates.append(n / (time.perf_counter() - started))
    return statistics.median(rates[1:])


def torchvision_decodes(contents: list[bytes], device: str) -> Callable[[], object]:
    """JPEGs in lists of 32, on a GPU by nvJPEG, resized and cropped where they are."""
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms.v2 import functional

    encoded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]

    def work() -> None:
        for first in range(0, len(encoded), 32):
            for pixels in decode_jpeg(encoded[first : first + 32], ImageReadMode.RGB, device=device):
                functional.center_crop(functional.resize(pixels, [256], antialias=True), [224])

    return work


def model_rate(model: DeviseModel, device: torch.device, precision: str, batch_size: int, options) -> float:
    """Batches that are on the device already; on a CPU a batch a core at a time, as the engine does."""
    features = graph.freeze(model, device, precision, batch_size)
    model.to(device)
    pixels = torch.randint(0, 256, (batch_size, 3, 224, 224), dtype=torch.uint8, device=device)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    n_batches = max(CORES, options.images // batch_size)

    def one(_: int) -> None:
        if device.type == "cpu":
            torch.set_num_threads(1)
        with torch.inference_mode():
            model.embed(features(pixels))

    def work() -> None:
        with ThreadPoolExecutor(CORES if device.type == "cpu" else 1) as pool:
            list(pool.map(one, range(n_batches)))

    return per_second(n_batches * batch_size, work, options.repeats)


def transfer_rate(device: torch.device, batch_size: int, options) -> float:
    pixels = torch.zeros((batch_size, 224, 224, 3), dtype=torch.uint8, pin_memory=True)
    n_batches = max(1, options.images // batch_size)

    def work() -> None:
        for _ in range(n_batches):
            pixels.to(device, non_blocking=True)

    return per_second(n_batches * batch_size, work, options.repeats)


def task(options) -> None:
    """One of several processes: warms up, says that it is ready, waits, and embeds all of the pictures."""
    architecture, precision, batch_size, threads = options.task
    paths = pictures_below(Path(options.pictures), options.images)
    model, settings = load_model(architecture, options.data), {"device": options.device, "precision": precision}
    settings |= {"batch_size": int(batch_size), "threads": int(threads)}
    embed(paths[:1], model, **settings)
    print("ready", flush=True)
    sys.stdin.readline()
    embed(paths, model, **settings)
    print("done", flush=True)


def tasks_rate(n: int, folder: Path, architecture: str, precision: str, batch_size: int, options) -> float:
    """Pictures a second of n processes together, each with its share of the cores."""
    command = [sys.executable, __file__, "--device", options.device, "--images", str(options.images)]
    command += ["--data", str(options.data)] if options.data else []
    command += ["--pictures", str(folder), "--task", architecture, precision, str(batch_size), str(max(1, CORES // n))]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n)]
    try:
        answers = [child.stdout.readline() for child in started]
        begun = time.perf_counter()
        for child in started:
            child.stdin.write("\n")
            child.stdin.flush()
        answers += [child.stdout.readline() for child in started]
        seconds = time.perf_counter() - begun
    finally:
        for child in started:
            child.communicate()
    if set(answers) != {"ready\n", "done\n"}:
        raise SystemExit(f"{n} tasks: found {answers}, wanted each ready and done: see above")
    return n * len(pictures_below(folder, options.images)) / seconds


def report(paths: list[Path], folder: Path, options) -> Iterator[str]:
    """The tables, a line at a time, as they are measured."""
    device = graph.choose_device(options.device)
    contents = read(paths)
    n, mean_kb = len(paths), sum(map(len, contents)) / len(contents) / 1000
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    yield f"{where}, {CORES} cores of {processor()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    yield f"{datetime.date.today()}, Python {platform.python_version()}; {n} pictures of {mean_kb:.0f} kB\n"
    yield "Correctness, beside the plain model in fp32 on the CPU:\n"
    yield from heads("network", "precision", "least cosine about the mean", "largest difference")
    networks = {name: load_model(name, options.data) for name in options.architectures}
    few = spread(paths, options.checked)
    for (name, model), precision in itertools.product(networks.items(), options.precisions):
        cosine, furthest = check(few, model, device.type, precision)
        yield f"| {name} | {precision} | {cosine:.6f} | {furthest:.1e} |"
        if not cosine >= LEAST_COSINE[precision]:  # not a number is no cosine
            raise SystemExit(f"{name}, {precision}: found cosine {cosine}, wanted at least {LEAST_COSINE[precision]}")
    yield "\nApart, before the model:\n"
    yield from heads("step", "pictures a second")
    yield f"| fetch, 4 threads, from the page cache | {fetch_rate(paths, options):.0f} |"
    rate = per_second(n, lambda: decode_all(contents), options.repeats)
    yield f"| decode, {CORES} threads | {rate:.0f} |"
    rate = per_second(n, torchvision_decodes(contents, device.type), options.repeats)
    by = "nvJPEG, resized on the card" if device.type == "cuda" else "torchvision's on the CPU, one thread"
    yield f"| decode, {by} | {rate:.0f} |"
    if device.type == "cuda":
        yield f"| transfer, batches of 256 | {transfer_rate(device, 256, options):.0f} |"
    sizes = options.batch_sizes or BATCH_SIZES[device.type]
    yield "\nThe model, and all together:\n"
    yield from heads("network", "precision", "batch", "model alone", "together")
    for (name, model), precision, size in itertools.product(networks.items(), options.precisions, sizes):
        alone = model_rate(model, device, precision, size, options)
        settings = {"device": device.type, "precision": precision, "batch_size": size}
        embed(few, model, **settings)
        together = statistics.median(n / embed(paths, model, **settings)[1] for _ in range(options.repeats))
        yield f"| {name} | {precision} | {size} | {alone:.0f} | {together:.0f} |"
    yield "\nTasks that share the card and the cores:\n"
    yield from heads("network", "precision", "batch", "tasks", "together")
    for name, count in itertools.product(networks, options.tasks):
        size = BATCH_SIZE[device.type] if options.batch_sizes is None else sizes[-1]
        rate = tasks_rate(count, folder, name, options.precisions[-1], size, options)
        yield f"| {name} | {options.precisions[-1]} | {size} | {count} | {rate:.0f} |"


def heads(*names: str) -> tuple[str, str]:
    """The first lines of a table."""
    return "| " + " | ".join(names) + " |", "|" + "---|" * len(names)


def fetch_rate(paths: list[Path], options) -> float:
    wanted = items(paths)

    def work() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: storage.fetch_image(item.uri, item.etag), wanted))

    return per_second(len(paths), work, options.repeats)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder of photographs and weights; else pictures are drawn")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--checked", type=int, default=64, help="pictures whose embeddings are compared")
    parser.add_argument("--architectures", nargs="+", default=["mobilenet_v2", "resnet50"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, help="default a few about the engine's own")
    parser.add_argument("--tasks", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", help=argparse.SUPPRESS)
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    options = arguments().parse_args()
    if options.task:
        return task(options)
    with tempfile.TemporaryDirectory() as folder:
        if options.data:
            folder = options.data / "images/caltech101"
            paths = pictures_below(folder, options.images)
        else:
            paths = draw_pictures(Path(folder), options.images)
        for line in report(paths, Path(folder), options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
