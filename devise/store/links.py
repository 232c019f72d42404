"""Links to objects on S3 that whoever has them may read for a while, signed by who makes them."""

from devise.errors import StorageError
from devise.store import s3


def presign(uri: str, seconds: int) -> str:
    """A URL of an s3:// object, good for so many seconds; that the object is there is not asked.

    Raises:
        StorageError: there are no credentials to sign it with.
    """
    try:
        return s3.client().generate_presigned_url("get_object", Params=s3.split(uri), ExpiresIn=seconds)
    except s3.errors() as error:
        raise StorageError(f"{uri}: cannot be signed: {error}") from None
