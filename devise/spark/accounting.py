"""Nothing is lost quietly: what was listed equals what came out plus the reasons, or the job stops."""

from pyspark.sql import DataFrame, Observation, Window
from pyspark.sql import functions as F

from devise.errors import AccountingError
from devise.spark import schemas
from devise.spark.job import Task, say

STATES = ("todo", "collision", "unchanged", "carried")
CONTENT = ["image_id", "uri", "etag"]


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
    """Write rejects and embeddings from staged outcomes, and check that every attempted image is in one of them.

    A base holds what stands of the runs before as well: the embeddings of unchanged images, and carried rejects.

    Raises:
        AccountingError: listed differs from embedded + rejected + unchanged + carried.
    """
    rejected, embedded = split_outcomes(outcomes, todo, task.model_id)
    copied = {"unchanged": 0, "carried": 0}
    if starts_anew(task):
        task.bases |= {"rejects", "embeddings"}
        copied = {state: listed[state] for state in copied}
        unchanged, carried = (judged.where(F.col("state") == state).select(CONTENT) for state in copied)
        standing = task.read("embeddings").join(unchanged, on=["image_id", "etag"], how="left_semi")
        embedded = embedded.unionByName(standing.dropDuplicates(["image_id", "etag"]).select(embedded.columns))
        last = Window.partitionBy(CONTENT).orderBy(F.desc("attempts"))
        latest = task.read("rejects").withColumn("place", F.row_number().over(last)).where("place = 1")
        standing = latest.join(carried, on=CONTENT, how="left_semi").select(rejected.columns)
        rejected = rejected.unionByName(standing)
        say("embed_images", f"a base: {copied['unchanged']:,} embeddings and {copied['carried']:,} rejects are copied")
    rejects, embeddings = task.write("rejects", rejected), task.write("embeddings", embedded)
    n_embedded, n_rejected = embeddings.rows - copied["unchanged"], rejects.rows - copied["carried"]
    attempted = listed["todo"] + listed["collision"]
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
    say("embed_images", f"{n_embedded:,} embedded, {n_rejected:,} rejected (in this run's table: {codes})")


def split_outcomes(outcomes: DataFrame, todo: DataFrame, model_id: str) -> tuple[DataFrame, DataFrame]:
    """Rejects (schemas.REJECTS), collisions among them, and embeddings (schemas.EMBEDDINGS)."""
    model = F.lit(model_id).alias("model_id")
    collided = todo.where("state = 'collision'").select(
        *CONTENT,
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
    rejects = rejected.unionByName(collided).select("*", model).select(schemas.REJECTS.names)
    return rejects, outcomes.where("code IS NULL").select(*schemas.EMBEDDINGS.names[:-1], model)


def starts_anew(task: Task) -> bool:
    """Whether this run is a base: the chain of runs before it has its full length."""
    return len(task.inputs["embeddings"]) >= task.config.nights_per_base
