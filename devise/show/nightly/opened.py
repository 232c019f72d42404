"""`devise report`: a night's page as a local file, or its map as a table for embedding-atlas; makes no page."""

import argparse

import pyarrow as pa
import pyarrow.parquet as pq

from devise.errors import ManifestError
from devise.search.thumbnails import Thumbnails
from devise.show import thumbnails
from devise.show.nightly.facts import PAGE
from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest

COLUMNS = ("image_id", "uri", "etag", "label", "x", "y", "place")
ATLAS = ("thumbnail", "label", "place", "uri", "image_id", "x", "y")
"""What the viewer's table has, from left to right: it shows the first few without scrolling."""


def report(options: argparse.Namespace) -> None:
    """Copy the page, or write the map."""
    run = options.run or pointer.published(options.warehouse).run
    if options.atlas is not None:
        n = write_atlas(options.warehouse, find(options.warehouse, "map_images", run), options.atlas)
        print(f"{n:,} images of run {run}: {options.atlas}")
        print(f"  embedding-atlas {options.atlas} --x x --y y --text label --image thumbnail")
        return
    out = options.out or f"night-{run}.html"
    write_page(options.warehouse, run, out)
    print(f"page of run {run}: {out}")


def write_page(warehouse: str, run: str, path: str) -> None:
    """Copy a run's page to a path or URI; `ManifestError` if it has none."""
    storage.write_bytes(storage.normalise(path), read_page(warehouse, find(warehouse, "reports", run)))


def read_page(warehouse: str, made: Manifest) -> bytes:
    """The page that report_run has committed: one file of HTML."""
    return storage.read_bytes(
        storage.join(manifest.folder(warehouse, made.table, made.run), made.one(PAGE, ".html").path)
    )


def find(warehouse: str, table: str, run: str) -> Manifest:
    """What report_run has committed in a run; `ManifestError` if it has made none."""
    if (made := manifest.find(warehouse, table, run)) is None:
        raise ManifestError(
            f"{warehouse}: run {run} has no page: report_run is no stage of its night; "
            f"`devise run report_run --config C --run {run}` makes one of the live run"
        )
    return made


def write_atlas(warehouse: str, made: Manifest, path: str) -> int:
    """Write what `ATLAS` names of the images on the map; how many they are.

    `thumbnail` is WebP: the published one, else made here; null of those that cannot be shown. `image_id` is a text of
    digits: 64 bits are no number in JavaScript, and the viewer's table of them stays empty.

    Raises:
        ManifestError: the run has no map.
    """
    root = manifest.folder(warehouse, made.table, made.run)
    files = [storage.read_bytes(storage.join(root, file.path)) for file in made.files if file.rows > 0]
    if not files:
        raise ManifestError(f"{root}: found no image on a map: too few were live")
    rows = pa.concat_tables(pq.read_table(pa.BufferReader(content), columns=list(COLUMNS)) for content in files)
    images = zip(*(rows.column(name).to_pylist() for name in ("image_id", "uri", "etag")), strict=True)
    pictures = thumbnails.find(Thumbnails.open(warehouse, pointer.published(warehouse)), list(images))
    rows = rows.set_column(0, "image_id", rows.column("image_id").cast(pa.string()))
    rows = rows.append_column("thumbnail", pa.array(pictures, pa.binary())).select(ATLAS)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    storage.write_bytes(storage.normalise(path), sink.getvalue().to_pybytes())
    return len(rows)
