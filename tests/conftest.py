"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photographs, weights, vectors and taxonomy; a test that needs it is skipped without it."""
    folder = Path(os.environ.get("DEVISE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder} (set DEVISE_DATA)")
    return folder
