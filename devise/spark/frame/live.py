"""Which embeddings are live tonight, told by narrow rows; vectors are read from those files only that hold one wanted.

An embedding is live if its (image_id, uri, etag) is in the run's images: those of removed and changed images stay
behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task
from devise.spark.frame.memory import heap_bytes, read_bytes
from devise.warehouse.manifest import Manifest

CONTENT = ["image_id", "uri", "etag"]
FRESH = "part-"
"""How the names of files begin that hold what a run embedded itself; a base has standing rows of earlier ones too."""
MOST_BROADCAST = 50_000_000
"""Rows that are sent to every JVM, at most: see `most_broadcast`."""
ID_BYTES, ROW_BYTES = 64, 256
"""Of a broadcast image_id and of a broadcast image_id, uri and etag in the JVM's memory, within a factor of two; half
of it as they come to the driver."""


@dataclass(frozen=True)
class Change:
    """What the night changed of the live embeddings, by its plan.

    since: the images run of the publication that the change starts from. lost: image_id, uri, etag of those live no
    more. embeddings: schemas.EMBEDDINGS of those live from tonight, n_gained of them.
    """

    since: str
    lost: DataFrame
    n_gained: int
    n_lost: int
    embeddings: DataFrame


def few(rows: DataFrame, n: int) -> DataFrame:
    """The rows, sent to every worker where they are few enough: what they are joined with is then not shuffled.

    Args:
        rows: ids alone, or narrow rows. n: how many.
    """
    each = ID_BYTES if rows.columns == ["image_id"] else ROW_BYTES
    spark = rows.sparkSession
    results = spark.sparkContext.getConf().get("spark.driver.maxResultSize", "1g")
    return F.broadcast(rows) if n <= most_broadcast(heap_bytes(spark), results, each) else rows


def most_broadcast(heap: int, max_result_size: str, each: int) -> int:
    """Rows of so many bytes that the driver can take in and send out, and an executor hold.

    Args:
        heap: bytes of the smallest JVM's, of which they may fill a quarter.
        max_result_size: Spark's setting: they come as results of tasks, and more than that would end the job, not slow
            it. Of this one a mere number is bytes, and 0 is no bound.
    """
    text = max_result_size.strip()
    results = read_bytes(f"{text}b" if text.isdigit() else text)
    most = min(MOST_BROADCAST, heap // 4 // each)
    return min(most, results // (each // 2)) if results else most


def find_change(task: Task) -> Change | None:
    """What changed tonight, or None where everything did: on a first night, and for another model."""
    plan, run = task.input("plan"), task.inputs["embeddings"][-1]
    if plan.details["since"] is None:
        return None
    rows, n_found = task.read("plan"), plan.details["found"]
    n_gained = run.details["embedded"] + n_found
    embeddings = read_fresh(task, [run])
    if n_found:
        found = rows.where("state = 'found'").select(*CONTENT, F.col("held_in").alias("file"))
        if run.base:  # it has taken them over
            standing = read_fresh(task, [run], fresh=False)
            held = standing.join(few(found.select(CONTENT), n_found), CONTENT, "left_semi")
        else:
            held = read_embeddings(task, found)
        embeddings = embeddings.unionByName(held.select(schemas.EMBEDDINGS.names))
    lost = rows.where("state = 'lost'").select(CONTENT)
    return Change(plan.details["since"], lost, n_gained, plan.details["lost"], embeddings)


def count_live(run: Manifest) -> int:
    """How many embeddings are live with a run of embeddings, by its night's accounting."""
    return run.details["embedded"] + run.details["unchanged"]


def read_live(task: Task) -> DataFrame:
    """schemas.EMBEDDINGS of all that is live.

    Where the runs hold as many rows as images are live, by the night's accounting, as on a first night and on a base's,
    each row is live and once: nothing is joined, and no vector is shuffled.
    """
    if holds_live_alone(task):
        return task.read("embeddings")
    return read_embeddings(task, task.stage(find_live(task), "live"))


def find_live(task: Task, among: DataFrame | None = None) -> DataFrame:
    """image_id, uri, etag and `file`, the name of the file that holds the vector, of each live embedding.

    An image_id is live once. Where two uris with one id are both embedded (the owner of the id left, the other took it,
    and the owner came back) the first uri in order has it, as the night's accounting says too.

    Args:
        among: a frame of `few` image_id: these alone are looked for, and nothing else is shuffled.
    """
    images = _among(task.read("images").select(CONTENT), among)
    listed = embedded(task, task.inputs["embeddings"], among).join(images, on=CONTENT, how="left_semi")
    first = F.min(F.struct("uri", "etag", "file")).alias("first")
    return listed.groupBy("image_id").agg(first).select("image_id", "first.*")


def read_uris(task: Task, among: DataFrame | None = None) -> DataFrame:
    """image_id and uri of all that is live, an image_id once; or of those `among` these, as `find_live` takes them."""
    if holds_live_alone(task):
        return _among(task.read("embeddings").select("image_id", "uri"), among)
    return find_live(task, among).select("image_id", "uri")


def embedded(task: Task, runs: Sequence[Manifest], among: DataFrame | None = None) -> DataFrame:
    """image_id, uri, etag and `file` of each content that runs of embeddings hold; of all images, or `among` these.

    Once, were it embedded twice: by a night that was left half done and ended after the next one.
    """
    rows = tables.read_with_file(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    return _among(rows, among).groupBy(CONTENT).agg(F.max("file").alias("file"))


def read_embeddings(task: Task, wanted: DataFrame) -> DataFrame:
    """schemas.EMBEDDINGS of rows of `find_live`; they are gone through twice: stage them."""
    names = {row.file for row in wanted.select("file").distinct().collect()}
    runs = []
    for run in task.inputs["embeddings"]:
        holding = [file for file in run.files if file.path.rsplit("/", 1)[-1] in names]
        runs.append(run.model_copy(update={"files": holding}))
    rows = tables.read_with_file(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    return rows.join(wanted, on=[*CONTENT, "file"], how="left_semi").select(schemas.EMBEDDINGS.names)


def read_fresh(task: Task, runs: Sequence[Manifest], fresh: bool = True) -> DataFrame:
    """schemas.EMBEDDINGS of what runs embedded themselves; or, of bases, of what they took over."""
    parts = []
    for run in runs:
        files = [file for file in run.files if file.path.startswith(FRESH) == fresh]
        parts.append(run.model_copy(update={"files": files}))
    return tables.read(task.spark, task.config.warehouse, parts, schemas.EMBEDDINGS)


def holds_live_alone(task: Task) -> bool:
    """Whether the runs hold as many rows as are live: then each of them is."""
    runs = task.inputs["embeddings"]
    return sum(run.rows for run in runs) == count_live(runs[-1])


def _among(rows: DataFrame, ids: DataFrame | None) -> DataFrame:
    return rows if ids is None else rows.join(ids, on="image_id", how="left_semi")
