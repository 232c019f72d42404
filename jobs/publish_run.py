"""Check the gates, then make a run live, all of its tables at once.

reads    the manifests of this run, and the vectors that were added since the last publication
writes   live/current/live.json, by compare-and-set
"""

from devise.config import PublishConfig
from devise.spark.frame import command, job
from devise.spark.stages.publish import foresee, make_live


def main(task: job.Task) -> None:
    make_live(task)


JOB = job.Job(
    "publish_run",
    PublishConfig,
    main,
    reads={
        "images": "this",
        "plan": "this",
        "vocabulary": "newest",
        "model": "newest",
        **dict.fromkeys(("embeddings", "rejects", "thumbnails"), "chain"),
        "labels": "this",
        "word_images": "any",
        "index": "through",
        **dict.fromkeys(("neighbours", "results", "label_metrics", "metrics"), "any"),
        **dict.fromkeys(("label_counts", "map_images", "reports"), "any"),
    },
    writes=(),
    foresee=foresee,
)

if __name__ == "__main__":
    command.run(JOB)
