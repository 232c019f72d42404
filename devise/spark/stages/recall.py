"""Recall of the index by query kind, out of sample, against exact search over the same embeddings."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.search.grammar import CANCELLED
from devise.search.kinds import QUERY_KINDS as KINDS
from devise.search.shards import Shard
from devise.spark.frame import schemas
from devise.spark.frame.columns import vectors
from devise.spark.frame.metering import counted
from devise.spark.stages.search import FOUND, map_shards, nearest_in_shards, open_template

if TYPE_CHECKING:
    import numpy as np

NEIGHBOURS = StructType([FOUND["number"], FOUND["image_id"], FOUND["score"]])
TIES = 100
"""Places that exact search looks beyond the k-th: copies of one picture tie there."""
BLOCK_ROWS = 8192
"""Rows of one matrix product of exact search: 600 queries take 20 MB of scores."""


class Queries(NamedTuple):
    """Kind, unit vector and, of an image, the id to leave out (else -1), a query each."""

    kinds: list[str]
    vectors: list[list[float]]
    left_out: list[int]


class Neighbours(NamedTuple):
    """ids int64 and scores float64, a row a query, best first, padded with -1 and -2."""

    ids_QK: "np.ndarray"
    scores_QK: "np.ndarray"


def draw_queries(
    embeddings: DataFrame, vocabulary: DataFrame, n: int, seed: int, purpose: Literal["tune", "measure"]
) -> Queries:
    """`n` queries of each kind, drawn by hash.

    Words are labels of the vocabulary; `words` are means of two of them, the commonest compound query; `differences`
    are one of the two less the other, and two that share a vector have none. Each purpose has a half of the images and
    of the labels for itself, whatever the seeds, and takes from the other's only where its own is used up. The order is
    another than that of the rows that train the template.
    """
    import numpy as np

    def draw(frame: DataFrame, key: str, n_rows: int) -> DataFrame:
        other = F.pmod(F.xxhash64(key, F.lit("half")), F.lit(2)) != (0 if purpose == "tune" else 1)
        return frame.orderBy(other, F.xxhash64(key, F.lit(seed), F.lit("query"))).limit(n_rows)

    images = draw(embeddings, "image_id", n).select("image_id", "embedding").collect()
    labels = draw(vocabulary, "label_id", 2 * n).select("vector").collect()
    word_VD = np.array([row.vector for row in labels], dtype=np.float32)
    half = len(word_VD) // 2
    one_VD, other_VD, words = word_VD[:half], word_VD[half : 2 * half], word_VD[:n]
    pair_VD, difference_VD = one_VD + other_VD, one_VD - other_VD
    pair_VD /= np.linalg.norm(pair_VD, axis=1, keepdims=True)
    length_V1 = np.linalg.norm(difference_VD, axis=1, keepdims=True)
    difference_VD = (difference_VD / np.maximum(length_V1, CANCELLED))[length_V1[:, 0] >= CANCELLED]
    drawn = {"word": words, "words": pair_VD, "differences": difference_VD}
    return Queries(
        ["image"] * len(images) + [kind for kind, found_VD in drawn.items() for _ in found_VD],
        [row.embedding for row in images] + [row for found_VD in drawn.values() for row in found_VD.tolist()],
        [row.image_id for row in images] + [-1] * sum(map(len, drawn.values())),
    )


def select(queries: Queries, exact: Neighbours, kinds: Collection[str]) -> tuple[Queries, Neighbours]:
    """The queries of some kinds, and their exact neighbours."""
    rows = [row for row, kind in enumerate(queries.kinds) if kind in kinds]
    return Queries(*([column[row] for row in rows] for column in queries)), Neighbours(
        *(table[rows] for table in exact)
    )


def measure_recall(
    spark: SparkSession,
    queries: Queries,
    exact: Neighbours,
    parts: Sequence[Shard],
    nprobe: dict[str, int],
    ks: Sequence[int],
) -> dict[int, dict[str, tuple[float, int]]]:
    """k -> kind -> (recall@k, number of queries); an image query never counts itself as found."""
    k = max(ks)
    near = nearest_in_shards(spark, queries.kinds, queries.vectors, parts, nprobe, k + 1)
    found = _collect(near, queries.left_out, k)
    return {k: _recall_by_kind(queries, found, exact, k) for k in ks}


def recall_by_nprobe(
    spark: SparkSession,
    queries: Queries,
    exact: Neighbours,
    parts: Sequence[Shard],
    steps: Sequence[int],
    k: int,
) -> dict[str, dict[int, float]]:
    """Kind -> nprobe -> recall@k of the shards of a base; every shard is opened once and searched at every step."""
    import numpy as np

    from devise.search import index as indices

    n_queries = len(queries.kinds)
    prepared = indices.prepare(open_template(parts), np.asarray(queries.vectors, dtype=np.float32), steps[-1])

    def search(opened: Any, shard: Shard) -> Iterator[pa.RecordBatch]:
        exact = shard.open_exact(opened.ntotal, opened.d)
        for place, found in enumerate(indices.search_at_steps(opened, prepared, k + 1, steps, exact)):
            yield _batch(*found, first=place * n_queries)

    near = _nearest(map_shards(spark, parts, search, NEIGHBOURS), k + 1)
    ids, scores = _collect(near, queries.left_out * len(steps), k)
    result: dict[str, dict[int, float]] = {}
    for place, nprobe in enumerate(steps):
        rows = slice(place * n_queries, (place + 1) * n_queries)
        for kind, (recall, _) in _recall_by_kind(queries, Neighbours(ids[rows], scores[rows]), exact, k).items():
            result.setdefault(kind, {})[nprobe] = recall
    return result


def exact_neighbours(embeddings: DataFrame, queries: Queries, k: int) -> Neighbours:
    """The k embeddings nearest to each query and the TIES next, itself left out, by full matrix products."""
    depth, query_vectors = k + TIES, queries.vectors

    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        from devise.search.index import exact_search_in_blocks

        query_QD = np.asarray(query_vectors, dtype=np.float32)
        yield _batch(*exact_search_in_blocks(query_QD, _blocks(batches), depth + 1))

    near = embeddings.select("image_id", "embedding").mapInArrow(counted(scan), NEIGHBOURS)
    return _collect(_nearest(near, depth + 1), queries.left_out, depth)


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
    """Ids and vectors of the rows, about BLOCK_ROWS at a time: Spark's batches are small."""
    import numpy as np

    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches:
        if batch.num_rows:
            parts.append((batch.column("image_id").to_numpy(), vectors(batch.column("embedding"))))
        if sum(len(ids) for ids, _ in parts) >= BLOCK_ROWS:
            yield tuple(np.concatenate(part) for part in zip(*parts, strict=True))
            parts = []
    if parts:
        yield tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _batch(ids_QK: "np.ndarray", scores_QK: "np.ndarray", first: int = 0) -> pa.RecordBatch:
    """NEIGHBOURS, the queries numbered from `first` on; empty places left out."""
    import numpy as np

    keep = ids_QK >= 0
    numbers = np.repeat(np.arange(first, first + len(ids_QK), dtype=np.int32), keep.sum(axis=1))
    return schemas.record_batch([pa.array(numbers), pa.array(ids_QK[keep]), pa.array(scores_QK[keep])], NEIGHBOURS)


def _nearest(neighbours: DataFrame, k: int) -> DataFrame:
    best = Window.partitionBy("number").orderBy(F.desc("score"), "image_id")
    return neighbours.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= k).drop("rank")


def _recall_by_kind(queries: Queries, found: Neighbours, exact: Neighbours, k: int) -> dict[str, tuple[float, int]]:
    import numpy as np

    from devise.learning.metrics import recall_at_k

    result = {}
    for kind in KINDS:
        rows = np.array([row for row, asked in enumerate(queries.kinds) if asked == kind], dtype=np.int64)
        if len(rows):
            pick = [table[rows] for table in (*found, *exact)]
            result[kind] = (float(recall_at_k(*pick, k)), len(rows))
    return result


def _collect(neighbours: DataFrame, left_out: Sequence[int], k: int) -> Neighbours:
    """The k nearest of each query, its own image left out."""
    import numpy as np

    ids_QK = np.full((len(left_out), k), -1, dtype=np.int64)
    scores_QK = np.full((len(left_out), k), -2.0)
    filled = [0] * len(left_out)
    rows = neighbours.select("number", "image_id", "score").orderBy("number", F.desc("score"), "image_id").collect()
    for number, image_id, score in rows:
        place = filled[number]
        if image_id != left_out[number] and place < k:
            ids_QK[number, place], scores_QK[number, place] = image_id, score
            filled[number] = place + 1
    return Neighbours(ids_QK, scores_QK)
