"""Find the images nearest to every live image, mark near-duplicates, and name their groups.

reads    plan (schemas.PLAN), images (schemas.IMAGES), embeddings (schemas.EMBEDDINGS) of this model, this run's index,
         and the neighbours that are live, of which rows stand
writes   neighbours  (schemas.NEIGHBOURS), at most k rows an image
"""

from devise.config import NeighboursConfig
from devise.spark.frame import command, job
from devise.spark.stages import neighbours


def main(task: job.Task) -> None:
    neighbours.write_neighbours(task)


JOB = job.Job(
    "find_neighbours",
    NeighboursConfig,
    main,
    reads={
        "images": "this",
        "plan": "this",
        "model": "newest",
        "embeddings": "chain",
        "index": "chain",
        "neighbours": "previous",
    },
    writes=("neighbours",),
)

if __name__ == "__main__":
    command.run(JOB)
