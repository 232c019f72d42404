"""Uploads in parts that were begun and never ended: their parts cost money and show in no listing; on S3 only."""

from dataclasses import dataclass

from devise.store import s3


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that was begun and neither completed nor aborted; its start in seconds since 1970."""

    uri: str
    upload_id: str
    started_at: float


def find(uri: str) -> list[Upload]:
    """Every upload in parts that is still open, of a key that starts with the key of `uri`."""
    found, place = [], s3.split(uri)
    paginator = s3.client().get_paginator("list_multipart_uploads")
    for page in paginator.paginate(Bucket=place["Bucket"], Prefix=place["Key"]):
        for upload in page.get("Uploads", []):
            key = f"s3://{place['Bucket']}/{upload['Key']}"
            found.append(Upload(key, upload["UploadId"], upload["Initiated"].timestamp()))
    return found


def abort(upload: Upload) -> None:
    """Drop an upload and its parts; one that is gone is no error."""
    try:
        s3.client().abort_multipart_upload(**s3.split(upload.uri), UploadId=upload.upload_id)
    except s3.errors() as error:
        if s3.status(error) != 404:
            raise
