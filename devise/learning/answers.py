"""How safe a model's answers are, on classes that it was made to forget: measured, and as an SVG picture; no files.

Shape letters: N images, K labels, B bins.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from devise.learning.calibration import is_right, reliability
from devise.learning.hiding import FOLDS, Hiding, Pictures
from devise.search.hedging import tell

NAME = "answers.svg"
LEAST = (0.14, 0.22)
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
LIMITS = tuple((target, least) for least in LEAST for target in TARGETS)
"""Targets and least specificities of answers that are measured."""
SIDE, LEFT, TOP, GAP = 280, 60, 48, 90
COLOURS, INK, FAINT = ("#2a6fbb", "#c4571b"), "#222226", "#d9d7d2"


class Given(NamedTuple):
    """Answers at a target and a least specificity: of n images the share answered; of these the share right and how
    specific they are; and of all the share rightly told by the noun itself or at most two edges above it."""

    target: float
    least: float
    n: int
    answered: float
    right: float
    specificity: float
    near: float


class Measured(NamedTuple):
    """Answers by limit; the reliability of all labels' probabilities as `calibration.reliability` has it."""

    given: list[Given]
    bins_B3: np.ndarray
    error: float


def measure(hiding: Hiding, pictures: Pictures, limits: Sequence[tuple[float, float]] = LIMITS) -> Measured:
    """Of hidden classes, each fold by a calibration that was fitted on the four others.

    Raises:
        TrainingError: as `Hiding.calibrate`.
    """
    nodes, above = hiding.nodes(), hiding.ancestry.above
    told: dict[tuple[float, float], list[tuple[int, bool, int | None]]] = {limit: [] for limit in limits}
    probabilities, right = [], []
    for held in range(FOLDS):
        own, others = np.flatnonzero(pictures.fold_N == held), np.flatnonzero(pictures.fold_N != held)
        if len(own) == 0:
            continue
        fitted = hiding.calibrate(pictures, others, model="", vocabulary="")
        asked = [part[own] for part in pictures.hidden]
        truths = [[hiding.classes.synsets[number]] for number in pictures.class_N[own]]
        for limit in limits:
            found = tell(nodes, fitted, *asked, *limit)
            right_N = is_right(nodes, np.arange(len(own)), found.node_N, truths)
            told[limit] += [
                (int(node), bool(ok), above(truth).get(nodes.synsets[node]) if node >= 0 else None)
                for node, ok, [truth] in zip(found.node_N, right_N, truths, strict=True)
            ]
        image_M = np.repeat(np.arange(len(own)), asked[0].shape[1])
        right.append(is_right(nodes, image_M, nodes.of_label_V[asked[0].reshape(-1)], truths))
        probabilities.append(found.probability_NK.reshape(-1))
    given = []
    for (target, least), images in told.items():
        answers = [one for one in images if one[0] >= 0]
        specificity = float(np.mean([nodes.specificity_S[node] for node, *_ in answers])) if answers else float("nan")
        near = sum(ok and edges is not None and edges <= 2 for _, ok, edges in answers) / len(images)
        ok = sum(ok for _, ok, _ in answers) / len(answers) if answers else float("nan")
        given.append(Given(target, least, len(images), len(answers) / len(images), ok, specificity, near))
    return Measured(given, *reliability(np.concatenate(probabilities), np.concatenate(right)))


def draw(measured: Measured) -> str:
    """Two panels: share right by share answered, a line a least specificity; and share right by probability told."""
    width, height = 2 * (LEFT + SIDE) + GAP, TOP + SIDE + 60
    n = measured.given[0].n
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}"><rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    out += _frame(LEFT, f"Answers of classes never seen (n = {n:,})", "share answered", "share right")
    for colour, least in zip(COLOURS, LEAST, strict=True):
        points = sorted((one.answered, one.right, one.target) for one in measured.given if one.least == least)
        points = [point for point in points if point[0] > 0]
        path = " ".join(f"{_x(LEFT, x):.1f},{_y(y):.1f}" for x, y, _ in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [
            f'<circle cx="{_x(LEFT, x):.1f}" cy="{_y(y):.1f}" r="3" fill="{colour}">'
            f"<title>target {target:g}: {x:.0%} answered, {y:.0%} right</title></circle>"
            for x, y, target in points
        ]
        place = TOP + SIDE - 26 + 16 * LEAST.index(least)
        out.append(f'<text x="{LEFT + 10}" y="{place}" fill="{colour}">specificity of at least {least}</text>')
    left = 2 * LEFT + SIDE + GAP - LEFT
    out += _frame(left, f"Labels' probabilities (error {measured.error:.3f})", "probability told", "share right")
    out.append(f'<path d="M{left} {TOP + SIDE}L{left + SIDE} {TOP}" stroke="{FAINT}"/>')
    most = measured.bins_B3[:, 2].max()
    out += [
        f'<circle cx="{_x(left, told):.1f}" cy="{_y(right):.1f}" r="{3 + 7 * (n / most) ** 0.5:.1f}" '
        f'fill="{COLOURS[0]}" fill-opacity="0.6"><title>{told:.2f} told, {right:.2f} right, {n:,.0f} labels</title>'
        "</circle>"
        for told, right, n in measured.bins_B3
    ]
    return "\n".join([*out, "</svg>", ""])


def _frame(left: float, title: str, below: str, beside: str) -> list[str]:
    bottom = TOP + SIDE
    out = [
        f'<text x="{left}" y="{TOP - 18}" font-weight="bold">{title}</text>',
        f'<rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="{FAINT}"/>',
        f'<text x="{left + SIDE / 2}" y="{bottom + 38}" text-anchor="middle">{below}</text>',
        f'<text transform="translate({left - 40} {TOP + SIDE / 2}) rotate(-90)" text-anchor="middle">{beside}</text>',
    ]
    for tick in range(6):
        share = tick / 5
        out.append(f'<text x="{_x(left, share):.0f}" y="{bottom + 18}" text-anchor="middle">{share:.0%}</text>')
        out.append(f'<text x="{left - 8}" y="{_y(share) + 4:.0f}" text-anchor="end">{share:.0%}</text>')
    return out


def _x(left: float, share: float) -> float:
    return left + SIDE * share


def _y(share: float) -> float:
    return TOP + SIDE * (1 - share)
