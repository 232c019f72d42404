"""Encoded bytes -> pixels of one shape, or a reject code; knows no files, stores, models or batches."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_jpeg

from devise.errors import ImageError

REJECT_CODES: dict[str, str] = {
    "empty": "the object has no bytes",
    "not_an_image": "the bytes begin like no image format",
    "unsupported": "an image of a format or pixel kind that is not read here",
    "truncated": "the image ends before its last pixel",
    "corrupt": "the image cannot be decoded",
    "too_many_pixels": "the header promises more pixels than max_pixels; nothing was decoded",
    "gone": "the object is no longer there",
    "changed": "the object changed after it was listed",
    "denied": "no right to read the object",
    "throttled": "the store asked to slow down, retries included",
    "timeout": "the store did not answer in time",
    "unreadable": "the store or disk failed to give the bytes",
    "id_collision": "another uri has the same image_id",
    "not_finite": "the network's output is zero or not finite",
}
"""Every reject code and what it means; the first six are raised by `decode`."""

Image.init()
# An allow-list: some of Pillow's other plugins start programs (EPS) or have next to no signature.
FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "ICO", "AVIF")
    if name in Image.OPEN
)
JPEG, END_OF_IMAGE, START_OF_SCAN = b"\xff\xd8\xff", b"\xff\xd9", b"\xff\xda"
PNG = b"\x89PNG\r\n\x1a\n"
READ_HERE = (JPEG, PNG, b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
KNOWN_BUT_NOT_READ = (b"8BPS", b"%!PS", b"<svg", b"<?xml", b"gimp xcf", b"\x76\x2f\x31\x01", b"\0\0\0\x0cJXL ")
ORIENTATION_TAG = 0x0112
# What Pillow is known to raise on broken files; a MemoryError is ours, not the image's.
BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError),
    *(struct.error, zlib.error),
)
# Bits that are no picture: put before the end of a JPEG they show only where its own data had run out.
PROBE = bytes((37 * i + 11) % 251 for i in range(64))


@dataclass(frozen=True)
class Preprocessing:
    """How pixels reach the network: short side resized (bilinear, antialiased), centre crop, (RGB / 255 - mean) / std.

    Attributes:
        resize: short side in pixels. crop: side of the square cut from the centre, at most `resize`.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(f"crop {self.crop}, resize {self.resize}: wanted 1 <= crop <= resize")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}: wanted three numbers each, std above 0")


@dataclass(frozen=True)
class Picture:
    """A decoded image: pixels uint8 RGB (3, crop, crop), and the width and height in pixels as displayed."""

    pixels: torch.Tensor
    width: int
    height: int


def decode(content: bytes, preprocessing: Preprocessing, max_pixels: int) -> Picture:
    """The picture in `content`: first frame, EXIF rotation applied, transparency laid on white, resized and cropped.

    JPEGs whose short side is at least twice `resize` are decoded at 1/2, 1/4 or 1/8 by their DCT. Long narrow images
    lose their ends before they are resized, so memory follows the pixels in the file, never the aspect ratio.
    Pillow's own limit (178,956,970 pixels, `Image.MAX_IMAGE_PIXELS`) holds beside `max_pixels`.

    Raises:
        ImageError: with code empty, not_an_image, unsupported, truncated, corrupt or too_many_pixels.
    """
    if not content:
        raise ImageError("empty", "zero bytes")
    image = _open(content)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError("too_many_pixels", f"{width} x {height} pixels, wanted at most {max_pixels}")
    jpeg = image.format in ("JPEG", "MPO")
    draft = (preprocessing.resize,) * 2 if jpeg and min(width, height) >= 2 * preprocessing.resize else None
    try:
        if jpeg and draft is None and image.mode in ("RGB", "L"):
            pixels, turn = _decode_jpeg(content), _orientation(image)
        else:
            pixels, turn = _decode_any(image, content, draft)
            width, height = (width, height) if jpeg else image.size  # a TIFF is turned as it is read
    except BROKEN as error:
        ended = isinstance(error, EOFError)
        raise _fault(content, f"{image.format} {width} x {height}: {error or type(error).__name__}", ended) from None
    if turn > 4:
        width, height = height, width
    return Picture(_turned(_shaped(pixels, preprocessing), turn), width, height)


def _open(content: bytes) -> Image.Image:
    """The image with its header read and nothing decoded."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too_many_pixels", str(error)) from None
    except BROKEN:
        head = content[:16]
    if head.startswith(READ_HERE) or _is_webp(head):
        raise _fault(content, "its header cannot be read") from None
    if head.lstrip().lower().startswith(tuple(mark.lower() for mark in KNOWN_BUT_NOT_READ)) or head[4:8] == b"ftyp":
        raise ImageError("unsupported", f"a format that is not read here: begins with {head!r}")
    raise ImageError("not_an_image", f"begins with {head!r}")


def _decode_jpeg(content: bytes) -> torch.Tensor:
    """(3, H, W) uint8 by libjpeg-turbo without Pillow's copies; a cut image is an error, never grey."""
    pixels = _decode_rgb(content)
    # libjpeg fills what its data does not reach with mid grey, in silence if an end marker follows.
    if bool((pixels[:, -1, -8:] == 128).all()) and not torch.equal(pixels, _decode_rgb(_probed(content))):
        raise EOFError("its data ends before its last pixel")
    return pixels


def _decode_rgb(content: bytes) -> torch.Tensor:
    try:
        return decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=ImageReadMode.RGB)
    except RuntimeError as error:
        if "allocate" in str(error):
            raise MemoryError(str(error)) from None
        reason = " ".join(str(error).rpartition(", ")[2].split())
        raise (EOFError if "truncated" in reason else OSError)(reason) from None


def _decode_any(image: Image.Image, content: bytes, draft: tuple[int, int] | None) -> tuple[torch.Tensor, int]:
    """(3, H, W) uint8 of the first frame's middle, and the EXIF orientation still to be applied.

    Args:
        draft: decode a JPEG at the smallest DCT scale that is no smaller than this.
    """
    if draft:
        image.draft(None, draft)
    if image.format in ("JPEG", "MPO"):
        if _is_cut(content):
            raise EOFError("no end of image after its last scan")
        if _ends_grey(image):
            again = Image.open(io.BytesIO(_probed(content)), formats=FORMATS)
            if draft:
                again.draft(None, draft)
            if again.tobytes() != image.tobytes():
                raise EOFError("its data ends before its last pixel")
    image.load()
    turn = _orientation(image)
    middle = image.crop(_middle(*image.size))
    if middle.mode.startswith("I"):
        values = np.asarray(middle).astype(np.int64).clip(0, 65535) >> 8
        middle = Image.fromarray(values.astype(np.uint8))
    if middle.mode in ("F", "LAB"):
        raise ImageError("unsupported", f"{image.format} with pixels of kind {middle.mode}")
    if middle.has_transparency_data:
        middle = middle.convert("RGBA")
        middle = Image.alpha_composite(Image.new("RGBA", middle.size, "white"), middle)
    pixels = torch.from_numpy(np.array(middle.convert("RGB"))).permute(2, 0, 1)
    return pixels, turn


def _middle(width: int, height: int) -> tuple[int, int, int, int]:
    """Box (left, top, right, bottom) around the centre, its long side about twice the short one at most."""
    excess_x, excess_y = max(0, width - 2 * height) // 2, max(0, height - 2 * width) // 2
    return excess_x, excess_y, width - excess_x, height - excess_y


def _shaped(pixels_3HW: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    left, top, right, bottom = _middle(pixels_3HW.shape[2], pixels_3HW.shape[1])
    pixels_3HW = pixels_3HW[:, top:bottom, left:right]
    height, width = pixels_3HW.shape[1:]
    resize, crop, short = preprocessing.resize, preprocessing.crop, min(height, width)
    size = [resize * height // short, resize * width // short]
    if size != [height, width]:
        pixels_3HW = functional.interpolate(pixels_3HW[None], size, mode="bilinear", antialias=True)[0]
    top, left = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return pixels_3HW[:, top : top + crop, left : left + crop]


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or it cannot be read, as viewers do."""
    try:
        turn = image.getexif().get(ORIENTATION_TAG, 1)
    except BROKEN:
        return 1
    return turn if turn in range(1, 9) else 1


def _turned(pixels_3HW: torch.Tensor, turn: int) -> torch.Tensor:
    """As displayed: EXIF 2.32, tag 0x0112, says which side of the stored image is the visual top and left."""
    if turn > 4:
        pixels_3HW = pixels_3HW.transpose(1, 2)
    flips = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(turn)
    return pixels_3HW.flip(flips) if flips else pixels_3HW


def _ends_grey(image: Image.Image) -> bool:
    width, height = image.size
    extrema = image.crop((max(0, width - 8), height - 1, width, height)).getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low >= 127 and high <= 128 for low, high in bands)  # 127: inverted, as in CMYK


def _probed(content: bytes) -> bytes:
    end = content.rfind(END_OF_IMAGE)
    return content[:end] + PROBE + content[end:]


def _fault(content: bytes, message: str, ended: bool = False) -> ImageError:
    cut = ended or "truncated" in message or _is_cut(content)
    return ImageError("truncated" if cut else "corrupt", " ".join(message.split()))


def _is_cut(content: bytes) -> bool:
    """Whether the file lacks the end that its format asks for."""
    if content.startswith(JPEG):
        scan = content.rfind(START_OF_SCAN)
        return scan < 0 or content.rfind(END_OF_IMAGE) < scan
    if content.startswith(PNG):
        return b"IEND" not in content[-1024:]
    if content.startswith(b"GIF8"):
        return not content.rstrip(b"\0").endswith(b";")
    if content.startswith(b"BM"):
        return int.from_bytes(content[2:6], "little") > len(content)
    return _is_webp(content) and int.from_bytes(content[4:8], "little") + 8 > len(content)


def _is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"
