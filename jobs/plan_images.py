"""Find what the night changes: what is to be embedded, and what is live no more. `embed_images` begins with it.

By itself it is for clusters: it needs no GPU. Its settings are those of the section embed_images.

reads    images      (schemas.IMAGES) of this run and those that are live; embeddings, rejects and thumbnails of earlier
                     runs
writes   plan        (schemas.PLAN); on a base's night also the rows of earlier runs that stand, for embed_images
"""

from devise.config import EmbedConfig
from devise.spark.frame import command, job
from devise.spark.stages import accounting
from devise.spark.stages.plan import plan_images


def main(task: job.Task) -> None:
    plan_images(task)


JOB = job.Job(
    "plan_images",
    EmbedConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "before", "rejects": "before", "thumbnails": "before"},
    writes=("plan",),
    foresee=accounting.refuse_unknown_codes,
    section="embed_images",
    deciding=("retry_codes", "nights_per_base", "thumbnails"),
)

if __name__ == "__main__":
    command.run(JOB)
