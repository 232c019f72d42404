"""Whether a run is what its manifests promise: every byte and every row of it, its counts and its inputs; no Spark."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from devise.errors import ManifestError, StorageError
from devise.store import scratch, storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import File, Manifest
from devise.warehouse.status import PARTS

THREADS = 16
Pair = tuple[str, str]
"""A table and a run."""


@dataclass
class Checked:
    """What was found of one table's run."""

    table: str
    made: Manifest | None
    faults: list[str] = field(default_factory=list)


def verify(warehouse: str, run: str) -> list[Checked]:
    """Every table that has this run, read whole, 16 files at a time.

    An input that is gone is no fault once `expire` may have removed it: it sorts before the live run, and no kept
    publication names it. Outside files (weights, word vectors, sources) may change after the run; they are not read.

    Raises:
        ManifestError: no table has this run.
    """
    tables = [table for table in manifest.tables(warehouse) if run in manifest.run_ids(warehouse, table)]
    checked = [Checked(table, manifest.find(warehouse, table, run)) for table in tables]
    if not any(found.made for found in checked):
        raise ManifestError(f"{warehouse}: no table has a committed run {run}")
    made = {found.table: found.made for found in checked if found.made}
    inputs = {pair for one in made.values() for pair, _ in one.made_from()}
    live, kept = pointer.read(warehouse), pointer.history(warehouse)
    named = {pair for publication in kept for pair in publication.pairs()}

    def expirable(pair: Pair) -> bool:
        return live is not None and pair[1] < live.run and pair not in named

    with ThreadPoolExecutor(THREADS) as pool:
        found_inputs = dict(zip(inputs, pool.map(lambda pair: manifest.find(warehouse, *pair), inputs), strict=True))
        for found in checked:
            root = manifest.folder(warehouse, found.table, run)
            files = list(storage.list_files(root, missing_ok=True))
            if found.made is None:
                found.faults += [f"{file.uri}: in a run without a manifest" for file in files]
                continue
            below = {file.uri: file.size_bytes for file in files}
            for faults in pool.map(lambda file, at=root, sizes=below: _check_file(at, file, sizes), found.made.files):
                found.faults += faults
            found.faults += [f"{file.uri}: no manifest lists it" for file in manifest.unlisted(found.made, root, files)]
            told = [*_check_counts(found.made, made), *_check_inputs(found.made, found_inputs, expirable)]
            found.faults += [f"{root}: {fault}" for fault in told]
    return [found for found in checked if found.made or found.faults]


def report(checked: Iterable[Checked]) -> list[str]:
    """A line a table, then a line a fault."""
    checked = list(checked)
    lines = [f"{'table':<12} {'files':>8} {'rows':>16} {'bytes':>20} {'inputs':>8}  result"]
    for found in checked:
        files = found.made.files if found.made else []
        inputs = sum(map(len, found.made.inputs.values())) if found.made else 0
        sizes = f"{sum(file.size_bytes for file in files):>20,} {inputs:>8,}"
        result = f"{len(found.faults):,} faults" if found.faults else "sound"
        lines.append(
            f"{found.table:<12} {len(files):>8,} {found.made.rows if found.made else 0:>16,} {sizes}  {result}"
        )
    return [*lines, *(fault for found in checked for fault in found.faults)]


def refuse_faults(checked: Iterable[Checked], run: str) -> None:
    """`ManifestError` with the number of faults and the first one, if there are any."""
    faults = [fault for found in checked for fault in found.faults]
    if faults:
        raise ManifestError(f"run {run}: {len(faults):,} faults, the first: {faults[0]}")


def _check_file(root: str, file: File, sizes: dict[str, int]) -> list[str]:
    uri = storage.join(root, file.path)
    if uri not in sizes:
        return [f"{uri}: missing, the manifest lists it"]
    if sizes[uri] != file.size_bytes:
        return [f"{uri}: found {sizes[uri]:,} bytes, wanted {file.size_bytes:,}"]
    try:
        with tempfile.TemporaryDirectory() as place:
            path = storage.local_path(uri) if storage.is_local(uri) else Path(place) / "file"
            if not storage.is_local(uri):
                storage.get_file(uri, path)
            if (found := scratch.hash_file(path)) != file.sha256:
                return [f"{uri}: sha256 is {found}, wanted {file.sha256}"]
            if file.path.endswith(".parquet") and file.rows >= 0:
                rows = pq.read_metadata(path).num_rows
                return [f"{uri}: found {rows:,} rows, wanted {file.rows:,}"] if rows != file.rows else []
    except (StorageError, OSError, pa.ArrowException) as error:
        return [f"{uri}: cannot be read: {error}"]
    return []


def _check_counts(made: Manifest, run: dict[str, Manifest]) -> Iterator[str]:
    rows = sum(file.rows for file in made.files if file.rows > 0)
    if made.rows != rows:
        yield f"the manifest says {made.rows:,} rows, its files {rows:,}"
    if made.table == "rejects" and made.rows != (codes := sum(made.rejects.values())):
        yield f"{made.rows:,} rows, but {codes:,} reject codes are counted"
    counts = made.details
    if made.table != "embeddings" or "listed" not in counts:
        return
    parts = {part: counts.get(part) for part in PARTS}
    if None in parts.values() or counts["listed"] != sum(parts.values()):
        yield f"{counts['listed']:,} images are listed, but {parts} add up to another number"
    told = {"images": "listed", "embeddings": "embedded", "rejects": "rejected", "thumbnails": "thumbnails"}
    for table, part in told.items():
        # A base also holds rows of the runs before it.
        if table in run and not run[table].base and run[table].rows != counts.get(part):
            yield f"{part} is {counts.get(part)}, but {table} has {run[table].rows:,} rows"


def _check_inputs(
    made: Manifest, found: dict[Pair, Manifest | None], expirable: Callable[[Pair], bool]
) -> Iterator[str]:
    for (table, run), wanted in made.made_from():
        there = found[table, run]
        if there is None and not expirable((table, run)):
            yield f"its input {table} of run {run} is gone"
        elif there is not None and there.identity() != wanted:
            yield f"its input {table} is {there.identity()}, wanted {wanted}"
