"""Listing made keys and joining them with the night before: seconds, and memory of the driver and the executors.

    python tests/benchmarks/catalogue.py [--keys 100000 1000000 10000000] [--layouts folders flat]

The keys are made by a server that only lists (tests/listserver.py), in 256 folders, or flat in one folder and then cut
by `fan_out` 00 to ff. The real job lists them over HTTP and commits the images table; then the images are judged
against embeddings and rejects of an earlier night (1 % changed, 0.1 % rejected for good, 0.1 % to be retried), and the
states are counted. Spark runs as a driver and two executors of one core, each a process of its own; each size in a
fresh driver. Heap is what lives after a full collection, asked for every 5 s. Prints a table with machine and date;
fails if a state's count is not what was made.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from embed_loop import processor

PREFIXES, MASTER = 256, "local-cluster[2,1,1024]"
MIB = 1 << 20
HEAD = (
    "keys", "layout", "requests", "list s", "keys/s", "keys/s of worker CPU", "files", "MiB", "judge s",
    "driver heap MiB", "driver Python MiB", "executor JVM MiB", "Python worker MiB", "load",
)  # fmt: skip


class Watch:
    """Peaks of memory while it runs: the driver's live heap, and resident memory of the executors' processes."""

    def __init__(self, spark):
        self.heap = 0
        self.resident = {"CoarseGrainedExecutorBackend": 0, "pyspark.daemon": 0}
        self.worker_seconds: dict[int, float] = {}
        self._jvm, self._stop = spark._jvm, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(1.0):
            for process in descendants(os.getpid()):
                self._look_at(process)
            if int(time.monotonic()) % 5 == 0:
                self._jvm.java.lang.System.gc()
                beans = self._jvm.java.lang.management.ManagementFactory
                self.heap = max(self.heap, beans.getMemoryMXBean().getHeapMemoryUsage().getUsed())

    def _look_at(self, process: int) -> None:
        try:
            command = Path(f"/proc/{process}/cmdline").read_text()
            kind = next((kind for kind in self.resident if kind in command), None)
            if kind is None:
                return
            status = Path(f"/proc/{process}/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
            self.resident[kind] = max(self.resident[kind], peak)
            if kind == "pyspark.daemon":
                times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
                self.worker_seconds[process] = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):  # it ended meanwhile
            pass


def descendants(process: int) -> list[int]:
    """Ids of the processes that this one started, and those started."""
    try:
        threads = Path(f"/proc/{process}/task").iterdir()
        below = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []
    return below + [found for child in below for found in descendants(child)]


@contextmanager
def served(keys: int, separator: str):
    """The server in a process of its own, as a list that is [address], and [address, requests answered] at the end."""
    script = Path(__file__).resolve().parents[1] / "listserver.py"
    command = [sys.executable, script, "--prefixes", str(PREFIXES), "--each", str(-(-keys // PREFIXES))]
    with subprocess.Popen(
        [*command, "--separator", separator], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        told = [process.stdout.readline().strip()]
        yield told
        told.append(process.communicate()[0].strip())


def started(endpoint: str, place: Path):
    """A Spark of separate processes, whose executors' logs lie in `place`."""
    import pyspark

    for entry in Path(pyspark.__file__).parent.iterdir():
        if entry.name != "work":
            (place / entry.name).symlink_to(entry)
    os.environ |= {"SPARK_HOME": str(place), "DEVISE_MASTER": MASTER}
    os.environ |= {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "made"}
    from devise.groups import S3Config
    from devise.spark.frame.session import start_session
    from devise.store import s3

    s3.configure(S3Config(endpoint=endpoint, path_style=True, region="us-east-1"))
    return start_session("catalogue")


def night_before(images, folder: str):
    """Embeddings and rejects of an earlier night, without the vectors, which the join does not read."""
    from pyspark.sql import functions as F

    made = images.withColumn("part", F.expr("image_id % 1000"))
    etag = F.when(F.expr("part % 100 = 7"), F.lit("old")).otherwise(F.col("etag")).alias("etag")
    made.where("part > 1").select("image_id", etag).write.parquet(f"{folder}/embeddings")
    code = F.when(F.col("part") == 0, "not_an_image").otherwise("throttled").alias("code")
    made.where("part <= 1").select("image_id", "etag", code, F.lit(1).alias("attempts")).write.parquet(
        f"{folder}/rejects"
    )
    expected = made.groupBy(
        F.expr("case when part = 0 then 'carried' when part = 1 or part % 100 = 7 then 'todo' else 'unchanged' end")
    )
    return dict(map(tuple, expected.count().collect()))


def measure(keys: int, layout: str) -> dict:
    """One size in this process."""
    with tempfile.TemporaryDirectory() as place, served(keys, "/" if layout == "folders" else "-") as told:
        (Path(place) / "spark").mkdir()
        spark = started(told[0], Path(place) / "spark")
        from devise.config import CatalogConfig, EmbedConfig
        from devise.jobs import catalog_images
        from devise.spark.frame import job, schemas, tables
        from devise.spark.stages.accounting import judge_images

        more = {"fan_out": [f"{number:02x}" for number in range(PREFIXES)]} if layout == "flat" else {}
        config = CatalogConfig(warehouse=f"{place}/warehouse", run="r1", sources=["s3://made/corpus"], **more)
        load = os.getloadavg()[0]
        with Watch(spark) as watch:
            begun = time.perf_counter()
            committed = job.perform(catalog_images.JOB, spark, config)["images"]
            listed_s, worker_s = time.perf_counter() - begun, sum(watch.worker_seconds.values())
            images = tables.read(spark, config.warehouse, [committed], schemas.IMAGES)
            expected = night_before(images, f"{place}/before")
            before = [spark.read.parquet(f"{place}/before/{name}") for name in ("embeddings", "rejects")]
            begun = time.perf_counter()
            retry = EmbedConfig(warehouse=config.warehouse, run="r1").retry_codes
            states = judge_images(images, *before, retry).groupBy("state").count().collect()
            judged_s = time.perf_counter() - begun
        assert dict(map(tuple, states)) == expected, (states, expected)
        version = spark.version
        spark.stop()
    return {
        "Spark": version,
        "row": [
            f"{committed.rows:,}", layout, f"{int(told[1]):,}", f"{listed_s:.0f}", f"{committed.rows / listed_s:,.0f}",
            f"{committed.rows / max(worker_s, 1e-9):,.0f}", len(committed.files),
            round(sum(file.size_bytes for file in committed.files) / MIB), f"{judged_s:.0f}",
            round(watch.heap / MIB), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB),
            *(round(size / MIB) for size in watch.resident.values()), f"{load:.1f}",
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--layouts", nargs="+", default=["folders", "flat"])
    parser.add_argument("--one", action="store_true", help="measure the first size and layout here, print JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.keys[0], options.layouts[0])), flush=True)
        return
    rows = []
    for layout in options.layouts:
        for keys in options.keys:
            command = [sys.executable, __file__, "--one", "--keys", str(keys), "--layouts", layout]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print("|", " | ".join(map(str, rows[-1]["row"])), "|", file=sys.stderr, flush=True)
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, Spark {rows[0]['Spark']},")
    print(f"{MASTER}, {date.today()}\n")
    print("|", " | ".join(HEAD), "|\n|" + "---|" * len(HEAD))
    for row in rows:
        print("|", " | ".join(map(str, row["row"])), "|")


if __name__ == "__main__":
    main()
