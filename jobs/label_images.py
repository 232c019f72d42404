"""Label every live image with its nearest words.

reads    images      (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model, vocabulary (schemas.VOCABULARY),
                     and the labels that are live, whose unchanged images are not labelled again
writes   labels      (schemas.LABELS), k rows an image
"""

from devise.config import LabelConfig
from devise.spark.frame import command, job
from devise.spark.frame.live import find_live, read_embeddings
from devise.spark.stages import label


def main(task: job.Task) -> None:
    config, live = task.config, task.stage(find_live(task), "live")  # asked for three times
    carried = label.carried_labels(task, live)
    new = task.stage(live.join(carried.where("rank = 1"), on=["image_id", "uri"], how="left_anti"), "new")
    embeddings = read_embeddings(task, new)
    labels = label.label_images(embeddings, config.warehouse, task.input("vocabulary"), config.k, config.candidates)
    staged = task.stage(labels, "labels")
    label.write_labels(task, carried, label.identify(staged, task.model_id, task.vocabulary_id))


JOB = job.Job(
    "label_images",
    LabelConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "chain", "vocabulary": "newest", "labels": "previous"},
    writes=("labels",),
)

if __name__ == "__main__":
    command.run(JOB)
