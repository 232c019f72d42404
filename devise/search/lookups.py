"""Point look-ups in Parquet files that are sorted by what is looked up; knows no tables, no queries.

The statistics of a file's end say which of its row groups may hold a value; only those are decoded, and a file is
fetched only once one of them is wanted. Whoever asks again and again may have decoded row groups kept.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from devise.errors import SchemaError
from devise.search.once import Once
from devise.search.shards import Stored
from devise.store import storage

END_BYTES = 2**20
"""What is read of a file's end at first: its statistics, up to some 10,000 row groups of a few columns."""
TAIL_BYTES = 8
"""The very last of a Parquet file: the length of what it says of itself, and the mark `PAR1`."""
Key = int | str
Footer = tuple[pq.FileMetaData, np.ndarray, np.ndarray, np.ndarray]


class SortedFiles:
    """Rows by the value of one column; any number of threads may ask.

    The answer is right however rows lie. It is quick where the files are sorted, or made of sorted stretches: then few
    row groups may hold a value.

    Args:
        files: Parquet files with the same columns.
        column: of int64 or text, with statistics in every file.
        keep_bytes: what decoded row groups may take, the longest unused go first; for columns of int64 alone.
    """

    def __init__(self, files: Sequence[Stored], column: str, keep_bytes: int = 0):
        kept = Once[_Group](keep_bytes, lambda group: group.nbytes) if keep_bytes else None
        self._files = [_File(file, column, kept) for file in files]

    def find(self, values: Collection[Key], columns: Sequence[str]) -> pa.Table:
        """The rows that hold one of the values, with these columns, in the order of files and rows.

        Raises:
            SchemaError: a file cannot be read, lacks a column, or has no statistics.
            StorageError: a file is missing, or is not what its run promises.
        """
        found = [file.find(values, columns) for file in self._files]
        kept = [table for table in found if table is not None]
        # Of no row, the columns still have types: those of any file's, which a caller with no rows has no use for.
        return pa.concat_tables(kept) if kept else pa.table({name: pa.nulls(0) for name in columns})


class _Group(NamedTuple):
    """A row group, decoded, its rows ascending by key."""

    key_N: np.ndarray
    rows: pa.Table

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.key_N.nbytes

    def find(self, value_M: np.ndarray) -> pa.Table | None:
        """The rows of ascending keys."""
        begins, ends = (self.key_N.searchsorted(value_M, side).tolist() for side in ("left", "right"))
        spans = [self.rows.slice(begin, end - begin) for begin, end in zip(begins, ends, strict=True) if end > begin]
        return pa.concat_tables(spans) if spans else None


class _File:
    """One file: its statistics once they are asked for, its content mapped once a row is.

    Args:
        kept: row groups of all files, where they are kept.
    """

    def __init__(self, file: Stored, column: str, kept: Once[_Group] | None):
        self._file, self._column, self._kept = file, column, kept
        self._opened = Once[Any]()

    def find(self, values: Collection[Key], columns: Sequence[str]) -> pa.Table | None:
        """The rows that hold one of the values; None where no row group may."""
        _, group_G, least_G, most_G = self._statistics()
        value_M = np.array(sorted(set(values)), least_G.dtype)
        # A group may hold a value where fewer are below its least than are not above its most.
        groups = group_G[value_M.searchsorted(least_G) < value_M.searchsorted(most_G, side="right")]
        if not len(groups):
            return None
        names = tuple(dict.fromkeys([self._column, *columns]))
        if self._kept is None:
            rows = self._decode(groups.tolist(), names)
            return rows.filter(pc.is_in(rows.column(self._column), _array(values))).select(list(columns))
        found = []
        for group in groups.tolist():
            held = self._kept.get((self._file.uri, group, names), partial(self._read_sorted, group, names))
            least, most = value_M.searchsorted(held.key_N[0]), value_M.searchsorted(held.key_N[-1], side="right")
            found.append(held.find(value_M[least:most]))
        tables = [rows.select(list(columns)) for rows in found if rows is not None]
        return pa.concat_tables(tables) if tables else None

    def _read_sorted(self, group: int, names: tuple[str, ...]) -> _Group:
        """A row group with these columns."""
        rows = self._decode([group], names).combine_chunks()
        rows = rows.filter(pc.is_valid(rows.column(self._column)))
        key_N = rows.column(self._column).to_numpy()
        if (key_N[1:] < key_N[:-1]).any():
            order = np.argsort(key_N, kind="stable")
            key_N, rows = key_N[order], rows.take(pa.array(order)).combine_chunks()
        return _Group(key_N, rows)

    def _decode(self, groups: list[int], names: tuple[str, ...]) -> pa.Table:
        try:
            file = pq.ParquetFile(pa.BufferReader(self._mapped()), metadata=self._statistics()[0])
            rows = file.read_row_groups(groups, columns=[*names], use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self._file.uri, error) from None
        if missing := set(names) - set(rows.column_names):
            raise SchemaError(f"{self._file.uri}: found no columns {sorted(missing)}")
        return rows

    def _statistics(self) -> Footer:
        return self._opened.get("footer", lambda: read_footer(self._file.uri, self._column))

    def _mapped(self) -> pa.Buffer:
        return self._opened.get("content", lambda: pa.memory_map(str(self._file.fetch())).read_buffer())


def read_footer(uri: str, column: str, end_bytes: int = END_BYTES) -> Footer:
    """What a Parquet file's end says: all of it, the row groups with a value in `column`, and the least and the largest
    value of each of these.

    Args:
        end_bytes: what is read at first; a file whose end is longer is read again.

    Raises:
        SchemaError: it cannot be read, or lacks the column or its statistics.
    """
    metadata = _read_metadata(uri, end_bytes)
    if column not in (names := metadata.schema.names):
        raise SchemaError(f"{uri}: found columns {names}, wanted {column} among them")
    groups, told_G = _told_by_group(metadata, names.index(column))
    if any(told is None or not told.has_min_max for told in told_G):
        raise SchemaError(f"{uri}: found no statistics of {column}, wanted them to look it up")
    kind = np.int64 if told_G and isinstance(told_G[0].min, int) else object
    ends = (np.array([getattr(told, end) for told in told_G], kind) for end in ("min", "max"))
    return metadata, np.array(groups, np.int64), *ends


def _told_by_group(metadata: pq.FileMetaData, place: int) -> tuple[list[int], list[pq.Statistics | None]]:
    """The row groups with a value in the column at `place`, and its statistics in each."""
    found = [(number, metadata.row_group(number)) for number in range(metadata.num_row_groups)]
    told = [(number, group.num_rows, group.column(place).statistics) for number, group in found if group.num_rows]
    held = [(number, told) for number, n_rows, told in told if told is None or told.null_count != n_rows]
    return [number for number, _ in held], [told for _, told in held]


def _read_metadata(uri: str, end_bytes: int) -> pq.FileMetaData:
    """What a Parquet file says of itself, read from its end alone."""
    end = storage.read_bytes(uri, last=end_bytes)
    wanted = TAIL_BYTES + int.from_bytes(end[-TAIL_BYTES:-4], "little")
    if len(end) < wanted:
        end = storage.read_bytes(uri, last=wanted)
    try:
        return pq.read_metadata(pa.BufferReader(end))
    except (pa.ArrowException, OSError) as error:
        raise unreadable(uri, error) from None


def _array(values: Collection[Key]) -> pa.Array:
    """The values as Arrow has them. `pa.array` would load pandas, which takes many times as long as a look-up."""
    if all(isinstance(value, int) for value in values):
        return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.array([*values], np.int64))])
    texts = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])


def unreadable(uri: str, error: Exception) -> SchemaError:
    return SchemaError(f"{uri}: cannot be read as Parquet: {str(error).splitlines()[0]}")
