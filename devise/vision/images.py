"""Encoded bytes -> pixels of one shape, or a reject code; knows no files, stores, models or batches.

Shape letters: C channels of the file, 3 of RGB, H rows, W columns.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from devise.errors import ImageError
from devise.vision import colour, formats, jpeg, stills

REJECT_CODES: dict[str, str] = {
    "empty": "the object has no bytes",
    "not_an_image": "the bytes begin like no image format",
    "unsupported": "an image of a format or pixel kind that is not read here",
    "truncated": "the image ends before its last pixel",
    "corrupt": "the image cannot be decoded",
    "too_many_pixels": "the header promises more pixels than max_pixels; nothing was decoded",
    "too_slow": "decoding would take more work than is allowed; nothing was decoded",
    "too_large": "the object is listed with more bytes than max_bytes; it was not fetched",
    "gone": "the object is no longer there",
    "changed": "the object changed after it was listed",
    "denied": "no right to read the object",
    "throttled": "the store asked to slow down, retries included",
    "timeout": "the store did not answer in time",
    "unreadable": "the store or disk failed to give the bytes",
    "crashed": "reading the image ended the process that read it",
    "id_collision": "another uri has the same image_id",
    "not_finite": "the network's output is zero or not finite",
}
"""Every reject code and what it means; the first seven are raised by `decode`."""

SCANS_OF_A_LARGEST_PICTURE = 16
"""A progressive JPEG of max_pixels may have so many scans, a smaller one more: 130 ms each at 100 megapixels."""


@dataclass(frozen=True)
class Preprocessing:
    """How pixels reach the network: short side resized (antialiased), centre crop, (RGB / 255 - mean) / std.

    Attributes:
        resize: short side in pixels. crop: side of the square cut from the centre, at most `resize`.
        interpolation: how it is resized; bicubic overshoots at edges, and is cut off at 0 and 255.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(f"crop {self.crop}, resize {self.resize}: wanted 1 <= crop <= resize")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}: wanted three numbers each, std above 0")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation {self.interpolation}: wanted bilinear or bicubic")

    def told(self) -> dict[str, Any]:
        """The fields as cards and ids have them: `interpolation` only where it is not the one that all once had."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("interpolation", "bilinear")}


@dataclass(frozen=True)
class Picture:
    """A decoded image: pixels uint8 RGB (3, crop, crop), and the width and height in pixels as displayed."""

    pixels: torch.Tensor
    width: int
    height: int
    thumbnail: "Thumbnail | None" = None
    """Where one was asked for (`thumbnails.decode`) and can be made."""


@dataclass(frozen=True)
class Thumbnail:
    """A whole image made small: WebP bytes, and its width and height in pixels as displayed."""

    webp: bytes
    width: int
    height: int


def decode(content: bytes, preprocessing: Preprocessing, max_pixels: int) -> Picture:
    """The picture in `content`, as a viewer shows it: first frame, EXIF rotation applied, transparency laid on white,
    colours through the ICC profile; resized and cropped.

    JPEGs whose short side is at least twice `resize` are decoded at 1/2, 1/4 or 1/8 by their DCT. Long narrow images
    lose their ends before they are resized, so memory follows the pixels in the file, never the aspect ratio.

    Raises:
        ImageError: with code empty, not_an_image, unsupported, truncated, corrupt, too_many_pixels or too_slow.
    """
    return fit(read(content, max_pixels, short=preprocessing.resize), preprocessing)


def read(content: bytes, max_pixels: int, *, short: int = 0, long: int = 0, whole: bool = False) -> stills.Samples:
    """The samples of `content`, neither resized nor turned, their colours as the file has them.

    Args:
        short, long: sides in pixels, at least, to which a JPEG may be scaled by its DCT.
        whole: keep the ends of a long narrow picture.

    Raises:
        ImageError: as `decode`.
    """
    if not content:
        raise ImageError("empty", "zero bytes")
    kind = formats.recognise(content)
    return (
        _read_jpeg(content, max_pixels, short, long)
        if kind == "JPEG"
        else stills.read(kind, content, max_pixels, whole)
    )


def fit(samples: stills.Samples, preprocessing: Preprocessing) -> Picture:
    """The picture of samples whose short side is at least `resize`, or as long as the file's."""
    shaped_CHW = _shaped(torch.from_numpy(samples.values_HWC).permute(2, 0, 1), preprocessing)
    size = (samples.width, samples.height) if samples.turn < 5 else (samples.height, samples.width)
    return Picture(shown(shaped_CHW, samples), *size)


def shown(pixels_CHW: torch.Tensor, samples: stills.Samples) -> torch.Tensor:
    """uint8 RGB as displayed: the resized samples of a file through its colour profile, and turned."""
    if samples.kind != "RGB" or samples.icc:
        rgb_HW3 = colour.to_rgb(pixels_CHW.permute(1, 2, 0).numpy(), samples.kind, samples.icc)
        pixels_CHW = torch.from_numpy(rgb_HW3).permute(2, 0, 1)
    return _turned(pixels_CHW, samples.turn)


def _read_jpeg(content: bytes, max_pixels: int, short: int, long: int) -> stills.Samples:
    header = jpeg.read_header(content, max_pixels, SCANS_OF_A_LARGEST_PICTURE * max_pixels)
    values_HWC = jpeg.decode(content, header, short, long)
    turn = stills.orientation(header.exif) or header.xmp_turn
    return stills.Samples(values_HWC, header.kind, header.icc, turn, header.width, header.height)


def _shaped(pixels_CHW: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    left, top, right, bottom = stills.middle_of(pixels_CHW.shape[2], pixels_CHW.shape[1])
    pixels_CHW = pixels_CHW[:, top:bottom, left:right]
    height, width = pixels_CHW.shape[1:]
    resize, crop, short = preprocessing.resize, preprocessing.crop, min(height, width)
    size = [resize * height // short, resize * width // short]
    if size != [height, width]:
        pixels_CHW = functional.interpolate(pixels_CHW[None], size, mode=preprocessing.interpolation, antialias=True)[0]
    top, left = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return pixels_CHW[:, top : top + crop, left : left + crop]


def _turned(pixels_CHW: torch.Tensor, turn: int) -> torch.Tensor:
    """As displayed: EXIF 2.32, tag 0x0112, says which side of the stored image is the visual top and left."""
    if turn > 4:
        pixels_CHW = pixels_CHW.transpose(1, 2)
    flips = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(turn)
    return pixels_CHW.flip(flips) if flips else pixels_CHW
