"""Whether two warehouses hold the same tables, as far as arithmetic of another order allows.

    python tests/same_tables.py WAREHOUSE RUN OTHER_WAREHOUSE OTHER_RUN

Embeddings are equal within 1e-4 a number. Labels are equal, except that two may stand in each other's place where their
scores lie within 2e-4. Rejects are equal by uri and code. Prints what it compared, or fails with the first difference.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise import manifest, storage

EMBEDDING_WITHIN, SCORE_WITHIN = 1e-4, 2e-4


def table(warehouse: str, name: str, run: str) -> pa.Table:
    """The rows of a committed run, from the files that its manifest lists."""
    found = manifest.read(warehouse, name, run)
    root = storage.local_path(manifest.folder(warehouse, name, run))
    parts = [pq.ParquetFile(root / file.path).read() for file in found.files if file.rows > 0]
    return pa.concat_tables(parts) if parts else pa.table({column: pa.array([]) for column in found.columns})


def same_embeddings(one: tuple[str, str], other: tuple[str, str]) -> tuple[int, float]:
    """Rows, and the largest difference of a number."""
    tables = [table(warehouse, "embeddings", run).sort_by("uri") for warehouse, run in (one, other)]
    for column in ("image_id", "uri", "width", "height"):
        assert tables[0][column].equals(tables[1][column]), f"embeddings differ in {column}"
    left_ND, right_ND = (np.array(found["embedding"].to_pylist(), np.float32) for found in tables)
    furthest = float(np.abs(left_ND - right_ND).max())
    assert furthest <= EMBEDDING_WITHIN, f"embeddings differ by {furthest}"
    return len(left_ND), furthest


def same_labels(one: tuple[str, str], other: tuple[str, str]) -> tuple[int, int]:
    """Rows, and how many of them hold another label of nearly the same score."""
    columns = ["uri", "rank", "label", "score"]
    found = [table(warehouse, "labels", run).select(columns).to_pylist() for warehouse, run in (one, other)]
    left, right = ({(row["uri"], row["rank"]): (row["label"], row["score"]) for row in rows} for rows in found)
    assert left.keys() == right.keys(), "labels are of other images or ranks"
    changed = 0
    for place, (label, score) in left.items():
        assert abs(score - right[place][1]) <= SCORE_WITHIN, f"{place}: scores {score} and {right[place][1]}"
        # The score at a rank is the same; another label there is then one whose own score is as near.
        changed += label != right[place][0]
    return len(left), changed


def same_rejects(one: tuple[str, str], other: tuple[str, str]) -> int:
    left, right = (
        sorted((row["uri"], row["code"]) for row in table(warehouse, "rejects", run).to_pylist())
        for warehouse, run in (one, other)
    )
    assert left == right, f"rejects differ: {set(left) ^ set(right)}"
    return len(left)


def compare(one: tuple[str, str], other: tuple[str, str]) -> str:
    """One line that says what was compared; `AssertionError` at the first difference."""
    n_rows, furthest = same_embeddings(one, other)
    n_labels, changed = same_labels(one, other)
    return (
        f"{n_rows:,} embeddings equal within {furthest:.1e}; {n_labels:,} labels, {changed} of them another of a score "
        f"within {SCORE_WITHIN}; {same_rejects(one, other)} rejects equal"
    )


if __name__ == "__main__":
    print(compare(tuple(sys.argv[1:3]), tuple(sys.argv[3:5])))
