"""Which files a chain of index runs has, and which ids each shard hides; knows no faiss, no Spark.

A chain is a base, whose shards hold all that was live that night, and the runs made from it since, oldest first. Each
of those has shards of what was new, and tombstones: ids whose rows in the shards of older runs count no more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest

BATCH_ROWS = 1 << 20
"""Tombstones read at a time: 8 MB."""


@dataclass(frozen=True)
class Stored:
    """A file of a run, and the sha256 it is checked with when fetched; None: it is read where it lies."""

    uri: str
    sha256: str | None

    def fetch(self) -> Path:
        """A local file with its content; `StorageError` if that is another."""
        return scratch.localise(self.uri, self.sha256)


@dataclass(frozen=True)
class Shard:
    """One faiss file with its image_id, uri, etag sidecar, and the tombstones of all later runs."""

    index: Stored
    sidecar: Stored
    number: int
    n_shards: int
    """It holds ids that leave the remainder `number` when divided by this."""
    tombstones: tuple[Stored, ...] = ()

    def hidden(self) -> np.ndarray:
        """Ids that the shard may hold and that a later run hides, int64, ascending."""
        import pyarrow.parquet as pq

        parts = [np.empty(0, np.int64)]
        for tombstone in self.tombstones:
            with pq.ParquetFile(tombstone.fetch()) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=["image_id"]):
                    image_id_N = batch.column("image_id").to_numpy()
                    parts.append(image_id_N[image_id_N % self.n_shards == self.number])
        return np.unique(np.concatenate(parts))


def chain(runs: Sequence[Manifest]) -> list[Manifest]:
    """The newest of these index runs (oldest first) and those it was made from, its base first.

    A run that was committed late, under an id between two of the chain, is no part of it: the later one was made
    without it. Empty where there is no run, or the base is not among them.
    """
    found: list[Manifest] = []
    named = [(run, run.identity()) for run in runs]
    while named:
        newest, _ = named.pop()
        found.insert(0, newest)
        if newest.base:
            return found
        named = [(run, name) for run, name in named if name in newest.inputs.get("index", ())]
    return []


def of_chain(folders: Sequence[str], runs: Sequence[Manifest]) -> list[Shard]:
    """The shards of a chain's runs, whose files lie in these folders (URIs), oldest run first."""
    found: list[Shard] = []
    tombstones: tuple[Stored, ...] = ()
    for folder, run in reversed(list(zip(folders, runs, strict=True))):
        found = of_run(folder, run.files, run.details["n_shards"], tombstones) + found
        names = (file.path for file in run.files)
        tombstones += tuple(stored(folder, run.files, name) for name in names if name.startswith("tombstones-"))
    return found


def in_warehouse(warehouse: str, runs: Sequence[Manifest]) -> list[Shard]:
    """The same, of runs as they lie in the warehouse."""
    return of_chain([manifest.folder(warehouse, run.table, run.run) for run in runs], runs)


def of_run(folder: str, files: Sequence[File], n_shards: int, tombstones: tuple[Stored, ...] = ()) -> list[Shard]:
    """The shards among a run's files, by number."""
    return [
        Shard(
            stored(folder, files, name),
            stored(folder, files, sidecar_name(name)),
            number_of(name),
            n_shards,
            tombstones,
        )
        for name in shard_names(files)
    ]


def template(folder: str, files: Iterable[File]) -> Stored:
    """The trained, empty index that a base's shards are copies of; checked wherever it lies, for deltas rest on it."""
    file = next(file for file in files if file.path.startswith("template-"))
    return Stored(storage.join(folder, file.path), file.sha256)


def stored(folder: str, files: Iterable[File], name: str) -> Stored:
    """A file of a run; on file:// it is read where it lies, unchecked."""
    sha256 = next(file.sha256 for file in files if file.path == name)
    return Stored(storage.join(folder, name), None if storage.is_local(folder) else sha256)


def shard_names(files: Iterable[File]) -> list[str]:
    """The faiss files of an index's shards, in order."""
    names = (file.path for file in files)
    return [name for name in names if name.startswith("shard-") and name.endswith(".faiss")]


def sidecar_name(shard: str) -> str:
    """The id -> uri, etag file of a shard."""
    return shard.removesuffix(".faiss") + ".parquet"


def number_of(shard: str) -> int:
    """The number in a shard's name, `shard-00012-...`."""
    return int(shard.split("-")[1])


def find_uris(sidecars: Sequence[Path], hidden: Sequence[np.ndarray], image_id_K: np.ndarray) -> dict[int, str]:
    """image_id -> uri from the sidecars, reading only row groups that may hold one of the ids; -1 is passed over.

    Args:
        hidden: of each sidecar the ids that count no more in its shard.
    """
    import pyarrow.parquet as pq

    found: dict[int, str] = {}
    wanted = np.unique(image_id_K[image_id_K >= 0])
    for path, hidden_H in zip(sidecars, hidden, strict=True):
        here = np.setdiff1d(wanted, hidden_H).tolist()
        if here:
            rows = pq.read_table(path, columns=["image_id", "uri"], filters=[("image_id", "in", here)])
            found |= zip(rows.column("image_id").to_pylist(), rows.column("uri").to_pylist(), strict=True)
    return found
