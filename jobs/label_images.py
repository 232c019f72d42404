"""Label every live image with its nearest words.

reads    images      (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model, vocabulary (schemas.VOCABULARY)
writes   labels      (schemas.LABELS), k rows an image
"""

from devise.config import LabelConfig
from devise.spark import job
from devise.spark.label import label_images, live_embeddings, sort_labels


def main(task: job.Task) -> None:
    config = task.config
    embeddings = live_embeddings(task.read("images"), task.read("embeddings"))
    labels = label_images(embeddings, config.warehouse, task.input("vocabulary"), config.k, config.candidates)
    task.write("labels", sort_labels(labels, task.model_id, task.vocabulary_id))


JOB = job.Job(
    "label_images",
    LabelConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "all", "vocabulary": "newest"},
    writes=("labels",),
)

if __name__ == "__main__":
    job.run(JOB)
