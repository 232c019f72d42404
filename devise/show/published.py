"""What a publication holds, as a card tells it: tables, columns, live files, counts; reads no row, knows no Spark."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone

from devise.store import storage
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import Manifest
from devise.warehouse.status import PARTS

THREADS = 16
Column = tuple[str, str, str]
"""Name, type in SQL's words (`bigint`, `array<float>`) and meaning."""
Known = Mapping[str, tuple[str, Sequence[Column]]]
"""Table -> what is in it, and its columns."""


@dataclass(frozen=True)
class File:
    """A live file with rows; `path` is relative to the warehouse."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Table:
    """A live table: `rows` and `files` of all its live runs, oldest first."""

    name: str
    about: str
    columns: Sequence[Column]
    runs: Sequence[str]
    rows: int
    files: Sequence[File]

    @property
    def is_chain(self) -> bool:
        """Of several live runs: it may also hold rows of contents that changed or went since."""
        return len(self.runs) > 1

    @property
    def globs(self) -> list[str]:
        """Patterns below the warehouse, one a run, of its Parquet files; names with a `_` in front hold no rows."""
        return [f"{self.name}/run={run}/[!_.]*.parquet" for run in self.runs]


@dataclass(frozen=True)
class Published:
    """One publication. `counts` are `listed`, `embedded` and `rejected` of its images, empty where no night counted
    them; `model_card` is the path of the model's own card below the warehouse, None without one."""

    warehouse: str
    number: int
    run: str
    at: datetime
    counts: Mapping[str, int]
    model_id: str | None
    vocabulary_id: str | None
    code_version: str
    model_card: str | None
    tables: Sequence[Table]

    @property
    def name(self) -> str:
        """The last two parts of where the warehouse is."""
        return "/".join(self.warehouse.split("://")[1].strip("/").split("/")[-2:])

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.name == name), None)


def find(warehouse: str, known: Known) -> Published:
    """What is live. A column that its runs were written without is left out.

    Raises:
        ManifestError: nothing is published, or a run that the pointer names is gone.
    """
    root, live = storage.normalise(warehouse), pointer.published(warehouse)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda pair: manifest.read(root, *pair), live.pairs()))
    chains: dict[str, list[Manifest]] = {}
    for made in found:
        chains.setdefault(made.table, []).append(made)
    newest = {table: chain[-1] for table, chain in chains.items()}
    ids = [newest[table] for table in ("labels", "embeddings", "model", "vocabulary") if table in newest]
    return Published(
        warehouse=root,
        number=live.number,
        run=live.run,
        at=datetime.fromtimestamp(live.published_at, timezone.utc),
        counts=_counts(newest.get("embeddings")),
        model_id=next((made.model_id for made in ids if made.model_id), None),
        vocabulary_id=next((made.vocabulary_id for made in ids if made.vocabulary_id), None),
        code_version=max(found, key=lambda made: made.finished_at).code_version,
        model_card=_model_card(newest.get("metrics")),
        tables=[_table(name, chains[name], *known[name]) for name in known if name in chains],
    )


def _table(name: str, chain: Sequence[Manifest], about: str, columns: Sequence[Column]) -> Table:
    written = set.intersection(*(set(made.columns) for made in chain))
    files = [
        File(f"{name}/run={made.run}/{file.path}", file.size_bytes, file.sha256)
        for made in chain
        for file in made.files
        if file.path.endswith(".parquet") and not file.path.startswith("_")
    ]
    kept = [column for column in columns if column[0] in written]
    return Table(name, about, kept, [made.run for made in chain], sum(made.rows for made in chain), files)


def _counts(night: Manifest | None) -> dict[str, int]:
    """Of all live images: what was unchanged is embedded, what was carried is rejected."""
    told = night.details if night else {}
    if any(part not in told for part in ("listed", *PARTS)):
        return {}
    return {
        "listed": told["listed"],
        "embedded": told["embedded"] + told["unchanged"],
        "rejected": told["rejected"] + told["carried"],
    }


def _model_card(metrics: Manifest | None) -> str | None:
    names = [file.path for file in metrics.files if file.path.endswith(".md")] if metrics else []
    return f"metrics/run={metrics.run}/{names[0]}" if names else None
