"""Turns what a person asks into a unit vector, and answers it from a published warehouse; no Spark here.

A query is words (`ship`, `ship + sail`, `king - man + woman`), or `image:URI` for the pictures like that picture.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise import manifest, pointer, scratch, storage
from devise.errors import IndexingError, ManifestError
from devise.manifest import File, Manifest
from devise.pointer import Live

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
    """The kind of a query by its form."""
    if text.startswith(IMAGE):
        return Query(text, "image")
    return Query(text, "words" if re.search(r"\s[+-]\s", text.strip()) else "word")


class LiveIndex:
    """What is live in a warehouse, opened for search in one process."""

    def __init__(self, warehouse: str):
        live = pointer.read(warehouse)
        if live is None:
            raise ManifestError(f"{warehouse}: nothing is published here yet")
        self.warehouse = warehouse
        self.live = live
        self.index = self.newest("index")
        self.folder = manifest.localise(warehouse, self.index)

    def newest(self, table: str) -> Manifest:
        """The live run of a table; `ManifestError` if the pointer names none."""
        return newest_live(self.warehouse, self.live, table)

    def lookup(self, vectors: str | None) -> Callable[[str], np.ndarray | None]:
        """Word -> unit vector, by the live vocabulary and then by the file of word vectors."""
        from devise import vocabulary

        known = vocabulary.load(manifest.localise(self.warehouse, self.newest("vocabulary")))
        path = str(scratch.localise(storage.normalise(vectors))) if vectors else None
        return vocabulary.make_lookup(known, path)

    def search(self, query_D: np.ndarray, kind: str, k: int) -> list[Hit]:
        """The k images nearest to a unit vector, best first; ties go to the lower image_id."""
        from devise import index

        if len(query_D) != self.index.details["dim"]:
            raise IndexingError(f"the query has {len(query_D)} dims, the live index {self.index.details['dim']}")
        names = shard_names(self.index.files)
        shards = [index.read_index(self.folder / name) for name in names]
        nprobe = self.index.details["nprobe"][kind]
        ids_QK, scores_QK = index.search(shards, query_D[None, :], k, nprobe)
        uris = find_uris([self.folder / sidecar_name(name) for name in names], ids_QK[0])
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
    card = next(file.path for file in model.files if file.path.endswith("card.json"))
    return (local / card).parent


def shard_names(files: Iterable[File]) -> list[str]:
    """The faiss files of an index's shards, in order."""
    names = (file.path for file in files)
    return [name for name in names if name.startswith("shard-") and name.endswith(".faiss")]


def sidecar_name(shard: str) -> str:
    """The id -> uri file of a shard."""
    return shard.removesuffix(".faiss") + ".parquet"


def find_uris(sidecars: Sequence[Path], image_id_K: np.ndarray) -> dict[int, str]:
    """image_id -> uri from the sidecars, reading only row groups that may hold one of the ids; -1 is passed over."""
    import pyarrow.parquet as pq

    wanted = [int(number) for number in image_id_K if number >= 0]
    if not wanted or not sidecars:
        return {}
    found = pq.read_table([str(path) for path in sidecars], filters=[("image_id", "in", wanted)])
    return dict(zip(found.column("image_id").to_pylist(), found.column("uri").to_pylist(), strict=True))
