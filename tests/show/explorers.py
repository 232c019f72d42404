"""Explorers of a small published warehouse, for tests: asked without a network, or over one by a browser."""

import asyncio
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import tiny_warehouse
import uvicorn
from PIL import Image
from tiny_warehouse import add_tables, publish, write_index, write_table

from devise.search.kinds import QUERY_KINDS
from devise.show.explorer.app import create_app
from devise.show.explorer.corpus import id_of
from devise.show.explorer.follow import Following
from devise.store import storage
from devise.warehouse import pointer

TOKEN = "a token of enough letters"
Pictures = dict[str, tuple[int, np.ndarray]]


def make_warehouse(folder: Path) -> tuple[str, Pictures]:
    """Images, labels, lists; and neighbours: the first two pictures of a noun are near-duplicates of each other."""
    warehouse, pictures = publish(folder)
    add_tables(warehouse, pictures, "r2")
    add_neighbours(warehouse, pictures, "r3")
    return warehouse, pictures


def add_neighbours(warehouse: str, pictures: Pictures, run: str) -> None:
    names = ("image_id", "uri", "rank", "neighbour_id", "neighbour_uri", "score", "duplicate", "group_id")
    columns: dict[str, list] = {name: [] for name in names}
    uris = list(pictures)
    for place in range(0, len(uris), 3):
        pair = uris[place : place + 2]
        group = min(pictures[uri][0] for uri in pair)
        for uri, other in (pair, pair[::-1]):
            row = (pictures[uri][0], uri, 1, pictures[other][0], other, 0.99, True, group)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    live = pointer.read(warehouse)
    write_table(warehouse, run, "neighbours", {"part-0": columns})
    pointer.swap(warehouse, [*live.pairs(), ("neighbours", run)], run, live)


def make_warehouse_of_s3(folder: Path, root: str) -> tuple[str, Pictures]:
    """As `make_warehouse`, of pictures that lie below a place on S3: a local copy, which `deliver` takes there.

    Their ids are those of their uris, and the sidecars have the etags that the server gave.
    """
    warehouse, made = publish(folder)
    pictures: Pictures = {}
    for uri, (_, embedding_D) in made.items():
        there = f"{root}/pictures/{uri.rsplit('pictures/', 1)[1]}"
        storage.put_file(storage.local_path(uri), there)
        pictures[there] = id_of(there), embedding_D
    live = pointer.read(warehouse)
    with pytest.MonkeyPatch.context() as patch:  # a sidecar has the etags of local pictures alone, or made up ones
        patch.setattr(tiny_warehouse, "storage", SimpleNamespace(**{**vars(storage), "is_local": lambda _: True}))
        write_index(warehouse, "r2", pictures, "IVF2,Flat", 2, nprobe=dict.fromkeys(QUERY_KINDS, 2))
    pointer.swap(warehouse, [(table, "r2" if table == "index" else run) for table, run in live.pairs()], "r2", live)
    add_tables(warehouse, pictures, "r3")
    add_neighbours(warehouse, pictures, "r4")
    return warehouse, pictures


def add_thumbnails(warehouse: str, pictures: Pictures, run: str) -> None:
    """A publication with thumbnails of all pictures but the last: each its own, of no pixels."""
    rows = sorted((image_id, storage.stat(uri).etag) for uri, (image_id, _) in list(pictures.items())[:-1])
    columns = {"image_id": [image_id for image_id, _ in rows], "etag": [etag for _, etag in rows]}
    columns |= {"webp": [b"RIFF %d" % image_id for image_id, _ in rows]}
    sides = {"width": [1] * len(rows), "height": [1] * len(rows)}
    small = write_table(warehouse, run, "thumbnails", {"standing-0": columns | sides})
    small = small.model_copy(update={"details": {"ranges": 1}})
    write_table(warehouse, run, "embeddings", {"part-0": {"image_id": [1]}}, secondary={"thumbnails": small})
    live = pointer.read(warehouse)
    pointer.swap(warehouse, [*live.pairs(), ("thumbnails", run)], run, live)


def deliver(warehouse: str, there: str) -> None:
    """A local warehouse as it is now to S3, its live pointer last."""
    files = [path for path in Path(warehouse).rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: ("live" in path.relative_to(warehouse).parts, path)):
        storage.put_file(path, f"{there}/{path.relative_to(warehouse)}")


def picture(colour: tuple[int, int, int] = (40, 90, 200), kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, colour).save(made, kind)
    return made.getvalue()


class Asked:
    """Asks an explorer without a network, as a client would; each time as another one unless one is named."""

    def __init__(self, app, client: str | None = None):
        self.app, self._client, self._n = app, client, 0

    def __call__(self, method: str, path: str, **told) -> httpx.Response:
        self._n += 1
        place = (self._client or f"10.1.{self._n // 250}.{self._n % 250}", 1)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=place)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
                return await client.request(method, path, **told)

        return asyncio.run(ask())

    def get(self, path: str, **params) -> httpx.Response:
        return self("GET", path, params=params)

    def search(self, q: str, **params) -> dict:
        return self.get("/api/search", q=q, **params).raise_for_status().json()


@contextmanager
def explorer(warehouse: str, every_s: float = 600.0, **settings) -> Iterator[Asked]:
    """What looks at the pointer every so often."""
    following = Following(warehouse, every_s=every_s)
    app = create_app(following, **settings)
    try:
        yield Asked(app)
    finally:
        following.close()


@contextmanager
def served(warehouse: str, every_s: float = 0.2, **settings) -> Iterator[str]:
    """The URL of an explorer that listens on this machine."""
    following = Following(warehouse, every_s=every_s)
    server = uvicorn.Server(uvicorn.Config(create_app(following, **settings), port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
