"""Files that are broken on purpose, each with its reject code, and odd ones that must be read; knows no decoder."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from devise.sample.book import draw

BOMB_SIDE = 60_000


def write_broken(folder: str | Path) -> dict[str, str]:
    """Write the broken files into the folder (made if absent); returns file name -> the reject code it must get."""
    jpeg, png = _encoded(_picture("lion"), "JPEG"), _encoded(_picture("tulip"), "PNG")
    scrambled = bytearray(png)
    scrambled[len(png) // 2 : len(png) // 2 + 64] = bytes(range(64))
    files = {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"This is no picture, whatever its name says.\n", "not_an_image"),
        "noise.png": (np.random.default_rng(0).bytes(2000), "not_an_image"),
        "drawing.svg.png": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "unsupported"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "truncated.png": (png[: len(png) // 2], "truncated"),
        "scrambled.png": (bytes(scrambled), "corrupt"),
        "bomb.png": (_bomb(), "too_many_pixels"),
    }
    _write(folder, {name: content for name, (content, _) in files.items()})
    return {name: code for name, (_, code) in files.items()}


def write_odd(folder: str | Path) -> list[str]:
    """Write odd but sound pictures into the folder (made if absent); returns their names. Each must be embedded."""
    picture = _picture("castle")
    frames = [_picture(noun) for noun in ("duck", "goose")]
    turned = Image.Exif()
    turned[0x0112] = 6  # EXIF orientation: to be turned a quarter clockwise
    wide = Image.fromarray(np.tile(np.linspace(0, 255, 20_000).astype(np.uint8), (20, 1)))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    palette = picture.quantize(32)
    animated = {"save_all": True, "append_images": frames[1:], "duration": 100}
    files = {
        "cmyk.jpg": _encoded(picture.convert("CMYK"), "JPEG"),
        "grey.jpg": _encoded(picture.convert("L"), "JPEG"),
        "sixteen_bit.png": _encoded(deep, "PNG"),
        "palette_transparent.png": _encoded(palette, "PNG", transparency=0),
        "animated.gif": _encoded(frames[0], "GIF", **animated),
        "animated.webp": _encoded(frames[0], "WEBP", **animated),
        "exif_rotated.jpg": _encoded(picture.crop((0, 0, 128, 64)), "JPEG", exif=turned),
        "one_pixel.png": _encoded(Image.new("RGB", (1, 1), (200, 40, 40)), "PNG"),
        "wide_20000x20.png": _encoded(wide, "PNG"),
        "née Vögel = 鳥 100%.jpg": _encoded(_picture("swan"), "JPEG"),
    }
    _write(folder, files)
    return list(files)


def _picture(noun: str) -> Image.Image:
    return draw(noun, np.random.default_rng(1))


def _encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _bomb() -> bytes:
    """A PNG of about a hundred bytes whose header declares `BOMB_SIDE` squared pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(4 * (BOMB_SIDE // 8 + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _write(folder: str | Path, files: dict[str, bytes]) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (Path(folder) / name).write_bytes(content)
