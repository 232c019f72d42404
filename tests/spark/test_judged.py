"""Sums and confusions of judged images: by hand, whatever the partitions."""

import numpy as np
import pytest

from devise.spark.stages import judged

NAN = float("nan")
ROWS = [  # uri, label_id, n_true, rank, predicted, score, shuffled_rank, hp, sizes
    ("a", 7, 1, 1, 7, 0.9, 0, [1.0, 0.5], [1, 3]),
    ("b", 7, 1, 2, 3, 0.8, 1, [0.0, 1.0], [1, 3]),
    ("c", 7, 2, 0, 3, 0.7, 0, [0.0, 0.0], [1, 3]),
    ("d", 7, 1, 0, 2, 0.6, 2, [0.0, 0.0], [1, 3]),
    ("e", 4, 1, 0, 3, 0.5, 0, [NAN, NAN], [0, 0]),
    ("f", 4, 1, 0, 2, 0.4, 0, [NAN, NAN], [0, 0]),
]


@pytest.fixture(params=[1, 3])
def images(spark, request):
    return spark.createDataFrame(ROWS, judged.JUDGED).repartition(request.param)


def test_sums_are_those_of_each_label_s_images(images):
    found = judged.sum_labels(images, (1, 2), 4)
    assert (found.label_id_C.tolist(), found.n_C.tolist(), found.n_hp_C.tolist()) == ([4, 7], [2, 4], [0, 4])
    assert found.hits_CR.tolist() == [[0, 0], [1, 2]] and found.shuffled_CR.tolist() == [[0, 0], [1, 2]]
    assert found.hp_CR.tolist() == [[0, 0], [1, 1.5]] and found.sizes_CR.tolist() == [[0, 0], [4, 12]]
    # One of four blindly: 1/4 and 2/4; with two true labels 2/4 and 1 - (2/4 x 1/3).
    assert np.allclose(found.chance_CR, [[2 / 4, 4 / 4], [3 / 4 + 2 / 4, 6 / 4 + 5 / 6]])


def test_the_commonest_confusion_is_of_equal_ones_the_first_label(images):
    assert judged.commonest_confusion(judged.count_confusions(images)) == {7: (3, 2), 4: (2, 1)}


def test_the_worst_confusions_come_with_the_images_that_the_model_was_surest_of(images):
    confusions = judged.count_confusions(images)
    worst, other = judged.worst_confusions(images, confusions, 2, 1)
    assert (worst.label_id, worst.predicted, worst.n, worst.of) == (7, 3, 2, 4)
    assert [(uri, round(score, 3)) for uri, score in worst.pictures] == [("b", 0.8)]
    assert (other.label_id, other.predicted, other.n, other.of) == (4, 2, 1, 2)
    right = images.where("rank = 1")
    assert judged.worst_confusions(right, judged.count_confusions(right), 2, 1) == []
