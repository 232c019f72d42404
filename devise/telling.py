"""One line that is rewritten in place on a terminal, and how quick work is, as people say it; it counts nothing."""

import sys
from typing import NamedTuple

_shown = False
"""Whether the terminal's last line is ours."""


class Speed(NamedTuple):
    """How quick the work is: images a second, and seconds left; None where it cannot be told."""

    per_second: float
    left_s: float | None


def speed(done: int, before: int, total: int | None, seconds: float) -> Speed:
    """The speed of what was done in so many seconds, and how long the rest takes at it.

    Args:
        before: images that were done when the clock started.
    """
    made = done - before
    per_second = made / seconds if seconds > 0 else 0.0
    known = total is not None and made > 0
    return Speed(per_second, max(0, total - done) / per_second if known else None)


def words(name: str, done: int, total: int | None, rejected: int | None, found: Speed) -> str:
    """`embed_images: 1,200 of 5,000 images, 140 a second, 2 rejects, about 27 s left`."""
    of = f" of {total:,}" if total is not None else ""
    rejects = f", {rejected:,} rejects" if rejected is not None else ""
    left = f", about {span(found.left_s)} left" if found.left_s is not None else ""
    return f"{name}: {done:,}{of} images, {found.per_second:,.0f} a second{rejects}{left}"


def span(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def show(line: str) -> None:
    """The line on standard error, in place of the one before."""
    global _shown
    print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
    _shown = True


def wipe() -> None:
    """The terminal's line is free for what is said next."""
    global _shown
    if _shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        _shown = False
