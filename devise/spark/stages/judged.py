"""Labelled images with what is predicted for them, and their sums a label; the judging itself is `learning.evaluation`.

Images stay on the workers: the driver sees a row a label, and the few pictures of a page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructField, StructType

from devise.config import EvaluateConfig
from devise.facts import shipped
from devise.search import vocabularies
from devise.spark.frame import schemas
from devise.spark.frame.columns import classes, refuse_other_dims, vectors
from devise.spark.frame.metering import counted
from devise.store import scratch, storage
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np

    from devise.learning.figures import LabelSums

ASKED = ("uri", "embedding", "class_ids", "class_probabilities", "texts")
"""What is asked of an image: its embedding's columns, and the texts of its labels."""
JUDGED = StructType(
    [
        StructField("uri", schemas.TEXT),
        StructField("label_id", schemas.INT),
        StructField("n_true", schemas.INT),
        StructField("rank", schemas.INT),
        StructField("predicted", schemas.INT),
        StructField("score", schemas.FLOAT),
        StructField("shuffled_rank", schemas.INT),
        StructField("hp", ArrayType(schemas.DOUBLE)),
        StructField("sizes", ArrayType(schemas.LONG)),
    ]
)
"""An image with a known label; `learning.evaluation.Judged` says what the columns are."""


@dataclass(frozen=True)
class Confusion:
    """Images of one label for which another stands first: how many of how many, and some of them with its cosine."""

    label_id: int
    predicted: int
    n: int
    of: int
    pictures: list[tuple[str, float]]


def judge(
    labelled: DataFrame,
    config: EvaluateConfig,
    vocabulary: Manifest,
    model: Manifest,
    ks: Sequence[int],
    alternatives: bool,
    candidates: "np.ndarray | None",
) -> DataFrame:
    """JUDGED of images (ASKED) that have a known label.

    Args:
        ks, alternatives, candidates: see `learning.evaluation.Scorer`; ks ascend.
    """
    warehouse, hierarchy, seed = config.warehouse, config.hierarchy, config.seed

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.learning import evaluation
        from devise.search.labelling import make_ranker

        known = vocabularies.read_labels(warehouse, vocabulary)
        ancestry = vocabularies.read_ancestry(warehouse, vocabulary, known.synsets)
        ranker = make_ranker(known, ancestry, vocabularies.read_card(warehouse, model), candidates)
        scorer = evaluation.Scorer(known, ranker, ks, hierarchy_file(hierarchy), alternatives, seed)
        for batch in batches:
            if batch.num_rows:
                embedding_ND = vectors(batch.column("embedding"))
                refuse_other_dims(embedding_ND.shape[1], known.vectors.shape[1])
                found = scorer.judge(embedding_ND, *classes(batch), batch.column("texts").to_pylist())
                columns = [pa.array(column) for column in found[1:-2]]
                lists = [_lists(column) for column in found[-2:]]
                yield schemas.record_batch([batch.column("uri").take(pa.array(found.rows_N)), *columns, *lists], JUDGED)

    return labelled.select(*ASKED).mapInArrow(counted(score), JUDGED)


def hierarchy_file(setting: str | None) -> Any:
    """The local file of the noun hierarchy that a setting names; None for none."""
    if setting is None:
        return None
    return shipped.find("hierarchy", setting) or scratch.localise_table(storage.normalise(setting))


def sum_labels(judged: DataFrame, ks: Sequence[int], n_candidates: int) -> "LabelSums":
    """What the images of each label add up to, labels in order of id; no row for a label without an image."""
    import numpy as np

    from devise.learning.figures import LabelSums
    from devise.learning.metrics import chance_at_k

    def within(column: str, k: int) -> Any:
        return F.sum(F.when((F.col(column) > 0) & (F.col(column) <= k), 1).otherwise(0))

    asked = [
        F.count("*").alias("n"),
        F.sum(F.when(F.col("sizes")[0] > 0, 1).otherwise(0)).alias("n_hp"),
        *(within("rank", k).alias(f"hit_{k}") for k in ks),
        *(within("shuffled_rank", k).alias(f"shuffled_{k}") for k in ks),
        *(F.sum(F.nanvl(F.col("hp")[place], F.lit(0.0))).alias(f"hp_{k}") for place, k in enumerate(ks)),
        *(F.sum(F.col("sizes")[place]).alias(f"size_{k}") for place, k in enumerate(ks)),
    ]
    rows = judged.groupBy("label_id", "n_true").agg(*asked).collect()
    label_ids, at_N = np.unique([row.label_id for row in rows], return_inverse=True)

    def summed(columns: list[list[float]]) -> "np.ndarray":
        total = np.zeros((len(label_ids), len(columns[0]) if columns else 0))
        np.add.at(total, at_N, np.array(columns, dtype=np.float64))
        return total

    counts = summed([[row.n, row.n_hp] for row in rows])
    several = {
        name: summed([[row[f"{name}_{k}"] for k in ks] for row in rows]) for name in ("hit", "shuffled", "hp", "size")
    }
    chances = summed([[row.n * chance_at_k(row.n_true, n_candidates, k) for k in ks] for row in rows])
    return LabelSums(
        label_ids,
        counts[:, 0].astype(np.int64),
        several["hit"],
        several["shuffled"],
        several["hp"],
        counts[:, 1].astype(np.int64),
        several["size"],
        chances,
    )


def count_confusions(judged: DataFrame) -> DataFrame:
    """label_id, predicted, n: images of a label for which a label that is not theirs stands first."""
    return judged.where("rank <> 1").groupBy("label_id", "predicted").agg(F.count("*").alias("n"))


def commonest_confusion(confusions: DataFrame) -> dict[int, tuple[int, int]]:
    """label id -> the wrong label that stands first most often (of equal ones the least id), and how often."""
    most = F.max(F.struct("n", (-F.col("predicted")).alias("less"))).alias("most")
    rows = confusions.groupBy("label_id").agg(most).collect()
    return {row.label_id: (-row.most.less, row.most.n) for row in rows}


def worst_confusions(judged: DataFrame, confusions: DataFrame, n_pairs: int, n_pictures: int) -> list[Confusion]:
    """The pairs with most images, each with the images that the model was surest of."""
    pairs = confusions.orderBy(F.desc("n"), "label_id", "predicted").limit(n_pairs)
    images = judged.groupBy("label_id").agg(F.count("*").alias("of"))
    found = pairs.join(images, on="label_id", how="inner").collect()
    chosen = judged.sparkSession.createDataFrame(
        [(row.label_id, row.predicted) for row in found], "label_id int, predicted int"
    )
    order = Window.partitionBy("label_id", "predicted").orderBy(F.desc("score"), "uri")
    shown = judged.where("rank <> 1").join(F.broadcast(chosen), on=["label_id", "predicted"], how="inner")
    shown = shown.withColumn("place", F.row_number().over(order)).where(F.col("place") <= n_pictures)
    pictures: dict[tuple[int, int], list[tuple[str, float]]] = {}
    for row in shown.orderBy("label_id", "predicted", "place").collect():
        pictures.setdefault((row.label_id, row.predicted), []).append((row.uri, row.score))
    return [
        Confusion(row.label_id, row.predicted, row.n, row.of, pictures[row.label_id, row.predicted])
        for row in sorted(found, key=lambda row: (-row.n, row.label_id, row.predicted))
    ]


def _lists(numbers_NR: "np.ndarray") -> pa.ListArray:
    """Rows of one length as a column of lists."""
    import numpy as np

    n_images, n_lists = numbers_NR.shape
    offsets = np.arange(n_images + 1, dtype=np.int32) * n_lists
    return pa.ListArray.from_arrays(offsets, pa.array(numbers_NR.reshape(-1)))
