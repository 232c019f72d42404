"""The plan of a night: what changed since the publication it builds on, found once, and so what is to be embedded.

Tonight's images and the live ones are compared by a hash of each row's content, 16 bytes a row: what the hashes say has
changed is all that is looked at from there on. Those images, together with rejects that are to be tried again and what
nights embedded that were never published, are judged as the whole corpus is on a first night; everything else stays
what it was. The counts must come out as the listing's.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F

from devise.config import EmbedConfig
from devise.errors import AccountingError
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, count_live, few, read_fresh
from devise.spark.frame.tables import Written
from devise.spark.stages.accounting import STATES, judge_images, standing_rows, starts_anew, with_states
from devise.warehouse.manifest import Manifest

ATTEMPT = ("todo", "collision")


@dataclass(frozen=True)
class Before:
    """What is live when the night begins: its images, and how many of them are embedded or rejected."""

    images: Manifest
    embeddings: list[Manifest]
    embedded: int
    rejected: int


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
    counted = Observation("states")
    rows = judged.observe(counted, *_sums()).where(F.col("state").isin(*ATTEMPT))
    rows = rows.withColumn("held_in", F.lit(None).cast(schemas.TEXT))
    task.write("plan", rows.select(schemas.PLAN.names))
    return {state: counted.get[state] for state in STATES}


def _plan_change(task: Task, before: Before) -> dict[str, int]:
    touched = find_touched(task, before)
    if touched is None:
        task.written["plan"] = Written(schemas.PLAN.names, [])
        task.details |= {"found": 0, "lost": 0, "removed": 0}
        return {"todo": 0, "collision": 0, "unchanged": before.embedded, "carried": before.rejected}
    seen, flags = Observation("touched"), ("was", "listed", "live", "found", "lost", "removed")
    sums = [*_sums(), *(F.count(F.when(F.col(flag), 1)).alias(flag) for flag in flags)]
    rows = plan_rows(touched.observe(seen, *sums))
    task.write("plan", rows.coalesce(max(1, task.spark.sparkContext.defaultParallelism)))
    counts = seen.get
    if task.input("images").rows - counts["listed"] != before.images.rows - counts["was"]:
        raise AccountingError(
            f"{task.config.run}: {task.input('images').rows} images are listed, {before.images.rows} are live, and of "
            f"those that changed {counts['was']} were live and {counts['listed']} are listed: it does not add up"
        )
    task.details |= {flag: counts[flag] for flag in ("found", "lost", "removed")}
    untouched = before.embedded - counts["live"], before.rejected - (counts["was"] - counts["live"])
    return {
        "todo": counts["todo"],
        "collision": counts["collision"],
        "unchanged": untouched[0] + counts["unchanged"],
        "carried": untouched[1] + counts["carried"],
    }


def find_touched(task: Task, before: Before) -> DataFrame | None:
    """All contents that the night may change, gone through once; None where there are none.

    Returns:
        A row a content (image_id, uri, etag): size_bytes, attempts and `state` as `judge_images` has them, of tonight's
        alone; held_in, the file of its embedding; and whether it was listed in the publication before (`was`) and is
        `listed` tonight, was embedded and `live` then, is `found` embedded tonight without having been live, is `lost`
        though it was live, and is `removed`: its uri, whatever the etag, is listed no more.
    """
    published = {run.run for run in before.embeddings}
    old = [run for run in task.inputs["embeddings"] if run.run in published]
    ahead = [run for run in task.inputs["embeddings"] if run.run not in published]
    ids = changed_ids(task.read("images"), _images(task, before))
    if ahead:  # of nights that were never published
        ids = ids.unionByName(read_fresh(task, ahead).select("image_id"))
    ids, n_ids = task.keep(ids.unionByName(_ids_to_retry(task)).distinct())
    if n_ids == 0:
        return None
    yes = F.lit(True)
    told = [
        task.read("images").select(*CONTENT, "size_bytes", yes.alias("listed")),
        _images(task, before).select(*CONTENT, yes.alias("was")),
        _held(task, old).select("*", yes.alias("published")),
        _held(task, ahead),
        task.read("rejects").select(*CONTENT, "code", "attempts"),
    ]
    rows = functools.reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), told)
    return judge_touched(rows.join(few(ids, n_ids), "image_id", "left_semi"), task.config.retry_codes)


def judge_touched(told: DataFrame, retry_codes: Sequence[str]) -> DataFrame:
    """What `find_touched` returns, of all that is told of contents: each row says one thing, the rest of it is null."""
    flags = [F.coalesce(F.max(flag), F.lit(False)).alias(flag) for flag in ("listed", "was", "published")]
    rejected = F.max_by("code", "attempts").alias("code"), F.max("attempts").alias("attempts")
    facts = F.max("size_bytes").alias("size_bytes"), F.max("held_in").alias("held_in"), *rejected, *flags
    contents = told.repartition("image_id").groupBy(CONTENT).agg(*facts)  # the windows need no other shuffle
    contents = contents.withColumn("embedded", F.when(F.col("held_in").isNotNull(), 1))
    judged = with_states(contents, retry_codes, by=("image_id", "listed"))
    held = F.col("was") & F.col("published")
    first = F.row_number().over(Window.partitionBy("image_id").orderBy(F.desc(held), "uri", "etag"))
    is_listed = F.max("listed").over(Window.partitionBy("image_id", "uri"))
    stands = F.col("listed") & (F.col("state") == "unchanged")
    return (
        judged.withColumn("live", held & (first == 1))
        .withColumn("removed", F.col("was") & ~is_listed)
        .withColumn("found", stands & ~F.col("live"))
        .withColumn("lost", F.col("live") & ~stands)
        .withColumn("state", F.when(F.col("listed"), F.col("state")))
    )


def plan_rows(touched: DataFrame) -> DataFrame:
    """schemas.PLAN of `find_touched`: what is to be attempted, what is found, and what is lost, were it listed too."""
    attempt = F.when(F.col("state").isin(*ATTEMPT), F.col("state"))
    kinds = F.array(attempt, *(F.when(F.col(kind), kind) for kind in ("found", "lost")))
    rows = touched.withColumn("kind", F.explode(F.array_compact(kinds)))
    listed = F.col("kind") != "lost"
    size, attempts = (F.when(listed, F.col(name)).alias(name) for name in ("size_bytes", "attempts"))
    held_in = F.when(F.col("kind") == "found", F.col("held_in")).alias("held_in")
    values = {"size_bytes": size, "attempts": attempts, "held_in": held_in, "state": F.col("kind").alias("state")}
    return rows.select([values.get(name, F.col(name)) for name in schemas.PLAN.names])


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


def _held(task: Task, runs: Sequence[Manifest]) -> DataFrame:
    """image_id, uri and etag of embeddings, and `held_in`, the name of the file."""
    rows = tables.read_with_file(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    return rows.select(*CONTENT, F.col("file").alias("held_in"))


def _images(task: Task, before: Before) -> DataFrame:
    return tables.read(task.spark, task.config.warehouse, [before.images], schemas.IMAGES)


def _sums() -> list[Column]:
    """How many images are in each state, to be observed."""
    return [F.count(F.when(F.col("state") == state, 1)).alias(state) for state in STATES]


def _write_standing(task: Task, listed: dict[str, int]) -> dict:
    """What stands of the runs before, written into this run's folders, as the manifest of its embeddings will list it.

    Raises:
        AccountingError: it is not what the plan counts as unchanged and carried.
    """
    config: EmbedConfig = task.config
    judged = judge_images(task.read("images"), task.read("embeddings"), task.read("rejects"), config.retry_codes)
    judged = task.stage(judged, "judged")
    told: dict = {"codes": {}}
    wanted = {"embeddings": listed["unchanged"], "rejects": listed["carried"]}
    for table, frame in standing_rows(task, judged, sum(listed.values())).items():
        written = tables.write(frame, task.folder(table), schemas.TABLES[table], "standing")
        told[table] = [file.model_dump() for file in written.files]
        told["codes"] |= written.rejects
        if written.rows != wanted.get(table, written.rows):
            raise AccountingError(f"{task.folder(table)}: found {written.rows} rows that stand, wanted {wanted[table]}")
    say("plan_images", f"a base: {listed['unchanged']:,} embeddings and {listed['carried']:,} rejects copied")
    return told
