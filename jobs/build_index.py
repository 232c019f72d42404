"""Build the sharded faiss index over every live image's embedding.

reads    images (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model, vocabulary (words to tune on)
writes   index  a template, and a faiss file with an id -> uri sidecar a shard
"""

from devise.config import IndexConfig
from devise.spark import job
from devise.spark.index import build_index


def main(task: job.Task) -> None:
    build_index(task)


JOB = job.Job(
    "build_index",
    IndexConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "all", "vocabulary": "newest"},
    writes=("index",),
)

if __name__ == "__main__":
    job.run(JOB)
