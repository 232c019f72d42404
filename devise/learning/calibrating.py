"""How the probabilities of an untrained model are calibrated: by labelled pictures at hand, or as they ship.

Knows no Spark and no tables. Shape letters: N images, F features.
"""

from collections.abc import Callable, Sequence

import numpy as np

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.facts import shipped
from devise.learning import answers
from devise.learning.hiding import Hiding
from devise.search.calibrated import Calibration
from devise.vision.model import DeviseModel, network_id
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary


def calibrate(
    config: TrainConfig,
    model: DeviseModel,
    known: Vocabulary,
    ancestry: Ancestry,
    classes: ClassVectors | None,
    held_out: Sequence[str],
    texts: Sequence[Sequence[str]] | None,
    features_NF: np.ndarray | None,
    report: Callable[[str], None],
) -> tuple[Calibration, str | None] | None:
    """The calibration of a model that was just made, by pictures whose texts name classes of its weights; and a picture
    of how it does on classes that were hidden (`answers.draw`).

    Without such pictures it is the one that ships, if the model is the starter's as it comes and the vectors are those
    that ship, without a picture; else None, which is reported: labels have no probability then, and images no answer.

    Args:
        texts, features_NF: of the `labelled` pictures; None without any.
    """
    if config.projection != "convex" or config.loss != "none" or config.weights is None or classes is None:
        return None
    key = network_id(model.core, model.preprocessing)
    if features_NF is not None and len(features_NF):
        vectors_CD = np.full_like(classes.vectors_CD, np.nan)
        kept = model.projection.class_index
        vectors_CD[kept] = classes.vectors_CD[kept]
        denied_V = Denied.load(shipped.DENIED["shipped"]).rows(known.labels, known.synsets, known.synonyms)
        hiding = Hiding(config, model.core, known, ancestry, classes, vectors_CD, model.card, denied_V)
        try:
            pictures = hiding.rank(features_NF, texts)
            found = hiding.calibrate(pictures, model=key, vocabulary=model.card["vocabulary_id"])
            drawn = answers.draw(answers.measure(hiding, pictures))
        except TrainingError as error:
            report(f"no calibration: {error}")
            return None
        report(f"probabilities are calibrated by {len(pictures.rows_N):,} pictures of {found.n_classes:,} classes")
        return found, drawn
    constants = ("temperature", "top_t", "rows_weight", "rows_lambda")
    as_shipped = all(getattr(config, name) == TrainConfig.model_fields[name].default for name in constants)
    text = shipped.calibration(key, len(known.labels))
    if text is None or held_out or not as_shipped:
        report("no calibration: `labelled` pictures of the weights' own classes would make one")
        return None
    return Calibration.from_json(text, str(shipped.CALIBRATION)), None
