"""The files beside a shard, mapped into memory: the uri of an id, and the exact row of an id; no faiss, no Spark.

A sidecar is an uncompressed Arrow file, so that an id is found in it where it lies, by bisection: its ids ascend.
Exact rows are float16 numbers without a header, row i of the file being row i of the sidecar. What is touched of either
is read, and what was touched the system may forget again: neither counts as memory of the process.
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
ROW = np.dtype("<f2")
"""A number of an exact row: scores of unit rows are right to about 0.0001."""
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


class ExactRows:
    """The rows of a shard as they were before its kind took their precision, by id."""

    def __init__(self, path: str | Path, sidecar: Sidecar, dim: int):
        """Map the file.

        Raises:
            IndexingError: it has not one row of `dim` numbers for each row of the sidecar.
        """
        found, wanted = Path(path).stat().st_size, len(sidecar) * dim * ROW.itemsize
        if found != wanted:
            raise IndexingError(
                f"{path}: found {found:,} bytes, wanted {wanted:,}: {len(sidecar):,} rows of {dim} float16 numbers"
            )
        self._sidecar = sidecar
        self._row_ND = np.memmap(path, ROW, mode="r", shape=(len(sidecar), dim))

    def vectors(self, image_id_M: np.ndarray) -> np.ndarray:
        """float32 (M, D): the rows of ids; `IndexingError` if one has no row here, so the file is another shard's."""
        row_M = self._sidecar.rows_of(image_id_M)
        if (row_M < 0).any():
            raise IndexingError("a shard has ids that its sidecar lacks: they are of two shards, or one is torn")
        return self._row_ND[row_M].astype(np.float32)

    def scores(self, query_QD: np.ndarray, image_id_QM: np.ndarray) -> np.ndarray:
        """Inner products, float32 (Q, M), of each query and its candidates; -inf at an id of -1.

        Equal rows score alike, wherever they stand.

        Raises:
            IndexingError: an id has no row here, so the file is another shard's.
        """
        score_QM = np.full(image_id_QM.shape, -np.inf, np.float32)
        (n_candidates, dim), rows_QM = (image_id_QM.shape[1], query_QD.shape[1]), image_id_QM >= 0
        step = max(1, BLOCK_NUMBERS // max(1, n_candidates * dim))
        for start in range(0, len(query_QD), step):
            part = slice(start, start + step)
            query_M, candidate_M = np.nonzero(rows_QM[part])
            row_MD = self.vectors(image_id_QM[part][query_M, candidate_M])
            score_QM[start + query_M, candidate_M] = np.einsum("md,md->m", row_MD, query_QD[part][query_M])
        return score_QM


def write_through(batches: Iterable[tuple[np.ndarray, np.ndarray]], path: str | Path) -> Iterator[tuple]:
    """Each batch of ids and rows, once its rows are in a file of exact rows."""
    with open(path, "wb") as file:
        for image_id_N, embedding_ND in batches:
            file.write(np.ascontiguousarray(embedding_ND, dtype=ROW))
            yield image_id_N, embedding_ND
