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
from devise.spark.stages.nearest import FOUND, find_nearest, share_of_shard
from devise.spark.stages.search import refuse_other_model
from devise.warehouse.manifest import File, Manifest

REACH = 100
"""Neighbours of a new image that are asked whether it is one of theirs (tests/benchmarks/results/neighbours.md)."""
ROWS_PER_FILE = 4_000_000
"""Of a table that is sorted anew, at most."""


class Ids(NamedTuple):
    """Images (image_id), some of them perhaps twice, and how many there are at most."""

    frame: DataFrame
    most: int

    def few(self, name: str = "image_id") -> DataFrame:
        """The ids to join with, as the column `name`."""
        return few(self.frame, self.most).toDF(name)

    def plus(self, other: "Ids") -> "Ids":
        return Ids(self.frame.unionByName(other.frame), self.most + other.most)


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
    n_live, index = count_live(embedded), shards.chain(task.inputs["index"])[-1].details
    task.details |= {"n_images": n_live, "kind": index["kind"], "nprobe": kinds.effort(index["nprobe"], "image")}
    task.details["recall"] = index["tuning"].get("image", {}).get("recall")
    before, counts = _neighbours_before(task, change), Counter()
    none = task.spark.createDataFrame([], schemas.NEIGHBOURS)
    if before is None:
        rows, kept = _tell_all(task, n_live), none
    elif change.n_gained or change.n_lost:
        old = task.read("neighbours")
        rows, stale = _tell_change(task, change, old)
        kept = old.join(stale.few(), "image_id", "left_anti")
    else:
        rows, kept, task.details["searched"] = none, task.read("neighbours"), 0
    if before is None or embedded.base:
        n_files = -(-max(1, n_live * task.config.k) // ROWS_PER_FILE)
        placed = spread_by_range(rows.unionByName(kept), n_files).sortWithinPartitions("image_id", "rank")
        files = _write(task, placed, "part", counts)
    else:
        files = _write(task, kept, "kept", counts)
        if task.details["searched"] or change.n_lost:
            files += _write(task, rows.sortWithinPartitions("image_id", "rank"), "new", counts)
    task.written["neighbours"] = Written(schemas.NEIGHBOURS.names, files)
    _account(task, n_live, counts)


def _tell_all(task: Task, n_live: int) -> DataFrame:
    """schemas.NEIGHBOURS of every live image."""
    task.details["searched"] = n_live
    lists = _nearest(task, read_live(task), reach=0)
    groups = task.keep(find_groups(task, *task.keep(_pairs(task.config, lists))))
    return _grouped(_named(task, lists, read_uris(task), n_live), *groups)


def _tell_change(task: Task, change: Change, old: DataFrame) -> Told:
    """The lists of images live from tonight, of those robbed of a neighbour, and of those that a new image is near to;
    and the rows of images whose group alone is another now."""
    k = task.config.k
    lost = Ids(change.lost.select("image_id"), change.n_lost)
    robbed = old.join(lost.few("neighbour_id"), "neighbour_id", "left_semi").select("image_id").distinct()
    robbed = Ids(*task.keep(robbed.join(lost.few(), "image_id", "left_anti")))
    images = change.embeddings.select("image_id", "embedding")
    gained = Ids(images.select("image_id"), change.n_gained)
    searched = gained.plus(robbed)
    if robbed.most:
        live, _ = task.keep(find_live(task, among=robbed.few()))
        images = images.unionByName(read_embeddings(task, few(live, robbed.most)).select("image_id", "embedding"))
    task.details["searched"] = searched.most
    found = _nearest(task, images, REACH)
    near = found.join(gained.few(), "image_id", "left_semi")
    near = near.join(searched.few("neighbour_id"), "neighbour_id", "left_anti")
    reached, n_reached = task.keep(_reach(near, change.n_gained * max(REACH, k), old, k))
    lists = found.where(F.col("rank") <= k).unionByName(reached)
    told = searched.plus(Ids(reached.where("rank = 1").select("image_id"), n_reached))
    stale = told.plus(lost)
    groups, n_groups, moved = _regroup(task, *task.keep(_pairs(task.config, lists)), stale, old)
    ids = lists.select(F.explode(F.array("image_id", "neighbour_id")).alias("image_id")).distinct()
    uris = task.keep(read_uris(task, among=Ids(ids, told.most * (k + 1)).few()))
    again = old.join(moved.few(), "image_id", "left_semi").drop("group_id")
    rows = _named(task, lists, *uris).unionByName(again)
    return Told(_grouped(rows, groups, n_groups), stale.plus(moved))


def _reach(near: DataFrame, most: int, old: DataFrame, k: int) -> DataFrame:
    """FOUND and rank of the old images whose lists a new image near them enters, each list whole.

    Args:
        near: FOUND, at most so many: new images, and the old ones near to each.
    """
    swapped = near.select(F.col("neighbour_id").alias("image_id"), F.col("image_id").alias("neighbour_id"), "score")
    standing = old.join(Ids(swapped.select("image_id"), most).few(), "image_id", "left_semi").select(FOUND.names)
    both = standing.withColumn("new", F.lit(False)).unionByName(swapped.withColumn("new", F.lit(True)))
    of_image = Window.partitionBy("image_id")
    ranked = both.withColumn("rank", F.row_number().over(of_image.orderBy(F.desc("score"), "neighbour_id")))
    ranked = ranked.where(F.col("rank") <= k).withColumn("entered", F.max("new").over(of_image))
    return ranked.where("entered").select(*FOUND.names, "rank")


def _regroup(task: Task, pairs: DataFrame, n_pairs: int, stale: Ids, old: DataFrame) -> tuple[DataFrame, int, Ids]:
    """GROUP of all groups that may be others now, its number of rows, and the images that stand whose group is another.

    A group may be another where one of its images is told anew or gone, or a new pair leads to it. It is found again
    from the new pairs and those that stand in it; no other pair can touch it.

    Args:
        pairs: PAIR of the lists that are told. stale: images told anew or gone. old: the table before.
    """
    ends = pairs.select(F.col("other").alias("image_id"), F.lit(False).alias("stale"))
    marks = stale.frame.withColumn("stale", F.lit(True)).unionByName(ends)
    marks = few(marks.groupBy("image_id").agg(F.max("stale").alias("stale")), stale.most + n_pairs)
    heads, n_heads = task.keep(old.where("rank = 1").join(marks, "image_id").select("image_id", "stale", "group_id"))
    opened = few(heads.where("group_id is not null").select("group_id").distinct(), n_heads)
    members = old.join(opened, "group_id", "left_semi").join(stale.few(), "image_id", "left_anti")
    members, n_members = task.keep(members.select("image_id", "neighbour_id", "rank", "duplicate", "group_id"))
    still = members.where("duplicate").select("image_id", "neighbour_id").toDF(*PAIR.names)
    groups, n_groups = task.keep(find_groups(task, pairs.unionByName(still), n_pairs + n_members))
    entering = heads.where("group_id is null and not stale")
    standing = [rows.select("image_id", F.col("group_id").alias("before")) for rows in (members, entering)]
    now = _grouped(standing[0].unionByName(standing[1]), groups, n_groups)
    return groups, n_groups, Ids(now.where("not (group_id <=> before)").select("image_id"), n_members + n_pairs)


def _grouped(rows: DataFrame, groups: DataFrame, n_groups: int) -> DataFrame:
    """The rows and their group_id, null where an image has none; groups: GROUP."""
    return rows.join(few(groups, n_groups), "image_id", "left")


def _pairs(config: NeighboursConfig, lists: DataFrame) -> DataFrame:
    """PAIR of the near-duplicates in FOUND."""
    return lists.where(F.col("score") >= config.duplicate_score).select("image_id", "neighbour_id").toDF(*PAIR.names)


def _named(task: Task, lists: DataFrame, uris: DataFrame, n_uris: int) -> DataFrame:
    """schemas.NEIGHBOURS of FOUND and rank, but for group_id; uris: image_id and uri, of all images in them."""
    uris = few(uris, n_uris)
    named = lists.join(uris, "image_id", "left")
    named = named.join(uris.toDF("neighbour_id", "neighbour_uri"), "neighbour_id", "left")
    duplicate = (F.col("score") >= task.config.duplicate_score).alias("duplicate")
    names = [name for name in schemas.NEIGHBOURS.names if name not in ("duplicate", "group_id", "model_id")]
    return named.select(*names, duplicate, F.lit(task.model_id).alias("model_id"))


def _nearest(task: Task, images: DataFrame, reach: int) -> DataFrame:
    """FOUND and rank, by the index of this run: the k nearest of each image, and as many as `reach` asks for."""
    chain, k = shards.chain(task.inputs["index"]), task.config.k
    parts = shards.in_warehouse(task.config.warehouse, chain)
    of_each = max(k, share_of_shard(reach, chain[0].details["n_shards"]))
    return find_nearest(task, images, parts, task.details["nprobe"], max(k, reach), of_each)


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
    told = rows.select(schemas.NEIGHBOURS.names).observe(
        seen, *(F.count(F.when(flag, 1)).alias(one) for one, flag in flags.items())
    )
    with task.named(f"write {name}"):
        written = tables.write(told, task.folder("neighbours"), schemas.NEIGHBOURS, name)
    counts.update(seen.get)
    counts["rows"] += written.rows
    return written.files


def _account(task: Task, n_live: int, counts: Counter) -> None:
    """Refuse counts that cannot be; put the others into the details."""
    wanted = n_live * min(task.config.k, n_live - 1)
    short = task.details["kind"] == kinds.EXACT and counts["rows"] < wanted
    if counts["without_uri"] or counts["beyond_k"] or counts["rows"] > wanted or short:
        raise AccountingError(
            f"{task.folder('neighbours')}: {counts['rows']} rows of {n_live} images, wanted {wanted} at k "
            f"{task.config.k}; {counts['without_uri']} have no uri, {counts['beyond_k']} a rank above k"
        )
    task.details |= {name: counts[name] for name in ("listed", "in_groups", "groups")}
    say(
        "find_neighbours",
        f"{task.details['searched']:,} of {n_live:,} images searched; {counts['in_groups']:,} have near-duplicates, in "
        f"{counts['groups']:,} groups",
    )
