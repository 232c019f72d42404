"""A frozen map: alike images lie near each other, nothing that is on it moves, and what comes later has one place."""

import numpy as np
import pytest

from devise.errors import ModelError
from devise.learning import places

GROUPS, DIM = 6, 20


def images(n, seed):
    """Unit vectors about six directions, and which one each is about."""
    rng = np.random.default_rng(seed)
    centre_GD = np.random.default_rng(0).normal(size=(GROUPS, DIM))
    group_N = rng.integers(GROUPS, size=n)
    vector_ND = centre_GD[group_N] + 0.4 * rng.normal(size=(n, DIM))
    return (vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)).astype(np.float32), group_N


@pytest.fixture(scope="module")
def made():
    return places.fit(images(180, 1)[0])


def test_alike_images_lie_near_each_other_those_that_came_later_too(made):
    group_N = images(180, 1)[1]
    later_MD, group_M = images(60, 2)
    for place_M2, own_M, skip in ((made.place_N2, group_N, 1), (places.place(made, later_MD), group_M, 0)):
        distance_MN = np.linalg.norm(place_M2[:, None] - made.place_N2[None], axis=2)
        nearest_M5 = np.argsort(distance_MN, axis=1)[:, skip : skip + 5]
        assert (group_N[nearest_M5] == own_M[:, None]).mean() > 0.95


def test_what_made_the_map_stays_where_it_is_and_nobody_s_place_hangs_on_who_comes_along(made):
    np.testing.assert_array_equal(places.place(made, made.vector_ND), made.place_N2)
    later_MD, _ = images(40, 3)
    whole_M2 = places.place(made, later_MD)
    np.testing.assert_array_equal(whole_M2[7:8], places.place(made, later_MD[7:8]))
    assert places.place(made, later_MD[:0]).shape == (0, 2)


def test_the_same_images_make_the_same_map(made):
    again = places.fit(images(180, 1)[0])
    np.testing.assert_allclose(again.place_N2, made.place_N2, atol=1e-3)


def test_a_map_is_read_as_it_was_saved(made, tmp_path):
    arrays, card = tmp_path / "a.safetensors", tmp_path / "a.json"
    places.save(made, {"run": "r1"}, arrays, card)
    found, told = places.load(arrays, card)
    assert all((one == other).all() for one, other in zip(made, found, strict=True)) and told["run"] == "r1"
    nearest = places.nearest_centre(found, found.place_N2)
    assert nearest.min() >= 0 and nearest.max() < len(found.centre_C2)
    arrays.write_bytes(b"no map")
    with pytest.raises(ModelError, match="no frozen map"):
        places.load(arrays, card)


def test_too_few_images_and_vectors_of_another_dim_are_refused(made):
    with pytest.raises(ValueError, match="at least 60"):
        places.fit(images(59, 1)[0])
    with pytest.raises(ModelError, match="dims"):
        places.place(made, np.ones((1, DIM + 1), np.float32))
