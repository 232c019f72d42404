"""Write the night's page: what ran, how good it is, what changed, pictures for words, and a map that stays.

reads    plan, images, embeddings, rejects, thumbnails, labels, word_images, index, results and metrics of this run, the
         model, the vocabulary; label counts, places and map that are live
writes   label_counts (schemas.LABEL_COUNTS), map_images (schemas.MAP_IMAGES), and reports: the page and the frozen map
"""

from devise.config import ReportConfig
from devise.spark.frame import command, job
from devise.spark.stages.report import foresee, write_report


def main(task: job.Task) -> None:
    write_report(task)


JOB = job.Job(
    "report_run",
    ReportConfig,
    main,
    reads={
        **dict.fromkeys(("images", "plan", "labels"), "this"),
        **dict.fromkeys(("embeddings", "rejects"), "chain"),
        **dict.fromkeys(("model", "vocabulary"), "newest"),
        **dict.fromkeys(("word_images", "results", "metrics"), "any"),
        **dict.fromkeys(("index", "thumbnails"), "through"),
        **dict.fromkeys(("label_counts", "map_images", "reports"), "previous"),
    },
    writes=("label_counts", "map_images", "reports"),
    foresee=foresee,
)

if __name__ == "__main__":
    command.run(JOB)
