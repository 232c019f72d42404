"""Bad input at a job's command line: a broken promise is one line and exit code 2, a bad image is one reject row.

Nothing is lost and nothing is half published: a job that fails leaves no manifest and no pointer, and the next start
finishes its work.
"""

import functools
import http.server
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from py4j.protocol import Py4JJavaError
from pyspark.errors import PythonException

from devise import cli, config, errors
from devise.config import CatalogConfig, EmbedConfig
from devise.errors import DeviceError, ModelError
from devise.jobs import embed_images
from devise.sample.book import draw
from devise.sample.broken import write_broken, write_odd
from devise.search.searcher import Searcher
from devise.spark.frame import command, faults, job, schemas, tables
from devise.spark.stages import catalog
from devise.spark.stages.accounting import judge_images
from devise.store import s3, storage
from devise.warehouse import lease, manifest, pointer

NOUNS = ("lion", "tulip", "castle", "ferry")
DIM = 8
ODD_NAMES = (
    "plain.jpg", "a b.jpg", " née Vögel = 鳥 .jpg", "100%41.jpg", "no#1.jpg", "what?.jpg", "{a,b}.jpg", "star*.jpg",
    "[x].jpg", "k=v/run=r9/y.jpg", "it's \"so\";.jpg", "c:\\d.jpg", "a + b&c.jpg", "🦢.png",
)  # fmt: skip


def write_vectors(path, dim=DIM, words=NOUNS, **altered):
    """A .vec file of seeded vectors; `altered`: word -> the text of its numbers."""
    rng = np.random.default_rng(5)
    rows = {word: " ".join(f"{value:.4f}" for value in rng.normal(size=dim)) for word in words} | altered
    path.write_text("\n".join([f"{len(rows)} {dim}", *(f"{word} {numbers}" for word, numbers in rows.items())]) + "\n")
    return str(path)


pytestmark = pytest.mark.usefixtures("one_session")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Pictures in class folders, those of the first class with odd names."""
    folder = tmp_path_factory.mktemp("corpus") / "pictures = ü {1}"
    for noun in NOUNS:
        for number, name in enumerate(ODD_NAMES if noun == "lion" else ("0.jpg", "1.jpg", "2.jpg")):
            (folder / noun / name).parent.mkdir(parents=True, exist_ok=True)
            draw(noun, np.random.default_rng(number), 64).save(folder / noun / name)
    return folder


@pytest.fixture(scope="module")
def sections(tmp_path_factory, corpus):
    """Sound settings of every job."""
    place = tmp_path_factory.mktemp("settings")
    return {
        "build_vocabulary": {"vectors": write_vectors(place / "words.vec")},
        "train_model": {
            "architecture": "small_cnn",
            **{"resize": 32, "crop": 32, "core_epochs": 1},
            "labelled": {"source": str(corpus)},
        },
        # The same corpus three times over, spelled in three ways.
        "catalog_images": {"sources": [str(corpus), f"{corpus}/lion/", f"file:{corpus}/tulip/../castle/0.jpg"]},
        "embed_images": {"engine": {"precision": "fp32", "device": "cpu"}},
        "label_images": {"k": 2},
        "build_index": {"rows_per_shard": 8},
        "search_images": {"queries": ["lion"], "k": 100},
        "evaluate_model": {"recall_queries": 2},
        "publish_run": {},
    }


def start(warehouse, settings, name, run="r1", *more):
    """The exit code of `devise run NAME` with these sections."""
    path = Path(warehouse).parent / f"{Path(warehouse).name}.yaml"
    path.write_text(yaml.safe_dump({"warehouse": str(warehouse), **settings}, allow_unicode=True), encoding="utf-8")
    return exit_code("run", name, "--config", str(path), "--run", run, *more)


def exit_code(*arguments):
    try:
        cli.main(arguments)
    except SystemExit as stopped:
        return stopped.code
    return 0


def the_one_line(capsys, name, code):
    """What a job that had to fail said: one line, and exit code 2."""
    lines = capsys.readouterr().err.splitlines()
    assert code == 2 and len(lines) == 1 and lines[0].startswith(f"{name}: error: "), lines
    return lines[0]


def committed(warehouse):
    return sorted(str(path.relative_to(warehouse)) for path in Path(warehouse).rglob(manifest.NAME))


def parquet_below(folder):
    """Paths of Parquet files, in a folder that may be changing meanwhile: a walk passes over what is gone."""
    return [f"{place}/{name}" for place, _, names in os.walk(folder) for name in names if name.endswith(".parquet")]


def night(warehouse, settings, *names, run="r1", **altered):
    for name in names:
        changed = {**settings, name: {**settings[name], **altered.get(name, {})}}
        assert start(warehouse, changed, name, run) == 0


@pytest.fixture(scope="module")
def ready(tmp_path_factory, sections):
    """A warehouse with a vocabulary, a model and the catalogue of run r1."""
    place = tmp_path_factory.mktemp("ready") / "w = ü %41"
    night(place, sections, "build_vocabulary", "train_model", "catalog_images")
    return place


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ready, sections):
    """Its copy with embeddings, labels and an index."""
    place = tmp_path_factory.mktemp("finished") / "w = ü %41"
    shutil.copytree(ready, place)
    night(place, sections, "embed_images", "label_images", "build_index")
    return place


@pytest.fixture
def copy(tmp_path):
    """A copy of a warehouse without some tables."""

    def make(warehouse, without=()):
        return shutil.copytree(warehouse, tmp_path / "w", ignore=lambda folder, names: set(without) & set(names))

    return make


def read(spark, warehouse, table, run="r1"):
    found = manifest.read(str(warehouse), table, run)
    return tables.read(spark, str(warehouse), [found], schemas.TABLES[table]).collect()


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("catalog_images: {sourcez: [a]}", [], "unknown keys ['sourcez']; known are ["),
        ("catalog_imagez: {sources: [a]}", [], "unknown sections ['catalog_imagez']; known are"),
        ("catalog_images: {sources: 3}", [], "sources: Input should be a valid list, found 3"),
        ("catalog_images: [1\nb: }", [], "not YAML: "),
        ("catalog_images: {sources: [a]}", ["--set", "catalog_images.sources"], "wanted section.key=value"),
        ("catalog_images: {sources: [a]}", ["--set", "catalog_images.sources=[a"], "--set catalog_images.sources=[a: "),
        (
            "catalog_images: {sources: [a]}",
            ["--set", "catalog_image.exclude=[b]"],
            "unknown sections ['catalog_image']",
        ),
        ("catalog_images: {sources: [a]}", ["--set", "catalog_images.excluding=[b]"], "unknown keys ['excluding']"),
        ("catalog_images: {sources: [a]}", ["--run", "a/b"], "run: String should match pattern"),
        ("catalog_images: {sources: [a]}", ["--runn", "r1"], "unrecognized arguments: --runn r1"),
        ("catalog_images: {sources: [a]}", ["--set", "warehouse=a{b}"], "warehouse: String should match pattern"),
        ("catalog_images: {sources: ['gopher://x']}", [], "found scheme 'gopher', wanted file:// or s3://"),
        ("catalog_images: {sources: ['s3:///x']}", [], "no bucket in the URI"),
    ],
)
def test_a_wrong_setting_is_one_line(capsys, tmp_path, text, more, words):
    path = tmp_path / "conf.yaml"
    path.write_text(f"warehouse: {tmp_path}/w\n{text}\n")
    code = exit_code("run", "catalog_images", "--config", str(path), "--run", "r1", *more)
    assert words in the_one_line(capsys, "catalog_images", code)
    assert not (tmp_path / "w" / "images").exists()


def test_a_configuration_that_is_absent_or_no_text_is_one_line(capsys, tmp_path):
    name = "catalog_images"
    assert "required: --config" in the_one_line(capsys, name, exit_code("run", name, "--run", "r1"))
    for path in (tmp_path / "none.yaml", tmp_path):
        code = exit_code("run", name, "--config", str(path), "--run", "r1")
        assert str(path) in the_one_line(capsys, name, code)
    (tmp_path / "latin.yaml").write_bytes("warehouse: Vögel".encode("latin-1"))
    code = exit_code("run", name, "--config", str(tmp_path / "latin.yaml"), "--run", "r1")
    assert "cannot read the configuration" in the_one_line(capsys, name, code)


def test_a_night_checks_every_section_before_its_first_stage(capsys, tmp_path, sections):
    stages = {"run_nightly": {"stages": ["catalog_images", "embed_pictures"]}}
    code = start(tmp_path / "w", {**sections, **stages}, "run_nightly")
    assert "unknown stages ['embed_pictures']" in the_one_line(capsys, "run_nightly", code)
    stages = {"run_nightly": {"stages": ["catalog_images", "label_images"]}, "label_images": {"k": 0}}
    code = start(tmp_path / "w", {**sections, **stages}, "run_nightly")
    assert "label_images: k: " in the_one_line(capsys, "run_nightly", code)
    assert not (tmp_path / "w").exists()


def test_every_job_may_have_a_section_and_nothing_else():
    from devise.jobs import run_nightly

    own = {name for name, made in run_nightly.JOBS.items() if made.section is None}
    assert set(config.SECTIONS) == {*own, "run_nightly"}
    assert {made.section for made in run_nightly.JOBS.values()} - {None} <= own


# --- inputs that the driver reads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "altered", "words"),
    [
        ("build_vocabulary", {"vectors": "{tmp}/none.vec"}, "none.vec: no such file"),
        ("build_vocabulary", {"hierarchy": "{tmp}/none.tsv"}, "none.tsv: no such file"),
        ("build_vocabulary", {"vectors": "{tmp}/short.vec"}, "line 3: found 7 numbers, wanted 8"),
        ("build_vocabulary", {"vectors": "{tmp}/nan.vec"}, "'tulip' has a NaN or infinite number"),
        ("build_vocabulary", {"vectors": "{tmp}/inf.vec"}, "'tulip' has a NaN or infinite number"),
        ("build_vocabulary", {"nouns": "hierarchy", "hierarchy": "{tmp}/other.tsv"}, "none of 2 nouns has a vector"),
        ("build_vocabulary", {"vectors": "{tmp}/empty.vec"}, "empty.vec: empty, wanted word vectors"),
        (
            "train_model",
            {"weights": "{tmp}/none.pth", "projection": "linear", "loss": "ridge", "core_epochs": 12},
            "none.pth: no such",
        ),
        ("train_model", {"labelled": {"source": "{tmp}/none"}}, "none: no such file"),
        ("train_model", {"labelled": {"source": "{corpus}", "names": "{tmp}/short.vec"}}, "short.vec: not JSON"),
        ("catalog_images", {"sources": ["{corpus}", "{tmp}/none"]}, "none: no such file or folder"),
        ("catalog_images", {"include": ["*.heic"]}, "found no image that matches, wanted at least one"),
        ("search_images", {"queries_file": "{tmp}/none.csv"}, "none.csv: no such file"),
        ("search_images", {"queries_file": "{tmp}/empty.vec"}, "empty.vec: empty, wanted a table"),
        ("search_images", {"queries_file": "{tmp}/short.vec"}, "no 'query'; wanted query once"),
        ("search_images", {"queries": ["zebra"]}, "'zebra' is no word"),
        ("search_images", {"queries": ["image:{tmp}/none.jpg"]}, "none.jpg: no such picture"),
        ("search_images", {"queries": ["image:{tmp}/short.vec"]}, "short.vec: not_an_image: begins with"),
        ("search_images", {"queries": ["zebra"], "vectors": "{tmp}/wide.vec"}, "vectors of 9 dims, wanted 8"),
    ],
)
def test_an_input_that_cannot_be_used_is_one_line(capsys, finished, sections, corpus, tmp_path, name, altered, words):
    seven, nan, inf = ["0.5"] * 7, ["0.5"] * 7 + ["nan"], ["0.5"] * 7 + ["inf"]
    write_vectors(tmp_path / "short.vec", tulip=" ".join(seven))
    write_vectors(tmp_path / "nan.vec", tulip=" ".join(nan))
    write_vectors(tmp_path / "inf.vec", tulip=" ".join(inf))
    write_vectors(tmp_path / "wide.vec", dim=9, words=("zebra",))
    (tmp_path / "empty.vec").write_bytes(b"")
    (tmp_path / "other.tsv").write_text(
        "id\tlexfile\tmembers\thypernyms\tdefinition\nn1\tnoun.food\tsushi\t\tcold rice\nn2\tnoun.food\tsoup\t\twet\n"
    )
    filled = json.loads(json.dumps(altered).replace("{tmp}", str(tmp_path)).replace("{corpus}", str(corpus)))
    before = committed(finished)
    code = start(finished, {**sections, name: {**sections[name], **filled}}, name, "r2")
    line = the_one_line(capsys, name, code)
    assert words in line
    assert committed(finished) == before and pointer.read(str(finished)) is None


@pytest.fixture
def bucket_server(monkeypatch):
    """Where s3:// leads: set by a test, with credentials of nobody."""
    for key, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    monkeypatch.setenv(s3.VARIABLE, "{}")
    s3._client.cache_clear()
    yield lambda url: monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    s3._client.cache_clear()


def test_a_bucket_that_refuses_is_one_line(capsys, tmp_path, sections, bucket_server):
    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    altered = {**sections, "catalog_images": {"sources": ["s3://closed/pictures"]}}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bucket_server(f"http://127.0.0.1:{server.server_port}")
    code = start(tmp_path / "w", altered, "catalog_images")
    server.shutdown()
    assert "s3://closed/pictures: AccessDenied: Access Denied" in the_one_line(capsys, "catalog_images", code)
    assert not committed(tmp_path)


@pytest.mark.slow
def test_an_endpoint_that_does_not_answer_is_one_line(capsys, tmp_path, sections, bucket_server):
    bucket_server("http://127.0.0.1:9")  # the discard port: nobody listens
    altered = {**sections, "catalog_images": {"sources": ["s3://nowhere/pictures"]}}
    code = start(tmp_path / "w", altered, "catalog_images")
    assert "s3://nowhere/pictures: EndpointConnectionError" in the_one_line(capsys, "catalog_images", code)
    assert not committed(tmp_path)


# --- faults found on a worker ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "altered", "words"),
    [
        ("embed_images", {"engine": {"device": "cpu", "precision": "fp16"}}, "precision fp16: for a GPU only"),
        (
            "embed_images",
            {"engine": {"device": "cpu", "precision": "fp16"}, "exchange": "pandas"},
            "precision fp16: for a GPU only",
        ),
        ("label_images", {"candidates": ["lion", "zebra"]}, "no label for ['zebra']"),
        ("build_index", {"kind": "Nonsense7"}, "index kind 'Nonsense7'"),
        ("train_model", {"held_out": list(NOUNS)}, "all 23 labelled images name a held-out noun"),
        (
            "train_model",
            {"weights": "{tmp}/other.pth", "projection": "linear", "loss": "ridge", "core_epochs": 12},
            "other.pth: weights do not fit small_cnn: ",
        ),
    ],
)
def test_a_broken_promise_on_a_worker_is_one_line(capsys, copy, finished, sections, tmp_path, name, altered, words):
    made = {
        "embed_images": {"embeddings", "rejects"},
        "label_images": {"labels"},
        "build_index": {"index"},
        "train_model": {"features", "model"},
    }[name]
    warehouse = copy(finished, made)
    torch.save({"weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    filled = json.loads(json.dumps(altered).replace("{tmp}", str(tmp_path)))
    before = committed(warehouse)
    code = start(warehouse, {**sections, name: {**sections[name], **filled}}, name)
    assert words in the_one_line(capsys, name, code)
    assert committed(warehouse) == before and pointer.read(str(warehouse)) is None


@pytest.mark.parametrize(
    ("name", "pattern", "share", "words"),
    [
        ("embed_images", "model/**/card.json", 0.5, "no whole model"),
        ("label_images", "vocabulary/**/*.parquet", 0.5, "Parquet"),
        ("label_images", "embeddings/**/*.parquet", 0, "embeddings: a file that the manifest lists cannot be read"),
        ("search_images", "index/**/shard-*.faiss", 0.5, "no faiss index"),
        ("search_images", "index/**/shard-*.arrow", 0.5, "no sidecar of a shard"),
    ],
)
def test_a_file_torn_or_gone_after_its_commit_is_one_line(
    capsys, copy, finished, sections, name, pattern, share, words
):
    warehouse = copy(finished, {"embeddings", "rejects", "labels"} if name == "embed_images" else {"labels"})
    for path in warehouse.glob(pattern):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        if not share:
            path.unlink()
    before = committed(warehouse)
    line = the_one_line(capsys, name, start(warehouse, sections, name))
    assert words in line and committed(warehouse) == before


def test_a_vocabulary_of_another_dimension_is_one_line(capsys, copy, finished, sections, tmp_path):
    warehouse = copy(finished)
    night(warehouse, sections, "catalog_images", run="r2")
    night(warehouse, sections, "embed_images", "build_index", run="r2")
    wide = {"vectors": write_vectors(tmp_path / "wide.vec", dim=9)}
    night(warehouse, sections, "build_vocabulary", run="r2", build_vocabulary=wide)
    before = committed(warehouse)
    for name in ("label_images", "search_images", "evaluate_model"):
        line = the_one_line(capsys, name, start(warehouse, sections, name, "r2"))
        assert "9" in line and "8" in line and "dims" in line
    assert committed(warehouse) == before


def test_a_source_that_vanishes_while_it_is_listed_is_one_line(capsys, spark, tmp_path, corpus):
    """The driver saw the folder; the worker that lists it does not."""
    source = shutil.copytree(corpus / "tulip", tmp_path / "source")

    def main(task):
        images = catalog.list_images(task.spark, [str(source)], ["*"], [])
        shutil.rmtree(source)
        task.write("images", images)

    path = tmp_path / "conf.yaml"
    path.write_text(f"warehouse: {tmp_path}/w\ncatalog_images: {{sources: ['{source}']}}\n")
    vanishing = job.Job("catalog_images", CatalogConfig, main, writes=("images",))
    with pytest.raises(SystemExit) as stopped:
        command.run(vanishing, ["--config", str(path), "--run", "r1"])
    line = the_one_line(capsys, "catalog_images", stopped.value.code)
    assert f"{source}: no such file or folder" in line
    assert not committed(tmp_path)


def test_a_programmers_mistake_on_a_worker_keeps_its_traceback(spark, tmp_path):
    def main(task):
        def fail(batches):
            try:
                raise ModelError("handled, and then something else went wrong")
            except ModelError as error:
                raise KeyError("a mistake") from error
            yield from batches

        task.write("images", task.spark.range(1).mapInArrow(fail, schemas.IMAGES))

    mistaken = job.Job("catalog_images", CatalogConfig, main, writes=("images",))
    with pytest.raises((PythonException, Py4JJavaError), match="KeyError: 'a mistake'"):  # Spark raises either
        job.perform(mistaken, spark, CatalogConfig(warehouse=str(tmp_path), run="r1", sources=["x"]))


def test_a_workers_fault_is_read_from_the_last_line_of_its_traceback():
    head = "\n  An exception was thrown from the Python worker.\nTraceback (most recent call last):\n  File x, line 1\n"
    java = "\n\n\tat org.apache.spark.api.python.BasePythonRunner.read(PythonRunner.scala:572)\n\tat java.lang.Thread\n"
    device = "devise.errors.DeviceError: device cuda: none; wanted one\n"
    for tail in ("", "\n", java):
        found = faults.find(head + device + tail)
        assert type(found) is DeviceError and str(found) == "device cuda: none; wanted one"
    chained = head + device + "\nThe above exception was the direct cause of the following exception:\n\n" + head
    assert faults.find(chained + "KeyError: 'x'\n") is None
    assert str(faults.find(head + "KeyError: 'x'\n\nDuring handling of it:\n\n" + head + device)) == str(found)
    assert faults.find(head + "devise.errors.ImageError: code\n") is None  # a row, never the end of a job
    assert faults.find(head + "devise.errors.annotations: x\n") is None
    assert faults.find(head + "other.devise.errors.DeviceError: x\n") is None
    assert str(errors.StorageError("a\nb: c\n")) == "a b: c"


def test_an_absent_accelerator_ends_a_real_process_with_code_2_and_one_line(ready, copy, sections, tmp_path):
    warehouse = copy(ready)
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump({"warehouse": str(warehouse), "embed_images": {"engine": {"device": "cuda"}}}))
    command = [sys.executable, "-m", "devise.cli", "run", "embed_images", "--config", str(path), "--run", "r1"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "DEVISE_MASTER": "local[1]"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if line.startswith("embed_images: error: ")]
    assert done.returncode == 2 and len(ours) == 1 and "torch finds no CUDA device" in ours[0]
    assert done.stderr.splitlines()[-1] == ours[0]
    assert "Traceback" not in done.stderr and " ERROR " not in done.stderr
    assert not (warehouse / "embeddings").exists() and not committed(warehouse / "rejects")


# --- bad and odd images ---------------------------------------------------------------------------------------------


def test_a_bad_image_is_one_reject_row_and_an_odd_one_an_embedding(spark, copy, ready, sections, tmp_path):
    warehouse = copy(ready, {"images"})
    odd, broken = write_odd(tmp_path / "in" / "odd"), write_broken(tmp_path / "in" / "broken")
    altered = {**sections, "catalog_images": {"sources": [str(tmp_path / "in")]}}
    wide, limit = "wide_20000x20.png", 399_999
    night(warehouse, altered, "catalog_images")
    night(warehouse, altered, "embed_images", embed_images={"engine": {"max_pixels": limit, "device": "cpu"}})
    rejected = {Path(row.uri).name: row for row in read(spark, warehouse, "rejects")}
    embedded = {Path(row.uri).name: (row.width, row.height) for row in read(spark, warehouse, "embeddings")}
    assert {name: row.code for name, row in rejected.items()} == {**broken, wide: "too_many_pixels"}
    assert rejected[wide].message == "20000 x 20 pixels, wanted at most 399999"
    assert all(row.message and "\n" not in row.message and row.attempts == 1 for row in rejected.values())
    assert set(embedded) == set(odd) - {wide}
    assert (embedded["exif_rotated.jpg"], embedded["one_pixel.png"]) == ((64, 128), (1, 1))
    assert {embedded[name] for name in set(embedded) - {"exif_rotated.jpg", "one_pixel.png"}} == {(128, 128)}
    # The next night has room for the wide one: its code is not to be retried, unless that is asked for.
    night(warehouse, altered, "catalog_images", run="r2")
    retried = {"retry_codes": ["too_many_pixels"], "engine": {"device": "cpu"}}
    night(warehouse, altered, "embed_images", run="r2", embed_images=retried)
    (row,) = read(spark, warehouse, "embeddings", "r2")
    assert (Path(row.uri).name, row.width, row.height) == (wide, 20_000, 20)
    (again,) = read(spark, warehouse, "rejects", "r2")
    assert (Path(again.uri).name, again.code, again.attempts) == ("bomb.png", "too_many_pixels", 2)


def test_a_name_survives_from_the_listing_to_the_answers(spark, copy, finished, sections, corpus):
    files = [path for path in corpus.rglob("*") if path.is_file()]
    listed = sorted(f"file://{path}" for path in files)
    assert {path.name for path in files} >= {Path(name).name for name in ODD_NAMES}
    for table in ("images", "embeddings"):
        assert sorted(row.uri for row in read(spark, finished, table)) == listed
    assert sorted({row.uri for row in read(spark, finished, "labels")}) == listed
    index = manifest.read(str(finished), "index", "r1")
    sidecars = [finished / "index" / "run=r1" / file.path for file in index.files if file.path.endswith(".arrow")]
    assert (
        sorted(uri for path in sidecars for uri in pa.ipc.open_file(path).read_all().column("uri").to_pylist())
        == listed
    )
    warehouse = copy(finished)
    asked = [f"image:{uri}" for uri in listed]
    night(warehouse, sections, "search_images", search_images={"queries": asked, "k": len(listed)})
    found = {(row["query"], row.uri): row.score for row in read(spark, warehouse, "results")}
    assert {uri for _, uri in found} == set(listed)
    assert all(found[f"image:{uri}", uri] > 0.999 for uri in listed)


def test_an_image_id_taken_by_another_uri_is_a_reject_and_the_night_goes_on(spark, copy, ready, sections, corpus):
    warehouse = copy(ready, {"images"})
    uris = [f"file://{corpus}/{noun}/0.jpg" for noun in ("castle", "ferry", "tulip")]

    def catalogue(run, wanted):
        """Both of the first two uris have id 7."""

        def main(task):
            stats = {uri: storage.stat(uri) for uri in wanted}
            listed = [({uris[2]: 9}.get(uri, 7), uri, stat.etag, stat.size_bytes, None) for uri, stat in stats.items()]
            task.write("images", task.spark.createDataFrame(listed, schemas.IMAGES))

        made = job.Job("catalog_images", CatalogConfig, main, writes=("images",))
        job.perform(made, spark, CatalogConfig(warehouse=str(warehouse), run=run, sources=["x"]))
        night(warehouse, sections, "embed_images", run=run)
        return manifest.read(str(warehouse), "embeddings", run).details

    first = catalogue("r1", uris)
    assert (first["listed"], first["embedded"], first["rejected"]) == (3, 2, 1)
    (row,) = read(spark, warehouse, "rejects")
    assert (row.image_id, row.uri, row.code, row.attempts) == (7, uris[1], "id_collision", 1)
    assert row.message == "another uri has the same image_id"
    second = catalogue("r2", uris)
    assert (second["listed"], second["unchanged"], second["carried"], second["attempted"]) == (3, 2, 1, 0)
    night(warehouse, sections, "label_images", "build_index", "evaluate_model", "publish_run", run="r2")
    assert pointer.read(str(warehouse)).run == "r2"
    assert {row.uri for row in read(spark, warehouse, "labels", "r2")} == {uris[0], uris[2]}
    third = catalogue("r3", uris[1:])  # the first uri is gone: the id is free
    assert (third["listed"], third["unchanged"], third["embedded"], third["rejected"]) == (2, 1, 1, 0)
    assert [row.uri for row in read(spark, warehouse, "embeddings", "r3")] == [uris[1]]
    rest = ("label_images", "build_index", "evaluate_model", "publish_run")
    meant = {"publish_run": {"max_removed_fraction": 1}}
    night(warehouse, sections, *rest, run="r3", **meant)
    fourth = catalogue("r4", uris)  # it is back, and both are embedded by now: the first in order has the id
    assert (fourth["listed"], fourth["unchanged"], fourth["carried"], fourth["attempted"]) == (3, 2, 1, 0)
    night(warehouse, sections, *rest, run="r4")
    assert {row.uri for row in read(spark, warehouse, "labels", "r4")} == {uris[0], uris[2]}
    live = Searcher.open(str(warehouse))
    assert {hit.uri for hit in live.search(np.eye(DIM, dtype=np.float32)[0], "word", 10).hits} == {uris[0], uris[2]}
    fifth = catalogue("r5", uris[1:])
    assert (fifth["listed"], fifth["unchanged"], fifth["attempted"]) == (2, 2, 0)
    night(warehouse, sections, *rest, run="r5", **meant)
    assert {row.uri for row in read(spark, warehouse, "labels", "r5")} == {uris[1], uris[2]}


def test_of_two_uris_with_one_id_the_embedded_one_keeps_it(spark):
    images = spark.createDataFrame(
        [(7, "a", "1", 1, None), (7, "b", "2", 1, None), (8, "c", "3", 1, None)], schemas.IMAGES
    )
    nobody = spark.createDataFrame([], schemas.EMBEDDINGS)
    owner = spark.createDataFrame([(7, "b", "2", [1.0], 1.0, 1, 1, None, None, "m")], schemas.EMBEDDINGS)
    rejects = spark.createDataFrame([(7, "b", "2", "id_collision", "x", 2, "m")], schemas.REJECTS)
    none = spark.createDataFrame([], schemas.REJECTS)

    def states(embedded, rejected):
        judged = judge_images(images, embedded, rejected, ["gone"]).collect()
        return {row.uri: (row.state, row.attempts) for row in judged}

    assert states(nobody, none) == {"a": ("todo", 0), "b": ("collision", 0), "c": ("todo", 0)}
    assert states(owner, none) == {"a": ("collision", 0), "b": ("unchanged", 0), "c": ("todo", 0)}
    assert states(nobody, rejects) == {"a": ("todo", 0), "b": ("carried", 2), "c": ("todo", 0)}


# --- nights that were stopped ---------------------------------------------------------------------------------------


def test_a_night_stopped_before_its_manifest_keeps_the_slices_it_has(spark, copy, ready, sections, monkeypatch):
    warehouse = copy(ready)
    embedding = functools.partial(EmbedConfig, warehouse=str(warehouse), **sections["embed_images"])
    write = manifest.write

    def stopped(place, made):
        if made.table == "embeddings":
            raise KeyboardInterrupt
        write(place, made)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            job.perform(embed_images.JOB, spark, embedding(run="r1"))
    left = {path for path in (warehouse / "embeddings" / "run=r1").rglob("*.parquet")}
    assert left and manifest.find(str(warehouse), "rejects", "r1") is None
    made = job.perform(embed_images.JOB, spark, embedding(run="r1"))["embeddings"]
    listed = {row.image_id for row in read(spark, warehouse, "images")}
    assert made.details["attempted"] == made.details["embedded"] == len(listed)
    assert {row.image_id for row in read(spark, warehouse, "embeddings")} == listed and made.rows == len(listed)
    on_disk = set((warehouse / "embeddings" / "run=r1").rglob("*.parquet"))
    assert on_disk == left and {path.name for path in on_disk} == {file.path for file in made.files}
    assert not (warehouse / "_staging" / "embed_images" / "run=r1").exists()


def test_a_slice_whose_file_was_swept_is_done_again(spark, copy, ready, sections, monkeypatch):
    """`expire` may come between a killed night and its rerun."""
    warehouse = copy(ready)
    embedding = functools.partial(EmbedConfig, warehouse=str(warehouse), **sections["embed_images"])
    write = manifest.write
    monkeypatch.setattr(manifest, "write", lambda place, made: write(place, made) if made.table == "plan" else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.perform(embed_images.JOB, spark, embedding(run="r1"))
    monkeypatch.setattr(manifest, "write", write)
    left = sorted((warehouse / "embeddings" / "run=r1").rglob("*.parquet"))
    left[0].unlink()
    made = job.perform(embed_images.JOB, spark, embedding(run="r1"))["embeddings"]
    listed = {row.image_id for row in read(spark, warehouse, "images")}
    assert {row.image_id for row in read(spark, warehouse, "embeddings")} == listed and made.rows == len(listed)
    assert {file.path for file in made.files} & {path.name for path in left} == {path.name for path in left[1:]}


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_behind_that_counts(
    spark, copy, ready, sections, corpus, tmp_path, capsys, monkeypatch
):
    warehouse, many = copy(ready, {"images"}), tmp_path / "many"
    many.mkdir()
    pictures = [corpus / noun / "0.jpg" for noun in NOUNS[1:]]
    for number in range(300):
        os.link(pictures[number % 3], many / f"{number}.jpg")
    (many / "text.jpg").write_text("no picture")
    engine = {"device": "cpu", "precision": "fp32", "threads": 1, "batch_size": 1}
    short = {"images_per_slice": 20, "thumbnails": 1_000, "engine": engine}
    altered = {**sections, "catalog_images": {"sources": [str(many)]}, "embed_images": short}
    night(warehouse, altered, "catalog_images")
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump({"warehouse": str(warehouse), **altered}))
    command = [sys.executable, "-m", "devise.cli", "run", "embed_images", "--config", str(path), "--run", "r1"]
    environment = {**os.environ, "DEVISE_MASTER": "local[1]"}
    with open(tmp_path / "log", "wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    while running.poll() is None and len(list((warehouse / "_staging").rglob("slice-*.json"))) < 3:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)  # Spark's Java and the workers too
    assert running.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    slices = {path.name for path in (warehouse / "_staging").rglob("slice-*.json")}
    kept = [json.loads(path.read_text()) for path in (warehouse / "_staging").rglob("slice-*.json")]
    assert 3 <= len(slices) < 16 and not list((warehouse / "embeddings").rglob(manifest.NAME))
    line = the_one_line(capsys, "embed_images", start(warehouse, altered, "embed_images"))
    assert f"held by embed_images of run r1 (host {platform.node()}, process {running.pid}) since " in line
    monkeypatch.setattr(lease.Claim, "is_free", lambda claim: True)  # two minutes later
    assert start(warehouse, altered, "embed_images") == 0
    details = manifest.read(str(warehouse), "embeddings", "r1").details
    assert (details["listed"], details["attempted"], details["embedded"], details["rejected"]) == (301, 301, 300, 1)
    listed = {row.image_id for row in read(spark, warehouse, "images")}
    found = [row.image_id for table in ("embeddings", "rejects") for row in read(spark, warehouse, table)]
    assert len(found) == 301 and set(found) == listed
    pictured = [row.image_id for row in read(spark, warehouse, "thumbnails")]
    assert sorted(pictured) == sorted(row.image_id for row in read(spark, warehouse, "embeddings"))
    for table in ("embeddings", "thumbnails"):
        files = {file.path for file in manifest.read(str(warehouse), table, "r1").files}
        assert {file["path"] for record in kept for file in record[table]} <= files
    assert not parquet_below(warehouse / "_staging")
