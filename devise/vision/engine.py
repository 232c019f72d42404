"""The inference engine: fetch, decode and infer, overlapped, each image once; knows nothing of Spark, stores or tables.

Shape letters: N images of a batch of outcomes, B pictures of a pass through the network, D dims, C classes.

On a CPU every thread takes a whole batch from bytes to embedding, so nobody waits for anybody; on a GPU many threads
decode and one feeds the device. Every pass has the same shape (the last batch is padded), and a picture's embedding
does not depend on the others in its batch.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Literal, Protocol

import torch

from devise.errors import ImageError
from devise.vision import graph, thumbnails
from devise.vision.images import Picture, Preprocessing, decode
from devise.vision.model import DeviseModel
from devise.vision.outcomes import Batch, Item, Outcomes

__all__ = ["Engine", "Item", "Network", "Outcomes"]

BATCH_SIZE = {"cpu": 8, "cuda": 256}
"""On a CPU the activations of 8 pictures stay in cache; a GPU wants many."""


class Network(Protocol):
    """What the engine needs of a model; a `DeviseModel` is frozen first, anything else is called as it is.

    Called with uint8 pixels (B, 3, crop, crop), from many threads, it returns (embedding_BD unit rows, norm_B), and
    may add (class_id_BT, probability_BT); with output="features", (features_BD, probabilities_BC or None).
    """

    preprocessing: Preprocessing
    dim: int

    def __call__(self, pixels_B3HW: torch.Tensor) -> tuple[torch.Tensor | None, ...]: ...


class Engine:
    """Items in, outcomes out; see `run`. Building it freezes the model, once per process and settings.

    Args:
        fetch: the bytes of an item; called from `fetch_threads` threads; an ImageError makes the item a reject.
        device, gpu, precision: see `devise.vision.graph`.
        batch_size: pictures a pass; default 8 on a CPU, 256 on a GPU.
        threads: threads that decode and, on a CPU, infer; default one a usable core.
        max_pixels: larger pictures are rejected from their header.
        max_bytes: items that are listed with more are rejected and never fetched.
        max_inflight_bytes: encoded bytes held at once, by the items' size_bytes; one larger item goes alone.
        thumbnail: whether an item's outcome has a thumbnail too; embeddings are the same with and without.

    Raises:
        DeviceError: an accelerator was asked for and is absent.
    """

    def __init__(
        self,
        model: DeviseModel | Network,
        fetch: Callable[[Item], bytes],
        *,
        device: Literal["auto", "cuda", "cpu"] = "auto",
        gpu: str | None = None,
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        batch_size: int | None = None,
        threads: int | None = None,
        fetch_threads: int = 4,
        max_pixels: int = 100_000_000,
        max_bytes: int = 512 * 2**20,
        max_inflight_bytes: int = 256 * 2**20,
        output: Literal["embedding", "features"] = "embedding",
        thumbnail: Callable[[Item], bool] = lambda item: False,
    ):
        self.device = graph.choose_device(device, gpu)
        self.precision = graph.choose_precision(precision, self.device)
        self.batch_size = BATCH_SIZE[self.device.type] if batch_size is None else batch_size
        self.threads = len(os.sched_getaffinity(0)) if threads is None else threads
        if min(self.batch_size, self.threads, fetch_threads, max_pixels, max_bytes, max_inflight_bytes) < 1:
            raise ValueError(
                "batch_size, threads, fetch_threads, max_pixels, max_bytes, max_inflight_bytes: wanted at least 1 each"
            )
        self.fetch, self.fetch_threads, self.output, self.thumbnail = fetch, fetch_threads, output, thumbnail
        self.preprocessing, self.max_pixels = model.preprocessing, max_pixels
        self.max_bytes, self.max_inflight_bytes = max_bytes, max_inflight_bytes
        self.whole_batches = self.device.type == "cpu"
        if self.whole_batches:
            graph.keep_freed_memory()
        self._infer, self._dim = self._prepared(model)

    def run(self, items: Iterable[Item]) -> Iterator[Outcomes]:
        """Every item once, in batches of outcomes, in any order; `items` is read only by the caller's thread.

        Anything that fetch or the network raises but an ImageError ends the run. When the run ends, is abandoned or
        fails, its threads have ended too.
        """
        before = torch.get_num_threads()
        stages = self._stages()
        line = _Line([n_threads for _, n_threads in stages])
        started: list[Thread] = []
        try:
            for number, (work, n_threads) in enumerate(stages):
                for _ in range(n_threads):
                    started.append(Thread(target=_guarded, args=(line, number, work), daemon=True))
                    started[-1].start()
            yield from self._feed(iter(items), line)
        finally:
            line.stopped.set()
            for number in range(len(stages)):
                line.close(number)
            for thread in started:
                thread.join()
            torch.set_num_threads(before)

    def _prepared(self, model: DeviseModel | Network) -> tuple[Callable[[torch.Tensor], tuple], int]:
        if not isinstance(model, DeviseModel):
            return model, model.dim
        features = graph.freeze(model.eval(), self.device, self.precision, self.batch_size)
        model.to(self.device)
        if self.output == "features":
            return lambda pixels: model.classify(features(pixels)), model.core.n_features
        return lambda pixels: model.embed_and_classify(features(pixels)), model.dim

    def _stages(self) -> list[tuple[Callable[["_Line"], None], int]]:
        """The work of each stage and its number of threads; stage i reads queue i and feeds queue i + 1."""
        if self.whole_batches:
            return [(self._fetch_all, self.fetch_threads), (self._embed_whole_batches, self.threads)]
        return [(self._fetch_all, self.fetch_threads), (self._decode_all, self.threads), (self._serve_device, 1)]

    def _feed(self, source: Iterator[Item], line: "_Line") -> Iterator[Outcomes]:
        """Give items to the line as room allows, hand on its outcomes, close each stage after the one before it."""
        most_items = self.fetch_threads + self.batch_size * (2 * self.threads if self.whole_batches else 4)
        n_items = n_bytes = 0
        feeding, left = True, list(line.n_threads)
        while left[-1]:
            while feeding and (n_items == 0 or (n_items < most_items and n_bytes < self.max_inflight_bytes)):
                item = next(source, None)
                if item is None:
                    feeding = False
                    line.close(0)
                    break
                n_items, n_bytes = n_items + 1, n_bytes + item.size_bytes
                line.queues[0].put(item)
            kind, value = line.done.get()
            if kind == "taken":
                n_items, n_bytes = n_items - 1, n_bytes - value
            elif kind == "outcomes":
                yield value
            elif kind == "failed":
                raise value
            else:
                left[value] -= 1
                if left[value] == 0 and value + 1 < len(left):
                    line.close(value + 1)

    def _fetch_all(self, line: "_Line") -> None:
        for item in line.take(0):
            try:
                found: bytes | ImageError = self._fetch(item)
            except ImageError as error:
                found = error
            line.queues[1].put((item, found))

    def _fetch(self, item: Item) -> bytes:
        if item.size_bytes > self.max_bytes:
            raise ImageError("too_large", f"listed with {item.size_bytes} bytes, wanted at most {self.max_bytes}")
        return self.fetch(item)

    def _decode_all(self, line: "_Line") -> None:
        for item, found in line.take(1):
            line.queues[2].put((item, self._decode(item, found)))

    def _decode(self, item: Item, found: bytes | ImageError) -> Picture | ImageError:
        if isinstance(found, ImageError):
            return found
        try:
            decoder = thumbnails.decode if self.thumbnail(item) else decode
            return decoder(found, self.preprocessing, self.max_pixels)
        except ImageError as error:
            return error

    def _embed_whole_batches(self, line: "_Line") -> None:
        batch = self._new_batch()
        for item, found in line.take(1):
            batch.add(item, self._decode(item, found))
            line.done.put(("taken", item.size_bytes))
            if batch.full:
                line.done.put(("outcomes", self._outcomes(batch, self._launch(batch))))
                batch = self._new_batch()
        if batch.items and not line.stopped.is_set():
            line.done.put(("outcomes", self._outcomes(batch, self._launch(batch))))

    def _serve_device(self, line: "_Line") -> None:
        """One batch is filled while another is computed on a side stream."""
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        running: deque[tuple[Batch, Callable[[], tuple]]] = deque()
        batch = self._new_batch()
        for item, picture in line.take(2):
            batch.add(item, picture)
            line.done.put(("taken", item.size_bytes))
            if batch.full:
                running.append((batch, self._launch(batch, stream)))
                batch = self._new_batch()
            if len(running) > 1:
                line.done.put(("outcomes", self._outcomes(*running.popleft())))
        if line.stopped.is_set():
            return
        running.append((batch, self._launch(batch, stream)))
        for done in running:
            if done[0].items:
                line.done.put(("outcomes", self._outcomes(*done)))

    def _new_batch(self) -> "Batch":
        # Pinned memory comes from torch's cache and is not given out again before its copy has ended.
        crop, pinned = self.preprocessing.crop, self.device.type == "cuda"
        pixels = torch.empty((self.batch_size, crop, crop, 3), dtype=torch.uint8, pin_memory=pinned)
        return Batch(pixels.permute(0, 3, 1, 2))

    def _launch(self, batch: "Batch", stream: Any = None) -> Callable[[], tuple]:
        """Start the pass of a batch; what comes back waits for its results (None where there is no picture)."""
        if not batch.rows:
            return lambda: (None, None)
        batch.pixels[len(batch.rows) :] = 0
        if stream is None:
            results = self._infer(batch.pixels.to(self.device))
            return lambda: results
        with torch.cuda.stream(stream):
            results = self._infer(batch.pixels.to(self.device, non_blocking=True))
            results = tuple(value if value is None else value.to("cpu", non_blocking=True) for value in results)
            ready = torch.cuda.Event()
            ready.record(stream)

        def wait() -> tuple:
            ready.synchronize()
            return results

        return wait

    def _outcomes(self, batch: Batch, wait: Callable[[], tuple]) -> Outcomes:
        found = [None if value is None else value.cpu().numpy() for value in wait()]
        return batch.outcomes(self._dim, *found, features=self.output == "features")


class _Line:
    """The queues between the stages of one run; None closes a queue for one thread."""

    def __init__(self, n_threads: list[int]):
        self.n_threads = n_threads
        self.queues: list[SimpleQueue] = [SimpleQueue() for _ in n_threads]
        self.done: SimpleQueue = SimpleQueue()
        self.stopped = Event()

    def take(self, number: int) -> Iterator[Any]:
        for value in iter(self.queues[number].get, None):
            if self.stopped.is_set():
                return
            yield value

    def close(self, number: int) -> None:
        for _ in range(self.n_threads[number]):
            self.queues[number].put(None)


def _guarded(line: _Line, number: int, work: Callable[[_Line], None]) -> None:
    torch.set_num_threads(1)  # of this thread: the parallelism is that of the batches
    try:
        with torch.inference_mode():
            work(line)
    except BaseException as error:  # raised again by the thread that runs the engine
        line.done.put(("failed", error))
    finally:
        line.done.put(("ended", number))
