"""A network that is away for a while costs time and nothing else, whatever is asked of the store."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from faultproxy import FaultProxy

from devise.errors import AlreadyExists, StorageError
from devise.groups import S3Config
from devise.store import patience, s3, storage

THREADS = 24
"""So many that botocore's own budget of tries is spent within a second or two."""


@pytest.fixture
def proxy(s3_server, monkeypatch):
    with FaultProxy(s3_server.port) as running:
        settings = S3Config(endpoint=running.endpoint, path_style=True, region="us-east-1")
        monkeypatch.setenv(s3.VARIABLE, settings.model_dump_json(exclude_defaults=True))
        yield running


def ask_all(root, file):
    """All at once: objects created, written, delivered, read, looked at, listed, removed; and what exists already."""
    together = threading.Barrier(THREADS)

    def ask(number):
        uri = f"{root}/{number:02d}"
        together.wait()
        storage.create(f"{uri}/created", uri.encode())
        storage.write_bytes(f"{uri}/written", uri.encode())
        storage.put_file(file, f"{uri}/delivered")
        assert storage.read_bytes(f"{uri}/created") == uri.encode()
        assert storage.stat(f"{uri}/written").size_bytes == len(uri)
        assert len(list(storage.list_files(uri))) == 3
        storage.delete(f"{uri}/written")
        try:
            storage.create(f"{uri}/created", b"another's")
        except AlreadyExists:
            return number

    with ThreadPoolExecutor(THREADS) as pool:
        return sorted(pool.map(ask, range(THREADS)))


def test_every_request_outlasts_a_network_that_is_away(proxy, s3_server, tmp_path):
    root = s3_server.make_bucket("outage")
    (tmp_path / "file").write_bytes(b"0" * 1000)
    storage.write_bytes(f"{root}/first", b"")  # the connections stand
    cut = proxy.cut(6)
    assert ask_all(root, tmp_path / "file") == list(range(THREADS))
    assert cut.fired > THREADS
    assert len(list(storage.list_files(root))) == 1 + 2 * THREADS


def test_what_was_done_and_not_heard_of_is_no_other_s(proxy, s3_server):
    root = s3_server.make_bucket("unheard")
    proxy.lose_answer("unheard/record", times=9)  # one more than botocore tries by itself
    storage.create(f"{root}/record", b"mine")
    with pytest.raises(AlreadyExists):
        storage.create(f"{root}/record", b"another's")


def test_an_outage_that_lasts_is_one_line(proxy, s3_server, monkeypatch):
    root = s3_server.make_bucket("lasting")
    monkeypatch.setattr(patience, "_now", patience.OF_A_JOB._replace(outage_s=1))
    proxy.cut(60)
    with pytest.raises(StorageError, match="s3://lasting/x: ConnectionClosedError"):
        storage.write_bytes(f"{root}/x", b"")
