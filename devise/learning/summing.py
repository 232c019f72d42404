"""Ridge regression over any number of images: sums of parts, added pairwise, solved once; no Spark, no files.

Shape letters: N images, F features, D dims.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import reduce

import numpy as np
from safetensors.numpy import load, save

from devise.config import TrainConfig
from devise.errors import TrainingError
from devise.learning import fitting
from devise.learning.choosing import Tally, choose_some
from devise.learning.labelled import mean_targets
from devise.learning.losses import BLOCK_ROWS, RidgeSums
from devise.learning.train import TrainingFigures
from devise.vision.model import DeviseModel
from devise.vision.projections import linear_projection
from devise.vision.published import preprocessing_of
from devise.words.classes import ClassVectors
from devise.words.vocabulary import Vocabulary

FIELDS = ("feature_sum_F", "target_sum_D", "gram_FF", "cross_FD")


class PartSums:
    """The sums of one part of the images, rows coming in batches of any size.

    Rows are summed in blocks of BLOCK_ROWS, counted from the part's first row: the sums do not depend on how the part
    came in batches, to the last bit.

    Args:
        classes: those of the weights' classification layer; a teacher needs them.
        held_out: nouns that training must never see.

    Attributes:
        tally: what was kept and left out, so far.
    """

    def __init__(
        self, config: TrainConfig, vocabulary: Vocabulary, classes: ClassVectors | None, held_out: Sequence[str]
    ):
        self.config, self.vocabulary, self.held_out = config, vocabulary, held_out
        self.core = fitting.frozen_network(config).core
        self.class_vectors_CD = None
        if config.has_teacher:
            self.class_vectors_CD = fitting.guard_classes(classes, held_out, lambda line: None)
        self.tally, self._waiting = Tally(), []
        self._sums = RidgeSums.zeros(self.core.n_features, vocabulary.vectors.shape[1])

    def add(self, texts: Sequence[Sequence[str]], features_NF: np.ndarray) -> None:
        """Count in images with the texts of their labels."""
        if self.config.has_teacher:
            chosen, _ = fitting.learn_from_teacher(self.config, self.core, self.class_vectors_CD, features_NF)
            rows, targets_ND, found = chosen.rows_N, chosen.vectors_LD, Tally(n_kept=len(features_NF))
        else:
            alternatives = self.config.labelled.kind == "wnids"
            rows, labels, found = choose_some(texts, self.vocabulary, self.held_out, alternatives)
            targets_ND = mean_targets(labels, self.vocabulary.vectors) if rows else None
        self.tally += found
        if len(rows):
            self._waiting.append((features_NF[rows], targets_ND))
        while sum(len(part) for part, _ in self._waiting) >= BLOCK_ROWS:
            self._sum(BLOCK_ROWS)

    def finish(self) -> RidgeSums:
        """The sums of all that was added."""
        if self._waiting:
            self._sum(BLOCK_ROWS)
        return self._sums

    def _sum(self, n_rows: int) -> None:
        features_NF, targets_ND = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._sums.accumulate(features_NF[:n_rows], targets_ND[:n_rows])
        left = features_NF[n_rows:], targets_ND[n_rows:]
        self._waiting = [left] if len(left[0]) else []


def pack(sums: RidgeSums) -> bytes:
    """The sums as a safetensors file."""
    arrays = {name: np.ascontiguousarray(getattr(sums, name)) for name in FIELDS}
    return save({**arrays, "n_images": np.array([sums.n_images], dtype=np.int64)})


def unpack(content: bytes) -> RidgeSums:
    """Sums that `pack` wrote."""
    arrays = load(content)
    return RidgeSums(int(arrays["n_images"][0]), *(arrays[name] for name in FIELDS))


def add_pairwise(parts: Iterable[RidgeSums]) -> RidgeSums:
    """The sum of all parts, in their order, as a tree: sums of 1, 2, 4 ... parts are added to sums of as many.

    Rounding grows with the tree's height alone, and no more than one sum for each height is held at once.

    Raises:
        TrainingError: there is no part.
    """
    tree: list[tuple[int, RidgeSums]] = []
    for part in parts:
        tree.append((1, part))
        while len(tree) > 1 and tree[-2][0] == tree[-1][0]:
            (n, left), (_, right) = tree[-2:]
            tree[-2:] = [(2 * n, left + right)]
    if not tree:
        raise TrainingError("ridge: found no labelled images, wanted at least one")
    return reduce(lambda right, left: left + right, [sums for _, sums in reversed(tree)])


def fit_from_sums(
    config: TrainConfig,
    vocabulary: Vocabulary,
    vocabulary_id: str,
    classes: ClassVectors | None,
    held_out: Sequence[str],
    sums: RidgeSums,
    tally: Tally,
    report: Callable[[str], None],
) -> DeviseModel:
    """The model of loss ridge: as `fitting.fit` makes it of the images themselves.

    Args:
        tally: of all parts together.
    """
    core = fitting.open_core(config)
    class_vectors_CD = fitting.guard_classes(classes, held_out, report) if classes is not None else None
    weight_FD, bias_D = sums.solve(config.ridge_lambda)
    loss = sums.squared_error(weight_FD, bias_D)
    n_labels = sums.n_images if config.has_teacher else len(tally.label_ids)
    figures = TrainingFigures("ridge", sums.n_images, 0, n_labels, 1, (loss,), ())
    report(f"ridge over {sums.n_images:,} images: mean squared error {loss:.4f}")
    return DeviseModel(
        core,
        linear_projection(weight_FD, bias_D),
        preprocessing_of(config),
        vocabulary_id=vocabulary_id,
        seen=fitting.seen_labels(config, vocabulary, sorted(tally.label_ids), classes, class_vectors_CD),
        training={"projection": asdict(figures)},
    )
