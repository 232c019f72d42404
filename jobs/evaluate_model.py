"""Measure the model on labelled images and the index against exact search.

reads    images, embeddings, vocabulary, index (if there is one of this run), labelled images,
         and the metrics that are live, whose recall holds on if the index has the same base
writes   metrics     (schemas.METRICS), one row a measured figure
"""

from devise.config import EvaluateConfig
from devise.facts import shipped
from devise.spark.frame import command, job
from devise.spark.stages.evaluate import evaluate
from devise.spark.stages.labelled import input_files


def main(task: job.Task) -> None:
    task.write("metrics", evaluate(task))


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
    writes=("metrics",),
    files=lambda config: [
        shipped.tag("hierarchy", config.hierarchy),
        *(file for split in config.splits for file in input_files(split.labelled)),
    ],
)

if __name__ == "__main__":
    command.run(JOB)
