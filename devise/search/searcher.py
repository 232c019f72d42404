"""Answers from what is published: words, pictures and arithmetic to images, images to images and labels; no Spark.

Nothing is opened before a question needs it: a word is answered out of the one file that its list is in, without the
vocabulary if it is spelled as its label is, without an index, and with no library but Arrow.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from devise.errors import ManifestError
from devise.search import answers, filters, grammar, query, vocabularies, wordlists
from devise.search.answers import Answer, Hit, Labelled
from devise.search.filters import Filter, Passing
from devise.search.lookups import SortedFiles
from devise.search.opened import OpenedIndex
from devise.search.shards import stored_rows
from devise.search.wordlists import Listed, WordLists
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest
from devise.warehouse.pointer import Live
from devise.words.nouns import readable
from devise.words.vocabulary import Lookup, Vocabulary, make_lookup

T = TypeVar("T")


def opened_once(make: Callable[["Searcher"], T]) -> T:
    """A property that the first thread to ask for it makes, while others wait; then it is there for all."""

    def get(self: "Searcher") -> T:
        name = make.__name__
        if name not in self._opened:
            with self._lock:
                if name not in self._opened:
                    self._opened[name] = make(self)
        return self._opened[name]

    return property(get, doc=make.__doc__)


class Searcher:
    """One publication of a warehouse, opened for questions; any number of threads may ask at once.

    What is opened stays open: a file is mapped where it lies; one on S3 is first fetched, once, and its sha256 checked.

    Args:
        vectors: word vectors for words that are no labels: a name that ships, or a file.
        keep_bytes: memory for labels of images that were asked for, for whoever asks again and again.
    """

    def __init__(self, warehouse: str, live: Live, vectors: str | None = None, keep_bytes: int = 0):
        self.warehouse, self.live, self.vectors, self.keep_bytes = warehouse, live, vectors, keep_bytes
        self._lock, self._opened = threading.RLock(), dict[str, Any]()
        self._newest, self._kept_passing = dict[str, Manifest](), filters.keeping()

    @classmethod
    def open(cls, warehouse: str, vectors: str | None = None, keep_bytes: int = 0) -> "Searcher":
        """What is live; `ManifestError` if nothing was ever published."""
        return cls(warehouse, pointer.published(warehouse), vectors, keep_bytes)

    @classmethod
    def at(cls, warehouse: str, run: str, vectors: str | None = None) -> "Searcher":
        """The newest publication of a run, live or not; `ManifestError` if none is kept."""
        kept = pointer.history(warehouse)
        if not (found := [publication for publication in kept if publication.run == run]):
            runs = ", ".join(dict.fromkeys(publication.run for publication in kept)) or "none"
            raise ManifestError(f"{warehouse}: found no kept publication of run {run!r}, wanted one of: {runs}")
        return cls(warehouse, found[-1], vectors)

    def follow(self) -> "Searcher":
        """What is live now: this one if it still is, else another, which opens anew what it needs."""
        live = pointer.published(self.warehouse)
        if live.number == self.live.number:
            return self
        return Searcher(self.warehouse, live, self.vectors, self.keep_bytes)

    def newest(self, table: str) -> Manifest:
        """The run of a table, read once; `ManifestError` if the publication names none."""
        if table not in self._newest:
            self._newest[table] = query.newest_live(self.warehouse, self.live, table)
        return self._newest[table]

    def ask(
        self,
        text: str,
        k: int = 10,
        *,
        picture: Callable[[str], np.ndarray] | None = None,
        only: Filter | None = None,
        labels: bool = False,
    ) -> Answer:
        """The k best images for a query (`devise.search.grammar`), or all if they are fewer.

        A word that is a label is answered by the label's list: exactly, by relevance. Beyond the list, and for
        everything else, the index answers, by cosine.

        Args:
            picture: URI as it is written -> unit vector (D,); None where only words can be asked.
            only: which images may answer. labels: whether to tell their labels.

        Raises:
            VocabularyError: the text is no query, a word is unknown, or a label is denied.
            ValueError: `k` is below 1; so say `search` and `similar`.
        """
        _refuse_none(k)
        asked = query.parse(text)
        listed = self._listed(asked.text, asked.terms[0].text) if asked.kind == "word" else []
        passing = self._passing(only)
        if passing is not None and listed:
            passed = passing.holds(np.array([image.image_id for image in listed], np.int64))
            listed = [image for image, passes in zip(listed, passed, strict=True) if passes]
        if len(listed) >= k:
            return self._answer(listed[:k], "word", labels, True, None, 1.0)
        query_D = grammar.query_vector(asked.text, self.lookup, picture)
        return self._searched(query_D, asked.kind, k, passing, labels, listed)

    def search(
        self, query_D: np.ndarray, kind: str, k: int = 10, *, only: Filter | None = None, labels: bool = False
    ) -> Answer:
        """The k images nearest to a unit vector (D,), or all if they are fewer; ties to the lower image_id.

        Args:
            kind: whose effort to search with: a vector of pictures is an `image`.

        Raises:
            IndexingError: the vector is of another length or not finite, or the index is torn.
        """
        _refuse_none(k)
        return self._searched(query_D, kind, k, self._passing(only), labels)

    def similar(self, image_id: int, k: int = 10, *, only: Filter | None = None, labels: bool = False) -> Answer:
        """The k images nearest to a live one, itself left out; `IndexingError` if no live image has the id."""
        _refuse_none(k)
        own_D = self.index.vector_of(image_id)
        passing = self._passing(only)
        found = self._searched(own_D, "image", k + 1, passing, labels)
        others = [hit for hit in found.hits if hit.image_id != image_id][:k]
        return replace(found, hits=tuple(replace(hit, rank=rank) for rank, hit in enumerate(others, start=1)))

    def labels_of(self, image_ids: Iterable[int]) -> dict[int, Labelled]:
        """image_id -> its labels, of those of the images that have any."""
        files, columns = self._labels
        return answers.labelled(files.find(list(image_ids), columns).to_pylist())

    @opened_once
    def vocabulary(self) -> Vocabulary:
        """The labels."""
        return vocabularies.read_labels(self.warehouse, self.newest("vocabulary"))

    @opened_once
    def lookup(self) -> Lookup:
        """Word -> unit vector (D,), by the vocabulary and then by the word vectors; None if it is unknown."""
        return make_lookup(self.vocabulary, vocabularies.find_vectors(self.vectors))

    @opened_once
    def index(self) -> OpenedIndex:
        """The index; the first question that needs it opens it."""
        self.newest("index")
        runs = [manifest.read(self.warehouse, "index", run) for run in self.live.runs("index")]
        return OpenedIndex(self.warehouse, runs)

    @opened_once
    def _lists(self) -> WordLists | None:
        """The best images of each label; None of a publication made before there were any."""
        return WordLists(self.warehouse, self.newest(wordlists.TABLE)) if self.live.runs(wordlists.TABLE) else None

    @opened_once
    def _labels(self) -> tuple[SortedFiles, list[str]]:
        """Table `labels` by image_id, and those of its columns that are told."""
        run = self.newest("labels")
        files = SortedFiles(stored_rows(self.warehouse, run), "image_id", self.keep_bytes)
        return files, [name for name in answers.TOLD if name in run.columns]

    def _listed(self, asked: str, word: str) -> Sequence[Listed]:
        """The list of the label that a word names; nothing where there is none.

        Raises:
            VocabularyError: the label is denied.
        """
        if self._lists is None:  # a publication of before there were lists
            return []
        if found := self._lists.find(readable(word)):
            return found
        row = self.vocabulary.find_one(word)
        if row is None:
            return []
        found = self._lists.find(self.vocabulary.labels[row])
        if not found:
            wordlists.refuse_denied(asked, row, self.vocabulary, self.newest("labels"))
        return found

    def _searched(
        self,
        query_D: np.ndarray,
        kind: str,
        k: int,
        passing: Passing | None,
        labels: bool,
        first: Sequence[Listed] = (),
    ) -> Answer:
        """The images `first`, and then others that are nearest, k together."""
        listed = {image.image_id for image in first}
        found = self.index.search(query_D, kind, k + len(listed), passing)
        pairs = zip(found.image_id_K.tolist(), found.score_K.tolist(), strict=True)
        more = [(image_id, score) for image_id, score in pairs if image_id not in listed][: k - len(first)]
        uris = self.index.uris(np.array([image_id for image_id, _ in more], np.int64))
        images = [*first, *(Listed(image_id, uris[image_id], score) for image_id, score in more)]
        if first and not more and (found.exact or (passing is None and len(first) >= self.index.n_live)):
            # the list had all there is
            return self._answer(images, kind, labels, True, None, 1.0)
        exact = found.exact and not first
        recall = 1.0 if exact else None if passing is not None else self.index.recall(kind)
        return self._answer(images, kind, labels, exact, found.nprobe, recall)

    def _answer(
        self, images: Sequence[Listed], kind: str, labels: bool, exact: bool, nprobe: int | None, recall: float | None
    ) -> Answer:
        told = self.labels_of([image.image_id for image in images]) if labels else {}
        hits = (Hit(rank, *image, told.get(image.image_id)) for rank, image in enumerate(images, start=1))
        return Answer(tuple(hits), kind, exact, nprobe, recall, self.live.number, self.live.run)

    def _passing(self, only: Filter | None) -> Passing | None:
        return self._kept_passing(only, self._find_passing) if only else None

    def _find_passing(self, asked: Filter) -> Passing:
        wanted = []
        if asked.label is not None:
            label = self.vocabulary.labels[self.vocabulary.find([asked.label])[0]]
            wanted.append(filters.ids_with_label(self.warehouse, self.newest("labels"), label))
        if asked.since is not None:
            wanted.append(filters.ids_since(self.warehouse, self.newest("images"), asked.since))
        return self.index.passing(asked.under, wanted)


def _refuse_none(k: int) -> None:
    if k < 1:
        raise ValueError(f"found k {k}, wanted at least 1")
