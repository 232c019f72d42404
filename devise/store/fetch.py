"""Images from S3, as they were listed: each by one GET of the lane, or by boto3 where that does not do.

What an answer says of the object for good (gone, changed, denied) is told at once, as boto3 tells it. All else, from a
lost connection to a throttled prefix, is asked again by boto3, with its tries, pauses and reasons.
"""

import re
from html import unescape

from devise.store import s3, traffic
from devise.store.lane import Answer

FINAL = {(403, "AccessDenied"), (404, "NoSuchKey"), (412, "PreconditionFailed")}


def read(uri: str, etag: str) -> bytes:
    """The whole content of an object whose etag is still `etag`.

    Raises:
        s3.errors(): as `s3.read`.
    """
    place = s3.split(uri)
    bucket, key = place["Bucket"], place["Key"]
    lane = s3.lane()
    answer = lane.get(bucket, key, etag)
    if answer is not None:
        if answer.status:
            s3.heard()
        if answer.status == 200:
            return answer.content
        _tell(answer)
    with lane.learning(bucket, key), traffic.again(answer is not None):
        return s3.read(uri, IfMatch=f'"{etag}"')[0]


def _tell(answer: Answer) -> None:
    """Raise what boto3 would, if the answer is one that asking again does not change."""
    code, message = (_word(answer.content, name) for name in (b"Code", b"Message"))
    if (answer.status, code) in FINAL:
        from botocore.exceptions import ClientError

        told = {"HTTPStatusCode": answer.status, "RetryAttempts": 0}
        raise ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": told}, "GetObject")


def _word(content: bytes, name: bytes) -> str:
    """The text of an element of S3's answer to what it refuses, a flat piece of XML."""
    found = re.search(rb"<%s>([^<]*)</%s>" % (name, name), content)
    return unescape(found.group(1).decode(errors="replace")) if found else ""
