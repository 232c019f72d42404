"""Pictures that people give: bounded, decoded apart first, embedded and labelled by the live model; nothing is kept."""

from dataclasses import dataclass
from functools import cached_property
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any

import numpy as np

from devise.config import LabelConfig
from devise.errors import ImageError
from devise.search import query
from devise.search.answers import Label, Labelled
from devise.show.explorer.corpus import Corpus
from devise.vision.probe import Probe
from devise.warehouse import manifest

if TYPE_CHECKING:
    from devise.search.labelling import Labeller
    from devise.vision.engine import Engine

MOST_BYTES, MOST_PIXELS = 20 * 2**20, 50_000_000
AT_ONCE, WAIT_S = 2, 10.0
LIMIT_S = 20.0
"""For a picture to be read: 50 megapixels take a second or two. What takes longer is made to."""
LABELS = 10
SETTINGS = ("deny", "candidates", "answer_target", "answer_specificity")
"""Of `label_images`: what an image's labels depend on."""


class Busy(Exception):
    """Too many pictures are looked at already."""


@dataclass(frozen=True)
class Seen:
    """A picture as the live model sees it: its unit vector (D,), its labels, width and height in pixels."""

    embedding_D: np.ndarray
    labelled: Labelled
    width: int
    height: int


class Uploads:
    """Sees pictures with a publication's model, which is loaded for the first; a few at once, others wait a while."""

    def __init__(self) -> None:
        self._probe, self._places, self._lock = Probe(MOST_PIXELS, limit_s=LIMIT_S), Semaphore(AT_ONCE), Lock()
        self._eyes: _Eyes | None = None

    def see(self, corpus: Corpus, content: bytes) -> Seen:
        """What the live model sees.

        Raises:
            ImageError: it is no picture that the engine reads, with the engine's code.
            Busy: no place came free.
        """
        if not self._places.acquire(timeout=WAIT_S):
            raise Busy
        try:
            if len(content) > MOST_BYTES:
                raise ImageError("too_large", f"{len(content):,} bytes, at most {MOST_BYTES:,} are looked at")
            try:
                self._probe.check(content, WAIT_S)  # a file that ends its reader ends a process of its own
            except TimeoutError:
                raise Busy from None
            return self._of(corpus).see(content)
        finally:
            self._places.release()

    def close(self) -> None:
        self._probe.close()

    def _of(self, corpus: Corpus) -> "_Eyes":
        with self._lock:
            if self._eyes is None or not self._eyes.same(corpus):
                self._eyes = _Eyes(corpus)
            return self._eyes


class _Eyes:
    """A model and what labels with it, loaded; of the publication nothing else is kept."""

    def __init__(self, corpus: Corpus):
        searcher, self._lock = corpus.searcher, Lock()
        self._warehouse, self._runs = searcher.warehouse, _runs(corpus)
        self._model, self._words = searcher.newest("model"), searcher.newest("vocabulary")
        kept = {name: value for name, value in corpus.labelled_with.items() if name in SETTINGS}
        self._config = LabelConfig(warehouse=searcher.warehouse, run=searcher.live.run, **kept)

    def same(self, corpus: Corpus) -> bool:
        """Whether they are those of another publication too."""
        return _runs(corpus) == self._runs

    @cached_property
    def _engine(self) -> "Engine":
        from devise.vision.engine import Engine
        from devise.vision.model import load

        loaded = load(query.model_folder(manifest.localise(self._warehouse, self._model), self._model))
        return Engine(loaded, self._fetch, threads=1, fetch_threads=1, batch_size=1, max_pixels=MOST_PIXELS)

    @cached_property
    def _labeller(self) -> "Labeller":
        from devise.search.labelling import open_labeller

        return open_labeller(self._config, self._words, self._model)

    def _fetch(self, item: Any) -> bytes:
        return self._content

    def see(self, content: bytes) -> Seen:
        from devise.vision.engine import Item

        with self._lock:  # a labeller's scores lie in memory that it keeps
            self._content = content
            outcome = next(iter(self._engine.run([Item(0, "", "", len(content))])))
            if outcome.codes[0] is not None:
                raise ImageError(outcome.codes[0], outcome.messages[0])
            found = self._labeller.label(outcome.embedding_ND, *outcome.classes, LABELS)
        names = self._labeller.known.labels
        probabilities = [None] * found.label_id_NK.shape[1]
        if found.probability_NK is not None:
            probabilities = found.probability_NK[0].tolist()
        ids, scores = found.label_id_NK[0].tolist(), found.score_NK[0].tolist()
        labels = (Label(names[label], *told) for label, *told in zip(ids, scores, probabilities, strict=True))
        answer = int(found.answer_id_N[0])
        noun = (names[answer], float(found.answer_probability_N[0])) if answer >= 0 else (None, None)
        sides = int(outcome.width_N[0]), int(outcome.height_N[0])
        return Seen(outcome.embedding_ND[0], Labelled(tuple(labels), *noun), *sides)


def _runs(corpus: Corpus) -> list[list[str]]:
    return [corpus.live.runs(table) for table in ("model", "vocabulary", "labels")]
