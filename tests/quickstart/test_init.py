"""`devise init`: what it finds, the config that it writes, and what it refuses with one line and without a config."""

import uuid
from pathlib import Path

import pytest
from conftest import ARCHITECTURE
from corpusserver import CorpusServer
from listserver import MadeKeys
from PIL import Image, ImageDraw
from places import upload

from devise import cli, settings
from devise.config import CatalogConfig, SearchConfig, TrainConfig
from devise.jobs.run_nightly import JOBS
from devise.quickstart import init, look
from devise.show import probe
from devise.store import sampling
from devise.vision.rates import Rate, Rates

pytestmark = pytest.mark.usefixtures("facts")


@pytest.fixture
def run(tmp_path, monkeypatch, weights, capsys):
    """Runs `devise init` with the made weights; exit code, standard output, the line of standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probe, "rates", FakeRates(probe.rates))

    def ask(images, *more):
        network = [] if "--architecture" in more else ["--architecture", ARCHITECTURE, "--weights", str(weights)]
        code = 0
        try:
            cli.main(["init", "night.yaml", "--images", str(images), *network, *more])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return ask


class FakeRates:
    """Measures nothing, which takes no time: that is tests/vision/test_rates.py's."""

    def __init__(self, real):
        self.stand_in = real.stand_in

    def measure(self, items, *_, **__):
        rate = Rate(100.0, 90.0, 110.0)
        return Rates(rate, rate, rate, rate, "cpu", 2, len(items), 1000.0, 0)


def test_a_config_is_written_that_every_job_takes_and_asks_for_the_corpus_own_nouns(run, pictures, tmp_path):
    code, out, err = run(pictures)
    assert (code, err) == (0, "") and "12 images, all that there are" in out
    path = tmp_path / "night.yaml"
    for name, job in JOBS.items():
        settings.load(path, job.section or name, job.config, "r1")
    train = settings.load(path, "train_model", TrainConfig, "r1")
    assert (train.architecture, train.projection, train.loss, train.top_t) == (ARCHITECTURE, "convex", "none", 10)
    queries = settings.load(path, "search_images", SearchConfig, "r1").queries
    assert {"lion", "castle"} < set(queries) and "qqxqq" not in queries
    assert queries[-1].startswith(f"image:{pictures}/")
    assert "devise check --config night.yaml" in out and "devise run run_nightly --config night.yaml --run " in out
    assert "12 images embed here in" in out


def test_every_setting_of_the_written_config_has_a_comment_before_or_behind_it_in_its_section(run, pictures, tmp_path):
    run(pictures)
    sections = (tmp_path / "night.yaml").read_text().split("\n\n")
    assert all("#" in section for section in sections if not section.startswith("warehouse"))


def test_the_starter_is_the_default(run, pictures, tmp_path):
    code, out, _ = run(pictures, "--architecture", "efficientnet_lite2")
    train = settings.load(tmp_path / "night.yaml", "train_model", TrainConfig, "r1")
    assert code == 0 and (train.weights, train.temperature) == ("starter", 2)


def test_weights_without_their_architecture_are_refused(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "night.yaml", "--images", str(pictures), "--weights", "some.pth"])
    assert ended.value.code == 2 and "wanted --architecture too" in capsys.readouterr().err


def refused(ended, *parts):
    code, _, err = ended
    assert code == 2 and len(err.strip().splitlines()) == 1, err
    assert all(part in err for part in parts), err
    assert not Path("night.yaml").exists()


def test_a_config_that_is_there_is_never_overwritten(run, pictures, tmp_path):
    (tmp_path / "night.yaml").write_text("mine")
    code, _, err = run(pictures)
    assert code == 2 and "never overwritten" in err and (tmp_path / "night.yaml").read_text() == "mine"


def test_an_empty_folder_and_one_that_is_not_there_are_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(run(tmp_path / "empty"), "nothing is below this place; wanted images: is the prefix spelt right?")
    refused(run(tmp_path / "gone"), "no such file or folder; wanted a folder of images")


def test_a_folder_of_other_files_is_refused_with_their_endings(run, tmp_path):
    for name in ("a.txt", "b.txt", "c.heic"):
        (tmp_path / "others").mkdir(exist_ok=True)
        (tmp_path / "others" / name).write_text("x")
    refused(run(tmp_path / "others"), "found no image that matches", "3 passed over: 2 .txt, 1 .heic")


def test_a_folder_of_which_nothing_can_be_read_is_refused(run, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("no picture")
    refused(run(tmp_path / "broken"), "none of 1 of the sample can be read", "no config was written")


def test_a_warehouse_in_the_corpus_is_refused(run, pictures):
    refused(run(pictures, "--warehouse", str(pictures / "tables")), "found it in the corpus")


def test_kinds_that_are_not_read_and_very_large_pictures_are_told(run, pictures, monkeypatch):
    (pictures / "IMG_1.HEIC").write_bytes(b"x")
    (pictures / "large.jpg").write_bytes(b"x" * 5000)
    monkeypatch.setattr(look, "MOST_BYTES", 4990)
    code, out, _ = run(pictures)
    assert code == 0 and ".heic is a kind of picture that is not read: wanted JPEGs" in out
    assert "too_large: 0 MiB, not fetched for a look; a night takes up to embed_images.engine.max_bytes" in out


def test_drawings_are_told_by_flat_areas_of_few_colours_and_noise_is_not(run, pictures, tmp_path):
    assert "flat areas" not in run(pictures)[1]
    (tmp_path / "night.yaml").unlink()
    for number in range(5):
        drawn = Image.new("RGB", (200, 150), "white")
        ImageDraw.Draw(drawn).ellipse((20 + number, 20, 120, 120), outline="black", fill="red", width=3)
        (tmp_path / "drawn").mkdir(exist_ok=True)
        drawn.save(tmp_path / "drawn" / f"{number}.png")
    code, out, _ = run(tmp_path / "drawn")
    assert code == 0 and "5 of 5 of the sample are flat areas of few colours, as drawings are: it works" in out


def test_on_a_real_server_the_s3_section_says_how_it_was_reached(run, s3_server, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("DEVISE_S3", "{}")
    place = s3_server.make_bucket(f"init-{uuid.uuid4().hex[:8]}")
    upload(pictures, f"{place}/pictures")
    code, out, err = run(f"{place}/pictures/")
    assert code == 0, err
    store = settings.load_s3(tmp_path / "night.yaml")
    assert (store.endpoint, store.path_style, store.region) == (s3_server.endpoint, True, "us-east-1")
    assert settings.load_warehouse(tmp_path / "night.yaml") == f"{place}/pictures-devise"
    assert f"warehouse {place}/pictures-devise: list, create" in out


def test_on_a_real_server_an_empty_prefix_no_bucket_and_no_right_are_one_line(run, s3_server, monkeypatch):
    monkeypatch.setenv("DEVISE_S3", "{}")
    place = s3_server.make_bucket(f"init-{uuid.uuid4().hex[:8]}")
    refused(run(f"{place}/typo/"), f"{place}/typo/: nothing is below this place; wanted images")
    refused(run("s3://no-such-bucket-here/x"), "NoSuchBucket", "wanted a bucket that is there")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("DEVISE_S3", '{"region": "us-east-1"}')  # another client: the old one has the old key
    refused(run(f"{place}/pictures"), "SignatureDoesNotMatch")


@pytest.fixture
def serve(monkeypatch):
    servers = []

    def start(keys, signed="us-east-1", **settings):
        server = CorpusServer(keys, **settings).__enter__()
        servers.append(server)
        for name, value in server.environment(signed).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DEVISE_S3", f'{{"endpoint": "{server.endpoint}"}}')  # a client of its own
        return server

    yield start
    for server in servers:
        server.__exit__()


def test_no_right_is_one_line_with_the_rights_that_are_wanted(run, serve, tmp_path):
    serve(["corpus/a.jpg"], denied=True)
    refused(
        run("s3://made/corpus", "--warehouse", str(tmp_path / "w")), "AccessDenied", "s3:ListBucket", "s3:GetObject"
    )


@pytest.mark.parametrize("status", [301, 400])
def test_a_wrong_region_is_one_line_that_names_the_right_one(run, serve, status, tmp_path):
    serve(["corpus/a.jpg"], signed="us-east-1", region="eu-west-3", refused=status)
    refused(
        run("s3://made/corpus", "--warehouse", str(tmp_path / "w")),
        "found its bucket in eu-west-3 and requests signed for us-east-1",
        "AWS_DEFAULT_REGION=eu-west-3",
    )


@pytest.mark.parametrize("separator", ["/", "-"])
def test_ten_million_keys_are_looked_at_in_a_bounded_number_of_requests(run, serve, separator, tmp_path):
    server = serve(MadeKeys(256, 39063, separator))
    code, out, err = run("s3://made/corpus", "--warehouse", str(tmp_path / "w"))
    assert code == 0, err
    assert server.listed <= look.MOST_LISTED / 1000 + sampling.MOST_PROBES + 1
    assert "more than 36,000 images" in out and "S3 Inventory" in out
    text = (tmp_path / "night.yaml").read_text()
    assert "# inventory: s3://" in text and '# fan_out: ["0", "1", "2"' in text
    catalog = settings.load(tmp_path / "night.yaml", "catalog_images", CatalogConfig, "r1")
    assert catalog.fan_out == []


def test_what_is_written_reads_back_whatever_is_in_it(tmp_path):
    odd = ["a b", 'qu"ote', "$HOME", "${X}", "5 $", "é: #", "back\\slash", "a@b@c"]
    path = tmp_path / "x.yaml"
    path.write_text("search_images: {queries: [" + ", ".join(map(init.quoted, odd)) + "]}\nwarehouse: w\n")
    assert settings.load(path, "search_images", SearchConfig, "r1").queries == odd
