"""Slices of a night's images, embedded and committed one by one: a crash costs the slices under way, never the night.

A slice is a range of the ids, which are hashes, as an index's shard is. Each worker goes through several slices without a pause, writes a
slice's files as its outcomes come, puts them into the run's folders, and then creates the slice's record: who finds a
record, finds its files. Before it begins a slice it leaves a mark. A slice with a mark and without a record is a
suspect: one of its images may have ended its worker, and so they are read by a process of their own first.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from devise.errors import AccountingError, AlreadyExists, ImageError
from devise.spark.frame import progress, schemas
from devise.spark.frame.columns import class_columns, vector_column
from devise.spark.frame.live import FRESH
from devise.spark.frame.parts import Part, file_of
from devise.spark.frame.progress import Counts
from devise.store import storage
from devise.values import Section
from devise.warehouse.manifest import File

if TYPE_CHECKING:
    from devise.vision.engine import Engine, Item, Outcomes

TABLES = ("embeddings", "rejects", "thumbnails")
NAME = re.compile(r"(slice|begun)-(\d+)[.-].*")
THREADS = 16
TELL_SECONDS = 15


class Row(NamedTuple):
    """An image of the plan, as it reaches a worker: sorted by slice."""

    image_id: int
    uri: str
    etag: str
    size_bytes: int
    state: str
    attempts: int
    slice: int


class Record(Section):
    """What a slice came to; the files are in the run's folders."""

    number: int
    embedded: int
    rejected: int
    codes: dict[str, int]
    embeddings: list[File]
    rejects: list[File]
    thumbnails: list[File]
    without_thumbnail: int
    """Embedded images that should have one, and of which none could be made."""


@dataclass(frozen=True)
class Slices:
    """The slices of a run: their folder of records and marks in the warehouse's scratch, and how many there are.

    The folder is of one cut alone: slice 3 of 40 is other images than slice 3 of 50.
    """

    folder: str
    count: int

    def begin(self, number: int) -> None:
        storage.write_bytes(storage.join(self.folder, f"begun-{number:05d}-{uuid.uuid4().hex}"), b"")

    def commit(self, record: Record) -> bool:
        """Create the record; False if the slice has one, whose files count."""
        try:
            storage.create(self._record(record.number), record.model_dump_json().encode())
        except AlreadyExists:
            return False
        return True

    def look(self) -> tuple[set[int], Counter[int]]:
        """The slices that have a record, and how often each of the others was begun: one listing."""
        names = (file.uri.rsplit("/", 1)[-1] for file in storage.list_level(self.folder, missing_ok=True)[1])
        found = [(match[1], int(match[2])) for match in map(NAME.fullmatch, names) if match]
        done = {number for kind, number in found if kind == "slice"}
        return done, Counter(number for kind, number in found if kind == "begun" and number not in done)

    def records(self, numbers: Iterable[int]) -> list[Record]:
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(lambda number: storage.read_bytes(self._record(number)), sorted(numbers))
            return [Record.model_validate_json(content) for content in found]

    def forget(self, numbers: Iterable[int]) -> None:
        """Take back records of which a file is gone."""
        storage.delete(*(self._record(number) for number in numbers))

    def _record(self, number: int) -> str:
        return storage.join(self.folder, f"slice-{number:05d}.json")


@dataclass
class Work:
    """What a worker is to do with its rows."""

    slices: Slices
    folders: dict[str, str]
    """Table -> URI of the run's folder."""
    model_id: str
    open: "Callable[[Callable[[Item], bytes]], Engine]"
    """An engine that fetches as it is told to, and makes thumbnails of images with an id below `thumbnails_below`."""
    max_pixels: int
    thumbnails_below: int


@dataclass
class _Slice:
    """A slice under way on this worker."""

    number: int
    work: Work
    suspect: bool
    parts: dict[str, Part] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    given: int = 0
    without_thumbnail: int = 0
    whole: bool = False
    """Whether all of its images were given to the engine."""

    @property
    def complete(self) -> bool:
        ended = sum(part.rows for table, part in self.parts.items() if table != "thumbnails")
        return self.whole and self.given == ended

    def add(self, outcomes: "Outcomes", rows: list[int]) -> None:
        """These rows of some outcomes, to the files that they belong to."""
        for table, batch in split(outcomes, rows, self.attempts, self.work.model_id).items():
            self.write(table, batch)
        wanted = (
            outcomes.codes[row] is None and outcomes.items[row].image_id < self.work.thumbnails_below for row in rows
        )
        self.without_thumbnail += sum(wanted) - sum(outcomes.thumbnails[row] is not None for row in rows)

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        if table not in self.parts:
            self.parts[table] = Part(self.work.folders[table], schemas.TABLES[table], f"{FRESH}{self.number:05d}")
        self.parts[table].write(batch)

    def commit(self) -> Record:
        rows = {table: part.rows for table, part in self.parts.items()}
        told = {table: part.deliver() for table, part in self.parts.items()}
        files = {table: [file_of(receipt)] for table, receipt in told.items()}
        record = Record(
            number=self.number,
            embedded=rows.get("embeddings", 0),
            rejected=rows.get("rejects", 0),
            codes=json.loads(told["rejects"]["codes"]) if "rejects" in told else {},
            without_thumbnail=self.without_thumbnail,
            **{table: files.get(table, []) for table in TABLES},
        )
        if not self.work.slices.commit(record):  # a twin's, or an attempt's that was taken for dead
            for table, (file,) in files.items():
                storage.delete(storage.join(self.work.folders[table], file.path))
        return record


def watched(night: Slices, n_images: int) -> AbstractContextManager[None]:
    """While the work goes on, tell how far it is: images, and in a log now and then slices."""
    known: dict[int, Record] = {}

    def count() -> Counts:
        done = night.look()[0]
        known.update((record.number, record) for record in night.records(done - known.keys()))
        rejected = sum(record.rejected for record in known.values())
        text = f"{len(done):,} of {night.count:,} slices, {n_images:,} images in all"
        return Counts(rejected + sum(record.embedded for record in known.values()), rejected, text)

    return progress.told("embed_images", n_images, count, TELL_SECONDS)


def embed_slices(rows: Iterator[Row], work: Work) -> Iterator[Record]:
    """Embed a task's images, each once, and commit its slices as they become whole.

    What is done and what is suspect is looked up by each task: it may have been tried before, alone or, where an
    executor was lost, with all of its stage, which no worker is told.

    Raises:
        AccountingError: the engine gave fewer outcomes than it was given images.
    """
    from devise.store.storage import fetch_image
    from devise.vision.engine import Item
    from devise.vision.probe import Probe

    done, suspects = work.slices.look()
    under_way: dict[int, _Slice] = {}
    place: dict[int, _Slice] = {}
    probe = Probe(work.max_pixels, work.thumbnails_below > 0)

    def fetch(item: Item) -> bytes:
        content = fetch_image(item.uri, item.etag)
        return probe.check(content) if place[item.image_id].suspect else content

    def items() -> Iterator[Item]:
        current: _Slice | None = None
        for row in rows:
            if row.slice in done:
                continue
            if current is None or current.number != row.slice:
                if current is not None:
                    current.whole = True
                work.slices.begin(row.slice)
                current = under_way[row.slice] = _Slice(row.slice, work, row.slice in suspects)
            current.given += 1
            if row.state == "collision":
                current.write("rejects", collision(row, work.model_id))
                continue
            if row.attempts:
                current.attempts[row.image_id] = row.attempts
            place[row.image_id] = current
            yield Item(row.image_id, row.uri, row.etag, row.size_bytes)
        if current is not None:
            current.whole = True

    def complete() -> Iterator[Record]:
        for number in [number for number, found in under_way.items() if found.complete]:
            yield under_way.pop(number).commit()

    try:
        for outcomes in work.open(fetch).run(items()):
            of = [place.pop(item.image_id) for item in outcomes.items]
            for found in {each.number: each for each in of}.values():
                found.add(outcomes, [row for row, each in enumerate(of) if each is found])
            yield from complete()
        yield from complete()
        if under_way:
            raise AccountingError(f"slices {sorted(under_way)}: some of their images have no outcome")
    finally:
        probe.close()
        for left in under_way.values():
            for part in left.parts.values():
                part.drop()


def split(outcomes: "Outcomes", rows: list[int], attempts: dict[int, int], model_id: str) -> dict[str, pa.RecordBatch]:
    """These rows of some outcomes as batches of schemas.EMBEDDINGS, REJECTS and THUMBNAILS.

    Args:
        attempts: image_id -> attempts made before tonight.
    """
    import numpy as np

    kept = [row for row in rows if outcomes.codes[row] is None]
    lost = [row for row in rows if outcomes.codes[row] is not None]

    def identity(chosen: list[int]) -> list[pa.Array]:
        items = [outcomes.items[row] for row in chosen]
        return [
            pa.array([item.image_id for item in items], pa.int64()),
            pa.array([item.uri for item in items], pa.string()),
            pa.array([item.etag for item in items], pa.string()),
        ]

    embeddings = [
        *identity(kept),
        vector_column(outcomes.embedding_ND[kept], np.ones(len(kept), dtype=bool)),
        pa.array(outcomes.norm_N[kept], pa.float32()),
        pa.array(outcomes.width_N[kept], pa.int32()),
        pa.array(outcomes.height_N[kept], pa.int32()),
        *(column.take(pa.array(kept, pa.int64())) for column in class_columns(*outcomes.classes, outcomes.kept_N)),
        pa.array([model_id] * len(kept), pa.string()),
    ]
    made = [int(outcomes.attempts_N[row]) + attempts.get(outcomes.items[row].image_id, 0) for row in lost]
    rejects = [
        *identity(lost),
        pa.array([outcomes.codes[row] for row in lost], pa.string()),
        pa.array([outcomes.messages[row] for row in lost], pa.string()),
        pa.array(made, pa.int32()),
        pa.array([model_id] * len(lost), pa.string()),
    ]
    small = [(outcomes.items[row], found) for row in kept if (found := outcomes.thumbnails[row]) is not None]
    thumbnails = [
        pa.array([item.image_id for item, _ in small], pa.int64()),
        pa.array([item.etag for item, _ in small], pa.string()),
        pa.array([found.webp for _, found in small], pa.binary()),
        pa.array([found.width for _, found in small], pa.int32()),
        pa.array([found.height for _, found in small], pa.int32()),
    ]
    found = {"embeddings": (kept, embeddings), "rejects": (lost, rejects), "thumbnails": (small, thumbnails)}
    return {
        table: schemas.record_batch(columns, schemas.TABLES[table]) for table, (some, columns) in found.items() if some
    }


def collision(row: Row, model_id: str) -> pa.RecordBatch:
    """The reject of an image whose id another uri has."""
    fault = ImageError("id_collision", "another uri has the same image_id")
    values: list[Any] = [row.image_id, row.uri, row.etag, fault.code, str(fault), row.attempts + 1, model_id]
    return schemas.record_batch([pa.array([value]) for value in values], schemas.REJECTS)
