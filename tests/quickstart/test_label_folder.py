"""A folder of pictures labelled in this process, by the live model of a made warehouse."""

import csv

import numpy as np
import pytest
from tiny_warehouse import NOUNS, publish

from devise import cli
from devise.errors import EmptyCorpus, StorageError
from devise.quickstart import kit, label, pages
from devise.store import storage
from devise.vision.engine import Engine, Item


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Warehouse, its folder of twelve pictures, a broken one and a text among them, and what opens the model."""
    place = tmp_path_factory.mktemp("label")
    warehouse, _ = publish(place)
    (place / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (place / "pictures" / "notes.txt").write_text("no picture")
    return warehouse, str(place / "pictures"), kit.of_warehouse(warehouse)


def test_labels_are_those_of_the_engine_and_the_exact_product(made):
    _, folder, opened = made
    pictures = label.find_pictures(folder)
    found = label.gather(label.label(opened, pictures, 3, threads=1), len(pictures), lambda line: None)
    items = [Item(number, stat.uri, stat.etag, stat.size_bytes) for number, stat in enumerate(pictures)]
    engine = Engine(opened.model, lambda item: storage.fetch_image(item.uri, item.etag), threads=1)
    rows = {
        item.uri: [part[row] for part in (outcome.embedding_ND, *outcome.classes)]
        for outcome in engine.run(items)
        for row, item in enumerate(outcome.items)
        if outcome.codes[row] is None
    }
    uris = sorted(rows)
    ranked = opened.labeller.label(*(np.stack(part) for part in zip(*(rows[uri] for uri in uris), strict=True)), 3)
    kept = [one for one in found if one.code is None]
    assert [one.uri for one in kept] == uris and len(uris) == 12
    assert [[name for name, _, _ in one.labels] for one in kept] == [
        [NOUNS[i] for i in row] for row in ranked.label_id_NK
    ]
    assert np.allclose([[score for _, _, score in one.labels] for one in kept], ranked.score_NK, atol=1e-6)


def test_a_picture_that_cannot_be_read_is_a_row_with_its_code(made, tmp_path):
    _, folder, opened = made
    pictures = label.find_pictures(folder)
    said = []
    found = label.gather(label.label(opened, pictures, 2), len(pictures), said.append)
    assert [one.uri for one in found] == sorted(stat.uri for stat in pictures) and len(found) == 13
    assert [(one.uri.rsplit("/", 1)[-1], one.code, one.labels) for one in found if one.code] == [
        ("broken.png", "truncated", ())
    ]
    assert said[0].startswith("12 pictures labelled, 1 rejected (truncated 1) in ")
    label.write_table(found, str(tmp_path / "labels.csv"))
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(label.COLUMNS) and len(rows) == 12 * 2 + 1
    broken = next(row for row in rows if row["uri"].endswith("broken.png"))
    assert broken["code"] == "truncated" and broken["label"] == broken["rank"] == ""
    assert [row["rank"] for row in rows if row["uri"].endswith("lion/0.png")] == ["1", "2"]


def test_more_pictures_than_a_block_are_all_labelled(made, monkeypatch):
    _, folder, opened = made
    monkeypatch.setattr(label, "BLOCK_ROWS", 5)
    pictures = label.find_pictures(folder)
    assert {one.uri for one in label.label(opened, pictures, 1)} == {stat.uri for stat in pictures}


def test_a_folder_without_pictures_says_what_is_there_instead(tmp_path):
    for name in ("a.docx", "b.docx", "c.heic"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(EmptyCorpus, match=r"found no picture \(3 passed over: 2 \.docx, 1 \.heic\), wanted names that"):
        label.find_pictures(str(tmp_path))
    with pytest.raises(StorageError, match="no such file or folder"):
        label.find_pictures(str(tmp_path / "nowhere"))


def test_the_command_writes_page_and_table_and_says_where(made, tmp_path, monkeypatch, capsys):
    warehouse, folder, _ = made
    monkeypatch.chdir(tmp_path)
    cli.main(["label", folder, "--model", warehouse, "-k", "1", "--csv", "t.csv"])
    said = capsys.readouterr().out
    page = (tmp_path / "labels.html").read_text(encoding="utf-8")
    assert page.count("<figure ") == 13 and "12 pictures labelled, 1 rejected" in page
    assert (tmp_path / "t.csv").read_text().count("\n") == 14
    for line in ("[label] 13 pictures in ", "model of run r1, 5 labels; ready in ", "  broken.png: truncated: ",
                 "  castle/0.png: ", "  and 3 more", "[label] table: t.csv", "[label] page: labels.html"):  # fmt: skip
        assert line in said, line


def test_a_sheet_that_is_a_picture_is_one(made, tmp_path):
    warehouse, folder, _ = made
    cli.main(["label", folder, "--model", warehouse, "--sheet", str(tmp_path / "s.png")])
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--sheet", "labels.pdf"], "--sheet labels.pdf: ends in '.pdf', wanted .html, "),
        (["-k", "0"], "-k: found 0, wanted a whole number of 1 or more"),
        (["--model", "w", "--vectors", "v"], "found --vectors and --model, wanted one of them"),
        (["--model", "w", "--warehouse", "w"], "found --model and --warehouse, wanted one of them"),
        (["--csv", "t", "--warehouse", "w"], "found --csv and --warehouse, wanted one of them"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(made, more, told, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["label", made[1], *more])
    assert ended.value.code == 2 and told in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_one_line(made, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["label", made[1], "--model", made[0], "--csv", str(tmp_path / "no" / "t.csv")])
    assert ended.value.code == 2 and "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_picture_is_called_by_its_place_in_the_folder():
    assert pages.below("file:///p/a/b.jpg", "/p/") == pages.below("file:///p/a/b.jpg", "file:///p") == "a/b.jpg"
