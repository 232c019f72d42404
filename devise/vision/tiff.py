"""TIFF bytes -> Pillow's image with samples that it reads right, or a refusal; rotates and resizes nothing.

Tags: TIFF 6.0 (Adobe, 1992), and supplement 1 for SampleFormat.
"""

import io
from threading import Lock

import numpy as np
from PIL import Image, TiffImagePlugin

from devise.errors import ImageError
from devise.vision.formats import BIG_TIFF

BITS, COMPRESSION, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT, SUBSAMPLING = 258, 259, 262, 284, 339, 530
SAMPLE_FORMATS = {2: "signed", 3: "floating point", 5: "complex", 6: "complex"}
COMPRESSIONS = {1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946}
"""What this Pillow's libtiff decodes. Newer kinds (JPEG 2000, LZMA, Zstandard, LERC, WebP) are in some builds only."""


_ONE_OPENS = Lock()  # Pillow's choice of reader is a variable of its module


def open_with_pillow(content: bytes) -> Image.Image:
    """Pillow's image of the first page, nothing decoded.

    Raises:
        ImageError: truncated where the page's directory lies beyond the end, unsupported for kinds of samples that
            would come out wrong.
    """
    byte_order = "little" if content[:2] == b"II" else "big"
    start, length = (8, 8) if content.startswith(BIG_TIFF) else (4, 4)
    directory = int.from_bytes(content[start : start + length], byte_order)
    if directory + 2 > len(content):
        raise ImageError("truncated", f"TIFF: its directory is at byte {directory} of {len(content)}")
    image = _opened(content, through_libtiff=False)
    tags = image.tag_v2
    formats = tags.get(SAMPLE_FORMAT, (1,))
    refused = [SAMPLE_FORMATS[kind] for kind in formats if kind in SAMPLE_FORMATS]
    if refused or image.mode in ("F", "LAB"):
        kind = refused[0] if refused else image.mode
        raise ImageError("unsupported", f"TIFF {image.width} x {image.height} with {kind} samples")
    if tags.get(COMPRESSION, 1) not in COMPRESSIONS:
        raise ImageError("unsupported", f"TIFF {image.width} x {image.height} of compression {tags[COMPRESSION]}")
    subsampled = tags.get(PHOTOMETRIC) == 6 and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1)
    if subsampled or tags.get(PLANAR) == 2:
        # Pillow's own reader of uncompressed samples knows neither subsampled colours nor planes that are not 8 bits.
        image = _opened(content, through_libtiff=True)
    return image


def _opened(content: bytes, through_libtiff: bool) -> Image.Image:
    with _ONE_OPENS:
        TiffImagePlugin.READ_LIBTIFF = through_libtiff
        return TiffImagePlugin.TiffImageFile(io.BytesIO(content), "")


def grey8(image: Image.Image, values_HW: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of a loaded image of mode I or I;16, whatever its bits a sample; white is 255."""
    tags = image.tag_v2
    bits = tags.get(BITS, (16,))[0]
    values_HW = values_HW.astype(np.uint32) if bits <= 16 else values_HW.astype(np.int64) & 0xFFFFFFFF
    grey = (values_HW >> (bits - 8)).astype(np.uint8)
    return 255 - grey if tags.get(PHOTOMETRIC) == 0 else grey


def is_cut(image: Image.Image, content: bytes) -> bool:
    """Whether a strip or tile of the opened page lies beyond the file's end; asked only once decoding has failed."""
    tags = image.tag_v2
    starts, lengths = tags.get(273) or tags.get(324) or (), tags.get(279) or tags.get(325) or ()
    return any(start + length > len(content) for start, length in zip(starts, lengths, strict=False))
