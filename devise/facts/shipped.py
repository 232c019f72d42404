"""What settings call the shipped facts, the files of the package that they are, and what ships of a network.

A file of such a name in the working directory is reached as ./wordnet.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

HERE = Path(__file__).parent
HIERARCHY = {"wordnet": HERE / "wordnet.tsv.gz"}
"""WordNet 3.0's nouns: id (a wnid), lexfile, members, hypernyms, definition."""
CLASSES = {"imagenet1k": HERE / "imagenet1k.tsv.gz"}
"""The classes of ILSVRC 2012 in the order of networks trained on them: index, wnid, name, synonyms."""
VECTORS = {"wordnet": HERE / "wordnet.vec.gz"}
"""Word vectors of nouns, made of WordNet 3.0 alone: fastText text format."""
REFERENCE = HERE / "reference.safetensors"
"""Mean pooled features of photographs, by network id, of the networks whose weights are the starter's."""
DENIED = {"shipped": HERE / "denied.tsv.gz"}
"""Words and WordNet 3.0's synsets that are never told of a picture, each with the reason."""
CALIBRATION = HERE / "calibration.json"
"""How probable labels are, by network id, of the starter's networks with the vectors that ship."""
BY_SETTING = {
    **{"hierarchy": HIERARCHY, "classes": CLASSES, "names": CLASSES | HIERARCHY, "vectors": VECTORS},
    "deny": DENIED,
}
"""The last part of a setting's name -> what it may name."""


def find(setting: str, value: str | None) -> Path | None:
    """The package's file that a setting names; None if `value` is a file of the user's, or nothing.

    Args:
        setting: its dotted name, or the last part of it: `build_vocabulary.vectors`. One that names no kind of fact
            finds none.
    """
    return BY_SETTING.get(setting.rpartition(".")[2], {}).get(value)


def tag(setting: str, value: str | None) -> str | None:
    """What a manifest calls the input that a setting names: a shipped file by its content, any other as it stands.

    Two machines have one package at two paths and two dates.
    """
    path = find(setting, value)
    return f"shipped:{path.name} {_sha256(path)[:16]}" if path is not None else value


def calibration(network_id: str, n_labels: int) -> str | None:
    """The calibration, as JSON, of a frozen network with the vectors that ship; None of any other.

    Args:
        n_labels: of the vocabulary: another number tells that it is of other vectors or other nouns.
    """
    found = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    own = found["networks"].get(network_id)
    return json.dumps(own) if own is not None and n_labels == found["n_labels"] else None


@lru_cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reference_features(network_id: str) -> "np.ndarray | None":
    """float32 (F,): mean pooled features of photographs through a frozen network; None of one that is not shipped."""
    from safetensors.numpy import load_file  # only training asks for it

    return load_file(REFERENCE).get(network_id)
