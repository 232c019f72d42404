"""The search stage: queries to vectors, shards searched in parallel, the best of all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.config import EngineConfig, SearchConfig
from devise.errors import ConfigError, IndexingError, ManifestError, VocabularyError
from devise.search import grammar, query, shards, vocabularies
from devise.search.kinds import effort, measured
from devise.search.mapped import Sidecar
from devise.search.query import Query
from devise.search.shards import Shard
from devise.spark.frame import schemas
from devise.spark.frame.metering import counted
from devise.spark.stages.embed import embed_outcomes
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.words.texttables import read_columns

if TYPE_CHECKING:
    import numpy as np

    from devise.search.index import Prepared

FOUND = StructType([StructField("number", schemas.INT), *schemas.RESULTS.fields[3:6]])
ASKED = StructType([FOUND["number"], *(schemas.RESULTS[name] for name in ("query", "kind", "nprobe", "recall"))])
IMAGE_QUERY = StructType([*schemas.IMAGES.fields[:4]])
BLOCK_CANDIDATES = 1 << 18
"""Candidates of a shard that a task holds at a time, over all queries of a block: with their uris some 50 MB."""


def read_queries(config: SearchConfig) -> list[Query]:
    """The queries of the settings and of the file, in order, each once.

    Raises:
        TableError: the file is no table with a column `query`.
        ConfigError: it holds no query.
    """
    texts = list(config.queries)
    if config.queries_file is not None:
        [cells] = read_columns(scratch.localise_table(storage.normalise(config.queries_file)), "query")
        if odd := [cell for cell in cells if isinstance(cell, list)]:
            raise ConfigError(f"{config.queries_file}: found the list {odd[0]} as a query, wanted a text")
        asked = [cell for cell in cells if cell and cell.strip()]
        if not asked:
            raise ConfigError(f"{config.queries_file}: found no query in {len(cells)} rows, wanted at least one")
        texts += asked
    return list(dict.fromkeys(map(query.parse, texts)))


def query_vectors(
    spark: SparkSession,
    queries: Sequence[Query],
    warehouse: str,
    vocabulary: Manifest,
    vectors: str | None,
    model: Manifest,
) -> list[list[float]]:
    """A unit vector a query: words by the vocabulary and the word vectors, pictures through the network, each once.

    Raises:
        VocabularyError: a word that nothing knows, a picture that cannot be embedded, or terms that cancel out.
    """
    import numpy as np

    from devise.words.vocabulary import make_lookup

    lookup = make_lookup(vocabularies.read_labels(warehouse, vocabulary), vocabularies.find_vectors(vectors))
    pictures = _embed_pictures(spark, queries, warehouse, model)

    def picture(uri: str) -> np.ndarray:
        return np.array(pictures[storage.normalise(uri)], dtype=np.float32)

    return [grammar.query_vector(asked.text, lookup, picture).tolist() for asked in queries]


def refuse_other_model(index: Sequence[Manifest], model_id: str) -> None:
    """`IndexingError` if the newest run of the index is of another model: a picture's vector means nothing in it."""
    if index and index[-1].model_id != model_id:
        raise IndexingError(f"the index of run {index[-1].run} is of model {index[-1].model_id}, wanted {model_id}")


def search_shards(
    spark: SparkSession,
    queries: Sequence[Query],
    vectors: Sequence[Sequence[float]],
    warehouse: str,
    index: Sequence[Manifest],
    k: int,
) -> DataFrame:
    """The k images nearest to each query (schemas.RESULTS), ties to the lower image_id.

    Args:
        index: committed runs of the index, oldest first; the newest of them and those it was made from are searched.

    Raises:
        ManifestError: there is no run of the index, or its base is missing.
        IndexingError: a query's vector is of another dimension than the index.
    """
    chain = shards.chain(index)
    if not chain:
        where = manifest.folder(warehouse, "index", index[-1].run) if index else storage.join(warehouse, "index")
        raise ManifestError(f"{where}: found no committed run with its base, wanted one; build_index makes it")
    newest, parts = chain[-1], shards.in_warehouse(warehouse, chain)
    if others := sorted({len(vector) for vector in vectors} - {newest.details["dim"]}):
        raise IndexingError(
            f"queries have {others} dims, the index of run {newest.run} has {newest.details['dim']}: "
            "is the vocabulary newer than the model?"
        )
    kinds = [asked.kind for asked in queries]
    told = [(row, one.text, one.kind, *measured(newest.details, one.kind)) for row, one in enumerate(queries)]
    return (
        nearest_in_shards(spark, kinds, vectors, parts, newest.details["nprobe"], k)
        .join(F.broadcast(spark.createDataFrame(told, ASKED)), on="number", how="inner")
        .orderBy("number", "rank")
        .select(schemas.RESULTS.names)
    )


def nearest_in_shards(
    spark: SparkSession,
    kinds: Sequence[str],
    vectors: Sequence[Sequence[float]],
    parts: Sequence[Shard],
    nprobe: dict[str, int],
    k: int,
) -> DataFrame:
    """FOUND and rank: the k images nearest to each vector; a task a shard, each kind with its own nprobe.

    Which lists a query visits is found here, once, and told to the tasks: 8 bytes a query and list. A task opens its
    shard once and searches it for a block of queries at a time, so that its memory follows neither their number nor k.
    """
    import numpy as np

    from devise.search import index as indices

    template, query_QD = open_template(parts), np.asarray(vectors, dtype=np.float32)
    prepared = [
        (rows_Q, indices.prepare(template, query_QD[rows_Q], effort(nprobe, kind)))
        for kind, rows_Q in rows_by_kind(kinds).items()
    ]

    def search(opened: Any, shard: Shard) -> Iterator[pa.RecordBatch]:
        hidden, sidecar = [shard.hidden()], Sidecar(shard.sidecar.fetch())
        exact = [shard.open_exact(opened.ntotal, opened.d)]
        n_found = min(k, max(1, opened.ntotal))
        for rows_Q, queries in blocks(prepared, max(n_found, indices.CANDIDATES)):
            ids_QK, scores_QK = indices.search([opened], queries, n_found, hidden, exact)
            uris = shards.find_uris([sidecar], hidden, ids_QK)
            keep = ids_QK >= 0
            columns = [
                pa.array(np.repeat(rows_Q, keep.sum(axis=1))),
                pa.array(ids_QK[keep]),
                pa.array([uris[number] for number in ids_QK[keep].tolist()], pa.string()),
                pa.array(scores_QK[keep]),
            ]
            yield schemas.record_batch(columns, FOUND)

    best = Window.partitionBy("number").orderBy(F.desc("score"), "image_id")
    found = map_shards(spark, parts, search, FOUND)
    return found.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= k)


def rows_by_kind(kinds: Sequence[str]) -> dict[str, "np.ndarray"]:
    """Kind -> the numbers, int32, of the queries that are of it."""
    import numpy as np

    return {kind: np.flatnonzero(np.array(kinds) == kind).astype(np.int32) for kind in sorted(set(kinds))}


def blocks(
    prepared: Iterable[tuple["np.ndarray", "Prepared"]], n_candidates: int
) -> Iterator[tuple["np.ndarray", "Prepared"]]:
    """The same queries, so many at a time that BLOCK_CANDIDATES hold for them; at least one."""
    step = max(1, BLOCK_CANDIDATES // n_candidates)
    for rows_Q, queries in prepared:
        for start in range(0, len(rows_Q), step):
            part = slice(start, start + step)
            yield rows_Q[part], queries.of(part)


def open_template(parts: Sequence[Shard]) -> Any:
    """What the shards of an index share, opened here: it tells which lists a query is to visit, in all of them."""
    from devise.search.template import read_template

    return read_template(parts[0].template.fetch())


def map_shards(
    spark: SparkSession,
    parts: Sequence[Shard],
    work: Callable[[Any, Shard], Iterator[pa.RecordBatch]],
    schema: StructType,
) -> DataFrame:
    """What `work(opened, shard)` yields for each shard of an index; a task a shard.

    A task fetches the files of its own shard only, once per host and checked; sidecar and tombstones only if they are
    called for.
    """

    def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search.index import read_shard
        from devise.search.template import read_template

        for place in (place for batch in batches for place in batch.column("place").to_pylist()):
            part = parts[place]
            yield from work(read_shard(part.index.fetch(), read_template(part.template.fetch())), part)

    # A place a partition as it is made: spread by a shuffle, some tasks would have two of them and others none.
    places = spark.range(0, len(parts), 1, len(parts)).select(F.col("id").cast("int").alias("place"))
    return places.mapInArrow(counted(each), schema)


def _embed_pictures(
    spark: SparkSession, queries: Sequence[Query], warehouse: str, model: Manifest
) -> dict[str, list[float]]:
    asked_of = {uri: asked.text for asked in queries for uri in asked.uris}
    if not asked_of:
        return {}
    rows = []
    for number, (uri, text) in enumerate(asked_of.items()):
        found = storage.stat(uri)
        if found is None:
            raise grammar.no_picture(text, uri)
        rows.append((number, uri, found.etag, found.size_bytes))
    todo = spark.createDataFrame(rows, IMAGE_QUERY)
    # A few pictures: the same numbers on every machine are worth more than what bf16 saves where a processor has it.
    outcomes = embed_outcomes(todo.coalesce(1), warehouse, model, EngineConfig(precision="fp32")).collect()
    if bad := [f"{row.uri}: {row.code}: {row.message}" for row in outcomes if row.code is not None]:
        raise VocabularyError("; ".join(bad))
    return {row.uri: row.embedding for row in outcomes}
