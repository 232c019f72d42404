"""How masses of a hierarchy's nodes become a probability: a few frozen numbers, as JSON; it knows no fitting, no files.

Shape letters: N images, K labels, T classes, M pairs of an image and a node.
"""

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np

from devise.errors import ModelError

LEAST_MASS = 1e-4
"""Log-odds of masses are cut here, and at 1 less it: beyond, a mass tells no more."""
CERTAIN = 1.0
"""Log-odds of the classes' probability from which a class counts as seen in the picture: 0.73. Below, its probability
says little, for a network is as sure of its nearest class when it sees what it was never trained on."""


class Masses(NamedTuple):
    """What falls on each node of each image, by image, then node; nodes without mass are not there.

    Attributes:
        image, node: int64 (M,).
        of_labels: float64 (M,): softmax of the relevances over the K labels, summed over those at or below the node.
        of_classes: float64 (M,): the probabilities of the T classes at or below it, summed.
        total_N: float64 (N,): the sum of the T probabilities of each image.
    """

    image: np.ndarray
    node: np.ndarray
    of_labels: np.ndarray
    of_classes: np.ndarray
    total_N: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How masses become a probability: a logistic of four numbers, rising in both masses; frozen like a model.

    Attributes:
        temperature: of the softmax over the labels' relevances.
        label_share: of the mixed mass, 0 to 1, what the labels give; the classes give the rest.
        intercept, log_odds, certain, specificity: the logistic's terms: 1, the log-odds of the mixed mass, what the
            log-odds of the classes' own probability exceed CERTAIN by, and the node's specificity.
        n_images, n_classes: what it was fitted on. protocol: how, in a few words.
        model, vocabulary: ids of the frozen network and of the vocabulary: it is of no use with others.
    """

    temperature: float
    label_share: float
    intercept: float
    log_odds: float
    certain: float
    specificity: float
    n_images: int
    n_classes: int
    protocol: str
    model: str
    vocabulary: str

    def __post_init__(self) -> None:
        numbers = (self.temperature, self.label_share, self.intercept, self.log_odds, self.certain, self.specificity)
        if not all(map(math.isfinite, numbers)) or self.temperature <= 0 or not 0 <= self.label_share <= 1:
            raise ValueError(f"calibration {numbers}: wanted finite numbers, temperature > 0, label_share in 0 to 1")
        if min(self.log_odds, self.certain) < 0:
            raise ValueError(f"calibration {numbers}: wanted log_odds and certain of at least 0: rising in the masses")

    def features(self, masses: Masses, specificity_M: np.ndarray) -> np.ndarray:
        """float64 (M, 4): the logistic's terms."""
        share_M = masses.of_classes / masses.total_N[masses.image]
        mixed_M = self.label_share * masses.of_labels + (1 - self.label_share) * share_M
        certain_M = np.maximum(log_odds(masses.of_classes) - CERTAIN, 0)
        return np.stack([np.ones(len(mixed_M)), log_odds(mixed_M), certain_M, specificity_M], axis=1)

    def probability(self, masses: Masses, specificity_M: np.ndarray) -> np.ndarray:
        """float64 (M,), 0 to 1: how often a node of such masses is the truth or an ancestor of it."""
        terms = np.array([self.intercept, self.log_odds, self.certain, self.specificity])
        return np.exp(-np.logaddexp(0, -(self.features(masses, specificity_M) @ terms)))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "Calibration":
        """What `to_json` wrote; `where` is told in errors.

        Raises:
            ModelError: anything else.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        try:
            read = json.loads(text)
            if not isinstance(read, dict) or read.keys() != kinds.keys():
                found = sorted(read) if isinstance(read, dict) else type(read).__name__
                raise ValueError(f"found {found}, wanted {sorted(kinds)}")
            for name, value in read.items():
                allowed = {float: (int, float), int: (int,), str: (str,)}[kinds[name]]
                if not isinstance(value, allowed) or isinstance(value, bool):
                    raise ValueError(f"{name}: found {value!r}, wanted {kinds[name].__name__}")
            return cls(**read)
        except (ValueError, OverflowError) as error:
            raise ModelError(f"{where}: is no calibration: {error}") from None


def log_odds(mass: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), cut at LEAST_MASS on both sides."""
    cut = np.clip(mass, LEAST_MASS, 1 - LEAST_MASS)
    return np.log(cut / (1 - cut))
