"""Thumbnails of a publication, looked up by image; makes none, and knows no pixels.

A table of thumbnails is too large to be fetched: of a file its end is read, once, and of its row groups those that may
hold a wanted id, each once for all who ask at a time; the last ones are kept. A night's own files are ranges of ids,
told by their names, so that of a run one file is looked at for an id.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise.search import shards
from devise.search.lookups import Footer, read_footer, unreadable
from devise.search.once import Once
from devise.store import storage
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest
from devise.warehouse.pointer import Live

TABLE = "thumbnails"
THREADS = 16
"""Files that are read at a time, of one question."""
END_BYTES = 2**16
"""What is read of a file's end at first: what it says of 100 row groups. One that says more is read again."""
KEPT_BYTES = 64 * 2**20
"""Of row groups and of files' ends: an id lies within a group of nearly every night's file; those are small and few."""
NUMBERED = re.compile(r"part-(\d{5})-[0-9a-f]{32}\.parquet")
"""Name of a file of one range of the ids; those of a base's standing rows have other names."""


class Thumbnail(NamedTuple):
    """A whole image made small: WebP bytes, and its width and height in pixels."""

    webp: bytes
    width: int
    height: int


class Thumbnails:
    """The thumbnails of some runs; any number of threads may ask.

    Args:
        runs: of the table, oldest first; without one there are none.
    """

    def __init__(self, warehouse: str, runs: Sequence[Manifest]):
        kept = Once[Any](
            KEPT_BYTES, lambda read: read.nbytes if isinstance(read, pa.Table) else read[0].serialized_size
        )
        self._runs = [_Run(warehouse, made, kept) for made in reversed(runs)]

    @classmethod
    def open(cls, warehouse: str, live: Live) -> "Thumbnails":
        """Those of a publication; `ManifestError` if a run that it names is gone."""
        return cls(warehouse, [manifest.read(warehouse, TABLE, run) for run in live.runs(TABLE)])

    def find(self, etags: Mapping[int, str]) -> dict[int, Thumbnail]:
        """image_id -> thumbnail of the images that have one of their live content.

        Args:
            etags: image_id -> etag, as the live publication lists it. A thumbnail of another content is not found.

        Raises:
            SchemaError: a file cannot be read, or lacks a column.
            StorageError: a file is missing.
        """
        found: dict[int, Thumbnail] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for run in self._runs:  # the newest first: most of what is looked at was new lately, or is in the base
                left = {image_id: etag for image_id, etag in etags.items() if image_id not in found}
                parts = pool.map(lambda asked: asked[0].find(asked[1]), run.files_of(left))
                found |= {image_id: thumbnail for part in parts for image_id, thumbnail in part.items()}
        return found


class _Run:
    """The files of one run.

    Args:
        kept: row groups and ends of all files.
    """

    def __init__(self, warehouse: str, made: Manifest, kept: Once[Any]):
        root = manifest.folder(warehouse, TABLE, made.run)
        files = [(file, NUMBERED.fullmatch(file.path)) for file in made.files if file.rows > 0]
        self._ranges = made.details["ranges"]
        self._numbered = {int(match[1]): _File(root, file, kept) for file, match in files if match}
        self._others = [_File(root, file, kept) for file, match in files if not match]

    def files_of(self, etags: Mapping[int, str]) -> Iterable[tuple["_File", dict[int, str]]]:
        """Each file that may hold some of the images, and those."""
        found: dict[_File, dict[int, str]] = {file: dict(etags) for file in self._others if etags}
        if self._numbered:
            ids = np.array([*etags], np.int64)
            for image_id, number in zip(ids.tolist(), shards.number_of_ids(ids, self._ranges).tolist(), strict=True):
                if number in self._numbered:
                    found.setdefault(self._numbered[number], {})[image_id] = etags[image_id]
        return found.items()


class _File:
    """One file, of which its end and its row groups are read."""

    def __init__(self, root: str, file: File, kept: Once[Any]):
        self._uri, self._size_bytes, self._kept = storage.join(root, file.path), file.size_bytes, kept

    def find(self, etags: Mapping[int, str]) -> dict[int, Thumbnail]:
        """The thumbnails of those of the contents that are here."""
        footer: Footer = self._kept.get(self._uri, lambda: read_footer(self._uri, "image_id", END_BYTES))
        metadata, group_G, least_G, most_G = footer
        ids = np.array([*etags], np.int64)
        may_G = ((least_G[:, None] <= ids) & (ids <= most_G[:, None])).any(axis=1)
        try:
            rows = [row for group in group_G[may_G].tolist() for row in _rows(self._group(metadata, group))]
        except (pa.ArrowException, OSError, KeyError) as error:
            raise unreadable(self._uri, error) from None
        return {
            image_id: Thumbnail(webp.as_py(), width, height)
            for image_id, etag, webp, width, height in rows
            if etags.get(image_id) == etag
        }

    def _group(self, metadata: pq.FileMetaData, group: int) -> pa.Table:
        return self._kept.get((self._uri, group), lambda: self._read(metadata, group))

    def _read(self, metadata: pq.FileMetaData, group: int) -> pa.Table:
        """The rows of a row group: one request."""
        told = metadata.row_group(group)
        columns = [told.column(number) for number in range(told.num_columns)]
        starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
        ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
        content = storage.read_bytes(self._uri, span=(min(starts), max(ends)))
        part = pa.PythonFile(_Part(min(starts), content, self._size_bytes), "r")
        return pq.ParquetFile(part, metadata=metadata).read_row_group(group, use_threads=False)


def _rows(group: pa.Table) -> Iterable[tuple]:
    others = [group.column(name).to_pylist() for name in ("image_id", "etag", "width", "height")]
    return zip(others[0], others[1], group.column("webp"), others[2], others[3], strict=True)


class _Part:
    """A file of which a stretch alone is there, as pyarrow reads files."""

    closed = False

    def __init__(self, start: int, content: bytes, size_bytes: int):
        self._start, self._content, self._size_bytes, self._at = start, content, size_bytes, 0

    def seek(self, place: int, whence: int = 0) -> int:
        self._at = (0, self._at, self._size_bytes)[whence] + place
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, n_bytes: int) -> bytes:
        first = self._at - self._start
        if not 0 <= first <= first + n_bytes <= len(self._content):
            raise OSError(f"{n_bytes} bytes at {self._at} lie outside of its row group")
        self._at += n_bytes
        return self._content[first : first + n_bytes]

    def close(self) -> None:
        """Nothing is held."""
