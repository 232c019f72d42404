"""PNG bytes -> the chunks that make the picture, and what the others say of its colours; decodes nothing.

Chunks: W3C PNG specification, 3rd edition, sections 5 and 11.
"""

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from devise.errors import ImageError
from devise.vision.formats import PNG

CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
MOST_PROFILE_BYTES = 4 * 2**20
"""A larger colour profile is no profile; its chunk can be a decompression bomb."""
SCALE = {1: 255, 2: 85, 4: 17}
"""Bits a grey sample -> what Pillow multiplies it by."""


@dataclass(frozen=True)
class Chunks:
    """A PNG with no chunk but those of its pixels, and what was taken out.

    Attributes:
        content: IHDR, PLTE, every IDAT and IEND. transparent: the raw tRNS chunk. exif, icc: empty without one.
    """

    content: bytes
    transparent: bytes
    exif: bytes
    icc: bytes


def read(content: bytes) -> Chunks:
    """Ancillary chunks never cost a sound picture: one that is broken says nothing.

    Raises:
        ImageError: unsupported for a file with critical chunks of another make.
    """
    view, kept, others, at = memoryview(content), [PNG], {}, 8
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if kind in CRITICAL:
            kept.append(view[at:end])
        elif kind == b"CgBI":
            raise ImageError("unsupported", "PNG of Apple's own kind (CgBI)")
        elif kind in (b"tRNS", b"eXIf", b"iCCP") and _is_sound(view[at:end]):
            others.setdefault(kind, content[at + 8 : end - 4])
        if kind == b"IEND" or not kind.isalpha():
            break
        at = end
    exif = others.get(b"eXIf", b"")
    return Chunks(b"".join(kept), others.get(b"tRNS", b""), exif and b"Exif\0\0" + exif, _profile(others.get(b"iCCP")))


def _is_sound(chunk: memoryview) -> bool:
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _profile(body: bytes | None) -> bytes:
    name, _, compressed = (body or b"").partition(b"\0")
    if not compressed.startswith(b"\0") or not 1 <= len(name) <= 79:
        return b""
    try:
        profile = zlib.decompressobj().decompress(compressed[1:], MOST_PROFILE_BYTES)
    except zlib.error:
        return b""  # the same as no profile
    return profile if len(profile) < MOST_PROFILE_BYTES else b""


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
