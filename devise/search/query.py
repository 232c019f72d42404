"""What a person asks: a query, its kind and its terms, and where in a warehouse lies what answers; no Spark here.

A query is words and pictures, added, subtracted and weighted: `ship`, `2 * ship + sail - engine`, `image:URI + snow`.
`devise.search.grammar` says what is one.
"""

from dataclasses import dataclass
from pathlib import Path

from devise.errors import ManifestError
from devise.search import grammar
from devise.search.grammar import Term
from devise.store import storage
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live
from devise.words.nouns import compose_letters


@dataclass(frozen=True)
class Query:
    """One question; kind is `word`, `image`, `words` (several terms) or `differences` (some of them taken away)."""

    text: str
    kind: str

    @property
    def terms(self) -> tuple[Term, ...]:
        """What is added up."""
        return grammar.parse(self.text)

    @property
    def uris(self) -> list[str]:
        """The pictures asked about, as tables name them."""
        return [storage.normalise(term.text) for term in self.terms if term.picture]


def parse(text: str) -> Query:
    """The query of a text; words have their letters composed (NFC), a text that names pictures is left as it is.

    Raises:
        VocabularyError: the text is no query.
    """
    terms = grammar.parse(text)
    pictured = any(term.picture for term in terms)
    return Query(text if pictured else compose_letters(text), grammar.kind_of(terms))


def newest_live(warehouse: str, live: Live, table: str) -> Manifest:
    runs = live.runs(table)
    if not runs:
        raise ManifestError(f"{warehouse}: the live run {live.run} has no {table}")
    return manifest.read(warehouse, table, runs[-1])


def model_folder(local: Path, model: Manifest) -> Path:
    """Where in the local files of a model's run the model lies: in a folder named by the attempt that wrote it."""
    return (local / model.one(end="card.json").path).parent
