"""Embeddings -> what a labels table says: ranked labels, how probable each is, and one answer; no tables, no Spark.

Shape letters: N images, K labels, T classes, V vocabulary.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from devise.config import LabelConfig
from devise.search import vocabularies
from devise.search.calibrated import Calibration
from devise.search.evidence import EVIDENCE, SEEN_PENALTY
from devise.search.hedging import Nodes, tell
from devise.search.ranking import Block, Ranker
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.words import vocabulary
from devise.words.ancestry import Ancestry
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary

CONSIDERED = 50
"""Labels of an image that share its probability (`hedging`); however few are told."""


@dataclass(frozen=True)
class Labels:
    """What is told of each image.

    Attributes:
        label_id_NK, score_NK, relevance_NK: as `ranking.Ranked` has them.
        probability_NK: float32, that the label is true of the image; None where nothing is calibrated.
        answer_id_N: int32, the label that is the answer, -1 for none; answer_synsets: its synset, None without one;
            answer_probability_N: float32, NaN for none.
    """

    label_id_NK: np.ndarray
    score_NK: np.ndarray
    relevance_NK: np.ndarray
    probability_NK: np.ndarray | None
    answer_id_N: np.ndarray
    answer_synsets: list[str | None]
    answer_probability_N: np.ndarray


class Labeller:
    """Labels images with the words of a vocabulary.

    Args:
        ranker: of the vocabulary's labels.
        nodes, calibration: None where no probabilities are told: there is no calibration, or it is not for these
            candidates.
        target, least_specificity: of an answer (`hedging.tell`).
    """

    def __init__(
        self,
        known: Vocabulary,
        ranker: Ranker,
        nodes: Nodes | None = None,
        calibration: Calibration | None = None,
        target: float = 1.0,
        least_specificity: float = 0.0,
    ):
        self.known, self.ranker, self.nodes, self.calibration = known, ranker, nodes, calibration
        self.target, self.least_specificity = target, least_specificity

    def label(
        self,
        embedding_ND: np.ndarray,
        class_id_NT: np.ndarray | None,
        probability_NT: np.ndarray | None,
        k: int,
        see: Callable[[Block], None] | None = None,
    ) -> Labels:
        """The k best labels of each image; the arguments are those of `Ranker.top`."""
        told = self.calibration is not None and class_id_NT is not None
        ranked = self.ranker.top(embedding_ND, class_id_NT, probability_NT, max(k, CONSIDERED) if told else k, see)
        parts = (ranked.label_id_NK[:, :k], ranked.score_NK[:, :k], ranked.relevance_NK[:, :k])
        if not told:
            n = len(embedding_ND)
            return Labels(*parts, None, np.full(n, -1, np.int32), [None] * n, np.full(n, np.nan, np.float32))
        considered = (ranked.label_id_NK[:, :CONSIDERED], ranked.relevance_NK[:, :CONSIDERED])
        limits = self.target, self.least_specificity
        found = tell(self.nodes, self.calibration, *considered, class_id_NT, probability_NT, *limits)
        probability_NK = found.probability_NK[:, :k]
        if k > CONSIDERED:  # those behind had no share
            probability_NK = np.pad(probability_NK, ((0, 0), (0, k - probability_NK.shape[1])))
        synsets = [self.nodes.synsets[node] if node >= 0 else None for node in found.node_N]
        return Labels(*parts, probability_NK, found.label_id_N, synsets, found.probability_N)


def make_nodes(
    known: Vocabulary,
    ancestry: Ancestry,
    class_synsets: Sequence[str | None],
    denied_V: np.ndarray,
) -> Nodes:
    """The nodes of a vocabulary; a synset is told by the label that is its first name in the hierarchy, if there is."""
    first_V = np.array(
        [
            synset is not None and ancestry.names.get(synset) == label
            for label, synset in zip(known.labels, known.synsets, strict=True)
        ],
        dtype=bool,
    )
    return Nodes(ancestry, class_synsets, ~denied_V, first_V)


def seen_ids(known: Vocabulary, seen: Collection[str]) -> set[int]:
    """The label ids of names of what a model was trained on; names that are no labels have none."""
    by_name = {label: number for number, label in enumerate(known.labels)}
    numbers = (by_name[name] if name in by_name else known.find_one(name) for name in seen)
    return {number for number in numbers if number is not None}


def make_labeller(
    known: Vocabulary,
    ancestry: Ancestry,
    card: Mapping[str, Any],
    denied: Denied | None,
    calibration: Calibration | None = None,
    candidates: np.ndarray | None = None,
    *,
    target: float = 1.0,
    least_specificity: float = 0.0,
) -> Labeller:
    """What labels images with a vocabulary, for one model.

    Args:
        card: of the model: its `class_synsets` and what it has `seen`; a card of before labels were ranked by them has
            none, and its embeddings have no classes.
        denied: what is never told. candidates: label ids; probabilities are calibrated for the whole vocabulary, so
            with candidates there are none.
        target, least_specificity: of an answer.
    """
    rows = known.labels, known.synsets, known.synonyms
    denied_V = denied.rows(*rows) if denied is not None else np.zeros(len(known.labels), dtype=bool)
    ranker = make_ranker(known, ancestry, card, candidates, np.flatnonzero(denied_V))
    if calibration is None or candidates is not None:
        return Labeller(known, ranker)
    nodes = make_nodes(known, ancestry, card.get("class_synsets", ()), denied_V)
    return Labeller(known, ranker, nodes, calibration, target, least_specificity)


def make_ranker(
    known: Vocabulary,
    ancestry: Ancestry,
    card: Mapping[str, Any],
    candidates: np.ndarray | None = None,
    denied: Collection[int] = (),
) -> Ranker:
    """What ranks a vocabulary's labels for one model, by its card as `make_labeller` takes it."""
    return Ranker(
        *(known.vectors, ancestry, card.get("class_synsets", ()), seen_ids(known, card.get("seen", ()))),
        evidence=EVIDENCE,
        seen_penalty=SEEN_PENALTY,
        candidates=candidates,
        denied=denied,
    )


def open_labeller(config: LabelConfig, words: Manifest, model: Manifest) -> Labeller:
    """The labeller of a vocabulary's and a model's run by these settings, opened once in this process.

    Raises:
        VocabularyError: a candidate is no label, or the list of what is denied cannot be read.
        ModelError: the model's calibration is none.
    """
    warehouse = config.warehouse
    return _open_labeller(
        manifest.localise_one(warehouse, words, end=".parquet"),
        vocabularies.find_one(warehouse, words, vocabularies.HYPERNYMS),
        manifest.localise_one(warehouse, model, end="card.json"),
        vocabularies.find_one(warehouse, model, end=vocabularies.CALIBRATION),
        None if config.candidates is None else tuple(config.candidates),
        vocabularies.find_denied(config.deny),
        (config.answer_target, config.answer_specificity),
    )


@lru_cache(maxsize=2)
def _open_labeller(
    labels: Path,
    hypernyms: Path | None,
    card: Path,
    calibration: Path | None,
    candidates: tuple[str, ...] | None,
    denied: Path | None,
    limits: tuple[float, float],
) -> Labeller:
    known = vocabulary.load(labels)
    ancestry = vocabularies.ancestry_in(hypernyms, known.synsets)
    told = Calibration.from_json(calibration.read_text(), str(calibration)) if calibration else None
    target, least_specificity = limits
    return make_labeller(
        known,
        ancestry,
        json.loads(card.read_text(encoding="utf-8")),
        Denied.load(denied) if denied else None,
        told,
        known.find(candidates) if candidates is not None else None,
        target=target,
        least_specificity=least_specificity,
    )
