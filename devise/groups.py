"""Groups of settings: what all jobs have, S3, labelled pictures and splits of them, the engine; no job, no file."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from devise.values import Count, Fraction, Positive, Section, Size, Text, Threads

RUN_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
SHIPPED_VECTORS = "wordnet"
"""The vectors that ship; anything else is a file."""
STARTER, TORCHVISION = "starter", "torchvision:"
"""Weights that packages bring: a name, and the beginning of names; anything else is a file."""
EXAMPLES = ("bird", "insect", "church", "clothing", "weapon", "ship", "ship + sail", "ship + engine")
"""What the night's page shows pictures of, unless it is told otherwise."""


def is_published(weights: str) -> bool:
    """Whether the setting names weights that a package brings, not a file."""
    return weights == STARTER or weights.startswith(TORCHVISION)


def refuse_halves(settings: Section, *pairs: tuple[str, str]) -> None:
    """`ValueError` if of a pair of settings one is given and the other is not."""
    for one, other in pairs:
        if (getattr(settings, one) is None) != (getattr(settings, other) is None):
            raise ValueError(f"{one} and {other}: found one of them, wanted both or neither")


class JobConfig(Section):
    """What every job has: where the tables live and which run this is."""

    warehouse: Text = Field(pattern=r"^[^*?{}\[\]\\]+$")
    """URI or path under which all tables, models and indices live; Spark would take `*?{}[]\\` in it for a pattern."""
    run: str = Field(pattern=RUN_PATTERN)
    """Run id given by the scheduler: letters, digits, dot, dash, underscore; later runs sort later."""

    def settings(self, only: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The choices that decide the output: all but where it is written and under which run; or `only` these."""
        return self.model_dump(mode="json", include=only and set(only), exclude={"warehouse", "run"})

    def config_hash(self, only: tuple[str, ...] | None = None) -> str:
        """64 hex digits over `settings()`; two runs with equal hashes and equal inputs make equal outputs."""
        return hashlib.sha256(json.dumps(self.settings(only), sort_keys=True).encode()).hexdigest()


class S3Config(Section):
    """How s3:// is reached, for every job. Credentials are no settings: they come from the standard AWS chain."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^/@]+/?$")
    """URL of an S3 server; default AWS's own, or what AWS_ENDPOINT_URL_S3 says."""
    path_style: bool = False
    """Bucket in the path of a request, not in the host's name; servers other than AWS mostly want it."""
    region: Text | None = None
    """Default: what the environment or the profile says."""
    requester_pays: bool = False
    """Agree to pay for requests on buckets that are set up so."""
    kms_key: Text | None = None
    """Encrypt what is written with this KMS key (SSE-KMS); default: as the bucket is set up."""


class LabelledConfig(Section):
    source: Text
    """A folder of class folders or wnid-named files; or a table with columns uri and label: CSV or Parquet, one file or
    a folder of parts."""
    kind: Literal["folders", "wnids", "table", "images"] = "folders"
    """How a picture's labels are found: by its folder's name, by the wnid in its path, or from the table. `images`: any
    pictures below the source, without labels; train_model alone takes them, with ConSE as their teacher."""
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


class SplitConfig(Section):
    name: Text
    """Name of the measured split, as it stands in the metrics table."""
    labelled: WithLabels
    candidates: Literal["given", "vocabulary"] | Annotated[list[Text], Field(min_length=1)] = "vocabulary"
    """Rank among the split's own labels, the whole vocabulary, or the labels listed."""


class GeneralisedConfig(Section):
    name: Text
    """Name of the pair, as it stands in the metrics table."""
    seen: Text
    zero_shot: Text
    """Names of two splits: each one's images are ranked among the labels of both. Their `candidates` play no part."""

    def refuse_others(self, names: list[str]) -> None:
        """`ValueError` unless two of these splits are meant."""
        if {self.seen, self.zero_shot} - set(names) or self.seen == self.zero_shot:
            found = f"{self.seen!r} and {self.zero_shot!r}"
            raise ValueError(f"generalised {self.name}: found {found}, wanted two of {names}")


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
