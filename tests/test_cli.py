"""The command line for people: answers on standard output, one line and exit code 2 for a broken promise."""

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny_warehouse import COLOURS, add_tables, make_vocabulary, publish

from devise import cli
from devise.config import SECTIONS
from devise.errors import IndexingError
from devise.show import terminal
from devise.store import s3


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture
def ask(capsys, published):
    """Runs a command on the published warehouse; its lines."""

    def run(*arguments, warehouse=published[0]):
        cli.main([*arguments, *(["--warehouse", warehouse] if warehouse else [])])
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out.splitlines()

    return run


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail; its one line."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert stopped.value.code == 2 and captured.out == "" and captured.err.count("\n") == 1
        return captured.err

    return run


def test_status_says_what_is_live_and_how_much(ask, published):
    first, second, header, *lines = ask("status")
    assert second == "built on: nothing"
    assert first.startswith("live: run r1, publication 1, published 0.0 h ago") and published[0] in first
    assert header.split() == ["table", "runs", "rows", "bytes"]
    assert [line.split()[:3] for line in lines[:3]] == [
        ["vocabulary", "r1", "5"],
        ["model", "r1", "0"],
        ["index", "r1", "12"],
    ]
    assert all(int(line.split()[3].replace(",", "")) > 0 for line in lines[:3])
    assert lines[3:] == [
        f"model {'m' * 16}, vocabulary {'v' * 16}",
        "lease: nobody works here",
        "kept publications: 1 (run r1)",
    ]


@pytest.mark.parametrize("noun", sorted(COLOURS))
def test_search_by_a_word_prints_rank_score_and_uri_best_first(ask, noun):
    lines = [line.split(maxsplit=2) for line in ask("search", noun, "-k", "12")]
    assert [int(rank) for rank, _, _ in lines] == list(range(1, 13))
    scores = [float(score) for _, score, _ in lines]
    assert scores == sorted(scores, reverse=True)
    assert lines[0][2].startswith("file://") and lines[0][2].endswith(f"/pictures/{noun}/0.png")


def test_words_on_the_command_line_are_one_query(ask):
    assert ask("search", "sea", "lion") == ask("search", "sea lion") != ask("search", "lion")
    assert ask("search", "lion", "+", "tulip") == ask("search", "lion + tulip")
    best = {line.rsplit("/", 2)[-2] for line in ask("search", "lion + tulip", "-k", "4")}
    assert best == {"lion", "tulip"}
    assert ask("search", "lion + tulip - tulip", "-k", "3") == ask("search", "lion", "-k", "3")


def test_search_by_a_picture_goes_through_the_live_model(ask, published):
    picture = next(uri for uri in published[1] if "/ferry/" in uri)
    by_option = ask("search", "--image", picture, "-k", "3")
    assert len(by_option) == 3 and by_option == ask("search", f"image:{picture}", "-k", "3")
    searcher = terminal.Searcher.open(published[0])
    embedded_D = terminal.embed_picture(searcher, picture)
    assert abs(np.linalg.norm(embedded_D) - 1) < 1e-5
    hits = searcher.search(embedded_D, "image", 3).hits
    assert [line.split()[1:] for line in by_option] == [[f"{hit.score:.3f}", hit.uri] for hit in hits]


def test_words_and_pictures_are_asked_together_with_weights(ask, published):
    lion, tulip = (next(uri for uri in published[1] if f"/{noun}/" in uri) for noun in ("lion", "tulip"))
    alone = ask("search", f"image:{lion}", "-k", "5")
    assert ask("search", f'3 * image:"{lion}"', "-k", "5") == alone
    there_and_back = ask("search", f"image:{lion} + image:{tulip} - image:{tulip}", "-k", "5")
    assert there_and_back == ask("search", f"0.5 * image:{lion} - -0.5 * image:{lion}", "-k", "5")
    assert ask("search", f"0.5 * image:{lion}", "+", "0.5", "*", "lion") != alone
    assert (
        ask("search", "2 * lion + 4 * tulip") == ask("search", "1 * lion + 2 * tulip") != ask("search", "lion + tulip")
    )


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """A publication with labels, images and lists, run r2, on top of one without."""
    warehouse, pictures = publish(tmp_path_factory.mktemp("listed"))
    add_tables(warehouse, pictures, "r2")
    return warehouse, pictures


def test_labels_stand_behind_a_tab_so_that_a_uri_may_have_spaces(ask, listed):
    lines = ask("search", "ferry", "-k", "3", "--labels", warehouse=listed[0])
    assert [line.split("\t")[0] for line in lines] == ask("search", "ferry", "-k", "3", warehouse=listed[0])
    assert lines[1].split("\t")[1] == "ferry" and all(line.count("\t") == 1 for line in lines)


def test_answers_are_held_to_a_folder_a_label_and_a_day(ask, listed):
    warehouse, pictures = listed

    def asked(*more):
        lines = ask("search", "lion + ferry", "-k", "20", *more, warehouse=warehouse)
        return {line.split(maxsplit=2)[2] for line in lines}

    folder = next(iter(pictures)).removesuffix("/lion/0.png")
    assert (
        asked()
        == asked("--under", folder)
        == asked("--label", "Lions")
        == asked("--since", "2026-01-01")
        == set(pictures)
    )
    assert asked("--under", f"{folder}/fe") == {uri for uri in pictures if "/ferry/" in uri}
    assert asked("--under", f"{folder}/fe/") == set() == asked("--since", "2027-01-01")
    assert asked("--since", "2026-01-10") == set(list(pictures)[9:])
    both = asked("--since", "2026-01-11", "--under", f"{folder}/ferry/", "--label", "tulip")
    assert both == set(list(pictures)[10:])
    picture = next(iter(pictures))
    lines = ask("search", "--image", picture, "--under", f"{folder}/tulip/", "-k", "9", warehouse=warehouse)
    assert len(lines) == 3 and all("/tulip/" in line for line in lines)


def test_a_kept_publication_is_asked_by_its_run(ask, refused, listed):
    warehouse = listed[0]
    before = ask("search", "lion", "-k", "3", "--run", "r1", warehouse=warehouse)
    now = ask("search", "lion", "-k", "3", warehouse=warehouse)
    assert now == ask("search", "lion", "-k", "3", "--run", "r2", warehouse=warehouse) != before
    assert "found no kept publication of run 'r7'" in refused("search", "lion", "--run", "r7", "--warehouse", warehouse)


def test_a_sheet_shows_the_answers_with_their_folder_and_score(ask, tmp_path, monkeypatch):
    sheet = tmp_path / "answers" / "sheet.png"
    lines = ask("search", "castle", "-k", "2", "--sheet", str(sheet))
    assert lines[-1] == f"contact sheet: {sheet}"
    with Image.open(sheet) as opened:
        assert COLOURS["castle"] in {colour for _, colour in opened.getcolors(10**6)}
    shown = []
    monkeypatch.setattr("devise.show.report.contact_sheet", lambda tiles, title, path: shown.append((tiles, title)))
    ask("search", "castle", "-k", "2", "--sheet", str(sheet))
    [(tiles, title)] = shown
    assert title == "nearest to: castle"
    assert [caption for _, caption in tiles] == [f"castle  {float(line.split()[1]):.2f}" for line in lines[:2]]


def test_words_are_compared_pair_by_pair(ask):
    header, *lines = ask("words", "lion", "tulip", "castle")
    assert header.split() == ["pearson", "cosine"]
    assert [line.split()[:2] for line in lines] == [["lion", "tulip"], ["lion", "castle"], ["tulip", "castle"]]
    first, second = make_vocabulary().vectors[:2]
    for line in lines:
        assert line.split()[2:] == [f"{np.corrcoef(first, second)[0, 1]:.3f}", "0.000"]


def test_a_word_s_neighbours_are_labels_by_cosine(ask):
    assert ask("words", "--near", "Tulips", "-k", "2") == ["  1.000  tulip", "  0.000  lion"]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("lion", "lion: seen label 'lion' (asked by exact, vector by exact)"),
        ("king of beasts", "king of beasts: seen label 'lion' (asked by synonym, vector by exact)"),
        ("ferry", "ferry: zero-shot label 'ferry' (asked by exact, vector by exact)"),
        ("submarine", "submarine: no label"),
    ],
)
def test_a_word_is_a_seen_label_a_zero_shot_one_or_none(ask, word, line):
    assert ask("words", "--known", word) == [line]


def test_without_a_warehouse_the_sample_s_vectors_answer(ask):
    header, line = ask("words", "lion", "tiger", warehouse=None)
    other = ask("words", "lion", "ferry", warehouse=None)[1]
    assert float(line.split()[3]) > float(other.split()[3])


def test_the_choice_of_an_index_is_explained_without_a_corpus(ask):
    lines = ask("explain-index", "--rows", "1000000", "--dim", "300", "--memory", "500MiB", warehouse=None)
    assert lines[0] == (
        "Pad304,IVF4096,SQ8 for 1,000,000 x 300: 1,000,000 rows are more than 100,000; "
        "8 bits a number need 0.3 GiB of the 0.5 GiB"
    )
    assert len(lines) == 6
    assert lines == ask(
        "explain-index", "--rows", "1000000", "--dim", "300", "--memory", str(500 * 2**20), warehouse=None
    )


def test_columns_prints_the_data_dictionary(ask):
    lines = ask("columns", warehouse=None)
    assert "#### embeddings" in lines and "| column | type | meaning |" in lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], "nothing asked: give words, or --image FILE"),
        (["search", "lion", "--image", "x.png"], "found words ['lion'] and --image x.png, wanted one of them"),
        (["search", "lion", "--sheet", "out"], "--sheet out: ends in '', wanted .png, .jpg"),
        (["search", "lion", "--sheet", "out.tar"], "--sheet out.tar: ends in '.tar', wanted .png, .jpg"),
        (["search", "lion", "--sheet", ""], "argument --sheet: found nothing"),
        (["search", "lion", "--vectors", ""], "argument --vectors: found nothing"),
        (["search", "--image", " "], "argument --image: found nothing"),
        (["words", "--near", "lion", "--known", "tulip"], "found --near and --known, wanted one of them"),
        (["words", "lion", "--known", "tulip"], "found words and --known, wanted one of them"),
        (["search", "submarine"], "'submarine' is no word"),
        (["search", "lion", "-", "lion"], "the terms cancel out"),
        (["search", "--image", "absent.png"], "absent.png: no such picture"),
        (["search", "a" * 10**6], "found 1,000,000 letters, wanted at most 10,000"),
        (["search", "lion - nan * lion"], "found 'nan' at letter 8, wanted a finite number"),
        (["search", "image:absent.png - lion"], "absent.png: no such picture"),
        (["search", "lion", "--since", "yesterday"], "found the day 'yesterday', wanted YYYY-MM-DD"),
        (["search", "lion", "--since", "2026-01-01"], "the live run r1 has no images"),
        (["search", "lion", "--label", "submarine"], "no label for ['submarine']"),
        (["search", "lion", "--labels"], "the live run r1 has no labels"),
        (["search", "lion", "--under", "ftp://x"], "found scheme 'ftp', wanted file:// or s3://"),
        (["search", "lion", "--under", ""], "argument --under: found nothing"),
        (["search", "lion", "--run", "../r1"], "found no kept publication of run '../r1', wanted one of: r1"),
        (["words"], "nothing asked"),
        (["words", "lion"], "at least two to compare"),
        (["words", "lion", "submarine"], "no vector for ['submarine']"),
        (["words", "--near", "submarine"], "submarine: no such word"),
        (["words", "lion", "tulip", "--vectors", "absent.vec"], "absent.vec: no such file"),
    ],
)
def test_a_broken_promise_is_one_line_and_exit_code_2(refused, published, arguments, words):
    line = refused(*arguments, "--warehouse", published[0])
    assert line.startswith("devise: error: ") and words in line


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ("1KiB", "9 x 300 need 0.0 GiB even with 4 bits"),
        ("8GB", "argument --memory: found 8GB, wanted a size of 1 byte or more"),
        ("0", "found 0, wanted a size"),
        ("-1", "found -1, wanted a size"),
    ],
)
def test_a_memory_that_is_none_or_too_little_is_one_line(refused, memory, words):
    assert words in refused("explain-index", "--rows", "9", "--dim", "300", f"--memory={memory}")


@pytest.mark.parametrize("command", [["status"], ["search", "lion"], ["words", "lion", "tulip"]])
def test_nothing_published_is_said(refused, tmp_path, command):
    assert "nothing is published here yet" in refused(*command, "--warehouse", tmp_path)


def test_a_picture_that_is_none_is_named_with_its_reject_code(refused, published, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    assert "broken.png: not_an_image" in refused(
        "search", "--image", tmp_path / "broken.png", "--warehouse", published[0]
    )


def test_a_fault_that_nobody_promised_keeps_its_traceback(monkeypatch, published):
    def broken(warehouse):
        raise ZeroDivisionError

    monkeypatch.setattr("devise.warehouse.pointer.read", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["status", "--warehouse", published[0]])


@pytest.mark.parametrize("arguments", [["run"], ["run", "no_such_job", "--config", "x"]])
def test_an_unknown_job_names_the_known_ones(refused, arguments):
    line = refused(*arguments)
    assert all(name in line for name in SECTIONS)


def test_run_hands_a_job_its_arguments(monkeypatch):
    handed = []
    monkeypatch.setattr(
        "devise.spark.frame.command.run", lambda found, arguments: handed.append((found.name, arguments))
    )
    monkeypatch.setattr("devise.spark.frame.command.run_in_order", lambda name, *_: handed.append((name, _[-1])))
    for name in SECTIONS:
        cli.main(["run", name, "--config", "c.yaml", "--run", "r1"])
    assert handed == [(name, ["--config", "c.yaml", "--run", "r1"]) for name in SECTIONS]


def test_replay_and_compact_are_nights_with_other_settings_here_or_on_a_cluster(monkeypatch, refused, tmp_path, capsys):
    handed, path = [], tmp_path / "night.yaml"
    monkeypatch.setattr("devise.spark.frame.command.run_in_order", lambda name, doc, jobs, words: handed.append(words))
    path.write_text("warehouse: w\nembed_images: {retry_codes: [timeout]}\n")
    cli.main(["replay", "--code", "corrupt", "--code", "timeout", "--config", str(path), "--run", "r2"])
    cli.main(["compact", "--config", str(path), "--run", "r3", "--set", "label_images.k=3"])
    night = ["--config", str(path), "--run"]
    assert handed == [
        [*night, "r2", "--set", "embed_images.retry_codes=['corrupt', 'timeout']"],
        [*night, "r3", "--set", "label_images.k=3", "--set", "embed_images.nights_per_base=1"]
        + ["--set", "build_index.rebuild_fraction=0"],
    ]
    handed.clear()
    options = "--master yarn --conf 'spark.x=a b'"
    cli.main(["compact", "--config", str(path), "--run", "r3", "--set", "label_images.k=3", "--submit", options])
    cli.main(["replay", "--code", "corrupt", "--config", str(path), "--run", "r4", "--submit", ""])
    compacting, replaying = (shlex.split(line) for line in capsys.readouterr().out.splitlines())
    job = str(Path(cli.__file__).parents[1] / "jobs" / "run_nightly.py")
    assert compacting == [
        *["spark-submit", "--master", "yarn", "--conf", "spark.x=a b", job, *night, "r3", "--set", "label_images.k=3"],
        *["--set", "embed_images.nights_per_base=1", "--set", "build_index.rebuild_fraction=0"],
    ]
    assert replaying == [
        *["spark-submit", job, *night, "r4", "--set", "embed_images.retry_codes=['corrupt', 'timeout']"],
    ]
    assert handed == [] and "No closing quotation" in refused("compact", *night[:2], "--run", "r3", "--submit", "'")
    replaying = ["replay", "--code", "tired", "--config", str(path), "--run", "r4"]
    assert "unknown reject codes ['tired']" in refused(*replaying)


def test_a_torn_pointer_or_an_index_without_its_shard_is_one_line(refused, tmp_path):
    warehouse, _ = publish(tmp_path)
    shard = next((tmp_path / "warehouse" / "index" / "run=r1").glob("shard-00001*.faiss"))
    shard.unlink()
    assert f"{shard}: no such file" in refused("search", "lion", "--warehouse", warehouse)
    pointer = tmp_path / "warehouse" / "live" / "current" / "live.json"
    pointer.write_text(json.dumps({"table": "index"}) + "\n")
    assert "not a pointer of this version" in refused("status", "--warehouse", warehouse)


@pytest.mark.parametrize("k", ["0", "-3", "many", "1.5", "9" * 5000, "٣"])
def test_a_number_of_answers_that_is_none_is_refused(refused, published, k):
    line = refused("search", "lion", "-k", k, "--warehouse", published[0])
    assert "argument -k: " in line and "wanted a whole number of 1 or more" in line


def test_more_answers_than_there_are_pictures_are_all_of_them(ask):
    assert ask("search", "lion", "-k", "2000000000") == ask("search", "lion", "-k", "12")


def test_a_sheet_that_cannot_be_written_is_one_line_and_leaves_nothing(published, tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["search", "lion", "--sheet", f"{tmp_path}/s.png", "--warehouse", published[0]])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"devise: error: file://{tmp_path}/s.png: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_help_of_run_names_the_jobs(ask):
    lines = ask("run", "--help", warehouse=None)
    assert {line.strip() for line in lines} >= {*SECTIONS, "`devise run NAME --help` tells what it reads and writes."}


def test_a_sheet_s_captions_need_no_folder(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr("devise.show.report.contact_sheet", lambda tiles, title, path: shown.extend(tiles))
    monkeypatch.setattr("devise.store.storage.read_bytes", lambda uri: b"")
    monkeypatch.setattr("devise.store.storage.stat", lambda uri: uri)
    hits = [SimpleNamespace(uri=uri, score=0.5) for uri in ("s3://bucket/a.jpg", "s3://bucket/b/c.jpg")]
    terminal.write_sheet(hits, "x", tmp_path / "s.png")
    assert [caption for _, caption in shown] == ["bucket  0.50", "b  0.50"]


def test_a_sheet_has_a_tile_for_a_picture_that_is_gone_and_room_for_some_hundreds(tmp_path):
    Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / "there.png")
    hits = [SimpleNamespace(uri=f"file://{tmp_path}/{name}.png", score=0.5) for name in ("there", "gone")]
    terminal.write_sheet(hits, "x", tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as sheet:
        assert (200, 30, 30) in {colour for _, colour in sheet.getcolors(10**6)}
    with pytest.raises(IndexingError, match="found 451 answers, wanted at most 450 on one: -k"):
        terminal.write_sheet(451 * hits[:1], "x", tmp_path / "many.png")
    terminal.write_sheet(450 * hits[:1], "x", tmp_path / "many.webp")


def test_the_settings_of_the_nights_name_the_warehouse_and_the_store(ask, published, tmp_path, monkeypatch, refused):
    monkeypatch.setenv(s3.VARIABLE, "{}")
    path = tmp_path / "night.yaml"
    path.write_text(
        f"warehouse: {published[0]}\ns3: {{endpoint: 'http://127.0.0.1:9', kms_key: k}}\nlabel_images: {{}}\n"
    )
    assert ask("search", "lion", "--config", str(path), warehouse=None) == ask("search", "lion")
    assert (s3.configured().endpoint, s3.configured().kms_key) == ("http://127.0.0.1:9", "k")
    path.write_text("label_images: {}\n")
    assert "found no `warehouse` at the top" in refused("status", "--config", path)


def test_a_reader_that_has_seen_enough_is_no_fault():
    program = """
from devise import cli
def columns(options):
    "Many lines."
    for _ in range(9999):
        print("x" * 99)
cli.columns = columns
cli.main(["columns"])
"""
    asked = [sys.executable, "-c", program]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"x" * 99 + b"\n"
        running.stdout.close()
        assert running.stderr.read() == b"" and running.wait() == 0
