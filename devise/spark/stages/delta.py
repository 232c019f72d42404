"""A night's change of the index: what is new, what is to be hidden, whether that is little enough, and its files.

What an index holds is never asked of faiss: it is the sidecar rows of each run of the chain whose id is in no later
run's tombstones. All of it is one query over narrow rows (id, uri, etag); vectors are read only from files that hold a
new one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from devise.config import IndexConfig
from devise.errors import AccountingError
from devise.search import shards
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, find_live, read_embeddings
from devise.spark.frame.tables import Written
from devise.spark.stages.fill import SIDECAR, centroid_score, fill_shards, rows_per_shard, write_tombstones
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

LAYOUT = ("kind", "seed", "sample_rows", "rows_per_shard", "memory_bytes")
"""Settings that decide how a base is laid out, and so all that is added to it."""
INHERITED = ("layout", "kind", "reason", "dim", "nprobe", "tuning", "centroid_score")
"""What a delta's details repeat of its base's, so that a reader needs the newest run only."""
DRIFT_ROWS = 1_000
"""Fewer added rows than these tell nothing of drift."""
HELD = StructType([schemas.EMBEDDINGS[name] for name in CONTENT])


class Change(NamedTuple):
    """rows: image_id, uri, etag and `file`, of the embedding, or null of a row to be hidden; and the counts."""

    rows: DataFrame
    added: int
    hidden: int
    live: int
    """Live embeddings tonight, changed or not."""

    def since_base(self, chain: Sequence[Manifest]) -> int:
        """Rows added and rows hidden since the chain's base, tonight's too."""
        return self.added + self.hidden + sum(run.details["added"] + run.details["hidden"] for run in chain[1:])


def why_base(task: Task, chain: Sequence[Manifest]) -> str | None:
    """Why nothing can be added to the chain, whatever the change, so that a base is needed; None if it can."""
    from devise.search.template import hides_ids

    if not chain:
        return "there is none to add to"
    base, settings = chain[0], task.config.settings()
    if others := [run.run for run in chain if run.details.get("layout") != shards.LAYOUT]:
        return f"the shards of {', '.join(others)} have a layout that is read no more"
    if base.model_id != task.model_id:
        return f"base {base.run} is of model {base.model_id}, not {task.model_id}"
    if changed := [key for key in LAYOUT if base.config.get(key) != settings[key]]:
        return f"base {base.run} was built with another {', '.join(changed)}"
    if not hides_ids(base.details["kind"], base.details["dim"]):
        return f"a search of {base.details['kind']} cannot leave ids out"
    return None


def too_much(task: Task, chain: Sequence[Manifest], change: Change) -> str | None:
    """Why a base is better than to add this change to the chain; None if it is not."""
    config: IndexConfig = task.config
    base, since = chain[0], change.since_base(chain)
    if since > config.rebuild_fraction * base.rows:
        return (
            f"{since:,} rows added and hidden since base {base.run} are more than "
            f"{config.rebuild_fraction:g} of its {base.rows:,}"
        )
    anew = task.inputs["embeddings"][0]
    hidden = sum(run.details["hidden"] for run in chain[1:] if run.run <= anew.run)
    hidden += change.hidden if anew.run == config.run else 0
    if hidden and anew.base and anew.run > base.run:
        return f"{hidden:,} rows are hidden in base {base.run}, and run {anew.run} dropped such rows of the embeddings"
    if base.details["centroid_score"] is not None and change.added >= DRIFT_ROWS:
        score = centroid_score(added_embeddings(task, change), _template(task, base), change.added, config.seed)
        task.details["drift"] = base.details["centroid_score"] - score
        if task.details["drift"] > config.max_drift:
            return (
                f"{change.added:,} added rows score {score:.3f} with their centroids, those of base {base.run} "
                f"{base.details['centroid_score']:.3f}: a drift of more than {config.max_drift:g}"
            )
    return None


def find_change(task: Task, chain: Sequence[Manifest]) -> Change:
    """The live embeddings that the chain does not hold under their uri and etag, and its rows that are live no more.

    A changed image is in both: its old row is hidden, its new one added.
    """
    both = find_live(task).join(held(task, chain).select("*", F.lit(True).alias("held")), on=CONTENT, how="full_outer")
    counted = Observation("change")
    changed = both.observe(counted, F.count("file").alias("live")).where("held IS NULL OR file IS NULL")
    rows = task.stage(changed.select(*CONTENT, "file"), "change")
    found = rows.agg(F.count("file").alias("added"), F.count("*").alias("rows")).collect()[0]
    return Change(rows, found.added, found.rows - found.added, counted.get["live"])


def held(task: Task, chain: Sequence[Manifest]) -> DataFrame:
    """image_id, uri and etag of every row that a search over the chain can find."""
    sidecars = _read(task, chain, "shard-", HELD)
    tombstones = _read(task, chain, "tombstones-", StructType(HELD.fields[:1]))
    hidden = tombstones.groupBy("image_id").agg(F.max("place").alias("hidden_by"))
    rows = sidecars.join(hidden, on="image_id", how="left")
    return rows.where("hidden_by IS NULL OR hidden_by <= place").select(CONTENT)


def added_embeddings(task: Task, change: Change) -> DataFrame:
    """schemas.EMBEDDINGS of the added rows."""
    return read_embeddings(task, change.rows.where("file IS NOT NULL"))


def write_delta(task: Task, chain: Sequence[Manifest], change: Change) -> None:
    """Write the shards of what is new and the tombstones of what is hidden; neither where nothing changed.

    Raises:
        AccountingError: what a search can then find is not what is live.
    """
    config: IndexConfig = task.config
    base, folder, files = chain[0], task.folder("index"), []
    per_shard = rows_per_shard(task, base.details["kind"], base.details["dim"])
    n_shards = -(-change.added // per_shard)
    if change.added:
        embeddings = added_embeddings(task, change)
        files += fill_shards(embeddings, folder, _template(task, base), n_shards, change.added)
    if change.hidden:
        gone = change.rows.where("file IS NULL")
        files += write_tombstones(gone, folder, change.hidden)
    live_rows = chain[-1].details["live_rows"] + change.added - change.hidden
    if live_rows != change.live:
        raise AccountingError(
            f"{folder}: {live_rows} rows can be found in base {base.run} and the runs since, wanted {change.live}, "
            "one a live embedding"
        )
    since = change.since_base(chain)
    decision = (
        f"a delta on base {base.run}: {change.added:,} rows added, {change.hidden:,} hidden, {live_rows:,} live; "
        f"{since:,} since the base are at most {config.rebuild_fraction:g} of its {base.rows:,}"
    )
    say("build_index", decision)
    task.written["index"] = Written(SIDECAR.names, files)
    task.details |= {name: base.details[name] for name in INHERITED} | {
        "decision": decision,
        "base": base.run,
        "n_shards": n_shards,
        "rows_per_shard": per_shard,
        "added": change.added,
        "hidden": change.hidden,
        "live_rows": live_rows,
    }


def _template(task: Task, base: Manifest) -> shards.Stored:
    return shards.template(manifest.folder(task.config.warehouse, base.table, base.run), base.files)


def _read(task: Task, chain: Sequence[Manifest], prefix: str, schema: StructType) -> DataFrame:
    """Rows of the Parquet files of this name of all runs of a chain, each with the `place` of its run in it."""
    found = [
        (place, file)
        for place, run in enumerate(chain)
        for file in run.files
        if file.path.startswith(prefix) and file.path.endswith(".parquet")
    ]
    rows = tables.read_files(task.spark, task.config.warehouse, [(chain[place], file) for place, file in found], schema)
    places = task.spark.createDataFrame([(file.path, place) for place, file in found], "file string, place int")
    return rows.join(F.broadcast(places), on="file", how="inner").select(*schema.names, "place")
