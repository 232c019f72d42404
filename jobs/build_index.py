"""Build the sharded faiss index over every live image's embedding, or add a night's change to it.

reads    plan (schemas.PLAN), images (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model,
         vocabulary (words to tune on), and earlier runs of index
writes   index  a base: a template, and a shard's faiss file, id -> uri, etag sidecar, and exact rows if it needs them;
                else the shards of what is new, and tombstones (image_id) of what older runs hold no more
"""

from devise.config import IndexConfig
from devise.spark.frame import command, job
from devise.spark.stages.index import build_index, foresee


def main(task: job.Task) -> None:
    build_index(task)


JOB = job.Job(
    "build_index",
    IndexConfig,
    main,
    reads={
        "images": "this",
        "plan": "this",
        "model": "newest",
        "embeddings": "chain",
        "vocabulary": "newest",
        "index": "before",
    },
    writes=("index",),
    foresee=foresee,
)

if __name__ == "__main__":
    command.run(JOB)
