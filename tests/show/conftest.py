"""A small published warehouse and an explorer of it, once a file of tests."""

import pytest
from explorers import explorer, make_warehouse


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The warehouse, and of each picture's uri the id and embedding."""
    return make_warehouse(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def asked(made):
    with explorer(made[0]) as found:
        yield found
