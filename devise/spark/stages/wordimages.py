"""The files of the lists of images a label (table word_images), and the tasks that merge what is new into them.

A task has one range of labels, whose lists lie in files of their own. Beside what is told lie the entries in reserve
and the floors, in Arrow files whose names begin with an underscore: SQL engines pass over either.
"""

import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import BinaryType, StructField, StructType

from devise.config import LabelConfig
from devise.search import vocabularies, wordimages
from devise.search.shards import Stored, stored
from devise.spark.frame import parts, schemas
from devise.spark.frame.tables import deliver
from devise.warehouse import manifest
from devise.warehouse.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np

    from devise.search.wordimages import Lists
    from devise.words.vocabulary import Vocabulary

CHUNKS = StructType([StructField("range", schemas.INT), StructField("chunk", BinaryType())])
"""Entries of a range of labels, or images that leave all lists, packed; an empty chunk is none."""
FOLDED = StructType(
    [
        *(*schemas.RECEIPTS.fields, StructField("table", schemas.TEXT), CHUNKS["range"]),
        *(StructField("dry", schemas.BOOL), StructField("short", schemas.INTS)),
    ]
)
"""The receipt of a file and its table; of a range whether a list holds fewer than are told, and the places of those
that hold not many more: they are filled again together."""


class Kept(NamedTuple):
    """The files of a range in a run; None: no list has an image."""

    lists: Stored | None
    reserve: Stored
    floors: Stored


@dataclass(frozen=True)
class Merging:
    """What the tasks that merge are told.

    n_live: images that are live tonight.
    before: by range, the files that are added to; a range without any begins with empty lists.
    floor_V: float32, by place: what reaches it is among the chunks. Of a range with files the lists of floors below
        infinity are forgotten, and made of the chunks alone. None where there are files and all is added to them.
    """

    config: LabelConfig
    folder: str
    vocabulary: Manifest
    model_id: str
    vocabulary_id: str
    n_live: int
    floor_V: "np.ndarray | None"
    before: dict[int, Kept]

    @property
    def ranges(self) -> range:
        """The numbers of all ranges of labels."""
        return range(wordimages.count_ranges(self.vocabulary.rows))

    @property
    def n_told(self) -> int:
        """Images that are told of each label that has a list."""
        return min(self.config.images_per_label, self.n_live)

    @property
    def length(self) -> int:
        return wordimages.length(self.config.images_per_label)

    def write(self, chunks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write the lists of the one range whose chunks they are: FOLDED."""
        number, lists = -1, None
        for batch in chunks:
            for number, chunk in zip(batch.column("range").to_pylist(), batch.column("chunk"), strict=True):
                lists = lists or self._open(number)
                if len(packed := chunk.as_buffer()):
                    rows = wordimages.unpack(packed)
                    if rows.schema.equals(wordimages.LOST):
                        lists.lose(rows.column("image_id").to_numpy())
                    else:
                        lists.add(rows)
        if lists is not None:
            yield from self._write(number, lists)

    def _labels(self) -> "Vocabulary":
        return vocabularies.read_labels(self.config.warehouse, self.vocabulary)

    def _open(self, number: int) -> "Lists":
        """A range's lists, as far as they stand."""
        import numpy as np

        part = slice(number * wordimages.LABELS_A_RANGE, (number + 1) * wordimages.LABELS_A_RANGE)
        floor_L = None if self.floor_V is None else self.floor_V[part]
        if (kept := self.before.get(number)) is None:
            return wordimages.Lists(wordimages.ENTRIES.empty_table(), wordimages.Floors.of(floor_L), self.length)
        order_L = wordimages.order(self._labels().labels)[part]
        lists = wordimages.Lists(_read_entries(kept, order_L), _read_floors(kept), self.length)
        if floor_L is not None:
            (renewed,) = np.nonzero(floor_L < np.inf)
            lists.renew(renewed, floor_L[renewed])
        return lists

    def _write(self, number: int, lists: "Lists") -> Iterator[pa.RecordBatch]:
        """Merge a range's lists and write its files: FOLDED."""
        from pyarrow import feather

        known, first = self._labels(), number * wordimages.LABELS_A_RANGE
        entries, rank_M = lists.merge()
        told = pa.array(rank_M <= self.config.images_per_label)
        label_id_M = wordimages.order(known.labels)[first + entries.column("place").to_numpy()]
        part = parts.Part(self.folder, schemas.WORD_IMAGES, f"part-{number:05d}")
        try:
            rows = _told_rows(entries, rank_M, label_id_M, known, self.model_id, self.vocabulary_id).filter(told)
            for batch in rows.to_batches(parts.LOOKED_UP_ROWS):
                part.write(batch)
            if part.rows:
                yield folded(part.deliver(), "word_images", range=number)
        finally:
            part.drop()
        short = {
            "dry": len(lists.short(self.n_told)) > 0,
            "short": lists.short(min((self.config.images_per_label + self.length) // 2, self.n_live)).tolist(),
        }
        in_reserve = pa.array(rank_M > self.config.images_per_label)
        floors = pa.table({"relevance": lists.floors.relevance_L, "image_id": lists.floors.image_id_L})
        with tempfile.TemporaryDirectory() as place:
            for name, table in (("reserve", wordimages.compact(entries.filter(in_reserve))), ("floors", floors)):
                path = Path(place) / f"_{name}-{number:05d}-{uuid.uuid4().hex}.arrow"
                feather.write_feather(table, path, compression="zstd")
                receipt = deliver(path, self.folder, rows=-1).model_dump() | {"codes": "{}"}
                yield folded(receipt, "word_images", range=number, **(short if name == "floors" else {}))


def kept_by_range(folder: str, files: Sequence[manifest.File]) -> dict[int, Kept]:
    """The files of each range among a run's, which lies in `folder`."""
    by_kind: dict[str, dict[int, Stored]] = {"part": {}, "_reserve": {}, "_floors": {}}
    for file in files:
        kind, _, rest = file.path.partition("-")
        if kind in by_kind and rest[:5].isdigit():
            by_kind[kind][int(rest[:5])] = stored(folder, files, file.path)
    return {
        number: Kept(by_kind["part"].get(number), by_kind["_reserve"][number], floors)
        for number, floors in by_kind["_floors"].items()
    }


def read_floors(before: dict[int, Kept]) -> "np.ndarray":
    """float32 (V,), by place: the relevances of the floors of all ranges."""
    import numpy as np

    return np.concatenate([_read_floors(kept).relevance_L for _, kept in sorted(before.items())])


def folded(receipt: Mapping[str, Any], table: str, **of_range: Any) -> pa.RecordBatch:
    """FOLDED of a file's receipt."""
    told = {**receipt, "table": table, **of_range}
    return pa.RecordBatch.from_pylist([told], schema=to_arrow_schema(FOLDED))


def chunk_batch(number: int, chunk: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([number], pa.int32()), pa.array([chunk], pa.binary())], CHUNKS.names)


def _read_floors(kept: Kept) -> wordimages.Floors:
    from pyarrow import feather

    return wordimages.Floors(*(column.to_numpy() for column in feather.read_table(kept.floors.fetch()).columns))


def _read_entries(kept: Kept, order_L: "np.ndarray") -> pa.Table:
    """The entries of a range, told and in reserve; places count from its first."""
    import numpy as np
    import pyarrow.parquet as pq
    from pyarrow import feather

    told = wordimages.ENTRIES.empty_table()
    if kept.lists is not None:
        names = ["label_id", "image_id", "relevance", "score", "uri"]
        told = pq.read_table(kept.lists.fetch(), columns=names, read_dictionary=["uri"]).select(names)
        by_id = np.argsort(order_L)
        place_M = by_id[np.searchsorted(order_L[by_id], told.column("label_id").to_numpy())]
        told = pa.table([pa.array(place_M), *told.columns[1:]], names=wordimages.ENTRIES.names)
    return wordimages.joined([told.cast(wordimages.ENTRIES), feather.read_table(kept.reserve.fetch())])


def _told_rows(
    entries: pa.Table, rank_M: "np.ndarray", label_id_M: "np.ndarray", known: "Vocabulary", *of: str
) -> pa.Table:
    """schemas.WORD_IMAGES of the entries; `of` which model and vocabulary."""
    import numpy as np

    numbers, index_M = np.unique(label_id_M, return_inverse=True)
    labels, synsets = (
        pa.DictionaryArray.from_arrays(
            pa.array(index_M.astype(np.int32)), pa.array([names[number] for number in numbers.tolist()], pa.string())
        )
        for names in (known.labels, known.synsets)
    )
    same = pa.array(np.zeros(len(rank_M), np.int32))
    columns = {
        "label": labels,
        "label_id": pa.array(label_id_M.astype(np.int32)),
        "synset": synsets,
        "rank": pa.array(rank_M),
        **{name: entries.column(name) for name in ("image_id", "uri", "score", "relevance")},
        **{
            name: pa.DictionaryArray.from_arrays(same, pa.array([text]))
            for name, text in zip(("model_id", "vocabulary_id"), of, strict=True)
        },
    }
    return pa.table([columns[name] for name in schemas.WORD_IMAGES.names], names=schemas.WORD_IMAGES.names)
