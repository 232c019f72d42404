"""List the corpus as it is tonight.

reads    the sources (file:// or s3://)
writes   images      (schemas.IMAGES), one row an object
"""

from devise.config import CatalogConfig
from devise.spark import job
from devise.spark.catalog import list_images, refuse_empty


def main(task: job.Task) -> None:
    config = task.config
    images = task.write("images", list_images(task.spark, config.sources, config.include, config.exclude))
    refuse_empty(images.rows, config.sources)


JOB = job.Job("catalog_images", CatalogConfig, main, writes=("images",))

if __name__ == "__main__":
    job.run(JOB)
