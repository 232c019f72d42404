"""Bytes of every format but JPEG -> samples of the first frame, by Pillow; resizes nothing."""

import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from devise.errors import ImageError
from devise.vision import formats, jpeg2000, netpbm, png, tiff

# What Pillow is known to raise on broken files; a MemoryError is ours, not the image's.
BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
NOT_READ = re.compile(
    r"unsupported|not supported|cannot handle|not implemented|unknown (pixel|raw) mode|unknown data organization"
    r"|unable to determine J2K image mode|not yet supported|no codec available",
    re.IGNORECASE,
)
"""Words of Pillow's by which it says that a kind of file is not read, rather than that it is broken."""
ORIENTATION_TAG = 0x0112
PYTHON_PIXELS = 4_000_000
"""Most pixels of what Pillow decodes in Python, at 1 to 3 s a megapixel (run-length coded BMP)."""
Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True)
class Samples:
    """What a file's pixels are, before they are resized.

    Attributes:
        values_HWC: uint8, C = 1, 3 or 4 for kind "L", "RGB" or "CMYK" (inks, 255 is full).
        icc: the colour profile, or empty. turn: EXIF orientation still to be applied, 1 to 8.
        width, height: of the whole picture in pixels, before it is turned.
        whole: False where the ends of a long narrow picture were left out.
    """

    values_HWC: np.ndarray
    kind: str
    icc: bytes
    turn: int
    width: int
    height: int
    whole: bool = True


def read(kind: str, content: bytes, max_pixels: int, whole: bool = False) -> Samples:
    """The first frame's middle, or the `whole` frame, transparency laid on white.

    Args:
        kind: what `formats.recognise` said.

    Raises:
        ImageError: unsupported, truncated, corrupt, too_many_pixels or too_slow; with Pillow's own reason.
    """
    image = None
    try:
        if kind == "PPM":
            return _read_netpbm(content, max_pixels)
        chunks = png.read(content) if kind == "PNG" else None
        image = _open(kind, content, chunks, max_pixels)
        _check_header(image, content, max_pixels)
        drawn = image.tile[0][1] if kind == "GIF" and image.tile else None
        image.load()
        turn = orientation(chunks.exif) or chunks.xmp_turn if chunks else _orientation(image)
        icc = chunks.icc if chunks else image.info.get("icc_profile") or b""
        all_of_it = (0, 0, *image.size)
        box = all_of_it if whole else middle_of(*image.size)
        values_HWC, mode = _flattened(image, drawn, box)
    except BROKEN as error:
        raise _fault(kind, content, image, error) from None
    return Samples(values_HWC, mode, icc, turn, *image.size, box == all_of_it)


def _read_netpbm(content: bytes, max_pixels: int) -> Samples:
    _, width, height, _, _ = netpbm.read_header(content)
    _check_pixels(width, height, max_pixels)
    values = netpbm.decode(content)
    return Samples(np.atleast_3d(values), "L" if values.ndim == 2 else "RGB", b"", 1, width, height)


def _open(kind: str, content: bytes, chunks: png.Chunks | None, max_pixels: int) -> Image.Image:
    """Pillow's image, nothing decoded. Its plugin is asked directly: `Image.open` drops the reason of a refusal."""
    if chunks:
        return png.open_with_pillow(chunks)
    if kind == "TIFF":
        return tiff.open_with_pillow(content)
    if kind == "ICO":
        for size in formats.icon_sizes(content):
            _check_pixels(*size, max_pixels)  # Pillow decodes an icon as it opens it
    return Image.OPEN[kind][0](io.BytesIO(content), "")


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError("too_many_pixels", f"{width} x {height} pixels, wanted at most {max_pixels}")


def _check_header(image: Image.Image, content: bytes, max_pixels: int) -> None:
    """`ImageError` for what no decoder refuses: too much work, or pixels that are not there."""
    _check_pixels(*image.size, max_pixels)
    size = f"{image.format} {image.width} x {image.height}"
    if image.tile and image.tile[0][0] == "gif" and not image.tile[0][3][0]:
        raise ImageError("corrupt", f"{size}: codes of no bits")  # Pillow shows noise
    if image.format == "JPEG2000" and (n_missing := jpeg2000.n_missing_tiles(content)) > 0:
        raise ImageError("truncated", f"{size}: {n_missing} of its tiles are missing")
    if image.tile and image.tile[0][0] == "bmp_rle" and image.width * image.height > PYTHON_PIXELS:
        raise ImageError("too_slow", f"{size}, run-length coded: wanted at most {PYTHON_PIXELS} pixels of its kind")


def _flattened(image: Image.Image, drawn: Box | None, shown: Box) -> tuple[np.ndarray, str]:
    """(H, W, C) uint8 of what is shown and its kind: no palette, no transparency, no more than 8 bits.

    Args:
        drawn: box of a GIF's first frame: outside of it nothing was drawn, which is transparent.
    """
    middle = image.crop(shown)
    if middle.mode == "I" or middle.mode.startswith("I;16"):
        middle = _grey8(image, middle)
    elif middle.mode == "L" and image.format == "TIFF":
        tiff.refuse_negative8(image, np.asarray(middle))
    if middle.mode in ("F", "LAB", "HSV"):
        raise ImageError("unsupported", f"{image.format} with pixels of kind {middle.mode}")
    if middle.mode == "La":
        middle = middle.convert("LA")
    if drawn and drawn != (0, 0, *image.size):
        left, top = shown[:2]
        box = tuple(edge - shift for edge, shift in zip(drawn, (left, top, left, top), strict=True))
        inside = Image.new("L", middle.size, 0)
        inside.paste(255, box)
        middle = Image.composite(middle.convert("RGBA"), Image.new("RGBA", middle.size), inside)
    if image.format in ("BMP", "ICO") and middle.mode == "RGBA" and not middle.getchannel("A").getbbox():
        middle = middle.convert("RGB")  # nothing but zeros: a fourth byte that is not meant, as Windows takes it
    if middle.has_transparency_data:
        middle = middle.convert("RGBA")
        middle = Image.alpha_composite(Image.new("RGBA", middle.size, "white"), middle)
    if middle.mode == "1":
        middle = middle.convert("L")
    if middle.mode not in ("L", "CMYK"):
        middle = middle.convert("RGB")
    return np.atleast_3d(np.array(middle)), middle.mode


def _grey8(image: Image.Image, middle: Image.Image) -> Image.Image:
    """A deep grey image's high byte; what its tRNS says is transparent becomes so at full depth."""
    values_HW = np.asarray(middle)
    if image.format == "TIFF":
        return Image.fromarray(tiff.grey8(image, values_HW))
    grey = (values_HW.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
    clear = image.info.get("transparency")
    if clear is None:
        return Image.fromarray(grey)
    return Image.fromarray(np.stack([grey, np.where(values_HW == clear, 0, 255).astype(np.uint8)], axis=2))


def middle_of(width: int, height: int) -> Box:
    """Box (left, top, right, bottom) around the centre, its long side about twice the short one at most."""
    excess_x, excess_y = max(0, width - 2 * height) // 2, max(0, height - 2 * width) // 2
    return excess_x, excess_y, width - excess_x, height - excess_y


def orientation(exif: bytes) -> int:
    """EXIF orientation, 1 to 8, of a block that starts with Exif; 0 where there is none or it cannot be read."""
    if not exif:
        return 0
    found = Image.Exif()
    try:
        found.load(exif)
        turn = found.get(ORIENTATION_TAG)
    except BROKEN:
        return 0
    return turn if turn in range(1, 9) else 0


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or it cannot be read, as viewers do."""
    try:
        turn = image.getexif().get(ORIENTATION_TAG, 1)
    except BROKEN:
        return 1
    return turn if turn in range(1, 9) else 1


def _fault(kind: str, content: bytes, image: Image.Image | None, error: Exception) -> ImageError:
    reason = " ".join((str(error) or type(error).__name__).split())
    message = f"{kind} {image.width} x {image.height}: {reason}" if image is not None else f"{kind}: {reason}"
    if isinstance(error, Image.DecompressionBombError):
        return ImageError("too_many_pixels", message)
    if kind == "TIFF" and tiff.is_cut(content):
        return ImageError("truncated", message)  # what a directory lacks looks like a kind that is not known
    if NOT_READ.search(reason) or (image is not None and image.info.get("compression") in tiff.OPTIONAL):
        return ImageError("unsupported", message)
    cut = isinstance(error, EOFError) or "truncated" in reason.lower() or "premature" in reason.lower()
    return ImageError("truncated" if cut or formats.is_cut(kind, content) else "corrupt", message)
