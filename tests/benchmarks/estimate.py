"""`devise estimate` beside a measured run: what a sample of 300 tells, and the embed stage over 1,500 others.

    python tests/benchmarks/estimate.py --data ../shared/data [--sample 300] [--images 1500] [--rounds 3]

Both use the same model and cores, interleaved: a round measures the sample, as `devise estimate` does, then runs the
stage on local[2], slice by slice, workers warm. The estimate is the engine's rate on the sample times ON_SPARK. Prints
each round, the ratio of the medians, machine and date; asserts nothing. On a machine that others use too, CPU seconds
tell more than the clock: those of this process and all below it, Java and workers, an image.
"""

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
import uuid
from datetime import date
from pathlib import Path

from embed_loop import processor
from embed_stage import make_plan, prepare, run_stage

from devise.config import EmbedConfig
from devise.emr.estimate import ON_SPARK
from devise.search import query
from devise.spark.frame import schemas, tables
from devise.spark.frame.session import start_session
from devise.store import storage
from devise.warehouse import manifest


def cpu_seconds() -> float:
    """User and system time so far of this process and all that it started and that is still there."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        stats[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    mine = {os.getpid()}
    while more := {process for process, (parent, _) in stats.items() if parent in mine} - mine:
        mine |= more
    return sum(stats[process][1] for process in mine) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    os.environ["DEVISE_MASTER"] = f"local[{options.cores}]"
    spark = start_session("bench")
    from devise.vision import rates
    from devise.vision.engine import Item
    from devise.vision.model import load

    with tempfile.TemporaryDirectory() as warehouse:
        model, listed = prepare(spark, options.data.resolve(), warehouse)
        images = tables.read(spark, warehouse, [listed], schemas.IMAGES)
        rows = sorted(tuple(row) for row in images.select("image_id", "uri", "etag", "size_bytes").collect())
        random.Random(0).shuffle(rows)
        sample, others = rows[: options.sample], rows[options.sample :][: options.images]
        loaded = load(query.model_folder(manifest.localise(warehouse, model), model))
        plan = make_plan(spark, warehouse, model, others, "bench")

        def estimated() -> float:
            found = rates.measure(
                [Item(*row) for row in sample],
                lambda item: storage.fetch_image(item.uri, item.etag),
                loaded,
                threads=options.cores,
                fetch_threads=16,
            )
            return found.together.median * ON_SPARK

        def together_cpu() -> float:
            """CPU seconds an image of the engine alone."""
            from devise.vision.engine import Engine

            engine = Engine(loaded, lambda item: storage.fetch_image(item.uri, item.etag), threads=options.cores)
            before = cpu_seconds()
            for _ in engine.run([Item(*row) for row in sample]):
                pass
            return (cpu_seconds() - before) / len(sample)

        def measured() -> float:
            config = EmbedConfig(warehouse=warehouse, run=f"bench-{uuid.uuid4().hex}")
            started = time.perf_counter()
            run_stage(spark, model, plan, config)
            return len(others) / (time.perf_counter() - started)

        measured()  # warm: workers started, graph frozen, files in the page cache
        found: dict[str, list[float]] = {"estimated": [], "measured": []}
        cpu: dict[str, list[float]] = {"estimated": [], "measured": []}
        for _ in range(options.rounds):
            for name, work in (("estimated", estimated), ("measured", measured)):
                before = cpu_seconds()
                found[name].append(work())
                cpu[name].append(cpu_seconds() - before)
                print(f"  {name:<10} {found[name][-1]:7.1f} images/s", flush=True)
        engine_cpu = statistics.median(together_cpu() for _ in range(options.rounds))
    spark.stop()
    middle = {name: statistics.median(each) for name, each in found.items()}
    print(f"\n{len(sample)} estimate {len(others)} others, {options.rounds} rounds, local[{options.cores}], load ")
    print(f"{os.getloadavg()[0]:.1f}; {processor()}, {options.cores} cores, Spark {spark.version}, {date.today()}, ")
    print(
        f"Python {platform.python_version()}\n\n| round | estimated, images/s | measured | ratio |\n|---|---|---|---|"
    )
    for number, (said, did) in enumerate(zip(*found.values(), strict=True), start=1):
        print(f"| {number} | {said:.1f} | {did:.1f} | {said / did:.2f} |")
    ratio = middle["estimated"] / middle["measured"]
    print(f"| medians | {middle['estimated']:.1f} | {middle['measured']:.1f} | {ratio:.2f} |")
    stage_cpu = statistics.median(cpu["measured"]) / len(others)
    said, did = options.cores * ON_SPARK / engine_cpu, options.cores / stage_cpu
    print(
        f"\nBy CPU seconds, as if the cores were ours alone: {said:.1f} estimated, {did:.1f} measured, {said / did:.2f}"
    )
    print(f"(CPU ms an image: engine {1000 * engine_cpu:.1f}, stage {1000 * stage_cpu:.1f})")


if __name__ == "__main__":
    main()
