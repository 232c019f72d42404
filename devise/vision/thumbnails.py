"""Encoded bytes -> the whole image made small, as WebP of bounded size; knows no files, stores, tables or networks.

Made as an image is embedded it costs no second decoding: what the network's resize leaves of a JPEG is large enough.
"""

import io
from dataclasses import replace

import torch
from PIL import Image
from torch.nn import functional

from devise.errors import ImageError
from devise.vision import images, stills
from devise.vision.images import Picture, Preprocessing, Thumbnail

SIDE = 256
"""Pixels of the longer side, at most: nothing is enlarged."""
MOST_BYTES = 24 * 2**10
"""Of a thumbnail. Noise takes 12,104 bytes at the last quality."""
QUALITIES = (60, 40, 20, 0)
"""Tried in turn until the bytes are few enough: nearly every photograph takes the first."""
METHOD = 2
"""libwebp's effort, of 0 to 6: 0 takes 0.8 of the time and 1.2 of the bytes, 4 twice the time and 0.96 of the bytes."""


def make(content: bytes, max_pixels: int) -> Thumbnail:
    """The thumbnail of `content`, which is shown as `images.decode` shows it, but for the crop.

    Raises:
        ImageError: as `images.decode`.
    """
    return shrink(images.read(content, max_pixels, long=SIDE, whole=True))


def decode(content: bytes, preprocessing: Preprocessing, max_pixels: int) -> Picture:
    """What `images.decode` returns, to the bit, and its thumbnail.

    The content is decoded once, unless it is a JPEG that the network takes smaller than a thumbnail, or a long narrow
    picture of another format, of which the network sees the middle. Where the ends of such a picture cannot be read it
    has no thumbnail.

    Raises:
        ImageError: as `images.decode`.
    """
    samples = images.read(content, max_pixels, short=preprocessing.resize)
    picture = images.fit(samples, preprocessing)
    try:
        return replace(picture, thumbnail=shrink(samples) if _suffices(samples) else make(content, max_pixels))
    except ImageError:
        return picture


def shrink(samples: stills.Samples) -> Thumbnail:
    """The thumbnail of a whole picture's samples, of which a JPEG's may be scaled down to SIDE already."""
    long = max(samples.width, samples.height)
    width, height = (max(1, round(side * min(SIDE, long) / long)) for side in (samples.width, samples.height))
    pixels_CHW = torch.from_numpy(samples.values_HWC).permute(2, 0, 1)
    if (height, width) != pixels_CHW.shape[1:]:
        pixels_CHW = functional.interpolate(pixels_CHW[None], (height, width), mode="bilinear", antialias=True)[0]
    image = Image.fromarray(images.shown(pixels_CHW, samples).permute(1, 2, 0).contiguous().numpy())
    return Thumbnail(_encoded(image), *image.size)


def _suffices(samples: stills.Samples) -> bool:
    """Whether samples that were read for a network make the thumbnail too."""
    return samples.whole and max(samples.values_HWC.shape[:2]) >= min(SIDE, max(samples.width, samples.height))


def _encoded(image: Image.Image) -> bytes:
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=METHOD)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()
