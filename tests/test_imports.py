"""The direction of imports, read from the source: nothing is run."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "devise").glob("*.py")) + sorted((ROOT / "devise/sample").rglob("*.py"))
SPARK = sorted((ROOT / "devise/spark").glob("*.py"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
HEAVY = {
    "torch": {"model", "networks", "graph", "losses", "train", "fitting", "embed", "images", "zeroshot"},
    "torchvision": {"model", "networks", "graph", "images", "train", "embed"},
    "faiss": {"index"},
    "fasttext": {"wordvectors", "make_vectors"},
    "boto3": {"s3"},
    "botocore": {"s3"},
}
"""Heavy libraries and the core modules that may import them."""


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a module imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_imports_neither_spark_nor_jobs(path):
    # The command line and the demo start jobs, lazily; no other core module knows them.
    names = imported(path, top_level_only=path.stem in ("cli", "demo"))
    assert not {
        name for name in names if name.split(".")[0] == "pyspark" or name.startswith(("devise.spark", "devise.jobs"))
    }


@pytest.mark.parametrize("path", CORE + SPARK + JOBS, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_heavy_libraries_are_imported_where_they_belong(path):
    for name in imported(path):
        library = name.split(".")[0]
        if library in HEAVY:
            assert path.stem in HEAVY[library], f"{path} imports {library}"


@pytest.mark.parametrize("path", SPARK, ids=lambda path: path.stem)
def test_stages_load_nothing_heavy_on_the_driver_and_know_no_jobs(path):
    names = imported(path, top_level_only=True)
    assert not {name for name in names if name.split(".")[0] in HEAVY}
    assert not {name for name in imported(path) if name.startswith("devise.jobs")}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_is_thin(path):
    assert len(path.read_text().splitlines()) <= 40
    if path.stem not in ("run_nightly", "__init__"):
        assert not {name for name in imported(path) if name.startswith("devise.jobs")}


@pytest.mark.parametrize("path", CORE + SPARK, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_module_fits_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 300
