"""The first bytes of a file or object, and the region of a bucket: what a look needs that must not cost a download."""

from devise.errors import StorageError
from devise.store import s3, storage


def read(uri: str, n_bytes: int) -> tuple[bytes, int]:
    """At most `n_bytes` from the start of what is at `uri`, and its whole size in bytes.

    Raises:
        StorageError: nothing is there, it is a folder, or it may not be read.
    """
    found = storage.stat(uri)
    if found is None:
        raise StorageError(f"{uri}: no such file")
    if found.size_bytes == 0:  # a server refuses a range of nothing
        return b"", 0
    try:
        if storage.is_local(uri):
            with open(storage.local_path(uri), "rb") as file:
                return file.read(n_bytes), found.size_bytes
        answer = s3.client().get_object(**s3.split(uri), Range=f"bytes=0-{n_bytes - 1}")
        return answer["Body"].read(), found.size_bytes
    except OSError as error:
        raise StorageError(f"{uri}: {error.strerror or error}") from None
    except Exception as error:
        if storage.is_local(uri) or not isinstance(error, s3.errors()):
            raise
        raise StorageError(f"{uri}: {s3.reason(error)}") from None


def bucket_region(uri: str) -> str | None:
    """The region that a bucket says it lies in; S3 tells it in refusals too, other servers may not.

    botocore goes after a bucket into its region by itself, and Spark's connector does not: so it is asked beforehand.
    See https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html, x-amz-bucket-region.

    Raises:
        StorageError: nobody answers, or there are no credentials to ask with.
    """
    try:
        answer = s3.client().head_bucket(Bucket=s3.split(uri)["Bucket"])
    except s3.errors() as error:
        answer = s3.answer(error)
        if not answer:
            raise StorageError(f"{uri}: {s3.reason(error)}") from None
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return told or answer.get("Error", {}).get("Region")


def asked_region() -> str | None:
    """The region that requests are signed for, where settings, environment or profile name one."""
    region = s3.client().meta.region_name
    return None if region in (None, "aws-global") else region


def asked_endpoint() -> str | None:
    """The server that is asked, where it is not AWS's own."""
    endpoint = s3.client().meta.endpoint_url
    host = endpoint.partition("://")[2].partition("/")[0]
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else endpoint
