"""A page of labelled pictures is whole in itself, says all that it was given, and nothing of it is run."""

import base64
import io
import re

import pytest
from PIL import Image

from devise.show import gallery
from devise.show.gallery import Tile, write_page
from devise.store import storage


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (300, 220), (200, 30, 30)).save(tmp_path / "red.png")
    return storage.normalise(str(tmp_path / "red.png"))


def page(tiles, tmp_path) -> str:
    write_page(tiles, "holiday <2026>", "told & said", str(tmp_path / "page.html"))
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_picture_stands_on_the_page_with_its_labels(picture, tmp_path):
    text = page([Tile(picture, "a/red.png", [("lion", 0.912), ("big cat", 0.5)])], tmp_path)
    found = re.search(r'src="data:image/webp;base64,([^"]+)" alt="lion, big cat"', text)
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as shown:
        assert shown.size == (256, 188) and abs(shown.getpixel((9, 9))[0] - 200) < 6
    assert "<li>lion <i>0.91</i></li><li>big cat <i>0.50</i></li>" in text and ">a/red.png</b>" in text
    assert f'href="{picture}"' in text and 'data-words="lion | big cat | a/red.png | "' in text


def test_names_and_labels_are_never_markup(picture, tmp_path):
    bad = '"><script>alert(1)</script>'
    text = page([Tile(picture, bad, [(bad, 0.1)]), Tile("file:///x" + bad, bad, [], bad)], tmp_path)
    assert text.count("<script>") == 1 and "alert(1)" in text and "holiday &lt;2026&gt;" in text
    assert "default-src 'none'" in text and not re.search(r'(src|href)="https?:', text)


def test_what_cannot_be_shown_says_why(tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    gone = Tile(storage.normalise(str(tmp_path / "gone.png")), "gone.png", [], "gone")
    torn = Tile(storage.normalise(str(tmp_path / "torn.png")), "torn.png", [], "truncated")
    text = page([gone, torn], tmp_path)
    assert text.count("cannot be shown") == 2 and "<p>gone</p>" in text and "<p>truncated</p>" in text


def test_a_picture_on_s3_has_no_link_that_a_browser_cannot_follow(monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "thumbnail", lambda uri: None)
    assert "href" not in page([Tile("s3://bucket/a.jpg", "a.jpg", [("lion", 1.0)])], tmp_path).split("<main")[1]


def test_of_too_many_some_are_shown_at_even_distances_and_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "MOST_SHOWN", 4)
    monkeypatch.setattr(gallery, "thumbnail", lambda uri: None)
    text = page([Tile(f"s3://b/{number}.jpg", f"n{number}", [("lion", 1.0)]) for number in range(10)], tmp_path)
    assert re.findall(r"<b>n(\d)</b>", text) == ["0", "2", "5", "7"]
    assert "4 of 10 are shown" in text and "lion <i>4</i></button>" in text


def test_a_page_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no tiles"):
        page([], tmp_path)
