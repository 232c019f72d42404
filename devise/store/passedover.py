"""What a listing passes over, counted by name's ending or by why it cannot be an image's name; no names are kept."""

import re
from collections import Counter
from collections.abc import Callable, Mapping

LINK = "links that lead nowhere or in a circle"
SPECIAL = "neither files nor folders"
NOT_UTF8 = "names that are no UTF-8"
NO_ENDING = "without an ending"
OTHERS = "other endings"
N_ENDINGS = 200
"""Endings counted one by one, so that a corpus whose names end in numbers or hashes costs no more."""
N_TOLD = 12
Tell = Callable[[str], None]
"""Called with one of the kinds above, or an ending, for each thing that is passed over."""


def ignore(kind: str) -> None:
    """For who does not ask."""


class PassedOver:
    """Counts of kinds and endings, N_ENDINGS of them and OTHERS at most."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def tell(self, kind: str) -> None:
        if kind not in self.counts and len(self.counts) >= N_ENDINGS:
            kind = OTHERS
        self.counts[kind] = self.counts.get(kind, 0) + 1


def ending(uri: str) -> str:
    """The ending of a name in lower case with its dot (`.heic`), NO_ENDING, or OTHERS for one that no format has."""
    name = uri.rsplit("/", 1)[-1]
    _, dot, last = name.lstrip(".").rpartition(".")
    if not dot:
        return NO_ENDING
    last = last.lower()
    return f".{last}" if re.fullmatch(r"[a-z][a-z0-9]{0,7}|[0-9][a-z][a-z0-9]?|7z", last) else OTHERS


def add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The sum of two counts, with at most N_ENDINGS kinds: what is rarest then goes to OTHERS."""
    total = Counter(one) + Counter(other)
    if len(total) > N_ENDINGS:
        rest = Counter(dict(total.most_common(N_ENDINGS - 1)))
        rest[OTHERS] += sum(total.values()) - sum(rest.values())
        total = rest
    return dict(total)


def describe(counts: Mapping[str, int]) -> str:
    """`1,204 passed over: 1,200 .heic, 4 without an ending`, most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{number:,} {kind}" for kind, number in ordered[:N_TOLD]]
    if left := sum(number for _, number in ordered[N_TOLD:]):
        told.append(f"{left:,} of {len(ordered) - N_TOLD} more kinds")
    return f"{sum(counts.values()):,} passed over" + (f": {', '.join(told)}" if told else "")
