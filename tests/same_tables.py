"""Whether two warehouses hold the same tables, as far as arithmetic of another order allows.

    python tests/same_tables.py WAREHOUSE RUN OTHER_WAREHOUSE OTHER_RUN

Embeddings are equal within 1e-4 a number. Labels are equal, except that two may stand in each other's place where their
scores lie within 2e-4. Rejects are equal by uri and code. Prints what it compared, or fails with the first difference.
"""

import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from devise.store import storage
from devise.warehouse import manifest, pointer

EMBEDDING_WITHIN, SCORE_WITHIN, RELEVANCE_WITHIN = 1e-4, 2e-4, 5e-3


def table(warehouse: str, name: str, *runs: str) -> pa.Table:
    """The rows of committed runs, from the files that their manifests list."""
    parts = []
    for found in (manifest.read(warehouse, name, run) for run in runs):
        root = manifest.folder(warehouse, name, found.run)
        files = [storage.join(root, file.path) for file in found.files if file.rows > 0]
        parts += [pq.read_table(pa.BufferReader(storage.read_bytes(file))) for file in files]
    return pa.concat_tables(parts) if parts else pa.table({column: pa.array([]) for column in found.columns})


def live(warehouse: str) -> dict[str, pa.Table]:
    """What readers of the live pointer find: images, and the embeddings, rejects and labels of those.

    A reject is live if its image has no embedding; of several attempts at the same content the last one is told.
    """
    published = pointer.read(warehouse)
    found = {name: table(warehouse, name, *published.runs(name)) for name in ("images", "embeddings", "rejects")}
    for name in ("labels", "word_images"):
        found[name] = table(warehouse, name, *published.runs(name))
    listed = _contents(found["images"])
    found["embeddings"] = _keep(found["embeddings"], listed)
    embedded = set(_contents(found["embeddings"]))
    last = {content: place for place, content in enumerate(_contents(found["rejects"]))}
    kept = sorted(place for content, place in last.items() if content in set(listed) - embedded)
    found["rejects"] = found["rejects"].take(pa.array(kept, pa.int64()))
    return found


def same_embeddings(left: pa.Table, right: pa.Table) -> tuple[int, float]:
    """Rows, and the largest difference of a number."""
    left, right = left.sort_by("uri"), right.sort_by("uri")
    for column in ("image_id", "uri", "width", "height"):
        assert left[column].to_pylist() == right[column].to_pylist(), f"embeddings differ in {column}"
    left_ND, right_ND = (np.array(found["embedding"].to_pylist(), np.float32) for found in (left, right))
    furthest = float(np.abs(left_ND - right_ND).max(initial=0))
    assert furthest <= EMBEDDING_WITHIN, f"embeddings differ by {furthest}"
    return len(left_ND), furthest


def same_labels(left: pa.Table, right: pa.Table) -> tuple[int, int]:
    """Rows, and how many of them hold another label of nearly the same score."""
    columns = ["uri", "rank", "label", "score"]
    rows = [found.select(columns).to_pylist() for found in (left, right)]
    one, other = ({(row["uri"], row["rank"]): (row["label"], row["score"]) for row in found} for found in rows)
    assert one.keys() == other.keys(), "labels are of other images or ranks"
    assert len(rows[0]) == len(one) and len(rows[1]) == len(other), "an image has labels twice"
    changed = 0
    for place, (label, score) in one.items():
        assert abs(score - other[place][1]) <= SCORE_WITHIN, f"{place}: scores {score} and {other[place][1]}"
        # The score at a rank is the same; another label there is then one whose own score is as near.
        changed += label != other[place][0]
    return len(one), changed


def same_lists(left: pa.Table, right: pa.Table) -> tuple[int, int]:
    """Rows, and how many of them hold another image of nearly the same score."""
    columns = ["label", "rank", "image_id", "relevance"]
    rows = [found.select(columns).to_pylist() for found in (left, right)]
    one, other = ({(row["label"], row["rank"]): row for row in found} for found in rows)
    assert one.keys() == other.keys(), "lists are of other labels or ranks"
    assert len(rows[0]) == len(one) and len(rows[1]) == len(other), "a label has a rank twice"
    changed = 0
    for place, row in one.items():
        apart = abs(row["relevance"] - other[place]["relevance"])
        assert apart <= RELEVANCE_WITHIN, f"{place}: relevances differ by {apart}"
        changed += row["image_id"] != other[place]["image_id"]
    return len(one), changed


def same_rejects(left: pa.Table, right: pa.Table) -> int:
    one, other = (sorted((row["uri"], row["code"]) for row in found.to_pylist()) for found in (left, right))
    assert one == other, f"rejects differ: {set(one) ^ set(other)}"
    return len(one)


def same_results(left: pa.Table, right: pa.Table) -> int:
    """Queries; every one has the same images at the same ranks."""
    order = [("query", "ascending"), ("rank", "ascending")]
    one, other = (found.sort_by(order).select(["query", "rank", "uri"]).to_pylist() for found in (left, right))
    assert one == other, f"results differ: {[row for row in one if row not in other][:3]}"
    return len({row["query"] for row in one})


def same_live_tables(one: str, other: str) -> str:
    """One line that says what was compared of what is live in two warehouses, the answers to queries too."""
    n_queries = same_results(*(table(place, "results", *pointer.read(place).runs("results")) for place in (one, other)))
    return f"{compare_tables(live(one), live(other))}; {n_queries} queries have the same images"


def compare(one: tuple[str, str], other: tuple[str, str]) -> str:
    """One line that says what was compared; `AssertionError` at the first difference."""
    names = ("embeddings", "labels", "word_images", "rejects")
    return compare_tables(*({name: table(place[0], name, place[1]) for name in names} for place in (one, other)))


def compare_tables(left: dict[str, pa.Table], right: dict[str, pa.Table]) -> str:
    n_rows, furthest = same_embeddings(left["embeddings"], right["embeddings"])
    n_labels, changed = same_labels(left["labels"], right["labels"])
    n_listed, moved = same_lists(left["word_images"], right["word_images"])
    n_rejects = same_rejects(left["rejects"], right["rejects"])
    return (
        f"{n_rows:,} embeddings equal within {furthest:.1e}; {n_labels:,} labels, {changed} of them another of a score "
        f"within {SCORE_WITHIN}; {n_listed:,} places of lists, {moved} of them another image of a relevance within "
        f"{RELEVANCE_WITHIN}; {n_rejects} rejects equal"
    )


def _contents(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rows["uri"].to_pylist(), rows["etag"].to_pylist(), strict=True))


def _keep(rows: pa.Table, contents: Sequence[tuple[str, str]]) -> pa.Table:
    wanted = set(contents)
    return rows.filter(pa.array([content in wanted for content in _contents(rows)], pa.bool_()))


if __name__ == "__main__":
    print(compare(tuple(sys.argv[1:3]), tuple(sys.argv[3:5])))
