"""The loss curves of a model's training as an SVG picture; knows training figures alone, no files, no networks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NAME = "curve.svg"
WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 640, 240, 64, 120, 40, 36
TITLES = {"core": "Core, from scratch", "projection": "Projection, on features", "finetune": "Core and projection"}
TRAINED, WATCHED, INK, FAINT = "#2a6fbb", "#c4571b", "#222226", "#d9d7d2"
TICKS = 4

Points = list[tuple[int, float]]


def draw(training: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A panel a part of the model that was trained in epochs: loss by epoch, on what was learned from and held out.

    Args:
        training: as a card has it: part -> figures with loss, train_losses of epochs 1, 2, ..., held_out_losses (empty,
            or of the start and of each epoch) and best_epoch.

    Returns:
        The SVG, None if no part was trained for more than one epoch. The same figures give the same text.
    """
    parts = [(title, training[name]) for name, title in TITLES.items() if len(_losses(training, name)) > 1]
    if not parts:
        return None
    panels = [_panel(title, figures, PANEL * number) for number, (title, figures) in enumerate(parts)]
    height = PANEL * len(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head += f' font-family="sans-serif" font-size="12" fill="{INK}">'
    paper = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, paper, *panels, "</svg>", ""])


def _losses(training: Mapping[str, Mapping[str, Any]], name: str) -> Sequence[float]:
    return training.get(name, {}).get("train_losses", ())


def _panel(title: str, figures: Mapping[str, Any], above: int) -> str:
    learned: Points = list(enumerate(figures["train_losses"], start=1))
    held: Points = list(enumerate(figures.get("held_out_losses", ())))
    values = [value for _, value in [*learned, *held] if math.isfinite(value)]
    low, high = min(values), max(values)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    last = max(epoch for epoch, _ in [*learned, *held])
    first = 0 if held else 1

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / max(last - first, 1)

    def y(value: float) -> float:
        return above + TOP + (PANEL - TOP - BOTTOM) * (high - value) / (high - low)

    out = [f'<text x="{LEFT}" y="{above + 22}" font-weight="bold">{title}: {figures["loss"]} by epoch</text>']
    for tick in range(TICKS + 1):
        value = low + (high - low) * tick / TICKS
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for epoch in range(first, last + 1, max(1, -(-(last - first) // 10))):
        out.append(f'<text x="{x(epoch):.1f}" y="{above + PANEL - 14}" text-anchor="middle">{epoch}</text>')
    lines = [(learned, TRAINED, "learned from"), (held, WATCHED, "held out")]
    ends = sorted(y(points[-1][1]) for points, *_ in lines if points)
    crowded = len(ends) == 2 and ends[1] - ends[0] < 14  # then one name goes up and the other down
    for points, colour, name in (line for line in lines if line[0]):
        end = y(points[-1][1])
        shift = (8 if end == ends[-1] and name == "held out" or end > ends[0] else -8) if crowded else 0
        path = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place = f'x="{x(points[-1][0]) + 8:.1f}" y="{end + 4 + shift:.1f}"'
        out.append(f'<text {place} fill="{colour}">{name}</text>')
    if held:
        best = figures["best_epoch"]
        out.append(
            f'<circle cx="{x(best):.1f}" cy="{y(dict(held)[best]):.1f}" r="4" fill="none" stroke="{WATCHED}" '
            f'stroke-width="2"><title>kept: epoch {best}</title></circle>'
        )
    return "\n".join(out)
