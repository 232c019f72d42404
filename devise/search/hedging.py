"""The most specific answer that is sure enough of each image, in a hierarchy; it knows no files, no Spark, no fitting.

Bird rather than a wrong finch (Deng et al., Hedging your bets, CVPR 2012; climbing by a threshold that is fitted:
Goren et al., Hierarchical selective classification, NeurIPS 2024).

Shape letters: N images, K labels, T classes, V vocabulary, S nodes, M pairs of an image and a node.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from devise.search.calibrated import Calibration, Masses
from devise.words import ragged
from devise.words.ancestry import Ancestry


class Told(NamedTuple):
    """What is told of each image.

    Attributes:
        probability_NK: float32, of each of the K labels: that its synset is the truth or an ancestor of it.
        label_id_N: int32, the label that is the answer; -1 for none.
        node_N: int32, its node (`Nodes.synsets`); -1 for none.
        probability_N: float32, of the answer; NaN for none.
    """

    probability_NK: np.ndarray
    label_id_N: np.ndarray
    node_N: np.ndarray
    probability_N: np.ndarray


class Nodes:
    """All that may be asked of an image: the synsets at and above labels and classes; a label without one is its own.

    Args:
        ancestry: of the vocabulary's labels and of the classes.
        class_synsets: the synset of each of the weights' classes, in order; None for one without.
        may_tell_V: bool, the labels that may be answers: not the denied ones.
        first_V: bool, the labels that are the first name of their synset; None for none.

    Attributes:
        synsets: of each node; None for a label that is its own.
        specificity_S: float64, `Ancestry.specificity`; 1 for a label that is its own.
        label_id_S: int32, the label that a node is told by, of its synset's that may be told: the first of `first_V`,
            else the first; -1 for none.
        of_label_V: int64, the node of each label.
    """

    def __init__(
        self,
        ancestry: Ancestry,
        class_synsets: Sequence[str | None],
        may_tell_V: np.ndarray,
        first_V: np.ndarray | None = None,
    ):
        if len(ancestry.synsets) != len(may_tell_V):
            raise ValueError(f"{len(ancestry.synsets)} labels with synsets, may_tell {len(may_tell_V)}: wanted as many")
        self.ancestry, self.synsets = ancestry, []
        self._of_synset: dict[str, int] = {}
        label_above = [self._above(synset) for synset in ancestry.synsets]
        class_above = [self._above(synset) or [] for synset in class_synsets]
        for label_id, above in enumerate(label_above):
            if above is None:
                label_above[label_id] = [len(self.synsets)]
                self.synsets.append(None)
        self._labels, self._classes = _Ragged(label_above), _Ragged(class_above)
        self.of_label_V = self._labels.values[self._labels.starts[:-1]]
        self.specificity_S = np.array([1.0 if one is None else ancestry.specificity(one) for one in self.synsets])
        self.label_id_S = np.full(len(self.synsets), -1, dtype=np.int32)
        telling = np.flatnonzero(may_tell_V)[::-1]  # the first label is written last
        if first_V is not None:
            telling = np.concatenate([telling[~first_V[telling]], telling[first_V[telling]]])
        self.label_id_S[self.of_label_V[telling]] = telling

    def _above(self, synset: str | None) -> list[int] | None:
        """The nodes of a synset and its ancestors, itself first."""
        if synset is None:
            return None
        for one in (found := self.ancestry.above(synset)):
            if one not in self._of_synset:
                self._of_synset[one] = len(self.synsets)
                self.synsets.append(one)
        return [self._of_synset[one] for one in found]

    def at_or_above(self, synsets: Sequence[str]) -> np.ndarray:
        """The nodes, ascending, that are right if these synsets are the truth: they and their ancestors."""
        above = {one for synset in synsets for one in self.ancestry.above(synset)}
        return np.array(sorted(self._of_synset[one] for one in above if one in self._of_synset), dtype=np.int64)

    def masses(
        self,
        label_id_NK: np.ndarray,
        relevance_NK: np.ndarray,
        class_id_NT: np.ndarray,
        probability_NT: np.ndarray,
        temperature: float,
    ) -> Masses:
        """The masses of all nodes at or above an image's labels or classes; an image's are its own, whatever the batch.

        Args:
            label_id_NK, relevance_NK: the K most relevant labels, and what they were ranked by. They are compared
                within an image, so only differences count.
            class_id_NT, probability_NT: the T most probable classes.

        Raises:
            ValueError: shapes disagree, or an image's probabilities are not above 0.
        """
        if label_id_NK.shape != relevance_NK.shape or class_id_NT.shape != probability_NT.shape:
            raise ValueError(
                f"labels {label_id_NK.shape}, relevances {relevance_NK.shape}, classes {class_id_NT.shape}, "
                f"probabilities {probability_NT.shape}: wanted the first two equal, and the last two"
            )
        total_N = probability_NT.sum(axis=1, dtype=np.float64)
        if len(class_id_NT) != len(label_id_NK) or not (total_N > 0).all():
            raise ValueError(
                f"{len(label_id_NK)} images by labels, {len(class_id_NT)} by classes, least sum of probabilities "
                f"{total_N.min(initial=1)}: wanted as many, each above 0"
            )
        scaled_NK = (relevance_NK - relevance_NK.max(axis=1, keepdims=True)).astype(np.float64) / temperature
        soft_NK = np.exp(scaled_NK)
        soft_NK /= soft_NK.sum(axis=1, keepdims=True)
        n_nodes = len(self.synsets)
        sides = []
        for above, ids, weights in (
            (self._labels, label_id_NK, soft_NK),
            (self._classes, class_id_NT, probability_NT.astype(np.float64)),
        ):
            values, counts = above.take(ids.reshape(-1))
            images = np.repeat(np.arange(ids.shape[0]), ids.shape[1])
            sides.append((np.repeat(images, counts) * n_nodes + values, np.repeat(weights.reshape(-1), counts)))
        (label_keys, label_weights), (class_keys, class_weights) = sides
        keys, place = np.unique(np.concatenate([label_keys, class_keys]), return_inverse=True)
        at_labels, at_classes = place[: len(label_keys)], place[len(label_keys) :]
        return Masses(
            keys // n_nodes,
            keys % n_nodes,
            np.bincount(at_labels, label_weights, len(keys)),
            np.bincount(at_classes, class_weights, len(keys)),
            total_N,
        )


def tell(
    nodes: Nodes,
    calibration: Calibration,
    label_id_NK: np.ndarray,
    relevance_NK: np.ndarray,
    class_id_NT: np.ndarray,
    probability_NT: np.ndarray,
    target: float,
    least_specificity: float,
) -> Told:
    """The probability of each image's labels, and the answer: the most specific node whose probability meets a target.

    Of equally specific ones the more probable, then the one of the lower node. A node can be the answer if a label
    that may be told bears its name, and it is at least so specific: with nothing left there is no answer.

    Args:
        target: least probability of an answer, 0 to 1.
        least_specificity: 0 to 1; what is told of most things tells nothing. Of WordNet's nouns `entity` has 0,
            `artifact` 0.17, `person` 0.21, `animal` 0.26, `bird` 0.40, `dog` 0.57.
        others: `Nodes.masses`.
    """
    masses = nodes.masses(label_id_NK, relevance_NK, class_id_NT, probability_NT, calibration.temperature)
    specificity_M = nodes.specificity_S[masses.node]
    probability_M = calibration.probability(masses, specificity_M)
    n_nodes, n_images = len(nodes.synsets), len(label_id_NK)
    keys_M = masses.image * n_nodes + masses.node
    wanted_NK = np.arange(n_images)[:, None] * n_nodes + nodes.of_label_V[label_id_NK]
    label_NK = probability_M[np.searchsorted(keys_M, wanted_NK)]
    can_M = (
        (probability_M >= target) & (specificity_M >= least_specificity) & (nodes.label_id_S[masses.node] >= 0)
    ).nonzero()[0]
    order = can_M[np.lexsort((masses.node[can_M], -probability_M[can_M], -specificity_M[can_M], masses.image[can_M]))]
    answered, first = np.unique(masses.image[order], return_index=True)
    best = order[first]
    node_N = np.full(n_images, -1, dtype=np.int32)
    label_id_N = np.full(n_images, -1, dtype=np.int32)
    probability_N = np.full(n_images, np.nan, dtype=np.float32)
    node_N[answered] = masses.node[best]
    label_id_N[answered] = nodes.label_id_S[masses.node[best]]
    probability_N[answered] = probability_M[best]
    return Told(label_NK.astype(np.float32), label_id_N, node_N, probability_N)


class _Ragged:
    """Lists of ints of several lengths, end to end."""

    def __init__(self, lists: Sequence[Sequence[int]]):
        self.starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        self.values = np.fromiter((value for one in lists for value in one), np.int64, self.starts[-1])

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values of these rows, end to end, and how many each has."""
        places, counts = ragged.places(self.starts, rows)
        return self.values[places], counts
