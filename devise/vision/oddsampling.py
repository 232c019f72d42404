"""JPEGs whose components are sampled in a way that TurboJPEG has no name for, by Pillow's libjpeg; knows no markers.

Of 2 x 2, 2 x 1 and 1 x 2 for three components, say: cameras and printers write such, and viewers show them.
"""

import io

import numpy as np
from PIL import Image, JpegImagePlugin

from devise.errors import ImageError

NO_NAME = "Could not determine subsampling"
"""What simplejpeg says of them."""
END = b"\xff\xd9"
NOISE = bytes(range(1, 255)) * 2
"""What decodes to something, wherever more data are wanted, and is no marker."""


def decode(content: bytes, size: str) -> np.ndarray:
    """(H, W, C) uint8: RGB, or inks as the file has them.

    Pillow keeps libjpeg's warnings to itself, and libjpeg makes up for data that end early. It makes up otherwise where
    there is something behind them: a picture that what follows alters was not whole.

    Args:
        content: one picture with an end marker. size: for messages.

    Raises:
        ImageError: truncated; corrupt where libjpeg gives up.
    """
    try:
        values_HWC = _values(content)
        followed_HWC = _values(content.removesuffix(END) + NOISE + END)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError("corrupt", f"{size}: {error}") from None
    if not np.array_equal(values_HWC, followed_HWC):
        raise ImageError("truncated", f"{size}: its data end before its last pixel")
    return values_HWC


def _values(content: bytes) -> np.ndarray:
    image: Image.Image = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    return 255 - np.array(image) if image.mode == "CMYK" else np.array(image)  # Pillow has turned the inks over
