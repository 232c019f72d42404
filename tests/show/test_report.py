"""Contact sheets: a tile for every answer, whatever it holds."""

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from devise.show import report
from devise.show.report import CAPTION, EMPTY, GAP, MARGIN, PAPER, TILE, TITLE, contact_sheet

RED = (200, 30, 30)


def encoded(colour=RED, size=(40, 40), kind="PNG", mode="RGB", **options):
    file = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(file, kind, **options)
    return file.getvalue()


def corner(place, columns):
    row, column = divmod(place, columns)
    return MARGIN + column * (TILE + GAP), MARGIN + TITLE + row * (TILE + CAPTION + GAP)


def pixel(sheet, place, columns, x=TILE // 2, y=TILE // 2):
    left, top = corner(place, columns)
    return sheet.getpixel((left + x, top + y))


def opened(path):
    sheet = Image.open(path)
    assert sheet.format == "PNG" and sheet.mode == "RGB"
    return sheet


def test_no_tiles_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="found 0 tiles"):
        contact_sheet([], "nothing", tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("name", ["sheet", "sheet.", "sheet.svg", ".png"])
def test_a_name_without_a_known_ending_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(ValueError, match="wanted at least one, and an ending of"):
        contact_sheet([(encoded(), "x")], "t", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "kind"), [("a.JPG", "JPEG"), ("b.webp", "WEBP"), ("c.PNG", "PNG")])
def test_a_sheet_is_of_the_kind_that_its_ending_says(tmp_path, name, kind):
    contact_sheet([(encoded(), "x")], "t", tmp_path / name)
    assert Image.open(tmp_path / name).format == kind


def test_one_tile_makes_a_sheet_with_its_picture_in_a_new_folder(tmp_path):
    path = tmp_path / "deep" / "folder" / "sheet.png"
    contact_sheet([(encoded(), "a red square")], "one", path)
    sheet = opened(path)
    assert pixel(sheet, 0, 1) == RED
    assert sheet.height == 2 * MARGIN + TITLE + TILE + CAPTION


@pytest.mark.parametrize("n_tiles", range(1, 14))
def test_every_tile_has_its_place_row_by_row(tmp_path, n_tiles):
    colours = [(10 * number + 5, 100, 250 - 10 * number) for number in range(n_tiles)]
    contact_sheet([(encoded(colour), "x") for colour in colours], "many", tmp_path / "s.png", columns=4)
    sheet = opened(tmp_path / "s.png")
    assert [pixel(sheet, place, min(4, n_tiles)) for place in range(n_tiles)] == colours
    left, top = corner(n_tiles - 1, min(4, n_tiles))
    assert left + TILE <= sheet.width and top + TILE + CAPTION <= sheet.height


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n"
TORN_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"


@pytest.mark.filterwarnings("error")
def test_broken_metadata_says_nothing_and_no_format_that_starts_programs_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr("PIL.PpmImagePlugin.PpmImageFile._open", lambda image: {}["a fault that no list names"])
    tiles = [(encoded(kind="JPEG", exif=TORN_EXIF), "exif"), (EPS, "eps"), (encoded(kind="PPM"), "ppm")]
    contact_sheet(tiles, "t", tmp_path / "s.png")
    sheet = opened(tmp_path / "s.png")
    assert pixel(sheet, 0, 3)[0] > 150 and pixel(sheet, 1, 3, x=3, y=3) == pixel(sheet, 2, 3, x=3, y=3) == EMPTY


@pytest.mark.parametrize("content", [b"", b"not a picture", encoded()[:60], b"\xff\xd8\xff\xe0 torn", b"GIF89a"])
def test_what_cannot_be_decoded_is_a_grey_tile_and_its_neighbours_stand(tmp_path, content):
    contact_sheet([(encoded(), "before"), (content, "broken"), (encoded(), "after")], "t", tmp_path / "s.png")
    sheet = opened(tmp_path / "s.png")
    assert pixel(sheet, 0, 3) == pixel(sheet, 2, 3) == RED
    assert pixel(sheet, 1, 3, x=3, y=3) == EMPTY
    left, top = corner(1, 3)
    assert len(sheet.crop((left, top, left + TILE, top + TILE)).getcolors(9999)) > 1  # it says so in the tile


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "1")]
)
def test_pictures_of_any_mode_are_shown(tmp_path, kind, mode):
    contact_sheet([(encoded((255, 255, 255), kind=kind, mode=mode), mode)], "t", tmp_path / "s.png")
    assert min(pixel(opened(tmp_path / "s.png"), 0, 1)) > 250


def test_a_picture_keeps_its_shape_and_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be shown standing
    wide = Image.new("RGB", (320, 80), RED)
    contact_sheet(
        [(wide, "wide"), (encoded(size=(320, 80), kind="JPEG", exif=exif), "turned")], "t", tmp_path / "s.png"
    )
    sheet = opened(tmp_path / "s.png")
    assert pixel(sheet, 0, 2, x=1) == RED and pixel(sheet, 0, 2, y=1) == EMPTY
    assert pixel(sheet, 1, 2, x=1) == EMPTY and pixel(sheet, 1, 2, y=1)[0] > 150
    assert wide.size == (320, 80)


def pen_and_font():
    return ImageDraw.Draw(Image.new("RGB", (10, 10))), ImageFont.load_default(12)


@pytest.mark.parametrize(
    "caption",
    ["", "short", "two words", "a caption of many short words that goes on and on and never ends " * 3, "x" * 500,
     "x" * 500 + " tail", "head " + "x" * 500, "ünïcödé 北京 🙂", "line\nbreak", "  spaces  around  "],
)  # fmt: skip
def test_captions_are_two_lines_at_most_and_fit_the_tile(tmp_path, caption):
    pen, font = pen_and_font()
    lines = report._two_lines(pen, caption, font)
    assert 1 <= len(lines) <= 2
    assert all(pen.textlength(line, font=font) <= TILE for line in lines)
    contact_sheet([(encoded(), caption)], caption, tmp_path / "s.png")
    assert pixel(opened(tmp_path / "s.png"), 0, 1) == RED


def test_what_is_cut_off_ends_with_an_ellipsis_and_what_fits_is_whole():
    pen, font = pen_and_font()
    assert report._two_lines(pen, "lion 0.51", font) == ["lion 0.51"]
    first, second = report._two_lines(pen, "a lion in the long grass by the river, 0.51", font)
    assert f"{first} {second}" == "a lion in the long grass by the river, 0.51"
    assert report._two_lines(pen, "word " * 60, font)[1].endswith("…")
    assert report._two_lines(pen, "x" * 500, font)[0].endswith("…")


def test_long_captions_and_titles_stay_out_of_the_next_tile_and_the_margin(tmp_path):
    contact_sheet([(encoded(), "w" * 300), (encoded(), "")], "t" * 500, tmp_path / "s.png")
    sheet = opened(tmp_path / "s.png")
    left, top = corner(1, 2)
    beyond = sheet.crop((left - GAP + 2, top + TILE + 1, left + TILE, top + TILE + CAPTION))
    assert beyond.getcolors() == [(beyond.width * beyond.height, PAPER)]
    margin = sheet.crop((sheet.width - MARGIN + 2, 0, sheet.width, sheet.height))
    assert margin.getcolors() == [(margin.width * margin.height, PAPER)]
