"""The gates that a run must pass before it is live, and the swap of the pointer; computes no table."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from devise.config import PublishConfig
from devise.errors import AccountingError, GateError, RejectedTooMany
from devise.search import shards
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, embedded, find_live
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live

ATTEMPTS_FOR_FRACTION = 100
RECALL_AT = 10


def check_gates(task: Task, before: Live | None) -> None:
    """Raise unless accounting, reject fraction, vectors, labels, index and recall of this run all hold.

    Args:
        before: what is live. What was embedded and rejected since, by nights that were not published, is judged too.

    Raises:
        AccountingError, RejectedTooMany, GateError: what was found, what was wanted.
    """
    config: PublishConfig = task.config
    pointer.refuse_older(before, config.run)
    if not task.inputs["embeddings"] or task.input("embeddings").run != config.run:
        raise GateError(f"run {config.run}: no committed embeddings of this run by model {task.model_id}")
    images, embeddings, labels = (task.input(table) for table in ("images", "embeddings", "labels"))
    chain = index_chain(task)
    index, metrics = chain[-1] if chain else None, task.inputs["metrics"][-1] if task.inputs["metrics"] else None
    _check_accounting(config, images, embeddings)
    _check_rejects(task, before)
    if before is not None and before.runs("index") and not chain:
        raise GateError(f"run {config.run}: it has no index, and the live run {before.run} has; build_index makes it")
    live = embeddings.details["embedded"] + embeddings.details["unchanged"]
    if labels.details["n_images"] != live:
        raise AccountingError(f"run {config.run}: {live} images are embedded, {labels.details['n_images']} have labels")
    if index is not None and index.details["live_rows"] != live:
        found = index.details["live_rows"]
        raise AccountingError(f"run {config.run}: {live} images are embedded, {found} can be found in the index")
    for made in (labels, index, metrics):
        if made is not None and made.model_id != task.model_id:
            raise GateError(f"run {config.run}: {made.table} is of model {made.model_id}, wanted {task.model_id}")
        if made is not None and made.vocabulary_id != task.vocabulary_id:
            found = f"{made.table} is of vocabulary {made.vocabulary_id}"
            raise GateError(f"run {config.run}: {found}, wanted {task.vocabulary_id}")
    _check_vectors(task, before)
    if index is not None:
        _check_recall(config, metrics)


def index_chain(task: Task) -> list[Manifest]:
    """This run's index and the runs it was made from, base first; empty if no index was built in this run.

    Raises:
        GateError: its base is missing.
    """
    runs = task.inputs["index"]
    if not runs or runs[-1].run != task.config.run:
        return []
    if not (found := shards.chain(runs)):
        raise GateError(f"run {task.config.run}: the base that its index was made from is missing")
    return found


def publish(task: Task, before: Live | None) -> None:
    """Make this run live, everything at once, instead of `before`.

    Raises:
        PointerMoved: somebody else published meanwhile.
        LeaseLost: the warehouse is no longer ours.
    """
    config: PublishConfig = task.config
    live = {**task.inputs, "index": index_chain(task)}
    entries = [(run.table, run.run) for runs in live.values() for run in runs]
    if before is not None and entries == before.pairs():
        say("publish_run", f"run {config.run} is live already; nothing to do")
        return
    task.check()
    pointer.swap(config.warehouse, entries, config.run, before)
    say("publish_run", f"run {config.run} is live ({f'before: {before.run}' if before else 'the first one'})")


def _check_accounting(config: PublishConfig, images: Manifest, embeddings: Manifest) -> None:
    found = embeddings.details
    parts = {key: found[key] for key in ("embedded", "rejected", "unchanged", "carried")}
    if images.rows != sum(parts.values()):
        raise AccountingError(
            f"run {config.run}: {images.rows} images are listed, but {parts} add up to another number"
        )


def _check_rejects(task: Task, before: Live | None) -> None:
    """Not too many of the images attempted tonight; nor of those of earlier nights that were never published."""
    config, tonight = task.config, task.input("embeddings").details
    runs = manifest.run_ids(config.warehouse, "embeddings")
    runs = [run for run in runs if run < config.run and (before is None or run > before.run)]
    kept = {pair for publication in pointer.history(config.warehouse) for pair in publication.pairs()}
    runs = [run for run in runs if ("embeddings", run) not in kept]
    counts = [(tonight["attempted"], tonight["rejected"], "attempted")]
    if any(manifest.find(config.warehouse, "embeddings", run) for run in runs):
        counts.append((*_count_since(task, kept), "that are in no publication yet"))
    for attempted, rejected, which in counts:
        if attempted >= ATTEMPTS_FOR_FRACTION and rejected > config.max_reject_fraction * attempted:
            raise RejectedTooMany(
                f"run {config.run}: {rejected} of {attempted} images {which} were rejected "
                f"({rejected / attempted:.1%}), wanted at most {config.max_reject_fraction:.1%}"
            )


def _count_since(task: Task, kept: set[tuple[str, str]]) -> tuple[int, int]:
    """Of tonight's images those that are in no publication yet, embedded or rejected, and of these the rejected ones.

    It goes over narrow rows of the corpus: for the nights after one that was not published.

    Args:
        kept: (table, run) of all publications that are kept.
    """

    def published(table: str) -> list[Manifest]:
        found = [manifest.find(task.config.warehouse, *pair) for pair in sorted(kept) if pair[0] == table]
        return [run for run in found if run and run.model_id == task.model_id]

    def rejected_in(runs: list[Manifest]) -> DataFrame:
        return tables.read(task.spark, task.config.warehouse, runs, schemas.REJECTS).select(CONTENT).distinct()

    live = find_live(task)
    rejects = rejected_in(task.inputs["rejects"]).join(task.read("images"), on=CONTENT, how="left_semi")
    rejects = rejects.join(live, on=CONTENT, how="left_anti")
    n_embedded = live.join(embedded(task, published("embeddings")), on=CONTENT, how="left_anti").count()
    n_rejected = rejects.join(rejected_in(published("rejects")), on=CONTENT, how="left_anti").count()
    return n_embedded + n_rejected, n_rejected


def _check_vectors(task: Task, before: Live | None) -> None:
    """Every vector that was added since `before` is finite and of unit length."""
    published = before.runs("embeddings") if before else []
    runs = [run for run in task.inputs["embeddings"] if run.run not in published]
    added = tables.read(task.spark, task.config.warehouse, runs, schemas.EMBEDDINGS)
    length = F.aggregate("embedding", F.lit(0.0), lambda total, x: total + x.cast("double") * x.cast("double"))
    bad = added.where(F.isnan(length) | (F.abs(length - 1) > 1e-3)).count()
    if bad:
        raise GateError(f"run {task.config.run}: {bad} embeddings are not finite unit vectors")


def _check_recall(config: PublishConfig, metrics: Manifest | None) -> None:
    measured = (metrics.details.get("recall", {}) if metrics else {}).get(str(RECALL_AT), {})
    if not measured and config.min_recall > 0:
        raise GateError(f"run {config.run}: the index's recall was not measured; run evaluate_model first")
    low = {kind: value for kind, value in measured.items() if value < config.min_recall}
    if low:
        raise GateError(
            f"run {config.run}: recall@{RECALL_AT} by query kind is {low}, wanted at least {config.min_recall}"
        )
