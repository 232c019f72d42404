"""Makes what ships of the starter's networks from photographs of ImageNet's classes, one a class; run by hand.

    pip install 'devise[starter]'
    python -m devise.learning.make_reference --photographs FOLDER --out devise/facts

A photograph is named by its wnid. Of each network it writes

- reference.safetensors: network id -> float32 (F,), mean features: what pictures have in common (`learning.rows`);
- calibration.json: network id -> how probable its labels are with the vectors that ship (`learning.hiding`).

The shipped ones are of 1,000 photographs: 2,688 means and six numbers a network; no picture can be made of them again.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from devise.config import TrainConfig
from devise.facts import shipped
from devise.learning import calibrating, fitting
from devise.vision.engine import Engine, Item
from devise.vision.model import DeviseModel, network_id
from devise.vision.networks import Core, build_core
from devise.vision.published import Preprocessing, published
from devise.words import coverage
from devise.words.ancestry import Ancestry
from devise.words.classes import ClassVectors, read_classes
from devise.words.vocabulary import vocabulary_id

NETWORKS = ("efficientnet_lite0", "efficientnet_lite2")


def read_features(core: Core, preprocessing: Preprocessing, paths: list[Path]) -> tuple[np.ndarray, list[Path]]:
    """Pooled features (N, F) of the pictures that can be read, and their paths."""
    model = DeviseModel(core, None, preprocessing)
    engine = Engine(model, lambda item: Path(item.uri).read_bytes(), output="features")
    found: dict[int, np.ndarray] = {}
    for outcomes in engine.run(Item(row, str(path), "", 0) for row, path in enumerate(paths)):
        for row, item in enumerate(outcomes.items):
            if outcomes.codes[row] is None:
                found[item.image_id] = outcomes.embedding_ND[row]
    rows = sorted(found)
    return np.stack([found[row] for row in rows]), [paths[row] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=shipped.REFERENCE.parent)
    options = parser.parse_args()
    paths = sorted(path for path in options.photographs.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    files = (shipped.VECTORS["wordnet"], shipped.HIERARCHY["wordnet"], "vectors", shipped.CLASSES["imagenet1k"])
    known, found = coverage.make(*files)
    ancestry = Ancestry(found.hypernyms, known.synsets, found.names)
    visual = read_classes(shipped.CLASSES["imagenet1k"])
    texts = [[*one.names] for one in visual]
    classes = ClassVectors([one.name for one in visual], texts, found.classes.vectors_CD, found.classes.synsets)
    by_wnid = {one.wnid: list(one.names) for one in visual}
    means, calibrations = {}, {}
    for architecture in NETWORKS:
        core, preprocessing = build_core(architecture, "starter"), published(architecture, "starter").preprocessing
        features_NF, read = read_features(core, preprocessing, paths)
        key = network_id(core, preprocessing)
        means[key] = features_NF.mean(axis=0, dtype=np.float64).astype(np.float32)
        config = TrainConfig(warehouse="none", run="none", architecture=architecture, weights="starter")
        images = pa.table({"image_id": pa.array([], pa.int64())})
        model = fitting.fit(config, known, vocabulary_id(known), classes, (), images, features_NF, print).model
        asked = [by_wnid.get(path.name.partition("_")[0], []) for path in read]
        made, _ = calibrating.calibrate(config, model, known, ancestry, classes, (), asked, features_NF, print)
        calibrations[key] = asdict(made)
        print(f"{architecture}: {len(read):,} photographs of {len(paths):,}")
    save_file(means, options.out / shipped.REFERENCE.name)
    told = {"n_labels": len(known.labels), "networks": calibrations}
    text = json.dumps(told, indent=1, sort_keys=True) + "\n"
    (options.out / shipped.CALIBRATION.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
