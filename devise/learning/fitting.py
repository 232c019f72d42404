"""From settings, a core and labelled images to a model: which projection, which loss, in what order; no Spark here.

Shape letters: N images, F features, D dims, L training labels, C classes.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.facts import shipped
from devise.learning import train
from devise.learning.choosing import TrainingSet, choose_images, watch_classes
from devise.learning.labelled import drop_targets, mean_targets
from devise.learning.pictures import read_picture
from devise.learning.rows import add_rows
from devise.learning.softmax import fit_classifier_head
from devise.store import scratch, storage
from devise.vision.model import DeviseModel, network_id
from devise.vision.networks import Core, build_core
from devise.vision.projections import ConvexProjection, convex_projection, linear_projection, mlp_projection
from devise.vision.published import preprocessing_of
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary


@dataclass(frozen=True)
class Fitted:
    """A model, the images that it was fitted to (None without any), and those of the classes that it was not to see."""

    model: DeviseModel
    learned: TrainingSet | None
    watched: TrainingSet | None


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
    if config.loss == "none":
        return convex_projection(core.classifier, class_vectors_CD, config.temperature, config.top_t), {}
    vectors_LD = chosen.vectors_LD
    if config.loss == "softmax":
        head = fit_classifier_head(features_NF, chosen.labels, len(vectors_LD))
        figures = {"loss": "softmax", "n_images": len(features_NF), "n_labels": len(vectors_LD), "at_end": head.loss}
        return convex_projection(head.layer, vectors_LD, config.temperature, config.top_t), figures
    if config.loss == "ridge":
        weight_FD, bias_D, figures = train.fit_ridge(
            features_NF, mean_targets(chosen.labels, vectors_LD), config.ridge_lambda
        )
        return linear_projection(weight_FD, bias_D), asdict(figures)
    if config.projection == "convex":
        projection = convex_projection(core.classifier, class_vectors_CD, config.temperature, config.top_t)
    elif config.projection == "mlp":
        torch.manual_seed(config.seed)
        projection = mlp_projection(core.n_features, dim)
    else:  # the rank loss starts at the regression's map: from noise it needs many more epochs to get there
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
) -> Fitted:
    """The model that the settings ask for; with `finetune`, the one that the core's training starts from.

    Args:
        classes: those of the weights' classification layer.
        held_out: nouns that training must never see; a class that one of them names is left out of `convex`.
        images: image_id, uri, etag, size_bytes and texts of the labelled images; empty of meaning without any.
        features_NF: of those images, when there are any and the core has weights. With loss none they tell what
            pictures have in common.

    Raises:
        TrainingError: nothing to learn from. ModelError: weights that do not fit.
    """
    chosen, watched = None, None
    if config.learns and not config.has_teacher:
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
        of_images = chosen.labels if chosen is not None else None
        if config.has_teacher:
            chosen, of_images = learn_from_teacher(config, core, class_vectors_CD, features_NF)
        if config.finetune is not None:
            chosen, watched = _withhold(chosen, of_images, config, report)
        if chosen is not None and features_NF is not None:
            features_NF = features_NF[chosen.rows_N]
    image_id_N = images.column("image_id").to_numpy()[chosen.rows_N] if chosen is not None else None
    projection, figures["projection"] = fit_projection(
        config, core, class_vectors_CD, vocabulary, features_NF, image_id_N, chosen, report
    )
    if isinstance(projection, ConvexProjection) and config.rows_weight and config.loss != "softmax":
        mean_F = _mean_features(config, core, features_NF, report)
        projection = add_rows(projection, vocabulary.vectors, mean_F, config.rows_lambda, config.rows_weight)
    ids = chosen.label_ids_L if chosen is not None else []
    told = {
        "vocabulary_id": vocabulary_id,
        "seen": seen_labels(config, vocabulary, ids, classes, class_vectors_CD),
        "class_synsets": _class_synsets(config, vocabulary, ids, classes),
        "training": figures,
    }
    return Fitted(DeviseModel(core, projection, preprocessing_of(config), **told), chosen, watched)


def _class_synsets(
    config: TrainConfig, vocabulary: Vocabulary, label_ids: Iterable[int], classes: ClassVectors | None
) -> list[str | None]:
    """The synset of each class that the projection's classifier was made for; empty without one."""
    if config.projection != "convex":
        return []
    if config.weights is None or config.loss == "softmax":
        return [vocabulary.synsets[i] for i in label_ids]
    return classes.synsets


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


def seen_labels(
    config: TrainConfig,
    vocabulary: Vocabulary,
    label_ids: Iterable[int],
    classes: ClassVectors | None,
    class_vectors_CD: np.ndarray | None,
) -> list[str]:
    """What the card calls seen: training labels, and the classes of weights that the projection or a teacher has."""
    seen = [vocabulary.labels[i] for i in label_ids]
    of_weights = config.projection == "convex" and config.loss != "softmax"
    if config.weights is not None and (of_weights or config.has_teacher):
        kept_C = np.isfinite(class_vectors_CD).all(axis=1)
        seen = sorted({*seen, *(name for name, kept in zip(classes.names, kept_C, strict=True) if kept)})
    return seen


def learn_from_teacher(
    config: TrainConfig, core: Core, class_vectors_CD: np.ndarray, features_NF: np.ndarray
) -> tuple[TrainingSet, list[list[int]]]:
    """Images without labels, their targets ConSE's unit embeddings of them; and of each its most probable class."""
    if len(features_NF) == 0:
        raise TrainingError("found no pictures that can be read, wanted some to learn from")
    teacher = convex_projection(core.classifier, class_vectors_CD, config.temperature, config.top_t)
    with torch.inference_mode():
        features = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32))
        targets_ND = torch.cat([functional.normalize(teacher(part), dim=1) for part in features.split(4096)]).numpy()
        class_N = torch.cat([core.classifier(part).argmax(1) for part in features.split(4096)]).tolist()
    rows_N = np.arange(len(features_NF))
    chosen = TrainingSet(rows_N, [[row] for row in rows_N.tolist()], targets_ND, np.zeros(0, dtype=np.int64))
    return chosen, [[number] for number in class_N]


def _withhold(
    chosen: TrainingSet, classes: list[list[int]], config: TrainConfig, report: Callable[[str], None]
) -> tuple[TrainingSet, TrainingSet]:
    """The images to train on, and those of the drawn classes, which only tell when to stop."""
    watched_N, drawn = watch_classes(classes, config.finetune.watched, config.seed)
    report(f"{len(drawn)} classes are watched and not learned: {int(watched_N.sum()):,} images")
    among = None if config.has_teacher else set(drawn.tolist())
    return chosen.take(np.flatnonzero(~watched_N)), chosen.take(np.flatnonzero(watched_N), among)


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
        pixels = list(pool.map(partial(read_picture, preprocessing=preprocessing), rows))
    kept = [place for place, found in enumerate(pixels) if not isinstance(found, str)]
    if not kept:
        raise TrainingError(f"none of {len(rows)} labelled pictures can be decoded")
    report(f"{len(kept):,} pictures decoded, {len(rows) - len(kept)} left out as unreadable")
    labels = [chosen.labels[place] for place in kept]
    chosen = TrainingSet(chosen.rows_N[kept], labels, chosen.vectors_LD, chosen.label_ids_L)
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
