"""Images per second of the embed stage on Spark beside the bare loop: the same engine settings without Spark.

    python tests/benchmarks/embed_stage.py --data ../shared/data [--images 4722] [--repeats 5]

Both embed the same photographs with the same decoder, dtype, threads and batch, interleaved, Spark started and warm.
The stage's time is from the written plan to embeddings and rejects in files, slice by slice; the bare loop's is from
the list of files to arrays in memory. Prints a table with machine and date; asserts nothing.
"""

import argparse
import platform
import statistics
import tempfile
import time
import uuid
from datetime import date
from pathlib import Path

from embed_loop import processor
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.config import CatalogConfig, EmbedConfig, TrainConfig, VocabularyConfig
from devise.jobs import build_vocabulary, catalog_images, train_model
from devise.search import query
from devise.spark.frame import job, schemas, tables
from devise.spark.frame.session import start_session
from devise.spark.stages import embed, slices
from devise.store import storage
from devise.warehouse import manifest
from devise.warehouse.lineage import begin
from devise.warehouse.manifest import Manifest


def prepare(spark, data: Path, warehouse: str):
    """Vocabulary, untrained model and catalogue; their manifests."""
    common = {"warehouse": warehouse, "run": "bench"}
    classes = f"{data}/taxonomy/imagenet1k_classes.tsv"
    words = VocabularyConfig(**common, vectors=f"{data}/vectors/nouns-80k-300d.vec.gz", classes=classes)
    job.perform(build_vocabulary.JOB, spark, words)
    weights = f"{data}/weights/mobilenet_v2_imagenet1k.pth"
    half = (0.5, 0.5, 0.5)
    model = TrainConfig(**common, architecture="mobilenet_v2", weights=weights, mean=half, std=half)
    trained = job.perform(train_model.JOB, spark, model)["model"]
    corpus = CatalogConfig(**common, sources=[f"{data}/images/caltech101"])
    return trained, job.perform(catalog_images.JOB, spark, corpus)["images"]


def make_plan(spark, warehouse: str, model: Manifest, rows: list[tuple], run: str) -> Manifest:
    """A plan to embed these images, (image_id, uri, etag, size_bytes) each."""
    columns = StructType([schemas.IMAGES[name] for name in ("image_id", "uri", "etag", "size_bytes")])
    chosen = spark.createDataFrame(rows, columns).withColumn("state", F.lit("todo")).withColumn("attempts", F.lit(0))
    chosen = chosen.withColumn("held_in", F.lit(None).cast("string")).select(schemas.PLAN.names)
    written = tables.write(chosen, manifest.folder(warehouse, "plan", run), schemas.PLAN)
    counts = {"todo": written.rows, "collision": 0, "listed": written.rows, "unchanged": 0, "carried": 0}
    return Manifest(
        table="plan", run=run, parent=0, rows=written.rows, columns=written.columns, files=written.files,
        inputs={table: [] for table in slices.TABLES}, inputs_hash="", config={}, config_hash="", code_version="",
        model_id=model.model_id, started_at=0, finished_at=0, details={**counts, "since": None, "standing": None},
    )  # fmt: skip


def run_stage(spark, model: Manifest, plan: Manifest, config: EmbedConfig) -> job.Task:
    """Embed a plan into the folders of `config.run`, which must be new: slices that stand are not made again."""
    read = {"plan": [plan], "model": [model], **{table: [] for table in slices.TABLES}}
    line = begin(config.warehouse, config.run)
    task = job.Task(spark, config, line, read, f"{config.warehouse}/_staging/{config.run}", model_id=model.model_id)
    embed.embed_plan(task)
    return task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=4722)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--exchange", nargs="+", default=["arrow", "pandas"])
    options = parser.parse_args()
    import os

    os.environ["DEVISE_MASTER"] = f"local[{options.cores}]"
    spark = start_session("bench")
    with tempfile.TemporaryDirectory() as warehouse:
        model, listed = prepare(spark, options.data.resolve(), warehouse)
        images = tables.read(spark, warehouse, [listed], schemas.IMAGES)
        images = images.orderBy(F.xxhash64("image_id")).limit(options.images)  # of all ranges of ids, as slices are
        rows = [tuple(row) for row in images.select("image_id", "uri", "etag", "size_bytes").collect()]
        plan = make_plan(spark, warehouse, model, rows, "bench")
        times: dict[str, list[float]] = {name: [] for name in ["bare loop", *options.exchange]}
        n_slices = 0

        def stage(exchange: str) -> float:
            nonlocal n_slices
            config = EmbedConfig(warehouse=warehouse, run=f"bench-{uuid.uuid4().hex}", exchange=exchange)
            started = time.perf_counter()
            n_slices = run_stage(spark, model, plan, config).details["slices"]
            return time.perf_counter() - started

        def bare() -> float:
            from devise.vision.engine import Engine, Item
            from devise.vision.model import load

            loaded = load(query.model_folder(manifest.localise(warehouse, model), model))
            engine = Engine(loaded, lambda item: storage.fetch_image(item.uri, item.etag), threads=options.cores)
            items = [Item(*row) for row in rows]
            started = time.perf_counter()
            n = sum(len(found.items) for found in engine.run(items))
            assert n == len(rows)
            return time.perf_counter() - started

        ways = {"bare loop": bare, **{name: (lambda name=name: stage(name)) for name in options.exchange}}
        for way in ways.values():
            way()  # warm: workers started, graph frozen, files in the page cache
        for _ in range(options.repeats):
            for name, way in ways.items():
                times[name].append(way())
                print(f"  {name:<10} {len(rows) / times[name][-1]:7.1f} img/s", flush=True)
        cpu = processor()
        print(
            f"\n{len(rows)} photographs, {options.repeats} interleaved repeats, local[{options.cores}], "
            f"{n_slices} slices;"
        )
        print(
            f"{cpu}, {options.cores} cores, Python {platform.python_version()}, Spark {spark.version}, {date.today()}\n"
        )
        print("| way | img/s (median) | least | most | ratio to bare (median of pairs) |\n|---|---|---|---|---|")
        for name, found in times.items():
            rates = sorted(len(rows) / seconds for seconds in found)
            ratio = statistics.median(b / s for b, s in zip(times["bare loop"], found, strict=True))
            print(f"| {name} | {statistics.median(rates):.1f} | {rates[0]:.1f} | {rates[-1]:.1f} | {ratio:.3f} |")
    spark.stop()


if __name__ == "__main__":
    main()
