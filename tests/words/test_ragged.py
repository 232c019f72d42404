"""Lists end to end."""

import numpy as np

from devise.words.ragged import places

STARTS = np.array([0, 2, 2, 5])


def test_values_of_lists_come_one_list_after_the_other_as_often_as_wanted():
    found, counts = places(STARTS, np.array([2, 0, 1, 2]))
    assert found.tolist() == [2, 3, 4, 0, 1, 2, 3, 4] and counts.tolist() == [3, 2, 0, 3]


def test_no_list_has_no_values():
    found, counts = places(STARTS, np.array([], dtype=np.int64))
    assert found.tolist() == [] and counts.tolist() == []
