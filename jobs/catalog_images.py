"""List the corpus as it is tonight.

reads    the sources (file:// or s3://), or an S3 Inventory of them
writes   images      (schemas.IMAGES), one row an object
"""

from devise.config import CatalogConfig
from devise.spark import job
from devise.spark.catalog import find_images, refuse_empty


def main(task: job.Task) -> None:
    config = task.config
    images = task.write("images", find_images(task.spark, config))
    refuse_empty(images.rows, config.sources)


JOB = job.Job("catalog_images", CatalogConfig, main, writes=("images",), files=lambda config: (config.inventory,))

if __name__ == "__main__":
    job.run(JOB)
