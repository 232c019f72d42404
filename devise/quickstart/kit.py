"""A model and its vocabulary, ready to label: the starter kit's, by the settings of its night, or a warehouse's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

import devise
from devise import settings
from devise.config import LabelConfig, TrainConfig, VocabularyConfig
from devise.facts import shipped
from devise.learning import calibrating, fitting
from devise.search import labelling, query, vocabularies
from devise.search.labelling import Labeller
from devise.store import scratch, storage
from devise.vision import model as models
from devise.vision.model import DeviseModel
from devise.warehouse import manifest, pointer
from devise.words import coverage, vocabulary
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors, read_classes
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary

CONFIG = "starter.yaml"
NO_RUN = "0"
"""Settings of a job name a run; none is written here."""


@dataclass(frozen=True)
class Kit:
    """What labels a picture, and what to call it in a line."""

    model: DeviseModel
    known: Vocabulary
    labeller: Labeller
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
    given = (train, known, vocabulary.vocabulary_id(known), classes, (), pa.table({}), None, report)
    model, ancestry = fitting.fit(*given).model, Ancestry(found.hypernyms, known.synsets, found.names)
    calibrated = calibrating.calibrate(train, model, known, ancestry, classes, (), None, None, report)
    label = settings.load(config_path(), "label_images", LabelConfig, NO_RUN, list(overrides))
    labeller = labelling.make_labeller(
        known,
        ancestry,
        model.card,
        Denied.load(denied) if (denied := vocabularies.find_denied(label.deny)) else None,
        calibrated[0] if calibrated is not None else None,
        known.find(label.candidates) if label.candidates is not None else None,
        target=label.answer_target,
        least_specificity=label.answer_specificity,
    )
    return Kit(model, known, labeller, f"{train.architecture}, {len(known.labels):,} nouns")


def of_warehouse(warehouse: str) -> Kit:
    """The live model and vocabulary of a warehouse.

    Raises:
        ManifestError: nothing is live, or it has no model.
    """
    live = pointer.published(warehouse)
    model, words = (query.newest_live(warehouse, live, table) for table in ("model", "vocabulary"))
    loaded = models.load(query.model_folder(manifest.localise(warehouse, model), model))
    labeller = labelling.open_labeller(LabelConfig(warehouse=warehouse, run=NO_RUN), words, model)
    known = labeller.known
    return Kit(loaded, known, labeller, f"model of run {model.run}, {len(known.labels):,} labels")


def _local(name: str, value: str | None) -> Path | None:
    """The file of a setting on this host: shipped, by its name, or the user's."""
    return shipped.find(name, value) or (value and scratch.localise_table(storage.normalise(value)))
