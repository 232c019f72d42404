"""A night's change of the index: whether it is little enough to be added to a chain, and its files.

What changed is the plan's word (`live.find_change`): embeddings gained are added, those lost are hidden.
"""

from collections.abc import Sequence

from devise.config import IndexConfig
from devise.errors import AccountingError
from devise.search import shards
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import Change, count_live
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


def why_base(task: Task, chain: Sequence[Manifest], change: Change | None) -> str | None:
    """Why the change cannot be added to the chain, so that a base is needed; None if it can."""
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
    if change is None or chain[-1].inputs["images"][0].split()[0] != change.since:
        return f"the night's change does not start from the images of run {chain[-1].run}"
    if not hides_ids(base.details["kind"], base.details["dim"]):
        return f"a search of {base.details['kind']} cannot leave ids out"
    return None


def too_much(task: Task, chain: Sequence[Manifest], change: Change) -> str | None:
    """Why a base is better than to add this change to the chain; None if it is not."""
    config: IndexConfig = task.config
    base, since = chain[0], _since_base(chain, change)
    if since > config.rebuild_fraction * base.rows:
        return (
            f"{since:,} rows added and hidden since base {base.run} are more than "
            f"{config.rebuild_fraction:g} of its {base.rows:,}"
        )
    anew = task.inputs["embeddings"][0]
    hidden = sum(run.details["hidden"] for run in chain[1:] if run.run <= anew.run)
    hidden += change.n_lost if anew.run == config.run else 0
    if hidden and anew.base and anew.run > base.run:
        return f"{hidden:,} rows are hidden in base {base.run}, and run {anew.run} dropped such rows of the embeddings"
    if base.details["centroid_score"] is not None and change.n_gained >= DRIFT_ROWS:
        score = centroid_score(change.embeddings, _template(task, base), change.n_gained, config.seed)
        task.details["drift"] = base.details["centroid_score"] - score
        if task.details["drift"] > config.max_drift:
            return (
                f"{change.n_gained:,} added rows score {score:.3f} with their centroids, those of base {base.run} "
                f"{base.details['centroid_score']:.3f}: a drift of more than {config.max_drift:g}"
            )
    return None


def write_delta(task: Task, chain: Sequence[Manifest], change: Change) -> None:
    """Write the shards of what is new and the tombstones of what is hidden; neither where nothing changed.

    Raises:
        AccountingError: what a search can then find is not what is live.
    """
    config: IndexConfig = task.config
    base, folder, files = chain[0], task.folder("index"), []
    per_shard = rows_per_shard(task, base.details["kind"], base.details["dim"])
    n_shards = -(-change.n_gained // per_shard)
    if change.n_gained:
        files += fill_shards(change.embeddings, folder, _template(task, base), n_shards, change.n_gained)
    if change.n_lost:
        files += write_tombstones(change.lost, folder, change.n_lost)
    live_rows = chain[-1].details["live_rows"] + change.n_gained - change.n_lost
    if live_rows != (live := count_live(task.inputs["embeddings"][-1])):
        raise AccountingError(
            f"{folder}: {live_rows} rows can be found in base {base.run} and the runs since, wanted {live}, "
            "one a live embedding"
        )
    since = _since_base(chain, change)
    decision = (
        f"a delta on base {base.run}: {change.n_gained:,} rows added, {change.n_lost:,} hidden, {live_rows:,} live; "
        f"{since:,} since the base are at most {config.rebuild_fraction:g} of its {base.rows:,}"
    )
    say("build_index", decision)
    task.written["index"] = Written(SIDECAR.names, files)
    task.details |= {name: base.details[name] for name in INHERITED} | {
        "decision": decision,
        "base": base.run,
        "n_shards": n_shards,
        "rows_per_shard": per_shard,
        "added": change.n_gained,
        "hidden": change.n_lost,
        "live_rows": live_rows,
    }


def _since_base(chain: Sequence[Manifest], change: Change) -> int:
    """Rows added and rows hidden since the chain's base, tonight's too."""
    return change.n_gained + change.n_lost + sum(run.details["added"] + run.details["hidden"] for run in chain[1:])


def _template(task: Task, base: Manifest) -> shards.Stored:
    return shards.template(manifest.folder(task.config.warehouse, base.table, base.run), base.files)
