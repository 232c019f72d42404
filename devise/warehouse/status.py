"""What is live in a warehouse, in lines for a terminal; reads the pointer, manifests and the lease, changes nothing."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from devise.warehouse import lease, lineage, manifest, pointer
from devise.warehouse.manifest import Manifest

THREADS = 16
LAST = "\U0010ffff"
"""Sorts after every run id."""
PARTS = ("embedded", "rejected", "unchanged", "carried")
"""What becomes of a listed image; their sum is `listed`, exactly."""


def describe(warehouse: str) -> list[str]:
    """The live run, its age and what it was built on, its tables, the accounting of its night, who works in the
    warehouse, what is kept, what lies ahead of it, and what was discarded.

    Raises:
        ManifestError: nothing is published, the pointer is torn, or a run that it names is gone.
    """
    live = pointer.published(warehouse)
    with ThreadPoolExecutor(THREADS) as pool:
        runs = list(pool.map(lambda pair: manifest.read(warehouse, *pair), live.pairs()))
    by_table: dict[str, list[Manifest]] = {}
    for run in runs:
        by_table.setdefault(run.table, []).append(run)
    age_h = (time.time() - live.published_at) / 3600
    lines = [f"live: run {live.run}, publication {live.number}, published {age_h:.1f} h ago, in {warehouse}"]
    lines.append(f"built on: {f'publication {live.parent}' if live.parent else 'nothing'}")
    if live.restores:
        lines[-1] += f"; a rollback to publication {live.restores}"
    lines += [f"{'table':<12} {'runs':<40} {'rows':>16} {'bytes':>20}"]
    lines += [_table(table, chain) for table, chain in by_table.items()]
    if "embeddings" in by_table:
        lines.append(_images(by_table["embeddings"][-1]))
    if "rejects" in by_table:
        lines.append(_rejects(by_table["rejects"]))
    lines.append(f"model {by_table['model'][-1].model_id}" if "model" in by_table else "no model")
    if "vocabulary" in by_table:
        lines[-1] += f", vocabulary {by_table['vocabulary'][-1].vocabulary_id}"
    lines.append(_lease(lease.read(warehouse)))
    kept = (publication.describe() for publication in pointer.history(warehouse))
    lines.append(f"kept publications: {', '.join(kept)}")
    lines += _ahead(warehouse, live)
    lines += [
        f"discarded: run {found.run}, {lease.clock(found.discarded_at)}, by {found.because}"
        for found in lineage.discards(warehouse)
    ]
    return lines


def _ahead(warehouse: str, live: pointer.Live) -> list[str]:
    """Runs that the next night builds on besides what is live: committed since, in no publication."""
    line = lineage.Lineage(warehouse, LAST, live, lineage.discarded_runs(warehouse))
    runs: dict[str, list[str]] = {}
    for table in lineage.AHEAD:
        for made in line.ahead(table):
            runs.setdefault(made.run, []).append(table)
    return [
        f"ahead of it, not published, for runs after it: run {run} ({', '.join(tables)})"
        for run, tables in sorted(runs.items())
    ]


def _table(table: str, chain: list[Manifest]) -> str:
    """One line, however many runs an append table has."""
    first, last = chain[0].run, chain[-1].run
    runs = last if len(chain) == 1 else f"{first} to {last} ({len(chain)} runs)"
    rows = sum(run.rows for run in chain)
    size_bytes = sum(file.size_bytes for run in chain for file in run.files)
    return f"{table:<12} {runs:<40} {rows:>16,} {size_bytes:>20,}"


def _lease(claim: lease.Claim | None) -> str:
    if claim is None or claim.released:
        return "lease: nobody works here"
    return f"lease: {'expired and never released, of' if claim.is_free() else 'held by'} {claim.describe()}"


def _images(night: Manifest) -> str:
    counts = night.details
    if any(part not in counts for part in ("listed", *PARTS)):
        return f"images of run {night.run}: not counted in its embeddings"
    parts = " + ".join(f"{counts[part]:,} {part}" for part in PARTS)
    return f"images of run {night.run}: {counts['listed']:,} listed = {parts}"


def _rejects(chain: list[Manifest]) -> str:
    total = Counter()
    for run in chain:
        total.update(run.rejects)
    before = f"; in all {len(chain)} runs: {_codes(total)}" if len(chain) > 1 else ""
    return f"rejects of run {chain[-1].run}: {_codes(chain[-1].rejects)}{before}"


def _codes(rejects: dict[str, int]) -> str:
    return ", ".join(f"{code} {n:,}" for code, n in sorted(rejects.items())) or "none"
