"""The house: which wing may import which, read from the source; nothing is run. A new arrow is decided here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "devise").rglob("*.py"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
ON_TOP = {
    *("errors", "values", "groups", "config", "yamlfile", "settings", "process", "telling"),
    *("cli", "beforehand", "__main__"),
}
ARROWS = {
    "store": set(),
    "warehouse": {"store"},
    "words": set(),
    "facts": set(),
    "vision": {"store"},
    "search": {"words", "facts", "warehouse", "store"},
    "learning": {"vision", "words", "facts", "search", "store"},
    "show": {"search", "words", "vision", "warehouse", "store"},
    "emr": {"facts", "warehouse", "store"},
    "spark.frame": {"warehouse", "store"},
    "spark.stages": {"spark.frame", "learning", "search", "vision", "words", "facts", "show", "warehouse", "store"},
    "sample": {"jobs", "facts", "spark.frame", "show", "words", "warehouse", "store"},
    "jobs": {"facts", "spark.frame", "spark.stages"},
    "quickstart": {
        *("facts", "jobs", "spark.frame", "show", "learning", "search", "vision", "words", "warehouse", "store", "emr"),
    },
}
"""Wing -> the wings it imports; errors, config, groups and values are everyone's."""
STAGE_ARROWS = {
    "accounting": {"slices"},
    "delta": {"fill"},
    "doctor": {"executors"},
    "embed": {"accounting", "engines", "outcomes", "slices"},
    "evaluate": {"judged", "labelled", "recall"},
    "finetune": {"fit"},
    "fit": {"labelled"},
    "index": {"delta", "fill", "recall"},
    "floors": {"wordimages"},
    "report": {"gathered", "sampled", "sheets"},
    "sheets": {"search"},
    "label": {"floors", "wordimages"},
    "labelled": {"catalog"},
    "nearest": {"search"},
    "listed": {"search"},
    "neighbours": {"fill", "groups", "nearest", "search"},
    "pages": {"evaluate", "vocabulary"},
    "plan": {"accounting"},
    "recall": {"search"},
    "ridge": {"labelled"},
    "search": {"embed"},
    "slices": {"outcomes"},
    "train": {"engines", "finetune", "fit", "labelled", "ridge"},
}
"""Stage -> the stages whose parts it uses; the others use none."""
HEAVY = {
    "torch": {"vision", "learning", "search/zeroshot", "search/ranking", "search/reaching"},
    "torchvision": {"vision", "learning"},
    "simplejpeg": {"vision/jpeg"},
    "faiss": {"search/template", "search/filling", "search/index", "search/rows"},
    "altair": {"show/nightly/figures"},
    "vl_convert": {"show/nightly/figures"},
    "openTSNE": {"learning/places"},
    "sklearn": {"learning/places"},
    "scipy": {"learning/drift", "facts/make_vectors"},
    "fasttext": {"words/wordvectors", "sample/make_vectors"},
    "boto3": {"store/s3", "emr/account"},
    "botocore": {"store/s3", "store/fetch", "emr/account"},
    "pycurl": {"store/lane"},
    "fastapi": {"show/explorer"},
    "uvicorn": {"show/explorer"},
    "pyspark": {"spark", "jobs"},
}
"""Heavy libraries, and the wings or modules that may import them."""


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a module imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def wing_of(name: str) -> str:
    """The wing of a dotted name below devise; a module on top is its own."""
    parts = name.split(".")[1:]
    if parts[:1] == ["spark"]:
        return ".".join(parts[:2])
    return parts[0] if parts else ""


def dotted(path: Path) -> str:
    if path.parent == ROOT / "jobs":
        return f"devise.jobs.{path.stem}"
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def arrows(wing: str) -> set[str]:
    """The other wings that a wing's modules import."""
    modules = [path for path in MODULES + JOBS if wing_of(dotted(path)) == wing]
    assert modules, f"no module is in {wing}"
    names = {name for path in modules for name in imported(path) if name.startswith("devise.")}
    known = ON_TOP | ARROWS.keys()
    return {wing_of(name) for name in names if wing_of(name) in known} - {wing}


@pytest.mark.parametrize("wing", ARROWS)
def test_a_wing_imports_the_wings_that_are_listed_and_no_other(wing):
    assert arrows(wing) - {"errors", "config", "groups", "values"} == ARROWS[wing] | (
        {
            "spark.frame": {"settings", "process", "telling"},
            "emr": {"settings", "process", "yamlfile"},
            "show": {"settings"},
            "quickstart": {"settings", "process", "telling"},
        }.get(wing, set())
    )


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", set()),
        ("values", set()),
        ("groups", {"values"}),
        ("config", {"values", "groups"}),
        ("yamlfile", {"errors"}),
        ("process", {"errors"}),
        ("settings", {"errors", "values", "groups", "config", "yamlfile"}),
    ],
)
def test_what_everyone_uses_knows_no_wing(module, allowed):
    assert arrows(module) == allowed


def test_the_arrows_make_no_circle():
    left = {wing: set(allowed) for wing, allowed in ARROWS.items()}
    while left:
        ends = {wing for wing, allowed in left.items() if not allowed & left.keys()}
        assert ends, f"a circle among {sorted(left)}"
        left = {wing: allowed for wing, allowed in left.items() if wing not in ends}


def test_every_module_is_in_a_wing_or_on_top():
    for path in MODULES:
        name = dotted(path)
        assert name in ("devise", "devise.spark") or wing_of(name) in ON_TOP | ARROWS.keys(), path


STAGES = sorted((ROOT / "devise/spark/stages").glob("*.py"))


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_stage_uses_the_stages_that_are_listed_and_no_other(path):
    prefix = "devise.spark.stages."
    names = {name.removeprefix(prefix).split(".")[0] for name in imported(path) if name.startswith(prefix)}
    assert names & {stage.stem for stage in STAGES} == STAGE_ARROWS.get(path.stem, set())


@pytest.mark.parametrize("path", MODULES + JOBS, ids=dotted)
def test_heavy_libraries_are_imported_where_they_belong(path):
    place = dotted(path).removeprefix("devise.").replace(".", "/")
    for name in imported(path):
        library = name.split(".")[0]
        allowed = HEAVY.get(library, {place})
        assert any(place == home or place.startswith(f"{home}/") for home in allowed), f"{path} imports {library}"


@pytest.mark.parametrize("path", [*STAGES, *sorted((ROOT / "devise/spark/frame").glob("*.py"))], ids=dotted)
def test_the_driver_loads_nothing_heavy_to_plan_a_job(path):
    assert not {
        name for name in imported(path, top_level_only=True) if name.split(".")[0] in HEAVY.keys() - {"pyspark"}
    }


@pytest.mark.parametrize("module", ["cli", "sample/demo"])
def test_spark_and_jobs_are_loaded_only_once_a_command_needs_them(module):
    names = imported(ROOT / f"devise/{module}.py", top_level_only=True)
    assert not {name for name in names if name.startswith(("pyspark", "devise.spark", "devise.jobs"))}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_is_thin(path):
    assert len(path.read_text().splitlines()) <= 40
    if path.stem not in ("run_nightly", "__init__"):
        first = {"embed_images": {"devise.jobs", "devise.jobs.plan_images"}}.get(path.stem, set())
        assert {name for name in imported(path) if name.startswith("devise.jobs")} == first


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_fits_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 300


def test_the_house_on_its_page_is_what_the_wings_say_of_themselves():
    page = (ROOT / "docs/house.md").read_text()
    for place in (*sorted({wing.replace(".", "/") for wing in ARROWS} - {"jobs"}), "spark"):
        what_for, empty, must_not, start = ast.get_docstring(
            ast.parse((ROOT / f"devise/{place}/__init__.py").read_text())
        ).split("\n")
        assert (empty, must_not[:12], start[:10]) == ("", "It must not ", "Start with")
        assert f"| `{place}/` | {what_for} | {must_not} | {start} |" in page, f"{place}: docs/house.md"
