"""Build the sharded faiss index over every live image's embedding.

reads    images      (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model
writes   index       a template, and a faiss file with an id -> uri sidecar a shard
"""

from devise.config import IndexConfig
from devise.index import choose_kind
from devise.spark import index, job
from devise.spark.label import live_embeddings


def main(task: job.Task) -> None:
    config = task.config
    embeddings = task.stage(live_embeddings(task.read("images"), task.read("embeddings")), "embeddings")
    n_rows, dim = index.measure(embeddings)
    kind = choose_kind(n_rows, dim, config.memory_bytes, config.kind)
    job.say("build_index", f"{kind.factory} for {n_rows:,} x {dim}: {kind.reason}")
    folder, n_shards = task.folder("index"), -(-n_rows // config.rows_per_shard)
    template = index.train_template(embeddings, folder, kind, config.sample_rows, config.seed)
    task.written["index"] = index.fill_shards(embeddings, folder, template, n_shards, n_rows)
    task.details |= {
        "kind": kind.factory,
        "reason": kind.reason,
        "n_shards": n_shards,
        "dim": dim,
        "nprobe": kind.nprobe,
    }


JOB = job.Job(
    "build_index",
    IndexConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "all"},
    writes=("index",),
)

if __name__ == "__main__":
    job.run(JOB)
