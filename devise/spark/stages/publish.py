"""The gates that a run must pass before it is live, and the swap of the pointer; computes no table."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from devise.config import PublishConfig
from devise.errors import AccountingError, GateError, RejectedTooMany
from devise.search import shards
from devise.spark.frame import schemas, tables
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, count_live, embedded, find_live
from devise.warehouse import pointer
from devise.warehouse.lineage import Lineage
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live

ATTEMPTS_FOR_FRACTION = 100
RECALL_AT = 10


def check_gates(task: Task, before: Live | None) -> None:
    """Raise unless accounting, removed and reject fraction, vectors, labels, index and recall of this run all hold.

    Args:
        before: what is live. What was embedded and rejected since, by nights that were not published, is judged too.

    Raises:
        AccountingError, RejectedTooMany, GateError: what was found, what was wanted.
    """
    config: PublishConfig = task.config
    pointer.refuse_older(before, config.run)
    images, embeddings, labels = (task.input(table) for table in ("images", "embeddings", "labels"))
    chain = index_chain(task)
    index, metrics = chain[-1] if chain else None, task.inputs["metrics"][-1] if task.inputs["metrics"] else None
    _check_accounting(config, images, embeddings)
    _check_removed(task)
    _check_rejects(task)
    if before is not None and before.runs("index") and not chain:
        raise GateError(f"run {config.run}: it has no index, and the live run {before.run} has; build_index makes it")
    live = count_live(embeddings)
    if labels.details["n_images"] != live:
        raise AccountingError(f"run {config.run}: {live} images are embedded, {labels.details['n_images']} have labels")
    if index is not None and index.details["live_rows"] != live:
        found = index.details["live_rows"]
        raise AccountingError(f"run {config.run}: {live} images are embedded, {found} can be found in the index")
    for neighbours in task.inputs["neighbours"]:
        if (found := neighbours.details["n_images"]) != live:
            raise AccountingError(f"run {config.run}: {live} images are embedded, {found} were asked for neighbours")
    for made in (labels, index, metrics):
        if made is not None and made.model_id != task.model_id:
            raise GateError(f"run {config.run}: {made.table} is of model {made.model_id}, wanted {task.model_id}")
        if made is not None and made.vocabulary_id != task.vocabulary_id:
            found = f"{made.table} is of vocabulary {made.vocabulary_id}"
            raise GateError(f"run {config.run}: {found}, wanted {task.vocabulary_id}")
    _check_vectors(task, before)
    if index is not None:
        _check_recall(config, metrics)


def foresee(config: PublishConfig, lineage: Lineage, promised: Sequence[str]) -> None:
    """What the gates will want, as far as settings tell: asked before a night's first job.

    Args:
        promised: the tables that the stages before will make, in order.

    Raises:
        GateError: the gates cannot hold, whatever comes.
    """
    index = "index" in promised or lineage.this("index") is not None
    if (live := lineage.parent) and live.runs("index") and not index:
        raise GateError(f"run {config.run}: the live run {live.run} has an index, and build_index is no stage")
    after = promised[promised.index("index") :] if "index" in promised else promised
    measured = "metrics" in after or ("index" not in promised and lineage.this("metrics") is not None)
    if index and config.min_recall > 0 and not measured:
        raise GateError(
            f"run {config.run}: publish_run wants a measured recall of at least {config.min_recall:g}, and "
            "evaluate_model is no stage between build_index and it"
        )


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


def make_live(task: Task) -> None:
    """Make this run live once its gates hold; nothing is asked of one that is live already."""
    before = pointer.read(task.config.warehouse)
    if before is not None and _entries(task) == before.pairs():
        say("publish_run", f"run {task.config.run} is live already; nothing to do")
        return
    check_gates(task, before)
    publish(task, before)


def publish(task: Task, before: Live | None) -> None:
    """Make this run live, everything at once, instead of `before`.

    Raises:
        PointerMoved: somebody else published meanwhile.
        LeaseLost: the warehouse is no longer ours.
    """
    config: PublishConfig = task.config
    task.check()
    pointer.swap(config.warehouse, _entries(task), config.run, before, parent=task.lineage.number)
    say("publish_run", f"run {config.run} is live ({f'before: {before.run}' if before else 'the first one'})")


def _entries(task: Task) -> list[tuple[str, str]]:
    """(table, run) of all that is live with this run."""
    live = {**task.inputs, "index": index_chain(task)}
    return [(run.table, run.run) for runs in live.values() for run in runs]


def _check_accounting(config: PublishConfig, images: Manifest, embeddings: Manifest) -> None:
    found = embeddings.details
    parts = {key: found[key] for key in ("embedded", "rejected", "unchanged", "carried")}
    if images.rows != sum(parts.values()):
        raise AccountingError(
            f"run {config.run}: {images.rows} images are listed, but {parts} add up to another number"
        )


def _check_removed(task: Task) -> None:
    """Not too many live images are missing from tonight's listing."""
    config: PublishConfig = task.config
    live, plan = task.lineage.published("images"), task.input("plan").details
    if not live:
        return
    if plan["since"] == live[-1].run:
        removed = plan["removed"]
    else:  # another model: the plan starts from nothing
        before = tables.read(task.spark, config.warehouse, live, schemas.IMAGES).select("image_id", "uri")
        removed = before.join(task.read("images"), on=["image_id", "uri"], how="left_anti").count()
    total = sum(made.rows for made in live)
    if removed > config.max_removed_fraction * total and removed != config.accept_removed:
        raise GateError(
            f"run {config.run}: {removed} of {total} live images are no longer listed ({removed / total:.1%}), wanted "
            f"at most {config.max_removed_fraction:.1%}; if they were removed on purpose, say so: "
            f"--set publish_run.accept_removed={removed}"
        )


def _check_rejects(task: Task) -> None:
    """Not too many of the images attempted tonight; nor of those of earlier nights that were never published."""
    config, tonight = task.config, task.input("embeddings").details
    counts = [(tonight["attempted"], tonight["rejected"], "attempted")]
    beside = {pair for pair, _ in task.input("embeddings").made_from() if pair[0] == "embeddings"}
    if beside - {("embeddings", made.run) for made in task.lineage.published("embeddings")}:
        counts.append((*_count_since(task), "that are in no publication yet"))
    for attempted, rejected, which in counts:
        if attempted >= ATTEMPTS_FOR_FRACTION and rejected > config.max_reject_fraction * attempted:
            raise RejectedTooMany(
                f"run {config.run}: {rejected} of {attempted} images {which} were rejected "
                f"({rejected / attempted:.1%}), wanted at most {config.max_reject_fraction:.1%}"
            )


def _count_since(task: Task) -> tuple[int, int]:
    """Tonight's images that the parent publication lacks, embedded or rejected, and of these the rejected ones.

    It goes over narrow rows of the corpus: for the nights after one that was not published.
    """

    def published(table: str) -> list[Manifest]:
        return [run for run in task.lineage.published(table) if run.model_id == task.model_id]

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
