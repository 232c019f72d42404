"""Samples of a small picture, and the colour profile that its file carries -> sRGB; knows no format.

A viewer shows a picture through its ICC profile. It is applied after the picture was resized: 224 x 224 pixels cost a
millisecond, 10 megapixels cost a second.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

UNREADABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)


def to_rgb(samples_HWC: np.ndarray, kind: str, icc: bytes) -> np.ndarray:
    """(H, W, 3) uint8 in sRGB; the samples as they are where the profile is missing, broken or of another kind.

    Args:
        samples_HWC: uint8, C = 1, 3 or 4 for kind "L", "RGB" or "CMYK" (inks, 255 is full).
    """
    transform = _transform(kind, icc) if icc else None
    image = Image.fromarray(samples_HWC[..., 0] if kind == "L" else samples_HWC, mode=kind) if transform else None
    if image is not None:
        return np.array(transform.apply(image))
    if kind == "L":
        return np.repeat(samples_HWC, 3, axis=2)
    if kind == "CMYK":
        light = 255 - samples_HWC.astype(np.uint16)
        return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
    return samples_HWC


@lru_cache(maxsize=32)
def _transform(kind: str, icc: bytes) -> ImageCms.ImageCmsTransform | None:
    """None for sRGB itself, and for a profile that cannot be used: it says nothing, as in a viewer."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if _is_srgb(profile):
            return None
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), kind, "RGB")
    except UNREADABLE:
        return None


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """By what it does to a few colours, not by its name: many files carry a profile named sRGB."""
    if profile.profile.xcolor_space.strip() != "RGB":
        return False
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(36, 6, 3)
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    shown = np.asarray(transform.apply(Image.fromarray(colours)))
    return bool(np.abs(shown.astype(int) - colours).max() <= 2)
