"""The lists of images a label: equal to brute force, and what they cost beside labelling alone.

    python tests/benchmarks/word_images.py made [--images 1000000] [--labels 5000]
    python tests/benchmarks/word_images.py cost [--labels 80829]
    python tests/benchmarks/word_images.py photographs --data ../shared/data [--folder FOLDER]

`made`: floors from a sample, entries, lists, of made vectors, then a change of 1 % of them, compared with brute force
entry by entry. `cost`: one thread's CPU time an image of labelling as a night does it, with and without what lets
entries through, and of merging them, at floors as they are in corpora of several sizes. `photographs`: the night of
conf/photographs.yaml; its lists compared with brute force, and label_images timed with and without them, by the clock.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pyarrow as pa
import torch
from labelling import make, make_labeller

from devise.search import wordimages
from devise.search.ranking import Ranker
from devise.search.reaching import Passed, Sample
from devise.search.wordimages import Floors, Lists

TOLD, BLOCK = 200, 512


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Pictures:
    """Made images in groups around centres; every hundredth is another one again, so that scores tie."""

    def __init__(self, n: int, dim: int = 300, n_classes: int = 1000, seed: int = 1):
        draw = np.random.default_rng(seed)
        centre_CD = draw.standard_normal((200, dim)).astype(np.float32)
        self.embedding_ND = np.empty((n, dim), np.float32)
        for start in range(0, n, 10_000):
            part = self.embedding_ND[start : start + 10_000]
            part[:] = unit(centre_CD[draw.integers(200, size=len(part))] + 1.5 * draw.standard_normal(part.shape))
        self.class_id_NT = draw.integers(0, n_classes, (n, 10)).astype(np.int32)
        self.probability_NT = -np.sort(-draw.dirichlet(np.full(10, 0.3), n).astype(np.float32), axis=1)
        for made in (self.embedding_ND, self.class_id_NT, self.probability_NT):
            made[100::100] = made[: len(made[100::100])]
        self.ids = draw.permutation(np.arange(n, dtype=np.int64) * 7 + 3)

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            yield part, self.embedding_ND[part], self.class_id_NT[part], self.probability_NT[part]


def entries(ranker: Ranker, pictures: Pictures, rows: np.ndarray, floor_V: np.ndarray, order_V: np.ndarray) -> Iterator:
    """(range, entries) of these images, as tasks send them."""
    passed = Passed(ranker, floor_V, order_V)
    for part, *pictured in pictures.blocks(rows):
        ranker.top(*pictured, 5, see=passed.see)
        passed.name(pa.array(pictures.ids[part]), pa.array([f"u{image}" for image in pictures.ids[part]]))
        if passed.n_waiting > 1 << 20:
            yield from passed.take()
    yield from passed.take()


def brute(ranker: Ranker, pictures: Pictures, rows: np.ndarray, order_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """image_id and relevance of the TOLD best of each label, by place.

    All that is not behind the TOLD best so far is kept, and sorted whole now and then.
    """
    kept: list[tuple[np.ndarray, ...]] = []
    least_V, seen = np.full(len(order_V), -np.inf, np.float32), 0

    def sort() -> tuple[np.ndarray, ...]:
        column_M, id_M, relevance_M = map(np.concatenate, zip(*kept, strict=True))
        order = np.lexsort((id_M, -relevance_M, column_M))
        order = order[wordimages.ranks(column_M[order]) <= TOLD]
        return column_M[order], id_M[order], relevance_M[order]

    for part, *pictured in pictures.blocks(rows):
        blocks: list[np.ndarray] = []
        ranker.top(*pictured, 1, see=lambda block, blocks=blocks: blocks.append(block.relevance_BW))
        row_M, column_M = np.nonzero(blocks[0] >= least_V)
        kept.append((column_M, pictures.ids[part[row_M]], blocks[0][row_M, column_M]))
        seen += len(row_M)
        if seen > 20_000_000 or part[-1] == rows[-1]:
            kept, seen = [sort()], 0
            count_V = np.bincount(kept[0][0], minlength=len(order_V))
            full = np.flatnonzero(count_V == TOLD)
            least_V[full] = kept[0][2][np.cumsum(count_V)[full] - 1]
    wanted = np.full((len(order_V), TOLD), -1, np.int64), np.full((len(order_V), TOLD), -np.inf, np.float32)
    column_M, *found = kept[0]
    for table, values in zip(wanted, found, strict=True):
        table[column_M, wordimages.ranks(column_M) - 1] = values
    return wanted[0][order_V], wanted[1][order_V]


def same(lists: dict[int, Lists], wanted: tuple[np.ndarray, np.ndarray]) -> int:
    """Entries compared; `AssertionError` at the first difference."""
    n = 0
    for number, one in lists.items():
        table, rank_M = one.merge()
        told = table.filter(pa.array(rank_M <= TOLD))
        place_M = told.column("place").to_numpy() + number * wordimages.LABELS_A_RANGE
        here = np.unique(place_M)
        assert (np.diff(np.flatnonzero(np.diff(place_M, prepend=-1))) == TOLD).all()
        assert (told.column("image_id").to_numpy() == wanted[0][here].reshape(-1)).all()
        assert (told.column("relevance").to_numpy() == wanted[1][here].reshape(-1)).all()
        n += len(told)
    return n


def made(n_images: int, n_labels: int) -> None:
    known, ancestry, classes = make(n_labels)
    ranker = make_labeller(known, ancestry, classes).ranker
    pictures, order_V = Pictures(n_images), wordimages.order(known.labels)
    live = np.arange(n_images * 99 // 100)
    share, draw = wordimages.sampled_share(len(live), TOLD), np.random.default_rng(0)
    started = time.process_time()
    sample = Sample(ranker, wordimages.place_in_sample(wordimages.length(TOLD), share))
    for _, *pictured in pictures.blocks(live[draw.random(len(live)) < share]):
        ranker.top(*pictured, 1, see=sample.see)
    floor_V = sample.best(order_V)[:, -1].copy()
    lists: dict[int, Lists] = {}
    sizes = 0

    def add(rows: np.ndarray) -> None:
        nonlocal sizes
        for number, found in entries(ranker, pictures, rows, floor_V, order_V):
            sizes += len(found)
            lists[number].add(found)

    for number in range(wordimages.count_ranges(n_labels)):
        part = floor_V[number * wordimages.LABELS_A_RANGE :][: wordimages.LABELS_A_RANGE]
        lists[number] = Lists(wordimages.ENTRIES.empty_table(), Floors.of(part), wordimages.length(TOLD))
    add(live)
    spent = time.process_time() - started
    started = time.process_time()
    wanted = brute(ranker, pictures, live, order_V)
    print(
        f"first night: {len(live):,} images x {n_labels:,} labels, {sizes / len(live):.1f} entries an image sent, "
        f"{same(lists, wanted):,} places equal to brute force; short lists: "
        f"{sum(len(one.short(TOLD)) for one in lists.values())}; {spent:.0f} s of CPU, brute force "
        f"{time.process_time() - started:.0f} s",
        flush=True,
    )
    gone, new = draw.choice(live, n_images // 100, replace=False), np.arange(len(live), n_images)
    lists = {
        number: Lists(one.merge()[0], one.floors, wordimages.length(TOLD)) for number, one in sorted(lists.items())
    }
    floor_V, sizes = np.concatenate([one.floors.relevance_L for one in lists.values()]), 0
    for one in lists.values():
        one.lose(pictures.ids[gone])
    add(new)
    n = same(lists, brute(ranker, pictures, np.concatenate([np.setdiff1d(live, gone), new]), order_V))
    short = sum(len(one.short(TOLD)) for one in lists.values())
    print(f"next night: 1 % gone, 1 % new, {sizes / len(new):.1f} entries an image, {n:,} places equal; {short} short")


def cost(n_labels: int) -> None:
    torch.set_num_threads(1)
    known, ancestry, classes = make(n_labels)
    labeller = make_labeller(known, ancestry, classes)
    ranker, order_V, n = labeller.ranker, wordimages.order(known.labels), 4_096
    pictures, ranges = Pictures(n), wordimages.count_ranges(n_labels)
    sample = Sample(ranker, n)
    for _, *pictured in pictures.blocks(np.arange(n)):
        ranker.top(*pictured, 1, see=sample.see)
    best_VR = sample.best(order_V)
    corpora = {f"first night of {size:,}": size for size in (5_000, 100_000, 1_000_000, 10_000_000)}
    print(
        "| corpus | entries an image | labelling alone | with entries | merged | of labelling alone |\n"
        + "|---" * 6
        + "|"
    )
    for name, size in {**corpora, "a later night of 1,000,000": 0}.items():
        if size:
            share = wordimages.sampled_share(size, TOLD)
            reach = wordimages.place_in_sample(wordimages.length(TOLD), share) / share / size
        else:
            share, reach = 0.0, wordimages.length(TOLD) / 1_000_000
        floor_V = best_VR[:, min(n - 1, max(0, round(reach * n) - 1))].copy()
        alone, passing, merging, sent = [], [], [], 0
        for _ in range(5):
            started = time.process_time()
            for _, *pictured in pictures.blocks(np.arange(n)):
                labeller.label(*pictured, 5)
            alone.append(time.process_time() - started)
            started, chunks = time.process_time(), []
            passed = Passed(ranker, floor_V, order_V)
            for part, *pictured in pictures.blocks(np.arange(n)):
                labeller.label(*pictured, 5, passed.see)
                passed.name(pa.array(pictures.ids[part]), pa.array([f"u{image}" for image in part]))
                if passed.n_waiting > 1 << 17:
                    chunks += [(number, wordimages.pack(found)) for number, found in passed.take()]
            chunks += [(number, wordimages.pack(found)) for number, found in passed.take()]
            passing.append(time.process_time() - started)
            started = time.process_time()
            lists = {}
            for number, chunk in chunks:
                if number not in lists:
                    part = floor_V[number * wordimages.LABELS_A_RANGE :][: wordimages.LABELS_A_RANGE]
                    lists[number] = Lists(wordimages.ENTRIES.empty_table(), Floors.of(part), wordimages.length(TOLD))
                found = wordimages.unpack(chunk)
                sent += len(found)
                lists[number].add(found)
            for one in lists.values():
                one.merge()
            merging.append(time.process_time() - started)
        one, other, merge = (1e3 * float(np.median(spent)) / n for spent in (alone, passing, merging))
        looked = share * one
        print(
            f"| {name} | {sent / 5 / n:.1f} | {one:.2f} ms | {other:.2f} ms | {other + merge + looked:.2f} ms "
            f"| {(other + merge + looked) / one:.2f} |",
            flush=True,
        )
    print(f"\nOne thread, CPU time an image, {n_labels:,} labels in {ranges} ranges; `merged` includes the sample.")


def photographs(data: Path, folder: Path) -> None:
    os.environ |= {"DATA": str(data.resolve()), "WAREHOUSE": str(folder / "warehouse")}
    from accept import CONFIG, RUN
    from same_tables import table

    from devise import settings
    from devise.jobs.run_nightly import JOBS
    from devise.search import labelling
    from devise.spark.frame import job
    from devise.spark.frame.session import start_session
    from devise.warehouse import manifest

    spark = start_session("word_images", {"spark.master": "local[2]"})

    def perform(name: str, warehouse: Path, **more: int) -> dict:
        os.environ["WAREHOUSE"] = str(warehouse)
        config = settings.load(CONFIG, name, JOBS[name].config, RUN).model_copy(update=more)
        return job.perform(JOBS[name], spark, config)

    places = [folder / "warehouse"]
    for name in ("build_vocabulary", "train_model", "catalog_images", "embed_images"):
        perform(name, places[0])
    seconds: dict[int, list[float]] = {0: [], TOLD: []}
    for number in range(3):
        for told in seconds:
            places.append(folder / f"{number}-{told}")
            shutil.copytree(places[0], places[-1])
            started = time.perf_counter()
            perform("label_images", places[-1], images_per_label=told)
            seconds[told].append(time.perf_counter() - started)
    warehouse = str(places[-1])
    config = settings.load(CONFIG, "label_images", JOBS["label_images"].config, RUN)
    of = (manifest.read(warehouse, name, RUN) for name in ("vocabulary", "model"))
    os.environ["WAREHOUSE"] = warehouse
    labeller = labelling.open_labeller(config.model_copy(update={"warehouse": warehouse}), *of)
    embedded = table(warehouse, "embeddings", RUN)
    pictures = Pictures.__new__(Pictures)
    pictures.embedding_ND = np.array(embedded.column("embedding").to_pylist(), np.float32)
    pictures.class_id_NT = np.array(embedded.column("class_ids").to_pylist(), np.int32)
    pictures.probability_NT = np.array(embedded.column("class_probabilities").to_pylist(), np.float32)
    pictures.ids = embedded.column("image_id").to_numpy()
    order_V = wordimages.order(labeller.known.labels)
    wanted = brute(labeller.ranker, pictures, np.arange(len(pictures.ids)), order_V)
    rows = table(warehouse, "word_images", RUN)
    place_M = np.argsort(order_V)[rows.column("label_id").to_numpy()]
    here = np.unique(place_M)
    assert (np.diff(place_M) >= 0).all() and len(rows) == TOLD * len(here) == TOLD * len(labeller.ranker.candidates)
    assert (rows.column("image_id").to_numpy() == wanted[0][here].reshape(-1)).all()
    assert (rows.column("relevance").to_numpy() == wanted[1][here].reshape(-1)).all()
    size = sum(file.size_bytes for file in manifest.read(warehouse, "word_images", RUN).files)
    print(
        f"{len(pictures.ids):,} photographs x {len(order_V):,} nouns ({len(here):,} not denied): {len(rows):,} rows "
        f"equal to brute force, ties included; {size / 1e6:.0f} MB"
    )
    without, with_lists = (np.array(seconds[told]) for told in (0, TOLD))
    print(
        f"label_images without lists {without.round(1)} s, with lists {with_lists.round(1)} s, by the clock, local[2]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("made", "cost", "photographs"))
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {date.today()}", flush=True)
    if options.part == "made":
        made(options.images, options.labels or 5_000)
    elif options.part == "cost":
        cost(options.labels or 80_829)
    else:
        with tempfile.TemporaryDirectory() as place:
            photographs(options.data, options.folder or Path(place))


if __name__ == "__main__":
    main()
