"""PNG bytes -> the chunks that make the picture, and what the others say of its colours; decodes nothing.

Chunks: W3C PNG specification, 3rd edition, sections 5 and 11.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from devise.errors import ImageError
from devise.vision.formats import PNG, XMP_ORIENTATION

CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
EXIF_TEXT, XMP_TEXT = b"Raw profile type exif", b"XML:com.adobe.xmp"
MOST_PROFILE_BYTES, MOST_TEXT_BYTES = 4 * 2**20, 2**20
"""Longer ones are not looked at: they may be decompression bombs."""
SCALE = {1: 255, 2: 85, 4: 17}
"""Bits a grey sample -> what Pillow multiplies it by."""


@dataclass(frozen=True)
class Chunks:
    """A PNG with no chunk but those of its pixels, and what was taken out.

    Attributes:
        content: IHDR, PLTE, every IDAT and IEND. transparent: the raw tRNS chunk. exif, icc: empty without one.
        xmp_turn: the orientation that an XMP text tells, 1 to 8.
    """

    content: bytes
    transparent: bytes
    exif: bytes
    icc: bytes
    xmp_turn: int


def read(content: bytes) -> Chunks:
    """Ancillary chunks never cost a sound picture: one that is broken says nothing.

    Raises:
        ImageError: unsupported for a file with critical chunks of another make, corrupt for a palette that is missing.
    """
    view, kept, others, n_colours, at = memoryview(content), [PNG], {}, 0, 8
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if kind in CRITICAL:
            kept.append(view[at:end])
            n_colours = n_colours or length // 3 * (kind == b"PLTE")
        elif kind == b"CgBI":
            raise ImageError("unsupported", "PNG of Apple's own kind (CgBI)")
        elif (name := _name_of(kind, content[at + 8 : at + 40])) and _is_sound(view[at:end]):
            others.setdefault(name, content[at + 8 : end - 4])
        if kind == b"IEND" or not kind.isalpha():
            break
        at = end
    if content[25:26] == b"\3":
        if not n_colours and len(kept) > 2:  # a file that ends before its pixels may have had one
            raise ImageError("corrupt", "PNG: its palette is missing")
        if len(others.get(b"tRNS", b"")) > n_colours:
            del others[b"tRNS"]  # as libpng does
    exif = b"Exif\0\0" + others[b"eXIf"] if b"eXIf" in others else _exif_of_text(others.get(EXIF_TEXT, b""))
    turn = XMP_ORIENTATION.search(others.get(XMP_TEXT, b""))
    icc = _profile(others.get(b"iCCP", b""))
    return Chunks(b"".join(kept), others.get(b"tRNS", b""), exif, icc, int(turn[1]) if turn else 1)


def _name_of(kind: bytes, begin: bytes) -> bytes:
    """What an ancillary chunk is kept as; empty for one that is not looked at."""
    if kind in (b"tRNS", b"eXIf", b"iCCP"):
        return kind
    texts = ((b"tEXt", EXIF_TEXT), (b"zTXt", EXIF_TEXT), (b"iTXt", XMP_TEXT))
    return next((text for chunk, text in texts if kind == chunk and begin.startswith(text + b"\0")), b"")


def _is_sound(chunk: memoryview) -> bool:
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _profile(body: bytes) -> bytes:
    name, _, compressed = body.partition(b"\0")
    return _inflated(compressed, MOST_PROFILE_BYTES) if 1 <= len(name) <= 79 else b""


def _exif_of_text(body: bytes) -> bytes:
    """The block that ImageMagick writes in hexadecimal: a name, a length, and lines of digits."""
    text = body.removeprefix(EXIF_TEXT + b"\0")
    text = _inflated(text, MOST_TEXT_BYTES) if text.startswith(b"\0") else text[:MOST_TEXT_BYTES]
    digits = b"".join(text.split(b"\n")[3:])
    return bytes.fromhex(digits.decode()) if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digits) else b""


def _inflated(compressed: bytes, most: int) -> bytes:
    """Deflated data behind the number of its method; empty where it is broken, of another method, or longer."""
    if not compressed.startswith(b"\0"):
        return b""
    try:
        found = zlib.decompressobj().decompress(compressed[1:], most)
    except zlib.error:
        return b""
    return found if len(found) < most else b""


def set_transparency(image: Image.Image, content: bytes, transparent: bytes) -> None:
    """Tell Pillow which palette entries or which one colour are transparent, in the samples that it will give.

    Only the high byte of 16-bit colours is looked at, as Pillow keeps no more.
    """
    depth, colour_type = content[24], content[25]
    if colour_type == 3 and transparent:
        image.info["transparency"] = transparent
    elif colour_type == 0 and len(transparent) >= 2:
        value = int.from_bytes(transparent[:2], "big")
        value = value if depth == 16 else (value & (2**depth - 1)) * SCALE.get(depth, 1)
        image.info["transparency"] = value
    elif colour_type == 2 and len(transparent) >= 6:
        colour = struct.unpack(">3H", transparent[:6])
        image.info["transparency"] = tuple(value >> 8 if depth == 16 else value & 255 for value in colour)


def open_with_pillow(chunks: Chunks) -> Image.Image:
    """Pillow's image of the chunks, its transparency set, nothing decoded."""
    image = Image.OPEN["PNG"][0](io.BytesIO(chunks.content), "")
    set_transparency(image, chunks.content, chunks.transparent)
    return image
