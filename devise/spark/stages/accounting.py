"""Nothing is lost quietly: what was listed equals what came out plus the reasons, or the job stops."""

from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame, Observation, Window
from pyspark.sql import functions as F

from devise.config import EmbedConfig
from devise.errors import AccountingError, ConfigError
from devise.spark.frame import schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT
from devise.spark.frame.tables import Written
from devise.warehouse.lineage import Lineage

STATES = ("todo", "collision", "unchanged", "carried")


def refuse_unknown_codes(config: EmbedConfig, lineage: Lineage, has: Callable[[str], bool]) -> None:
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
    order = Window.partitionBy("image_id").orderBy(F.col("embedded").desc_nulls_last(), "uri")
    first, collided = F.col("place") == 1, F.coalesce(F.col("code") == "id_collision", F.lit(False))
    return (
        images.join(embedded, on=CONTENT, how="left")
        .join(rejected, on=CONTENT, how="left")
        .withColumn("place", F.row_number().over(order))
        .withColumn(
            "state",
            F.when(~first, F.when(collided, "carried").otherwise("collision"))
            .when(F.col("embedded") == 1, "unchanged")
            .when(F.col("code").isNotNull() & ~F.col("code").isin(*retry_codes) & ~collided, "carried")
            .otherwise("todo"),
        )
        .select("image_id", "uri", "etag", "size_bytes", F.coalesce("attempts", F.lit(0)).alias("attempts"), "state")
    )


def stage_todo(task: Task, judged: DataFrame) -> tuple[DataFrame, dict[str, int]]:
    """The images to attempt, staged once, and how many images are in each state; one pass over the catalogue."""
    counted = Observation("states")
    sums = [F.count(F.when(F.col("state") == state, 1)).alias(state) for state in STATES]
    todo = task.stage(judged.observe(counted, *sums).where(F.col("state").isin("todo", "collision")), "todo")
    listed = {state: counted.get[state] for state in STATES}
    total = task.input("images").rows
    if sum(listed.values()) != total:
        raise AccountingError(f"{task.config.run}: {total} images are listed, but {listed} were judged")
    say("embed_images", f"{total:,} listed: " + ", ".join(f"{n:,} {state}" for state, n in listed.items()))
    return todo, listed


def write_outcomes(task: Task, outcomes: DataFrame, todo: DataFrame, judged: DataFrame, listed: dict[str, int]) -> None:
    """Write rejects and embeddings, each outcome computed once, and check that every attempted image is in one of them.

    A base holds what stands of the runs before as well: the embeddings of unchanged images, and carried rejects. A
    night without anything to attempt writes no file.

    Raises:
        AccountingError: listed differs from embedded + rejected + unchanged + carried.
    """
    attempted = listed["todo"] + listed["collision"]
    copied = {"unchanged": 0, "carried": 0}
    if starts_anew(task):
        task.bases |= {"rejects", "embeddings"}
        copied = {state: listed[state] for state in copied}
    if attempted or task.bases:
        rejected, embedded = split_outcomes(task.stage(outcomes, "outcomes"), todo, task.model_id)
        if task.bases:
            standing = standing_rows(task, judged)
            rejected, embedded = rejected.unionByName(standing[0]), embedded.unionByName(standing[1])
        rejects, embeddings = task.write("rejects", rejected), task.write("embeddings", embedded)
    else:
        rejects, embeddings = Written(schemas.REJECTS.names, []), Written(schemas.EMBEDDINGS.names, [])
        task.written |= {"rejects": rejects, "embeddings": embeddings}
    n_embedded, n_rejected = embeddings.rows - copied["unchanged"], rejects.rows - copied["carried"]
    task.details |= {
        "listed": sum(listed.values()),
        "unchanged": listed["unchanged"],
        "carried": listed["carried"],
        "attempted": attempted,
        "embedded": n_embedded,
        "rejected": n_rejected,
    }
    if n_embedded + n_rejected != attempted or min(n_embedded, n_rejected) < 0:
        raise AccountingError(
            f"run {task.config.run}: {attempted} images were attempted, "
            f"but {n_embedded} embeddings and {n_rejected} rejects came out"
        )
    codes = ", ".join(f"{code} {n:,}" for code, n in rejects.rejects.items()) or "none"
    base = (
        f"; a base: {copied['unchanged']:,} embeddings and {copied['carried']:,} rejects copied" if task.bases else ""
    )
    say("embed_images", f"{n_embedded:,} embedded, {n_rejected:,} rejected (rejects by code: {codes}){base}")


def split_outcomes(outcomes: DataFrame, todo: DataFrame, model_id: str) -> tuple[DataFrame, DataFrame]:
    """Rejects (schemas.REJECTS), collisions among them, and embeddings (schemas.EMBEDDINGS)."""
    model = F.lit(model_id).alias("model_id")
    collided = todo.where("state = 'collision'").select(
        *CONTENT,
        F.lit("id_collision").alias("code"),
        F.lit("another uri has the same image_id").alias("message"),
        (F.col("attempts") + 1).alias("attempts"),
    )
    before = todo.select(*CONTENT, F.col("attempts").alias("attempts_before"))
    rejected = (
        outcomes.where("code IS NOT NULL")
        .join(before.where("attempts_before > 0"), on=CONTENT, how="left")
        .withColumn("attempts", F.col("attempts") + F.coalesce("attempts_before", F.lit(0)))
        .select(*collided.columns)
    )
    rejects = rejected.unionByName(collided).select("*", model).select(schemas.REJECTS.names)
    return rejects, outcomes.where("code IS NULL").select(*schemas.EMBEDDINGS.names[:-1], model)


def standing_rows(task: Task, judged: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Of the runs before, the latest rejects of carried images and the embeddings of unchanged ones."""
    unchanged, carried = (judged.where(F.col("state") == state).select(CONTENT) for state in ("unchanged", "carried"))
    last = Window.partitionBy(CONTENT).orderBy(F.desc("attempts"))
    latest = task.read("rejects").withColumn("place", F.row_number().over(last)).where("place = 1")
    embeddings = task.read("embeddings").join(unchanged, on=CONTENT, how="left_semi")
    return (
        latest.join(carried, on=CONTENT, how="left_semi").select(schemas.REJECTS.names),
        embeddings.dropDuplicates(CONTENT).select(schemas.EMBEDDINGS.names),
    )


def starts_anew(task: Task) -> bool:
    """Whether this run is a base: the chain of runs before it has its full length."""
    return len(task.inputs["embeddings"]) >= task.config.nights_per_base
