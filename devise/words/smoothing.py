"""Vectors smoothed over the hierarchy: HierSE (Li et al., SIGIR 2015); no files, no pictures.

Shape letters: V labels, R rows to smooth, D dims.
"""

from collections.abc import Sequence

import numpy as np

from devise.words.ancestry import Ancestry

ROWS = 4096
"""Smoothed at a time: about 30,000 vectors of ancestors, 35 MB."""


def smooth(
    own_RD: np.ndarray, synsets: Sequence[str | None], vectors_VD: np.ndarray, ancestry: Ancestry, levels: int
) -> np.ndarray:
    """Each row plus the vectors of what is above its synset, e^-depth each, as a unit row: float32 (R, D).

    A synset's vector is that of its first label; one without a label adds nothing. A row without a synset, or with NaN,
    stays as it is (Li et al. 2015, section 3.2, where the levels are as many as there are).

    Args:
        own_RD: unit rows; synsets: of each, None without one.
        vectors_VD: of the labels that `ancestry` was made with, not smoothed.
        levels: how far up, in edges; 0 for not at all.
    """
    smoothed_RD = own_RD.astype(np.float32, copy=True)
    label_of = {synset: labels[0] for synset, labels in ancestry.labels_of.items()}
    for start in range(0, len(own_RD), ROWS):
        part = range(start, min(start + ROWS, len(own_RD)))
        rows, labels, depths = [], [], []
        for row in part:
            for above, depth in ancestry.above(synsets[row]).items() if synsets[row] is not None else ():
                if 0 < depth <= levels and above in label_of:
                    rows.append(row)
                    labels.append(label_of[above])
                    depths.append(depth)
        if not rows:
            continue
        terms = vectors_VD[labels] * np.exp(-np.array(depths, dtype=np.float32))[:, None]
        changed, first = np.unique(rows, return_index=True)  # they ascend
        total = own_RD[changed] + np.add.reduceat(terms, first, axis=0)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        smoothed_RD[changed] = np.where(length > 1e-6, total / np.maximum(length, 1e-6), own_RD[changed])
    return smoothed_RD
