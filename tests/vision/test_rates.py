"""Rates of a sample: every part is measured over the images that it can be, rejects are counted, nothing is timed."""

import io

import pytest
from PIL import Image

from devise.errors import ImageError
from devise.vision import rates
from devise.vision.engine import Item
from devise.vision.images import Preprocessing

ITEMS = [Item(number, f"u{number}", "e", 100) for number in range(20)]


@pytest.fixture(scope="module")
def model():
    return rates.stand_in("small_cnn", None, Preprocessing(32, 32), dim=8)


def fetch(item):
    if item.image_id == 3:
        raise ImageError("gone", "as made")
    if item.image_id == 4:
        return b"no image"
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), (item.image_id, 0, 0)).save(picture, "JPEG")
    return picture.getvalue()


def test_all_parts_are_measured_and_rejects_counted(model):
    found = rates.measure(ITEMS, fetch, model, passes=3, device="cpu", threads=2)
    assert (found.n_images, found.rejected, found.cores, found.device) == (20, 2, 2, "cpu")
    for rate in (found.fetch, found.decode, found.model, found.together):
        assert 0 < rate.least <= rate.median <= rate.most
    assert found.mean_bytes > 100


def test_a_sample_without_an_image_is_refused(model):
    with pytest.raises(ValueError, match="found no image to measure in 2, wanted one or more"):
        rates.measure(ITEMS[3:5], fetch, model, passes=1, device="cpu")


def test_spread_is_half_the_distance_of_least_and_most():
    assert rates.Rate(100.0, 90.0, 120.0).spread == pytest.approx(0.15)
