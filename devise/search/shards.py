"""Which files a chain of index runs has, and which ids each shard hides; knows no faiss, no Spark.

A chain is a base, whose shards hold all that was live that night, and the runs made from it since, oldest first. Each
of those has shards of what was new, and tombstones: ids whose rows in the shards of older runs count no more.

Shard i of n holds a range of the ids, the i-th of n equal parts of 0 to 2^63 - 1: ids are hashes, so shards are even.
Files of tombstones are cut by ranges too. So a shard needs those few of them only that meet its own range, however many
shards its run has and however many files the tombstones of a later run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.errors import IndexingError
from devise.search.mapped import ExactRows, Sidecar
from devise.store import scratch, storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest

LAYOUT = 3
"""Of what a run's files are; 1 had shards by the remainder of the id, each with centroids of its own, 2 sidecars of
Parquet and no exact rows."""
IDS = 2**63
"""How many ids there are."""
SIDECAR, EXACT = ".arrow", ".i16"
"""How the files beside a shard end: `mapped` says what is in them."""


@dataclass(frozen=True)
class Stored:
    """A file of a run, and the sha256 it is checked with when fetched; None: it is read where it lies."""

    uri: str
    sha256: str | None

    def fetch(self) -> Path:
        """A local file with its content; `StorageError` if that is another."""
        return scratch.localise(self.uri, self.sha256)


@dataclass(frozen=True)
class Tombstones:
    """A file of ids, ascending, that lie in the `number`-th of `n_files` equal ranges."""

    file: Stored
    number: int
    n_files: int


@dataclass(frozen=True)
class Shard:
    """One faiss file with the files beside it, its template, and the tombstones of all later runs."""

    index: Stored
    sidecar: Stored
    """image_id, uri and etag of its rows."""
    exact: Stored | None
    """Its rows in full precision; None where the faiss file has them."""
    template: Stored
    number: int
    n_shards: int
    """It holds ids in the `number`-th of so many equal ranges."""
    tombstones: tuple[Tombstones, ...] = ()
    """Those that meet its range."""

    def open_exact(self, n_rows: int, dim: int) -> ExactRows | None:
        """Its exact rows, mapped, where it has them; `IndexingError` if they are not of its size."""
        return None if self.exact is None else ExactRows(self.exact.fetch(), n_rows, dim)

    def hidden(self) -> np.ndarray:
        """Ids that the shard may hold and that a later run hides, int64, ascending."""
        import pyarrow.parquet as pq

        least, most = span(self.number, self.n_shards)
        mine, parts = [("image_id", ">=", least), ("image_id", "<=", most)], [np.empty(0, np.int64)]
        for tombstones in self.tombstones:  # of a file, row groups without ids of the range are passed over
            ids = pq.read_table(tombstones.file.fetch(), columns=["image_id"], filters=mine)
            parts.append(ids.column("image_id").to_numpy())
        return np.unique(np.concatenate(parts))


def span(number: int, n: int) -> tuple[int, int]:
    """The least and the largest id of the `number`-th of `n` ranges, all equal but for the last one's rounding."""
    width = range_width(n)
    return number * width, min((number + 1) * width, IDS) - 1


def range_width(n: int) -> int:
    """How many ids each of `n` ranges has, but for the last: an id divided by it is the number of its range."""
    return -(-IDS // n)


def number_of_ids(image_id_N: np.ndarray, n: int) -> np.ndarray:
    """The number of the range, of `n`, that each id (int64, never negative) lies in."""
    return np.asarray(image_id_N) // np.int64(range_width(n)) if n > 1 else np.zeros(len(image_id_N), np.int64)


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


def refuse_other_layout(run: Manifest) -> None:
    """`IndexingError` if a run's files are of a layout that is read no more."""
    if (found := run.details.get("layout", 1)) != LAYOUT:
        raise IndexingError(
            f"the index of run {run.run} has layout {found}, wanted {LAYOUT}: a night's build_index makes it anew"
        )


def of_chain(folders: Sequence[str], runs: Sequence[Manifest]) -> list[Shard]:
    """The shards of a chain's runs, whose files lie in these folders (URIs), oldest run first.

    Raises:
        IndexingError: a run is of another layout.
    """
    found: list[Shard] = []
    tombstones: tuple[Tombstones, ...] = ()
    for folder, run in reversed(list(zip(folders, runs, strict=True))):
        refuse_other_layout(run)
        shared = template(folders[0], runs[0].files)
        found = of_run(folder, run.files, run.details["n_shards"], shared, tombstones) + found
        tombstones += tuple(tombstones_of(folder, run.files))
    return found


def in_warehouse(warehouse: str, runs: Sequence[Manifest]) -> list[Shard]:
    """The same, of runs as they lie in the warehouse."""
    return of_chain([manifest.folder(warehouse, run.table, run.run) for run in runs], runs)


def of_run(
    folder: str, files: Sequence[File], n_shards: int, template: Stored, tombstones: tuple[Tombstones, ...] = ()
) -> list[Shard]:
    """The shards among a run's files, by number, each with those of the tombstones that meet its range."""
    names = {file.path for file in files}
    return [
        Shard(
            stored(folder, files, name),
            stored(folder, files, beside(name, SIDECAR)),
            stored(folder, files, beside(name, EXACT)) if beside(name, EXACT) in names else None,
            template,
            number_of(name),
            n_shards,
            tuple(found for found in tombstones if _meet((number_of(name), n_shards), (found.number, found.n_files))),
        )
        for name in shard_names(files)
    ]


def tombstones_of(folder: str, files: Sequence[File]) -> list[Tombstones]:
    """The files of tombstones among a run's files."""
    names = [file.path for file in files if file.path.startswith("tombstones-")]
    numbers = (map(int, name.split("-")[1:3]) for name in names)
    return [Tombstones(stored(folder, files, name), *found) for name, found in zip(names, numbers, strict=True)]


def tombstones_name(number: int, n_files: int, attempt: str) -> str:
    return f"tombstones-{number:05d}-{n_files:05d}-{attempt}.parquet"


def template(folder: str, files: Iterable[File]) -> Stored:
    """The trained, empty index that a base's shards are copies of; checked wherever it lies, for deltas rest on it."""
    file = next(file for file in files if file.path.startswith("template-"))
    return Stored(storage.join(folder, file.path), file.sha256)


def stored(folder: str, files: Iterable[File], name: str) -> Stored:
    """A file of a run; on file:// it is read where it lies, unchecked."""
    sha256 = next(file.sha256 for file in files if file.path == name)
    return Stored(storage.join(folder, name), None if storage.is_local(folder) else sha256)


def stored_rows(warehouse: str, run: Manifest, start: str = "") -> list[Stored]:
    """The files of a table's run that hold rows and whose names begin so."""
    root = manifest.folder(warehouse, run.table, run.run)
    return [stored(root, [file], file.path) for file in run.files if file.rows > 0 and file.path.startswith(start)]


def shard_names(files: Iterable[File]) -> list[str]:
    """The faiss files of an index's shards, in order."""
    names = (file.path for file in files)
    return [name for name in names if name.startswith("shard-") and name.endswith(".faiss")]


def beside(shard: str, ending: str) -> str:
    """The file beside a shard that ends so."""
    return shard.removesuffix(".faiss") + ending


def number_of(shard: str) -> int:
    """The number in a shard's name, `shard-00012-...`."""
    return int(shard.split("-")[1])


def find_uris(sidecars: Sequence[Sidecar], hidden: Sequence[np.ndarray], image_id_K: np.ndarray) -> dict[int, str]:
    """image_id -> uri from the sidecars; -1 is passed over.

    Args:
        hidden: of each sidecar the ids that count no more in its shard.

    Raises:
        IndexingError: an id has no uri, so a sidecar is another shard's.
    """
    found: dict[int, str] = {}
    wanted = np.unique(image_id_K[image_id_K >= 0])
    for sidecar, hidden_H in zip(sidecars, hidden, strict=True):
        found |= sidecar.uris(np.setdiff1d(wanted, hidden_H, assume_unique=True))
    if len(found) != len(wanted):
        without = next(image_id for image_id in wanted.tolist() if image_id not in found)
        raise IndexingError(
            f"found no uri of image_id {without} in {len(sidecars):,} sidecars, wanted one in its shard's"
        )
    return found


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two ranges, each a number and how many there are, have an id in common."""
    (least, most), (others_least, others_most) = span(*one), span(*other)
    return least <= others_most and others_least <= most
