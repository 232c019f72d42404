"""Which embeddings are live tonight, told by narrow rows; vectors are read from those files only that hold one wanted.

An embedding is live if its (image_id, uri, etag) is in the run's images: those of removed and changed images stay
behind.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task
from devise.warehouse.manifest import Manifest

CONTENT = ["image_id", "uri", "etag"]


def find_live(task: Task) -> DataFrame:
    """image_id, uri, etag and `file`, the name of the file that holds the vector, of each live embedding.

    An image_id is live once. Where two uris with one id are both embedded (the owner of the id left, the other took it,
    and the owner came back) the first uri in order has it, as the night's accounting says too.
    """
    images = task.read("images").select(CONTENT)
    listed = embedded(task, task.inputs["embeddings"]).join(images, on=CONTENT, how="left_semi")
    return (
        listed.groupBy("image_id")
        .agg(F.min(F.struct("uri", "etag", "file")).alias("first"))
        .select("image_id", "first.*")
    )


def embedded(task: Task, runs: Sequence[Manifest]) -> DataFrame:
    """image_id, uri, etag and `file` of each content that runs of embeddings hold.

    Once, were it embedded twice: by a night that was left half done and ended after the next one.
    """
    rows = tables.read_with_file(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    return rows.groupBy(CONTENT).agg(F.max("file").alias("file"))


def read_embeddings(task: Task, wanted: DataFrame) -> DataFrame:
    """schemas.EMBEDDINGS of rows of `find_live`; they are gone through twice: stage them."""
    names = {row.file for row in wanted.select("file").distinct().collect()}
    runs = []
    for run in task.inputs["embeddings"]:
        holding = [file for file in run.files if file.path.rsplit("/", 1)[-1] in names]
        runs.append(run.model_copy(update={"files": holding}))
    rows = tables.read_with_file(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    return rows.join(wanted, on=[*CONTENT, "file"], how="left_semi").select(schemas.EMBEDDINGS.names)
