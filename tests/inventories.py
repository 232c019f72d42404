"""Writes S3 inventories of a bucket as AWS does, for tests: data files and a manifest.json in a destination bucket."""

import csv
import gzip
import hashlib
import io
import json
from datetime import datetime, timezone
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from devise.store import storage

FIELDS = (
    "Bucket",
    "Key",
    "VersionId",
    "IsLatest",
    "IsDeleteMarker",
    "Size",
    "LastModifiedDate",
    "ETag",
    "StorageClass",
)
PARQUET = {
    "Bucket": ("bucket", pa.string()),
    "Key": ("key", pa.string()),
    "VersionId": ("version_id", pa.string()),
    "IsLatest": ("is_latest", pa.bool_()),
    "IsDeleteMarker": ("is_delete_marker", pa.bool_()),
    "Size": ("size", pa.int64()),
    "LastModifiedDate": ("last_modified_date", pa.timestamp("ms", tz="UTC")),
    "ETag": ("e_tag", pa.string()),
    "StorageClass": ("storage_class", pa.string()),
}


def rows(bucket):
    """A row of every object there is, and rows that a reader must pass over: old versions and deleted keys."""
    found = []
    for file in storage.list_files(bucket):
        key = file.uri.removeprefix(f"{bucket}/")
        moment = datetime.fromtimestamp(file.modified_at, timezone.utc)
        row = dict(
            zip(FIELDS, ("", key, "v2", True, False, file.size_bytes, moment, file.etag, "STANDARD"), strict=True)
        )
        found += [row, row | {"VersionId": "v1", "IsLatest": False, "ETag": "old"}]
    gone = {"IsDeleteMarker": True, "Size": None, "ETag": None}
    folder = {"Key": "in/folder/", "Size": 0, "ETag": "d41d8cd98f00b204e9800998ecf8427e"}
    return [*found, found[0] | {"Key": "in/gone.jpg"} | gone, found[0] | folder]


def write(store, name, bucket, kind, found, fields=FIELDS, **changes):
    """An inventory in two data files; its manifest's URI. `changes` are made to the manifest."""
    files = []
    for number, part in enumerate((found[::2], found[1::2])):
        part = [{field: bucket[5:] if field == "Bucket" else row[field] for field in fields} for row in part]
        content = as_csv(part) if kind == "CSV" else as_parquet(part, fields)
        key = f"{name}/data/{number}.{'csv.gz' if kind == 'CSV' else 'parquet'}"
        storage.write_bytes(f"{store}/{key}", content)
        files.append({"key": key, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()})
    kinds = {"string": "binary", "bool": "boolean", "int64": "int64"}
    message = "; ".join(f"optional {kinds.get(str(PARQUET[f][1]), 'int64')} {PARQUET[f][0]} (UTF8)" for f in fields)
    manifest = {
        "sourceBucket": bucket[5:],
        "destinationBucket": f"arn:aws:s3:::{store[5:]}",
        "version": "2016-11-30",
        "creationTimestamp": "1514944800000",
        "fileFormat": kind,
        "fileSchema": ", ".join(fields) if kind == "CSV" else f"message s3.inventory {{ {message}; }}",
        "files": files,
    }
    uri = f"{store}/{name}/manifest.json"
    storage.write_bytes(uri, json.dumps(manifest | changes).encode())
    return uri


def as_csv(part):
    """Two gzip members, as large files have; every field quoted, no header, keys URL-encoded with `+` for a space."""
    members = []
    for half in (part[::2], part[1::2]):
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for row in half:
            values = dict(row, Key=quote_plus(row["Key"], safe="/"))
            values["LastModifiedDate"] = row["LastModifiedDate"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
            writer.writerow(
                str(value).lower() if isinstance(value, bool) else "" if value is None else value
                for value in values.values()
            )
        members.append(gzip.compress(text.getvalue().encode()))
    return b"".join(members)


def as_parquet(part, fields):
    columns = {PARQUET[field][0]: pa.array([row[field] for row in part], PARQUET[field][1]) for field in fields}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="snappy", row_group_size=7)
    return sink.getvalue()
