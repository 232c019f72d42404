"""Recall of the index by query kind, out of sample, against exact search over the same embeddings."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.manifest import Manifest
from devise.spark import schemas
from devise.spark.label import vectors
from devise.spark.search import FOUND, nearest_in_shards

KINDS = ("image", "word", "words")
NEIGHBOURS = StructType([FOUND["number"], FOUND["image_id"], FOUND["score"]])


def draw_queries(
    embeddings: DataFrame, vocabulary: DataFrame, n: int, seed: int
) -> tuple[list[str], list[list[float]], list[int]]:
    """Kinds, unit vectors and, for images, the id to leave out: `n` of each kind, drawn by hash.

    Words are labels of the vocabulary; `words` are means of two of them, the commonest compound query.
    """
    import numpy as np

    images = embeddings.orderBy(F.xxhash64("image_id", F.lit(seed))).limit(n).select("image_id", "embedding").collect()
    labels = vocabulary.orderBy(F.xxhash64("label_id", F.lit(seed))).limit(2 * n).select("vector").collect()
    word_VD = np.array([row.vector for row in labels], dtype=np.float32)
    half = len(word_VD) // 2
    pair_VD = word_VD[:half] + word_VD[half : 2 * half]
    pair_VD /= np.linalg.norm(pair_VD, axis=1, keepdims=True)
    words = word_VD[:n]
    kinds = ["image"] * len(images) + ["word"] * len(words) + ["words"] * len(pair_VD)
    found = [row.embedding for row in images] + words.tolist() + pair_VD.tolist()
    return kinds, found, [row.image_id for row in images] + [-1] * (len(words) + len(pair_VD))


def measure_recall(
    spark: SparkSession,
    embeddings: DataFrame,
    queries: tuple[list[str], list[list[float]], list[int]],
    warehouse: str,
    index: Manifest,
    nprobe: dict[str, int],
    k: int,
) -> dict[str, tuple[float, int]]:
    """Kind -> (recall@k, number of queries); an image query never counts itself as found."""
    import numpy as np

    from devise.metrics import recall_at_k

    kinds, query_vectors, left_out = queries
    exact = _collect(nearest_exactly(embeddings, query_vectors, k + 1), left_out, k)
    found = _collect(nearest_in_shards(spark, kinds, query_vectors, warehouse, index, nprobe, k + 1), left_out, k)
    result = {}
    for kind in KINDS:
        rows = [row for row, asked in enumerate(kinds) if asked == kind]
        if rows:
            pick = [np.array([table[row] for row in rows]) for table in (*found, *exact)]
            result[kind] = (float(recall_at_k(*pick, k)), len(rows))
    return result


def nearest_exactly(embeddings: DataFrame, query_vectors: Sequence[Sequence[float]], k: int) -> DataFrame:
    """The k embeddings nearest to each query (number, image_id, score), by full matrix products."""

    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.index import exact_search

        query_QD = np.asarray(query_vectors, dtype=np.float32)
        for batch in batches:
            if batch.num_rows == 0:
                continue
            ids_QK, scores_QK = exact_search(
                query_QD, batch.column("image_id").to_numpy(), vectors(batch.column("embedding")), k
            )
            keep = ids_QK >= 0
            numbers = np.repeat(np.arange(len(query_QD), dtype=np.int32), keep.sum(axis=1))
            columns = [pa.array(numbers), pa.array(ids_QK[keep]), pa.array(scores_QK[keep])]
            yield schemas.record_batch(columns, NEIGHBOURS)

    best = Window.partitionBy("number").orderBy(F.desc("score"), "image_id")
    near = embeddings.select("image_id", "embedding").mapInArrow(scan, NEIGHBOURS)
    return near.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= k).drop("rank")


def _collect(neighbours: DataFrame, left_out: Sequence[int], k: int) -> tuple[list[list[int]], list[list[float]]]:
    """ids and scores, k a query, best first, padded with -1 and -2; the query's own image left out."""
    ids: list[list[int]] = [[] for _ in left_out]
    scores: list[list[float]] = [[] for _ in left_out]
    for row in neighbours.orderBy("number", F.desc("score"), "image_id").collect():
        if row.image_id != left_out[row.number] and len(ids[row.number]) < k:
            ids[row.number].append(row.image_id)
            scores[row.number].append(row.score)
    padded_ids = [found + [-1] * (k - len(found)) for found in ids]
    return padded_ids, [found + [-2.0] * (k - len(found)) for found in scores]
