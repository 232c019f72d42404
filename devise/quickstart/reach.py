"""How S3 is reached from here, and what a refusal means to whoever set it up; lists and reads nothing."""

from collections.abc import Sequence

from devise.errors import ConfigError
from devise.groups import S3Config
from devise.store import heads, storage

RIGHTS = "wanted s3:ListBucket on the bucket and s3:GetObject below the prefix, for the credentials in use"
HINTS = {
    "AccessDenied": RIGHTS,
    "Forbidden": RIGHTS,
    "NoSuchBucket": "wanted a bucket that is there: is it spelt right, and AWS_ENDPOINT_URL_S3 the right server?",
    "Unable to locate credentials": "wanted AWS's own variables, a profile or a role: they are never settings",
    "EndpointConnectionError": "wanted a server that answers: AWS_ENDPOINT_URL_S3, or the network",
    "nothing is below": "wanted images: is the prefix spelt right?",
    "no such file": "wanted a folder of images: is it spelt right?",
    "Permission denied": "wanted the right to read it",
}
"""What a listing's refusal says -> what to do."""


def hint(error: Exception) -> str:
    """What to do about a refusal, to be put behind it; empty where nothing is known."""
    return next((f"; {text}" for mark, text in HINTS.items() if mark in str(error)), "")


def agreed_region(uris: Sequence[str]) -> str | None:
    """The region of the buckets, which requests are signed for; None where no server tells and nobody named one.

    Raises:
        ConfigError: a bucket is in another region than the one that is named, or buckets are in several.
        StorageError: nobody answers, or there are no credentials.
    """
    asked = heads.asked_region()
    told = {uri: heads.bucket_region(uri) for uri in uris if not storage.is_local(uri)}
    for uri, region in told.items():
        if region is not None and asked is not None and region != asked:
            how = f"AWS_DEFAULT_REGION={region}, or that in the profile or as s3.region of a config"
            raise ConfigError(f"{uri}: found its bucket in {region} and requests signed for {asked}; wanted {how}")
    if len(known := {region for region in told.values() if region is not None}) > 1:
        raise ConfigError(
            f"found buckets in the regions {sorted(known)}: {list(told)}; wanted one, which Spark is told"
        )
    return next(iter(known), asked)


def reached(uris: Sequence[str]) -> S3Config:
    """The settings that reach S3 as this process does, by AWS's variables and profile; raises as `agreed_region`."""
    if all(map(storage.is_local, uris)):
        return S3Config()
    endpoint = heads.asked_endpoint()
    return S3Config(endpoint=endpoint, path_style=endpoint is not None, region=agreed_region(uris))
