"""Turns what a person asks into a unit vector, and answers it from a published warehouse; no Spark here.

A query is words (`ship`, `ship + sail`, `king - man + woman`), or `image:URI` for the pictures like that picture.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from devise.errors import IndexingError, ManifestError
from devise.facts import shipped
from devise.search import shards
from devise.store import scratch, storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live
from devise.words.nouns import compose_letters

IMAGE = "image:"


@dataclass(frozen=True)
class Query:
    """One question; kind is `word`, `words` (several, or arithmetic) or `image`."""

    text: str
    kind: str

    @property
    def uri(self) -> str:
        """The picture asked about, of kind image."""
        return storage.normalise(self.text.removeprefix(IMAGE))


@dataclass(frozen=True)
class Hit:
    """One answer: the image and the cosine of its embedding and the query's vector."""

    rank: int
    image_id: int
    uri: str
    score: float


def parse(text: str) -> Query:
    """The kind of a query by its form; words have their letters composed (NFC), a picture's URI is left as it is."""
    if text.startswith(IMAGE):
        return Query(text, "image")
    text = compose_letters(text)
    return Query(text, "words" if re.search(r"\s[+-]\s", text.strip()) else "word")


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
        prepared = index.prepare(self.template, query_D[None, :], self.index.details["nprobe"][kind])
        ids_QK, scores_QK = index.search(opened, prepared, k, self.hidden)
        uris = shards.find_uris([shard.sidecar.fetch() for shard in self.shards], self.hidden, ids_QK[0])
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
