"""The embed stage beside the recipes that users find in documentation: same weights, photographs and cores.

    python tests/benchmarks/recipes.py --data ../shared/data [--images 600] [--repeats 3] [--cores 2]

tensors  Spark's own documentation of `predict_batch_udf`: pictures become a column of tensors, then embeddings
bytes    the same function fed the encoded pictures, which it decodes
iterator Databricks' classic: an iterator pandas UDF over `binaryFile`, a torch Dataset and DataLoader inside
inpandas `mapInPandas` over `binaryFile`, the model loaded once a task
ours     the embed stage, in fp32 and in the precision it chooses itself

The recipes are written as they are documented: Pillow, torchvision's preprocessing, fp32, eager, batches of 64, one
torch thread a worker as Spark sets it; but for the network itself, which is the one of the stage, and a repartition to
the number of cores, without which `binaryFile` makes 20 small tasks that load the model 20 times. Each way is an
application of its own (the stage changes a worker's allocator for good), runs once with a few photographs to be warm
and then once for the clock; ways take turns. Listing the files is left out. --folder keeps the model for the next time.
Prints a table with machine and date, medians, CPU of Java and Python together (it holds on a busy machine too),
and cosines to what the stage found in fp32: it reads and shrinks JPEGs otherwise.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd

SIZE, BATCH, WARM = 224, 64, 64


def transform(content: bytes):
    """A picture as torchvision's documentation prepares it: float32 (3, 224, 224)."""
    import io

    import torch
    from PIL import Image
    from torchvision.transforms import v2

    prepared = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(SIZE),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5], [0.5]),
        ]
    )
    return prepared(Image.open(io.BytesIO(content)).convert("RGB"))


def load_network(folder: str) -> Callable:
    """The stage's network and projection, eager and fp32: (N, 3, 224, 224) -> unit rows (N, D)."""
    from devise.vision.model import load

    model = load(folder).eval()
    return lambda pixels: model.embed(model.core.features(pixels))[0]


# The recipes: frames of path and content in, frames of path and embedding out ---------------------------------------


def tensors(files, folder: str):
    """https://spark.apache.org/docs/latest/api/python/reference/api/pyspark.ml.functions.predict_batch_udf.html"""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.functions import pandas_udf
    from pyspark.sql.types import ArrayType, FloatType

    @pandas_udf("array<float>")
    def preprocess(contents: pd.Series) -> pd.Series:
        return contents.map(lambda content: transform(content).numpy().reshape(-1))

    def make_predict_fn():
        import torch

        network = load_network(folder)

        def predict(inputs: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return network(torch.from_numpy(inputs)).numpy()

        return predict

    embed = predict_batch_udf(
        make_predict_fn,
        return_type=ArrayType(FloatType()),
        batch_size=BATCH,
        input_tensor_shapes=[[3, SIZE, SIZE]],
    )
    pixels = files.withColumn("pixels", preprocess("content"))
    return pixels.withColumn("embedding", embed("pixels")).select("path", "embedding")


def bytes_(files, folder: str):
    """The same page: a scalar column becomes an array of objects, here of encoded pictures."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType

    def make_predict_fn():
        import torch

        network = load_network(folder)

        def predict(contents: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return network(torch.stack([transform(content) for content in contents])).numpy()

        return predict

    embed = predict_batch_udf(make_predict_fn, return_type=ArrayType(FloatType()), batch_size=BATCH)
    return files.withColumn("embedding", embed("content")).select("path", "embedding")


def iterator(files, folder: str):
    """Databricks' reference solution for image applications."""
    from pyspark.sql.functions import col, pandas_udf

    @pandas_udf("array<float>")
    def embed(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Pictures(Dataset):
            def __init__(self, contents):
                self.contents = contents

            def __len__(self):
                return len(self.contents)

            def __getitem__(self, number):
                return transform(self.contents[number])

        network = load_network(folder)
        for batch in batches:
            found = []
            with torch.no_grad():
                for pixels in DataLoader(Pictures(list(batch)), batch_size=BATCH):
                    found += list(network(pixels).numpy())
            yield pd.Series(found)

    return files.select("path", embed(col("content")).alias("embedding"))


def inpandas(files, folder: str):
    """https://spark.apache.org/docs/latest/api/python/reference/pyspark.sql/api/pyspark.sql.DataFrame.mapInPandas.html"""

    def embed(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import torch

        network = load_network(folder)
        for frame in frames:
            found = []
            with torch.no_grad():
                for first in range(0, len(frame), BATCH):
                    pixels = [transform(content) for content in frame["content"][first : first + BATCH]]
                    found += list(network(torch.stack(pixels)).numpy())
            yield pd.DataFrame({"path": frame["path"], "embedding": found})

    return files.select("path", "content").mapInPandas(embed, "path string, embedding array<float>")


RECIPES = {"tensors": tensors, "bytes": bytes_, "iterator": iterator, "inpandas": inpandas}
WAYS = {
    "tensors": "`predict_batch_udf` on tensors",
    "bytes": "`predict_batch_udf` on bytes",
    "iterator": "iterator pandas UDF over `binaryFile`",
    "inpandas": "`mapInPandas` over `binaryFile`",
    "ours fp32": "the embed stage, fp32",
    "ours auto": "the embed stage, its own precision",
}


def start_spark(cores: int):
    """Spark as the documentation has it, with room for tensors and as many records a batch as its pages advise."""
    from pyspark.sql import SparkSession

    from devise.spark.frame.session import find_java

    find_java()
    settings = {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": "4g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    }
    return SparkSession.builder.config(map=settings).getOrCreate()


def place_of(uri: str) -> str:
    """One spelling for file:///x and file:/x."""
    return unquote(urlsplit(uri).path)


def tree_cpu() -> float:
    """CPU seconds of this process and all below it, those that have ended among them: Java, Spark's daemon, workers."""
    parents, seconds = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = place.read_text().rpartition(")")[2].split()
            parents[int(place.parent.name)] = int(words[1])
            seconds[int(place.parent.name)] = sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    tree = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(seconds[one] for one in tree)


def child(options: argparse.Namespace) -> None:
    """One way, in this process: once to be warm, once for the clock; its embeddings go to a file."""
    plan = json.loads(Path(options.plan).read_text())
    os.environ.update(OMP_NUM_THREADS="1", PYSPARK_PYTHON=sys.executable, DEVISE_MASTER=f"local[{options.cores}]")
    run = run_stage(plan, options) if options.child.startswith("ours") else run_recipe(plan, options)
    with tempfile.TemporaryDirectory() as place:
        run(f"{place}/warm", WARM)
        started, before = time.perf_counter(), tree_cpu()
        run(f"{place}/timed", len(plan["rows"]))
        seconds, cpu = time.perf_counter() - started, tree_cpu() - before
        import pyarrow.parquet as pq

        found = pq.read_table(f"{place}/timed").to_pylist()
    column = "uri" if options.child.startswith("ours") else "path"
    rows = {place_of(row[column]): row["embedding"] for row in found if row["embedding"] is not None}
    np.save(options.out, np.array([rows[place_of(uri)] for _, uri, _, _ in plan["rows"]], np.float32))
    print(json.dumps({"seconds": seconds, "cpu": cpu}), flush=True)


def run_recipe(plan: dict, options: argparse.Namespace) -> Callable[[str, int], None]:
    spark = start_spark(options.cores)
    paths = [place_of(uri) for _, uri, _, _ in plan["rows"]]
    files = {n: spark.read.format("binaryFile").load(paths[:n]).repartition(options.cores) for n in (WARM, len(paths))}
    return lambda place, n: RECIPES[options.child](files[n], plan["folder"]).write.parquet(place)


def run_stage(plan: dict, options: argparse.Namespace) -> Callable[[str, int], None]:
    from embed_stage import make_plan
    from embed_stage import run_stage as embed

    from devise.config import EmbedConfig
    from devise.spark.frame.session import start_session
    from devise.warehouse import manifest

    spark, warehouse = start_session("recipes"), plan["warehouse"]
    model, rows = manifest.read(warehouse, "model", "bench"), [tuple(row) for row in plan["rows"]]
    plans = {n: make_plan(spark, warehouse, model, rows[:n], f"plan-{os.getpid()}-{n}") for n in (WARM, len(rows))}
    engine = {"precision": options.child.split()[1]}

    def run(place: str, n: int) -> None:
        config = EmbedConfig(warehouse=warehouse, run=f"stage-{os.getpid()}-{n}", engine=engine)
        Path(place).symlink_to(embed(spark, model, plans[n], config).folder("embeddings").removeprefix("file://"))

    return run


def prepare(options: argparse.Namespace) -> None:
    """A warehouse with an untrained model and the list of photographs, in a process of its own; the plan to a file."""
    from embed_stage import prepare as prepare_warehouse

    from devise.search import query
    from devise.spark.frame import schemas, tables
    from devise.spark.frame.session import start_session
    from devise.warehouse import manifest

    os.environ["DEVISE_MASTER"] = f"local[{options.cores}]"
    spark, warehouse = start_session("recipes"), f"{options.out}/warehouse"
    model, listed = prepare_warehouse(spark, options.data.resolve(), warehouse)
    images = tables.read(spark, warehouse, [listed], schemas.IMAGES).orderBy("image_id").limit(options.images)
    rows = [tuple(row) for row in images.select("image_id", "uri", "etag", "size_bytes").collect()]
    folder = str(query.model_folder(manifest.localise(warehouse, model), model))
    Path(options.plan).write_text(json.dumps({"warehouse": warehouse, "folder": folder, "rows": rows}))


def start(options: argparse.Namespace, way: str, out: str, plan: str) -> str:
    """What a child of this script printed last."""
    command = [sys.executable, __file__, "--data", str(options.data), "--child", way, "--out", out, "--plan", plan]
    command += ["--images", str(options.images), "--cores", str(options.cores)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-2000:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--folder")
    for name in ("--child", "--out", "--plan"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return prepare(options) if options.child == "prepare" else child(options)
    took: dict[str, list[dict]] = {way: [] for way in options.ways}
    with tempfile.TemporaryDirectory() as folder:
        kept = options.folder or folder
        plan = f"{kept}/plan.json"
        if not Path(plan).exists():
            start(options, "prepare", kept, plan)
        for _ in range(options.repeats):
            for way in options.ways:
                told = json.loads(start(options, way, f"{folder}/{way}.npy", plan))
                took[way].append(told)
                rate, cpu = options.images / told["seconds"], 1000 * told["cpu"] / options.images
                print(f"  {way:<10} {rate:7.1f} img/s {cpu:7.1f} CPU ms", file=sys.stderr, flush=True)
        found = {way: np.load(f"{folder}/{way}.npy") for way in options.ways}
    tell(options, took, found)


def tell(options: argparse.Namespace, took: dict[str, list[dict]], found: dict[str, np.ndarray]) -> None:
    from embed_loop import processor

    print(f"{options.images} photographs, {options.repeats} interleaved runs, local[{options.cores}];")
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {date.today()}\n")
    print("| way | img/s | CPU ms an image | wall, CPU over the stage's in fp32 | cosine: mean | least |")
    print("|---|---|---|---|---|---|")
    for way, runs in took.items():
        rate = statistics.median(options.images / run["seconds"] for run in runs)
        cpu = statistics.median(1000 * run["cpu"] / options.images for run in runs)
        pairs = list(zip(runs, took["ours fp32"], strict=True))
        wall, work = (statistics.median(a[name] / b[name] for a, b in pairs) for name in ("seconds", "cpu"))
        cosine_N = (found[way] * found["ours fp32"]).sum(axis=1)
        assert cosine_N.mean() > 0.98, (way, cosine_N.mean())
        print(
            f"| {WAYS[way]} | {rate:.1f} | {cpu:.1f} | {wall:.2f}, {work:.2f} "
            f"| {cosine_N.mean():.4f} | {cosine_N.min():.4f} |"
        )


if __name__ == "__main__":
    main()
