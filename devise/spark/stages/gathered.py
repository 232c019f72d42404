"""What manifests and small tables tell of a night, for its page; over the corpus goes one narrow pass."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task
from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    from devise.show.nightly.facts import Figure, Phase, Refused, Tile

JOBS = {
    "vocabulary": "build_vocabulary",
    "model": "train_model",
    "images": "catalog_images",
    "plan": "plan_images",
    "embeddings": "embed_images",
    "labels": "label_images",
    "index": "build_index",
    "neighbours": "find_neighbours",
    "results": "search_images",
    "metrics": "evaluate_model",
}
"""Table -> the job whose work its manifest times, in a night's order."""
CURVE = "answers.svg"
REFUSED_A_CODE, HUBS, HUB_RANK = 6, 8, 10
FIGURES = ("run", "name", "split", "k", "value", "low", "high", "n")


def of_tonight(task: Task) -> dict[str, Manifest]:
    """Job -> what it has committed in this run."""
    found = ((job, manifest.find(task.config.warehouse, table, task.config.run)) for table, job in JOBS.items())
    return {job: made for job, made in found if made is not None}


def phases(task: Task) -> "list[Phase]":
    from devise.show.nightly.facts import Phase

    made = []
    for job, run in of_tonight(task).items():
        asked = [one for each in run.details.get("requests", {}).values() for one in each.values()]
        seconds, sums = run.finished_at - run.started_at, [sum(one[name] for one in asked) for name in REQUESTS]
        made.append(Phase(job, seconds, run.rows, *sums))
    return made


REQUESTS = ("requests", "retries")


def requests(task: Task) -> dict[str, dict[str, int]]:
    """Purpose -> operation -> requests of all jobs together."""
    total: dict[str, dict[str, int]] = {}
    for run in of_tonight(task).values():
        for purpose, each in run.details.get("requests", {}).items():
            for operation, one in each.items():
                own = total.setdefault(purpose, {})
                own[operation] = own.get(operation, 0) + one["requests"]
    return total


def counts(task: Task) -> dict[str, int]:
    """The night's accounting, and how many images are new, changed (embedded before with other content) and removed."""
    night, plan = task.input("embeddings").details, task.input("plan").details
    told = {name: night[name] for name in ("listed", "attempted", "embedded", "rejected", "unchanged", "carried")}
    before = task.lineage.published("images")
    if not before or plan["since"] is None:
        return {**told, "new": task.input("images").rows, "changed": 0, "removed": 0}
    rows = task.read("plan").select("uri", "state")
    lost = rows.where("state = 'lost'")
    changed = rows.where("state <> 'lost'").join(lost, on="uri", how="left_semi").count()
    new = task.input("images").rows - before[-1].rows + plan["removed"]
    return {**told, "new": new, "changed": changed, "removed": plan["removed"]}


def refused(task: Task) -> "list[Refused]":
    """The codes of this run's rejects, the commonest first, each with a few images: those of the least hashes."""
    from devise.show.nightly.facts import Refused

    own = task.input("rejects")
    if own.run != task.config.run or not own.rejects:
        return []
    rows = tables.read(task.spark, task.config.warehouse, [own], schemas.REJECTS)
    few = rows.withColumn("place", F.pmod("image_id", F.lit(REFUSED_A_CODE))).groupBy("code", "place")
    one = few.agg(F.min(F.struct("image_id", "uri", "message")).alias("one")).select("code", "one.*").collect()
    of: dict[str, list] = {}
    for row in sorted(one, key=lambda row: row.image_id):
        of.setdefault(row.code, []).append((row.uri, row.message))
    ranked = sorted(own.rejects.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Refused(code, n, of.get(code, [])) for code, n in ranked]


def figures(task: Task) -> "list[Figure]":
    """hit and recall of the kept publications and of this run, oldest first, each run of the metrics once."""
    from devise.show.nightly.facts import Figure

    warehouse = task.config.warehouse
    runs = dict.fromkeys(run for one in pointer.history(warehouse) for run in one.runs("metrics"))
    found = [manifest.find(warehouse, "metrics", run) for run in runs if run < task.config.run]
    found = sorted((run for run in found if run is not None), key=lambda run: run.run)
    told = []
    for run in [*found, *task.inputs["metrics"]]:
        for row in read_small(warehouse, run, FIGURES[1:]):
            if row["name"] in ("hit", "recall"):
                told.append(Figure(run.run, *row.values()))
    return told


def read_small(warehouse: str, run: Manifest, columns: Sequence[str]) -> list[dict]:
    """All rows of a run of a table that has few."""
    root = manifest.folder(warehouse, run.table, run.run)
    files = [storage.read_bytes(storage.join(root, file.path)) for file in run.files if file.rows > 0]
    rows = (pq.read_table(pa.BufferReader(content), columns=list(columns)).to_pylist() for content in files)
    return [{name: row[name] for name in columns} for each in rows for row in each]


def curve(task: Task) -> str | None:
    """The picture of the model's calibration, SVG; None where it has none."""
    model = task.input("model")
    paths = [file.path for file in model.files if file.path.endswith(CURVE)]
    if not paths:
        return None
    root = manifest.folder(task.config.warehouse, model.table, model.run)
    return storage.read_bytes(storage.join(root, paths[0])).decode()


def hub_images(task: Task) -> tuple[list[tuple[str, int]], int]:
    """Images that stand among the first of most labels' lists, with how many, and how many lists there are."""
    if not task.inputs["word_images"]:
        return [], 0
    first = task.read("word_images").where(F.col("rank") <= HUB_RANK).groupBy("image_id")
    found = first.agg(F.min("uri").alias("uri"), F.count("*").alias("n")).orderBy(F.desc("n"), "image_id").limit(HUBS)
    n_lists = task.read("word_images").where("rank = 1").count()
    return [(row.uri, row.n) for row in found.collect()], n_lists


def counts_before(task: Task) -> dict[str, int] | None:
    """Label -> live images with it in the publication before; None where another model or vocabulary told them."""
    before = task.inputs["label_counts"][-1] if task.inputs["label_counts"] else None
    if before is None or (before.model_id, before.vocabulary_id) != (task.model_id, task.vocabulary_id):
        return None
    return {row["label"]: row["n"] for row in read_small(task.config.warehouse, before, ("label", "n"))}


def some(rows: Sequence[tuple], n: int, run: str) -> list[tuple]:
    """So many of the rows, drawn by the run's name."""
    return random.Random(run).sample(list(rows), min(n, len(rows)))


def tile(uri: str, labels: Sequence) -> "Tile":
    """A picture with what is told of it: its answer or best label, then its first labels."""
    from devise.show.nightly.facts import Tile

    best = labels[0]
    name = f"{best.answer} {best.answer_probability:.0%}" if best.answer else best.label
    told = ", ".join(row.label for row in labels)
    return Tile(uri, name, [told, "/".join(uri.rsplit("/", 2)[-2:])])
