"""A week of nights on a real S3 server: what each costs, and whether it equals a run from scratch.

    python tests/week.py --data ../shared/data [--images 3000] [--nights 7]

Night 1 has so many photographs; every later one 2 % more, 1 % changed, 1 % removed; from night 3 on some of those that
come were there before, and some changes are back to what was there first. After each night a second warehouse is made
from scratch on the same corpus, and embeddings (within 1e-4), labels (equal, or of scores within 2e-4) and the ten best
of every query (equal) are compared. Requests are counted at the server's door. The last night changes nothing.
"""

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from faultproxy import FaultProxy
from places import copy
from pyspark.sql import SparkSession
from s3server import S3Server
from same_tables import same_live_tables

from devise.groups import S3Config
from devise.jobs.run_nightly import JOBS
from devise.spark.frame import job
from devise.store import s3, storage
from devise.warehouse.manifest import Manifest

NIGHT = [
    "build_vocabulary", "train_model", "catalog_images", "embed_images", "label_images", "build_index", "search_images",
    "evaluate_model", "publish_run",
]  # fmt: skip
GROWTH, CHANGE, LOSS = 0.02, 0.01, 0.01


@dataclass
class Corpus:
    """The objects below a prefix, and what became of them; contents are taken from a pool, each once."""

    uri: str
    pool: list[bytes]
    random: random.Random
    first: dict[str, bytes] = field(default_factory=dict)
    """Name -> what it held when it came."""
    now: dict[str, bytes] = field(default_factory=dict)
    gone: dict[str, bytes] = field(default_factory=dict)
    seen: set[tuple[str, bytes]] = field(default_factory=set)

    def change(self, n_new: int, n_changed: int, n_removed: int) -> int:
        """One day; a third of the new ones were there before, a third of the changes go back. Contents never seen
        under their name: what the night must fetch."""
        present = sorted(self.now)
        removed = set(self.random.sample(present, n_removed))
        moved = [name for name in sorted(self.first) if name in self.now and self.now[name] != self.first[name]]
        back = [name for name in moved if name not in removed][: n_changed // 3]
        changed = self.random.sample(sorted(set(present) - removed - set(back)), n_changed - len(back))
        again = self.random.sample(sorted(self.gone), min(len(self.gone), n_new // 3))
        puts = {name: self.gone.pop(name) for name in again}
        puts |= {name: self.first[name] for name in back} | {name: self.pool.pop() for name in changed}
        start = len(self.first)
        puts |= {
            f"{number % 8}/{number:05d}.jpg": self.pool.pop() for number in range(start, start + n_new - len(again))
        }
        for name in removed:
            self.gone[name] = self.now.pop(name)
            storage.delete(f"{self.uri}/{name}")
        for name, content in puts.items():
            storage.write_bytes(f"{self.uri}/{name}", content)
            self.first.setdefault(name, content)
        self.now |= puts
        fresh = {(name, content) for name, content in puts.items()} - self.seen
        self.seen |= fresh
        return len(fresh)


def perform(
    spark: SparkSession, warehouse: str, run: str, sections: dict[str, dict], jobs: Collection[str] = NIGHT
) -> dict[str, Manifest]:
    """A night's jobs in order; the manifests of its tables."""
    made: dict[str, Manifest] = {}
    for name in jobs:
        one = JOBS[name]
        made |= job.perform(one, spark, one.config(warehouse=warehouse, run=run, **sections.get(name, {})))
    return made


def simulate(
    spark: SparkSession,
    proxy: FaultProxy,
    root: str,
    pool: list[bytes],
    n_first: int,
    n_nights: int,
    sections: dict[str, dict],
    compared: Collection[int],
) -> list[dict[str, Any]]:
    """The nights, those named in `compared` beside a run from scratch: a row of figures a night.

    Raises:
        AssertionError: tables differ, or a night fetched other than what was new and changed.
    """
    corpus = Corpus(f"{root}/corpus", pool, random.Random(0))
    bucket = root.removeprefix("s3://")
    shared = f"{root}/shared"
    sections = {**sections, "catalog_images": {"sources": [corpus.uri]}}
    rows = []
    for number in range(1, n_nights + 1):
        n_changed = 0 if number == n_nights else max(3, round(CHANGE * n_first))
        n_new = n_first if number == 1 else 0 if number == n_nights else max(6, round(GROWTH * n_first))
        wanted = corpus.change(n_new, 0 if number == 1 else n_changed, 0 if number == 1 else n_changed)
        run = str(date(2026, 11, 22) + timedelta(days=number))
        proxy.forget()
        started = time.time()
        made = perform(spark, f"{root}/warehouse", run, sections)
        seconds = time.time() - started
        fetched = proxy.count("GET", f"{bucket}/corpus/")
        assert fetched == wanted, f"night {number}: {fetched} images fetched, {wanted} are new or changed"
        if number == 1:
            for table in ("vocabulary", "features", "model"):
                copy(f"{root}/warehouse/{table}", f"{shared}/{table}")
        written = [found for found in made.values() if found.run == run]
        row = {
            "night": number,
            "listed": made["images"].rows,
            "new or changed": wanted,
            "image GETs": fetched,
            "requests": proxy.count(),
            "seconds": seconds,
            "MB written": sum(file.size_bytes for found in written for file in found.files) / 1e6,
            "embedding files": len(made["embeddings"].files),
        }
        if number in compared:
            anew = copy(shared, f"{root}/anew-{number}")
            started = time.time()
            perform(spark, anew, run, sections)
            row["from scratch s"] = time.time() - started
            row["compared"] = same_live_tables(f"{root}/warehouse", anew)
            storage.delete_folder(anew)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    names = [name for name in rows[0] if name != "compared"]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{row[name]:.1f}" if isinstance(row[name], float) else f"{row[name]:,}" for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def photographs(data: Path) -> dict[str, dict]:
    """The settings of a night on real photographs; the image asked about lies outside the corpus."""
    return {
        "build_vocabulary": {
            "vectors": f"{data}/vectors/nouns-80k-300d.vec.gz",
            "classes": f"{data}/taxonomy/imagenet1k_classes.tsv",
        },
        "train_model": {
            "architecture": "mobilenet_v2",
            "weights": f"{data}/weights/mobilenet_v2_imagenet1k.pth",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        },
        "search_images": {
            "queries": ["ferry", "ship + sail", "pigeon", f"image:{data}/images/caltech101/kangaroo/image_0004.jpg"]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--nights", type=int, default=8, help="the last one changes nothing")
    options = parser.parse_args()
    from devise.spark.frame.session import start_session

    pool = [path.read_bytes() for path in sorted((options.data / "images/caltech101").rglob("*.jpg"))]
    random.Random(1).shuffle(pool)
    with tempfile.TemporaryDirectory() as folder, S3Server(Path(folder)) as server, FaultProxy(server.port) as proxy:
        os.environ |= server.environment() | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
        s3.configure(S3Config(endpoint=proxy.endpoint, path_style=True, region="us-east-1"))
        spark = start_session("week", tables_on_s3=True)
        root = server.make_bucket("week")
        sections, nights = photographs(options.data.resolve()), range(1, options.nights + 1)
        rows = simulate(spark, proxy, root, pool, options.images, options.nights, sections, nights)
        spark.stop()
    print(f"\n{options.images:,} photographs, {platform.machine()}, {os.cpu_count()} cores, {date.today()}\n")
    print(table(rows))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
