"""A small published warehouse and an explorer of it, and a browser, once a file of tests."""

import os
import shutil

import pytest
from explorers import explorer, make_warehouse
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The warehouse, and of each picture's uri the id and embedding."""
    return make_warehouse(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def asked(made):
    with explorer(made[0]) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    path = next(filter(None, map(shutil.which, filter(None, names))), None)
    if path is None:
        pytest.skip("NO CHROMIUM: the explorer's page is not looked at (put one on the PATH, or set CHROMIUM)")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()
