"""Small pictures of live images: those of table `thumbnails`, else made of the originals; the last ones are kept."""

from threading import Condition, Semaphore

from cachetools import LRUCache, cached

from devise.show import thumbnails
from devise.show.explorer.corpus import Corpus

KEPT_BYTES = 64 * 2**20
AT_ONCE = 2


class Pictures:
    """Thumbnails of live images, WebP; any number of threads may ask."""

    def __init__(self) -> None:
        kept = LRUCache(KEPT_BYTES, getsizeof=len)
        self._places = Semaphore(AT_ONCE)
        self._once = cached(kept, key=lambda _, *content: content, condition=Condition())(self._find)

    def thumbnail(self, corpus: Corpus, image_id: int) -> bytes:
        """The picture as it was embedded.

        Raises:
            NotLive: no live image has the id.
            ImageError: it is gone, was changed since, or cannot be read any more.
        """
        return self._once(corpus, image_id, corpus.etag_of(image_id))

    def _find(self, corpus: Corpus, image_id: int, etag: str) -> bytes:
        if stored := corpus.thumbnails.find({image_id: etag}).get(image_id):
            return stored.webp
        with self._places:  # decoders take memory and a core each
            return thumbnails.make(corpus.uri_of(image_id), etag)
