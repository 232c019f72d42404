"""Nothing is lost quietly: what was listed equals what came out plus the reasons, or the job stops."""

from collections import Counter
from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from devise.config import EmbedConfig
from devise.errors import AccountingError, ConfigError
from devise.search.shards import IDS
from devise.spark.frame import schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT
from devise.spark.frame.parts import PART_BYTES
from devise.spark.frame.spread import spread
from devise.spark.frame.tables import Written, empty_file
from devise.spark.stages.slices import TABLES, Record
from devise.warehouse.lineage import Lineage
from devise.warehouse.manifest import File, Manifest

STATES = ("todo", "collision", "unchanged", "carried")
"""What an image of the night may be; see `judge_images`."""


def refuse_unknown_codes(config: EmbedConfig, lineage: Lineage, promised: Sequence[str]) -> None:
    """`ConfigError` for a code to retry that no image is ever rejected with: it would have no effect."""
    if set(config.retry_codes) <= set(EmbedConfig.model_fields["retry_codes"].default):
        return  # the codes are told beside the decoder, which is heavy to load
    from devise.vision.images import REJECT_CODES

    if unknown := sorted(set(config.retry_codes) - set(REJECT_CODES)):
        raise ConfigError(f"embed_images: retry_codes: unknown codes {unknown}; known are {sorted(REJECT_CODES)}")


def judge_images(images: DataFrame, embeddings: DataFrame, rejects: DataFrame, retry_codes: Sequence[str]) -> DataFrame:
    """Each image of the night with its `state`, and `attempts` made so far for this content.

    unchanged: embedded by this model, same etag. carried: rejected before, and its code is not to be retried.
    collision: another uri has its image_id. todo: everything else. Of two uris with one id the one embedded already
    keeps it, else (also where both are) the first in order: `live.find_live` says the same.
    """
    embedded = embeddings.select(*CONTENT, F.lit(1).alias("embedded")).dropDuplicates(CONTENT)
    rejected = rejects.groupBy(*CONTENT).agg(
        F.max_by("code", "attempts").alias("code"), F.max("attempts").alias("attempts")
    )
    contents = images.join(embedded, on=CONTENT, how="left").join(rejected, on=CONTENT, how="left")
    return with_states(contents, retry_codes).select(*CONTENT, "size_bytes", "attempts", "state")


def with_states(contents: DataFrame, retry_codes: Sequence[str], by: Sequence[str] = ("image_id",)) -> DataFrame:
    """The contents with their `state`, and `attempts` 0 where none were made: the rule itself.

    Args:
        contents: a row an image, with `embedded` (1 or null), `code` and `attempts` of its last reject or null.
        by: image_id, and what tells apart those of which one alone may have an id.
    """
    order = Window.partitionBy(*by).orderBy(F.col("embedded").desc_nulls_last(), "uri")
    first, collided = F.col("place") == 1, F.coalesce(F.col("code") == "id_collision", F.lit(False))
    return (
        contents.withColumn("place", F.row_number().over(order))
        .withColumn(
            "state",
            F.when(~first, F.when(collided, "carried").otherwise("collision"))
            .when(F.col("embedded") == 1, "unchanged")
            .when(F.col("code").isNotNull() & ~F.col("code").isin(*retry_codes) & ~collided, "carried")
            .otherwise("todo"),
        )
        .withColumn("attempts", F.coalesce("attempts", F.lit(0)))
        .drop("place")
    )


def thumbnails_below(config: EmbedConfig, n_listed: int) -> int:
    """Images with a lesser id have a thumbnail: ids are hashes, so of n_listed images about `thumbnails` have."""
    return IDS * min(config.thumbnails or 0, n_listed) // max(1, n_listed)


def gather(task: Task, plan: Manifest, records: Sequence[Record], attempted: int) -> None:
    """What the slices and the plan's standing rows come to, as this run's embeddings, rejects and thumbnails.

    Raises:
        AccountingError: images attempted differ from embedded + rejected.
    """
    standing, listed = plan.details["standing"], plan.details
    if standing is not None:
        task.bases |= set(TABLES)
    n_embedded, n_rejected = sum(record.embedded for record in records), sum(record.rejected for record in records)
    if n_embedded + n_rejected != attempted:
        raise AccountingError(
            f"run {task.config.run}: {attempted} images were attempted, "
            f"but {n_embedded} embeddings and {n_rejected} rejects came out"
        )
    made: Counter[str] = sum((Counter(record.codes) for record in records), Counter())
    codes = made + Counter(standing["codes"] if standing else {})
    for table in TABLES:
        files = [File(**file) for file in (standing[table] if standing else [])]
        files += [file for record in records for file in getattr(record, table)]
        if attempted and not files:
            files = [empty_file(task.folder(table), schemas.TABLES[table])]
        found = dict(sorted(codes.items())) if table == "rejects" else {}
        task.written[table] = Written(schemas.TABLES[table].names, files, found)
    task.details |= {name: listed[name] for name in ("listed", "unchanged", "carried")}
    task.details |= {"attempted": attempted, "embedded": n_embedded, "rejected": n_rejected, "slices": len(records)}
    made_small = sum(file.rows for record in records for file in record.thumbnails)
    without = sum(record.without_thumbnail for record in records)
    task.details |= {"thumbnails": made_small, "without_thumbnail": without}
    told = ", ".join(f"{code} {n:,}" for code, n in sorted(made.items())) or "none"
    base = f"; a base: {listed['unchanged']:,} embeddings and {listed['carried']:,} rejects copied" if standing else ""
    small = f"; {made_small:,} thumbnails, {without:,} that could not be made" if task.config.thumbnails else ""
    say("embed_images", f"{n_embedded:,} embedded, {n_rejected:,} rejected (rejects by code: {told}){small}{base}")


def standing_rows(task: Task, judged: DataFrame, n_listed: int) -> dict[str, DataFrame]:
    """What a base takes over from the runs before: embeddings of unchanged images, latest rejects of carried ones, and
    of the former the thumbnails, no more than tonight's setting asks for."""
    unchanged, carried = (judged.where(F.col("state") == state).select(CONTENT) for state in ("unchanged", "carried"))
    last = Window.partitionBy(CONTENT).orderBy(F.desc("attempts"))
    latest = task.read("rejects").withColumn("place", F.row_number().over(last)).where("place = 1")
    embeddings = task.read("embeddings").join(unchanged, on=CONTENT, how="left_semi")
    return {
        "embeddings": embeddings.dropDuplicates(CONTENT).select(schemas.EMBEDDINGS.names),
        "rejects": latest.join(carried, on=CONTENT, how="left_semi").select(schemas.REJECTS.names),
        "thumbnails": _standing_thumbnails(task, unchanged, thumbnails_below(task.config, n_listed)),
    }


def _standing_thumbnails(task: Task, unchanged: DataFrame, below: int) -> DataFrame:
    """One of each unchanged image with an id below that, sorted by id, a file a range of them, to be looked up."""
    size_bytes = sum(file.size_bytes for run in task.inputs["thumbnails"] for file in run.files)
    n, key = 1 + size_bytes // PART_BYTES, ["image_id", "etag"]
    rows = task.read("thumbnails").where(F.col("image_id") < below)
    rows = rows.join(unchanged.select(key), on=key, how="left_semi").dropDuplicates(key)
    width = -(-max(below, 1) // n)
    rows = rows.withColumn("range", F.expr(f"cast(image_id div {width} as int)"))
    return spread(rows, "range", n).select(schemas.THUMBNAILS.names).sortWithinPartitions("image_id")


def starts_anew(task: Task) -> bool:
    """Whether this run is a base: the chain of runs before it has its full length."""
    return len(task.inputs["embeddings"]) >= task.config.nights_per_base
