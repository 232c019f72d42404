"""Nothing is lost quietly: what was listed equals what came out plus the reasons, or the job stops."""

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from devise.errors import AccountingError
from devise.spark import schemas
from devise.spark.job import Task, say

STATES = ("todo", "collision", "unchanged", "carried")


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


def split_outcomes(task: Task, outcomes: DataFrame, todo: DataFrame, listed: dict[str, int]) -> None:
    """Write rejects and embeddings from staged outcomes, and check that every attempted image is in one of them.

    Raises:
        AccountingError: listed differs from embedded + rejected + unchanged + carried.
    """
    model_id = F.lit(task.model_id).alias("model_id")
    collided = todo.where("state = 'collision'").select(
        "image_id",
        "uri",
        "etag",
        F.lit("id_collision").alias("code"),
        F.lit("another uri has the same image_id").alias("message"),
        (F.col("attempts") + 1).alias("attempts"),
    )
    before = todo.select("image_id", "etag", F.col("attempts").alias("attempts_before"))
    rejected = (
        outcomes.where("code IS NOT NULL")
        .join(F.broadcast(before.where("attempts_before > 0")), on=["image_id", "etag"], how="left")
        .withColumn("attempts", F.col("attempts") + F.coalesce("attempts_before", F.lit(0)))
        .select(*collided.columns)
    )
    rejects = task.write("rejects", rejected.unionByName(collided).select("*", model_id).select(schemas.REJECTS.names))
    embedded = outcomes.where("code IS NULL").select(*schemas.EMBEDDINGS.names[:-1], model_id)
    embeddings = task.write("embeddings", embedded)
    attempted = listed["todo"] + listed["collision"]
    task.details |= {
        "listed": sum(listed.values()),
        "unchanged": listed["unchanged"],
        "carried": listed["carried"],
        "attempted": attempted,
        "embedded": embeddings.rows,
        "rejected": rejects.rows,
    }
    if embeddings.rows + rejects.rows != attempted:
        raise AccountingError(
            f"run {task.config.run}: {attempted} images were attempted, "
            f"but {embeddings.rows} embeddings and {rejects.rows} rejects came out"
        )
    codes = ", ".join(f"{code} {n:,}" for code, n in rejects.rejects.items()) or "none"
    say("embed_images", f"{embeddings.rows:,} embedded, {rejects.rows:,} rejected ({codes})")
