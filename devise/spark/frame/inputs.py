"""Which committed runs and outside files a job reads; knows no job but by the table of who makes what."""

import hashlib
from collections.abc import Collection, Mapping

from devise.errors import ManifestError, StorageError
from devise.store import storage
from devise.warehouse import manifest
from devise.warehouse.lineage import Lineage
from devise.warehouse.manifest import Manifest

MAKERS = {
    "images": "catalog_images",
    "plan": "embed_images",
    "vocabulary": "build_vocabulary",
    "model": "train_model",
    "embeddings": "embed_images",
    "rejects": "embed_images",
    "thumbnails": "embed_images",
    "labels": "label_images",
    "word_images": "label_images",
    "index": "build_index",
    "neighbours": "find_neighbours",
    "results": "search_images",
    "label_metrics": "evaluate_model",
    "metrics": "evaluate_model",
    "label_counts": "report_run",
    "map_images": "report_run",
    "reports": "report_run",
}
HOW = {
    "this": "this run's, required",
    "any": "this run's, if there is one",
    "newest": "this run's, else the newest that it builds on; required",
    "before": "what this run builds on, oldest first",
    "chain": "this run's and those it was made beside; required: nothing is made of a night that embedded none",
    "through": "what this run builds on and its own, if there is one",
    "previous": "the newest that this run builds on, if there is one; saves work and decides nothing",
    "cache": "all earlier ones that were not discarded; saves work and decides nothing",
}
"""How a job may read a table; what a run builds on is `warehouse.lineage`."""
SAVES_WORK = ("previous", "cache")
REQUIRED = ("this", "newest", "chain")


def resolve(job: str, reads: Mapping[str, str], lineage: Lineage) -> dict[str, list[Manifest]]:
    """Table -> the committed runs that a job reads of it, oldest first.

    Args:
        reads: table -> one of HOW.

    Raises:
        ManifestError: a required one is missing, or is of another model than the one that is read.
        GateError: this run's own was built on another publication, or made from a discarded run.
    """
    found = {table: _resolve(job, table, how, lineage) for table, how in reads.items()}
    for table in ("embeddings", "rejects", "thumbnails"):
        if table in found and found.get("model"):  # vectors of another model are never mixed in
            model_id = found["model"][-1].model_id
            if reads[table] == "chain" and found[table][-1].model_id != model_id:
                where = manifest.folder(lineage.warehouse, table, lineage.run)
                raise ManifestError(f"{where}: of model {found[table][-1].model_id}, wanted {model_id}")
            found[table] = [made for made in found[table] if made.model_id == model_id]
    return found


def _resolve(job: str, table: str, how: str, lineage: Lineage) -> list[Manifest]:
    if how == "cache":
        return lineage.cached(table)
    if how in ("before", "previous"):
        before = lineage.before(table)
        return before if how == "before" else before[-1:]
    if how == "newest":
        this = lineage.newest(table)
    elif how == "chain" and (chain := lineage.chain(table)):
        return chain
    elif how in HOW:
        this = lineage.this(table)
    else:
        raise ValueError(f"{job}: found {how!r} for {table}, wanted one of {list(HOW)}")
    if this is None and how in REQUIRED:
        where = manifest.folder(lineage.warehouse, table, lineage.run)
        raise ManifestError(f"{where}: {job} needs {table} and found no committed run; {MAKERS[table]} makes it")
    own = [this] if this else []
    return [*lineage.before(table), *own] if how == "through" and not (this and this.base) else own


def refuse_missing(job: str, reads: Mapping[str, str], lineage: Lineage, promised: Collection[str]) -> None:
    """`ManifestError` if a required run is neither there nor promised: asked before a command's first job.

    Args:
        promised: tables that jobs before this one will make.
    """
    for table, how in reads.items():
        if how in REQUIRED and table not in promised:
            _resolve(job, table, "newest" if how == "newest" else "this", lineage)


def fingerprint(uri: str) -> str:
    """A text that changes when the file, or anything in the folder, changes; `StorageError` if nothing is there."""
    if uri.startswith("shipped:"):
        return uri
    uri = storage.normalise(uri)
    found = storage.stat(uri)
    if found is not None and not (storage.is_local(uri) and storage.local_path(uri).is_dir()):
        return found.etag
    total = count = 0
    for file in storage.list_files(uri):
        total += int.from_bytes(
            hashlib.sha256(f"{file.uri} {file.etag}".encode(errors="surrogateescape")).digest(), "big"
        )
        count += 1
    if not count:
        raise StorageError(f"{uri}: no such file, and no folder with files in it")
    return f"{count} files {total % 2**256:064x}"
