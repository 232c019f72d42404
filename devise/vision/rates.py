"""Images a second of a sample: fetched, decoded, through the network, and all together; knows no machine but this one.

Shape letters: N images, B pictures of a pass.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from devise.errors import ImageError
from devise.vision import graph
from devise.vision.engine import Engine, Item
from devise.vision.images import Preprocessing, decode
from devise.vision.model import DeviseModel
from devise.vision.networks import build_core
from devise.vision.projections import linear_projection

PASSES = 5
"""Over the sample, after one that is not counted: the graph is frozen in it, and local files come into memory."""


@dataclass(frozen=True)
class Rate:
    """Images a second: the median of the passes, the least and the most."""

    median: float
    least: float
    most: float

    @property
    def spread(self) -> float:
        """Half the distance of least and most, as a share of the median."""
        return (self.most - self.least) / 2 / self.median


@dataclass(frozen=True)
class Rates:
    """What this machine does with the sample.

    Attributes:
        device: what the network ran on, cpu or the name of a card.
        cores: threads that decoded and, on a CPU, inferred.
        mean_bytes: of an image that was fetched.
        rejected: images of the sample that could not be fetched or decoded.
    """

    fetch: Rate
    decode: Rate
    model: Rate
    together: Rate
    device: str
    cores: int
    n_images: int
    mean_bytes: float
    rejected: int


def stand_in(architecture: str, weights: str | None, preprocessing: Preprocessing, dim: int = 300) -> DeviseModel:
    """A model as quick as one that is to be trained on this network; its projection is seeded noise."""
    core = build_core(architecture, weights)
    weight_FD = np.random.default_rng(0).normal(size=(core.n_features, dim)).astype(np.float32)
    return DeviseModel(core, linear_projection(weight_FD, np.zeros(dim, np.float32)), preprocessing)


def measure(
    items: Sequence[Item], fetch: Callable[[Item], bytes], model: DeviseModel, passes: int = PASSES, **settings: Any
) -> Rates:
    """Rates of a sample, each by several passes over all of it.

    Args:
        settings: of the `Engine`.

    Raises:
        ValueError: none of the images can be fetched and decoded.
        DeviceError: as `Engine`.
    """
    engine = Engine(model, fetch, **settings)
    contents = [content for content in _in_threads(_or_none(fetch), items, engine.fetch_threads) if content is not None]
    decoded = _or_none(lambda content: decode(content, model.preprocessing, engine.max_pixels))
    if not (n := sum(picture is not None for picture in _in_threads(decoded, contents, engine.threads))):
        raise ValueError(f"found no image to measure in {len(items)}, wanted one or more")

    def fetch_all() -> None:
        _in_threads(_or_none(fetch), items, engine.fetch_threads)

    def decode_all() -> None:
        _in_threads(decoded, contents, engine.threads)

    def run_all() -> None:
        for _ in engine.run(items):
            pass

    card = torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else "cpu"
    return Rates(
        together=_rate(len(items), run_all, passes),
        fetch=_rate(len(items), fetch_all, passes),
        decode=_rate(len(contents), decode_all, passes),
        model=_model_rate(engine, model, n, passes),
        device=card,
        cores=engine.threads,
        n_images=len(items),
        mean_bytes=statistics.fmean(map(len, contents)),
        rejected=len(items) - n,
    )


def _model_rate(engine: Engine, model: DeviseModel, n: int, passes: int) -> Rate:
    """Full batches of noise: on a CPU one a thread at a time, as the engine does."""
    features = graph.freeze(model, engine.device, engine.precision, engine.batch_size)
    crop, size = model.preprocessing.crop, engine.batch_size
    pixels_B3HW = torch.randint(0, 256, (size, 3, crop, crop), dtype=torch.uint8, device=engine.device)
    pixels_B3HW = pixels_B3HW.contiguous(memory_format=torch.channels_last)
    threads = engine.threads if engine.device.type == "cpu" else 1
    n_batches = max(threads, -(-n // size))

    def one(_: int) -> None:
        torch.set_num_threads(1)  # of this thread: the parallelism is that of the batches
        with torch.inference_mode():
            model.embed_and_classify(features(pixels_B3HW))

    def work() -> None:
        _in_threads(one, range(n_batches), threads)
        if engine.device.type == "cuda":
            torch.cuda.synchronize(engine.device)

    return _rate(n_batches * size, work, passes)


def _rate(n: int, work: Callable[[], None], passes: int) -> Rate:
    rates = []
    for _ in range(passes + 1):
        started = time.perf_counter()
        work()
        rates.append(n / (time.perf_counter() - started))
    return Rate(statistics.median(rates[1:]), min(rates[1:]), max(rates[1:]))


def _in_threads(work: Callable[[Any], Any], given: Sequence[Any], threads: int) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, given))


def _or_none(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, and None of an image that is a reject."""

    def tried(given: Any) -> Any:
        try:
            return work(given)
        except ImageError:
            return None

    return tried
