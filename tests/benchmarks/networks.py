"""The networks that a user can start with, side by side: top-1, images a second, and protocols Z and S by plain ConSE.

    python tests/benchmarks/networks.py --data ../shared/data [--images 300] [--repeats 5] [--keep FOLDER]

top-1   of the 1,000 photographs with one for each class, n and Wilson's 95 % interval
rate    images a second of devise.vision.engine.Engine over the first photographs of the corpus, fp32 and bf16, and the
        CPU milliseconds of this process for one, which others on the machine change less; networks take turns
Z       zero-shot nouns of the corpus by ConSE, top_t 10, a class's sense told by the hierarchy
S       nouns of classes too, no training and nothing held out, so that it says how far the classifier alone gets; and
        the reference's ridge (penalty 300, mean of 5 splits)

Features are kept in the folder, a file a network, and read again from there.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accept_protocols import KS, as_function, hits, protocol_s, ridge

from devise.config import TrainConfig
from devise.facts import shipped
from devise.learning.fitting import guard_classes, open_core
from devise.learning.metrics import interval
from devise.vision import graph
from devise.vision.engine import Engine, Item
from devise.vision.model import DeviseModel, convex_projection
from devise.vision.published import preprocessing_of
from devise.words import coverage
from devise.words.classes import ClassVectors

TEMPERATURES = (1.0, 2.0)


def networks(data: Path) -> dict[str, DeviseModel]:
    half = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    settings = {
        "mobilenet_v2": {"weights": str(data / "weights/mobilenet_v2_imagenet1k.pth"), **half},
        "efficientnet_lite0": {"weights": "starter"},
        "efficientnet_lite2": {"weights": "starter"},
    }
    configs = [TrainConfig(warehouse="w", run="r", architecture=name, **more) for name, more in settings.items()]
    return {one.architecture: DeviseModel(open_core(one), None, preprocessing_of(one)) for one in configs}


def items(paths: list[Path]) -> list[Item]:
    return [Item(number, str(path), "", path.stat().st_size) for number, path in enumerate(paths)]


def engine(model: DeviseModel, precision: str) -> Engine:
    return Engine(model, lambda item: Path(item.uri).read_bytes(), device="cpu", precision=precision, output="features")


def features(model: DeviseModel, paths: list[Path], kept: Path) -> np.ndarray:
    """Pooled features (N, F) in the order of the paths; each must be a picture."""
    if not kept.exists():
        features_NF = np.full((len(paths), model.core.n_features), np.nan, dtype=np.float32)
        for found in engine(model, "fp32").run(items(paths)):
            features_NF[[item.image_id for item in found.items]] = found.embedding_ND
        assert np.isfinite(features_NF).all()
        np.save(kept, features_NF)
    return np.load(kept)


def rates(models: dict[str, DeviseModel], paths: list[Path], repeats: int) -> dict[tuple[str, str], list]:
    """Of each network and precision, a (images a second, CPU milliseconds an image) a repeat."""
    precisions = dict.fromkeys(("fp32", graph.choose_precision("auto", graph.choose_device("cpu"))))
    engines = {(name, one): engine(model, one) for one in precisions for name, model in models.items()}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in engines}
    for repeat in range(repeats + 1):
        for key, one in engines.items():
            started, worked = time.perf_counter(), time.process_time()
            n = sum(len(outcomes.items) for outcomes in one.run(items(paths)))
            if repeat:  # the first brings files and allocator up
                cpu_ms = 1000 * (time.process_time() - worked) / n
                found[key].append((n / (time.perf_counter() - started), cpu_ms))
    return found


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells: str) -> None:
    print()
    row(*cells)
    row(*("---" for _ in cells))


def vocabularies(data: Path) -> dict[str, tuple[Path, Path, Path]]:
    """Vectors, hierarchy and classes: the data folder's, and those that ship."""
    taxonomy, classes = data / "taxonomy", shipped.CLASSES["imagenet1k"]
    theirs = (taxonomy / "oewn_noun_synsets.tsv.gz", taxonomy / "imagenet1k_classes.tsv")
    return {
        "80k": (data / "vectors/nouns-80k-300d.vec.gz", *theirs),
        "wordnet": (shipped.VECTORS["wordnet"], shipped.HIERARCHY["wordnet"], classes),
    }


def protocols(
    vectors: str,
    files: tuple[Path, Path, Path],
    models: dict[str, DeviseModel],
    corpus: list[Path],
    options: argparse.Namespace,
) -> None:
    """Rows of Z and S for each network; a folder whose noun is no label is left out, and it says so."""
    folders = [path.parent.name for path in corpus]
    known, found = coverage.make(files[0], files[1], "vectors", files[2])
    matches = found.classes
    texts = [
        [*one.names, *([label] if label else [])] for one, label in zip(matches.classes, matches.labels, strict=True)
    ]
    classes = ClassVectors([one.name for one in matches.classes], texts, matches.vectors_CD, matches.synsets)
    groups = json.loads((options.data / "taxonomy/caltech101_protocol.json").read_text())
    zero_shot = {folder: known.find_one(noun) for folder, noun in groups["zero_shot"].items()}
    nouns = zero_shot | {folder: known.find_one(noun) for folder, noun in groups["seen"].items()}
    if missing := sorted(folder for folder, label in nouns.items() if label is None):
        print(f"{vectors}: no label for {', '.join(missing)}, whose photographs are left out")
    zero_shot, nouns = ({at: label for at, label in one.items() if label is not None} for one in (zero_shot, nouns))
    held_out = sorted({known.labels[label] for label in zero_shot.values()})
    for name, model in models.items():
        features_NF = features(model, corpus, options.keep / f"{name}-corpus.npy")
        for protocol, wanted, guarded in (("Z", zero_shot, held_out), ("S", nouns, [])):
            tested_N = np.array([folder in wanted for folder in folders])
            truth_N = np.array([wanted[folder] for folder in folders if folder in wanted])
            vectors_CD = guard_classes(classes, guarded, lambda line: None)
            own = np.unique(truth_N)
            for temperature in TEMPERATURES:
                project = as_function(convex_projection(model.core.classifier, vectors_CD, temperature, 10))
                embedding_ND = project(features_NF[tested_N])
                for among, candidates in ((f"{len(own)}", own), (f"{len(known.labels):,}", None)):
                    at = hits(embedding_ND, truth_N, known.vectors, candidates)
                    method = f"ConSE, temperature {temperature:g}"
                    row(vectors, protocol, name, method, among, *(f"{hit:.1f}" for hit in at), f"{len(truth_N):,}")
        fit = {"ridge, penalty 300": ridge(300.0, known.vectors)}
        for one in protocol_s(features_NF, folders, nouns, known.vectors, fit):
            row(
                vectors,
                "S",
                name,
                one.method,
                f"{len(known.labels):,}",
                *(f"{hit:.1f}" for hit in one.hits),
                "5 splits",
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "devise-networks")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    models = networks(options.data)
    one_a_class = sorted((options.data / "images/imagenet1k_one_per_class").iterdir())
    corpus = sorted((options.data / "images/caltech101").glob("*/*.jpg"))
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {datetime.date.today()}, load ", end=""
    )
    print(f"{os.getloadavg()[0]:.1f}")

    header(
        "network",
        "precision",
        f"images a second of {options.images}, median",
        "least",
        "most",
        "CPU ms an image, median",
        "least",
    )
    for (name, precision), seen in rates(models, corpus[: options.images], options.repeats).items():
        rate, cpu_ms = zip(*seen, strict=True)
        figures = (statistics.median(rate), min(rate), max(rate), statistics.median(cpu_ms), min(cpu_ms))
        row(name, precision, *(f"{value:.1f}" for value in figures))

    header("network", f"top-1 of {len(one_a_class):,}", "95 % interval", "top-5")
    for name, model in models.items():
        features_NF = features(model, one_a_class, options.keep / f"{name}-one-a-class.npy")
        scores_NC = as_function(model.core.classifier)(features_NF)
        right_N5 = np.argsort(-scores_NC, axis=1)[:, :5] == np.arange(len(one_a_class))[:, None]
        top_1, top_5 = right_N5[:, 0].mean(), right_N5.any(axis=1).mean()
        low, high = interval(top_1, len(one_a_class))
        row(name, f"{100 * top_1:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", f"{100 * top_5:.1f}")

    header("vectors", "protocol", "network", "method", "among", *(f"@{k}" for k in KS), "n")
    for vectors, files in vocabularies(options.data).items():
        protocols(vectors, files, models, corpus, options)


if __name__ == "__main__":
    main()
