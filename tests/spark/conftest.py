"""One Spark for all tests of stages: real workers, two at a time."""

import os
import sys

import pytest


@pytest.fixture(scope="session")
def spark():
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["DEVISE_MASTER"] = "local[2]"
    from devise.spark.session import start_session

    session = start_session("tests")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()
