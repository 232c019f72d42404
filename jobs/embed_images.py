"""Embed every new or changed image of the catalogue into word-vector space.

reads    plan        (schemas.PLAN; it is made first unless plan_images did), the model, and earlier runs of
                     embeddings, rejects and thumbnails by the same model
writes   rejects     (schemas.REJECTS) and embeddings (schemas.EMBEDDINGS), one row an image attempted
         thumbnails  (schemas.THUMBNAILS) of as many of the embedded ones as `thumbnails` asks for
"""

from devise.config import EmbedConfig
from devise.jobs import plan_images
from devise.spark.frame import command, job
from devise.spark.stages import embed


def main(task: job.Task) -> None:
    embed.embed_plan(task)


JOB = job.Job(
    "embed_images",
    EmbedConfig,
    main,
    reads={
        "images": "this",
        "plan": "this",
        "model": "newest",
        "embeddings": "before",
        "rejects": "before",
        "thumbnails": "before",
    },
    writes=("rejects", "thumbnails", "embeddings"),
    first=plan_images.JOB,
)

if __name__ == "__main__":
    command.run(JOB)
