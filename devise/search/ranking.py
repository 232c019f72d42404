"""Which labels an image gets: nearness, what its most probable classes say of more general nouns, and which are seen.

Shape letters: N images, B of a block, K labels, T classes, D dims, V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from devise.search.evidence import weigh_classes
from devise.search.zeroshot import BLOCK_ROWS, score_memory, top_labels
from devise.words import ragged
from devise.words.ancestry import Ancestry

LEAST_VARIANCE = 1e-8
"""Of an image's cosines over all labels: less is the rounding of float32, as where there is one label."""


@dataclass(frozen=True)
class Ranked:
    """The best labels of each image, best first.

    Attributes:
        label_id_NK: int32.
        score_NK: float32, cosine of embedding and word vector.
        relevance_NK: float32, what they are ranked by, in standard deviations of an image's cosines over the labels.
    """

    label_id_NK: np.ndarray
    score_NK: np.ndarray
    relevance_NK: np.ndarray


@dataclass(frozen=True)
class Block:
    """The relevance of all labels for some of the images, as long as it lies in memory.

    Attributes:
        rows: which images.
        relevance_BW: float32, a column for each of the ranker's `ids`; minus infinity of what is passed over.
        deviation_B: float32, of each image's cosines over all labels.
        evidence: the rows, columns and shares that were added to the cosines' deviations, in the order they were.
    """

    rows: slice
    relevance_BW: np.ndarray
    deviation_B: np.ndarray
    evidence: tuple[np.ndarray, np.ndarray, np.ndarray]


class Ranker:
    """Ranks labels by relevance: cosine / deviation + evidence x information - penalty x doubt.

    - cosine / deviation: the deviation is that of the image's cosines over all labels.
    - evidence: the probability of the seen classes that are the label or below it in the hierarchy, summed, times how
      much the label says: 1 - log(classes below it) / log(classes) (Deng et al. 2012, section 3). A label that no
      class is below has none; without it a general noun is always behind its kinds.
    - penalty: of labels that the model was trained on, which else win over all others (calibrated stacking, Chao et
      al. 2016, equation 3), times the probability that the image does not show the label's class: what the network is
      sure to have seen is not made less of.

    Only one thread may use it at a time: a block's scores lie in memory that it keeps.

    Args:
        vectors_VD: float32 unit rows, of all labels.
        ancestry: made with the labels' synsets.
        class_synsets: the synset of each class of the weights, in their order; None without one.
        seen: label ids that the penalty is for.
        evidence, seen_penalty: weights of the two, in deviations.
        candidates: label ids that may be chosen; None for all. Those in `denied` are not.

    Raises:
        ValueError: no label is left to choose.
    """

    def __init__(
        self,
        vectors_VD: np.ndarray,
        ancestry: Ancestry,
        class_synsets: Sequence[str | None] = (),
        seen: Collection[int] = (),
        *,
        evidence: float,
        seen_penalty: float,
        candidates: np.ndarray | None = None,
        denied: Collection[int] = (),
    ):
        self.vectors_VD = vectors_VD
        every = np.arange(len(vectors_VD))
        self.candidates = np.setdiff1d(every if candidates is None else candidates, list(denied))
        if len(self.candidates) == 0:
            raise ValueError("found no candidate that is not denied, wanted at least one")
        # Without candidates all vectors are multiplied as they lie, and what is denied is passed over: no second copy.
        self.ids = every if candidates is None else self.candidates
        self._chosen_VD = vectors_VD if candidates is None else vectors_VD[self.candidates]
        self._column_V = np.full(len(vectors_VD), -1, dtype=np.int64)
        self._column_V[self.ids] = np.arange(len(self.ids))
        self._covariance_DD = label_covariance(vectors_VD)
        self._memory_BW = score_memory(len(self.ids))
        lowered_V = np.zeros(len(vectors_VD), dtype=np.float32)
        lowered_V[list(seen)] = -seen_penalty
        own = seen_penalty * np.isin(every, list(seen))  # what a class's own probability gives back to its label
        lowered_V[np.setdiff1d(self.ids, self.candidates)] = -np.inf
        self._lowered_W = lowered_V[self.ids]
        self._lowered = torch.from_numpy(np.flatnonzero(self._lowered_W))
        self._lowered_by = torch.from_numpy(self._lowered_W)[self._lowered]
        self._starts_C, self._columns, self._weights = weigh_classes(
            ancestry, class_synsets, self._column_V, own, evidence
        )

    def top(
        self,
        embedding_ND: np.ndarray,
        class_id_NT: np.ndarray | None,
        probability_NT: np.ndarray | None,
        k: int,
        see: Callable[[Block], None] | None = None,
    ) -> Ranked:
        """The k most relevant labels of each image, ties by label id; fewer if there are fewer candidates.

        A label's relevance for an image has the same bits in whatever batch the image comes.

        Args:
            embedding_ND: float32 unit rows.
            class_id_NT, probability_NT: each image's most probable classes, as places in `class_synsets`; None where
                the model knows no classes.
            see: called with each block of all labels' relevance, of which nothing is kept.
        """
        deviation_N = self._deviations(embedding_ND)
        scaled_ND = embedding_ND / deviation_N[:, None]

        def adjust(relevance_BW: np.ndarray, part: slice) -> None:
            classes = (None, None) if class_id_NT is None else (class_id_NT[part], probability_NT[part])
            evidence = self._adjust(relevance_BW, *classes)
            if see is not None:
                see(Block(part, relevance_BW, deviation_N[part], evidence))

        k = min(k, len(self.candidates))
        column_NK, relevance_NK = top_labels(scaled_ND, self._chosen_VD, k, adjust=adjust, memory_BW=self._memory_BW)
        label_id_NK = self.ids[column_NK].astype(np.int32)
        score_NK = np.einsum("nkd,nd->nk", self.vectors_VD[label_id_NK], embedding_ND)
        return Ranked(label_id_NK, score_NK, relevance_NK)

    def relevance(
        self, embedding_ND: np.ndarray, class_id_NT: np.ndarray | None, probability_NT: np.ndarray | None
    ) -> np.ndarray:
        """float32 (N, candidates): the relevance of all candidates, in order of label id; arguments as of `top`."""
        relevance_NV = (embedding_ND / self._deviations(embedding_ND)[:, None]) @ self._chosen_VD.T
        self._adjust(relevance_NV, class_id_NT, probability_NT)
        return relevance_NV[:, self._column_V[self.candidates]]

    def cosines(self, block: Block, row_M: np.ndarray, column_M: np.ndarray) -> np.ndarray:
        """float32 (M,): the cosines behind some of a block's relevances, without another product of vectors.

        Args:
            row_M, column_M: row by row, a row's columns ascending, none twice.
        """
        width, (rows, columns, shares) = block.relevance_BW.shape[1], block.evidence
        cosine_M = block.relevance_BW[row_M, column_M] - self._lowered_W[column_M]
        wanted_M, added = row_M * width + column_M, rows * width + columns
        place = np.minimum(np.searchsorted(wanted_M, added), max(0, len(wanted_M) - 1))
        here = wanted_M[place] == added if len(wanted_M) else np.zeros(len(added), bool)
        np.subtract.at(cosine_M, place[here], shares[here])
        return cosine_M * block.deviation_B[row_M]

    def _deviations(self, embedding_ND: np.ndarray) -> np.ndarray:
        """float32 (N,): the standard deviation of each embedding's cosines over all labels."""
        variance_N = np.empty(len(embedding_ND))
        for start in range(0, len(embedding_ND), BLOCK_ROWS):
            part_BD = embedding_ND[start : start + BLOCK_ROWS]
            n_rows = len(part_BD)
            part_BD = np.pad(part_BD, ((0, BLOCK_ROWS - n_rows), (0, 0)))  # the bits of a product are those of its size
            variance_B = np.einsum("nd,nd->n", part_BD @ self._covariance_DD, part_BD)
            variance_N[start : start + n_rows] = variance_B[:n_rows]
        return np.sqrt(np.maximum(variance_N, LEAST_VARIANCE)).astype(np.float32)

    def _adjust(
        self, relevance_BW: np.ndarray, class_id_BT: np.ndarray | None, probability_BT: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Penalty and evidence, added in place; what is passed over has minus infinity added. The evidence."""
        # NumPy needs five times as long for some columns of many rows, a tenth of the products' time.
        torch.from_numpy(relevance_BW).index_add_(1, self._lowered, self._lowered_by.expand(len(relevance_BW), -1))
        if class_id_BT is None or not len(self._columns):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        return self._add_evidence(relevance_BW, class_id_BT, probability_BT)

    def _add_evidence(
        self, relevance_BW: np.ndarray, class_id_BT: np.ndarray, probability_BT: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        places, length = ragged.places(self._starts_C, class_id_BT.reshape(-1))
        rows = np.repeat(np.repeat(np.arange(len(class_id_BT)), class_id_BT.shape[1]), length)
        shares = (np.repeat(probability_BT.reshape(-1), length) * self._weights[places]).astype(np.float32)
        columns = self._columns[places]
        # One after the other, in the order of the classes: an image's sums have the same bits in any batch.
        np.add.at(relevance_BW, (rows, columns), shares)
        return rows, columns, shares


def label_covariance(vectors_VD: np.ndarray) -> np.ndarray:
    """float64 (D, D): v'Cv is the variance, over the labels, of their vectors' products with a vector v."""
    mean_D = vectors_VD.mean(axis=0, dtype=np.float64)
    # The product in float32: in float64 it is most of what a worker needs to open a vocabulary.
    return (vectors_VD.T @ vectors_VD).astype(np.float64) / len(vectors_VD) - np.outer(mean_D, mean_D)
