"""Label every live image with its best words, and list the best images of every word.

reads    plan        (schemas.PLAN), images (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model,
                     vocabulary (schemas.VOCABULARY), and the labels that are live, whose images are not labelled again
writes   labels      (schemas.LABELS), k rows an image
         word_images (schemas.WORD_IMAGES), images_per_label rows a label
"""

from devise.config import LabelConfig
from devise.facts import shipped
from devise.spark.frame import command, job
from devise.spark.stages import label


def main(task: job.Task) -> None:
    label.write_labels(task)


JOB = job.Job(
    "label_images",
    LabelConfig,
    main,
    reads={
        "images": "this",
        "plan": "this",
        "model": "newest",
        "embeddings": "chain",
        "vocabulary": "newest",
        "labels": "previous",
    },
    writes=("word_images", "labels"),
    files=lambda config: [None if config.deny == "none" else shipped.tag("deny", config.deny)],
)

if __name__ == "__main__":
    command.run(JOB)
