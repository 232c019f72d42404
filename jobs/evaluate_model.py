"""Measure the model on labelled images and the index against exact search.

reads    images, embeddings, model, vocabulary, index (if there is one of this run), labelled images,
         and the metrics that are live, whose recall holds on if the index has the same base
writes   label_metrics (schemas.LABEL_METRICS) and metrics (schemas.METRICS), and beside these a model card and pages
"""

from devise.config import EvaluateConfig
from devise.spark.frame import command, job
from devise.spark.stages.evaluate import evaluate, outside_files
from devise.spark.stages.pages import write_pages


def main(task: job.Task) -> None:
    found = evaluate(task)
    task.write("label_metrics", found.labels)
    task.write("metrics", found.metrics)
    write_pages(task, found)


JOB = job.Job(
    "evaluate_model",
    EvaluateConfig,
    main,
    reads={
        "images": "this",
        "model": "newest",
        "embeddings": "chain",
        "vocabulary": "newest",
        "index": "through",
        "metrics": "previous",
    },
    writes=("label_metrics", "metrics"),
    files=outside_files,
)

if __name__ == "__main__":
    command.run(JOB)
