"""The files beside a shard, mapped into memory: the uri of an id, and the exact row of an id; no faiss, no Spark.

A sidecar is an uncompressed Arrow file, so that an id is found in it where it lies, by bisection: its ids ascend.
A file of exact rows is all rows, then all ids, both in the order of the ids. A number is 16 bits of fixed point: for
unit rows five times as precise as float16, and float32 again in a fifteenth of the time. What is touched of either
file the system reads, and may forget again: neither counts as memory of the process.
Shape letters: N rows, Q queries, M candidates, D dims.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from devise.errors import IndexingError

SCHEMA = pa.schema([("image_id", pa.int64()), ("uri", pa.string()), ("etag", pa.string())])
"""The columns of a sidecar."""
NUMBER, ONE = np.dtype("<i2"), 32_767
"""A number of an exact row, and what 1 is: scores of unit rows are right to 0.00004."""
ID_BYTES = 8
BLOCK_NUMBERS = 4 << 20
"""Numbers of candidates that are taken up at a time: 16 MB as float32."""


class Sidecar:
    """image_id, uri and etag of a shard's rows, by id."""

    def __init__(self, path: str | Path):
        """Map the file.

        Raises:
            IndexingError: it is no sidecar, or is torn.
        """
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise IndexingError(f"{path}: no sidecar of a shard: {str(error).splitlines()[0]}") from None
        if self._table.schema != SCHEMA:
            raise IndexingError(f"{path}: found columns {self._table.schema.names}, wanted {SCHEMA.names}")
        self._parts = [chunk.to_numpy() for chunk in self._table.column("image_id").chunks if len(chunk)]
        self._first = np.array([part[0] for part in self._parts], np.int64)
        self._start = np.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        return self._table.num_rows

    def rows_of(self, image_id_M: np.ndarray) -> np.ndarray:
        """The row of each id, int64; -1 of an id that is not there."""
        place_M = np.searchsorted(self._first, image_id_M, side="right") - 1
        row_M = np.full(len(place_M), -1, np.int64)
        for place in np.unique(place_M[place_M >= 0]).tolist():
            (asked,) = np.nonzero(place_M == place)
            part_N, wanted = self._parts[place], image_id_M[asked]
            found = np.minimum(np.searchsorted(part_N, wanted), len(part_N) - 1)
            row_M[asked] = np.where(part_N[found] == wanted, found + self._start[place], -1)
        return row_M

    def starting_with(self, prefix: str) -> np.ndarray:
        """The ids, int64 and ascending, of the rows whose uri begins with `prefix`; every uri is looked at."""
        table = self._table.select(["image_id", "uri"])
        return table.filter(pc.starts_with(table.column("uri"), prefix)).column("image_id").to_numpy()

    def uris(self, image_id_M: np.ndarray) -> dict[int, str]:
        """image_id -> uri of those of the ids that are there."""
        uris, row_M = self._table.column("uri"), self.rows_of(image_id_M)
        pairs = zip(image_id_M.tolist(), row_M.tolist(), strict=True)
        return {image_id: uris[row].as_py() for image_id, row in pairs if row >= 0}

    def stored(self, image_id: int) -> tuple[str, str] | None:
        """uri and etag of a row; None of an id that is not there."""
        row = int(self.rows_of(np.array([image_id], np.int64))[0])
        return (self._table.column("uri")[row].as_py(), self._table.column("etag")[row].as_py()) if row >= 0 else None

    def some(self, n: int) -> dict[int, str]:
        """image_id -> uri of n rows at even distances, or of all if they are fewer."""
        places = np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64))
        ids, uris = (self._table.column(name).take(pa.array(places)).to_pylist() for name in ("image_id", "uri"))
        return dict(zip(ids, uris, strict=True))

    def first(self, n: int) -> list[int]:
        """The n lowest ids, or all if they are fewer."""
        return self._table.column("image_id").slice(0, n).to_pylist()


class ExactRows:
    """The rows of a shard as they were before its kind took their precision, by id."""

    def __init__(self, path: str | Path, n_rows: int, dim: int):
        """Map the file.

        Raises:
            IndexingError: it is not of so many rows of `dim` numbers.
        """
        ids_at, wanted = _places(n_rows, dim)
        if (found := Path(path).stat().st_size) != wanted:
            raise IndexingError(f"{path}: found {found:,} bytes, wanted {wanted:,}: {n_rows:,} rows of {dim} numbers")
        self._path = path
        self._row_ND = np.asarray(np.memmap(path, NUMBER, mode="r", shape=(n_rows, dim)))
        self._id_N = np.asarray(np.memmap(path, "<i8", mode="r", offset=ids_at, shape=n_rows))

    def vectors(self, image_id_M: np.ndarray) -> np.ndarray:
        """float32 (M, D): the rows of these ids.

        Raises:
            IndexingError: an id has no row here, so the file is another shard's.
        """
        return self._numbers(image_id_M) / np.float32(ONE)

    def scores(self, query_QD: np.ndarray, image_id_QM: np.ndarray) -> np.ndarray:
        """Inner products, float32 (Q, M), of each query and its candidates; -inf at an id of -1.

        Equal rows score alike, wherever they stand.

        Raises:
            IndexingError: an id has no row here, so the file is another shard's.
        """
        score_QM, step = np.full(image_id_QM.shape, -np.inf, np.float32), max(1, BLOCK_NUMBERS // query_QD.shape[1])
        for query_D, image_id_M, score_M in zip(query_QD, image_id_QM, score_QM, strict=True):
            order = np.argsort(image_id_M)  # that of the file: it is gone through once
            order = order[np.searchsorted(image_id_M, 0, sorter=order) :]
            for start in range(0, len(order), step):
                place_M = order[start : start + step]
                score_M[place_M] = np.einsum("md,d->m", self._numbers(image_id_M[place_M]), query_D)
        return score_QM / np.float32(ONE)

    def _numbers(self, image_id_M: np.ndarray) -> np.ndarray:
        """The numbers of rows as they are stored, as float32."""
        row_M = np.minimum(np.searchsorted(self._id_N, image_id_M), len(self._id_N) - 1)
        if (self._id_N[row_M] != image_id_M).any():
            raise IndexingError(f"{self._path}: found no row of some ids of the shard beside it, wanted all")
        return self._row_ND[row_M].astype(np.float32)


def write_through(batches: Iterable[tuple[np.ndarray, np.ndarray]], path: str | Path) -> Iterator[tuple]:
    """Each batch of ids, ascending over all, and unit rows, once its rows are in a file of exact rows."""
    ids: list[np.ndarray] = []
    with open(path, "wb") as file:
        for image_id_N, embedding_ND in batches:
            file.write(np.rint(embedding_ND * np.float32(ONE)).astype(NUMBER))
            ids.append(np.array(image_id_N, "<i8"))
            yield image_id_N, embedding_ND
        file.write(b"\0" * (-file.tell() % ID_BYTES))
        for image_id_N in ids:
            file.write(image_id_N)


def _places(n_rows: int, dim: int) -> tuple[int, int]:
    """Where in a file of exact rows their ids begin, and where they end."""
    ids_at = -(-n_rows * dim * NUMBER.itemsize // ID_BYTES) * ID_BYTES
    return ids_at, ids_at + n_rows * ID_BYTES
