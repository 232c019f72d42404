"""Label every live image with its nearest words.

reads    images      (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model, vocabulary (schemas.VOCABULARY)
writes   labels      (schemas.LABELS), k rows an image
"""

from devise.config import LabelConfig
from devise.spark import job
from devise.spark.label import count_labelled, label_images, live_embeddings, sort_labels


def main(task: job.Task) -> None:
    config = task.config
    embeddings = live_embeddings(task.read("images"), task.read("embeddings"))
    labels = label_images(embeddings, config.warehouse, task.input("vocabulary"), config.k, config.candidates)
    written = task.write("labels", sort_labels(labels, task.model_id, task.vocabulary_id))
    n_labels = len(config.candidates) if config.candidates else task.input("vocabulary").rows
    task.details["n_images"] = count_labelled(written.rows, config.k, n_labels)


JOB = job.Job(
    "label_images",
    LabelConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "all", "vocabulary": "newest"},
    writes=("labels",),
)

if __name__ == "__main__":
    job.run(JOB)
