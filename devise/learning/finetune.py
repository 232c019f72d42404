"""Core and projection trained together from images in the store, by any number of processes; knows no Spark, no runs.

Every process holds the whole model and takes its share of each batch; gradients are summed over all of them, so that a
step is that of the whole batch however it was shared. Batch normalisation keeps its statistics and dropout is off: a
share may be one image. All that is random follows from seed, epoch and image, so that an epoch can be done again.

Shape letters: N images, B images of a batch, D dims, L labels.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.learning import checkpoints, losses, ranks
from devise.learning.labelled import mean_targets
from devise.learning.layers import trained_names
from devise.learning.listings import Listing
from devise.learning.pictures import augment_one, read_ahead
from devise.learning.train import one_cycle, padded
from devise.vision.images import REJECT_CODES
from devise.vision.model import DeviseModel

PATIENCE_EPOCHS = 3
MOMENTS = ("exp_avg", "exp_avg_sq")
CODES = sorted(REJECT_CODES)


@dataclass
class History:
    """What is known after an epoch, for the checkpoint and the card; no durations, so that equal runs have equal cards.

    Attributes:
        epoch: epochs done. best_epoch: the one with the least loss on the watched classes; 0 is the model as it came.
        steps: optimiser steps done.
        train_losses: mean loss of each epoch; held_out_losses, held_out_hits: of the watched classes among themselves,
            at the start and after each epoch; hits is the share whose nearest watched label is its own, None without
            labels.
    """

    epoch: int = 0
    best_epoch: int = 0
    steps: int = 0
    train_losses: list[float] = field(default_factory=list)
    held_out_losses: list[float] = field(default_factory=list)
    held_out_hits: list[float | None] = field(default_factory=list)


class Tuning:
    """Fine-tuning of `model` in place; see `run`.

    Args:
        learned, watched: the images to learn from, and those of the classes that only tell when to stop.
        config: one with `finetune`.
        folder: where checkpoints are kept; one training a folder.
        report: called with one progress line an epoch, by process 0.

    Raises:
        TrainingError: the core has fewer layers than are to train.
    """

    def __init__(
        self,
        model: DeviseModel,
        learned: Listing,
        watched: Listing,
        config: TrainConfig,
        folder: str,
        report: Callable[[str], None],
    ):
        self.model, self.learned, self.watched, self.config = model.eval(), learned, watched, config
        self.folder, self.report, self.settings = folder, report, config.finetune
        self.device = model.scale.device
        names = set(trained_names(model, self.settings.layers))
        self.parameters = {name: one.requires_grad_(True) for name, one in model.named_parameters() if name in names}
        self.optimiser = torch.optim.Adam(list(self.parameters.values()), lr=self.settings.learning_rate)
        self.unreadable_N = torch.zeros(len(learned) + len(watched), dtype=torch.int32, device=self.device)
        self.history, self.best = History(), self._copy()
        share = -(-self.settings.batch_size // ranks.count())
        self.pool = ThreadPoolExecutor(max(2, min(share, 2 * len(os.sched_getaffinity(0)))))

    def run(self) -> dict[str, Any]:
        """Train from the last checkpoint on, or from the start; the model ends as it was after its best epoch.

        Returns:
            The figures for the model's card: those of History, and loss, n_images, n_held_out (images watched),
            n_labels and n_watched (labels; 0 with a teacher), n_parameters trained, and unreadable (code -> images).

        Raises:
            TrainingError: none of the images can be read, or the loss is not finite.
            StorageError: a checkpoint is torn.
        """
        done = ranks.say_first(max(checkpoints.epochs(self.folder), default=0), self.device)
        if done:
            self._resume(done)
            self._tell(f"goes on after epoch {done}, whose checkpoint stands")
        else:
            self._watch()
        while self.history.epoch < self.settings.epochs and not self._gets_no_better():
            started_s = time.monotonic()
            self._one_epoch(self.history.epoch + 1)
            n, taken_s = len(self.learned), time.monotonic() - started_s
            self._watch()
            if self.history.best_epoch == self.history.epoch:
                self.best = self._copy()
            self._keep()
            found = self.history
            self._tell(
                f"epoch {found.epoch}/{self.settings.epochs}: {self.config.loss} {found.train_losses[-1]:.4f}, watched "
                f"{found.held_out_losses[-1]:.4f} (at the start {found.held_out_losses[0]:.4f}), {n / taken_s:.1f} "
                "images/s"
            )
        self._load(self.best)
        self.pool.shutdown()
        return self._figures()

    def _one_epoch(self, epoch: int) -> None:
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.learned))
        batches = np.array_split(order, math.ceil(len(order) / self.settings.batch_size))
        planned, total = self.settings.epochs * len(batches), np.zeros(2)
        mine = [batch[ranks.number() :: ranks.count()] for batch in batches]
        for step, (rows, pixels) in enumerate(
            self._read(self.learned, mine, first=0), start=(epoch - 1) * len(batches)
        ):
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.learning_rate * one_cycle(step / planned)
            seeds = [(self.config.seed, epoch, row) for row in rows]
            total += self._step([augment_one(one, *seed) for one, seed in zip(pixels, seeds, strict=True)], rows)
        if not total[1]:
            raise TrainingError(f"none of {len(self.learned)} pictures to train on can be read")
        if not math.isfinite(total[0]):
            raise TrainingError(f"the loss became {total[0]}: wanted finite; lower finetune.learning_rate")
        self.history.epoch = epoch
        self.history.train_losses.append(float(total[0] / total[1]))

    def _step(self, pixels: list[torch.Tensor], rows: list[int]) -> np.ndarray:
        """One step of the optimiser on the batch that all shares together are; its loss, summed, and its images."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.device)
        if rows:
            normal_B3HW = torch.stack(pixels).to(self.device) * 255 * self.model.scale - self.model.shift
            loss = self._objective(self._project(normal_B3HW), self.learned, rows) * len(rows)
            loss.backward()
        own = [torch.zeros_like(one) if one.grad is None else one.grad for one in self.parameters.values()]
        counts = torch.stack([loss.detach(), loss.new_tensor(float(len(rows)))])
        # One buffer in a fixed order: what is added to what does not depend on which gradient was ready first.
        flat = ranks.add_up(torch.cat([*(grad.reshape(-1) for grad in own), counts]))
        total = flat[-2:].double().cpu().numpy()
        if total[1]:
            parts = flat[:-2].div_(float(total[1])).split([grad.numel() for grad in own])
            for one, part in zip(self.parameters.values(), parts, strict=True):
                one.grad = part.view(one.shape)
            self.optimiser.step()
            self.history.steps += 1
        return total

    def _project(self, normal_B3HW: torch.Tensor) -> torch.Tensor:
        return self.model.projection(self.model.core.features(normal_B3HW).float())

    def _objective(self, projected_BD: torch.Tensor, listing: Listing, rows: Sequence[int]) -> torch.Tensor:
        labels = [listing.labels[row] for row in rows]
        if self.config.loss == "cosine":
            target_BD = torch.from_numpy(mean_targets(labels, listing.vectors_LD)).to(self.device)
            return losses.cosine(projected_BD, target_BD)
        vectors_LD = torch.from_numpy(listing.vectors_LD).to(self.device)
        unit_BD = functional.normalize(projected_BD, dim=1)
        return losses.hinge_rank(unit_BD, vectors_LD, padded(labels).to(self.device), self.config.margin)

    def _watch(self) -> None:
        """Note how the watched classes do now, and whether that is the best so far."""
        loss, hits = self._measure()
        found = self.history
        found.held_out_losses.append(loss)
        found.held_out_hits.append(hits)
        if loss < found.held_out_losses[found.best_epoch]:
            found.best_epoch = found.epoch

    def _measure(self) -> tuple[float, float | None]:
        """Loss and share of hits on the watched classes, their labels alone among themselves."""
        listing, size = self.watched, max(1, self.settings.batch_size // ranks.count())
        own = np.arange(len(listing))[ranks.number() :: ranks.count()]
        batches = np.array_split(own, math.ceil(len(own) / size)) if len(own) else []
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        vectors_LD = torch.from_numpy(listing.vectors_LD).to(self.device)
        with torch.no_grad():
            for rows, pixels in self._read(listing, batches, first=len(self.learned)):
                if not rows:
                    continue
                projected_BD = self._project(self.model.normalise(torch.stack(pixels).to(self.device)))
                sums[0] += self._objective(projected_BD, listing, rows).double() * len(rows)
                sums[1] += len(rows)
                if not listing.taught:
                    first_B = (projected_BD @ vectors_LD.T).argmax(1).tolist()
                    sums[2] += sum(one in listing.labels[row] for one, row in zip(first_B, rows, strict=True))
        loss, n_images, hits = ranks.add_up(sums).tolist()
        if not n_images:
            raise TrainingError(f"none of {len(listing)} pictures of the watched classes can be read")
        return loss / n_images, None if listing.taught else hits / n_images

    def _read(self, listing: Listing, batches: Sequence[np.ndarray], first: int) -> Iterator[tuple[list[int], list]]:
        """Rows and pixels of each batch, without those that cannot be read, which are marked from `first` on."""
        for found in read_ahead(listing.rows, batches, self.model.preprocessing, self.pool):
            for row, code in ((row, one) for row, one in found if isinstance(one, str)):
                self.unreadable_N[first + row] = 1 + CODES.index(code)
            kept = [(row, one) for row, one in found if not isinstance(one, str)]
            yield [row for row, _ in kept], [one for _, one in kept]

    def _gets_no_better(self) -> bool:
        return self.history.epoch - self.history.best_epoch >= PATIENCE_EPOCHS

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: one.detach().clone() for name, one in self.parameters.items()}

    def _load(self, values: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, one in self.parameters.items():
                one.copy_(values[name])

    def _keep(self) -> None:
        """Write the checkpoint of this epoch; those of the last and of the best epoch stay."""
        ranks.largest(self.unreadable_N)
        if ranks.number() == 0:
            tensors = {f"value {name}": one for name, one in self.parameters.items()}
            for name, one in self.parameters.items():
                tensors |= {f"{part} {name}": self.optimiser.state[one][part] for part in MOMENTS}
            tensors["unreadable_N"] = self.unreadable_N
            checkpoints.write(self.folder, self.history.epoch, tensors, vars(self.history))
            checkpoints.forget(self.folder, {self.history.epoch, self.history.best_epoch})

    def _resume(self, epoch: int) -> None:
        found = checkpoints.read(self.folder, epoch)
        names = History.__dataclass_fields__
        self.history = History(**{name: value for name, value in found.record.items() if name in names})
        self._load(_values(found))
        self.unreadable_N.copy_(found.tensors["unreadable_N"])
        for name, one in self.parameters.items():
            moments = {part: found.tensors[f"{part} {name}"].to(self.device) for part in MOMENTS}
            self.optimiser.state[one] = {"step": torch.tensor(float(self.history.steps)), **moments}
        if self.history.best_epoch == epoch:
            self.best = self._copy()
        elif self.history.best_epoch:
            best = _values(checkpoints.read(self.folder, self.history.best_epoch))
            self.best = {name: value.to(self.device) for name, value in best.items()}

    def _tell(self, line: str) -> None:
        if ranks.number() == 0:
            self.report(line)

    def _figures(self) -> dict[str, Any]:
        codes, counts = self.unreadable_N.unique(return_counts=True)
        found = zip(codes.tolist(), counts.tolist(), strict=True)
        taught = self.learned.taught
        return {
            **vars(self.history),
            "loss": self.config.loss,
            "n_images": len(self.learned),
            "n_held_out": len(self.watched),
            "n_labels": 0 if taught else len(self.learned.vectors_LD),
            "n_watched": 0 if taught else len(self.watched.vectors_LD),
            "n_parameters": sum(one.numel() for one in self.parameters.values()),
            "unreadable": {CODES[code - 1]: n for code, n in found if code},
        }


def _values(found: checkpoints.Checkpoint) -> dict[str, torch.Tensor]:
    return {name[len("value ") :]: one for name, one in found.tensors.items() if name.startswith("value ")}
