"""Thumbnails: whole, as displayed, never enlarged, of few bytes; and the network's picture is the same to the bit."""

import io

import numpy as np
import pytest
import torch
from fuzz import makers
from PIL import Image

from devise.errors import ImageError
from devise.vision import images, thumbnails
from devise.vision.engine import Engine, Item
from devise.vision.images import Preprocessing

SMALL, USUAL = Preprocessing(48, 40), Preprocessing()
SOUND, REFUSED = makers.sound(), makers.refused()


def opened(found):
    """What Pillow shows of a thumbnail, int (H, W, 3)."""
    image = Image.open(io.BytesIO(found.webp))
    assert (image.format, image.mode, image.size) == ("WEBP", "RGB", (found.width, found.height))
    assert len(found.webp) <= thumbnails.MOST_BYTES
    return np.array(image).astype(int)


def photograph(width, height, seed=0):
    """Smooth, with some detail."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height), 3)
    noise = rng.integers(-12, 13, (height, width, 3))
    return Image.fromarray((np.array(coarse) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_of_any_make_has_a_thumbnail_of_the_picture(name):
    wanted = makers.LUMA[..., None] if "grey" in name else makers.RGB
    found = opened(thumbnails.make(SOUND[name], 1_000_000))
    assert found.shape[:2] == (makers.H, makers.W)  # never enlarged
    assert np.abs(found - wanted.astype(int)).mean() < 8
    both = thumbnails.decode(SOUND[name], SMALL, 1_000_000)
    alone = images.decode(SOUND[name], SMALL, 1_000_000)
    assert torch.equal(both.pixels, alone.pixels) and (both.width, both.height) == (alone.width, alone.height)
    assert opened(both.thumbnail).shape == found.shape


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_with_the_same_code(name):
    content, code = REFUSED[name]
    for door in (lambda: thumbnails.make(content, 1_000_000), lambda: thumbnails.decode(content, SMALL, 1_000_000)):
        with pytest.raises(ImageError) as caught:
            door()
        assert caught.value.code == code


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1000, 750), (750, 1000), (513, 512), (450, 450), (256, 256), (90, 300), (2000, 30)])
@pytest.mark.parametrize("preprocessing", [SMALL, Preprocessing(224, 224), USUAL], ids=["48", "224", "256"])
def test_the_whole_picture_is_shown_at_256_pixels_whatever_the_network_takes(kind, size, preprocessing):
    picture = photograph(*size)
    content = makers.encode(kind, picture)
    both, made = thumbnails.decode(content, preprocessing, 10**8), thumbnails.make(content, 10**8)
    assert torch.equal(both.pixels, images.decode(content, preprocessing, 10**8).pixels)
    scale = min(1, 256 / max(size))
    wanted = tuple(max(1, round(side * scale)) for side in size)
    for found in (both.thumbnail, made):
        assert (found.width, found.height) == wanted
        shown = np.array(picture.resize(wanted, Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(opened(found) - shown).mean() < (8 if min(wanted) > 16 else 24)  # two rows have one colour


def test_a_picture_is_decoded_once_where_that_is_enough(monkeypatch):
    asked, real = [], images.read
    monkeypatch.setattr(images, "read", lambda *given, **how: asked.append(how) or real(*given, **how))

    def decoded(kind, size, preprocessing):
        del asked[:]
        thumbnails.decode(makers.encode(kind, photograph(*size)), preprocessing, 10**8)
        return len(asked)

    for size in ((1000, 750), (513, 512), (450, 450), (90, 80), (900, 90)):
        assert decoded("JPEG", size, USUAL) == 1
    assert decoded("PNG", (500, 300), USUAL) == 1
    assert decoded("JPEG", (450, 450), Preprocessing(224, 224)) == 2  # it would be 225 pixels
    assert decoded("JPEG", (1000, 750), Preprocessing(224, 224)) == 1
    assert decoded("JPEG", (1000, 750), SMALL) == 2
    assert decoded("PNG", (500, 200), USUAL) == 2  # the network sees the middle


def test_it_is_turned_and_coloured_as_the_network_s_picture_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = makers.encode("JPEG", photograph(600, 400), exif=exif.tobytes(), quality=95)
    upright = makers.encode("JPEG", photograph(600, 400), quality=95)
    found, plain = (opened(thumbnails.make(content, 10**8)) for content in (turned, upright))
    assert found.shape == (256, 171, 3) and np.abs(found - np.rot90(plain, -1)).mean() < 4
    swapped = opened(thumbnails.make(makers.encode("PNG", icc_profile=makers.swapped_profile()), 10**8))
    assert np.abs(swapped - makers.RGB[..., [1, 0, 2]].astype(int)).mean() < 8
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert opened(thumbnails.make(makers.encode("PNG", clear), 10**8)).min() > 250


@pytest.mark.parametrize("levels", [256, 2])
def test_noise_is_told_in_few_bytes_too(levels):
    values = np.random.default_rng(0).integers(0, levels, (256, 256, 3)) * (255 // (levels - 1))
    found = thumbnails.make(makers.encode("PNG", Image.fromarray(values.astype(np.uint8))), 10**8)
    assert opened(found).shape == (256, 256, 3)


def test_ends_that_cannot_be_read_cost_the_thumbnail_alone():
    """A TIFF of signed samples, of which those at the ends are negative: the network sees the middle."""
    values = np.tile(np.arange(0, 90, dtype=np.int8), (8, 1))
    values[:, :4] = -5
    tags = makers.samples(8, 1, sample_format=2)
    content = makers.tiff(tags, values.tobytes(), size=(90, 8))
    both = thumbnails.decode(content, Preprocessing(8, 8), 10**6)
    assert both.thumbnail is None and torch.equal(
        both.pixels, images.decode(content, Preprocessing(8, 8), 10**6).pixels
    )
    with pytest.raises(ImageError, match="signed samples"):
        thumbnails.make(content, 10**6)


class MadeNetwork:
    """The mean colour, as a unit vector; of a picture that is all black not finite."""

    preprocessing, dim = SMALL, 3

    def __call__(self, pixels_B3HW):
        mean_B3 = pixels_B3HW.float().mean(dim=(2, 3))
        norm_B = mean_B3.norm(dim=1)
        return mean_B3 / norm_B[:, None], norm_B


def test_the_engine_makes_those_that_it_is_asked_for_and_embeds_all_alike():
    contents = [makers.encode("JPEG", photograph(300, 200, seed)) for seed in range(10)]
    contents += [b"no image", makers.encode("PNG", Image.new("RGB", (9, 9)))]
    items = [Item(number, str(number), "", 1) for number in range(len(contents))]

    def outcomes(**how):
        engine = Engine(MadeNetwork(), lambda item: contents[item.image_id], device="cpu", threads=2, **how)
        found: dict = {}
        for out in engine.run(items):
            rows = zip(out.embedding_ND.tolist(), out.codes, out.thumbnails, strict=True)
            found |= {item.image_id: row for item, row in zip(out.items, rows, strict=True)}
        return found

    with_some, without = outcomes(thumbnail=lambda item: item.image_id % 2 == 1), outcomes()
    assert {number: row[:2] for number, row in with_some.items()} == {n: row[:2] for n, row in without.items()}
    assert not any(row[2] for row in without.values())
    assert {number for number, row in with_some.items() if row[2]} == {1, 3, 5, 7, 9}
    assert (with_some[10][1], with_some[11][1]) == ("not_an_image", "not_finite") and with_some[11][2] is None
    assert opened(with_some[3][2]).shape == (171, 256, 3)
