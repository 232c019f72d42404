"""Label every live image with its nearest words.

reads    images      (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model, vocabulary (schemas.VOCABULARY),
                     and the labels of the run before, whose unchanged images are not labelled again
writes   labels      (schemas.LABELS), k rows an image
"""

from devise.config import LabelConfig
from devise.spark import command, job, label


def main(task: job.Task) -> None:
    config = task.config
    embeddings = label.live_embeddings(task.read("images"), task.read("embeddings"))
    carried = label.carried_labels(task)
    new = embeddings.join(carried.where("rank = 1"), on=["image_id", "uri"], how="left_anti")
    labels = label.label_images(new, config.warehouse, task.input("vocabulary"), config.k, config.candidates)
    staged = task.stage(labels, "labels")
    rows = carried.unionByName(label.identify(staged, task.model_id, task.vocabulary_id))
    label.count(task, task.write("labels", label.sort_labels(rows)).rows, staged.count())


JOB = job.Job(
    "label_images",
    LabelConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "all", "vocabulary": "newest", "labels": "previous"},
    writes=("labels",),
)

if __name__ == "__main__":
    command.run(JOB)
