"""Check the gates, then make a run live, all of its tables at once.

reads    the manifests of this run, and the vectors that were added since the last publication
writes   live/live.json, by compare-and-set
"""

from devise.config import PublishConfig
from devise.spark.frame import command, job
from devise.spark.stages.publish import check_gates, publish
from devise.warehouse import pointer


def main(task: job.Task) -> None:
    before = pointer.settle(task.config.warehouse)
    check_gates(task, before)
    publish(task, before)


JOB = job.Job(
    "publish_run",
    PublishConfig,
    main,
    reads={
        "images": "this",
        "vocabulary": "newest",
        "model": "newest",
        "embeddings": "all",
        "rejects": "all",
        "labels": "this",
        "index": "all",
        "results": "any",
        "metrics": "any",
    },
    writes=(),
)

if __name__ == "__main__":
    command.run(JOB)
