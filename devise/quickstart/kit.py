"""A model and its vocabulary, ready to label: the starter kit's, by the settings of its night, or a warehouse's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

import devise
from devise import settings
from devise.config import TrainConfig, VocabularyConfig
from devise.facts import shipped
from devise.learning import fitting
from devise.search import query, vocabularies
from devise.search.ranking import Ranker
from devise.store import scratch, storage
from devise.vision import model as models
from devise.vision.model import DeviseModel
from devise.warehouse import manifest, pointer
from devise.words import coverage, vocabulary
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors, read_classes
from devise.words.vocabulary import Vocabulary

CONFIG = "starter.yaml"
NO_RUN = "0"
"""Settings of a job name a run; none is written here."""


@dataclass(frozen=True)
class Kit:
    """What labels a picture, and what to call it in a line."""

    model: DeviseModel
    known: Vocabulary
    ranker: Ranker
    name: str


def config_path() -> Path:
    """The settings of a night with the starter kit: beside this package in a wheel, at the top of a checkout."""
    package = Path(devise.__file__).parent
    inside = package / "conf" / CONFIG
    return inside if inside.is_file() else package.parent / "conf" / CONFIG


def starter(overrides: Sequence[str] = (), report: Callable[[str], None] = lambda line: None) -> Kit:
    """The kit that the starter's night would build, without a warehouse.

    Args:
        overrides: `section.key=value`, as of a job.
        report: called with what is known of the nouns, a line at a time.

    Raises:
        ConfigError, VectorError, VocabularyError, ModelError: as the night's own jobs.
    """
    words = settings.load(config_path(), "build_vocabulary", VocabularyConfig, NO_RUN, list(overrides))
    train = settings.load(config_path(), "train_model", TrainConfig, NO_RUN, list(overrides))
    paths = {name: _local(name, getattr(words, name)) for name in ("vectors", "hierarchy", "classes")}
    wnids = read_classes(shipped.CLASSES["imagenet1k"])
    files = str(paths["vectors"]), paths["hierarchy"], words.nouns, paths["classes"]
    known, found = coverage.make(*files, wnids, words.levels)
    for line in found.lines():
        report(line)
    matched = found.classes
    classes = matched and ClassVectors(
        [one.name for one in matched.classes],
        [[*one.names] for one in matched.classes],
        matched.vectors_CD,
        matched.synsets,
    )
    model = fitting.fit(train, known, vocabulary.vocabulary_id(known), classes, (), pa.table({}), None, report)
    ancestry = Ancestry(found.hypernyms, known.synsets)
    ranker = vocabularies.make_ranker(known, ancestry, model.card["class_synsets"], model.card["seen"])
    return Kit(model, known, ranker, f"{train.architecture}, {len(known.labels):,} nouns")


def of_warehouse(warehouse: str) -> Kit:
    """The live model and vocabulary of a warehouse.

    Raises:
        ManifestError: nothing is live, or it has no model.
    """
    live = pointer.published(warehouse)
    model, words = (query.newest_live(warehouse, live, table) for table in ("model", "vocabulary"))
    loaded = models.load(query.model_folder(manifest.localise(warehouse, model), model))
    known, ranker = vocabularies.open_ranker(warehouse, words, loaded.card)
    return Kit(loaded, known, ranker, f"model of run {model.run}, {len(known.labels):,} labels")


def _local(name: str, value: str | None) -> Path | None:
    """The file of a setting on this host: shipped, by its name, or the user's."""
    return shipped.find(name, value) or (value and scratch.localise_table(storage.normalise(value)))
