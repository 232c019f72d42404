"""One publication, opened for the explorer: a `Searcher`, and pictures by id, names, folders; knows no HTTP.

A picture in a query is a stored one, by its id or its uri, or an uploaded one's vector, written out: nothing that a
query names is ever read.
"""

import base64
import binascii
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import numpy as np
from xxhash import xxh64_intdigest

from devise.errors import VocabularyError
from devise.search.answers import Labelled
from devise.search.lookups import SortedFiles
from devise.search.searcher import Searcher
from devise.search.shards import IDS, stored_rows
from devise.search.thumbnails import Thumbnails
from devise.show.explorer.names import Names
from devise.show.nightly import opened
from devise.store import storage

KEEP_BYTES = 256 * 2**20
"""For decoded labels: those of some 10^6 images."""
BY_ID, VECTOR = "ID/", "VECTOR/"
TAG_LETTERS = 12
"""Of a model's id, before the numbers of a vector that it made."""
SEED = 42
"""Spark's, of xxhash64."""
FOLDERS, EXAMPLES, LOOKED_AT = 12, 12, 1_000
NUMBER = np.dtype("<f2")
FILTERS = {"label": "labels", "since": "images", "fold": "neighbours"}
"""What may be asked of the answers to a question -> the table that tells it."""
WHOLE, MOST_ROWS = ("label", "since"), 20_000_000
"""Filters that go through a whole table at first, and its most rows: 0.6 GB of labels, 2 s of a core, on S3 a fetch."""


class NotLive(LookupError):
    """An image that is not among the live ones."""


def id_of(uri: str) -> int:
    """The image_id of a uri, as the catalogue makes it: xxhash64 with Spark's seed, the sign bit cleared."""
    return xxh64_intdigest(uri.encode(errors="surrogateescape"), SEED) & (IDS - 1)


class Corpus:
    """What one publication holds; any number of threads may ask."""

    def __init__(self, searcher: Searcher, before: Names | None = None):
        self.searcher, self.live = searcher, searcher.live
        self._before = before

    @classmethod
    def open(cls, warehouse: str, vectors: str | None = None) -> "Corpus":
        """What is live; `ManifestError` if nothing was ever published."""
        return cls(Searcher.open(warehouse, vectors, KEEP_BYTES))

    def follow(self) -> "Corpus":
        """What is live now: this, or another, with the names of this one where they are the same."""
        found = self.searcher.follow()
        return self if found is self.searcher else Corpus(found, self.names)

    def warm(self) -> None:
        """Open what first questions would wait for; and where files need not be fetched, labels all over the table."""
        _ = self.names.suggestions, self.names.synset_of, self.names.trained
        _ = self.searcher.index, self.folders, self.examples
        _ = self.thumbnails, self.has("neighbours") and self._neighbours, self.has("images") and self._images
        if storage.is_local(storage.normalise(self.searcher.warehouse)):
            self.labels_of(list(self._some))

    def first_questions(self) -> list[str]:
        """A word, a sum and a picture that can be asked; fewer where there are no labels."""
        words = [f'"{label}"' for label in list(self.examples)[:2]]
        return [
            *words[:1],
            *([" + ".join(words)] if len(words) > 1 else []),
            *(f"image:ID/{i}" for i in list(self._some)[:1]),
        ]

    def has(self, table: str) -> bool:
        return bool(self.live.runs(table))

    @cached_property
    def lacks(self) -> dict[str, str]:
        """Of FILTERS those that cannot be asked for, and why."""
        found = {}
        for name, table in FILTERS.items():
            if not self.has(table):
                found[name] = f"table {table} is not published"
            elif name in WHOLE and (n_rows := self.searcher.newest(table).rows) > MOST_ROWS:
                found[name] = f"table {table} has {n_rows:,} rows, more than {MOST_ROWS:,} are not gone through"
        return found

    @property
    def model_id(self) -> str:
        """Of the model that made the embeddings."""
        return self.searcher.index.run.model_id or ""

    def told(self) -> dict[str, Any]:
        """What is live, for people."""
        return {
            "publication": self.live.number,
            "run": self.live.run,
            "published_at": datetime.fromtimestamp(self.live.published_at, timezone.utc).isoformat(timespec="seconds"),
            "images": self.searcher.index.n_live,
            "labels": len(self.searcher.vocabulary.labels),
            "model_id": self.model_id,
            "dim": self.searcher.index.dim,
            "night": self.has("reports"),
            "lacks": self.lacks,
            "folders": self.folders,
            "examples": [{"label": label, "image_id": str(image_id)} for label, image_id in self.examples.items()],
        }

    @cached_property
    def _some(self) -> dict[int, str]:
        """image_id -> uri of some live images, at even distances."""
        parts = self.searcher.index.parts
        some = [(part, part.sidecar.some(LOOKED_AT // len(parts) + 1)) for part in parts]
        return {image_id: uri for part, found in some for image_id, uri in found.items() if image_id not in part.hidden}

    @cached_property
    def folders(self) -> list[str]:
        """Prefixes of uris that most images share, sorted."""
        counts = Counter(uri.rsplit("/", 1)[0] + "/" for uri in self._some.values())
        return sorted(folder for folder, _ in counts.most_common(FOLDERS))

    @cached_property
    def examples(self) -> dict[str, int]:
        """Words to begin with -> a picture that answers: best labels of some images, the most common first.

        Images whose ids lie side by side, as their labels then do: a file or two are looked into. Whoever begins with a
        word asks for its list next, which is there then.
        """
        together = [image_id for part in self.searcher.index.parts[:1] for image_id in part.sidecar.first(LOOKED_AT)]
        counts = Counter(labelled.labels[0].label for labelled in self.labels_of(together).values())
        found: dict[str, int] = {}
        for label in [label for label, _ in counts.most_common() if '"' not in label][:EXAMPLES]:
            hits = self.searcher.ask(f'"{label}"', EXAMPLES).hits
            shown = next((hit.image_id for hit in hits if hit.image_id not in found.values()), None)
            if shown is not None:
                found[label] = shown
        return found

    @cached_property
    def names(self) -> Names:
        """What belongs to the vocabulary: that of the publication before where it is the same."""
        made, self._before = Names(self.searcher, self.labelled_with).unless(self._before), None
        return made

    @property
    def labelled_with(self) -> dict[str, Any]:
        """The settings of `label_images` that the live labels were made with; none where no labels are published."""
        return self.searcher.newest("labels").config if self.has("labels") else {}

    @cached_property
    def night(self) -> bytes | None:
        """The night's page, HTML; None where none is published."""
        if not self.has("reports"):
            return None
        return opened.read_page(self.searcher.warehouse, self.searcher.newest("reports"))

    def labels_of(self, image_ids: Sequence[int]) -> dict[int, Labelled]:
        """image_id -> labels, of those that have any; none where no labels are published."""
        return self.searcher.labels_of(image_ids) if self.has("labels") else {}

    def uri_of(self, image_id: int) -> str:
        """`NotLive` if no live image has the id."""
        return self._stored(image_id)[0]

    def etag_of(self, image_id: int) -> str:
        """The etag that the image was embedded with; `NotLive` if no live image has the id."""
        return self._stored(image_id)[1]

    def _stored(self, image_id: int) -> tuple[str, str]:
        parts = self.searcher.index.parts if 0 <= image_id < IDS else []
        for part in parts:
            if (found := part.sidecar.stored(image_id)) is not None and not np.isin(image_id, part.hidden):
                return found
        raise NotLive(f"no live image has the id {image_id}")

    def vector_of(self, image_id: int) -> np.ndarray:
        """float32 (D,); `NotLive` if no live image has the id."""
        self._stored(image_id)
        return self.searcher.index.vector_of(image_id)

    def picture(self, text: str) -> np.ndarray:
        """The vector of a query's picture: `ID/4711`, `VECTOR/...` as `write_vector` writes it, or a live image's uri.

        Raises:
            VocabularyError: there is no such live image, or the vector is none of this model's.
        """
        if text.startswith(VECTOR):
            return self._read_vector(text)
        if text.startswith(BY_ID):
            number = text.removeprefix(BY_ID)
            if not (number.isascii() and number.isdigit() and len(number) < 20):
                raise VocabularyError(f"image:{text[:40]}: wanted the digits of an image_id behind ID/")
            image_id = int(number)
        elif (image_id := self.find_uri(text)) is None:
            raise VocabularyError(f"image:{text[:200]}: no live image has this uri")
        try:
            return self.vector_of(image_id)
        except NotLive as error:
            raise VocabularyError(f"image:{text}: {error}") from None

    def find_uri(self, uri: str) -> int | None:
        """image_id of the live image at a uri, as the tables have it."""
        image_id = id_of(uri)
        try:
            return image_id if self.uri_of(image_id) == uri else None
        except NotLive:
            return None

    def write_vector(self, embedding_D: np.ndarray) -> str:
        """A picture's vector as a query has it behind `image:`, in float16: letters, digits and `.-_/` alone."""
        numbers = base64.urlsafe_b64encode(np.asarray(embedding_D).astype(NUMBER).tobytes()).decode().rstrip("=")
        return f"{VECTOR}{self.model_id[:TAG_LETTERS]}.{numbers}"

    def _read_vector(self, text: str) -> np.ndarray:
        tag, _, numbers = text.removeprefix(VECTOR).partition(".")
        if tag != self.model_id[:TAG_LETTERS]:
            raise VocabularyError("image:VECTOR/...: it was made by another model than the live one: give the picture")
        try:
            content = base64.b64decode(numbers + "=" * (-len(numbers) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        dim = self.searcher.index.dim
        if len(content) != dim * NUMBER.itemsize:
            raise VocabularyError(f"image:VECTOR/...: wanted {dim} numbers, as the explorer writes them")
        vector_D = np.frombuffer(content, NUMBER).astype(np.float32)
        length = float(np.linalg.norm(vector_D))
        if not np.isfinite(length) or not 0.5 < length < 2.0:
            raise VocabularyError("image:VECTOR/...: wanted a unit vector")
        return vector_D / length

    @cached_property
    def thumbnails(self) -> Thumbnails:
        """Those that were made with the embeddings; none where none were."""
        return Thumbnails.open(self.searcher.warehouse, self.live)

    @cached_property
    def _neighbours(self) -> SortedFiles:
        run = self.searcher.newest("neighbours")
        return SortedFiles(stored_rows(self.searcher.warehouse, run), "image_id", KEEP_BYTES)

    def groups_of(self, image_ids: Sequence[int]) -> dict[int, int]:
        """image_id -> its group of near-duplicates, of those that are in one."""
        if not self.has("neighbours"):
            return {}
        rows = self._neighbours.find(image_ids, ["image_id", "group_id"]).to_pylist()
        return {row["image_id"]: row["group_id"] for row in rows if row["group_id"] is not None}

    def duplicates_of(self, image_id: int) -> list[tuple[int, str]]:
        """id and uri of an image's neighbours that are near-duplicates of it, the nearest first."""
        if not self.has("neighbours"):
            return []
        columns = ["rank", "neighbour_id", "neighbour_uri", "duplicate"]
        rows = sorted(self._neighbours.find([image_id], columns).to_pylist(), key=lambda row: row["rank"])
        return [(row["neighbour_id"], row["neighbour_uri"]) for row in rows if row["duplicate"]]

    @cached_property
    def _images(self) -> SortedFiles:
        return SortedFiles(stored_rows(self.searcher.warehouse, self.searcher.newest("images")), "image_id")

    def listed(self, image_id: int) -> dict[str, Any]:
        """What the listing says of an image: size_bytes, modified_at; nothing where no listing is published."""
        rows = self._images.find([image_id], ["size_bytes", "modified_at"]).to_pylist() if self.has("images") else []
        return rows[0] if rows else {"size_bytes": None, "modified_at": None}
