"""What belongs to a vocabulary and to a list of denied words, and so outlasts publications: few nights change either.

It knows no index, no pictures, no HTTP.
"""

from functools import cached_property
from typing import Any

import numpy as np

from devise.search import vocabularies
from devise.search.searcher import Searcher
from devise.show.explorer import fits
from devise.show.explorer.suggestions import Suggestions
from devise.words.ancestry import Ancestry
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary


class Names:
    """The names of a publication's labels: completed, and in their hierarchy; any number of threads may ask.

    Args:
        labelled_with: the settings that the live labels were made with; none where no labels are published.
    """

    def __init__(self, searcher: Searcher, labelled_with: dict[str, Any]):
        self._warehouse, self._run = searcher.warehouse, searcher.newest("vocabulary")
        self.known: Vocabulary = searcher.vocabulary
        self._deny = vocabularies.find_denied(labelled_with.get("deny", "none"))
        told = self._deny.stat() if self._deny else None
        self._made_from = self._run.identity(), self._deny, told and (told.st_size, told.st_mtime_ns)

    def unless(self, before: "Names | None") -> "Names":
        """Those of a publication before, with all that is made of them, where they are of the same vocabulary and the
        same list of denied words; else these."""
        return before if before is not None and before._made_from == self._made_from else self

    @cached_property
    def suggestions(self) -> Suggestions:
        """Completion over the vocabulary, without what is denied."""
        known = self.known
        denied = Denied.load(self._deny).rows(known.labels, known.synsets, known.synonyms) if self._deny else None
        return Suggestions(known, denied)

    @cached_property
    def ancestry(self) -> Ancestry:
        """The hierarchy above the labels; empty where the vocabulary has none."""
        return vocabularies.read_ancestry(self._warehouse, self._run, self.known.synsets)

    @cached_property
    def synset_of(self) -> dict[str, str | None]:
        """label -> its synset, of all labels."""
        return dict(zip(self.known.labels, self.known.synsets, strict=True))

    @cached_property
    def trained(self) -> frozenset[str]:
        """The synsets that the network was trained on, or on kinds of them."""
        return fits.trained_on(self.ancestry, [self.known.synsets[row] for row in np.flatnonzero(self.known.seen)])
