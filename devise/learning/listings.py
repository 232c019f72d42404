"""The images that processes fine-tune from, as files: what each process reads is rows and vectors, never pixels.

Shape letters: N images, L labels, D dims.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file, save_file

from devise.learning.choosing import TrainingSet


@dataclass(frozen=True)
class Listing:
    """Images with their targets.

    Attributes:
        rows: uri, etag and size_bytes of each image, ascending by image_id.
        labels: of each image, rows of `vectors_LD`.
        vectors_LD: unit vectors of the labels; with a teacher a row an image, its target.
        taught: whether a teacher gave the targets, so that there are no labels to hit.
    """

    rows: pa.Table
    labels: list[list[int]]
    vectors_LD: np.ndarray
    taught: bool

    def __len__(self) -> int:
        return len(self.labels)


def write(chosen: TrainingSet, images: pa.Table, place: Path, name: str) -> list[Path]:
    """Write the chosen ones of `images` below `place`; the files. The same images give the same bytes."""
    image_id_N = images.column("image_id").to_numpy()[chosen.rows_N]
    order = np.argsort(image_id_N, kind="stable")
    rows = images.select(["image_id", "uri", "etag", "size_bytes"]).take(pa.array(chosen.rows_N[order]))
    labels = pa.array([chosen.labels[i] for i in order], pa.list_(pa.int32()))
    table = rows.append_column("labels", labels).combine_chunks()
    taught = json.dumps({"taught": len(chosen.label_ids_L) == 0})
    table = table.replace_schema_metadata({"listing": taught})
    files = [place / f"{name}.arrow", place / f"{name}.safetensors"]
    with pa.OSFile(str(files[0]), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    save_file({"vectors_LD": np.ascontiguousarray(chosen.vectors_LD, dtype=np.float32)}, files[1])
    return files


def read(place: Path, name: str) -> Listing:
    """What `write` wrote."""
    with pa.memory_map(str(place / f"{name}.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    taught = json.loads(table.schema.metadata[b"listing"])["taught"]
    vectors_LD = load_file(place / f"{name}.safetensors")["vectors_LD"]
    return Listing(table.drop_columns("labels"), table.column("labels").to_pylist(), vectors_LD, taught)
