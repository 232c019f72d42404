"""A job whose workers do nothing for minutes, for tests of what ends it; takes the arguments of every job."""

import time
from pathlib import Path

from devise.config import CatalogConfig
from devise.spark.frame import command, job


def main(task: job.Task) -> None:
    started = Path(task.config.sources[0]) / "started"

    def wait(batches):
        started.touch()
        time.sleep(300)
        yield from batches

    task.spark.range(2).mapInArrow(wait, "id long").collect()


JOB = job.Job("catalog_images", CatalogConfig, main, writes=())

if __name__ == "__main__":
    command.run(JOB)
