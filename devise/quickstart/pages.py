"""Labelled pictures to look at: a page, or a contact sheet; of this process, or of a night's tables."""

from collections.abc import Sequence
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path

import pyarrow.parquet as pq

from devise.errors import ConfigError
from devise.quickstart.label import Labelled
from devise.search.query import newest_live
from devise.show import gallery
from devise.show.report import KINDS, MOST_TILES, contact_sheet
from devise.store import scratch, storage
from devise.warehouse import manifest, pointer

ROW = ["uri", "rank", "label", "synset", "score", "answer", "answer_probability"]
ON_A_SHEET = 2
"""Labels below a picture of a contact sheet, a line each."""


def refuse_kind(path: str) -> None:
    """`ConfigError` if a name does not say whether it is to be a page or a picture; asked before any work."""
    if (ending := Path(path).suffix.lower()) not in (".html", *KINDS):
        raise ConfigError(f"--sheet {path}: ends in {ending!r}, wanted .html, {', '.join(KINDS)}")


def write(found: Sequence[Labelled], folder: str, path: str) -> None:
    """A page (.html) of a folder's pictures, or a contact sheet (a picture) of the first MOST_TILES.

    Raises:
        StorageError: it cannot be written.
    """
    title = storage.normalise(folder).rstrip("/").rsplit("/", 1)[-1]
    if Path(path).suffix.lower() == ".html":
        tiles = [
            gallery.Tile(
                *(one.uri, below(one.uri, folder), [(name, score) for name, _, score in one.labels]),
                *(one.code, one.answer),
            )
            for one in found
        ]
        n_rejected = sum(one.code is not None for one in found)
        told = f"{len(found) - n_rejected:,} pictures labelled" + f", {n_rejected:,} rejected" * bool(n_rejected)
        return gallery.write_page(tiles, title, told, path)
    shown = found[:MOST_TILES]
    tiles = [
        (storage.read_bytes(one.uri), ", ".join(name for name, _, _ in one.labels[:ON_A_SHEET]) or one.code or "")
        for one in shown
    ]
    contact_sheet(tiles, f"{title}: {len(shown):,} of {len(found):,}", path)


def below(uri: str, folder: str) -> str:
    """What a picture is called in its folder."""
    return uri.removeprefix(storage.join(storage.normalise(folder), ""))


def of_night(warehouse: str, most: int = gallery.MOST_SHOWN) -> list[Labelled]:
    """The first live images, by image_id, which is a hash: a draw of the corpus; the whole of one with fewer.

    Rejects have no labels: they are in the table of their own.

    Raises:
        ManifestError: nothing is live, or it has no labels.
    """
    labels = newest_live(warehouse, pointer.published(warehouse), "labels")
    folder = manifest.folder(warehouse, "labels", labels.run)
    parts = sorted(file.path for file in labels.files if file.path.endswith(".parquet"))
    files = (pq.ParquetFile(scratch.localise(storage.join(folder, part))) for part in parts)
    batches = (batch for file in files for batch in file.iter_batches(columns=ROW))
    images = groupby(chain.from_iterable(batch.to_pylist() for batch in batches), key=itemgetter("uri"))
    return [_labelled(uri, list(rows)) for uri, rows in islice(images, most)]


def _labelled(uri: str, rows: list[dict]) -> Labelled:
    noun = rows[0].get("answer")  # a night of before there were answers has no such column
    answer = (noun, rows[0]["answer_probability"]) if noun is not None else None
    return Labelled(uri, tuple((row["label"], row["synset"], row["score"]) for row in rows), answer=answer)
