"""Rows spread by exact ranges of the id, a sample drawn by a threshold, files written as rows come."""

from types import SimpleNamespace

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from devise.errors import AccountingError, IndexingError
from devise.search import shards
from devise.search.kinds import choose_kind
from devise.search.template import inverted_lists, read_template
from devise.spark.frame.spread import spread
from devise.spark.stages import fill, index
from devise.store import storage

DIM, N_ROWS = 8, 3000


@pytest.fixture(scope="module")
def embeddings(spark):
    """Rows whose ids are hashes, as an image's is."""
    ids = spark.range(N_ROWS).select(F.xxhash64("id").bitwiseAND(F.lit(2**63 - 1)).alias("image_id"))
    numbers = [F.sin(F.col("image_id").cast("double") * (place + 1)).cast("float") for place in range(DIM)]
    rows = ids.select(
        "image_id", F.concat(F.lit("file:///"), "image_id").alias("uri"), F.lit("1").alias("etag"),
        F.array(*numbers).alias("embedding"),
    )  # fmt: skip
    return rows.repartition(3).cache()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64])
def test_a_partition_is_a_range_of_the_ids_in_order(embeddings, n):
    placed = fill.spread_by_range(embeddings.select("image_id"), n)
    assert placed.rdd.getNumPartitions() == n
    parts = placed.rdd.glom().collect()
    for number, part in enumerate(parts):
        ids = [row.image_id for row in part]
        assert ids == sorted(ids) and set(shards.number_of_ids(np.array(ids, np.int64), n).tolist()) <= {number}
    assert sum(map(len, parts)) == N_ROWS and all(parts)


def test_shards_are_even_within_five_percent(spark):
    n_shards, per_shard = 20, 50_000
    ids = spark.range(n_shards * per_shard).select(F.xxhash64("id").bitwiseAND(F.lit(2**63 - 1)).alias("image_id"))
    number = F.expr(f"image_id div {shards.range_width(n_shards)}").alias("shard")
    counts = np.array([row["count"] for row in ids.groupBy(number).count().collect()])
    assert len(counts) == n_shards and np.abs(counts / per_shard - 1).max() < 0.05


def test_of_five_hundred_tasks_each_has_its_own_number(spark):
    rows = spread(spark.range(500).select(F.col("id").cast("int").alias("place")), "place", 500)
    found = rows.select(F.spark_partition_id().alias("at"), "place").collect()
    assert sorted((row.at, row.place) for row in found) == [(place, place) for place in range(500)]


def test_what_is_staged_is_counted_on_the_way_and_computed_once(spark, embeddings, tmp_path):
    seen = spark.sparkContext.accumulator(0)

    def count(batches):
        for batch in batches:
            seen.add(batch.num_rows)
            yield batch

    def stage(frame, name):
        folder = f"{tmp_path}/{name}-{seen.value}"
        frame.write.parquet(folder)
        return spark.read.schema(frame.schema).parquet(folder)

    task = SimpleNamespace(stage=stage)
    staged, n_rows, dim = index.stage_measured(task, embeddings.mapInArrow(count, embeddings.schema))
    assert (n_rows, dim, seen.value) == (N_ROWS, DIM, N_ROWS) and staged.count() == N_ROWS == seen.value
    short = embeddings.withColumn(
        "embedding", F.slice("embedding", 1, F.when(F.col("image_id") % 2 == 0, 3).otherwise(8))
    )
    for wrong, dims in ((embeddings.limit(0), r"\[\]"), (short, r"\[3, 8\]")):
        seen.add(1)  # a folder of its own
        with pytest.raises(IndexingError, match=f"embeddings of dims {dims}, wanted one dim"):
            index.stage_measured(task, wrong)


@pytest.mark.parametrize("from_end", [False, True])
def test_a_sample_is_the_first_rows_by_hash_and_little_more_is_moved(embeddings, from_end):
    order = F.xxhash64("image_id", F.lit(7))
    wanted = embeddings.orderBy(order.desc() if from_end else order).limit(200).collect()
    drawn = fill.draw_sample(embeddings, 200, N_ROWS, 7, from_end)
    found = drawn.collect()
    assert drawn.rdd.getNumPartitions() == 1 and 200 <= len(found) <= 200 + 12 * 200**0.5
    assert [row.embedding for row in found[:200]] == [row.embedding for row in wanted]
    for n_wanted in (N_ROWS, 10**6):
        assert fill.draw_sample(embeddings, n_wanted, N_ROWS, 7, from_end).count() == N_ROWS


@pytest.fixture(scope="module")
def made(embeddings, tmp_path_factory):
    """The template and three shards, and where they lie."""
    folder = f"file://{tmp_path_factory.mktemp('index')}"
    kind = choose_kind(N_ROWS, DIM, 2**30, "IVF16,SQ8")
    file = fill.train_template(embeddings, folder, kind, 1000, N_ROWS, seed=0)
    return folder, file, fill.fill_shards(embeddings, folder, shards.template(folder, [file]), 3, N_ROWS)


def test_a_shard_and_the_files_beside_it_hold_the_rows_of_its_range_sorted(embeddings, made):
    folder, file, files = made
    vectors = {row.image_id: row.embedding for row in embeddings.select("image_id", "embedding").collect()}
    image_id_N = np.sort(list(vectors))
    for number, shard in enumerate(shards.of_run(folder, files, 3, shards.template(folder, [file]))):
        wanted = image_id_N[shards.number_of_ids(image_id_N, 3) == number]
        rows = pa.ipc.open_file(shard.sidecar.fetch()).read_all()
        assert shard.number == number and rows.schema.names == fill.SIDECAR.names
        np.testing.assert_array_equal(rows.column("image_id").to_numpy(), wanted)
        assert rows.column("uri").to_pylist() == [f"file:///{image_id}" for image_id in wanted]
        exact_ND = np.fromfile(shard.exact.fetch(), "<i2", len(wanted) * DIM).reshape(len(wanted), DIM) / 32_767
        np.testing.assert_allclose(exact_ND, [vectors[image_id] for image_id in wanted.tolist()], atol=2e-5)
        assert len(shard.open_exact(len(wanted), DIM).scores(exact_ND[:1], wanted[None])[0]) == len(wanted)
        opened = faiss.read_index(str(shard.index.fetch()))
        assert opened.ntotal == len(wanted) and opened.quantizer.ntotal == 0
    assert sum(found.rows for found in files if found.rows > 0) == N_ROWS


def test_the_template_is_trained_on_the_rows_that_are_wanted_and_holds_none(made):
    folder, file, _ = made
    template = read_template(storage.local_path(folder) / file.path)
    assert template.ntotal == 0 and inverted_lists(template).quantizer.ntotal == 16


def test_what_does_not_add_up_is_an_error(embeddings, made, tmp_path):
    folder, file, _ = made
    with pytest.raises(AccountingError, match=f"{N_ROWS} rows in the shards, wanted {N_ROWS + 1}"):
        fill.fill_shards(embeddings, f"file://{tmp_path}", shards.template(folder, [file]), 2, N_ROWS + 1)
    with pytest.raises(AccountingError, match=f"{N_ROWS} ids in the tombstones, wanted 4"):
        fill.write_tombstones(embeddings, f"file://{tmp_path}", 4)


def test_tombstones_are_files_by_range_in_small_row_groups(embeddings, tmp_path, monkeypatch):
    monkeypatch.setattr(fill, "TOMBSTONES_PER_FILE", 1000)
    folder = f"file://{tmp_path}"
    files = fill.write_tombstones(embeddings, folder, N_ROWS)
    found = sorted(shards.tombstones_of(folder, files), key=lambda tombstones: tombstones.number)
    assert [(tombstones.number, tombstones.n_files) for tombstones in found] == [(0, 3), (1, 3), (2, 3)]
    ids = [pq.read_table(tombstones.file.fetch()).column("image_id").to_numpy() for tombstones in found]
    for number, image_id_N in enumerate(ids):
        assert (np.diff(image_id_N) > 0).all() and set(shards.number_of_ids(image_id_N, 3).tolist()) == {number}
    assert sum(map(len, ids)) == N_ROWS


def test_a_sidecar_is_written_as_rows_come_in_groups_and_one_of_two_shards_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fill, "GROUP_ROWS", 100)
    ids = np.arange(0, 1000)
    batches = [fill.pa.RecordBatch.from_pydict({"image_id": ids[start : start + 30]}) for start in range(0, 1000, 30)]
    sidecar = fill.Sidecar(tmp_path / "ids", fill.TOMBSTONES, 2)
    assert [batch.num_rows for batch in sidecar.write_batches([batches[0].slice(0, 0), *batches])] == [30] * 33 + [10]
    sidecar.close()
    file = pq.ParquetFile(tmp_path / "ids")
    assert file.metadata.num_row_groups == 9 and file.metadata.row_group(0).num_rows == 120
    assert file.read().column("image_id").to_pylist() == ids.tolist() and sidecar.number == 0
    other = fill.pa.RecordBatch.from_pydict({"image_id": [5, 2**63 - 1]})
    with pytest.raises(AccountingError, match="a task has rows of shards 0 and 1, wanted one"):
        list(fill.Sidecar(tmp_path / "two", fill.TOMBSTONES, 2).write_batches([other]))
