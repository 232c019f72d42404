"""Training on features or pixels already in memory; knows no files, tables or Spark, and writes no model.

Shape letters: N images, F features, D dims, L training labels, C classes, T true labels of an image.
The same seed gives the same weights on the same machine with the same number of threads.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from devise.errors import TrainingError
from devise.learning import losses
from devise.learning.labelled import Labels, check_labels, draw_rows, mean_targets

PATIENCE_EPOCHS = 5
HOLD_OUT_SALT = 1
LABEL_SMOOTHING = 0.1
MAX_SHIFT_FRACTION = 0.08
RECENT_EPOCHS = 3
"""Of these the fastest tells how long the next ones will take."""


@dataclass(frozen=True)
class TrainingFigures:
    """What a training run did, for the model's card; no durations, so that equal runs have equal cards.

    Attributes:
        loss: the objective's name.
        n_images: images learned from; n_held_out: images that only decided when to stop; n_labels: distinct labels,
            with a teacher as many as images.
        best_epoch: the epoch whose weights were kept; 0 is the projection as it came.
        train_losses: mean loss of each epoch run.
        held_out_losses: loss on the held-out images, before training and after each epoch; empty without any.
    """

    loss: str
    n_images: int
    n_held_out: int
    n_labels: int
    best_epoch: int
    train_losses: tuple[float, ...]
    held_out_losses: tuple[float, ...]


def fit_ridge(
    features_NF: np.ndarray, targets_ND: np.ndarray, penalty: float, target_mean: bool = True
) -> tuple[np.ndarray, np.ndarray, TrainingFigures]:
    """W_FD, bias_D and figures of ridge regression onto unit targets, rows in memory; see `losses.RidgeSums.solve`.

    The loss of the figures is the mean squared error.

    Raises:
        TrainingError: there are no images.
    """
    if len(features_NF) == 0:
        raise TrainingError("ridge: found no labelled images, wanted at least one")
    sums = losses.RidgeSums.zeros(features_NF.shape[1], targets_ND.shape[1]).accumulate(features_NF, targets_ND)
    weight_FD, bias_D = sums.solve(penalty, target_mean)
    n_labels = len(np.unique(targets_ND, axis=0))
    loss = sums.squared_error(weight_FD, bias_D)
    return weight_FD, bias_D, TrainingFigures("ridge", len(features_NF), 0, n_labels, 1, (loss,), ())


def fit_projection(
    projection: nn.Module,
    features_NF: np.ndarray,
    labels: Labels,
    label_vectors_LD: np.ndarray,
    *,
    image_id_N: np.ndarray,
    loss: Literal["cosine", "hinge_rank"],
    epochs: int,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    weight_decay: float = 0.0,
    margin: float = 0.1,
    held_out_fraction: float = 0.1,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> TrainingFigures:
    """Train `projection` in place with Adam on cached features; the weights kept are those of the best epoch.

    The best epoch is the one with the least loss on held-out images, the start included, so that a projection which
    starts as ConSE never ends worse than that on them; training stops PATIENCE_EPOCHS after it. Without held-out
    images (too few rows) the last epoch is kept.

    Args:
        features_NF: float32, of the frozen core visual model.
        labels: for each image its true labels, rows of `label_vectors_LD`, at least one.
        label_vectors_LD: unit rows; hinge rank takes every label in it as a training label, so it holds no others.
        image_id_N: decides which images are held out.
        report: called with one progress line an epoch.

    Raises:
        TrainingError: no images, an image without a label, or the loss is not finite.
    """
    check_labels(labels, len(label_vectors_LD))
    device = next(projection.parameters()).device
    features_NF = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32)).to(device)
    vectors_LD = torch.from_numpy(np.ascontiguousarray(label_vectors_LD, dtype=np.float32)).to(device)
    if loss == "cosine":
        truth = torch.from_numpy(mean_targets(labels, label_vectors_LD)).to(device)
    elif loss == "hinge_rank":
        truth = padded(labels).to(device)
    else:
        raise ValueError(f"loss {loss!r}: wanted cosine or hinge_rank")

    def objective(rows: torch.Tensor) -> torch.Tensor:
        projected_ND = projection(features_NF[rows])
        if loss == "cosine":
            return losses.cosine(projected_ND, truth[rows])
        return losses.hinge_rank(functional.normalize(projected_ND, dim=1), vectors_LD, truth[rows], margin)

    held_N = torch.from_numpy(draw_rows(image_id_N, held_out_fraction, HOLD_OUT_SALT))
    train_rows, held_rows = (~held_N).nonzero()[:, 0], held_N.nonzero()[:, 0]
    if len(train_rows) == 0:
        raise TrainingError(f"all {len(labels)} labelled images are held out, wanted some to learn from")

    def held_out_loss() -> float:
        projection.eval()
        with torch.no_grad():
            total = sum(objective(rows).item() * len(rows) for rows in held_rows.split(batch_size))
        return total / len(held_rows)

    trained = [p for p in projection.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=learning_rate, weight_decay=weight_decay)
    train_losses, held_losses = [], [held_out_loss()] if len(held_rows) else []
    best_epoch, best_state = 0, copy.deepcopy(projection.state_dict())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for epoch in range(1, epochs + 1):
            projection.train()
            train_losses.append(_one_epoch(train_rows, batch_size, optimiser, objective))
            line = f"epoch {epoch}/{epochs}: {loss} {train_losses[-1]:.4f}"
            if len(held_rows):
                held_losses.append(held_out_loss())
                line += f", held out {held_losses[-1]:.4f} (at the start {held_losses[0]:.4f})"
            report(line)
            if not held_losses or held_losses[-1] < held_losses[best_epoch]:
                best_epoch, best_state = epoch, copy.deepcopy(projection.state_dict())
            elif epoch - best_epoch >= PATIENCE_EPOCHS:
                break
    projection.load_state_dict(best_state)
    projection.eval()
    n_labels = len({label for row in labels for label in row})
    return TrainingFigures(
        loss, len(train_rows), len(held_rows), n_labels, best_epoch, tuple(train_losses), tuple(held_losses)
    )


def _one_epoch(
    rows: torch.Tensor,
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    objective: Callable[[torch.Tensor], torch.Tensor],
    rate: Callable[[float], float] | None = None,
) -> float:
    """Mean loss over one shuffled pass; `rate` gives the learning rate from the share of the pass done."""
    # Batches of nearly equal size: batch normalisation cannot train on a last batch of one.
    batches = rows[torch.randperm(len(rows))].tensor_split(math.ceil(len(rows) / batch_size))
    total = 0.0
    for done, batch in enumerate(batches):
        for group in optimiser.param_groups if rate else []:
            group["lr"] = rate(done / len(batches))
        optimiser.zero_grad(set_to_none=True)
        cost = objective(batch)
        cost.backward()
        optimiser.step()
        total += cost.item() * len(batch)
    if not math.isfinite(total):
        raise TrainingError(f"the loss became {total}: wanted finite; lower the learning rate or check the features")
    return total / len(rows)


def padded(labels: Labels) -> torch.Tensor:
    """int64 (N, T) as `losses.hinge_rank` takes it: the labels of each image, then -1."""
    rows = [torch.tensor(list(own), dtype=torch.int64) for own in labels]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


def fit_classifier(
    core: nn.Module,
    classifier: nn.Module,
    pixels_N3HW: torch.Tensor,
    labels: Labels,
    *,
    n_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    epochs: int,
    time_limit_s: float,
    learning_rate: float = 3e-3,
    batch_size: int = 64,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> TrainingFigures:
    """Train core and classifier from pixels, in place, then freeze both; light augmentation, one-cycle learning rate.

    Args:
        core: normalised pixels -> features; classifier: features -> class scores (N, C).
        pixels_N3HW: uint8 RGB.
        labels: true classes of each image; several share the target evenly.
        mean, std: the model's preprocessing of RGB in 0 to 1.
        time_limit_s: epochs are cut, and the learning rate comes down sooner, when the fastest of the last epochs says
            that all of them would take longer; the last one may end after the limit. A machine that is too slow for
            the limit thus gives other weights than a fast one; one that was busy for an epoch does not.

    Raises:
        TrainingError: no images, an image without a label, or the loss is not finite.
    """
    check_labels(labels, n_classes)
    if pixels_N3HW.dtype != torch.uint8 or pixels_N3HW.shape[1] != 3 or len(pixels_N3HW) != len(labels):
        raise ValueError(f"{len(labels)} labels, pixels {pixels_N3HW.dtype} {tuple(pixels_N3HW.shape)}: wanted uint8")
    device = next(core.parameters()).device
    target_NC = torch.zeros(len(labels), n_classes)
    for row, own in enumerate(labels):
        target_NC[row, list(own)] = 1 / len(set(own))
    mean_311, std_311 = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))

    def objective(rows: torch.Tensor) -> torch.Tensor:
        pixels = ((augment(pixels_N3HW[rows]) - mean_311) / std_311).to(device)
        return functional.cross_entropy(
            classifier(core(pixels)), target_NC[rows].to(device), label_smoothing=LABEL_SMOOTHING
        )

    def rate(epochs_done: int, epochs_planned: int, share: float) -> float:
        return learning_rate * one_cycle((epochs_done + share) / epochs_planned)

    both = nn.ModuleList([core, classifier]).requires_grad_(True).train()
    optimiser = torch.optim.AdamW(both.parameters(), lr=learning_rate, weight_decay=0.05)
    planned, train_losses, ends_s = epochs, [], [time.monotonic()]
    rows = torch.arange(len(labels))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        while len(train_losses) < planned:
            now = partial(rate, len(train_losses), planned)
            train_losses.append(_one_epoch(rows, batch_size, optimiser, objective, now))
            ends_s.append(time.monotonic())
            planned = min(epochs, affordable_epochs(ends_s, time_limit_s))
            elapsed_s = ends_s[-1] - ends_s[0]
            report(f"epoch {len(train_losses)}/{planned}: cross entropy {train_losses[-1]:.4f}, {elapsed_s:.0f} s")
    both.requires_grad_(False).eval()
    n_labels = len({label for own in labels for label in own})
    return TrainingFigures("cross_entropy", len(labels), 0, n_labels, len(train_losses), tuple(train_losses), ())


def affordable_epochs(ends_s: Sequence[float], time_limit_s: float) -> int:
    """How many epochs start within the limit, those done among them, if the rest are as fast as the fastest of late.

    Args:
        ends_s: the start, then the end of each epoch done, at least one.
    """
    fastest_s = min(end - start for start, end in pairwise(ends_s[-1 - RECENT_EPOCHS :]))
    left_s = max(0.0, time_limit_s - (ends_s[-1] - ends_s[0]))
    return len(ends_s) - 1 + math.ceil(left_s / max(fastest_s, 1e-9))


def one_cycle(progress: float) -> float:
    """Learning rate as a share of its peak: a line up for the first quarter, a cosine down to 0; progress 0 to 1."""
    if progress < 0.25:
        return 0.04 + 0.96 * progress / 0.25
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.25) / 0.75))


def augment(pixels_N3HW: torch.Tensor) -> torch.Tensor:
    """Flipped, shifted and tinted at random, each image for itself; uint8 in, float32 in 0 to 1 out, same shape."""
    n_images, _, height, width = pixels_N3HW.shape
    pixels = pixels_N3HW.float() / 255
    pixels = torch.where(torch.rand(n_images, 1, 1, 1) < 0.5, pixels.flip(3), pixels)
    most_y, most_x = int(height * MAX_SHIFT_FRACTION), int(width * MAX_SHIFT_FRACTION)
    padded = functional.pad(pixels, (most_x, most_x, most_y, most_y), mode="replicate")
    y_NH = torch.randint(0, 2 * most_y + 1, (n_images, 1)) + torch.arange(height)
    x_NW = torch.randint(0, 2 * most_x + 1, (n_images, 1)) + torch.arange(width)
    each_N = torch.arange(n_images)[:, None, None]
    shifted_NHW3 = padded.permute(0, 2, 3, 1)[each_N, y_NH[:, :, None], x_NW[:, None, :]]
    gain_N3 = 1 + 0.3 * (torch.rand(n_images, 1) - 0.5) + 0.2 * (torch.rand(n_images, 3) - 0.5)
    tinted = 0.5 + (shifted_NHW3.permute(0, 3, 1, 2) - 0.5) * gain_N3[:, :, None, None]
    return (tinted + 0.2 * (torch.rand(n_images, 1, 1, 1) - 0.5)).clamp(0, 1)
