"""Parquet files that workers write themselves: hashed and counted as they are written, then put into their run whole.

A file is written to local scratch and delivered under a name that no other attempt has: what was begun and not ended
is nowhere to be seen, and a twin overwrites nothing. What a worker says of it, the receipt, is what a manifest lists.
"""

import hashlib
import json
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, BinaryType, StructType

from devise.spark.frame import schemas
from devise.store import storage
from devise.warehouse.manifest import File

GROUP_ROWS = 131_072
GROUP_BYTES = 64 * 2**20
"""A row group is written once so many rows or bytes of Arrow wait: the memory that a part takes."""
LOOKED_UP, LOOKED_UP_ROWS = (schemas.LABELS, schemas.WORD_IMAGES), 8_192
"""Tables that are sorted to be looked up, and the rows of their groups, which a look-up decodes whole: 0.8 ms of
labels, where 131,072 rows take 8, in a file that is no larger (tests/benchmarks/results/searcher.md)."""
THUMBNAILS_BYTES = 2**18
"""Of a row group of thumbnails, which a look-up reads whole. Smaller ones make the ends of files longer, half a
kilobyte each, which a look-up reads too: of a file of PART_BYTES a megabyte."""
PART_BYTES = 512 * 2**20
"""A file is ended after so many bytes: local scratch holds one at a time."""


class Part:
    """One Parquet file of a table under way.

    Args:
        folder: URI of the run's folder. schema: the table's.
        name: how the file's name begins; letters, digits and dashes.
    """

    def __init__(self, folder: str, schema: StructType, name: str = "part"):
        self.folder, self.schema = folder, schema
        self.name = f"{name}-{uuid.uuid4().hex}.parquet"
        self.rows, self._group_rows = 0, LOOKED_UP_ROWS if schema in LOOKED_UP else GROUP_ROWS
        self._group_bytes = THUMBNAILS_BYTES if schema == schemas.THUMBNAILS else GROUP_BYTES
        self._codes: Counter[str] = Counter()
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="devise-part-")
        self._sink = _Hashed(Path(self._scratch.name) / self.name)
        texts = [field.name for field in schema if not isinstance(field.dataType, ArrayType | BinaryType)]
        packed = {field.name for field in schema if isinstance(field.dataType, BinaryType)}  # WebP gets no smaller
        self._writer = pq.ParquetWriter(
            self._sink,
            to_arrow_schema(schema),
            compression={field.name: "none" if field.name in packed else "zstd" for field in schema},
            write_statistics=[name for name in schema.names if name not in packed],
            use_dictionary=texts,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, whose columns are in the table's order; they are cast to its types."""
        if batch.num_rows == 0:
            return
        cast = schemas.record_batch(batch.columns, self.schema)
        if "code" in self.schema.names:
            self._codes.update(cast.column("code").to_pylist())
        self._waiting.append(cast)
        self.rows += cast.num_rows
        self._waiting_rows += cast.num_rows
        self._waiting_bytes += cast.nbytes  # kept as a sum: asked of all that wait, small batches would cost a square
        if self._waiting_rows >= self._group_rows or self._waiting_bytes >= self._group_bytes:
            self._flush()

    @property
    def full(self) -> bool:
        return self._sink.n_bytes >= PART_BYTES

    def deliver(self) -> dict[str, Any]:
        """End the file and put it into the run's folder; its receipt (schemas.RECEIPTS)."""
        try:
            self._flush()
            self._close()
            storage.put_file(self._sink.path, storage.join(self.folder, self.name))
            return {
                "path": self.name,
                "size_bytes": self._sink.n_bytes,
                "sha256": self._sink.digest.hexdigest(),
                "rows": self.rows,
                "codes": json.dumps(self._codes),
            }
        finally:
            self.drop()

    def drop(self) -> None:
        """Forget the local file; nothing of it was ever in the run's folder, or all of it is."""
        with suppress(OSError, pa.ArrowException):  # on a full disk there is no room for the end that nobody reads
            self._close()
        with suppress(OSError):
            self._sink.close()
        self._scratch.cleanup()

    def _close(self) -> None:
        self._writer.close()  # it writes the file's end
        self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            n_groups = max(1, self._waiting_bytes // self._group_bytes)  # of one large batch several
            rows = min(self._group_rows, ceil(self._waiting_rows / n_groups))
            self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=rows)
            self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0


def write_parts(batches: Iterator[pa.RecordBatch], folder: str, schema: StructType, name: str) -> Iterator[dict]:
    """Write a task's rows as one file, or several where they are many; their receipts."""
    part = None
    try:
        for batch in batches:
            if batch.num_rows:
                part = part or Part(folder, schema, name)
                part.write(batch)
                if part.full:
                    done, part = part, None
                    yield done.deliver()
        if part is not None:
            done, part = part, None
            yield done.deliver()
    finally:
        if part is not None:  # the task failed or was stopped
            part.drop()


def receipt_batch(receipt: Mapping[str, Any]) -> pa.RecordBatch:
    """A receipt as a task returns it."""
    return pa.RecordBatch.from_pylist([dict(receipt)], schema=to_arrow_schema(schemas.RECEIPTS))


def file_of(receipt: Any) -> File:
    """What a manifest lists of a receipt, which is a mapping or a row of Spark's."""
    return File(**{name: receipt[name] for name in File.model_fields})


class _Hashed:
    """A local file that is only ever added to, and the sha256 and size of what was."""

    def __init__(self, path: Path):
        self.path, self.digest, self.n_bytes = path, hashlib.sha256(), 0
        self._file = open(path, "wb")  # noqa: SIM115

    def write(self, content: Any) -> int:
        self.digest.update(content)
        self.n_bytes += len(content)
        return self._file.write(content)

    def tell(self) -> int:
        return self.n_bytes

    def flush(self) -> None:
        self._file.flush()

    def writable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()
