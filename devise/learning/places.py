"""A map of images: vectors to places in the plane by t-SNE, once, frozen as files; what comes later finds its place.

Nothing that is on the map ever moves: a place is a function of the frozen map and of one vector. Knows no tables.
Shape letters: N images that made the map, M images to place, D dims, C places with a name.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devise.errors import ModelError

LEAST_IMAGES = 60
"""Fewer images make no map."""
PERPLEXITY, EARLY, STEPS = 30, 250, 250
NEAREST = 5
"""A vector's place is the median of those of so many nearest ones, which keeps as many neighbours as openTSNE's own
transform, in a fraction of its time (docs/nightly-page.md)."""
IMAGES_A_PLACE, MOST_PLACES = 60, 36
BLOCK = 1_024


class Map(NamedTuple):
    """A frozen map: unit vectors float32 (N, D), their places (N, 2), centres of named places (C, 2)."""

    vector_ND: np.ndarray
    place_N2: np.ndarray
    centre_C2: np.ndarray


def fit(vector_ND: np.ndarray, seed: int = 0) -> Map:
    """A map of these unit vectors; the same for the same vectors in the same order.

    Raises:
        ValueError: fewer than LEAST_IMAGES.
    """
    if len(vector_ND) < LEAST_IMAGES:
        raise ValueError(f"found {len(vector_ND)} images, wanted at least {LEAST_IMAGES} for a map")
    from openTSNE import TSNEEmbedding, affinity, initialization
    from sklearn.cluster import KMeans

    perplexity = min(PERPLEXITY, (len(vector_ND) - 1) // 3)
    near = affinity.PerplexityBasedNN(vector_ND, perplexity, metric="cosine", method="exact", random_state=seed)
    begin = initialization.pca(vector_ND, random_state=seed)
    made = TSNEEmbedding(begin, near, random_state=seed, n_jobs=1, negative_gradient_method="bh")
    made.optimize(EARLY, exaggeration=12, momentum=0.5, inplace=True)
    made.optimize(STEPS, momentum=0.8, inplace=True)
    place_N2 = np.asarray(made, dtype=np.float32)
    n_places = min(MOST_PLACES, len(vector_ND) // IMAGES_A_PLACE + 1)
    centres = KMeans(n_places, n_init=4, random_state=seed).fit(place_N2).cluster_centers_
    return Map(vector_ND.astype(np.float32), place_N2, centres.astype(np.float32))


def place(made: Map, vector_MD: np.ndarray) -> np.ndarray:
    """float32 (M, 2): where unit vectors lie on the map, each by itself; those that made it where they are.

    Raises:
        ModelError: they are of another dim than the map's.
    """
    if vector_MD.shape[1:] != made.vector_ND.shape[1:]:
        raise ModelError(f"found vectors of {vector_MD.shape[1:]} dims, the map has {made.vector_ND.shape[1:]}")
    found = np.empty((len(vector_MD), 2), np.float32)
    k = min(NEAREST, len(made.vector_ND))
    for start in range(0, len(vector_MD), BLOCK):
        cosine_MN = vector_MD[start : start + BLOCK] @ made.vector_ND.T
        nearest_MK = np.argpartition(-cosine_MN, k - 1, axis=1)[:, :k]
        found[start : start + BLOCK] = np.median(made.place_N2[nearest_MK], axis=1)
        row, column = np.arange(len(cosine_MN)), cosine_MN.argmax(axis=1)
        same = cosine_MN[row, column] > 1 - 1e-6
        found[start : start + BLOCK][same] = made.place_N2[column[same]]
    return found


def nearest_centre(made: Map, place_M2: np.ndarray) -> np.ndarray:
    """int32 (M,): the number of the named place that each is nearest to."""
    distance_MC = ((place_M2[:, None, :] - made.centre_C2[None]) ** 2).sum(axis=2)
    return distance_MC.argmin(axis=1).astype(np.int32)


def save(made: Map, told: dict, arrays: Path, card: Path) -> None:
    """Write the map as two files: its arrays, and a card with what is told of it."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in made._asdict().items()}, arrays)
    told = {"what": "t-SNE of image embeddings, frozen", "perplexity": PERPLEXITY, "steps": [EARLY, STEPS], **told}
    card.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load(arrays: Path, card: Path) -> tuple[Map, dict]:
    """A saved map and its card; `ModelError` if it is none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(arrays)
        return Map(*(found[name] for name in Map._fields)), json.loads(card.read_bytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{arrays}: no frozen map of this version: {error}") from None
