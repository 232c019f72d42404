"""All answers to a question as a file: CSV or Parquet; no HTTP."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from devise.search.answers import Labelled
from devise.show.explorer.corpus import Corpus
from devise.show.explorer.ranked import Ranking

TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
RISKY = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets take for a formula."""


def table(corpus: Corpus, ranking: Ranking) -> pa.Table:
    """A row an answer: rank, image_id, uri, score, labels (by |), the best label's probability, answer and its own."""
    found = ranking.found
    labelled = corpus.labels_of(found.image_ids)
    told = [labelled.get(image_id) for image_id in found.image_ids]
    columns = {
        "rank": pa.array(range(1, len(found) + 1), pa.int32()),
        "image_id": pa.array(found.image_ids, pa.int64()),
        "uri": pa.array(found.uris, pa.string()),
        "score": pa.array(found.scores, pa.float32()),
        "labels": pa.array([_joined(each) for each in told], pa.string()),
        "probability": pa.array([each.labels[0].probability if each else None for each in told], pa.float32()),
        "answer": pa.array([each.answer if each else None for each in told], pa.string()),
        "answer_probability": pa.array([each.answer_probability if each else None for each in told], pa.float32()),
        "folded": pa.array(found.folded, pa.int32()),
    }
    metadata = {"query": ranking.asked.text, "run": corpus.live.run, "publication": str(corpus.live.number)}
    return pa.table(columns).replace_schema_metadata(metadata)


def write(rows: pa.Table, kind: str) -> bytes:
    """The file of a kind, of TYPES. In CSV no text begins as a formula does: an apostrophe is put before it."""
    made = io.BytesIO()
    if kind == "parquet":
        pq.write_table(rows, made, compression="zstd")
    else:
        for place, field in enumerate(rows.schema):
            if pa.types.is_string(field.type):
                texts = [_plain(text) for text in rows.column(place).to_pylist()]
                rows = rows.set_column(place, field, pa.array(texts, pa.string()))
        csv.write_csv(rows, made)
    return made.getvalue()


def _joined(labelled: Labelled | None) -> str | None:
    return "|".join(label.label for label in labelled.labels) if labelled else None


def _plain(text: str | None) -> str | None:
    return f"'{text}" if text and text.startswith(RISKY) else text
