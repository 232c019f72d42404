"""From settings, a core and labelled images to a model: which projection, which loss, in what order; no Spark here.

Shape letters: N images, F features, D dims, L training labels, C classes.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import torch

from devise.config import EngineConfig, TrainConfig
from devise.errors import ImageError, TrainingError
from devise.facts import shipped
from devise.learning import train
from devise.learning.labelled import drop_targets, mean_targets, resolve
from devise.learning.rows import add_rows
from devise.store import scratch, storage
from devise.vision.images import Preprocessing, decode
from devise.vision.model import DeviseModel, network_id
from devise.vision.networks import Core, build_core
from devise.vision.projections import ConvexProjection, convex_projection, linear_projection, mlp_projection
from devise.vision.published import preprocessing_of
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images in terms of the vocabulary: rows that were kept, and for each its labels, 0 to L - 1.

    `label_ids_L` are the vocabulary's ids of the L training labels, ascending.
    """

    rows_N: np.ndarray
    labels: list[list[int]]
    label_ids_L: np.ndarray


def choose_images(
    texts: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    held_out: Sequence[str],
    alternatives: bool,
    report: Callable[[str], None],
) -> TrainingSet:
    """The images to learn from: those with a known label that is not held out; what is dropped is reported by name.

    Args:
        texts: label texts of each image.
        held_out: nouns that training must never see.
        alternatives: the texts of an image name one thing (wnids), the first known one is its label.

    Raises:
        TrainingError: no image is left.
    """
    found = resolve(texts, vocabulary.find_one, alternatives)
    report(str(found))
    rows = np.array(found.rows)
    named = [
        [*texts[row], *(vocabulary.labels[i] for i in own)] for row, own in zip(rows, found.label_ids, strict=True)
    ]
    guarded = drop_targets(named, held_out)
    if guarded.dropped:
        report("held out: " + ", ".join(f"{noun} ({n} images)" for noun, n in guarded.dropped.items()))
    kept = [own for own, keep in zip(found.label_ids, guarded.keep_N, strict=True) if keep]
    if not kept:
        raise TrainingError(f"all {len(rows)} labelled images name a held-out noun, wanted some to learn from")
    label_ids_L = np.unique([number for own in kept for number in own])
    place = {int(number): row for row, number in enumerate(label_ids_L)}
    return TrainingSet(rows[guarded.keep_N], [[place[number] for number in own] for own in kept], label_ids_L)


def fit_projection(
    config: TrainConfig,
    core: Core,
    class_vectors_CD: np.ndarray | None,
    vocabulary: Vocabulary,
    features_NF: np.ndarray | None,
    image_id_N: np.ndarray | None,
    chosen: TrainingSet | None,
    report: Callable[[str], None],
) -> tuple[torch.nn.Module, dict]:
    """The projection that the settings ask for, and its training figures for the card.

    Args:
        class_vectors_CD: a vector a class of the core's classification layer, for `convex`; NaN rows have none.
        features_NF: float32, of the chosen images, in their order; None if there is nothing to train.
        image_id_N: of the chosen images; decides which of them only tell when to stop.
    """
    dim = vocabulary.vectors.shape[1]
    if config.projection == "convex":
        projection = convex_projection(core.classifier, class_vectors_CD, config.temperature, config.top_t)
        if config.loss == "none":
            return projection, {}
    vectors_LD = vocabulary.vectors[chosen.label_ids_L]
    if config.loss == "ridge":
        weight_FD, bias_D, figures = train.fit_ridge(
            features_NF, mean_targets(chosen.labels, vectors_LD), config.ridge_lambda
        )
        return linear_projection(weight_FD, bias_D), asdict(figures)
    if config.projection == "mlp":
        torch.manual_seed(config.seed)
        projection = mlp_projection(core.n_features, dim)
    elif config.projection == "linear":
        # The rank loss starts at the regression's map: from noise it needs many more epochs to get there.
        weight_FD, bias_D, _ = train.fit_ridge(
            features_NF, mean_targets(chosen.labels, vectors_LD), config.ridge_lambda
        )
        projection = linear_projection(weight_FD, bias_D)
    figures = train.fit_projection(
        projection,
        features_NF,
        chosen.labels,
        vectors_LD,
        image_id_N=image_id_N,
        loss=config.loss,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        margin=config.margin,
        seed=config.seed,
        report=report,
    )
    return projection, asdict(figures)


def fit(
    config: TrainConfig,
    vocabulary: Vocabulary,
    vocabulary_id: str,
    classes: ClassVectors | None,
    held_out: Sequence[str],
    images: pa.Table,
    features_NF: np.ndarray | None,
    report: Callable[[str], None],
) -> DeviseModel:
    """The model that the settings ask for.

    Args:
        classes: those of the weights' classification layer.
        held_out: nouns that training must never see; a class that one of them names is left out of `convex`.
        images: image_id, uri, etag, size_bytes and texts of the labelled images; empty of meaning if loss is none and
            the core has weights.
        features_NF: of those images, when the core has weights and there is a loss.

    Raises:
        TrainingError: nothing to learn from. ModelError: weights that do not fit.
    """
    chosen = None
    if config.labelled is not None:
        texts = images.column("texts").to_pylist()
        chosen = choose_images(texts, vocabulary, held_out, config.labelled.kind == "wnids", report)
    class_vectors_CD = guard_classes(classes, held_out, report) if classes is not None else None
    figures: dict = {}
    if config.weights is None:
        core, class_vectors_CD, features_NF, chosen, figures["core"] = _from_scratch(
            config, vocabulary, images, chosen, report
        )
    else:
        core = open_core(config)
        features_NF = features_NF[chosen.rows_N] if chosen is not None and features_NF is not None else None
    image_id_N = images.column("image_id").to_numpy()[chosen.rows_N] if chosen is not None else None
    projection, figures["projection"] = fit_projection(
        config, core, class_vectors_CD, vocabulary, features_NF, image_id_N, chosen, report
    )
    if isinstance(projection, ConvexProjection) and config.rows_weight:
        mean_F = _mean_features(config, core, features_NF, report)
        projection = add_rows(projection, vocabulary.vectors, mean_F, config.rows_lambda, config.rows_weight)
    seen = [vocabulary.labels[i] for i in chosen.label_ids_L] if chosen is not None else []
    if config.weights is not None and config.projection == "convex":
        kept_C = np.isfinite(class_vectors_CD).all(axis=1)
        seen = sorted({*seen, *(name for name, kept in zip(classes.names, kept_C, strict=True) if kept)})
    class_synsets = classes.synsets if classes is not None else []
    if config.weights is None:
        class_synsets = [vocabulary.synsets[i] for i in chosen.label_ids_L]
    told = {"vocabulary_id": vocabulary_id, "seen": seen, "class_synsets": class_synsets, "training": figures}
    return DeviseModel(core, projection, preprocessing_of(config), **told)


def _mean_features(
    config: TrainConfig, core: Core, features_NF: np.ndarray | None, report: Callable[[str], None]
) -> np.ndarray | None:
    """What pictures have in common (F,): the mean of those at hand, or as shipped for this network; None of neither."""
    if features_NF is not None and len(features_NF):
        return features_NF.mean(axis=0, dtype=np.float64)
    found_F = shipped.reference_features(network_id(core, preprocessing_of(config)))
    if found_F is None:
        report("classifier rows: found no mean features of this network; `labelled` pictures would centre them")
    return found_F


def guard_classes(classes: ClassVectors, held_out: Sequence[str], report: Callable[[str], None]) -> np.ndarray:
    """Vectors (C, D) of the classes; a NaN row, as of a class without a vector, for each that names a held-out noun."""
    guarded = drop_targets(classes.texts, held_out)
    if guarded.dropped:
        report(f"held out: {int((~guarded.keep_N).sum())} classes, of {', '.join(guarded.dropped)}")
    return np.where(guarded.keep_N[:, None], classes.vectors_CD, np.float32(np.nan))


def use_all_cores() -> None:
    """Let torch use every core of this host: training is one task, and Spark tells each task to use one."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))


def open_core(config: TrainConfig) -> Core:
    """The core visual model with the weights of the settings."""
    weights = config.weights
    if config.weights_file is not None:
        weights = str(scratch.localise(storage.normalise(config.weights_file)))
    return build_core(config.architecture, weights, config.weights_sha256)


@lru_cache(maxsize=1)
def _frozen_network(settings: str) -> DeviseModel:
    config = TrainConfig.model_validate_json(settings)
    return DeviseModel(open_core(config), None, preprocessing_of(config))


def frozen_network(config: TrainConfig) -> DeviseModel:
    """The core visual model with its weights and no projection: features only; opened once per process."""
    return _frozen_network(config.model_dump_json())


def _from_scratch(
    config: TrainConfig,
    vocabulary: Vocabulary,
    images: pa.Table,
    chosen: TrainingSet,
    report: Callable[[str], None],
) -> tuple[Core, np.ndarray, np.ndarray, TrainingSet, dict]:
    """Train the core on pixels, one class a training label; its class vectors, features and figures.

    Pictures that cannot be decoded, or are listed as too large, are left out and counted; everything is in memory:
    crop x crop x 3 bytes a picture.
    """
    rows, preprocessing = images.take(pa.array(chosen.rows_N)).to_pylist(), preprocessing_of(config)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        pixels = list(pool.map(lambda row: _decode(row, preprocessing), rows))
    kept = [place for place, found in enumerate(pixels) if found is not None]
    if not kept:
        raise TrainingError(f"none of {len(rows)} labelled pictures can be decoded")
    report(f"{len(kept):,} pictures decoded, {len(rows) - len(kept)} left out as unreadable")
    chosen = TrainingSet(chosen.rows_N[kept], [chosen.labels[place] for place in kept], chosen.label_ids_L)
    pixels_N3HW = torch.stack([pixels[place] for place in kept])
    torch.manual_seed(config.seed)
    core = build_core(config.architecture, None, None, n_classes=len(chosen.label_ids_L))
    figures = train.fit_classifier(
        core.features,
        core.classifier,
        pixels_N3HW,
        chosen.labels,
        n_classes=len(chosen.label_ids_L),
        mean=preprocessing.mean,
        std=preprocessing.std,
        epochs=config.core_epochs,
        time_limit_s=config.core_seconds,
        seed=config.seed,
        report=report,
    )
    mean_311, std_311 = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    with torch.inference_mode():
        parts = [core.features((part / 255 - mean_311) / std_311) for part in pixels_N3HW.split(64)]
    features_NF = torch.cat(parts).numpy()
    return core, vocabulary.vectors[chosen.label_ids_L], features_NF, chosen, asdict(figures)


def _decode(row: dict, preprocessing: Preprocessing) -> torch.Tensor | None:
    """The pixels of a row of uri, etag and size_bytes, by the limits of the embed engine; None where it rejects one."""
    limits = EngineConfig()
    if row["size_bytes"] > limits.max_bytes:
        return None
    try:
        return decode(storage.fetch_image(row["uri"], row["etag"]), preprocessing, limits.max_pixels).pixels
    except ImageError:
        return None
