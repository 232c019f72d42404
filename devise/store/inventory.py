"""S3 Inventory, the list of a bucket that AWS writes daily or weekly, read as the objects of a listing; no Spark here.

A manifest names data files, Parquet or CSV, that together hold a row an object. They are fetched, checked and read one
at a time and a batch of rows at a time, so memory does not grow with the bucket.
Source: Amazon S3 User Guide, "Cataloging and analyzing your data with S3 Inventory" and "Locating your inventory list".
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus

import pyarrow as pa

from devise.errors import InventoryError
from devise.store import listing, scratch, storage
from devise.store.passedover import Tell, ending, ignore

NEEDED = {"key": "Key", "size": "Size", "lastmodifieddate": "LastModifiedDate", "etag": "ETag"}
VERSIONS = {"islatest": "IsLatest", "isdeletemarker": "IsDeleteMarker"}
"""Further fields of an inventory of all versions. Names here are AWS's without case and underscores: a Parquet
inventory calls `LastModifiedDate` `last_modified_date`."""
ROWS_PER_BATCH, BLOCK_BYTES = 4096, 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of rows: where it is, and the MD5 that its content must have, 32 hex digits."""

    uri: str
    md5: str


@dataclass(frozen=True)
class Inventory:
    """What a manifest says.

    Attributes:
        bucket: s3:// URI, ending in `/`, of the bucket that is listed.
        format: `Parquet` or `CSV` (gzip).
        names: the fields of a row in their order, as the files call them.
        files: at least one.
    """

    uri: str
    bucket: str
    format: str
    names: tuple[str, ...]
    files: tuple[DataFile, ...]

    def fields(self) -> dict[str, str]:
        """The fields that are read: their name here (see NEEDED) -> their name in the files."""
        known = {_plain(name): name for name in self.names}
        return {name: known[name] for name in (*NEEDED, *VERSIONS) if name in known}


def read_manifest(uri: str, sources: Sequence[str]) -> Inventory:
    """The inventory that the `manifest.json` at `uri` describes.

    Raises:
        StorageError: it cannot be read.
        InventoryError: it is no such manifest, of a format that is not read, lacks a needed field, or is of another
            bucket than that of the sources.
    """
    try:
        found = json.loads(storage.read_bytes(uri))
        bucket = f"s3://{found['sourceBucket']}/"
        store = f"s3://{found['destinationBucket'].rpartition(':')[2]}"  # arn:aws:s3:::name
        files = tuple(DataFile(f"{store}/{file['key']}", file["MD5checksum"].lower()) for file in found["files"])
        kind = found["fileFormat"]
        inventory = Inventory(uri, bucket, kind, _names(kind, found["fileSchema"]), files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InventoryError(f"{uri}: {error!r}, wanted the manifest.json of an S3 Inventory") from None
    if kind not in ("Parquet", "CSV"):
        raise InventoryError(f"{uri}: found an inventory in {kind}, wanted Parquet or CSV")
    if others := [source for source in sources if not storage.join(source, "").startswith(bucket)]:
        raise InventoryError(f"{uri}: an inventory of {bucket}, wanted one of the bucket of the source {others[0]}")
    wanted = NEEDED | (VERSIONS if "versionid" in map(_plain, inventory.names) else {})
    if missing := [wanted[name] for name in wanted if name not in inventory.fields()]:
        raise InventoryError(f"{uri}: lacks {', '.join(missing)}; found the fields {', '.join(inventory.names)}")
    if not files:
        raise InventoryError(f"{uri}: names no data file")
    return inventory


def read_objects(
    inventory: Inventory,
    file: DataFile,
    roots: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    passed_over: Tell = ignore,
) -> Iterator[pa.RecordBatch]:
    """The objects of one data file (listing.OBJECTS) that are below one of the roots and match its patterns.

    Of a bucket with versions only the current ones, and no delete markers. The empty objects that stand for folders are
    left out, as in a listing.

    Args:
        roots: sources as URIs that end in `/`; an object below two of them is one row.
        passed_over: is told the ending of every object below a root that matches no patterns.

    Raises:
        InventoryError: the file's MD5 is not the manifest's, or its rows are not what the manifest promises.
    """
    tests = [(root, listing.matcher(root, include, exclude)) for root in roots]

    def is_wanted(uri: str) -> bool:
        below = [matches for root, matches in tests if uri.startswith(root)]
        if not below or uri.endswith("/"):
            return False
        if not (wanted := any(matches(uri) for matches in below)):
            passed_over(ending(uri))
        return wanted

    content = _fetch(file)
    try:
        for rows in _parquet(content, inventory) if inventory.format == "Parquet" else _csv(content, inventory):
            yield _select(rows, inventory, is_wanted)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InventoryError(f"{file.uri}: {error}; wanted rows of {inventory.names} in {inventory.format}") from None
    finally:
        content.close()


def _fetch(file: DataFile) -> pa.NativeFile:
    """The checked content as an open file without a name: nothing is left on the disk, even by a killed worker."""
    path = scratch.cache_folder() / f".{uuid.uuid4().hex}"
    try:
        storage.get_file(file.uri, path)
        content = pa.OSFile(str(path))
    finally:
        path.unlink(missing_ok=True)
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := content.read(BLOCK_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != file.md5:
        raise InventoryError(f"{file.uri}: its MD5 is {digest.hexdigest()}, wanted {file.md5} as the manifest says")
    content.seek(0, os.SEEK_SET)
    return content


def _parquet(content: pa.NativeFile, inventory: Inventory) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    fields = inventory.fields()
    opened = pq.ParquetFile(content, buffer_size=BLOCK_BYTES, pre_buffer=False)  # else whole columns are held
    if missing := [name for name in fields.values() if name not in opened.schema_arrow.names]:
        raise KeyError(f"no column {missing[0]}")
    for batch in opened.iter_batches(ROWS_PER_BATCH, columns=list(fields.values())):
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in fields.values()], names=list(fields))


def _csv(content: pa.NativeFile, inventory: Inventory) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    fields = inventory.fields()
    kinds = {"key": pa.string(), "etag": pa.string(), "size": pa.int64(), "lastmodifieddate": listing.OBJECTS[3].type}
    types = {actual: kinds.get(name, pa.bool_()) for name, actual in fields.items()}
    rows = pa.CompressedInputStream(content, "gzip")
    start = rows.read(1)
    if not start:
        return  # pyarrow refuses a text without rows
    content.seek(0, os.SEEK_SET)
    opened = csv.open_csv(
        pa.CompressedInputStream(content, "gzip"),
        csv.ReadOptions(column_names=inventory.names, block_size=BLOCK_BYTES, use_threads=False),
        convert_options=csv.ConvertOptions(
            column_types=types, include_columns=list(fields.values()), timestamp_parsers=[csv.ISO8601]
        ),
    )
    for batch in opened:
        yield pa.RecordBatch.from_arrays(batch.columns, names=list(fields))


def _select(rows: pa.RecordBatch, inventory: Inventory, is_wanted: Callable[[str], bool]) -> pa.RecordBatch:
    """The wanted objects of a batch of rows, as columns of a listing."""
    import pyarrow.compute as pc

    if "islatest" in rows.schema.names:
        rows = rows.filter(rows.column("islatest"))
    if "isdeletemarker" in rows.schema.names:
        rows = rows.filter(pc.invert(pc.fill_null(rows.column("isdeletemarker"), False)))
    keys = rows.column("key").to_pylist()
    if inventory.format == "CSV":  # URL-encoded there, a space as `+`; in Parquet a key is what it is
        keys = [unquote_plus(key) for key in keys]
    uris = [inventory.bucket + key for key in keys]
    wanted = pa.array([is_wanted(uri) for uri in uris], pa.bool_())
    modified = rows.column("lastmodifieddate")
    if pa.types.is_integer(modified.type):
        modified = modified.cast(pa.timestamp("ms"))
    etags = pc.utf8_trim(rows.column("etag").cast(pa.string()), '"')
    columns = [pa.array(uris, pa.string()), etags, rows.column("size"), modified]
    columns = [column.cast(field.type) for column, field in zip(columns, listing.OBJECTS, strict=True)]
    found = pa.RecordBatch.from_arrays(columns, schema=listing.OBJECTS).filter(wanted)
    for column, name in zip(found.columns, listing.OBJECTS.names, strict=True):
        if column.null_count:
            raise InventoryError(f"{inventory.uri}: found objects without {name}, wanted one for each")
    return found


def _names(kind: str, schema: str) -> tuple[str, ...]:
    """The fields of `fileSchema`: names with commas, or a Parquet message such as
    `message s3.inventory { required binary key (UTF8); optional int64 size; }`."""
    if kind == "CSV":
        return tuple(name.strip() for name in schema.split(","))
    return tuple(re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", schema))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
