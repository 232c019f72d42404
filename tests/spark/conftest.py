"""One Spark for all tests of stages: real workers, two at a time, and a real S3 server to read and write."""

import os
import sys

import pytest

from devise.store import s3


@pytest.fixture(scope="session")
def started(request):
    """A Spark session, and the S3 server that it reaches, or the reason why there is none."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["DEVISE_MASTER"] = "local[2]"
    from devise.spark.frame.session import start_session

    try:
        server = request.getfixturevalue("s3_server")
        session = start_session("tests", tables_on_s3=True)
    except pytest.skip.Exception as reason:
        server, session = str(reason), start_session("tests")
    except RuntimeError as error:  # Spark did not start: its connector could not be fetched
        if os.environ.get("DEVISE_REQUIRE_S3"):
            raise
        server, session = f"NO S3 CONNECTOR: {error}", start_session("tests")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session, server
    session.stop()


@pytest.fixture(scope="session")
def spark(started):
    return started[0]


@pytest.fixture(scope="module")
def one_session(spark):
    """Command lines run on the tests' Spark, which they must not stop."""
    from devise.spark.frame import command

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "start_session", lambda *_: spark)
        patch.setattr(spark, "stop", lambda: None)
        yield


@pytest.fixture(autouse=True)
def same_store(started, monkeypatch):
    """A job run in this process says for good how its store is reached: each test begins with the tests' own server."""
    monkeypatch.setenv(s3.VARIABLE, os.environ.get(s3.VARIABLE, "{}"))


@pytest.fixture(scope="module", params=["file", "s3"])
def root(request, tmp_path_factory, started):
    """A fresh place for a corpus and a warehouse, as a URI: a folder, and then a bucket."""
    folder = tmp_path_factory.mktemp("root")
    if request.param == "file":
        return f"file://{folder}"
    if isinstance(started[1], str):
        pytest.skip(started[1])
    return started[1].make_bucket(folder.name)


FAULTS = pytest.StashKey[list]()
"""What each fault's test found, as rows of four."""


@pytest.fixture
def row(request):
    """Record a fault, what happened, what became of the rerun, and how many images were lost, for the last table."""

    def record(fault, happened, rerun, lost):
        assert lost == 0
        request.config.stash.setdefault(FAULTS, []).append((fault, happened, rerun, str(lost)))

    return record


def pytest_terminal_summary(terminalreporter, config):
    if not (found := config.stash.get(FAULTS, [])):
        return
    table = [("fault", "what happened", "rerun", "lost"), *found]
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    terminalreporter.section("faults", "=")
    for number, line in enumerate(table):
        terminalreporter.write_line(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
        if number == 0:
            terminalreporter.write_line("-|-".join("-" * width for width in widths))
