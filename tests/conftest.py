"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same every time", derandomize=True, database=None, deadline=None)
settings.load_profile("same every time")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photographs, weights, vectors and taxonomy; a test that needs it is skipped without it."""
    folder = Path(os.environ.get("DEVISE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder} (set DEVISE_DATA)")
    return folder


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path) -> str:
    """A fresh place as a URI: a folder, and then a bucket of the S3 server."""
    if request.param == "file":
        return f"file://{tmp_path}"
    return request.getfixturevalue("s3_server").make_bucket(f"store-{abs(hash(tmp_path)):x}")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A real S3 server, reached by this process and all it starts; without its jars the tests that want it are skipped.

    With DEVISE_REQUIRE_S3 set, as .ci/run does, they fail instead.
    """
    from s3server import NoServer, S3Server

    from devise.groups import S3Config
    from devise.store import s3

    try:
        server = S3Server(tmp_path_factory.mktemp("s3")).__enter__()
    except NoServer as error:
        if os.environ.get("DEVISE_REQUIRE_S3"):
            raise
        pytest.skip(f"NO S3 SERVER: {error}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv(s3.VARIABLE, "{}")
        s3.configure(S3Config(endpoint=server.endpoint, path_style=True, region="us-east-1"))
        yield server
    server.__exit__()


def pytest_make_parametrize_id(val, argname):
    """Contents are called by their place: what is packed anew has another second in it, and a worker its own names."""
    return argname if isinstance(val, bytes) else None
