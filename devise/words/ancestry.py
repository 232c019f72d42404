"""What lies above labels and classes in the noun hierarchy: ancestors, how specific each is; no files, no vectors.

Shape letters: V labels of the vocabulary.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property


class Ancestry:
    """The part of a hierarchy that is at or above the labels' synsets, and any others it was made with.

    Args:
        hypernyms: synset -> the synsets directly above it; a synset that is absent has none.
        synsets: the synset of each label, in order of label id; None for a label without one.
        names: synset -> its first name, as a label is spelled; need not have every synset.
    """

    def __init__(
        self,
        hypernyms: Mapping[str, Sequence[str]],
        synsets: Sequence[str | None],
        names: Mapping[str, str] | None = None,
    ):
        self.hypernyms, self.synsets, self.names = hypernyms, synsets, names or {}
        self._above: dict[str, dict[str, int]] = {}

    def above(self, synset: str) -> dict[str, int]:
        """Itself (0) and all its ancestors with their least depth above it, in edges; nearest first."""
        if synset not in self._above:
            found, front, depth = {synset: 0}, [synset], 0
            while front:
                depth += 1
                front = list(
                    dict.fromkeys(up for own in front for up in self.hypernyms.get(own, ()) if up not in found)
                )
                found |= dict.fromkeys(front, depth)
            self._above[synset] = found
        return self._above[synset]

    @cached_property
    def labels_of(self) -> dict[str, list[int]]:
        """The ids of a synset's labels, ascending; no entry for a synset without one."""
        found: dict[str, list[int]] = {}
        for label_id, synset in enumerate(self.synsets):
            if synset is not None:
                found.setdefault(synset, []).append(label_id)
        return found

    def count_below(self, synsets: Iterable[str]) -> dict[str, int]:
        """How many of `synsets` (each as often as it is named) are a synset or below it; none for one without any."""
        found: dict[str, int] = {}
        for synset in synsets:
            for above in self.above(synset):
                found[above] = found.get(above, 0) + 1
        return found

    @cached_property
    def labels_below(self) -> dict[str, int]:
        """How many synsets of labels are a synset or below it."""
        return self.count_below(self.labels_of)

    def specificity(self, synset: str) -> float:
        """1 - log(synsets of labels below it) / log(all of them): 1 for a leaf, 0 for the root (Deng et al. 2012).

        Their information gain, divided by its largest value; 0 too for a synset with no label below.
        """
        total, below = len(self.labels_of), self.labels_below.get(synset, 0)
        if below == 0:
            return 0.0
        return 1.0 - math.log(below) / math.log(total) if total > 1 else 1.0


def closed_upward(hypernyms: Mapping[str, Sequence[str]], synsets: Iterable[str]) -> dict[str, list[str]]:
    """The hypernyms of `synsets` and of all that is above them: what an `Ancestry` of them needs."""
    found: dict[str, list[str]] = {}
    front = list(dict.fromkeys(synsets))
    while front:
        found |= {synset: list(hypernyms.get(synset, ())) for synset in front}
        front = list(dict.fromkeys(up for synset in front for up in found[synset] if up not in found))
    return found
