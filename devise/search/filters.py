"""Which live images may be answers: by where they lie, by a label of theirs, by when they came; knows no index.

Shape letters: N images that pass.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timezone

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise.errors import ConfigError, SchemaError
from devise.search.once import Once
from devise.search.shards import stored_rows
from devise.store import storage
from devise.warehouse.manifest import Manifest

AT_ONCE = 2
"""Filters that are found at a time: each may go through a whole table."""
KEPT_BYTES = 256 * 2**20
"""What the ids of filters asked before may take; the longest unused go first, the newest stays in any case."""


@dataclass(frozen=True)
class Filter:
    """What an answer must be; all that is said must hold, None says nothing.

    Attributes:
        under: how its uri begins, as tables have it (`uri_prefix` makes that of a path).
        label: a label that table `labels` has for it, on any rank.
        since: the first day, in UTC, on which its content may have come to its place (`modified_at` of images).
    """

    under: str | None = None
    label: str | None = None
    since: date | None = None

    def __bool__(self) -> bool:
        return any(part is not None for part in (self.under, self.label, self.since))


def uri_prefix(text: str) -> str:
    """A path or URI as uris of the tables begin that lie below it; a slash at its end says that it is a folder."""
    return storage.normalise(text) + "/" * (text.endswith("/") and not storage.normalise(text).endswith("/"))


def read_day(text: str) -> date:
    """A day written YYYY-MM-DD; `ConfigError` for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ConfigError(f"found the day {text!r}, wanted YYYY-MM-DD") from None


def ids_with_label(warehouse: str, labels: Manifest, label: str) -> np.ndarray:
    """image_id, int64 (N,) ascending, of the images that have this label among theirs; the table is gone through."""
    return _ids(warehouse, labels, [("label", "==", label)])


def ids_since(warehouse: str, images: Manifest, day: date) -> np.ndarray:
    """image_id, int64 (N,) ascending, of the images whose content came on this day, in UTC, or later."""
    began = datetime.combine(day, time(), timezone.utc)
    return _ids(warehouse, images, [("modified_at", ">=", pa.scalar(began, pa.timestamp("us", "UTC")))])


def _ids(warehouse: str, run: Manifest, wanted: list[tuple]) -> np.ndarray:
    parts = [np.empty(0, np.int64)]
    for file in stored_rows(warehouse, run):
        try:
            found = pq.read_table(file.fetch(), columns=["image_id"], filters=wanted)
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise SchemaError(f"{file.uri}: cannot be filtered by {wanted[0][0]}: {said}") from None
        parts.append(found.column("image_id").to_numpy())
    return np.unique(np.concatenate(parts))


class Passing:
    """The images that pass a filter, by the shard that holds each: int64, ascending, none that is hidden there."""

    def __init__(self, id_N_of: list[np.ndarray]):
        self.of_shard = id_N_of
        self.all = np.sort(np.concatenate([np.empty(0, np.int64), *id_N_of]))

    def __len__(self) -> int:
        return len(self.all)

    @property
    def nbytes(self) -> int:
        return 2 * self.all.nbytes

    def holds(self, image_id_M: np.ndarray) -> np.ndarray:
        """bool (M,): which of the ids pass."""
        if not len(self.all):
            return np.zeros(len(image_id_M), bool)
        place_M = np.minimum(np.searchsorted(self.all, image_id_M), len(self.all) - 1)
        return self.all[place_M] == image_id_M


def keeping() -> Callable[[Filter, Callable[[Filter], Passing]], Passing]:
    """Gives what a filter lets pass, as the second argument finds it: once for all who ask, and kept up to KEPT_BYTES.

    AT_ONCE are found at a time.
    """
    once, places = Once[Passing](KEPT_BYTES, lambda found: found.nbytes), threading.Semaphore(AT_ONCE)

    def passing(asked: Filter, find: Callable[[Filter], Passing]) -> Passing:
        def found() -> Passing:
            with places:
                return find(asked)

        return once.get(asked, found)

    return passing
