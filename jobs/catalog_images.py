"""List the corpus as it is tonight.

reads    the sources (file:// or s3://), or an S3 Inventory of them
writes   images      (schemas.IMAGES), one row an object
"""

from devise.config import CatalogConfig
from devise.spark.frame import command, job
from devise.spark.frame.metering import tally
from devise.spark.stages.catalog import (
    find_images,
    refuse_empty,
    refuse_missing,
    tell_passed_over,
    watch_sources,
    watched,
)


def main(task: job.Task) -> None:
    config = task.config
    listed = tally(task.spark.sparkContext)
    images, passed_over = find_images(task.spark, config, listed)
    if config.inventory:  # of a listing the plan has looked
        images, found = watch_sources(images, config.sources)
    with watched(task, listed):
        rows = task.write("images", images).rows
    tell_passed_over(task, rows, passed_over)
    refuse_empty(rows, config.sources)
    if config.inventory:
        refuse_missing(found, config.sources, config.inventory)


JOB = job.Job("catalog_images", CatalogConfig, main, writes=("images",), files=lambda config: (config.inventory,))

if __name__ == "__main__":
    command.run(JOB)
