"""Embed every new or changed image of the catalogue into word-vector space.

reads    images      (schemas.IMAGES), the model, and earlier runs of embeddings and rejects by the same model
writes   rejects     (schemas.REJECTS) and embeddings (schemas.EMBEDDINGS), one row an image attempted
"""

from devise.config import EmbedConfig
from devise.spark.frame import command, job
from devise.spark.stages import accounting, embed


def main(task: job.Task) -> None:
    config, model = task.config, task.input("model")
    judged = accounting.judge_images(
        task.read("images"), task.read("embeddings"), task.read("rejects"), config.retry_codes
    )
    todo, listed = accounting.stage_todo(task, judged)
    n_tasks = embed.count_tasks(listed["todo"], config.images_per_task, embed.count_slots(task.spark))
    outcomes = embed.embed_images(
        todo.where("state = 'todo'"), config.warehouse, model, config.engine, config.exchange, n_tasks
    )
    accounting.write_outcomes(task, outcomes, todo, judged, listed)


JOB = job.Job(
    "embed_images",
    EmbedConfig,
    main,
    reads={"images": "this", "model": "newest", "embeddings": "before", "rejects": "before"},
    writes=("rejects", "embeddings"),
    foresee=accounting.refuse_unknown_codes,
)

if __name__ == "__main__":
    command.run(JOB)
