"""What is predicted for labelled images, and how right that is, image by image; no Spark, no files but the hierarchy's.

Shape letters: N images, K predictions, D dims, V vocabulary, R list lengths looked at.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devise.learning.metrics import hp_at_k
from devise.search.ranking import Ranker
from devise.words import synsets
from devise.words.vocabulary import Vocabulary


class Judged(NamedTuple):
    """Images with a known label, and how right their predictions are.

    rows_N: their positions in what was given. label_id_N: the true label, of several the first. n_true_N: true labels
    that are candidates. rank_N: place of the first true label among the predictions, 1 is the best; 0 for none of them.
    predicted_N, score_N: the best prediction and its cosine. shuffled_rank_N: as rank_N, had each candidate the name of
    another one. hp_NR: hierarchical precision, NaN without a hierarchy or a synset. sizes_NR: of the correct sets, 0
    where hp is NaN.
    """

    rows_N: np.ndarray
    label_id_N: np.ndarray
    n_true_N: np.ndarray
    rank_N: np.ndarray
    predicted_N: np.ndarray
    score_N: np.ndarray
    shuffled_rank_N: np.ndarray
    hp_NR: np.ndarray
    sizes_NR: np.ndarray


class Scorer:
    """Judges batches of embeddings by label texts.

    Args:
        vocabulary: the labels.
        ranker: of these labels, as label_images ranks them; its candidates may be predicted.
        ks: list lengths to look at.
        hierarchy: path of the noun hierarchy, or None: no hp@k then.
        alternatives: the texts of an image name one thing; the first that is known counts (wnids).
        seed: of the shuffled names.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        ranker: Ranker,
        ks: Sequence[int],
        hierarchy: Path | str | None,
        alternatives: bool,
        seed: int = 0,
    ):
        self.vocabulary, self.ks, self.alternatives = vocabulary, sorted(ks), alternatives
        self.ranker, ids = ranker, ranker.candidates
        self.allowed_V = np.zeros(len(vocabulary.labels), dtype=bool)
        self.allowed_V[ids] = True
        self.shuffled_V = np.zeros(len(vocabulary.labels), dtype=np.int32)
        self.shuffled_V[ids] = np.random.default_rng(seed).permutation(ids)
        self.width = min(self.ks[-1], len(ids))
        self.tree = synsets.read_hierarchy(hierarchy) if hierarchy else None

    def judge(
        self,
        embedding_ND: np.ndarray,
        class_id_NT: np.ndarray | None,
        probability_NT: np.ndarray | None,
        texts: Sequence[Sequence[str]],
    ) -> Judged:
        """The images whose label is known, in order; the others are left out. Arrays are those of `Ranker.top`."""
        known = [[number for text in own if (number := self.vocabulary.find_one(text)) is not None] for own in texts]
        truths = [own[:1] if self.alternatives else list(dict.fromkeys(own)) for own in known]
        rows_N = np.array([row for row, own in enumerate(truths) if own], dtype=np.int64)
        n_images, n_lists = len(rows_N), len(self.ks)
        predicted_NK, score_NK = np.zeros((0, self.width), np.int32), np.zeros((0, self.width), np.float32)
        if n_images:
            asked = (part if part is None else part[rows_N] for part in (embedding_ND, class_id_NT, probability_NT))
            ranked = self.ranker.top(*asked, self.width)
            predicted_NK, score_NK = ranked.label_id_NK, ranked.score_NK
        own_truths = [truths[row] for row in rows_N]
        hp_NR = np.full((n_images, n_lists), np.nan)
        sizes_NR = np.zeros((n_images, n_lists), dtype=np.int64)
        for place, (own, predicted_K) in enumerate(zip(own_truths, predicted_NK, strict=True)):
            if self.tree is not None and self.vocabulary.synsets[own[0]] is not None:
                for column, k in enumerate(self.ks):
                    correct = self.correct_set(own[0], k)
                    hp_NR[place, column] = hp_at_k(predicted_K[None, :], [correct], min(k, self.width))
                    sizes_NR[place, column] = len(correct)
        return Judged(
            rows_N,
            np.array([own[0] for own in own_truths], dtype=np.int32),
            np.array([int(self.allowed_V[own].sum()) for own in own_truths], dtype=np.int32),
            _ranks(predicted_NK, own_truths),
            predicted_NK[:, 0],
            score_NK[:, 0],
            _ranks(self.shuffled_V[predicted_NK], own_truths),
            hp_NR,
            sizes_NR,
        )

    @lru_cache(maxsize=100_000)  # noqa: B019  the scorer lives as long as its task
    def correct_set(self, label_id: int, k: int) -> set[int]:
        """Labels that count as right at k: of the k or more synsets nearest to the true one (DeViSE, section 4)."""
        numbers_of, rows_C = self._candidate_synsets
        correct_C = self.tree.correct_rows(self.vocabulary.synsets[label_id], k, rows_C)
        return {number for place in np.flatnonzero(correct_C) for number in numbers_of[place]}

    @cached_property
    def _candidate_synsets(self) -> tuple[list[list[int]], np.ndarray]:
        """The candidates' label ids by synset, and those synsets' rows in the hierarchy."""
        names = self.vocabulary.synsets
        by_synset: dict[str, list[int]] = {}
        for number in self.ranker.candidates.tolist():
            if names[number] is not None:
                by_synset.setdefault(names[number], []).append(number)
        return list(by_synset.values()), self.tree.rows(list(by_synset))


def _ranks(predicted_NK: np.ndarray, truths: Sequence[Sequence[int]]) -> np.ndarray:
    """int32 (N,): place of the first true label in each row, from 1; 0 where none is in it."""
    ranks_N = np.zeros(len(truths), dtype=np.int32)
    for place, (own, predicted_K) in enumerate(zip(truths, predicted_NK, strict=True)):
        right_K = np.isin(predicted_K, own)
        ranks_N[place] = right_K.argmax() + 1 if right_K.any() else 0
    return ranks_N
