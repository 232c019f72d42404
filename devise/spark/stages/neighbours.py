"""The neighbours stage: the nearest images of every live image, near-duplicates among them, and their groups.

What is searched follows the night's change. Images live from tonight, and those with a lost one among their neighbours,
are searched in all shards. That a new image is nearer to an old one than its last neighbour is told by the new image's
own list, REACH long: an old one beyond it keeps its list, though the new one may belong there. So a list holds live
images alone, each with its own score, and now and then lacks a new one; how often is in docs/search.md.

What is not O(change) are passes over narrow columns of the table before (ids, ranks, scores, groups), of which nothing
is shuffled while the ids that are asked for are `few`, and the copy of the rows that stand.
"""

from collections import Counter
from typing import NamedTuple

from pyspark.sql import DataFrame, Observation, Window
from pyspark.sql import functions as F

from devise.config import NeighboursConfig
from devise.errors import AccountingError
from devise.search import kinds, shards
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import (
    Change,
    count_live,
    few,
    find_change,
    find_live,
    read_embeddings,
    read_live,
    read_uris,
)
from devise.spark.frame.tables import Written
from devise.spark.stages.fill import spread_by_range
from devise.spark.stages.groups import PAIR, find_groups
from devise.spark.stages.nearest import FOUND, find_nearest
from devise.spark.stages.search import refuse_other_model
from devise.warehouse.manifest import File, Manifest

REACH = 50
"""Neighbours of a new image that are asked whether it is one of theirs."""
ROWS_PER_FILE = 4_000_000
"""Of a table that is sorted anew, at most."""
EXACT = "Flat"
"""The kind of index in which every image finds its k nearest, if there are so many."""


class Ids(NamedTuple):
    """Images (image_id), each once, and how many."""

    frame: DataFrame
    n: int

    def few(self, name: str = "image_id") -> DataFrame:
        """The ids to join with, as the column `name`."""
        return few(self.frame, self.n).toDF(name)

    def plus(self, other: "Ids") -> "Ids":
        """These and others, which are none of these."""
        return Ids(self.frame.unionByName(other.frame), self.n + other.n)


class Told(NamedTuple):
    """The rows to be written (schemas.NEIGHBOURS), and the images of which no row of the table before is copied."""

    rows: DataFrame
    stale: Ids


def write_neighbours(task: Task) -> None:
    """Search what the night changed, copy the rows that stand, and write both.

    All that is live is searched where the neighbours before are of another model, of other settings or of other images
    than the change starts from. Where the night's embeddings are a base, the table is sorted anew.

    Raises:
        IndexingError: the index is of another model.
        AccountingError: an image without a uri, or neighbours too many, or too few for an exact index.
    """
    refuse_other_model(task.inputs["index"], task.model_id)
    change, embedded = find_change(task), task.inputs["embeddings"][-1]
    before, counts = _neighbours_before(task, change), Counter()
    if before is None:
        rows, kept = _tell_all(task), task.spark.createDataFrame([], schemas.NEIGHBOURS)
    else:
        old = task.read("neighbours")
        rows, stale = _tell_change(task, change, old)
        kept = old.join(stale.few(), "image_id", "left_anti").select(schemas.NEIGHBOURS.names)
    if before is None or embedded.base:
        n_files = -(-max(1, count_live(embedded) * task.config.k) // ROWS_PER_FILE)
        placed = spread_by_range(rows.unionByName(kept), n_files).sortWithinPartitions("image_id", "rank")
        files = _write(task, placed, "part", counts)
    else:
        files = _write(task, kept, "kept", counts)
        if stale.n > change.n_lost:
            files += _write(task, rows.sortWithinPartitions("image_id", "rank"), "new", counts)
    task.written["neighbours"] = Written(schemas.NEIGHBOURS.names, files)
    _account(task, count_live(embedded), counts)


def _tell_all(task: Task) -> DataFrame:
    """schemas.NEIGHBOURS of every live image."""
    found = _nearest(task, read_live(task), task.config.k)
    task.details["searched"] = count_live(task.inputs["embeddings"][-1])
    groups = find_groups(task, _pairs(task.config, found))
    return _named(task, found).join(groups, "image_id", "left").select(schemas.NEIGHBOURS.names)


def _tell_change(task: Task, change: Change, old: DataFrame) -> Told:
    """The lists of images live from tonight, of those robbed of a neighbour, and of those that a new image is near to;
    and the rows of images whose group alone is another now."""
    lost = Ids(change.lost.select("image_id"), change.n_lost)
    robbed = old.join(lost.few("neighbour_id"), "neighbour_id", "left_semi").select("image_id").distinct()
    robbed = Ids(*task.keep(robbed.join(lost.few(), "image_id", "left_anti")))
    images = change.embeddings.select("image_id", "embedding")
    gained = Ids(*task.keep(images.select("image_id")))
    if robbed.n:
        live = task.stage(find_live(task, among=robbed.few()), "robbed")
        images = images.unionByName(read_embeddings(task, live).select("image_id", "embedding"))
    found = _nearest(task, images, max(REACH, task.config.k))
    searched = gained.plus(robbed)
    near = found.join(gained.few(), "image_id", "left_semi")
    reached = _reach(task, near.join(searched.few("neighbour_id"), "neighbour_id", "left_anti"), old)
    lists = found.where(F.col("rank") <= task.config.k).unionByName(reached)
    told = searched.plus(Ids(*task.keep(reached.where("rank = 1").select("image_id"))))
    task.details["searched"] = searched.n
    stale = told.plus(Ids(*task.keep(lost.frame.join(told.few(), "image_id", "left_anti"))))
    standing = old.join(stale.few(), "image_id", "left_anti")
    groups, moved = _regroup(task, _pairs(task.config, lists), old.join(stale.few(), "image_id", "left_semi"), standing)
    again = standing.join(moved.few(), "image_id", "left_semi").drop("group_id")
    rows = _named(task, lists).unionByName(again).join(groups, "image_id", "left")
    return Told(rows.select(schemas.NEIGHBOURS.names), stale.plus(moved))


def _reach(task: Task, near: DataFrame, old: DataFrame) -> DataFrame:
    """FOUND and rank of the old images whose lists a new image near them enters, each list whole.

    Args:
        near: FOUND, new images and the old ones near to each.
    """
    swapped = near.select(F.col("neighbour_id").alias("image_id"), F.col("image_id").alias("neighbour_id"), "score")
    ids = Ids(*task.keep(swapped.select("image_id").distinct()))
    standing = old.join(ids.few(), "image_id", "left_semi").select(FOUND.names)
    both = standing.withColumn("new", F.lit(False)).unionByName(swapped.withColumn("new", F.lit(True)))
    of_image = Window.partitionBy("image_id")
    ranked = both.withColumn("rank", F.row_number().over(of_image.orderBy(F.desc("score"), "neighbour_id")))
    ranked = ranked.where(F.col("rank") <= task.config.k).withColumn("entered", F.max("new").over(of_image))
    return task.stage(ranked.where("entered").select(*FOUND.names, "rank"), "reached")


def _regroup(task: Task, pairs: DataFrame, stale: DataFrame, standing: DataFrame) -> tuple[DataFrame, Ids]:
    """image_id and group_id of all groups that may be others now, and the images that stand whose group is another.

    A group may be another where one of its images is stale, or a new pair leads to it. It is found again from the new
    pairs and those that stand in it; no other pair can touch it.

    Args:
        pairs: PAIR, of the lists that are told.
        stale, standing: rows of the table before that are told anew or gone, and the others.
    """
    pairs = task.stage(pairs, "told-pairs")
    ends = Ids(*task.keep(pairs.select(F.col("other").alias("image_id")).distinct()))
    reached = standing.where("rank = 1").join(ends.few(), "image_id", "left_semi")
    opened = stale.select("group_id").unionByName(reached.select("group_id")).where("group_id is not null").distinct()
    opened, n_opened = task.keep(opened)
    members = standing.join(few(opened, n_opened), "group_id", "left_semi")
    still = members.where("duplicate").select(F.col("image_id").alias("node"), F.col("neighbour_id").alias("other"))
    groups = find_groups(task, pairs.unionByName(still))
    members = members.where("rank = 1").select("image_id", F.col("group_id").alias("before"))
    entering = reached.where("group_id is null").select("image_id", F.col("group_id").alias("before"))
    now = members.unionByName(entering).join(groups, "image_id", "left")
    return groups, Ids(*task.keep(now.where("not (group_id <=> before)").select("image_id")))


def _pairs(config: NeighboursConfig, lists: DataFrame) -> DataFrame:
    """PAIR of the near-duplicates in FOUND."""
    return lists.where(F.col("score") >= config.duplicate_score).select("image_id", "neighbour_id").toDF(*PAIR.names)


def _named(task: Task, lists: DataFrame) -> DataFrame:
    """schemas.NEIGHBOURS of FOUND and rank, but for group_id."""
    ids = lists.select(F.explode(F.array("image_id", "neighbour_id")).alias("image_id")).distinct()
    ids = Ids(*task.keep(ids))
    uris = few(task.stage(read_uris(task, among=ids.few()), "uris"), ids.n)
    named = lists.join(uris, "image_id", "left")
    named = named.join(uris.toDF("neighbour_id", "neighbour_uri"), "neighbour_id", "left")
    duplicate = (F.col("score") >= task.config.duplicate_score).alias("duplicate")
    names = [name for name in schemas.NEIGHBOURS.names if name not in ("duplicate", "group_id", "model_id")]
    return named.select(*names, duplicate, F.lit(task.model_id).alias("model_id"))


def _nearest(task: Task, images: DataFrame, k: int) -> DataFrame:
    """FOUND and rank, by the index of this run."""
    chain = shards.chain(task.inputs["index"])
    details = chain[-1].details
    nprobe = kinds.effort(details["nprobe"], "image")
    task.details |= {"kind": details["kind"], "nprobe": nprobe}
    task.details["recall"] = details["tuning"].get("image", {}).get("recall")
    return find_nearest(task, images, shards.in_warehouse(task.config.warehouse, chain), nprobe, k)


def _neighbours_before(task: Task, change: Change | None) -> Manifest | None:
    """The neighbours that tonight's change can be added to, or None."""
    before = task.inputs["neighbours"][-1] if task.inputs["neighbours"] else None
    if before is None or change is None or before.inputs["images"][0].split()[0] != change.since:
        return None
    of = task.model_id, task.config.config_hash()
    return before if (before.model_id, before.config_hash) == of else None


def _write(task: Task, rows: DataFrame, name: str, counts: Counter) -> list[File]:
    """Write rows in files whose names begin so, and add what was written to the counts."""
    seen, first = Observation(name), F.col("rank") == 1
    flags = {
        "listed": first,
        "in_groups": first & F.col("group_id").isNotNull(),
        "groups": first & (F.col("group_id") == F.col("image_id")),
        "without_uri": F.col("uri").isNull() | F.col("neighbour_uri").isNull(),
        "beyond_k": F.col("rank") > task.config.k,
    }
    told = rows.observe(seen, *(F.count(F.when(flag, 1)).alias(one) for one, flag in flags.items()))
    with task.named(f"write {name}"):
        written = tables.write(told, task.folder("neighbours"), schemas.NEIGHBOURS, name)
    counts.update(seen.get)
    counts["rows"] += written.rows
    return written.files


def _account(task: Task, n_live: int, counts: Counter) -> None:
    """Refuse counts that cannot be; put the others into the details."""
    wanted = n_live * min(task.config.k, n_live - 1)
    short = task.details["kind"] == EXACT and counts["rows"] < wanted
    if counts["without_uri"] or counts["beyond_k"] or counts["rows"] > wanted or short:
        raise AccountingError(
            f"{task.folder('neighbours')}: {counts['rows']} rows of {n_live} images, wanted {wanted} at k "
            f"{task.config.k}; {counts['without_uri']} have no uri, {counts['beyond_k']} a rank above k"
        )
    names = ("listed", "in_groups", "groups")
    task.details |= {"n_images": n_live, **{name: counts[name] for name in names}}
    say(
        "find_neighbours",
        f"{task.details['searched']:,} of {n_live:,} images searched; {counts['in_groups']:,} have near-duplicates, in "
        f"{counts['groups']:,} groups",
    )
