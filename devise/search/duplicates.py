"""Groups of near-duplicates: images that a chain of pairs joins are one group; knows no tables, no Spark.

A group is called by its least image_id. `contract` names all groups at once, where the pairs fit a task. Of more pairs,
rounds of `large_star` and `small_star` do, each step over all pairs of some nodes, until nothing changes: then a pair
joins an image to the least of its group. The pairs never become more, and the rounds grow with the square of the
logarithm of the nodes at most (Kiveris et al., Connected Components in MapReduce and Beyond, SoCC 2014).
Shape letters: E pairs, V images. Ids are int64 and never negative.
"""

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray]
"""node_E and other_E, int64."""


def contract(node_E: np.ndarray, other_E: np.ndarray) -> Pairs:
    """Each image of the pairs, ascending, and the least image of its group: image_id_V, group_id_V."""
    image_id_V, place_2E = np.unique(np.concatenate([node_E, other_E]), return_inverse=True)
    node_E, other_E = np.split(place_2E.reshape(-1), 2)
    root_V = np.arange(len(image_id_V))
    while len(node_E):
        one_E, two_E = root_V[node_E], root_V[other_E]
        apart_E = one_E != two_E
        node_E, other_E, one_E, two_E = (part[apart_E] for part in (node_E, other_E, one_E, two_E))
        np.minimum.at(root_V, np.maximum(one_E, two_E), np.minimum(one_E, two_E))  # a root hangs on a lesser one
        while (root_V[root_V] != root_V).any():
            root_V = root_V[root_V]
    return image_id_V, image_id_V[root_V]


def large_star(node_E: np.ndarray, other_E: np.ndarray) -> Pairs:
    """Every greater neighbour of a node, and the least among the node and its neighbours; each such pair once.

    Args:
        node_E, other_E: all pairs of some nodes, each pair told from both of its ends.
    """
    least_E = np.minimum(_least(node_E, other_E), node_E)
    greater_E = other_E > node_E
    return _once(other_E[greater_E], least_E[greater_E])


def small_star(node_E: np.ndarray, other_E: np.ndarray) -> Pairs:
    """A node and each of its lesser neighbours, and the least of these; each such pair once.

    Args:
        node_E, other_E: all pairs of some nodes, each pair told from its greater end, the node.
    """
    least_E = _least(node_E, other_E)
    spared_E = other_E != least_E
    return _once(np.concatenate([node_E, other_E[spared_E]]), np.concatenate([least_E, least_E[spared_E]]))


def _least(node_E: np.ndarray, other_E: np.ndarray) -> np.ndarray:
    """The least neighbour of each pair's node."""
    node_V, place_E = np.unique(node_E, return_inverse=True)
    least_V = np.full(len(node_V), np.iinfo(np.int64).max)
    np.minimum.at(least_V, place_E, other_E)
    return least_V[place_E]


def _once(node_E: np.ndarray, other_E: np.ndarray) -> Pairs:
    found_E2 = np.unique(np.stack([node_E, other_E], axis=1), axis=0)
    return found_E2[:, 0], found_E2[:, 1]
