"""`make accept`: a night on real photographs, then protocols Z and S as a table beside the reference figures, and what
each part of the night adds, with MobileNetV2 and with the starter's network (`accept_quality`).

    python tests/accept.py --data ../shared/data [--folder accept] [--seeds 5]

The night is `conf/photographs.yaml` as it stands: ConSE, untrained. The other projections are fitted to features that
train_model computed and cached, once an image. Exit code 1 if a row that has a reference is further than 1.5 points
from it.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from accept_protocols import KS, Row, as_trained, protocol_s, protocol_z, ridge
from accept_quality import Study
from accept_tables import tables
from pyspark.sql import SparkSession

from devise import settings
from devise.config import LabelledConfig, NightlyConfig, TrainConfig
from devise.facts import shipped
from devise.jobs.run_nightly import JOBS
from devise.learning.fitting import open_core
from devise.spark.frame import job
from devise.spark.frame.columns import vectors
from devise.spark.frame.session import start_session
from devise.store import storage
from devise.vision.model import network_id
from devise.vision.published import preprocessing_of
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.words import coverage
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary

CONFIG = Path(__file__).resolve().parents[1] / "conf/photographs.yaml"
RUN = "2026-11-23"
WITHIN_POINTS = 1.5


def night(spark: SparkSession, data: Path, warehouse: Path, overrides: list[str] | None = None) -> dict[str, Manifest]:
    """The night of conf/photographs.yaml; the manifests of its tables."""
    os.environ |= {"DATA": str(data.resolve()), "WAREHOUSE": str(warehouse.resolve())}
    stages = settings.load(CONFIG, "run_nightly", NightlyConfig, RUN).stages
    plan = [(JOBS[stage], settings.load(CONFIG, stage, JOBS[stage].config, RUN, overrides)) for stage in stages]
    return {table: found for one, config in plan for table, found in job.perform(one, spark, config).items()}


def features(
    spark: SparkSession, warehouse: Path, run: str, labelled: LabelledConfig, **network: object
) -> tuple[np.ndarray, list[str]]:
    """Pooled features (N, F) of labelled images through the frozen network, and their uris, in order of uri.

    Args:
        network: settings of another one than the night's.
    """
    night_s = settings.load(CONFIG, "train_model", TrainConfig, run)
    asked = {"projection": "linear", "loss": "ridge", "labelled": labelled, "held_out_file": None}
    config = night_s.model_copy(update={**asked, **network})
    job.perform(JOBS["train_model"], spark, config)
    own = network_id(open_core(config), preprocessing_of(config))
    files = []
    for folder in (warehouse / "features").glob("run=*"):  # what an earlier run cached is in no later one
        found = manifest.read(str(warehouse), "features", folder.name.removeprefix("run="))
        files += [folder / file.path for file in found.files if file.rows > 0]
    below = pc.starts_with(pc.field("uri"), storage.normalise(labelled.source))
    table = pq.read_table(files, partitioning=None, filters=below & (pc.field("network_id") == own))
    table = table.sort_by("uri").combine_chunks()
    return vectors(table.column("features").combine_chunks()), table.column("uri").to_pylist()


@dataclass(frozen=True)
class Words:
    """Nouns, classes and what is above them, not smoothed; and which folder shows which."""

    known: Vocabulary
    classes: ClassVectors
    ancestry: Ancestry
    zero_shot: dict[str, int]
    seen: dict[str, int]


def read_words(data: Path) -> Words:
    taxonomy = data / "taxonomy"
    files = (data / "vectors/nouns-80k-300d.vec.gz", taxonomy / "oewn_noun_synsets.tsv.gz")
    known, found = coverage.make(*files, "vectors", taxonomy / "imagenet1k_classes.tsv")
    matched = found.classes
    named = zip(matched.classes, matched.labels, strict=True)
    texts = [[*one.names, *([label] if label else [])] for one, label in named]
    classes = ClassVectors([one.name for one in matched.classes], texts, matched.vectors_CD, matched.synsets)
    groups = json.loads((taxonomy / "caltech101_protocol.json").read_text())
    nouns = (
        {folder: known.find_one(noun) for folder, noun in groups[group].items()} for group in ("zero_shot", "seen")
    )
    return Words(known, classes, Ancestry(found.hypernyms, known.synsets, found.names), *nouns)


def protocols(spark: SparkSession, data: Path, warehouse: Path, words: Words, seeds: range) -> list[Row]:
    """The rows of both protocols, on features of all photographs."""
    images, taxonomy = data / "images", data / "taxonomy"
    corpus = LabelledConfig(source=str(images / "caltech101"))
    one_a_class = LabelledConfig(
        source=str(images / "imagenet1k_one_per_class"), kind="wnids", names=str(taxonomy / "imagenet1k_classes.tsv")
    )
    corpus_NF, uris = features(spark, warehouse, "features-corpus", corpus)
    photograph_CF, wnid_uris = features(spark, warehouse, "features-one-a-class", one_a_class)
    assert len(photograph_CF) == 1000 and wnid_uris == sorted(wnid_uris), "one photograph a class, in order of wnid"
    folders = [uri.split("/")[-2] for uri in uris]
    known, classes, zero_shot = words.known, words.classes, words.zero_shot
    nouns = zero_shot | words.seen
    untrained = settings.load(CONFIG, "train_model", TrainConfig, RUN)
    core = open_core(untrained)
    firsts = [next((row for text in texts if (row := known.find_one(text)) is not None), -1) for texts in classes.texts]
    plain_CD = np.where(np.array(firsts)[:, None] >= 0, known.vectors[firsts], np.nan).astype(np.float32)
    ways = [("linear", "hinge_rank"), ("mlp", "cosine"), ("mlp", "hinge_rank"), ("convex", "hinge_rank")]
    ways += [("convex", "softmax")]
    fits = {"ridge, penalty 300": ridge(300.0, known.vectors), "ridge, penalty 3000": ridge(3000.0, known.vectors)}
    for projection, loss in ways:
        config = untrained.model_copy(update={"projection": projection, "loss": loss})
        fits[f"{projection}, {loss}"] = as_trained(config, core, classes.vectors_CD, known)
    return [
        *protocol_z(
            corpus_NF,
            folders,
            zero_shot,
            photograph_CF,
            core.classifier,
            classes,
            plain_CD,
            known.labels,
            known.vectors,
        ),
        *protocol_s(corpus_NF, folders, nouns, known.vectors, fits, seeds),
    ]


STARTER = {"architecture": "efficientnet_lite2", "weights": "starter", "mean": None, "std": None}


def quality(spark: SparkSession, data: Path, warehouse: Path, words: Words, seeds: range) -> list[str]:
    """The tables of `accept_quality` for both networks."""
    images = data / "images"
    corpus = LabelledConfig(source=str(images / "caltech101"))
    table = str(data / "taxonomy/imagenet1k_classes.tsv")
    one_a_class = LabelledConfig(source=str(images / "imagenet1k_one_per_class"), kind="wnids", names=table)
    known = words.known
    denied_V = Denied.load(shipped.DENIED["shipped"]).rows(known.labels, known.synsets, known.synonyms)
    lines = []
    for network in ({}, STARTER):
        runs = [f"{run}-{network.get('architecture', 'own')}" for run in ("features-corpus", "features-one-a-class")]
        corpus_NF, uris = features(spark, warehouse, runs[0], corpus, **network)
        photograph_CF, _ = features(spark, warehouse, runs[1], one_a_class, **network)
        core = open_core(settings.load(CONFIG, "train_model", TrainConfig, RUN).model_copy(update=network))
        folders = [uri.split("/")[-2] for uri in uris]
        own = (known, words.classes, words.ancestry, words.zero_shot, words.seen)
        study = Study(core.classifier, photograph_CF, corpus_NF, folders, *own)
        lines += ["", f"## {core.architecture}", "", *tables(study, core, denied_V, seeds)]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("accept"), help="where the warehouse goes")
    parser.add_argument("--seeds", type=int, default=5, help="splits of protocol S")
    options = parser.parse_args()
    warehouse, started = options.folder / "warehouse", time.time()
    spark = start_session("accept")
    found = night(spark, options.data, warehouse)
    night_s = time.time() - started
    words, seeds = read_words(options.data), range(options.seeds)
    rows = protocols(spark, options.data, warehouse.resolve(), words, seeds)
    parts = quality(spark, options.data, warehouse.resolve(), words, seeds)
    spark.stop()
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {date.today()}; the night {night_s:.0f} s, all of it ", end=""
    )
    print(f"{time.time() - started:.0f} s. hit@k in percent; beside each row the reference, if there is one.\n")
    print(f"   {'method':<58} {'candidates':<10} " + "".join(f"{f'@{k}':>7}" for k in KS) + "  |  reference")
    for row in rows:
        print(row)
    print("\nThe night's own figures (metrics table: embeddings as stored):")
    folder = Path(manifest.folder(str(warehouse), "metrics", found["metrics"].run).removeprefix("file://"))
    for row in (
        pq.read_table(folder, partitioning=None).sort_by([("split", "ascending"), ("k", "ascending")]).to_pylist()
    ):
        if row["name"] == "hit":
            print(f"   {row['split']:<26} hit@{row['k']:<3} {row['value']:6.1%}  n = {row['n']:,}")
    print("\n".join(parts))
    worst = max(rows, key=Row.worst_gap)
    print(f"\nFurthest from its reference: {worst.method} ({worst.candidates}), {worst.worst_gap():.1f} points.")
    if worst.worst_gap() > WITHIN_POINTS:
        sys.exit(f"wanted every row within {WITHIN_POINTS} points of its reference")


if __name__ == "__main__":
    main()
