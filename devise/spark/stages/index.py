"""The index stage: a base, or what changed since one, and the search effort of a base; faiss: `devise.search.index`."""

from collections.abc import Sequence
from dataclasses import asdict

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from devise.config import IndexConfig
from devise.errors import IndexingError
from devise.search import kinds, shards
from devise.search.kinds import Kind
from devise.spark.frame.columns import refuse_other_dims
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import find_change, read_live
from devise.spark.frame.tables import Written
from devise.spark.stages import delta, recall
from devise.spark.stages.fill import SIDECAR, centroid_score, fill_shards, rows_per_shard, train_template
from devise.warehouse.lineage import Lineage

RECALL_AT = 10
QUICK_PART = 8
"""An eighth of the lists is tried first: to visit all of them takes longer than to fill the shard."""


def build_index(task: Task) -> None:
    """Add the night's change to the chain of runs that goes back to a base, or build a base where that is better."""
    chain, change = shards.chain(task.inputs["index"]), find_change(task)
    reason = delta.why_base(task, chain, change) or delta.too_much(task, chain, change)
    if reason is None:
        delta.write_delta(task, chain, change)
    else:
        build_base(task, reason)


def foresee(config: IndexConfig, lineage: Lineage, promised: Sequence[str]) -> None:
    """Refuse more images than the memory holds, as soon as it is known how many are listed: before they are embedded.

    Raises:
        IndexingError: what `memory_bytes` holds is less than all images of the run need, at 8 bits a number.
    """
    images, vocabulary = lineage.this("images"), lineage.newest("vocabulary")
    to_be_built = "vocabulary" in promised and lineage.this("vocabulary") is None
    if images is not None and vocabulary is not None and not to_be_built:
        kinds.choose_kind(images.rows, vocabulary.details["dim"], config.memory_bytes, config.kind)


def build_base(task: Task, reason: str) -> None:
    """Choose the kind, train the template, fill the shards with all that is live, and settle nprobe by kind of query.

    Args:
        reason: why a base, for the line that is printed and the manifest.
    """
    config: IndexConfig = task.config
    decision = f"a base: {reason}"
    say("build_index", decision)
    embeddings, n_rows, dim = stage_measured(task, read_live(task))
    kind = kinds.choose_kind(n_rows, dim, config.memory_bytes, config.kind, config.sample_rows)
    n_trained = kinds.count_training_rows(n_rows, kind.nlist, config.sample_rows)
    per_shard = rows_per_shard(task, kind.factory, dim)
    folder, n_shards = task.folder("index"), -(-n_rows // per_shard)
    told = config.memory_bytes, config.sample_rows, config.tune_queries, config.target_recall
    for line in kinds.explain(kind, n_rows, dim, *told):
        say("build_index", line)
    say("build_index", f"{n_shards:,} shards of {per_shard:,} rows at most")
    if n_trained < kinds.TRAIN_ROWS_PER_LIST * kind.nlist:
        say("build_index", f"{kind.nlist:,} lists want {kinds.TRAIN_ROWS_PER_LIST} rows each to be trained well")
    file = train_template(embeddings, folder, kind, n_trained, n_rows, config.seed)
    template = shards.template(folder, [file])
    files = fill_shards(embeddings, folder, template, n_shards, n_rows)
    task.written["index"] = Written(SIDECAR.names, [file, *files])
    task.bases.add("index")
    task.details |= {"kind": kind.factory, "reason": kind.reason, "n_shards": n_shards, "dim": dim}
    task.details |= {"layout": shards.LAYOUT, "rows_per_shard": per_shard, "trained_rows": n_trained}
    task.details |= {"decision": decision, "base": config.run, "added": n_rows, "hidden": 0, "live_rows": n_rows}
    task.details["centroid_score"] = centroid_score(embeddings, template, n_rows, config.seed) if kind.nlist else None
    task.details |= settle_nprobe(task, embeddings, kind)


def settle_nprobe(task: Task, embeddings: DataFrame, kind: Kind) -> dict[str, dict]:
    """The least nprobe of each kind of query that reaches the target recall in the shards just written.

    Words are far from the vectors that trained the lists, and need many times the effort of images.

    Returns:
        nprobe by kind, and tuning: by kind, what the choice rests on. A kind without queries keeps the first guess.
    """
    config: IndexConfig = task.config
    nprobe = dict.fromkeys(recall.KINDS, kind.nprobe)
    if kind.nlist == 0:
        say("build_index", f"{kind.factory} has no lists: no nprobe to settle")
        return {"nprobe": nprobe, "tuning": {}}
    queries = recall.draw_queries(embeddings, task.read("vocabulary"), config.tune_queries, config.seed, "tune")
    refuse_other_dims(len(queries.vectors[0]), len(queries.vectors[-1]))  # images come first, words last
    exact = recall.exact_neighbours(embeddings, queries, RECALL_AT)
    folder, files = task.folder("index"), task.written["index"].files
    filled = shards.of_run(folder, files, task.details["n_shards"], shards.template(folder, files))
    tried: dict[str, dict[int, float]] = {name: {} for name in recall.KINDS if name in queries.kinds}
    steps = kinds.nprobe_steps(kind.nlist)
    quick = [nprobe for nprobe in steps if nprobe <= kind.nlist // QUICK_PART]
    for part in (quick, steps[len(quick) :]):
        names = [name for name, found in tried.items() if max(found.values(), default=-1.0) < config.target_recall]
        if part and names:
            chosen = recall.select(queries, exact, names)
            for name, found in recall.recall_by_nprobe(task.spark, *chosen, filled, part, RECALL_AT).items():
                tried[name] |= found
    tuning = {}
    for name, found in tried.items():
        effort, n_queries = kinds.settle_nprobe(found, config.target_recall), queries.kinds.count(name)
        nprobe[name] = effort.nprobe
        tuning[name] = {**asdict(effort), "n_queries": n_queries}
        say("build_index", f"{name} queries: {effort.describe(kind.nlist, config.target_recall)}, n = {n_queries:,}")
    return {"nprobe": nprobe, "tuning": tuning}


def stage_measured(task: Task, embeddings: DataFrame) -> tuple[DataFrame, int, int]:
    """The embeddings, staged, their number and dim; both are counted on the way: to ask later is to read all again.

    Raises:
        IndexingError: there is nothing to index, or the vectors differ in length.
    """
    told, size = Observation("embeddings"), F.size("embedding")
    told_of_each = F.count(F.lit(1)).alias("n"), F.min(size).alias("least"), F.max(size).alias("most")
    staged = task.stage(embeddings.observe(told, *told_of_each), "embeddings")
    if not told.get["n"] or told.get["least"] != told.get["most"]:
        dims = sorted({told.get["least"], told.get["most"]}) if told.get["n"] else []
        raise IndexingError(f"embeddings of dims {dims}, wanted one dim and at least one row")
    return staged, told.get["n"], told.get["most"]
