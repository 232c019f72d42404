"""Turns what a person asks into a unit vector, and answers it from a published warehouse; no Spark here.

A query is words and pictures, added, subtracted and weighted: `ship`, `2 * ship + sail - engine`, `image:URI + snow`.
`devise.search.grammar` says what is one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from devise.errors import IndexingError, ManifestError
from devise.facts import shipped
from devise.search import grammar, shards
from devise.search.grammar import Term
from devise.search.kinds import effort
from devise.search.mapped import Sidecar
from devise.store import scratch, storage
from devise.warehouse import manifest, pointer
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


@dataclass(frozen=True)
class Hit:
    """One answer: the image and the cosine of its embedding and the query's vector."""

    rank: int
    image_id: int
    uri: str
    score: float


def parse(text: str) -> Query:
    """The query of a text; words have their letters composed (NFC), a text that names pictures is left as it is.

    Raises:
        VocabularyError: the text is no query.
    """
    terms = grammar.parse(text)
    pictured = any(term.picture for term in terms)
    return Query(text if pictured else compose_letters(text), grammar.kind_of(terms))


class LiveIndex:
    """What is live in a warehouse, opened for search in one process."""

    def __init__(self, warehouse: str):
        self.warehouse = warehouse
        self.live = live = pointer.published(warehouse)
        self.index = self.newest("index")
        """The newest run of the chain: it says the dim and the search effort of all of it."""
        self.chain = [manifest.read(warehouse, "index", run) for run in live.runs("index")]
        self.shards = shards.of_chain(self._fetch(), self.chain)

    def _fetch(self) -> list[str]:
        """The folders, as URIs, of the chain's files on this host; each time asked for, they stay for another while."""
        return [storage.normalise(str(manifest.localise(self.warehouse, run))) for run in self.chain]

    def newest(self, table: str) -> Manifest:
        """The live run of a table; `ManifestError` if the pointer names none."""
        return newest_live(self.warehouse, self.live, table)

    @cached_property
    def hidden(self) -> list[np.ndarray]:
        """Of each shard the ids that later runs hide."""
        return [shard.hidden() for shard in self.shards]

    @cached_property
    def template(self) -> Any:
        """What all shards share: kept in memory, so that a query's lists are found once."""
        from devise.search.template import read_template

        return read_template(self.shards[0].template.fetch())

    def lookup(self, vectors: str | None) -> Callable[[str], np.ndarray | None]:
        """Word -> unit vector, by the live vocabulary and then by the file of word vectors."""
        from devise.words import vocabulary

        known = vocabulary.load(manifest.localise_one(self.warehouse, self.newest("vocabulary"), end=".parquet"))
        path = shipped.find("vectors", vectors)
        if vectors and path is None:
            path = scratch.localise(storage.normalise(vectors))
        return vocabulary.make_lookup(known, path)

    def search(self, query_D: np.ndarray, kind: str, k: int) -> list[Hit]:
        """The k images nearest to a unit vector, or all if they are fewer, best first; ties to the lower image_id."""
        from devise.search import index

        if len(query_D) != self.index.details["dim"]:
            raise IndexingError(f"the query has {len(query_D)} dims, the live index {self.index.details['dim']}")
        self._fetch()
        opened = [index.read_shard(shard.index.fetch(), self.template) for shard in self.shards]
        k = min(k, max(1, sum(shard.ntotal for shard in opened)))  # memory follows k, and there are no more rows
        prepared = index.prepare(self.template, query_D[None, :], effort(self.index.details["nprobe"], kind))
        sidecars = [Sidecar(shard.sidecar.fetch()) for shard in self.shards]
        exact = [shard.open_exact(rows, len(query_D)) for shard, rows in zip(self.shards, sidecars, strict=True)]
        ids_QK, scores_QK = index.search(opened, prepared, k, self.hidden, exact)
        uris = shards.find_uris(sidecars, self.hidden, ids_QK[0])
        found = [
            (int(number), float(score)) for number, score in zip(ids_QK[0], scores_QK[0], strict=True) if number >= 0
        ]
        return [Hit(rank, number, uris[number], score) for rank, (number, score) in enumerate(found, start=1)]


def newest_live(warehouse: str, live: Live, table: str) -> Manifest:
    runs = live.runs(table)
    if not runs:
        raise ManifestError(f"{warehouse}: the live run {live.run} has no {table}")
    return manifest.read(warehouse, table, runs[-1])


def model_folder(local: Path, model: Manifest) -> Path:
    """Where in the local files of a model's run the model lies: in a folder named by the attempt that wrote it."""
    return (local / model.one(end="card.json").path).parent
