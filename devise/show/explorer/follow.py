"""The publication that answers now: what is live, opened beside the one before and then put in its place; no HTTP."""

import gc
import logging
from threading import Event, Thread

from devise.errors import DeviseError
from devise.show.explorer.corpus import Corpus
from devise.show.explorer.ranked import PAGE, Asked, Rankings

EVERY_S = 2.0
"""Between two looks at the pointer: a GET each."""
ENDING_S = 5.0
log = logging.getLogger("devise.explorer")


class Following:
    """Follows a warehouse's pointer in a thread: requests never wait for a publication to be opened.

    Args:
        every_s: seconds between two looks at the pointer.

    Raises:
        ManifestError: nothing was ever published.
    """

    def __init__(self, warehouse: str, vectors: str | None = None, every_s: float = EVERY_S):
        self.now = _opened(Corpus.open(warehouse, vectors))
        """What answers; whoever reads it keeps it for the whole of a request."""
        self._every_s, self._stopped = every_s, Event()
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(ENDING_S)  # where it is opening a publication it ends with the process

    def _follow(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                found = self.now.corpus.follow()
                if found is not self.now.corpus:
                    self.now = _opened(found)
                    log.info("now of publication %s", found.live.describe())
            except DeviseError as error:  # what was opened before goes on to answer
                log.warning("still of publication %s: %s", self.now.corpus.live.describe(), error)
            except Exception:  # a fault of ours or of a library must not be the last look at the pointer
                log.exception("still of publication %s", self.now.corpus.live.describe())


def _opened(corpus: Corpus) -> Rankings:
    """What answers of it, warm: each kind of question was asked once.

    What is there by then stays out of the collector's way, for good: its passes over a vocabulary's objects hold every
    request up for a fifth of a second. A publication that is left goes without it: nothing in one points back.
    """
    corpus.warm()
    rankings = Rankings(corpus)
    for text in corpus.first_questions():
        rankings.page(Asked(text), 0, PAGE)
    gc.collect()
    gc.freeze()
    return rankings
