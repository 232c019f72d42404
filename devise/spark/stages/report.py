"""The night's page: what it tells is gathered here, by Spark where that goes over the corpus; the page is `show`'s.

Over the corpus go three narrow passes: best labels are counted, the lists of words are, and the pictures that are
shown are found in the listing. Everything else follows the change, or is bounded by the settings. The page is one file
of the run; its name begins with an underscore.
"""

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructField, StructType

from devise.config import ReportConfig
from devise.errors import ConfigError
from devise.search import query
from devise.spark.frame import schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import count_live, few
from devise.spark.frame.metering import counted
from devise.spark.frame.tables import Written, deliver
from devise.spark.stages import gathered, sampled, sheets
from devise.spark.stages.sampled import Sampled
from devise.warehouse.lineage import Lineage

if TYPE_CHECKING:
    from devise.show.nightly.facts import Change, Dot, Facts

LIBRARIES = ("altair", "vl_convert", "openTSNE")
THUMBNAIL = StructType([StructField("uri", schemas.TEXT), StructField("webp", BinaryType())])
PICTURES_A_TASK = 16
DRAWN = 24


def foresee(config: ReportConfig, lineage: Lineage, promised: Sequence[str]) -> None:
    """`ConfigError` if a library of the page is missing, or `words` names a picture; `VocabularyError` of no query."""
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        raise ConfigError(f"report_run: found no {', '.join(missing)}, wanted: pip install 'devise[report]'")
    for text in config.words:
        if query.parse(text).uris:
            raise ConfigError(f"report_run.words: found {text!r}, wanted words: a page is the same whoever makes it")


def write_report(task: Task) -> None:
    """Write the label counts, the places of the sample on the map, the map and the page."""
    from devise.show.nightly import page
    from devise.show.nightly.facts import PAGE

    counts = count_labels(task)
    task.write("label_counts", task.spark.createDataFrame(counts, schemas.LABEL_COUNTS).coalesce(1))
    drawn = sampled.draw_sample(task)
    told = sampled.read_told(task, drawn)
    task.write("map_images", sampled.map_images(task, drawn, told))
    facts = gather(task, counts, drawn, told)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{PAGE}{uuid.uuid4().hex}.html"
        path.write_text(page.write(facts), encoding="utf-8")
        files = [*drawn.files, deliver(path, task.folder("reports"), rows=-1)]
    task.written["reports"] = Written([], files)
    task.details |= {"below": drawn.below, "map_run": drawn.map_run, "pictures": len(facts.thumbnails)}
    say("report_run", f"page: devise report --warehouse {task.config.warehouse} --run {task.config.run}")


def count_labels(task: Task) -> list[tuple]:
    """Rows of schemas.LABEL_COUNTS, the commonest noun first: of a live image its answer and its best label."""
    nouns = F.explode(F.array_compact(F.array_distinct(F.array("label", "answer")))).alias("noun")
    best, plan = task.read("labels").where("rank = 1").select("image_id", "label", nouns), task.input("plan").details
    came = F.lit(1)
    if plan["since"] is not None:
        new = task.read("plan").where("state IN ('todo', 'found')").select("image_id", F.lit(1).alias("came"))
        best, came = best.join(few(new, plan["todo"] + plan["found"]), on="image_id", how="left"), F.col("came")
    first = F.when(F.col("noun") == F.col("label"), 1)
    sums = F.count("*").alias("n"), F.count(first).alias("n_first"), F.count(came).alias("n_new")
    rows = best.groupBy("noun").agg(*sums).collect()  # a row a noun: the vocabulary and its hierarchy bound them
    rows = sorted(rows, key=lambda row: (-row.n, row.noun))
    return [(*row, task.model_id, task.vocabulary_id) for row in rows]


def compare(task: Task, counts: Sequence[tuple]) -> "tuple[list[Change] | None, str]":
    """Each label of tonight's images and of the others, compared; or None, and why nothing can be."""
    import numpy as np

    from devise.learning import drift
    from devise.show.nightly.facts import Change

    plan, embedded = task.input("plan").details, task.inputs["embeddings"][-1]
    if plan["since"] is None:
        return None, "Nothing can be compared: it is the first night of this model."
    now_L, came_L = (np.array([row[column] for row in counts], np.int64) for column in (1, 3))
    n_came = embedded.details["embedded"] + plan["found"]
    n_stood = count_live(embedded) - n_came
    if not n_came or not n_stood:
        return None, f"Nothing can be compared: {n_came:,} images came, {n_stood:,} stood before."
    found = drift.compare(came_L, now_L - came_L, n_came, n_stood, task.config.false_discoveries)
    before = gathered.counts_before(task)
    told = zip(counts, *(column.tolist() for column in found), strict=True)
    changes = [
        Change(row[0], before.get(row[0], 0) if before is not None else None, row[1], row[3], *each)
        for row, *each in told
    ]
    return [one for one in changes if one.now >= drift.LEAST_IMAGES], ""


def gather(task: Task, counts: Sequence[tuple], drawn: Sampled, told: dict[int, list]) -> "Facts":
    """All that the page tells."""
    from devise.show.nightly import facts, mapped

    config, changed = task.config, compare(task, counts)
    asked, refused = sheets.find(task), gathered.refused(task)
    hubs, n_lists = gathered.hub_images(task)
    dots = _dots(drawn, told)
    at_random = [gathered.tile(row[1], told[row[0]]) for row in gathered.some(drawn.rows, DRAWN, config.run)]
    shown = [[tile for sheet in asked for tile in sheet.tiles], at_random, [facts.Tile(uri, "") for uri, _ in hubs]]
    uris = facts.pictured(shown, mapped.choose(dots), refused)
    return facts.Facts(
        run=config.run,
        model_id=task.model_id,
        vocabulary_id=task.vocabulary_id,
        n_live=count_live(task.inputs["embeddings"][-1]),
        counts=gathered.counts(task),
        phases=gathered.phases(task),
        requests=gathered.requests(task),
        usd_an_hour=config.usd_an_hour,
        rejects=refused,
        figures=gathered.figures(task),
        curve=gathered.curve(task),
        hub_labels=sorted(((row[0], row[2]) for row in counts if row[2]), key=lambda pair: -pair[1]),
        hub_images=hubs,
        n_lists=n_lists,
        changes=changed[0],
        unchanged_why=changed[1],
        rate=config.false_discoveries,
        sheets=asked,
        drawn=at_random,
        mapped=dots,
        map_run=drawn.map_run or "",
        thumbnails=thumbnails(task, uris),
    )


def thumbnails(task: Task, uris: Sequence[str]) -> dict[str, bytes]:
    """Uri -> WebP of the pictures that can be shown: of the night's thumbnails, else read and decoded by workers."""
    if not uris:
        return {}
    warehouse, runs = task.config.warehouse, task.inputs["thumbnails"]

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from devise.search.thumbnails import Thumbnails
        from devise.show import thumbnails

        stored = Thumbnails(warehouse, runs)
        for batch in batches:
            images = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            columns = [batch.column("uri"), pa.array(thumbnails.find(stored, images), pa.binary())]
            yield schemas.record_batch(columns, THUMBNAIL)

    tasks = -(-len(uris) // PICTURES_A_TASK)
    asked = task.read("images").where(F.col("uri").isin(list(uris))).select("image_id", "uri", "etag")
    with task.named("make thumbnails"):
        found = asked.repartition(tasks).mapInArrow(counted(find), THUMBNAIL).where("webp IS NOT NULL").collect()
    return {row.uri: bytes(row.webp) for row in found}


def _dots(drawn: Sampled, told: dict[int, list]) -> "list[Dot]":
    from devise.show.nightly.facts import Dot

    if drawn.map_run is None:
        return []
    nouns = {
        image_id: list(dict.fromkeys(filter(None, [rows[0].answer, *(row.label for row in rows)])))
        for image_id, rows in told.items()
    }
    return [Dot(row[1], nouns[row[0]], *row[3:]) for row in drawn.rows]
