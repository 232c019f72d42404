"""TIFF bytes -> Pillow's image with samples that it reads right, or a refusal; rotates and resizes nothing.

Tags: TIFF 6.0 (Adobe, 1992), and supplement 1 for SampleFormat.
"""

import io
import struct
from threading import Lock

import numpy as np
from PIL import Image, TiffImagePlugin

from devise.errors import ImageError
from devise.vision.formats import BIG_TIFF

BITS, COMPRESSION, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT, SUBSAMPLING = 258, 259, 262, 284, 339, 530
SAMPLES, COLOURS, EXTRA_SAMPLES = 277, 320, 338
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
CCITT = (2, 3, 4, 32771)
EXTENTS = (273, 279, 324, 325)  # where strips start, their lengths; the same of tiles
TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type -> bytes a value; 1 where not listed."""
SIGNED, UNDEFINED = 2, 4
SAMPLE_FORMATS = {3: "floating point", 5: "complex", 6: "complex"}
OPTIONAL = ("lzma", "zstd", "webp", "jpeg2000", "tiff_sgilog", "tiff_sgilog24", "tiff_thunderscan")
"""Compressions, by Pillow's names, that libtiff may be built without."""
_ONE_OPENS = Lock()  # Pillow's choice of reader is a variable of its module


def open_with_pillow(content: bytes) -> Image.Image:
    """Pillow's image of the first page, nothing decoded.

    Raises:
        ImageError: unsupported for kinds of samples that would come out wrong.
    """
    tags = _first_directory(content)
    size = f"TIFF {tags.get(256)} x {tags.get(257)}"
    refused = [SAMPLE_FORMATS[kind] for kind in tags.get(SAMPLE_FORMAT, ()) if kind in SAMPLE_FORMATS]
    if refused:
        raise ImageError("unsupported", f"{size} with {refused[0]} samples")
    if tags.get(COMPRESSION, 1) not in TiffImagePlugin.COMPRESSION_INFO:
        raise ImageError("unsupported", f"{size} of compression {tags[COMPRESSION]}")
    # Pillow's own reader of uncompressed samples knows neither subsampled colours nor planes that are not 8 bits.
    subsampled = tags.get(PHOTOMETRIC) == 6 and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1)
    with _ONE_OPENS:
        TiffImagePlugin.READ_LIBTIFF = subsampled or tags.get(PLANAR) == 2
        return _FirstPage(io.BytesIO(content), "")


class _FirstPage(TiffImagePlugin.TiffImageFile):
    """Pillow's image, with libtiff's guesses where Pillow's are others, and all of it in the file."""

    def _setup(self) -> None:
        tags = self.tag_v2
        if set(tags.get(SAMPLE_FORMAT, ())) == {UNDEFINED}:
            del tags[SAMPLE_FORMAT]  # as TIFF 6.0 says
        n_colours = tags.get(SAMPLES, 1) - len(tags.get(EXTRA_SAMPLES, ()))
        if PHOTOMETRIC not in tags and n_colours in (1, 3):
            bilevel = tags.get(COMPRESSION, 1) in CCITT
            tags[PHOTOMETRIC] = RGB if n_colours == 3 else WHITE_IS_ZERO if bilevel else BLACK_IS_ZERO
        if max(tags.get(COLOURS, ()), default=256) < 256:  # of 8 bits, not of 16
            tags[COLOURS] = tuple(257 * value for value in tags[COLOURS])
        super()._setup()
        drawn = [box for decoder, box, start, _ in self.tile if decoder == "libtiff" or start]
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in drawn]
        if sum(areas) < self.width * self.height and 0 not in areas:  # of a part without pixels Pillow complains
            n_parts = f"{len(drawn)} strips or tiles"
            raise ImageError("truncated", f"TIFF {self.width} x {self.height}: {n_parts} do not cover it")


def _first_directory(content: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    file = io.BytesIO(content)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if content.startswith(BIG_TIFF) else 8))
    file.seek(tags.next)
    tags.load(file)
    return tags


def grey8(image: Image.Image, values_HW: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of a loaded image of mode I or I;16, whatever its bits a sample; white is 255."""
    tags = image.tag_v2
    if SIGNED in tags.get(SAMPLE_FORMAT, ()):
        values_HW, bits = _not_negative(image, values_HW), 16
    else:
        bits = tags.get(BITS, (16,))[0]
    values_HW = values_HW.astype(np.uint32) if bits <= 16 else values_HW.astype(np.int64) & 0xFFFFFFFF
    grey = (values_HW >> (bits - 8)).astype(np.uint8)
    return 255 - grey if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else grey


def refuse_negative8(image: Image.Image, values_HW: np.ndarray) -> None:
    """`ImageError` where a loaded image of mode L has signed samples below zero: Pillow gives them as 128 and more."""
    if SIGNED in image.tag_v2.get(SAMPLE_FORMAT, ()) and values_HW.max() > 127:
        found = f"TIFF {image.width} x {image.height} with signed samples of 8 bits"
        raise ImageError("unsupported", f"{found}; read are those of which none is negative")


def _not_negative(image: Image.Image, values_HW: np.ndarray) -> np.ndarray:
    """Signed samples whose range can be told: 16 bits, and 32 bits that hold 16, as Pillow writes its mode I."""
    low, high = int(values_HW.min()), int(values_HW.max())
    if low < 0 or high > 65535 or (high < 256 and 32 in image.tag_v2[BITS]):
        found = f"TIFF {image.width} x {image.height} with signed samples from {low} to {high}"
        raise ImageError("unsupported", f"{found}; read are those of 16 bits, none negative")
    return values_HW


def is_cut(content: bytes) -> bool:
    """Whether the first directory, a value of it, or a strip or tile lies beyond the file's end.

    Asked only once decoding has failed: a sound picture may have a broken tag that says nothing of its pixels.
    """
    order, big = "<" if content.startswith(b"II") else ">", content.startswith(BIG_TIFF)
    at, number, entry = (8, "Q", order + "HHQQ") if big else (4, "I", order + "HHII")
    start = _number(content, at, order + number)
    n_entries = _number(content, start, order + ("Q" if big else "H"))
    first = start + (8 if big else 2)
    extents: dict[int, tuple[int, ...]] = {}
    for at in range(first, first + n_entries * struct.calcsize(entry), struct.calcsize(entry)):
        if at + struct.calcsize(entry) > len(content):
            return True
        tag, kind, count, value = struct.unpack_from(entry, content, at)
        n_bytes, inside = count * TYPE_BYTES.get(kind, 1), struct.calcsize(order + number)
        place = at + struct.calcsize(entry) - inside if n_bytes <= inside else value
        if place + n_bytes > len(content):
            return True
        if tag in EXTENTS and kind in (3, 4, 16):
            letter = {3: "H", 4: "I", 16: "Q"}[kind]
            extents[tag] = struct.unpack_from(f"{order}{count}{letter}", content, place)
    starts, lengths = (extents.get(strip) or extents.get(tile) or () for strip, tile in ((273, 324), (279, 325)))
    return n_entries == 0 or any(start + length > len(content) for start, length in zip(starts, lengths, strict=False))


def _number(content: bytes, at: int, kind: str) -> int:
    """0 beyond the end, where there are no entries to be found."""
    return struct.unpack_from(kind, content, at)[0] if at + struct.calcsize(kind) <= len(content) else 0
