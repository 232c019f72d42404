"""Small pictures of images to be shown: those of table `thumbnails`, and of others what the engine's decoder makes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from devise.errors import ImageError
from devise.search.thumbnails import Thumbnails
from devise.store import storage

MAX_PIXELS = 100_000_000
THREADS = 8
"""Pictures that are read at a time: one is waited for more than it is worked on."""


def make(uri: str, etag: str) -> bytes:
    """WebP of the image as it was embedded; `ImageError` if it is gone, was changed since, or cannot be read."""
    from devise.vision import thumbnails  # torch, which whoever finds all in the table does without

    return thumbnails.make(storage.fetch_image(uri, etag), MAX_PIXELS).webp


def find(stored: Thumbnails, images: Sequence[tuple[int, str, str]]) -> list[bytes | None]:
    """WebP of each image (image_id, uri, etag) as it was embedded; None of one that cannot be shown any more."""
    found = stored.find({image_id: etag for image_id, _, etag in images})

    def one(image: tuple[int, str, str]) -> bytes | None:
        image_id, uri, etag = image
        if image_id in found:
            return found[image_id].webp
        try:
            return make(uri, etag)
        except ImageError:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, images))
