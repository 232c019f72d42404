"""Small pictures of live images: those of table `thumbnails`, else made of the originals; the last ones are kept."""

from collections import OrderedDict
from threading import Lock, Semaphore

from devise.show import thumbnails
from devise.show.explorer.corpus import Corpus

KEPT_BYTES = 64 * 2**20
AT_ONCE = 2


class Pictures:
    """Thumbnails of live images, WebP; any number of threads may ask."""

    def __init__(self) -> None:
        self._lock, self._places = Lock(), Semaphore(AT_ONCE)
        self._kept: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._bytes = 0

    def thumbnail(self, corpus: Corpus, image_id: int) -> bytes:
        """The picture as it was embedded.

        Raises:
            NotLive: no live image has the id.
            ImageError: it is gone, was changed since, or cannot be read any more.
        """
        key = (image_id, corpus.etag_of(image_id))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        stored = corpus.thumbnails.find(dict([key])).get(image_id)
        made = stored.webp if stored else self._make(corpus.uri_of(image_id), key[1])
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made)
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made

    def _make(self, uri: str, etag: str) -> bytes:
        with self._places:  # decoders take memory and a core each
            return thumbnails.make(uri, etag)
