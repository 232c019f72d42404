"""Decoding: every odd kind of picture comes out right, every broken one with its code."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from devise.errors import ImageError
from devise.vision import formats, images, stills
from devise.vision.images import Preprocessing, decode

START_OF_SCAN = b"\xff\xda"
SMALL = Preprocessing(resize=32, crop=24)
LIMIT = 1_000_000


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(width: int = 60, height: int = 48) -> Image.Image:
    """Smooth colours, so that interpolation and compression hardly matter; no two corners alike."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red, green = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1)
    return Image.fromarray(np.stack([red, green, 255 - red / 2 - green / 2], axis=2).round().astype(np.uint8))


def pixels(content: bytes, preprocessing: Preprocessing = SMALL) -> torch.Tensor:
    picture = decode(content, preprocessing, LIMIT)
    assert picture.pixels.shape == (3, preprocessing.crop, preprocessing.crop)
    assert picture.pixels.dtype == torch.uint8
    return picture.pixels.int()


def apart(left: torch.Tensor, right: torch.Tensor) -> float:
    return (left - right).abs().float().mean().item()


def code_of(content: bytes, max_pixels: int = LIMIT) -> str:
    with pytest.raises(ImageError) as caught:
        decode(content, SMALL, max_pixels)
    assert caught.value.code in images.REJECT_CODES
    assert "\n" not in str(caught.value) and str(caught.value)
    return caught.value.code


WANTED = pixels(encoded(scene(), "PNG"))


def test_pixels_are_those_of_resize_then_centre_crop():
    for width, height in [(60, 48), (48, 60), (33, 61), (32, 32), (24, 24), (100, 77), (9, 13), (150, 60)]:
        image = torch.from_numpy(np.array(scene(width, height))).permute(2, 0, 1)
        wanted = reference.center_crop(reference.resize(image, [32], antialias=True), [24, 24]).int()
        found = pixels(encoded(scene(width, height), "PNG"))
        assert (found - wanted).abs().max() <= 1, (width, height)


def test_bicubic_pixels_are_pillow_s_and_never_wrap_round():
    cubic = Preprocessing(32, 24, interpolation="bicubic")
    edges = Image.fromarray(np.kron([[0, 255, 0], [255, 0, 255]], np.ones((17, 19))).astype(np.uint8)).convert("RGB")
    for picture in (scene(60, 48), scene(24, 24), scene(9, 13), edges, edges.resize((200, 150), 0)):
        short = min(picture.size)
        resized = picture.resize([32 * side // short for side in picture.size], Image.Resampling.BICUBIC)
        wanted = reference.center_crop(torch.from_numpy(np.array(resized)).permute(2, 0, 1), [24, 24]).int()
        found = pixels(encoded(picture, "PNG"), cubic)
        assert (found - wanted).abs().max() <= 1, picture.size
        assert apart(found, pixels(encoded(picture, "PNG"))) > 0


@pytest.mark.parametrize("size", [(400, 20), (20, 400), (401, 20), (20, 403), (20000, 20), (20, 20000)])
def test_long_narrow_images_are_cropped_before_they_are_resized(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    if max(size) < 1000:
        image = torch.from_numpy(noise).permute(2, 0, 1)
        wanted = reference.center_crop(reference.resize(image, [32], antialias=True), [24, 24]).int()
        # Half a pixel of phase at most: the long side's resized length was rounded before the crop.
        assert apart(pixels(encoded(Image.fromarray(noise), "PNG")), wanted) < 20
    picture = decode(encoded(Image.fromarray(noise), "PNG"), SMALL, LIMIT)
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_every_format_gives_the_same_picture(kind):
    assert apart(pixels(encoded(scene(), kind)), WANTED) < 4


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"quality": 95, "subsampling": 2}])
def test_jpegs_of_every_make_are_read(options):
    assert apart(pixels(encoded(scene(), "JPEG", **options)), WANTED) < 4


def test_large_jpegs_are_decoded_smaller_with_the_same_result():
    for size in [(64, 64), (300, 260), (1000, 700)]:
        assert apart(pixels(encoded(scene(*size), "JPEG", quality=95)), pixels(encoded(scene(*size), "PNG"))) < 3
    picture = decode(encoded(scene(1000, 700), "JPEG"), SMALL, LIMIT)
    assert (picture.width, picture.height) == (1000, 700)


def test_cmyk_and_grey_jpegs_are_read():
    assert apart(pixels(encoded(scene().convert("CMYK"), "JPEG", quality=95)), WANTED) < 12
    grey = pixels(encoded(scene().convert("L"), "JPEG"))
    assert apart(grey[0], grey[2]) == 0
    assert apart(grey, pixels(encoded(scene().convert("L"), "PNG"))) < 3


def test_sixteen_bit_grey_keeps_its_high_byte():
    values = np.full((48, 60), 100 * 257, dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        assert (pixels(encoded(Image.fromarray(values), kind)) == 100).all()


def png_rgb16(width: int, height: int, value: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = (b"\0" + struct.pack(">HHH", value, value, value) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return formats.PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_is_read():
    assert (pixels(png_rgb16(40, 40, 200 * 257)) == 200).all()


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    half = Image.new("RGBA", (40, 40), (200, 0, 0, 128))
    assert (pixels(encoded(clear, "PNG")) == 255).all()
    assert apart(pixels(encoded(half, "PNG"))[1], torch.tensor(127)) <= 1
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert (pixels(encoded(palette, "PNG", transparency=1)) == 255).all()
    assert pixels(encoded(palette, "PNG"))[:, 0, 0].tolist() == [10, 20, 30]
    assert (pixels(encoded(palette, "GIF", transparency=1)) == 255).all()
    assert (pixels(encoded(Image.new("LA", (40, 40), (9, 0)), "PNG")) == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(kind):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "lime")]
    found = pixels(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50))
    assert apart(found, torch.tensor([255, 0, 0]).view(3, 1, 1)) < 4


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "size"), [("JPEG", (60, 48)), ("JPEG", (200, 160)), ("PNG", (60, 48)), ("TIFF", (60, 48))]
)
def test_exif_rotation_is_honoured(turn, kind, size):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that store a picture so turned
    stored = scene(*size).transpose(Image.Transpose(undo[turn])) if turn > 1 else scene(*size)
    exif = Image.Exif()
    exif[stills.ORIENTATION_TAG] = turn
    picture = decode(encoded(stored, kind, exif=exif), SMALL, LIMIT)
    assert (picture.width, picture.height) == size
    assert apart(picture.pixels.int(), pixels(encoded(scene(*size), "PNG"))) < 6


def test_one_pixel_is_a_picture():
    for kind in ("PNG", "GIF", "JPEG"):
        picture = decode(encoded(Image.new("RGB", (1, 1), "white"), kind), SMALL, LIMIT)
        assert (picture.width, picture.height, int(picture.pixels.min())) == (1, 1, 255)


def test_bytes_that_are_no_image_have_a_code():
    assert code_of(b"") == "empty"
    assert code_of(b"\0") == "not_an_image"
    assert code_of(b"hello, this is text " * 50) == "not_an_image"
    assert code_of(b"%PDF-1.7\n" + b"x" * 500) == "not_an_image"
    assert code_of(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>') == "unsupported"
    assert code_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n") == "unsupported"
    assert code_of(encoded(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF")) == "unsupported"
    assert code_of(formats.JPEG + b"\xe0garbage" * 40 + START_OF_SCAN + b"\0" * 9 + formats.END_OF_IMAGE) == "corrupt"
    broken = bytearray(encoded(scene(), "PNG"))
    broken[60:80] = bytes(20)
    assert code_of(bytes(broken)) == "corrupt"


def detailed(width: int = 60, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(60, 48), (160, 130)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_cut_anywhere_is_truncated(mode, progressive, size):
    whole = encoded(detailed(*size).convert(mode), "JPEG", quality=30, progressive=progressive)
    for end in [*range(4, len(whole) - 4, 97), len(whole) - 5]:
        assert code_of(whole[:end]) == "truncated", f"cut at {end} of {len(whole)}"
    assert torch.equal(pixels(whole[:-2]), pixels(whole)), "nothing but the end marker is missing: viewers show it"


@pytest.mark.parametrize("size", [(60, 48), (160, 130)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_cut_jpeg_with_an_end_mark_is_no_grey_picture(mode, size):
    whole = encoded(detailed(*size).convert(mode), "JPEG", quality=30)
    start = whole.rfind(START_OF_SCAN)
    for share in (0.1, 0.5, 0.9):
        cut = whole[: start + int((len(whole) - start) * share)].rstrip(b"\xff")
        assert code_of(cut + formats.END_OF_IMAGE) == "truncated", share


@pytest.mark.parametrize("size", [(60, 48), (160, 130)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_whose_tail_was_never_written_is_truncated(mode, size):
    whole = encoded(detailed(*size).convert(mode), "JPEG", quality=30)
    assert code_of(whole[: len(whole) * 3 // 4] + bytes(len(whole))) == "truncated"


def test_a_picture_that_really_ends_grey_is_kept():
    for size in [(60, 48), (160, 130)]:
        for mode in ("RGB", "L", "CMYK"):
            image = Image.new(mode, size, {"RGB": (128,) * 3, "L": 128, "CMYK": (128,) * 4}[mode])
            assert len(pixels(encoded(image, "JPEG"))) == 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_other_formats_cut_short_are_truncated(kind):
    whole = encoded(detailed(), kind)
    for share in (0.3, 0.6, 0.9):
        assert code_of(whole[: int(len(whole) * share)]) in ("truncated", "corrupt")
    assert code_of(whole[: len(whole) // 2]) == "truncated" or kind == "TIFF"


def test_a_decompression_bomb_is_refused_from_its_header():
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = b"IHDR" + header
    bomb = formats.PNG + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    assert code_of(bomb + b"\0\0\0\0IDAT\x35\xaf\x06\x1e") == "too_many_pixels"
    assert code_of(encoded(scene(1000, 700), "JPEG"), max_pixels=699_999) == "too_many_pixels"
    assert decode(encoded(scene(1000, 700), "JPEG"), SMALL, 700_000).width == 1000


def test_preprocessing_that_cannot_be_is_a_mistake():
    with pytest.raises(ValueError, match="crop 300"):
        Preprocessing(resize=256, crop=300)
    with pytest.raises(ValueError, match="std"):
        Preprocessing(std=(1, 1, 0))
    with pytest.raises(ValueError, match="interpolation nearest"):
        Preprocessing(interpolation="nearest")
