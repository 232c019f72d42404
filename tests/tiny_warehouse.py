"""A published warehouse of a dozen pictures, made without Spark: vocabulary, model, and an index of two shards."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from devise.search import mapped, shards
from devise.search.filling import fill_shard, write_shard
from devise.search.kinds import QUERY_KINDS, choose_kind
from devise.search.template import is_exact, read_template, train_template, write_template
from devise.store import scratch, storage
from devise.vision import model
from devise.vision.images import Preprocessing
from devise.vision.networks import build_core
from devise.vision.projections import convex_projection
from devise.warehouse import manifest, pointer
from devise.warehouse.manifest import File, Manifest
from devise.words import vocabulary
from devise.words.vocabulary import Vocabulary

DIM = 8
NOUNS = ["lion", "tulip", "castle", "ferry", "sea lion"]
COLOURS = {"lion": (200, 160, 60), "tulip": (220, 40, 60), "castle": (120, 120, 125), "ferry": (40, 90, 200)}
RUN = "r1"


def unit(array):
    return (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)


def make_vocabulary(labels=NOUNS, synsets=None, vectors=None, seen=("lion", "tulip")):
    """Labels at right angles to each other, unless their vectors are given."""
    vectors = np.eye(len(labels), DIM, dtype=np.float32) if vectors is None else vectors
    return Vocabulary(
        np.arange(len(labels), dtype=np.int32),
        list(labels),
        list(synsets or [None] * len(labels)),
        [["king of beasts"] if label == "lion" else [] for label in labels],
        vectors,
        np.array([label in seen for label in labels]),
        ["exact"] * len(labels),
    )


def publish(folder: Path) -> tuple[str, dict[str, tuple[int, np.ndarray]]]:
    """The warehouse, and of each picture's uri the id and embedding: three a noun, ever further from its word."""
    warehouse, words = str(folder / "warehouse"), make_vocabulary()
    rng = np.random.default_rng(0)
    pictures: dict[str, tuple[int, np.ndarray]] = {}
    for row, noun in enumerate(COLOURS):
        for number in range(3):
            path = folder / "pictures" / noun / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), COLOURS[noun]).save(path)
            embedding_D = unit(words.vectors[row] + (0.1 + 0.2 * number) * rng.normal(size=DIM))
            image_id = 2 ** (63 - len(pictures) % 2) - 1 - len(pictures)  # every other one in the upper half
            pictures[storage.normalise(str(path))] = (image_id, embedding_D)
    made = [_vocabulary(warehouse, words), _model(warehouse, words), _index(warehouse, pictures)]
    pointer.swap(warehouse, [(found.table, RUN) for found in made], RUN, None)
    return warehouse, pictures


def commit_vocabulary_and_model(warehouse: str) -> None:
    """What a night starts from; the model was never trained."""
    _vocabulary(warehouse, make_vocabulary())
    _model(warehouse, make_vocabulary())


def _vocabulary(warehouse: str, words: Vocabulary) -> Manifest:
    place = _folder(warehouse, "vocabulary")
    rows = vocabulary.to_arrow(words)
    pq.write_table(rows, place / "part-0.parquet")
    return _commit(warehouse, "vocabulary", {"part-0.parquet": len(words.labels)}, columns=rows.column_names, dim=DIM)


def _model(warehouse: str, words: Vocabulary) -> Manifest:
    place = _folder(warehouse, "model")
    torch.manual_seed(0)
    core = build_core("small_cnn", n_classes=4)
    projection = convex_projection(core.classifier, words.vectors[:4], 1.0, 4)
    told = {"seen": words.labels[:4], "class_synsets": words.synsets[:4]}
    model.save(model.DeviseModel(core, projection, Preprocessing(32, 32), **told), place / "attempt")
    names = {f"attempt/{path.name}": -1 for path in sorted((place / "attempt").iterdir())}
    return _commit(warehouse, "model", names, rejects={"truncated": 2})


def _index(warehouse: str, pictures: dict[str, tuple[int, np.ndarray]]) -> Manifest:
    nprobe = {"image": 1, "word": 2, "words": 2, "differences": 2}
    return write_index(warehouse, RUN, pictures, "IVF2,Flat", 2, nprobe=nprobe)


def write_index(
    warehouse: str, run: str, pictures: dict[str, tuple[int, np.ndarray]], factory: str, n_shards: int, base=None,
    hides=(), **details,
) -> Manifest:  # fmt: skip
    """Commit a run of an index of these pictures.

    Args:
        base: run id of the base that it is made from; None makes one. hides: ids whose rows in older runs it hides.
    """
    place = _folder(warehouse, "index", run)
    image_id_N = np.array([image_id for image_id, _ in pictures.values()], np.int64)
    embedding_ND = np.array([embedding_D for _, embedding_D in pictures.values()], np.float32)
    if base is None:
        kind = choose_kind(len(image_id_N), embedding_ND.shape[1], 2**30, factory)
        template, names = train_template(embedding_ND, kind, seed=0), {"template-0.faiss": -1}
        write_template(template, place / "template-0.faiss")
    else:
        template, names = read_template(place.with_name(f"run={base}") / "template-0.faiss"), {}
    for number in range(n_shards):
        part = shards.number_of_ids(image_id_N, n_shards) == number
        if not part.any():
            continue
        name = f"shard-{number:05d}-0"
        order = np.argsort(image_id_N[part])
        rows = image_id_N[part][order], embedding_ND[part][order]
        shard = fill_shard(template, [rows])
        write_shard(shard, place / f"{name}.faiss")
        uris = [uri for uri, kept in zip(pictures, part, strict=True) if kept]
        write_sidecar(place / f"{name}.arrow", image_id_N[part], uris)
        names |= {f"{name}.faiss": int(part.sum()), f"{name}.arrow": -1}
        if not is_exact(shard):
            list(mapped.write_through([rows], place / f"{name}.i16"))
            names |= {f"{name}.i16": -1}
    if len(hides):
        name = shards.tombstones_name(0, 1, "0")
        pq.write_table(pa.table({"image_id": np.sort(np.array(hides, np.int64))}), place / name)
        names |= {name: -1}
    told = {"nprobe": dict.fromkeys(QUERY_KINDS, 1), "tuning": {}, "kind": factory} | details
    told |= {"dim": embedding_ND.shape[1], "n_shards": n_shards, "layout": shards.LAYOUT}
    return _commit(warehouse, "index", names, run, base=base is None, **told)


def write_sidecar(path: Path, image_id_N: np.ndarray, uris: list[str], group_rows: int | None = None) -> Path:
    """A shard's sidecar of these rows, sorted, in groups of so many."""
    order = np.argsort(image_id_N)
    stats = [storage.stat(uri) if storage.is_local(uri) else None for uri in uris]
    etags = [found.etag if found else "1" for found in stats]
    columns = [image_id_N[order], [uris[row] for row in order], [etags[row] for row in order]]
    with pa.ipc.new_file(path, mapped.SCHEMA) as file:
        file.write_table(pa.table(columns, schema=mapped.SCHEMA), group_rows)
    return path


def add_night(warehouse: str, run: str, bases: tuple[str, ...] = ()) -> None:
    """A published night on top of what is live: one more picture embedded, one more rejected, labels of all.

    Args:
        bases: append tables of which this run holds all that is live, so that the pointer names no earlier run.
    """
    live = pointer.read(warehouse)
    chains = {table: [] if table in bases else live.runs(table) for table in ("embeddings", "rejects")}
    before = len(pointer.history(warehouse)) - 1
    counts = {"listed": 2 * before + 2, "embedded": 1, "rejected": 1, "unchanged": before, "carried": before}
    images = _table(warehouse, run, "images", 2 * before + 2, parent=live.number)
    read = [images, *(manifest.read(warehouse, table, live.runs(table)[-1]) for table in ("vocabulary", "model"))]
    read += [manifest.read(warehouse, table, name) for table, names in chains.items() for name in names]
    inputs = {table: [found.identity() for found in read if found.table == table] for table in TABLES}
    inputs["words.vec"] = ["an-outside-file's-tag"]
    more = {"parent": live.number, "inputs": inputs, **counts}
    rejects = _table(warehouse, run, "rejects", 1, rejects={"truncated": 1}, base="rejects" in bases, **more)
    _table(warehouse, run, "embeddings", 1, base="embeddings" in bases, secondary={"rejects": rejects}, **more)
    _table(warehouse, run, "labels", before + 1, inputs=inputs, parent=live.number)
    kept = [(table, name) for table in ("vocabulary", "model", "index") for name in live.runs(table)]
    kept += [(table, name) for table, names in chains.items() for name in [*names, run]]
    pointer.swap(warehouse, [*kept, ("images", run), ("labels", run)], run, live)


LISTED = 8
"""Pictures of a list: fewer than there are."""
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def add_tables(warehouse: str, pictures: dict[str, tuple[int, np.ndarray]], run: str, deny: str = "none") -> None:
    """A publication with images, labels and lists of these pictures on top of what is live, as a night's last steps do.

    The pictures came a day apart, in order. Each has all labels, best first, and the first as its answer if it has a
    cosine above 0.9. A list is of LISTED pictures, by a relevance that turns the order of cosines around every four.
    Of `sea lion` there is no list; nor of a label that is denied.
    """
    live, words = pointer.read(warehouse), make_vocabulary()
    by_id = sorted((image_id, uri, embedding_D) for uri, (image_id, embedding_D) in pictures.items())
    came = {uri: BEGAN + timedelta(days=day) for day, uri in enumerate(pictures)}
    days = pa.array([came[uri] for _, uri, _ in by_id], pa.timestamp("us", "UTC"))
    ids, uris = [image_id for image_id, _, _ in by_id], [uri for _, uri, _ in by_id]
    listed = {"image_id": ids, "uri": uris, "size_bytes": [100] * len(ids), "modified_at": days}
    write_table(warehouse, run, "images", {"part-0": listed})
    labels: dict[str, list] = {name: [] for name in ("image_id", "uri", "rank", "label", "score", "answer")}
    for image_id, uri, embedding_D in by_id:
        cosine_V = words.vectors @ embedding_D
        for rank, row in enumerate(np.argsort(-cosine_V, kind="stable").tolist(), start=1):
            sure = words.labels[row] if rank == 1 and cosine_V[row] > 0.9 else None
            told = image_id, uri, rank, words.labels[row], float(cosine_V[row]), sure
            for column, value in zip(labels.values(), told, strict=True):
                column.append(value)
    lists: dict[str, list] = {name: [] for name in ("label", "rank", "image_id", "uri", "score")}
    for row, label in sorted(enumerate(words.labels[:4]), key=lambda pair: pair[1]):
        best = sorted(
            ((float(words.vectors[row] @ found), image_id, uri) for image_id, uri, found in by_id), reverse=True
        )
        turned = [best[place ^ 3] for place in range(LISTED)]
        for rank, (score, image_id, uri) in enumerate(turned, start=1):
            for column, value in zip(lists.values(), (label, rank, image_id, uri, score), strict=True):
                column.append(value)
    parts = {f"part-{n}": {name: column[n * 16 : n * 16 + 16] for name, column in lists.items()} for n in range(2)}
    found = write_table(warehouse, run, "word_images", parts | {"_reserve-0": {"label": ["sea lion"]}})
    of = {"config": {"deny": deny}, "secondary": {"word_images": found}}
    write_table(warehouse, run, "labels", {"part-0": labels}, **of)
    made = ("images", "labels", "word_images")
    kept = [(table, name) for table, name in live.pairs() if table not in made]
    pointer.swap(warehouse, [*kept, *((table, run) for table in made)], run, live)


def write_table(warehouse: str, run: str, table: str, parts: dict[str, dict], **more) -> Manifest:
    """Commit a run of a table with these files and columns."""
    place = _folder(warehouse, table, run)
    for name, columns in parts.items():
        pq.write_table(pa.table(columns), place / f"{name}.parquet", row_group_size=8)
    names = {f"{name}.parquet": len(next(iter(columns.values()))) for name, columns in parts.items()}
    return _commit(warehouse, table, names, run, columns=list(next(iter(parts.values()))), **more)


def add_page(
    warehouse: str, pictures: dict[str, tuple[int, np.ndarray]], run: str, page: str = "<title>a night</title>"
) -> None:
    """What report_run commits, beside what is live under this run: a page, and the pictures on a map."""
    ids = [image_id for image_id, _ in pictures.values()]
    columns = {"image_id": ids, "uri": list(pictures), "label": [NOUNS[0]] * len(ids), "place": [0] * len(ids)}
    columns |= {"x": [float(n) for n in range(len(ids))], "y": [0.0] * len(ids)}
    columns |= {"etag": [storage.stat(uri).etag for uri in pictures]}
    mapped = write_table(warehouse, run, "map_images", {"part-0": columns})
    (_folder(warehouse, "reports", run) / "_nightly-page-0.html").write_text(page)
    _commit(warehouse, "reports", {"_nightly-page-0.html": -1}, run, secondary={"map_images": mapped})


TABLES = ("images", "vocabulary", "model", "embeddings", "rejects")


def _table(warehouse: str, run: str, table: str, rows: int, **more) -> Manifest:
    place = _folder(warehouse, table, run)
    pq.write_table(pa.table({"image_id": np.arange(rows)}), place / "part-0.parquet")
    (place / "_SUCCESS").touch()
    return _commit(warehouse, table, {"part-0.parquet": rows}, run, **more)


def _folder(warehouse: str, table: str, run: str = RUN) -> Path:
    place = storage.local_path(manifest.folder(warehouse, table, run))
    place.mkdir(parents=True)
    return place


def _commit(
    warehouse: str, table: str, names: dict[str, int], run=RUN, parent=0, rejects=None, inputs=None, base=False,
    secondary=None, columns=(), config=None, **details,
) -> Manifest:  # fmt: skip
    """Commit the files of a run; of a secondary table only make the record, for the manifest that commits it."""
    place = storage.local_path(manifest.folder(warehouse, table, run))
    files = [
        File(path=name, size_bytes=(place / name).stat().st_size, sha256=scratch.hash_file(place / name), rows=rows)
        for name, rows in sorted(names.items())
    ]
    committed = Manifest(
        table=table, run=run, parent=parent, rows=sum(rows for rows in names.values() if rows > 0),
        columns=list(columns), files=files, rejects=rejects or {}, inputs=inputs or {}, inputs_hash="i",
        config=config or {}, config_hash="c", model_id="m" * 16, vocabulary_id="v" * 16, base=base, code_version="0",
        started_at=0, finished_at=1, details=details, secondary=secondary or {},
    )  # fmt: skip
    if table not in manifest.COMMITTED_BY:
        manifest.write(warehouse, committed)
    return committed
