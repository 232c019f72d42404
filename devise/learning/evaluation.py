"""What each labelled image adds to hit@k and hp@k; no Spark, no files but the hierarchy's.

Shape letters: N images, K predictions, D dims, V vocabulary.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from devise.learning.labelled import resolve
from devise.learning.metrics import hp_at_k
from devise.search.zeroshot import top_labels
from devise.words import synsets
from devise.words.vocabulary import Vocabulary


class Scorer:
    """Scores batches of embeddings against label texts.

    Args:
        vocabulary: the labels that may be predicted.
        ks: list lengths to look at, ascending.
        hierarchy: path of the noun hierarchy, or None: no hp@k then.
        given: label texts of each image of the whole split: only those labels are candidates. None: the vocabulary.
        alternatives: the texts of an image name one thing; the first that is known counts (wnids).
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        ks: Sequence[int],
        hierarchy: Path | str | None,
        given: Sequence[Sequence[str]] | None,
        alternatives: bool,
    ):
        self.vocabulary, self.ks, self.alternatives = vocabulary, list(ks), alternatives
        self.candidates = None
        if given is not None:
            resolved = resolve(given, vocabulary.find_one, alternatives)
            self.candidates = np.unique([number for own in resolved.label_ids for number in own]).astype(np.int32)
        self.tree = synsets.read_hierarchy(hierarchy) if hierarchy else None

    def score(self, embedding_ND: np.ndarray, texts: Sequence[Sequence[str]]) -> list[tuple[str, int, float]]:
        """(metric, k, value) for each image with a known label: hit 1 or 0, hp the precision, 0 to 1."""
        known = [[number for text in own if (number := self.vocabulary.find_one(text)) is not None] for own in texts]
        truths = [own[:1] if self.alternatives else own for own in known]
        rows = [row for row, own in enumerate(truths) if own]
        if not rows:
            return []
        width = min(max(self.ks), len(self.vocabulary.labels if self.candidates is None else self.candidates))
        label_id_NK, _ = top_labels(embedding_ND[rows], self.vocabulary.vectors, width, self.candidates)
        found: list[tuple[str, int, float]] = []
        for row, predicted_K in zip(rows, label_id_NK, strict=True):
            right_K = np.isin(predicted_K, truths[row])
            for k in self.ks:
                found.append(("hit", k, float(right_K[:k].any())))
                if self.tree is not None and self.vocabulary.synsets[truths[row][0]] is not None:
                    correct = self.correct_set(truths[row][0], k)
                    found.append(("hp", k, hp_at_k(predicted_K[None, :], [correct], min(k, width))))
        return found

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
        for number in range(len(names)) if self.candidates is None else self.candidates.tolist():
            if names[number] is not None:
                by_synset.setdefault(names[number], []).append(number)
        return list(by_synset.values()), self.tree.rows(list(by_synset))
