"""Labelled images as rows: which picture is said to show what; the reading of names is `devise.learning.labelled`."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from devise.config import CatalogConfig, LabelledConfig, TrainConfig
from devise.errors import ConfigError, VocabularyError
from devise.facts import shipped
from devise.learning import labelled
from devise.spark.frame import schemas
from devise.spark.frame.metering import counted
from devise.spark.stages import catalog
from devise.store import scratch, storage
from devise.words.texttables import decode

LABELLED = StructType([*schemas.IMAGES.fields[:4], StructField("texts", schemas.TEXTS)])
"""An image and the texts of its labels; none of kind `images`."""
FOUND = StructType([LABELLED[name] for name in ("uri", "texts", "etag", "size_bytes")])
FRACTION_SALT = 7


def labelled_images(spark: SparkSession, settings: LabelledConfig) -> DataFrame:
    """One row a labelled image (LABELLED), drawn by hash of the uri where only a share is wanted.

    Raises:
        TableError, TrainingError, ConfigError, StorageError: the source or the names cannot be read.
    """
    rows = _from_table(spark, settings) if settings.kind == "table" else _from_paths(spark, settings)
    if settings.fraction < 1:
        share = F.pmod(F.xxhash64("uri", F.lit(FRACTION_SALT)), F.lit(1_000_000)) / F.lit(1_000_000)
        rows = rows.where(share < settings.fraction)
    return rows


def input_files(settings: LabelledConfig) -> tuple[str, str | None]:
    """The source and the names, as a manifest calls them."""
    names = shipped.tag("classes", settings.names) if settings.kind == "wnids" else settings.names
    return settings.source, names


def read_class_names(uri: str, hops: int | None = None) -> dict[str, list[str]]:
    """wnid -> its names, in order, of a list of classes, or of `wordnet`; `VocabularyError` if it has names alone.

    Args:
        hops: of `wordnet`, only the 2-hop or 3-hop labels of ImageNet's 1,000 classes.
    """
    from devise.words.classes import read_classes
    from devise.words.synsets import read_hierarchy

    if uri in shipped.HIERARCHY:
        tree = read_hierarchy(shipped.HIERARCHY[uri])
        if hops is None:
            return tree.members
        return {wnid: tree.members[wnid] for wnid in tree.near(read_class_names("imagenet1k").keys(), hops - 1)}

    classes = read_classes(shipped.find("classes", uri) or scratch.localise_table(storage.normalise(uri)))
    if any(found.wnid is None for found in classes):
        raise VocabularyError(
            f"{uri}: found {classes.line()}; wanted a list with wnids, by which the pictures are named"
        )
    return {found.wnid: list(found.names) for found in classes}


def read_json(uri: str) -> dict:
    """A JSON object; `ConfigError` if the file holds none, or one that has a key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]:
            raise ConfigError(f"{uri}: {twice[0]!r} stands twice, wanted once")
        return dict(pairs)

    try:
        document = json.loads(decode(storage.read_bytes(storage.normalise(uri)), uri), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{uri}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{uri}: found {type(document).__name__}, wanted a JSON object")
    return document


def read_held_out(config: TrainConfig) -> list[str]:
    """The nouns that training must never see: those of the settings and of the file's group."""
    nouns = list(config.held_out)
    if config.held_out_file is not None:
        uri, _, group = config.held_out_file.partition("#")
        nouns += labelled.folder_names(read_json(uri), group or None, uri).values()
    return sorted(set(nouns))


def _from_paths(spark: SparkSession, settings: LabelledConfig) -> DataFrame:
    root = storage.normalise(settings.source)
    names: dict | None = None
    if settings.kind == "wnids":
        names = read_class_names(settings.names, settings.hops)
    elif settings.names is not None:
        names = labelled.folder_names(read_json(settings.names), settings.only, settings.names)
    kind = settings.kind

    def label(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            uris = batch.column("uri").to_pylist()
            if kind == "images":
                texts = [[] for _ in uris]
            elif kind == "wnids":
                texts = [labelled.labels_from_wnid(uri, names) for uri in uris]
            else:
                texts = [labelled.labels_from_folder(uri, root, names) for uri in uris]
            yield schemas.record_batch([*batch.columns[:4], pa.array(texts, pa.list_(pa.string()))], LABELLED)

    patterns = CatalogConfig.model_fields["include"].default
    found = catalog.list_images(spark, [root], patterns, []).mapInArrow(counted(label), LABELLED)
    return found if kind == "images" else found.where(F.size("texts") > 0)


def _from_table(spark: SparkSession, settings: LabelledConfig) -> DataFrame:
    pairs = labelled.read_pairs(scratch.localise_table(storage.normalise(settings.source)))
    labels: dict[str, dict[str, None]] = {}
    for uri, texts in pairs:  # /a.jpg and file:///a.jpg are one picture
        labels.setdefault(storage.normalise(uri), {}).update(dict.fromkeys(texts))
    rows = [(uri, list(texts)) for uri, texts in labels.items()]

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            stats = [storage.stat(uri) for uri in batch.column("uri").to_pylist()]
            etags = pa.array([found.etag if found else "gone" for found in stats])  # the engine rejects it by that name
            sizes = pa.array([found.size_bytes if found else 0 for found in stats])
            yield schemas.record_batch([*batch.columns, etags, sizes], FOUND)

    listed = spark.createDataFrame(rows, StructType([FOUND["uri"], FOUND["texts"]])).mapInArrow(counted(find), FOUND)
    return listed.select(catalog.image_id(), "uri", "etag", "size_bytes", "texts")
