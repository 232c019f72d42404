"""Groups of settings: labelled pictures, splits of them to measure on, the embed engine; knows no job, no file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from devise.values import Count, Fraction, Positive, Section, Size, Text, Threads


class LabelledConfig(Section):
    source: Text
    """A folder of class folders or wnid-named files; or a table with columns uri and label: CSV or Parquet, one file or
    a folder of parts."""
    kind: Literal["folders", "wnids", "table"] = "folders"
    """How a picture's labels are found: by its folder's name, by the wnid in its path, or from the table."""
    names: Text | None = None
    """kind wnids: class table that names each wnid, `imagenet1k`, or `wordnet`, which names all of them. kind folders:
    JSON, folder name -> label, or groups of those."""
    hops: Literal[2, 3] | None = None
    """With names `wordnet`: only ImageNet's 2-hop or 3-hop labels, as zero-shot papers call them: at most 1 or 2 edges
    of WordNet from one of the 1,000 classes, and none of these (docs/quality.md)."""
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
        if self.hops is not None and (self.kind, self.names) != ("wnids", "wordnet"):
            raise ValueError("hops: are told by kind wnids with names wordnet alone")
        if self.kind == "table" and self.names is not None:
            raise ValueError("names: has no effect on kind table, whose labels are in the table")
        return self


class SplitConfig(Section):
    name: Text
    """Name of the measured split, as it stands in the metrics table."""
    labelled: LabelledConfig
    candidates: Literal["given", "vocabulary"] | Annotated[list[Text], Field(min_length=1)] = "vocabulary"
    """Rank among the split's own labels, the whole vocabulary, or the labels listed."""


class GeneralisedConfig(Section):
    name: Text
    """Name of the pair, as it stands in the metrics table."""
    seen: Text
    zero_shot: Text
    """Names of two splits: each one's images are ranked among the labels of both. Their `candidates` play no part."""


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
