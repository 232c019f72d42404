"""Small pictures of live images: those of table `thumbnails`, else made of the originals; the last ones are kept."""

from threading import Semaphore

from devise.search.once import Once
from devise.show import thumbnails
from devise.show.explorer.corpus import Corpus

KEPT_BYTES = 64 * 2**20
AT_ONCE = 2


class Pictures:
    """Thumbnails of live images, WebP; any number of threads may ask."""

    def __init__(self) -> None:
        self._kept, self._places = Once[bytes](KEPT_BYTES, len), Semaphore(AT_ONCE)

    def thumbnail(self, corpus: Corpus, image_id: int) -> bytes:
        """The picture as it was embedded.

        Raises:
            NotLive: no live image has the id.
            ImageError: it is gone, was changed since, or cannot be read any more.
        """
        etag = corpus.etag_of(image_id)
        return self._kept.get((image_id, etag), lambda: self._find(corpus, image_id, etag))

    def _find(self, corpus: Corpus, image_id: int, etag: str) -> bytes:
        if stored := corpus.thumbnails.find({image_id: etag}).get(image_id):
            return stored.webp
        with self._places:  # decoders take memory and a core each
            return thumbnails.make(corpus.uri_of(image_id), etag)
