"""Quality of labels on real photographs, part by part: what each idea adds, on four protocols; no Spark, no files.

Shape letters: N images, F features, C classes of the weights, D dims, V vocabulary.

- P: ImageNet classes held out, 200 of the 1,000 at a time, one photograph a class. Constants were chosen on P and A.
- A: nouns above ImageNet classes in the hierarchy (dog, bird, vehicle), photographs of classes below them; no class or
  zero-shot noun bears the noun's name. Nothing is held out: the noun itself was never a class.
- Z: zero-shot nouns of Caltech-101; classes that name one are left out.
- S: seen nouns of Caltech-101, 70 % of each folder's photographs to learn from, the rest measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from accept_protocols import seventy_percent
from torch import nn

from devise.config import TrainConfig
from devise.learning.answers import Measured, measure
from devise.learning.hiding import Hiding
from devise.learning.labelled import drop_targets
from devise.learning.rows import add_rows
from devise.learning.softmax import fit_classifier_head
from devise.search.evidence import EVIDENCE, SEEN_PENALTY
from devise.search.labelling import seen_ids
from devise.search.ranking import Ranker
from devise.vision.networks import Core
from devise.vision.projections import convex_projection
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors
from devise.words.nouns import fold, singulars
from devise.words.smoothing import smooth
from devise.words.vocabulary import Vocabulary

KS = (1, 5, 10, 20)
FOLDS, PER_NOUN = 5, 6
BELOW = (5, 130)
"""Classes that a noun of protocol A has below it, at least and at most."""


@dataclass(frozen=True)
class Variant:
    """One configuration: what it is called, and the constants of its parts."""

    name: str
    levels: int = 0
    temperature: float = 2.0
    rows_weight: float = 0.0
    rows_lambda: float = 2.0
    centred: bool = True
    evidence: float = 0.0
    seen_penalty: float = 0.0


BEFORE = Variant("ConSE, temperature 1 (the night before)", temperature=1.0)
NIGHT = Variant("the night: all of it", 6, 2.0, 0.5, evidence=EVIDENCE, seen_penalty=SEEN_PENALTY)
VARIANTS = [
    BEFORE,
    Variant("temperature 2"),
    Variant("+ vectors smoothed over 6 levels (HierSE)", 6),
    Variant("+ classifier rows, features not centred", 6, rows_weight=0.5, centred=False),
    Variant("+ features centred", 6, rows_weight=0.5),
    Variant("+ evidence below a noun", 6, rows_weight=0.5, evidence=EVIDENCE),
    NIGHT,
    replace(NIGHT, name="the night, but not smoothed", levels=0),
    replace(NIGHT, name="the night, but without rows", rows_weight=0.0),
    replace(NIGHT, name="the night, but without evidence", evidence=0.0),
    replace(NIGHT, name="the night, but without penalty", seen_penalty=0.0),
]


@dataclass(frozen=True)
class Asked:
    """Images of one protocol: which, what they show, the classes that are left out, and the few candidates."""

    features_NF: np.ndarray
    truth_N: np.ndarray
    dropped_C: np.ndarray

    @property
    def own(self) -> np.ndarray:
        return np.unique(self.truth_N)


@dataclass(frozen=True)
class Study:
    """A network's features of all photographs, and words that are not smoothed.

    Attributes:
        photograph_CF: of one photograph a class, in the classes' order. corpus_NF, folders: of Caltech's.
        known, classes, ancestry: the vocabulary. zero_shot, seen: folder -> label id.
    """

    classifier: nn.Linear
    photograph_CF: np.ndarray
    corpus_NF: np.ndarray
    folders: Sequence[str]
    known: Vocabulary
    classes: ClassVectors
    ancestry: Ancestry
    zero_shot: dict[str, int]
    seen: dict[str, int]

    def measure(self, variant: Variant, asked: Sequence[Asked]) -> tuple[np.ndarray, np.ndarray]:
        """Of each image the place of its label among the protocol's own, and among all; 0 is the best."""
        vectors_VD, vectors_CD = self._words(variant.levels)
        ranks = []
        for one in asked:
            left_CD = np.where(one.dropped_C[:, None], np.float32(np.nan), vectors_CD)
            projection = convex_projection(self.classifier, left_CD, variant.temperature, 10)
            if variant.rows_weight:
                mean_F = self.photograph_CF.mean(axis=0) if variant.centred else None
                projection = add_rows(projection, vectors_VD, mean_F, variant.rows_lambda, variant.rows_weight)
            with torch.inference_mode():
                found_ND, *classes = projection.with_classes(torch.from_numpy(one.features_NF))
                embedding_ND = nn.functional.normalize(found_ND, dim=1).numpy()
            kept = {name for name, gone in zip(self.classes.names, one.dropped_C, strict=True) if not gone}
            ranker = Ranker(
                *(vectors_VD, self.ancestry, self.classes.synsets, seen_ids(self.known, kept)),
                evidence=variant.evidence,
                seen_penalty=variant.seen_penalty,
            )
            ranks.append(_ranks(ranker, embedding_ND, [part.numpy() for part in classes], one))
        return tuple(np.concatenate(part) for part in zip(*ranks, strict=True))

    def _words(self, levels: int) -> tuple[np.ndarray, np.ndarray]:
        if levels not in self._kept:
            own = (self.known.vectors, self.known.synsets), (self.classes.vectors_CD, self.classes.synsets)
            self._kept[levels] = tuple(smooth(*one, self.known.vectors, self.ancestry, levels) for one in own)
        return self._kept[levels]

    @cached_property
    def _kept(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return {}

    @cached_property
    def class_label_C(self) -> np.ndarray:
        """The label of each class: the first of its names that is one; -1 for none."""
        find = self.known.find_one
        return np.array([next((row for text in own if (row := find(text)) is not None), -1) for own in self._texts])

    @property
    def _texts(self) -> list[list[str]]:
        return self.classes.texts

    def _named(self, nouns: set[str]) -> np.ndarray:
        """bool (C,): the classes that one of these nouns names."""
        return ~drop_targets(self.classes.texts, sorted(nouns)).keep_N

    @cached_property
    def _zero_shot_names(self) -> set[str]:
        return {self.known.labels[label] for label in self.zero_shot.values()}

    def protocol_p(self) -> list[Asked]:
        """Held-out ImageNet classes; a class that shares a name with one is left out too."""
        order = np.random.default_rng(1).permutation(len(self.classes.names))
        of_zero_shot = self._named(self._zero_shot_names)
        asked = []
        for held in np.array_split(order, FOLDS):
            held = np.sort(held[(self.class_label_C[held] >= 0) & ~of_zero_shot[held]])
            names = {text for number in held for text in self._texts[number]}
            dropped_C = self._named(names) | np.isin(self.class_label_C, self.class_label_C[held])
            asked.append(Asked(self.photograph_CF[held], self.class_label_C[held], dropped_C))
        return asked

    def protocol_a(self) -> list[Asked]:
        """Nouns above classes: the smallest kinds first, each of at least five classes that no noun before it has."""
        below: dict[str, list[int]] = {}
        for number, synset in enumerate(self.classes.synsets):
            for above in self.ancestry.above(synset) if synset is not None else ():
                below.setdefault(above, []).append(number)
        taken_names = {fold(text) for own in self._texts for name in own for text in (name, *singulars(name))}
        taken_names |= set(map(fold, self._zero_shot_names))
        is_class = set(self.classes.synsets)
        chosen, used = [], set()
        for synset in sorted(below, key=lambda synset: (len(below[synset]), synset)):
            labels, own = self.ancestry.labels_of.get(synset, ()), below[synset]
            names = {fold(name) for label in labels for name in (self.known.labels[label], *self.known.synonyms[label])}
            if not labels or synset in is_class or not BELOW[0] <= len(own) <= BELOW[1] or names & taken_names:
                continue
            if len(set(own) - used) >= BELOW[0]:
                chosen.append((labels[0], own))
                used |= set(own)
        generator = np.random.default_rng(0)
        drawn = [(number, label) for label, own in chosen for number in generator.permutation(sorted(own))[:PER_NOUN]]
        rows, truth_N = (np.array(part) for part in zip(*drawn, strict=True))
        return [Asked(self.photograph_CF[rows], truth_N, np.zeros(len(self.classes.names), dtype=bool))]

    def protocol_z(self) -> list[Asked]:
        tested = [row for row, folder in enumerate(self.folders) if folder in self.zero_shot]
        truth_N = np.array([self.zero_shot[self.folders[row]] for row in tested])
        return [Asked(self.corpus_NF[tested], truth_N, self._named(self._zero_shot_names))]

    def protocol_s(self, seeds: Sequence[int]) -> list[tuple[float, ...]]:
        """hit@KS in percent among all labels of a classifier of the folders' own labels, for each seed."""
        nouns = self.zero_shot | self.seen
        used = np.array([row for row, folder in enumerate(self.folders) if folder in nouns])
        folder_N = np.asarray(self.folders)[used]
        label_ids, label_N = np.unique([nouns[folder] for folder in folder_N], return_inverse=True)
        found = []
        for seed in seeds:
            train_N = seventy_percent(folder_N, seed)
            labels = [[int(label)] for label in label_N[train_N]]
            layer = fit_classifier_head(self.corpus_NF[used[train_N]], labels, len(label_ids)).layer
            projection = convex_projection(layer, self.known.vectors[label_ids], 1.0, 10)
            with torch.inference_mode():
                found_ND = projection(torch.from_numpy(self.corpus_NF[used[~train_N]]))
                embedding_ND = nn.functional.normalize(found_ND, dim=1).numpy()
            ranker = Ranker(self.known.vectors, self.ancestry, evidence=0.0, seen_penalty=0.0)
            asked = Asked(embedding_ND, label_ids[label_N[~train_N]], np.zeros(0, dtype=bool))
            found.append(percent(_ranks(ranker, embedding_ND, [None, None], asked)[1], KS))
        return found

    def answers(self, variant: Variant, core: Core, denied_V: np.ndarray) -> Measured:
        """What is answered of held-out classes, the other constants being the settings' defaults."""
        vectors_VD, vectors_CD = self._words(variant.levels)
        card = {"class_synsets": self.classes.synsets, "seen": self.classes.names}
        config = TrainConfig(warehouse="none", run="none", architecture=core.architecture, weights="none")
        known = replace(self.known, vectors=vectors_VD)
        hiding = Hiding(config, core, known, self.ancestry, self.classes, vectors_CD, card, denied_V)
        return measure(hiding, hiding.rank(self.photograph_CF, self.classes.texts))


def percent(rank_N: np.ndarray, ks: Sequence[int]) -> tuple[float, ...]:
    return tuple(100 * float((rank_N < k).mean()) for k in ks)


def _ranks(ranker: Ranker, embedding_ND: np.ndarray, classes: list, one: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Places among the protocol's own labels, and among all: how many are more relevant."""
    few, all_of_them = np.empty(len(one.truth_N), int), np.empty(len(one.truth_N), int)
    own = one.own
    for start in range(0, len(one.truth_N), 256):
        part = slice(start, start + 256)
        relevance_BV = ranker.relevance(
            embedding_ND[part], *(None if value is None else value[part] for value in classes)
        )
        truth_B = one.truth_N[part]
        right_B1 = relevance_BV[np.arange(len(truth_B)), truth_B][:, None]
        few[part] = (relevance_BV[:, own] > right_B1).sum(axis=1)
        all_of_them[part] = (relevance_BV > right_B1).sum(axis=1)
    return few, all_of_them
