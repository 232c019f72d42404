"""Pages of pictures: contact sheets; knows no tables and no models."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from devise.store import storage
from devise.vision import formats
from devise.vision.stills import BROKEN

TILE, CAPTION, GAP, MARGIN, TITLE = 160, 34, 12, 20, 46
MOST_TILES = 450
"""75 rows of 6: WebP holds no higher picture."""
KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
PAPER, INK, FAINT, EMPTY = (250, 249, 246), (34, 34, 38), (120, 118, 114), (226, 224, 219)


def contact_sheet(
    tiles: Sequence[tuple[bytes | Image.Image, str]], title: str, path: str | Path, columns: int = 6
) -> None:
    """Write a grid of pictures with captions below a title.

    Args:
        tiles: encoded image or picture, and its caption (two lines at most, then an ellipsis). What cannot be decoded
            becomes a grey tile that says so.
        path: the picture to write, a path or URI that ends in one of KINDS, whole or not at all; its folder is made if
            absent.

    Raises:
        ValueError: there are no tiles, or another ending.
        StorageError: it cannot be written.
    """
    kind = KINDS.get(Path(path).suffix.lower())
    if not tiles or kind is None:
        raise ValueError(f"found {len(tiles)} tiles for {path}, wanted at least one, and an ending of {list(KINDS)}")
    columns = min(columns, len(tiles))
    n_rows = -(-len(tiles) // columns)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    height = MARGIN + TITLE + n_rows * (TILE + CAPTION + GAP) + MARGIN - GAP
    sheet = Image.new("RGB", (max(width, 360), height), PAPER)
    pen = ImageDraw.Draw(sheet)
    big, small = ImageFont.load_default(20), ImageFont.load_default(12)
    pen.text((MARGIN, MARGIN), _fit(pen, " ".join(title.split()), big, sheet.width - 2 * MARGIN), INK, font=big)
    for place, (content, caption) in enumerate(tiles):
        row, column = divmod(place, columns)
        left, top = MARGIN + column * (TILE + GAP), MARGIN + TITLE + row * (TILE + CAPTION + GAP)
        picture = _picture(content)
        if picture is None:
            pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), EMPTY)
            pen.text((left + TILE / 2, top + TILE / 2), "not a picture", FAINT, font=small, anchor="mm")
        else:
            fitted = ImageOps.contain(picture, (TILE, TILE), Image.Resampling.LANCZOS)
            pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), EMPTY)
            sheet.paste(fitted, (left + (TILE - fitted.width) // 2, top + (TILE - fitted.height) // 2))
        for line, text in enumerate(_two_lines(pen, caption, small)):
            pen.text((left, top + TILE + 3 + 15 * line), text, INK if line == 0 else FAINT, font=small)
    content = io.BytesIO()
    sheet.save(content, kind, optimize=True)
    storage.write_bytes(storage.normalise(str(path)), content.getvalue())


def _picture(content: bytes | Image.Image) -> Image.Image | None:
    if isinstance(content, Image.Image):
        return content.convert("RGB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of broken metadata
        try:
            known = [kind for kind in formats.READ if kind in Image.OPEN]  # others may start programs
            with Image.open(io.BytesIO(content), formats=known) as opened:
                return ImageOps.exif_transpose(opened).convert("RGB")
        except BROKEN:
            return None


def _two_lines(pen: ImageDraw.ImageDraw, caption: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """The caption broken at a space where it is too wide for one line."""
    words, first = caption.split(), ""
    while words and pen.textlength(f"{first} {words[0]}".strip(), font=font) <= TILE:
        first = f"{first} {words.pop(0)}".strip()
    if not first and words:
        return [_fit(pen, " ".join(words), font, TILE)]
    return [first, *([_fit(pen, " ".join(words), font, TILE)] if words else [])]


def _fit(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if pen.textlength(text, font=font) <= width:
        return text
    while text and pen.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text + "…"
