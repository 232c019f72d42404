"""The lists of table `word_images`: the best images of each label, ranked while labels were made; knows no index."""

from typing import NamedTuple

from devise.errors import VocabularyError
from devise.search import vocabularies
from devise.search.lookups import SortedFiles
from devise.search.shards import stored_rows
from devise.warehouse.manifest import Manifest
from devise.words.denied import Denied
from devise.words.vocabulary import Vocabulary

TABLE = "word_images"
LISTS = "part-"
"""How the names of files of lists begin; beside them lies what the next night makes its lists from."""


class Listed(NamedTuple):
    """An image of a list, and the cosine of its embedding and the word; lists are ranked by relevance, not by it."""

    image_id: int
    uri: str
    score: float


class WordLists:
    """The lists of one run, each read once it is asked for, out of the one file that holds it."""

    def __init__(self, warehouse: str, run: Manifest):
        self._files = SortedFiles(stored_rows(warehouse, run, LISTS), "label")

    def find(self, label: str) -> list[Listed]:
        """The images of a label, best first; none of one without a list."""
        found = self._files.find([label], ["rank", "image_id", "uri", "score"]).to_pylist()
        return [Listed(row["image_id"], row["uri"], row["score"]) for row in sorted(found, key=lambda row: row["rank"])]


def refuse_denied(asked: str, row: int, known: Vocabulary, labels: Manifest) -> None:
    """`VocabularyError` if a label is on the list of what is never told, as the live labels were made with it.

    Args:
        asked: the query. row: the label's.
    """
    path = vocabularies.find_denied(labels.config.get("deny", "none"))
    if path is not None and Denied.load(path).rows(known.labels, known.synsets, known.synonyms)[row]:
        raise VocabularyError(
            f"query {asked!r}: {known.labels[row]} is on the list of denied words (label_images.deny), no picture is "
            "shown for it"
        )
