"""Every command of the README and the docs is right: it runs here, or is parsed as far as the work itself."""

import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_warehouse import add_night, add_page, add_tables, publish

from devise import cli
from devise.emr import command as clusters
from devise.emr import submit
from devise.quickstart import kit, look
from devise.show.explorer import command as explorer
from devise.spark.frame import command
from devise.spark.stages import doctor
from devise.store import s3

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "deploy" / "README.md"]
OURS = ("devise", "make", "spark-submit")
OTHERS = ("aws", "cp", "tar", "python", "python3", "python3.11", "pip", "cd", "docker")
"""Commands of a page that are not ours: they do nothing here."""


def blocks(page: Path) -> list[str]:
    """The indented and the fenced code of a page."""
    found, block, fenced = [], [], False
    for line in [*page.read_text(encoding="utf-8").splitlines(), "end"]:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    ") or (not line.strip() and block):
            block.append(line if fenced else line[4:])
            continue
        found, block = found + ["\n".join(block)] * bool(block), []
    return found


def commands(page: Path) -> list[tuple[str, ...]]:
    """The words of each of our commands on a page, as a shell takes them: variables filled, comments gone."""
    starts = re.compile(rf"^(\w+=\S* )*({'|'.join(OURS)}) ", re.MULTILINE)
    record = "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\"; printf '\\n\\0'; }}\n" for name in OURS)
    ignore = "".join(f"{name}() {{ :; }}\n" for name in OTHERS)
    shell = "\n".join([record, ignore, *(block for block in blocks(page) if starts.search(block))])
    said = subprocess.run(["bash", "-euc", shell], capture_output=True, text=True, env={}, check=True)
    return [tuple(words.split("\0")[:-1]) for words in said.stdout.split("\n\0") if words]


COMMANDS = list(dict.fromkeys(words for page in PAGES for words in commands(page)))


class Reached(Exception):
    """The arguments and the settings were right, and the work would begin."""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documented")
    warehouse, pictures = publish(folder)
    add_night(warehouse, "r2")
    add_night(warehouse, "r3", bases=("embeddings", "rejects"))  # so that r2 is live no more
    add_tables(warehouse, pictures, "r3x")
    add_page(warehouse, pictures, "r3x")
    return folder


@pytest.fixture
def ask(published, tmp_path, monkeypatch):
    """Runs a documented command on a copy of a small warehouse, its placeholders filled; what it was about to do."""
    shutil.copytree(published / "warehouse", tmp_path / "warehouse")
    settings = tmp_path / "night.yaml"
    settings.write_text(
        f"warehouse: {tmp_path}/warehouse\nrun_nightly: {{stages: [catalog_images, embed_images]}}\n"
        f"catalog_images: {{sources: [{published}/pictures]}}\nembed_images: {{}}\n"
        "search_images: {queries: [lion]}\n"
    )
    filled = {
        "W": f"{tmp_path}/warehouse",
        "C": str(settings),
        "conf/X.yaml": str(settings),
        "CONFIG": f"{tmp_path}/new.yaml",
        "PREFIX": f"{published}/pictures",
        "FOLDER": f"{published}/pictures",
        "R": "r4",
        "CODE": "corrupt",
        "night.html": f"{tmp_path}/night.html",
        "map.parquet": f"{tmp_path}/map.parquet",
        "photo.jpg": str(published / "pictures" / "lion" / "0.png"),
        "ship + sail": "lion + tulip",
        "2 * ship + sail - engine": "2 * lion + tulip - castle",
        "image:photo.jpg + snow": f"image:{published}/pictures/lion/0.png + tulip",
        "s3://my-bucket/photos/2026/": f"{published}/pictures/",
        "2026-11-24": "r3",
        "s3://my-bucket/devise/emr.yaml": "conf/emr.yaml",  # where the page has put it
        "token.txt": str(tmp_path / "token.txt"),
    }

    (tmp_path / "token.txt").write_text("sixteen letters.")

    def begin(*_):
        raise Reached

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.setenv("BUCKET", "my-bucket")
    monkeypatch.setenv(s3.VARIABLE, "{}")
    monkeypatch.setattr(command, "lease", SimpleNamespace(hold=begin))
    monkeypatch.setattr(clusters, "_operate", begin)  # what an account is asked: tests/emr/test_operate.py
    monkeypatch.setattr(submit, "run", begin)
    monkeypatch.setattr(submit, "check", begin)
    monkeypatch.setattr(doctor, "start_session", begin)
    monkeypatch.setattr(explorer, "_listen", begin)
    monkeypatch.setattr(kit, "starter", begin)
    monkeypatch.setattr(look, "place_of", begin)  # init has looked at the pictures by then: tests/quickstart

    def run(words, run_id=None):
        cli.main([filled.get(word, run_id if word == "RUN" else word) for word in words])

    return run


def variants(words):
    """The words without, and with, what stands in brackets."""
    text = "\0".join(words)
    if "[" not in text or "stages=[" in text:
        return [words]
    return [re.sub(r"\0\[[^]]*\]", "", text).split("\0"), re.sub(r"\0\[([^]]*)\]", r"\0\1", text).split("\0")]


def test_the_pages_have_commands_of_every_kind():
    assert len(COMMANDS) >= 20 and {words[0] for words in COMMANDS} == set(OURS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_a_sentence_exists(page):
    text = page.read_text(encoding="utf-8")
    help_of_all = cli._parser().format_help()
    assert all(
        re.search(rf"^    {name}\b", help_of_all, re.MULTILINE) for name in re.findall(r"`devise ([a-z]\w*)", text)
    )
    assert set(re.findall(r"`make ([\w-]+)", text)) <= targets()


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "make"], ids=" ".join)
def test_what_is_made_is_a_target_of_the_makefile(words):
    assert words[1] in targets()


def targets():
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "devise"], ids=" ".join)
def test_a_documented_command_runs(words, ask, capsys):
    run_id = {"discard": "r2", "verify": "r3", "report": "r3x"}.get(words[1])
    for variant in variants(words):
        variant = ["1" if word == "12" else word for word in variant]
        try:
            ask(variant[1:], run_id)
        except Reached:
            assert words[1] in ("run", "replay", "compact", "serve", "emr", "doctor", "init", "label")
        else:
            assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "spark-submit"], ids=" ".join)
def test_a_documented_submission_has_its_files_and_reaches_its_work(words, ask):
    at = next(number for number, word in enumerate(words) if word.endswith(".py"))
    options, job, arguments = words[1:at], Path(words[at]), words[at + 1 :]
    assert (ROOT / "jobs" / job.name).is_file()
    named = dict(zip(options[::2], options[1::2], strict=True))
    assert named.keys() <= {"--master", "--deploy-mode", "--properties-file", "--conf"}
    assert all((ROOT / value).is_file() for name, value in named.items() if name == "--properties-file")
    with pytest.raises(Reached):
        ask(["run", job.stem, *arguments])


def test_words_are_compared_as_the_page_shows(capsys):
    cli.main(["words", "ship", "boat", "sail", "bug"])
    header, *lines = capsys.readouterr().out.splitlines()
    cosines = {tuple(line.split()[:2]): float(line.split()[3]) for line in lines}
    assert len(cosines) == 6 and cosines["ship", "boat"] > cosines["ship", "sail"] > cosines["ship", "bug"]
