"""The pixels of listed images, fetched and decoded as the embed engine does, by its limits; no networks, no Spark."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from devise.config import EngineConfig
from devise.errors import ImageError
from devise.learning.train import augment
from devise.store import storage
from devise.vision.images import Preprocessing, decode

BATCHES_AHEAD = 2


def read_picture(row: dict[str, Any], preprocessing: Preprocessing) -> torch.Tensor | str:
    """Pixels uint8 (3, crop, crop) of a row of uri, etag and size_bytes; or the code by which the engine rejects it."""
    limits = EngineConfig()
    if row["size_bytes"] > limits.max_bytes:
        return "too_large"
    try:
        return decode(storage.fetch_image(row["uri"], row["etag"]), preprocessing, limits.max_pixels).pixels
    except ImageError as error:
        return error.code


def read_ahead(
    rows: pa.Table, batches: Iterable[np.ndarray], preprocessing: Preprocessing, pool: Executor
) -> Iterator[list[tuple[int, torch.Tensor | str]]]:
    """Of each batch of row numbers the rows and what `read_picture` says of them; the next ones are read meanwhile."""
    waiting: deque[list[tuple[int, Future]]] = deque()
    for batch in batches:
        told = rows.take(pa.array(batch)).to_pylist()
        begun = [pool.submit(read_picture, one, preprocessing) for one in told]
        waiting.append(list(zip(batch.tolist(), begun, strict=True)))
        if len(waiting) > BATCHES_AHEAD:
            yield [(row, future.result()) for row, future in waiting.popleft()]
    while waiting:
        yield [(row, future.result()) for row, future in waiting.popleft()]


def augment_one(pixels_3HW: torch.Tensor, seed: int, epoch: int, row: int) -> torch.Tensor:
    """Flipped, shifted and tinted as this image is in this epoch, whoever has it; uint8 in, float32 0 to 1 out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(((seed * 1_000_003 + epoch) * 1_000_003 + row) % 2**63)
        return augment(pixels_3HW[None])[0]
