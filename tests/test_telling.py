"""How quick work is, and a line of it, as people read them."""

import pytest

from devise import telling
from devise.telling import Speed


@pytest.mark.parametrize(
    ("done", "before", "total", "seconds", "wanted"),
    [
        (300, 100, 500, 10.0, Speed(20.0, 10.0)),  # 200 in 10 s, 200 left
        (100, 100, 500, 10.0, Speed(0.0, None)),
        (300, 100, None, 10.0, Speed(20.0, None)),
        (600, 100, 500, 10.0, Speed(50.0, 0.0)),  # a task that was done twice
    ],
)
def test_speed_counts_what_this_command_did(done, before, total, seconds, wanted):
    assert telling.speed(done, before, total, seconds) == wanted


def test_a_line_has_images_rate_rejects_and_time_left():
    line = telling.words("embed_images", 1_200, 5_000, 3, Speed(310.2, 7_300.0))
    assert line == "embed_images: 1,200 of 5,000 images, 310 a second, 3 rejects, about 2.0 h left"
    assert telling.words("catalog_images", 7, None, None, Speed(1.0, None)) == "catalog_images: 7 images, 1 a second"


@pytest.mark.parametrize(("seconds", "wanted"), [(7, "7 s"), (119, "119 s"), (180, "3 min"), (7_200, "2.0 h")])
def test_a_time_is_told_in_its_own_unit(seconds, wanted):
    assert telling.span(seconds) == wanted
