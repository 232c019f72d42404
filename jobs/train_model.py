"""Make the model: core visual model and projection, trained on labelled images or filled with class vectors.

reads    vocabulary (schemas.VOCABULARY), weights, labelled images, cached features (schemas.FEATURES)
writes   features    (schemas.FEATURES), of images new to the frozen network, and the model
"""

from devise.config import TrainConfig
from devise.spark.frame import command, job
from devise.spark.stages.labelled import input_files
from devise.spark.stages.train import train_model


def main(task: job.Task) -> None:
    train_model(task)


JOB = job.Job(
    "train_model",
    TrainConfig,
    main,
    reads={"vocabulary": "newest", "features": "cache"},
    writes=("features", "model"),
    files=lambda config: [
        config.weights_file,
        *(input_files(config.labelled) if config.labelled else ()),
        config.held_out_file.partition("#")[0] if config.held_out_file else None,
    ],
    reuse=True,
)

if __name__ == "__main__":
    command.run(JOB)
