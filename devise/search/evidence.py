"""What an image's most probable classes say of labels: which labels each speaks for, and how loudly; numpy only.

Shape letters: V labels, C classes, E pairs of a class and a label.
"""

import math
from collections.abc import Sequence

import numpy as np

from devise.words.ancestry import Ancestry

EVIDENCE, SEEN_PENALTY = 2.5, 1.0
"""Weights in deviations, chosen on classes held out of ImageNet's and on their ancestors (docs/quality.md)."""


def weigh_classes(
    ancestry: Ancestry,
    class_synsets: Sequence[str | None],
    column_V: np.ndarray,
    own_V: np.ndarray,
    evidence: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The candidates that are a class or above it, and what its probability counts for them.

    That is how much the label says, 1 - log(classes below it) / log(classes) (Deng et al. 2012, section 3), times
    `evidence`.

    Args:
        column_V: the column of each label that may be chosen, -1 of the others.
        own_V: what a class's probability counts for its own labels besides.

    Returns:
        Where each class's begin, int64 (C + 1,); their columns, int64 (E,); and the weights, float32 (E,).
    """
    named = [synset for synset in class_synsets if synset is not None]
    below, full = ancestry.count_below(named), math.log(max(2, len(named)))
    starts, columns, weights = [0], [], []
    for synset in class_synsets:
        for above in ancestry.above(synset) if synset is not None else ():
            says = evidence * (1.0 - math.log(below[above]) / full)
            for label in ancestry.labels_of.get(above, ()):
                weight = says + (own_V[label] if above == synset else 0.0)
                if column_V[label] >= 0 and weight > 0:
                    columns.append(column_V[label])
                    weights.append(weight)
        starts.append(len(columns))
    return np.array(starts), np.array(columns, dtype=np.int64), np.array(weights, dtype=np.float32)
