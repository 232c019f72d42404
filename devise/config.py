"""One frozen model per job, and what all share; knows no file, no Spark, no storage, no arrays.

pydantic checks kinds and ranges and refuses unknown keys; `devise.settings` reads the sections of a file into them.
`warehouse` and `s3` are top-level keys that every job shares; `run` comes from the command line.
"""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from devise import groups
from devise.groups import EngineConfig, FinetuneConfig, GeneralisedConfig, JobConfig, LabelledConfig, SplitConfig
from devise.values import ENDINGS_READ, Count, Fraction, Levels, Positive, Real, Seed, Side, Size, Text, Whole, once

SECTIONS = (
    "build_vocabulary", "train_model", "catalog_images", "embed_images", "label_images", "build_index",
    "find_neighbours", "search_images", "evaluate_model", "report_run", "publish_run", "run_nightly",
)  # fmt: skip
"""The jobs, each with a section of its name."""


class CatalogConfig(JobConfig):
    sources: list[Text] = Field(min_length=1)
    """Prefixes to list, file:// or s3:// or plain local folders."""
    include: Annotated[list[Text], Field(min_length=1)] = [f"*.{ending}" for ending in ENDINGS_READ]
    """Shell patterns on the key below the prefix, letters' case ignored; an object must match one, or is counted by
    its ending. Default: every format that is read; names without an ending may be anything: `*` alone lists them."""
    exclude: list[Text] = []
    """Shell patterns on the key below the prefix; an object that matches one is left out."""
    fan_out: list[Annotated[str, Field(min_length=1)]] = []
    """For s3:// sources with very many objects in one folder: how keys go on below the source, such as 00 to ff. The
    stretches from each text to the next are listed side by side; what starts with none of them is in one of those."""
    inventory: Text | None = None
    """URI of the manifest.json of an S3 Inventory (Parquet or CSV, with Size, LastModifiedDate and ETag), read instead
    of listing. It is as old as its date: what is gone or changed since is a reject, what is new is in the next one."""

    @model_validator(mode="after")
    def _only_on_s3(self) -> "CatalogConfig":
        local = [source for source in self.sources if not source.startswith(("s3://", "s3a://", "s3n://"))]
        if self.fan_out and self.inventory:
            raise ValueError("fan_out cuts a listing and inventory replaces it: set one of them")
        if local and (self.fan_out or self.inventory):
            raise ValueError(f"{'fan_out' if self.fan_out else 'inventory'} is for s3:// sources, found {local[0]}")
        return self


class VocabularyConfig(JobConfig):
    vectors: Text
    """Word vectors: fastText .bin or .vec, GloVe's text, word2vec .bin; plain, .gz or .zip (docs/formats.md), or
    `wordnet`: those that ship."""
    hierarchy: Text | None = None
    """Noun hierarchy for synsets and synonyms: WordNet's, Open English WordNet's, or a table (docs/formats.md), or
    `wordnet`: the one that ships."""
    nouns: Literal["vectors", "hierarchy"] = "vectors"
    """Where the labels come from: every word of the vectors, or every noun of the hierarchy that finds a vector."""
    classes: Text | None = None
    """Classes of the core visual model, as published or as a table (docs/formats.md), or `imagenet1k`: its labels are
    the seen ones."""
    hypernym_levels: Levels | None = None
    """With a hierarchy: how many levels of hypernyms the vectors of labels and classes take in, the nearer the more
    (HierSE); 0 leaves them as they are. Default 6; 0 for the vectors that ship, which are made of hypernyms."""

    @property
    def levels(self) -> int:
        """`hypernym_levels`, or its default for these vectors."""
        default = 0 if self.vectors == groups.SHIPPED_VECTORS else 6
        return default if self.hypernym_levels is None else self.hypernym_levels

    @model_validator(mode="after")
    def _nouns_from_somewhere(self) -> "VocabularyConfig":
        if self.nouns == "hierarchy" and self.hierarchy is None:
            raise ValueError("nouns: hierarchy takes them from `hierarchy`, found none")
        return self


class TrainConfig(JobConfig):
    architecture: Text
    """A torchvision classifier's name, efficientnet_lite0, efficientnet_lite2, or small_cnn."""
    weights: Text | None = None
    """`starter` (those of devise[starter]), `torchvision:NAME` (DEFAULT, IMAGENET1K_V2, ...), a state dict file (local
    or s3://), or nothing: the core is trained from scratch."""
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$"), AfterValidator(str.lower)] | None = None
    """Checked when given."""
    resize: Side | None = None
    crop: Side | None = None
    mean: tuple[Real, Real, Real] | None = None
    std: tuple[Positive, Positive, Positive] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    """Preprocessing: short side in pixels, centre crop, normalisation of RGB in 0 to 1, and how pictures are resized.
    Default: what the weights bring that a package has; of a file, and from scratch, 256, 224, ImageNet's mean and
    standard deviation, bilinear."""
    projection: Literal["linear", "mlp", "convex"] = "convex"
    """`convex` starts from the weights' own classes, whose table build_vocabulary was given."""
    loss: Literal["none", "cosine", "hinge_rank", "ridge", "softmax"] = "none"
    """`none` leaves a convex projection as it starts (ConSE); `softmax` makes one of the pictures' own labels."""
    labelled: LabelledConfig | None = None
    """Pictures to learn from; needed unless loss is none. With loss none, those that say what pictures have in common,
    and, if they bear labels of the weights' own classes, calibrate probabilities (docs/quality.md)."""
    held_out: list[Text] = []
    """Labels that training must never see; classes with such a label are dropped."""
    held_out_file: Text | None = None
    """JSON file of groups, folder name -> label, with the group after `#`: its labels are held out too."""
    temperature: Positive = 2.0
    top_t: Count = 10
    """Convex projection: softmax temperature, and how many of the most probable classes are kept."""
    rows_weight: Annotated[Real, Field(ge=0)] = 0.5
    rows_lambda: Positive = 2.0
    """Convex projection: weight of the classifier rows that are regressed from class vectors, beside 1 of the
    combination (0: none), and the penalty of that ridge regression."""
    ridge_lambda: Positive = 300.0
    margin: Positive = 0.1
    epochs: Count = 20
    learning_rate: Positive = 1e-3
    core_epochs: Count = 12
    core_seconds: Positive = 90.0
    """Training a core from scratch: passes over the pictures, and the seconds after which it stops early."""
    finetune: FinetuneConfig | None = None
    """Train the core too, from the pictures; default: the core stays as its weights are."""
    seed: Seed = 0

    @property
    def has_teacher(self) -> bool:
        """Whether the pictures have no labels, and ConSE's embeddings of them are the targets."""
        return self.labelled is not None and self.labelled.kind == "images" and self.loss != "none"

    @property
    def learns(self) -> bool:
        """Whether something is fitted to the pictures' labels, or a teacher's."""
        return self.labelled is not None and (self.loss != "none" or self.weights is None)

    @property
    def weights_file(self) -> str | None:
        """The file that `weights` names; None where it names what a package brings, or nothing."""
        return None if self.weights is None or groups.is_published(self.weights) else self.weights

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainConfig":
        if self.loss == "none" and self.projection != "convex":
            raise ValueError(f"projection {self.projection} needs a loss: only convex is usable untrained")
        if self.loss == "ridge" and self.projection != "linear":
            raise ValueError(f"loss ridge is the closed form of projection linear, not of {self.projection}")
        if self.loss == "softmax" and (self.projection != "convex" or self.weights is None):
            raise ValueError("loss softmax makes projection convex on features of weights: wanted both")
        if self.labelled is None and (self.loss != "none" or self.weights is None):
            raise ValueError("labelled pictures are needed to train (a loss is set, or the core has no weights)")
        if self.has_teacher and (self.weights is None or self.projection == "convex" or self.loss == "hinge_rank"):
            raise ValueError("labelled.kind images: wanted weights, projection linear or mlp, and loss cosine or ridge")
        if self.finetune is not None and (self.weights is None or self.loss not in ("cosine", "hinge_rank")):
            raise ValueError("finetune: wanted weights to start from, and loss cosine or hinge_rank")
        groups.refuse_halves(self, ("resize", "crop"), ("mean", "std"))
        if self.crop is not None and self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is cut from a picture of short side {self.resize}, wanted at most that")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> "TrainConfig":
        stepwise, scratch = self.loss in ("cosine", "hinge_rank"), self.weights is None
        starts_from_ridge = self.projection == "linear" and self.loss != "none"
        conse = self.projection == "convex" or self.has_teacher
        rows = self.projection == "convex" and self.loss != "softmax"
        used = {
            "weights_sha256": self.weights_file is not None,
            "temperature": conse, "top_t": conse,
            "rows_weight": rows, "rows_lambda": rows and self.rows_weight > 0,
            "ridge_lambda": starts_from_ridge, "margin": self.loss == "hinge_rank",
            "epochs": stepwise, "learning_rate": stepwise, "core_epochs": scratch, "core_seconds": scratch,
        }  # fmt: skip
        for name, has_effect in used.items():
            if not has_effect and getattr(self, name) != type(self).model_fields[name].default:
                weights = "no weights" if scratch else "weights" if self.weights_file else f"weights {self.weights}"
                raise ValueError(
                    f"{name}: has no effect with {weights}, projection {self.projection}, loss {self.loss}"
                )
        return self


class EmbedConfig(JobConfig):
    exchange: Literal["arrow", "pandas"] = "arrow"
    """How rows reach the engine and come back: mapInArrow, or an iterator pandas UDF."""
    engine: EngineConfig = EngineConfig()
    images_per_slice: Count = 5_000
    """About so many images are committed together at most, up to 10,000 slices: a crash costs those under way."""
    retry_codes: list[str] = ["throttled", "timeout", "gone", "changed", "unreadable", "denied"]
    """Reject codes tried again next night even though the object is unchanged."""
    nights_per_base: Count = 30
    """After so many runs a night writes all live embeddings, standing rejects and thumbnails anew, as one run: those of
    images that are gone are in no later run, and `devise expire` erases them with the runs before."""
    thumbnails: Size | None = None
    """Of about so many images a thumbnail is kept, or of all where they are fewer; default none (docs/images.md)."""


class LabelConfig(JobConfig):
    k: Count = 5
    """Labels per image."""
    images_per_label: Annotated[Whole, Field(ge=0, le=1_000)] = 200
    """Best images of each label, of all that are live, in table word_images; 0 makes no lists."""
    candidates: Annotated[list[Text], Field(min_length=1)] | None = None
    """Only these labels; default the whole vocabulary. Probabilities and answers are of the whole vocabulary alone."""
    deny: Text = "shipped"
    """Labels that are never told: `shipped` (slurs, and nouns of people that no picture shows to be true), a file with
    a word a line, or `none` (docs/safe-answers.md)."""
    answer_target: Annotated[Fraction, Field(gt=0)] = 0.85
    """Least probability of an image's answer, which is the most specific noun that has it; 1 gives none."""
    answer_specificity: Fraction = 0.14
    """Least specificity of an answer: 0 lets `entity` be one, 0.22 is just above `artifact`, 1 takes kinds alone."""


class IndexConfig(JobConfig):
    kind: Text = "auto"
    """A faiss factory string, or auto: chosen from rows, dim and memory, and printed with the reason."""
    rows_per_shard: Size | None = None
    """Default: what a task of the night's machines has the memory to fill, at most 2,000,000."""
    memory_bytes: Size = 8 * 2**30
    """Memory that all shards together may take when searched; more images than it holds are refused once listed."""
    sample_rows: Count = 640_000
    """The most rows that train the template, in one task (0.8 GB); a list takes 39, so they bound the lists."""
    target_recall: Fraction = 0.95
    """recall@10 to reach: the least nprobe that does is settled for each kind of query."""
    tune_queries: Count = 200
    """Queries of each kind to settle nprobe on; never those that evaluate_model measures recall with."""
    rebuild_fraction: Fraction = 0.25
    """Rows added and hidden since the base, as a share of its rows, above which a night builds a base anew."""
    max_drift: Real = Field(default=0.1, ge=0, le=2)
    """How much less near (mean cosine) to their centroids new rows may be than the base's; from 1,000 new rows on."""
    seed: Seed = 0


class NeighboursConfig(JobConfig):
    k: Annotated[Count, Field(le=1_000)] = 5
    """Neighbours of each image."""
    duplicate_score: Annotated[Fraction, Field(gt=0)] = 0.98
    """Least cosine of near-duplicates: a lower one finds more of them, and more that are none (docs/search.md)."""


class SearchConfig(JobConfig):
    queries: list[Text] = []
    """Words and pictures: `ship + sail`, `2 * a - "b c"`, `image:URI + snow` (docs/search.md)."""
    queries_file: Text | None = None
    """CSV or Parquet with a column `query`: one file, or a folder of parts."""
    vectors: Text | None = None
    """Word vectors for words that are no labels; default: only the vocabulary's words are known."""
    k: Count = 10

    @model_validator(mode="after")
    def _something_to_ask(self) -> "SearchConfig":
        if not self.queries and self.queries_file is None:
            raise ValueError("no queries: set `queries` or `queries_file`")
        return self


class EvaluateConfig(JobConfig):
    splits: list[SplitConfig] = []
    generalised: list[GeneralisedConfig] = []
    """Pairs of splits for generalised zero-shot accuracy and its harmonic mean."""
    ks: Annotated[list[Count], Field(min_length=1), AfterValidator(once)] = [1, 2, 5, 10, 20]
    hierarchy: Text | None = None
    """Noun hierarchy for hp@k and relations to the seen classes: the vocabulary's own, or `wordnet`; default none."""
    recall_queries: Count = 200
    """Queries of each kind for recall@k of the index against exact search."""
    seed: Seed = 0
    """Of the queries, of the draws of the intervals, and of the shuffled names that the model is compared with."""

    @model_validator(mode="after")
    def _splits_are_told_apart(self) -> "EvaluateConfig":
        once([unicodedata.normalize("NFC", one.name) for one in (*self.splits, *self.generalised)])
        for pair in self.generalised:
            pair.refuse_others([split.name for split in self.splits])
        if not self.splits and self.hierarchy is not None:
            raise ValueError("hierarchy: is for hp@k of `splits`, found none")
        return self


class ReportConfig(JobConfig):
    words: Annotated[list[Text], AfterValidator(once)] = [*groups.EXAMPLES]
    """Queries with a contact sheet on the page each, where the vocabulary has their words: `bird`, `ship + sail`."""
    images_on_map: Annotated[Count, Field(le=10_000)] = 3_000
    """About so many live images, drawn by image_id and so the same ones every night, have a place on the map."""
    false_discoveries: Annotated[Fraction, Field(gt=0, lt=1)] = 0.05
    """Of the labels that the page says have drifted, the share that may be chance (Benjamini and Hochberg)."""
    usd_an_hour: Positive | None = None
    """What the machines of a night cost an hour, all together: what ran is priced with it. Default: requests alone."""


class PublishConfig(JobConfig):
    max_reject_fraction: Fraction = 0.05
    """Of the images attempted in this run; applies from 100 attempts on."""
    max_removed_fraction: Fraction = 0.1
    """Of the live images, those that tonight's listing lacks: more than these, and the run is not published."""
    accept_removed: Size | None = None
    """The very number of removed images that is meant, where it is more than `max_removed_fraction` allows."""
    min_recall: Fraction = 0.9
    """Least recall@10 of the index, for every query kind; 0 publishes an index whose recall was never measured."""


class NightlyConfig(JobConfig):
    stages: Annotated[list[Text], Field(min_length=1), AfterValidator(once)]
    """Jobs in order, by name."""
