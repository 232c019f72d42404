"""Groups of settings that sections of several jobs have: labelled pictures, the embed engine; knows no job, no file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from devise.values import Count, Fraction, Positive, Section, Size, Text, Threads


class LabelledConfig(Section):
    source: Text
    """A folder of class folders or wnid-named files; or a table with columns uri and label: CSV or Parquet, one file or
    a folder of parts."""
    kind: Literal["folders", "wnids", "table", "images"] = "folders"
    """How a picture's labels are found: by its folder's name, by the wnid in its path, or from the table. `images`: any
    pictures below the source, without labels; train_model alone takes them, with ConSE as their teacher."""
    names: Text | None = None
    """kind wnids: class table that names each wnid, or `imagenet1k`. kind folders: JSON, folder name -> label, or
    groups of those."""
    only: Text | None = None
    """With a JSON file of groups in `names`: the group to use."""
    fraction: Annotated[Fraction, Field(gt=0)] = 1.0
    """Share of the pictures to use, drawn by hash of the uri."""

    @model_validator(mode="after")
    def _names_fit_the_kind(self) -> "LabelledConfig":
        if self.only is not None and (self.names is None or self.kind != "folders"):
            raise ValueError("only: names a group of the JSON file in `names`, for kind folders alone")
        if self.kind == "wnids" and self.names is None:
            raise ValueError("labels by wnid need `names`, a class table")
        if self.kind == "table" and self.names is not None:
            raise ValueError("names: has no effect on kind table, whose labels are in the table")
        if self.kind == "images" and self.names is not None:
            raise ValueError("names: has no effect on kind images, which have no labels")
        return self


def _labels(config: LabelledConfig) -> LabelledConfig:
    if config.kind == "images":
        raise ValueError("kind images: has no labels to measure with")
    return config


WithLabels = Annotated[LabelledConfig, AfterValidator(_labels)]
"""Pictures of which it is known what they show."""


class FinetuneConfig(Section):
    """Training of core and projection together, from the pictures, after the projection was fitted to the features."""

    processes: Count = 1
    """Processes that train side by side, each a Spark task of one barrier stage; on cards, one a card."""
    layers: Count | None = None
    """So many of the core's last layers with weights (convolutions, linear maps) train; default all."""
    epochs: Count = 10
    """Passes over the pictures at most; training stops once the watched classes get no better."""
    learning_rate: Positive = 1e-4
    """At its peak: it rises for the first quarter of the steps, then falls to 0."""
    batch_size: Count = 32
    """Pictures a step, of all processes together."""
    watched: Annotated[Fraction, Field(gt=0, lt=1)] = 0.1
    """Share of the labels, drawn by `seed`, whose pictures only tell when to stop."""


class EngineConfig(Section):
    device: Literal["auto", "cuda", "cpu"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: Annotated[Count, Field(le=65_536)] | None = None
    """Pictures per pass through the network; default 8 on a CPU, 256 on a GPU."""
    threads: Threads | None = None
    """Threads per Python worker that decode and (on a CPU) infer; default spark.task.cpus."""
    fetch_threads: Threads = 16
    """Threads per Python worker that read objects ahead; S3 begins an answer after some 25 ms, so few are too few."""
    requests_per_second: Positive | None = None
    """Cap on the GETs of images a second of the whole job, shared by the tasks that run at one time; default none."""
    max_pixels: Size = 100_000_000
    """Larger pictures are rejected from their header, undecoded."""
    max_bytes: Size = 512 * 2**20
    """Objects listed with more are rejected, never fetched; the default holds 100 raw megapixels with alpha."""
    max_inflight_bytes: Size = 256 * 2**20
    """Bytes of encoded pictures that a worker may hold at once."""
