"""Run a whole night in one Spark application: the jobs that `run_nightly.stages` names, in order.

Each stage commits by itself: a night that was stopped goes on where it was, a stage that is done is skipped.
"""

from devise.jobs import (
    build_index,
    build_vocabulary,
    catalog_images,
    embed_images,
    evaluate_model,
    find_neighbours,
    label_images,
    plan_images,
    publish_run,
    report_run,
    search_images,
    train_model,
)
from devise.spark.frame import command

MODULES = (
    *(build_vocabulary, train_model, catalog_images, plan_images, embed_images, label_images, build_index),
    *(find_neighbours, search_images, evaluate_model, report_run, publish_run),
)
JOBS = {module.JOB.name: module.JOB for module in MODULES}

if __name__ == "__main__":
    command.run_in_order("run_nightly", __doc__, JOBS)
