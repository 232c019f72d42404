"""The engine: every item out exactly once, each picture through the network once, whatever goes wrong on the way."""

import io
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from devise.errors import ConfigError, DeviceError, ImageError
from devise.vision import graph
from devise.vision.engine import Engine, Item
from devise.vision.images import Preprocessing
from devise.vision.model import DeviseModel, convex_projection
from devise.vision.networks import build_core

TINY = Preprocessing(resize=4, crop=4)


class FakeModel:
    """Embedding (colour, 1) made unit; remembers the colour of every picture that it was shown, padding left out."""

    preprocessing, dim = TINY, 2

    def __init__(self):
        self.shown, self.shapes, self.lock = Counter(), set(), threading.Lock()

    def __call__(self, pixels):
        colour = pixels[:, 0, 0, 0].float()
        with self.lock:
            self.shown.update(int(value) for value in colour if value > 0)
            self.shapes.add(tuple(pixels.shape))
        both = torch.stack([colour, torch.ones_like(colour)], dim=1)
        return both / both.norm(dim=1, keepdim=True), both.norm(dim=1)


def png(colour: int, size=(5, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (colour, colour, colour)).save(file, "PNG")
    return file.getvalue()


CONTENT = {colour: png(colour) for colour in range(1, 256)}


def items(n: int, size_bytes: int = 100) -> list[Item]:
    return [Item(i, f"file:///{i}", "e", size_bytes) for i in range(n)]


def content_of(item: Item) -> bytes:
    """A picture whose colour is its id plus one; every seventh is broken, every eleventh cannot be fetched."""
    if item.image_id % 7 == 3:
        return b"not a picture"
    if item.image_id % 11 == 5:
        raise ImageError("gone", "it was there a minute ago")
    return CONTENT[item.image_id % 255 + 1]


def wanted_code(item: Item) -> str | None:
    return "not_an_image" if item.image_id % 7 == 3 else "gone" if item.image_id % 11 == 5 else None


def engine(model=None, fetch=content_of, one_device_queue=False, **settings) -> Engine:
    made = Engine(model or FakeModel(), fetch, device="cpu", **{"batch_size": 4, "threads": 2, **settings})
    made.whole_batches = not one_device_queue  # the way of a GPU, on the CPU
    return made


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    before = threading.active_count()
    yield
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


@pytest.mark.parametrize("one_device_queue", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 100])
def test_every_item_comes_out_once_and_every_picture_goes_through_once(n, one_device_queue):
    model, seen = FakeModel(), Counter()
    for out in engine(model, one_device_queue=one_device_queue).run(items(n)):
        assert len(out.items) == len(out.codes) == len(out.messages) == len(out.embedding_ND) == len(out.norm_N)
        assert out.embedding_ND.dtype == out.norm_N.dtype == np.float32 and out.width_N.dtype == np.int32
        for row, item in enumerate(out.items):
            seen[item.image_id] += 1
            assert out.codes[row] == wanted_code(item)
            if out.codes[row] is None:
                colour = item.image_id % 255 + 1
                assert out.norm_N[row] == pytest.approx((colour**2 + 1) ** 0.5)
                assert out.embedding_ND[row] == pytest.approx(np.array([colour, 1]) / out.norm_N[row])
                assert (out.width_N[row], out.height_N[row], out.messages[row]) == (5, 4, None)
            else:
                assert out.messages[row] and not out.embedding_ND[row].any() and out.width_N[row] == 0
            assert out.attempts_N[row] == 1
    assert seen == Counter(range(n))
    assert model.shown == Counter(i + 1 for i in range(n) if wanted_code(items(n)[i]) is None)
    assert model.shapes <= {(4, 3, 4, 4)}


@pytest.mark.parametrize("one_device_queue", [False, True])
def test_an_object_listed_too_large_is_rejected_and_never_fetched(one_device_queue):
    fetched = []

    def fetch(item):
        fetched.append(item.image_id)
        return CONTENT[1]

    listed = [Item(i, f"{i}.jpg", "e", 50 * 2**30 if i == 3 else 100) for i in range(9)]
    made = engine(fetch=fetch, one_device_queue=one_device_queue, max_bytes=100)
    code = {item.image_id: found for out in made.run(listed) for item, found in zip(out.items, out.codes, strict=True)}
    assert code == {i: "too_large" if i == 3 else None for i in range(9)}
    assert sorted(fetched) == [0, 1, 2, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("one_device_queue", [False, True])
def test_a_batch_without_a_picture_needs_no_network(one_device_queue):
    def refuse(item):
        raise ImageError("denied", "no right to read")

    model = FakeModel()
    found = list(engine(model, refuse, one_device_queue=one_device_queue).run(items(9)))
    assert sum(len(out.items) for out in found) == 9 and not model.shapes
    assert all(out.codes == ["denied"] * len(out.items) and out.embedding_ND.shape[1] == 2 for out in found)


def test_a_mistake_in_fetch_or_network_ends_the_run():
    def broken(item):
        if item.image_id == 40:
            raise KeyError("a programmer's mistake")
        return CONTENT[1]

    def broken_network(pixels):
        raise MemoryError("no room")

    for one_device_queue in (False, True):
        with pytest.raises(KeyError, match="programmer"):
            list(engine(fetch=broken, one_device_queue=one_device_queue).run(items(100)))
        model = SimpleNamespace(preprocessing=TINY, dim=2)
        network = type("Broken", (), {"__call__": lambda self, pixels: broken_network(pixels), **vars(model)})()
        with pytest.raises(MemoryError, match="no room"):
            list(engine(network, one_device_queue=one_device_queue).run(items(100)))


def test_a_fault_of_the_listing_ends_the_run():
    def listing():
        yield from items(10)
        raise RuntimeError("the listing broke")

    with pytest.raises(RuntimeError, match="listing broke"):
        list(engine().run(listing()))


@pytest.mark.parametrize("one_device_queue", [False, True])
def test_an_abandoned_run_ends_its_threads_and_drops_what_is_in_flight(one_device_queue):
    fetched, before = [], threading.active_count()

    def slow(item):
        fetched.append(item.image_id)
        time.sleep(0.005)
        return CONTENT[1]

    run = engine(fetch=slow, fetch_threads=1, one_device_queue=one_device_queue, batch_size=8).run(items(1000))
    next(run)
    n_fetched = len(fetched)
    run.close()
    assert threading.active_count() == before
    assert len(fetched) <= n_fetched + 2
    next(engine(one_device_queue=one_device_queue).run(items(1000)))  # dropped, never closed by hand


@pytest.mark.parametrize("one_device_queue", [False, True])
def test_bytes_in_flight_are_bounded(one_device_queue):
    held, most, lock = 0, 0, threading.Lock()

    def listing():
        nonlocal held, most
        for item in items(60, size_bytes=1000):
            with lock:
                held += 1000
                most = max(most, held)
            yield item

    class Counting(FakeModel):
        def __call__(self, pixels):
            time.sleep(0.002)
            return super().__call__(pixels)

    made = engine(
        Counting(), lambda item: CONTENT[9], one_device_queue=one_device_queue, max_inflight_bytes=2500, batch_size=2
    )
    for out in made.run(listing()):
        with lock:
            held -= 1000 * len(out.items)
    # Three encoded (2,000 is room for one more), and decoded ones in two or three batches of two.
    assert most <= 3000 + 1000 * 2 * 4


def test_an_item_larger_than_the_bound_goes_alone():
    assert sum(len(out.items) for out in engine(max_inflight_bytes=10).run(items(20, size_bytes=1000))) == 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_an_output_that_is_zero_or_not_finite_is_a_reject(value):
    class Strange(FakeModel):
        def __call__(self, pixels):
            embedding_ND, norm_N = super().__call__(pixels)
            strange = pixels[:, 0, 0, 0] == 3
            embedding_ND[strange], norm_N[strange] = value, value
            return embedding_ND, norm_N

    for out in engine(Strange(), lambda item: CONTENT[item.image_id + 1]).run(items(10)):
        for row, item in enumerate(out.items):
            assert out.codes[row] == ("not_finite" if item.image_id == 2 else None)
            assert np.isfinite(out.embedding_ND[row]).all() and np.isfinite(out.norm_N[row])


def test_fetches_overlap():
    def slow(item):
        time.sleep(0.02)
        return CONTENT[1]

    started = time.monotonic()
    list(engine(fetch=slow, fetch_threads=10).run(items(50)))
    assert time.monotonic() - started < 0.5  # one after another: 1 s


def test_an_accelerator_asked_for_and_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        Engine(FakeModel(), content_of, device="cuda")
    assert Engine(FakeModel(), content_of, device="auto").device.type == "cpu"
    with pytest.raises(ConfigError, match="fp16"):
        Engine(FakeModel(), content_of, device="cpu", precision="fp16")
    with pytest.raises(ValueError, match="at least 1"):
        engine(batch_size=0)


@pytest.fixture(scope="module")
def model() -> DeviseModel:
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=6)
    for module in core.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training: nothing is one or zero
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    vectors_CD = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    return DeviseModel(core, convex_projection(core.classifier, vectors_CD, 0.05, 3), Preprocessing(64, 64))


def noise(item: Item) -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(item.image_id)
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((70, 66)).save(file, "PNG")
    return file.getvalue()


def embeddings(model, wanted: list[Item], **settings) -> np.ndarray:
    found = {}
    for out in engine(model, noise, **{"batch_size": 8, **settings}).run(wanted):
        assert out.codes == [None] * len(out.items)
        found |= dict(zip((item.image_id for item in out.items), out.embedding_ND, strict=True))
    return np.stack([found[item.image_id] for item in items(len(wanted))])


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"AuthenticAMD", "avx2"}, "fp32"),
        ({"AuthenticAMD", "avx512_bf16"}, "bf16"),
        ({"GenuineIntel", "avx512_bf16"}, "fp32"),
        ({"GenuineIntel", "avx512_bf16", "amx_bf16"}, "bf16"),
        (set(), "fp32"),
    ],
)
def test_a_cpu_is_given_bf16_where_it_is_quicker_in_it(flags, wanted, monkeypatch):
    monkeypatch.setattr(graph, "_cpu_flags", lambda: frozenset(flags))
    assert graph.choose_precision("auto", torch.device("cpu")) == wanted
    assert graph.choose_precision("bf16", torch.device("cpu")) == "bf16"


def test_the_processor_of_this_machine_is_read():
    if (info := Path("/proc/cpuinfo")).exists() and "vendor_id" in info.read_text():
        assert graph._cpu_flags() & {"AuthenticAMD", "GenuineIntel"} and len(graph._cpu_flags()) > 20


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_embedding_does_not_depend_on_its_neighbours(model, precision):
    wanted = embeddings(model, items(21), precision=precision, threads=1)
    assert np.abs(np.linalg.norm(wanted, axis=1) - 1).max() < 1e-6
    for settings in [{"threads": 1}, {"threads": 3}, {"threads": 2, "one_device_queue": True}]:
        found = embeddings(model, items(21)[::-1], precision=precision, **settings)
        assert np.abs(found - wanted).max() < 1e-6


def test_the_frozen_graph_gives_what_the_model_gives(model):
    rng = np.random.default_rng(3)
    pixels = torch.from_numpy(rng.integers(0, 256, (8, 3, 64, 64), dtype=np.uint8))
    with torch.inference_mode():
        wanted, norm_N = model(pixels)
        assert norm_N.shape == (8,)
        for precision, least in [("fp32", 0.999999), ("bf16", 0.99)]:
            features = graph.freeze(model, torch.device("cpu"), precision, 8)
            assert features(pixels).dtype == torch.float32
            assert graph.freeze(model, torch.device("cpu"), precision, 8) is features
            found, _ = model.embed(features(pixels))
            assert (found * wanted).sum(dim=1).mean() >= least


def test_a_graph_is_frozen_again_when_the_weights_changed():
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=2)
    changing = DeviseModel(core, None, Preprocessing(64, 64))
    before = graph.freeze(changing, torch.device("cpu"), "fp32", 2)
    with torch.no_grad():
        core.features[0].weight.mul_(2)
    pixels = torch.full((2, 3, 64, 64), 200, dtype=torch.uint8)
    after = graph.freeze(changing, torch.device("cpu"), "fp32", 2)
    assert not torch.allclose(before(pixels), after(pixels))


def test_features_come_with_the_probabilities_of_the_classes(model):
    for out in engine(model, noise, batch_size=8, precision="fp32", output="features").run(items(11)):
        assert out.embedding_ND.shape == (len(out.items), model.core.n_features)
        assert out.probabilities_NC.shape == (len(out.items), 6)
        assert np.abs(out.probabilities_NC.sum(axis=1) - 1).max() < 1e-5
        assert out.norm_N == pytest.approx(np.linalg.norm(out.embedding_ND, axis=1))


def test_the_threads_of_torch_are_given_back():
    before = torch.get_num_threads()
    list(engine().run(items(9)))
    assert torch.get_num_threads() == before
