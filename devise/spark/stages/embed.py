"""The embed stage: a night's plan, each image through the network once, slice by slice; then the count of all of it.

Two doors lead to the engine, with the same results: `mapInArrow`, and pandas (`exchange="pandas"`: `mapInPandas` for
the bulk job; `embed_udf`, an iterator pandas UDF over a column of image bytes).
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.config import EmbedConfig, EngineConfig
from devise.errors import AlreadyExists, ManifestError, WorkerLost
from devise.search.shards import range_width
from devise.spark.frame import faults, schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.metering import counted
from devise.spark.frame.spread import spread
from devise.spark.stages import accounting, engines, slices
from devise.spark.stages.engines import count_slots, most_slots, open_engine, to_items
from devise.spark.stages.outcomes import outcome_batch
from devise.spark.stages.slices import Record, Row, Slices, Work
from devise.store import storage
from devise.warehouse.manifest import File, Manifest

if TYPE_CHECKING:
    import pandas as pd

    from devise.vision.engine import Engine, Item

EMBEDDED = schemas.bare(StructType([schemas.EMBEDDINGS["embedding"], *schemas.REJECTS.fields[3:5]]))
"""What `embed_udf` returns of one picture: its embedding, or the reject code and message."""
DONE = StructType([StructField("slice", schemas.INT)])
LEAST_ROWS = 64
"""Images of a small night's slice: fewer are not worth a file of their own."""
SLICES_PER_SLOT = 8
MOST_SLICES = 10_000
"""However large the night: a record each, and two or three files."""
FRUITLESS = 3
"""Rounds in which workers died and no slice was ended, after which the fault is not in an image."""


def embed_plan(task: Task) -> None:
    """Embed what the plan says, and put this run's tables together, a base's standing rows too.

    Raises:
        ManifestError: the plan was made for another model, or beside other embeddings than this run builds on, or the
            standing rows that were written with it are gone.
        WorkerLost: workers died again and again, whatever was left out.
        AccountingError: images attempted differ from embedded + rejected.
    """
    plan, config = task.input("plan"), task.config
    if plan.model_id != task.model_id:
        where = f"run {config.run}: its plan was made for model {plan.model_id}"
        raise ManifestError(f"{where}, and the model is {task.model_id} now: use another --run")
    for table in slices.TABLES:
        beside = [run.identity() for run in task.inputs[table]]
        if plan.inputs[table] != beside:
            where = f"run {config.run}: its plan was made beside {table} {plan.inputs[table]}"
            raise ManifestError(f"{where}, and now it builds on {beside}: use another --run")
    if standing := plan.details["standing"]:
        files = {table: [File(**file) for file in standing[table]] for table in slices.TABLES}
        if gone := sorted(_missing(files, _there(task), task)):
            raise ManifestError(f"{gone[0][0]}: written with the plan and no longer there: use another --run")
    attempted = plan.details["todo"] + plan.details["collision"]
    records, n_slices = _embed(task, plan, attempted) if attempted else ([], 0)
    accounting.gather(task, plan, records, n_slices, attempted)


def open_slices(task: Task, plan: Manifest, n_images: int) -> Slices:
    """The slices of this run, as an earlier attempt has cut them, if there was one with the same plan.

    Settings that change no outcome (threads, batches, memory) may differ from attempt to attempt.
    """
    config: EmbedConfig = task.config
    engine = config.engine
    deciding = f"{plan.identity()} {engine.device} {engine.precision} {engine.max_pixels} {engine.max_bytes}"
    key = hashlib.sha256(deciding.encode()).hexdigest()
    folder = storage.join(storage.normalise(config.warehouse), "_staging", "embed_images", f"run={config.run}", key)
    uri = storage.join(folder, "count")
    if (found := storage.read_tagged(uri)) is None:
        slots = most_slots(task.spark) or count_slots(task.spark)
        try:
            storage.create(uri, str(count_slices(n_images, slots, config.images_per_slice)).encode())
        except AlreadyExists:  # a twin was quicker: its cut is the one
            say("embed_images", "the slices were cut by another driver of this run")
        found = storage.read_bytes(uri), ""
    count = int(found[0])
    return Slices(storage.join(folder, f"of-{count}"), count)  # `count` may be swept, being old, and records stay


def count_slices(n_images: int, slots: int, images_per_slice: int) -> int:
    """Slices for so many images, MOST_SLICES at most: of as many images as asked for, give or take what hashes do, or
    fewer where there are slots for more, several slices each, so that a crash costs little of the night.

    As many for each slot as for the others: at the end of a small night none waits for one with a slice more.
    """
    several = max(min(SLICES_PER_SLOT * slots, n_images // LEAST_ROWS), min(slots, n_images))
    wanted = max(1, -(-n_images // images_per_slice), several)
    if slots <= wanted:
        wanted = -(-wanted // slots) * slots
    return min(MOST_SLICES, wanted)


def _embed(task: Task, plan: Manifest, attempted: int) -> tuple[list[Record], int]:
    """Rounds over the slices that are left, until none is; a worker's death ends a round, not the night.

    Returns:
        The records, and how many slices the images were cut into: one without an image has no record.
    """
    night = open_slices(task, plan, attempted)
    _forget_lost(task, night)
    fruitless = 0
    while True:
        done, begun = night.look()
        if done or begun:
            say("embed_images", f"{len(done):,} of {night.count:,} slices stand, {len(begun):,} were begun")
        try:
            with slices.watched(night, attempted), task.named("embed slices"):
                _run_slices(task, plan, night, done)
            break
        except (PySparkException, Py4JJavaError) as error:
            if not faults.worker_died(str(error)):
                raise
            fruitless = 0 if len(night.look()[0]) > len(done) else fruitless + 1
            if fruitless == FRUITLESS:
                raise WorkerLost(
                    f"run {task.config.run}: workers died {FRUITLESS} times and ended no slice, with every image read "
                    "by a process of its own: is it memory?"
                ) from error
            say("embed_images", "a worker died: the slices that it had are done again, their images read apart")
    return night.records(night.look()[0]), night.count


def _forget_lost(task: Task, night: Slices) -> None:
    """Records of an earlier attempt whose files are no longer there, which `expire` may remove after a day."""
    done = night.look()[0]
    if not done:
        return
    there = _there(task)
    files = {record.number: {name: getattr(record, name) for name in slices.TABLES} for record in night.records(done)}
    night.forget(number for number, named in files.items() if _missing(named, there, task))


def _there(task: Task) -> set[tuple[str, int]]:
    """URI and size of each file in the run's folders."""
    folders = [task.folder(table) for table in slices.TABLES]
    return {(file.uri, file.size_bytes) for folder in folders for file in storage.list_files(folder, missing_ok=True)}


def _missing(files: dict[str, list[File]], there: set[tuple[str, int]], task: Task) -> set[tuple[str, int]]:
    """Those of a run's files, by table, that are not there whole."""
    wanted = ((storage.join(task.folder(table), file.path), file) for table, named in files.items() for file in named)
    return {(uri, file.size_bytes) for uri, file in wanted} - there


def _run_slices(task: Task, plan: Manifest, night: Slices, done: set[int]) -> None:
    """One round: the slices that are left, each task several of them; they are sorted by a hash of the uri, because
    neighbours in a listing share a prefix and S3 limits requests by prefix."""
    config, model, spark = task.config, task.input("model"), task.spark
    if not (left := [number for number in range(night.count) if number not in done]):
        return
    slots = most_slots(spark)
    n_tasks = len(left) if slots is None else min(len(left), slots * max(1, min(4, len(left) // (8 * slots))))
    place = dict(zip(left, (number % n_tasks for number in range(len(left))), strict=True))
    places = F.expr(f"array({', '.join(str(place.get(number, -1)) for number in range(night.count))})")
    number = F.expr(f"cast(image_id div {range_width(night.count)} as int)") if night.count > 1 else F.lit(0)
    rows = task.read("plan").where("state IN ('todo', 'collision')").withColumn("slice", number)
    rows = rows.withColumn("task", F.element_at(places, F.col("slice") + 1)).where("task >= 0")
    rows = spread(rows, "task", n_tasks).select(*Row._fields).sortWithinPartitions("slice", "image_id")
    engine, warehouse = engines.share_requests(spark, config.engine, n_tasks), config.warehouse
    folders = {table: task.folder(table) for table in slices.TABLES}
    below = accounting.thumbnails_below(config, plan.details["listed"])

    def embed(given: Iterator[Row]) -> Iterator[Record]:
        def opened(fetch: "Callable[[Item], bytes]") -> "Engine":
            return open_engine(warehouse, model, engine, fetch, below)

        yield from slices.embed_slices(given, Work(night, folders, model.model_id, opened, engine.max_pixels, below))

    def in_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        columns = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches)
        for record in embed(Row(*values) for rows in columns for values in rows):
            yield pa.RecordBatch.from_pydict({"slice": pa.array([record.number], pa.int32())})

    def in_pandas(frames: "Iterator[pd.DataFrame]") -> "Iterator[pd.DataFrame]":
        import pandas as pd

        for record in embed(Row(*values) for frame in frames for values in frame.itertuples(index=False, name=None)):
            yield pd.DataFrame({"slice": pd.Series([record.number], dtype="int32")})

    if config.exchange == "pandas":
        rows.mapInPandas(counted(in_pandas), DONE).collect()
    else:
        rows.mapInArrow(counted(in_arrow), DONE).collect()


def embed_outcomes(todo: DataFrame, warehouse: str, model: Manifest, engine: EngineConfig) -> DataFrame:
    """Turn each of a few images into an outcome (schemas.OUTCOMES): an embedding, or the reject code.

    Args:
        todo: image_id, uri, etag, size_bytes; image_id without repeats.
    """

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for outcomes in open_engine(warehouse, model, engine).run(to_items(batches)):
            yield outcome_batch(outcomes)

    return todo.mapInArrow(counted(embed), schemas.OUTCOMES)


def embed_udf(warehouse: str, model: Manifest, engine: EngineConfig | None = None) -> Any:
    """An iterator pandas UDF: image bytes -> struct(embedding, code, message); embedding is null for a reject.

    `spark.udf.register("embed", embed_udf(...))`, then `SELECT embed(content).embedding FROM ...`.
    """
    import pandas as pd

    settings = engine or EngineConfig()

    @F.pandas_udf(EMBEDDED)
    def embed(contents: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        from devise.vision.engine import Item

        waiting: dict[int, bytes] = {}

        def batches() -> Iterator[list[Item]]:
            number = 0
            for series in contents:
                items = []
                for content in series:
                    waiting[number] = content if content is not None else b""
                    items.append(Item(number, "", "", len(waiting[number])))
                    number += 1
                yield items

        opened = open_engine(warehouse, model, settings, fetch=lambda item: waiting.pop(item.image_id))
        for frame in _in_order(opened, batches()):
            yield frame[EMBEDDED.names]

    return embed.asNondeterministic()  # so that the optimiser never calls it twice for one row


def _in_order(engine: "Engine", batches: Iterator[list["Item"]]) -> "Iterator[pd.DataFrame]":
    """Outcomes in the order of the items, a frame a batch: the engine's own order is free, a pandas UDF's is not."""
    import pandas as pd

    sent: deque[list[int]] = deque()
    found: dict[int, tuple] = {}

    def feed() -> Iterator["Item"]:
        for batch in batches:
            sent.append([item.image_id for item in batch])
            yield from batch

    def ready() -> Iterator[pd.DataFrame]:
        while sent and all(number in found for number in sent[0]):
            rows = [found.pop(number) for number in sent.popleft()]
            yield pd.DataFrame(rows, columns=schemas.OUTCOMES.names)

    for outcomes in engine.run(feed()):
        for row, item in enumerate(outcomes.items):
            kept = outcomes.codes[row] is None
            found[item.image_id] = (
                item.image_id,
                item.uri,
                item.etag,
                outcomes.embedding_ND[row] if kept else None,
                outcomes.norm_N[row] if kept else None,
                outcomes.width_N[row] if kept else None,
                outcomes.height_N[row] if kept else None,
                *(None if part is None or not kept else part[row] for part in outcomes.classes),
                outcomes.codes[row],
                outcomes.messages[row],
                outcomes.attempts_N[row],
            )
        yield from ready()
    yield from ready()
