"""The plan of a night: what changed since the publication it builds on, found once, and so what is to be embedded.

Tonight's images and the live ones are compared by a hash of each row's content, 16 bytes a row: what the hashes say has
changed is all that is looked at from there on. Those images, together with rejects that are to be tried again and what
nights embedded that were never published, are judged as the whole corpus is on a first night; everything else stays
what it was. The counts must come out as the listing's.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from devise.config import EmbedConfig
from devise.errors import AccountingError
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, count_live, few, first_of_ids, read_fresh
from devise.spark.frame.tables import Written
from devise.spark.stages.accounting import STATES, judge_images, standing_rows, starts_anew
from devise.warehouse.manifest import Manifest

ATTEMPT = ("todo", "collision")


@dataclass(frozen=True)
class Before:
    """What is live when the night begins: its images, and how many of them are embedded or rejected."""

    images: Manifest
    embeddings: list[Manifest]
    embedded: int
    rejected: int


@dataclass(frozen=True)
class Touched:
    """What the night may change, by image_id, and the state of each image then and now.

    now: `judge_images` of tonight's. live: image_id, uri, etag and file of the embeddings that were live.
    """

    now: DataFrame
    live: DataFrame
    counts: dict[str, int]


def plan_images(task: Task) -> None:
    """Write the plan, and on a base's night the rows of earlier runs that stand.

    Raises:
        AccountingError: the images that changed do not explain the difference of the two listings.
    """
    before, total = find_before(task), task.input("images").rows
    listed = _plan_all(task) if before is None else _plan_change(task, before)
    if sum(listed.values()) != total:
        raise AccountingError(f"{task.config.run}: {total} images are listed, but {listed} were judged")
    say("plan_images", f"{total:,} listed: " + ", ".join(f"{n:,} {state}" for state, n in listed.items()))
    task.details |= {"since": before.images.run if before else None, "listed": total, **listed}
    task.details["standing"] = _write_standing(task, listed) if starts_anew(task) else None


def find_before(task: Task) -> Before | None:
    """What is live, if tonight's work can go on from it; None on a first night, and for another model."""
    images, embeddings = task.lineage.published("images"), task.lineage.published("embeddings")
    if not images or not embeddings or embeddings[-1].model_id != task.model_id:
        return None
    if images[-1].identity() not in embeddings[-1].inputs["images"]:
        return None
    counts = embeddings[-1].details
    return Before(images[-1], embeddings, count_live(embeddings[-1]), counts["rejected"] + counts["carried"])


def _plan_all(task: Task) -> dict[str, int]:
    """The plan of a night without a night before it: every image is judged."""
    judged = judge_images(task.read("images"), task.read("embeddings"), task.read("rejects"), task.config.retry_codes)
    states, counted = _counted(judged)
    rows = states.where(F.col("state").isin(*ATTEMPT)).withColumn("held_in", F.lit(None).cast(schemas.TEXT))
    task.write("plan", rows.select(schemas.PLAN.names))
    return {state: counted.get[state] for state in STATES}


def _plan_change(task: Task, before: Before) -> dict[str, int]:
    touched = find_touched(task, before)
    if touched is None:
        task.written["plan"] = Written(schemas.PLAN.names, [])
        task.details |= {"found": 0, "lost": 0, "removed": 0}
        return {"todo": 0, "collision": 0, "unchanged": before.embedded, "carried": before.rejected}
    counts = touched.counts
    if task.input("images").rows - counts["now"] != before.images.rows - counts["was"]:
        raise AccountingError(
            f"{task.config.run}: {task.input('images').rows} images are listed, {before.images.rows} are live, and of "
            f"those that changed {counts['was']} were live and {counts['now']} are listed: it does not add up"
        )
    standing = touched.now.where("state = 'unchanged'")
    found = standing.join(few(touched.live.select(CONTENT), counts["live"]), CONTENT, "left_anti")
    lost = touched.live.join(few(standing.select(CONTENT), counts["now"]), CONTENT, "left_anti")
    none = F.lit(None)
    rows = (
        touched.now.where(F.col("state").isin(*ATTEMPT))
        .withColumn("held_in", none.cast(schemas.TEXT))
        .select(schemas.PLAN.names)
        .unionByName(found.withColumn("state", F.lit("found")).select(schemas.PLAN.names))
        .unionByName(
            lost.select(
                *CONTENT,
                none.cast(schemas.LONG).alias("size_bytes"),
                F.lit("lost").alias("state"),
                none.cast(schemas.INT).alias("attempts"),
                none.cast(schemas.TEXT).alias("held_in"),
            )
        )
    )
    kinds = Observation("kinds")
    sums = [F.count(F.when(F.col("state") == state, 1)).alias(state) for state in ("found", "lost")]
    task.write("plan", rows.coalesce(max(1, task.spark.sparkContext.defaultParallelism)).observe(kinds, *sums))
    task.details |= {"removed": counts["removed"], **{state: kinds.get[state] for state in ("found", "lost")}}
    untouched = before.embedded - counts["live"], before.rejected - (counts["was"] - counts["live"])
    return {
        "todo": counts["todo"],
        "collision": counts["collision"],
        "unchanged": untouched[0] + counts["unchanged"],
        "carried": untouched[1] + counts["carried"],
    }


def find_touched(task: Task, before: Before) -> Touched | None:
    """All that the night may change; None where it is nothing."""
    published = {run.run for run in before.embeddings}
    old = [run for run in task.inputs["embeddings"] if run.run in published]
    ahead = [run for run in task.inputs["embeddings"] if run.run not in published]
    ids = changed_ids(task.read("images"), _images(task, before))
    ids = ids.unionByName(read_fresh(task, ahead).select("image_id"))  # of nights that were never published
    ids = ids.unionByName(_ids_to_retry(task)).distinct()
    ids, n_ids = task.keep(ids)
    if n_ids == 0:
        return None
    ids = few(ids, n_ids)
    was, n_was = task.keep(_images(task, before).select(CONTENT).join(ids, "image_id", "left_semi"))
    images = task.read("images").join(ids, "image_id", "left_semi")
    both = (_held(task, runs, ids).withColumn("published", F.lit(runs is old)) for runs in (old, ahead))
    held, _ = task.keep(functools.reduce(DataFrame.unionByName, both))
    live, n_live = task.keep(first_of_ids(held.where("published").join(few(was, n_was), CONTENT, "left_semi")))
    rejects = task.read("rejects").join(ids, "image_id", "left_semi")
    judged = judge_images(images, held, rejects, task.config.retry_codes)
    at = held.groupBy(CONTENT).agg(F.max("file").alias("held_in"))
    now, _ = task.keep(judged.join(at, CONTENT, "left"))
    found = {row.state: row["count"] for row in now.groupBy("state").count().collect()}
    counts = {state: found.get(state, 0) for state in STATES}
    n_now = sum(counts.values())
    removed = was.join(few(now.select("image_id", "uri"), n_now), ["image_id", "uri"], "left_anti").count()
    counts |= {"was": n_was, "now": n_now, "live": n_live, "removed": removed}
    return Touched(now, live, counts)


def changed_ids(images: DataFrame, before: DataFrame) -> DataFrame:
    """The image_ids of which one of the two listings holds another uri or etag than the other.

    Equal content cancels out under an exclusive or of 64-bit hashes: that a change goes unseen has a chance of 2^-64.
    """
    content = F.xxhash64("uri", "etag").alias("content")
    tonight, then = (frame.select("image_id", content) for frame in (images, before))
    both = tonight.unionByName(then).groupBy("image_id").agg(F.expr("bit_xor(content)").alias("change"))
    return both.where("change != 0").select("image_id")


def _ids_to_retry(task: Task) -> DataFrame:
    """Of rejected images whose code is to be tried again, whenever that was; what is embedded since is judged so."""
    codes = list(task.config.retry_codes)
    return task.read("rejects").where(F.col("code").isin(codes)).select("image_id")


def _held(task: Task, runs: Sequence[Manifest], ids: DataFrame) -> DataFrame:
    """image_id, uri, etag and file of embeddings of these ids."""
    rows = tables.read_with_file(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    return rows.select(*CONTENT, "file").join(ids, "image_id", "left_semi")


def _images(task: Task, before: Before) -> DataFrame:
    return tables.read(task.spark, task.config.warehouse, [before.images], schemas.IMAGES)


def _counted(judged: DataFrame) -> tuple[DataFrame, Observation]:
    """Judged images, and after they are computed how many are in each state."""
    counted = Observation("states")
    sums = [F.count(F.when(F.col("state") == state, 1)).alias(state) for state in STATES]
    return judged.observe(counted, *sums), counted


def _write_standing(task: Task, listed: dict[str, int]) -> dict:
    """What stands of the runs before, written into this run's folders, as the manifest of its embeddings will list it.

    Raises:
        AccountingError: it is not what the plan counts as unchanged and carried.
    """
    config: EmbedConfig = task.config
    judged = judge_images(task.read("images"), task.read("embeddings"), task.read("rejects"), config.retry_codes)
    judged = task.stage(judged, "judged")
    told: dict = {"codes": {}}
    for table, frame in standing_rows(task, judged).items():
        written = tables.write(frame, task.folder(table), schemas.TABLES[table], "standing")
        told[table] = [file.model_dump() for file in written.files]
        told["codes"] |= written.rejects
        wanted = listed["unchanged" if table == "embeddings" else "carried"]
        if written.rows != wanted:
            raise AccountingError(f"{task.folder(table)}: found {written.rows} rows that stand, wanted {wanted}")
    say("plan_images", f"a base: {listed['unchanged']:,} embeddings and {listed['carried']:,} rejects copied")
    return told
