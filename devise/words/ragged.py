"""Lists of several lengths, end to end in one array; numpy only."""

import numpy as np


def places(starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the values of these lists lie, one list after the other, and how many each has.

    Args:
        starts: where each list begins in the array, and behind the last the end of all.
        rows: which lists, each as often as it is wanted.
    """
    counts = starts[rows + 1] - starts[rows]
    ends = np.cumsum(counts)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    return np.repeat(starts[rows], counts) + within, counts
