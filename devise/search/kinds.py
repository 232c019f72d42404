"""Which kind of index, how many lists, how much of them to visit, how many rows to train with; arithmetic, no faiss."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, log2, sqrt
from typing import Any

import numpy as np

from devise.errors import IndexingError

EXACT = "Flat"
"""The kind whose every search compares with all rows as they are."""
FLAT_ROWS = 100_000
"""Up to here exact search costs about 10 ms a query on one core, and needs no tuning."""
TRAIN_ROWS_PER_LIST = 39
"""faiss warns below this many training rows a list: a centroid is then hardly more than a few single rows."""
TRAIN_ROWS = 200_000
"""Rows that train any number of lists for which they are enough, up to 5,128: 0.24 GB of 300 dims."""
GRAPH_LISTS = 16_384
"""From here the nearest centroids are found by a graph: 0.14 ms a row against 0.31, and at 65,536 lists 0.21 against
1.28 (300 dims, one core; the same list in 99.9 % of rows: tests/benchmarks/coarse.py)."""
IVF_OVERHEAD_BYTES = 8
"""An IVF row's id."""
PADDED_TO = 16
"""Dims of codes are made a multiple of these by zeros: faiss reads others number by number, in seven times the time."""
EXACT_BYTES = 2
"""A number of the exact rows beside a shard."""
CANDIDATES = 128
"""Rows of a shard that its codes choose, a query, to be ranked by their exact rows; k if that is more. At 8 bits 32 are
enough; at 4 bits 128 lose 0.013 at most (tests/benchmarks/results/index.md)."""
QUERY_KINDS = ("image", "word", "words", "differences")
"""Kinds of queries (`devise.search.grammar.kind_of`): each has the effort that its recall takes."""
LIST_SECONDS, GRAPH_SECONDS = 6.5e-11, 4e-8
"""A row's way to its list on one core, each dim: by products, for each list, and by the graph, for each doubling of
their number (tests/benchmarks/results/coarse.md)."""
TRAIN_ROUNDS = 10
"""Rounds of faiss's k-means for lists."""
NUMBER_SECONDS = 5e-9
"""A number of a row put into its shard, in 8 bits or as it is."""
CEILING_SLACK = 0.002
"""Recall given up for speed where the target is out of reach: the last 0.002 can take half of all lists."""


@dataclass(frozen=True)
class Kind:
    """What to build: a faiss factory string, its lists (0 without any), the lists to visit at first, and why."""

    factory: str
    nlist: int
    nprobe: int
    bytes_per_vector: float
    """In memory, when searched."""
    mapped_per_vector: float
    """Bytes of its exact row, on disk, of which the candidates' are read."""
    reason: str


@dataclass(frozen=True)
class Effort:
    """The nprobe settled for one kind of query, the recall measured at it, and the best of any nprobe tried."""

    nprobe: int
    recall: float
    ceiling: float
    reached: bool
    """Whether the recall is the one wanted; else it is within CEILING_SLACK of the ceiling."""

    def describe(self, nlist: int, target: float) -> str:
        """One line for a person."""
        chosen = f"nprobe {self.nprobe:,} of {nlist:,}, recall@10 {self.recall:.4f}"
        if self.reached:
            return f"{chosen} (wanted {target:g})"
        return f"{chosen}: {target:g} is out of reach, the best of any nprobe is {self.ceiling:.4f}"


def choose_kind(n_rows: int, dim: int, memory_bytes: int, factory: str = "auto", sample_rows: int = 10**6) -> Kind:
    """The kind of index for so many rows: exact while that is quick, else lists, in 8 or 4 bits if memory is short.

    Those have exact rows beside them, which rank what the codes choose, and so all lists answer alike: fewer bits save
    memory and cost some 0.1 ms a query.

    Args:
        memory_bytes: what all shards together may take when searched, beside what is mapped from disk.
        factory: a faiss factory string to take as it is, or `auto`.
        sample_rows: the most rows that may train the lists, and so a bound of their number.

    Raises:
        IndexingError: even 4 bits a number are more than the memory; stronger compression is the user's to choose, for
            its codes may miss neighbours among so few candidates.
    """
    if factory != "auto":
        nlist = _lists_of(factory)
        return Kind(factory, nlist, max(1, nlist // 16), float("nan"), float("nan"), "as the settings say")
    flat = 4 * dim
    if n_rows <= FLAT_ROWS and n_rows * flat <= memory_bytes:
        reason = f"{n_rows:,} rows are at most {FLAT_ROWS:,}: exact search is quick enough"
        return Kind(EXACT, 0, 1, flat, 0, reason)
    nlist, padded = _count_lists(n_rows, sample_rows), -(-dim // PADDED_TO) * PADDED_TO
    lists = f"IVF{nlist}" + "_HNSW32" * (nlist >= GRAPH_LISTS)
    coded, exact_row = f"Pad{padded}," * (padded > dim) + lists, EXACT_BYTES * dim + IVF_OVERHEAD_BYTES
    many = f"{n_rows:,} rows are more than {FLAT_ROWS:,}" if n_rows > FLAT_ROWS else "exact vectors do not fit"
    for made, numbers, mapped, said in (
        (f"{lists},Flat", flat, 0, "exact vectors"),
        (f"{coded},SQ8", padded, exact_row, "8 bits a number"),
        (f"{coded},SQ4", padded / 2, exact_row, "4 bits a number"),
    ):
        each = numbers + IVF_OVERHEAD_BYTES
        if n_rows * each <= memory_bytes:
            taken = f"{said} need {n_rows * each / 2**30:.1f} GiB of the {memory_bytes / 2**30:.1f} GiB"
            return Kind(made, nlist, max(1, nlist // 32), each, mapped, f"{many}; {taken}")
    raise IndexingError(
        f"{n_rows:,} x {dim} need {n_rows * each / 2**30:.1f} GiB even with 4 bits a number, wanted at most "
        f"{memory_bytes / 2**30:.1f} GiB: raise memory_bytes, or name a compressed kind (and watch its recall)"
    )


def explain(
    kind: Kind, n_rows: int, dim: int, memory_bytes: int, sample_rows: int, n_queries: int, target_recall: float
) -> list[str]:
    """The choice in lines for a person: kind and why, lists, effort, bytes and the time to build.

    Args:
        n_queries, target_recall: what nprobe is to be settled with, and for.
    """
    lines = [f"{kind.factory} for {n_rows:,} x {dim}: {kind.reason}"]
    trained = count_training_rows(n_rows, kind.nlist, sample_rows)
    if kind.nlist:
        lines.append(f"{kind.nlist:,} lists, trained on {trained:,} rows")
        lines.append(
            f"nprobe: settled once the shards are filled, for a recall@10 of {target_recall:g}, by {n_queries:,} "
            f"queries of each kind ({', '.join(QUERY_KINDS)}); {kind.nprobe:,} for a kind without queries"
        )
    else:
        lines.append("no lists and no nprobe: every query of any kind is compared with all rows")
    if isnan(kind.bytes_per_vector):
        lines.append("bytes a vector and time to build: not foretold of a kind that the settings name")
        return lines
    total = n_rows * kind.bytes_per_vector
    lines.append(
        f"{kind.bytes_per_vector:,.0f} bytes a vector, {total / 2**30:.2f} GiB of the {memory_bytes / 2**30:.2f} GiB "
        "that all shards may take"
    )
    if kind.mapped_per_vector:
        lines.append(
            f"{kind.mapped_per_vector:,.0f} bytes a vector more on disk, mapped: its exact row; of a shard "
            f"{CANDIDATES} candidates a query are ranked by theirs"
        )
    train, fill = _core_seconds(kind, n_rows, dim, trained)
    lines.append(
        f"to build: about {train:,.0f} s on one core for the template, then {fill:,.0f} core-seconds for the shards, "
        "a core a shard"
    )
    return lines


def _core_seconds(kind: Kind, n_rows: int, dim: int, trained: int) -> tuple[float, float]:
    """Seconds of one core of the machine of `tests/benchmarks/results/query_kinds.md`: training, and filling."""
    encode = n_rows * dim * NUMBER_SECONDS
    if not kind.nlist:
        return 0.0, encode
    graph = kind.nlist >= GRAPH_LISTS
    a_row = dim * (GRAPH_SECONDS * log2(kind.nlist) if graph else LIST_SECONDS * kind.nlist)
    return TRAIN_ROUNDS * trained * a_row, n_rows * a_row + encode


def count_training_rows(n_rows: int, nlist: int, sample_rows: int) -> int:
    """How many of the rows train the template: enough for its lists, and never more than `sample_rows`."""
    return min(n_rows, sample_rows, max(TRAIN_ROWS, TRAIN_ROWS_PER_LIST * nlist))


def nprobe_steps(nlist: int) -> list[int]:
    """Values of nprobe to try: the powers of two and the 1.5-fold steps between, below nlist, and nlist; ascending."""
    steps = {2**power for power in range(nlist.bit_length())}
    steps |= {3 * 2**power for power in range(nlist.bit_length())}
    return sorted({step for step in steps if step < nlist} | {max(1, nlist)})


def settle_nprobe(recall_by_nprobe: Mapping[int, float], target: float) -> Effort:
    """The least nprobe that reaches the target; where none does, the least within CEILING_SLACK of the best.

    Raises:
        ValueError: no nprobe was tried.
    """
    if not recall_by_nprobe:
        raise ValueError("no nprobe was tried")
    ceiling = max(recall_by_nprobe.values())
    reached = ceiling >= target
    wanted = target if reached else ceiling - CEILING_SLACK
    nprobe = min(nprobe for nprobe, recall in recall_by_nprobe.items() if recall >= wanted)
    return Effort(nprobe, recall_by_nprobe[nprobe], ceiling, reached)


def effort(nprobe: Mapping[str, int], kind: str) -> int:
    """The nprobe of a kind of query, by kind; `IndexingError` if the index has none for it."""
    if kind not in nprobe:
        raise IndexingError(f"found no search effort for the kind {kind!r} among {sorted(nprobe)} of the index")
    return nprobe[kind]


def measured(details: Mapping[str, Any], kind: str) -> tuple[int | None, float | None]:
    """What an index's details say of a kind of query: its nprobe, None without lists, and its recall@10.

    The recall is None where no query of the kind was tried.
    """
    if not _lists_of(details["kind"]):
        return None, 1.0 if details["kind"] == EXACT else None
    return effort(details["nprobe"], kind), details["tuning"].get(kind, {}).get("recall")


def _count_lists(n_rows: int, sample_rows: int) -> int:
    """About 4 sqrt(rows), a power of two; each has TRAIN_ROWS_PER_LIST rows of the sample, which is all that counts:
    lists that rows of the corpus fill and none of the sample has shaped are cut at random."""
    wanted = round(np.log2(4 * sqrt(n_rows)))
    trained = max(1, min(n_rows, sample_rows) // TRAIN_ROWS_PER_LIST)
    return 2 ** max(0, min(wanted, trained.bit_length() - 1))


def _lists_of(factory: str) -> int:
    found = re.search(r"IVF(\d+)", factory)
    return int(found.group(1)) if found else 0
