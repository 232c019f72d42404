"""How a label stands to the seen classes in the noun hierarchy; knows no pictures, no figures, no files."""

from collections.abc import Iterable

from devise.words.ancestry import Ancestry

RELATIONS = ("seen", "ancestor", "descendant", "sibling", "unrelated")
"""A label has the first that holds."""


class Relations:
    """Where synsets lie with regard to the synsets of the seen classes.

    Args:
        ancestry: of the labels and the seen classes.
        seen: synsets of the classes that the model learned from.
    """

    def __init__(self, ancestry: Ancestry, seen: Iterable[str]):
        self.ancestry, self.seen = ancestry, frozenset(seen)
        self._above = {above for synset in self.seen for above in ancestry.above(synset)}
        self._parents = {parent for synset in self.seen for parent in ancestry.hypernyms.get(synset, ())}

    def of(self, synset: str | None) -> str | None:
        """The first of RELATIONS that holds; None for a label without a synset, and where nothing is seen.

        seen: it is a seen class. ancestor: it is above one, however far. descendant: it is below one. sibling: it has
        a direct hypernym in common with one. unrelated: none of these.
        """
        if synset is None or not self.seen:
            return None
        if synset in self.seen:
            return "seen"
        if synset in self._above:
            return "ancestor"
        if not self.seen.isdisjoint(self.ancestry.above(synset)):
            return "descendant"
        if not self._parents.isdisjoint(self.ancestry.hypernyms.get(synset, ())):
            return "sibling"
        return "unrelated"
