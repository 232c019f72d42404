"""HierSE on a chain of three synsets, counted by hand."""

import numpy as np
import pytest

from devise.words import coverage
from devise.words.ancestry import Ancestry
from devise.words.smoothing import smooth

TREE = {"robin": ["bird"], "bird": ["animal"]}
VECTORS_VD = np.eye(3, dtype=np.float32)
ANCESTRY = Ancestry(TREE, ["robin", "bird", "animal"])


def _unit(*values: float) -> np.ndarray:
    return np.array(values) / np.linalg.norm(values)


def test_a_row_takes_in_what_is_above_it_the_nearer_the_more():
    found = smooth(VECTORS_VD, ANCESTRY.synsets, VECTORS_VD, ANCESTRY, 6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], _unit(1, np.exp(-1), np.exp(-2)), atol=1e-6)
    np.testing.assert_allclose(found[1], _unit(0, 1, np.exp(-1)), atol=1e-6)
    np.testing.assert_array_equal(found[2], VECTORS_VD[2])


@pytest.mark.parametrize("levels, third", [(0, 0.0), (1, 0.0), (2, np.exp(-2))])
def test_levels_are_edges_above_the_synset(levels, third):
    found = smooth(VECTORS_VD[:1], ["robin"], VECTORS_VD, ANCESTRY, levels)
    np.testing.assert_allclose(found[0], _unit(1, np.exp(-1) if levels else 0, third), atol=1e-6)


def test_rows_without_a_synset_or_without_a_vector_stay_as_they_are():
    own = np.array([[1, 0, 0], [np.nan] * 3, [0, 1, 0]], np.float32)
    np.testing.assert_array_equal(smooth(own, [None, "robin", "unheard of"], VECTORS_VD, ANCESTRY, 6), own)


def test_a_row_that_its_ancestors_cancel_stays_itself():
    vectors = np.array([[1, 0], [-np.e, 0]], np.float32)
    found = smooth(vectors[:1], ["robin"], vectors, Ancestry({"robin": ["bird"]}, ["robin", "bird"]), 6)
    np.testing.assert_array_equal(found, [[1, 0]])


def test_many_rows_are_smoothed_as_each_alone():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((9000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    synsets = [f"s{row}" for row in range(9000)]
    ancestry = Ancestry({f"s{row}": [f"s{row // 3}"] for row in range(1, 9000)}, synsets)
    found = smooth(vectors, synsets, vectors, ancestry, 3)
    for row in (1, 4095, 4096, 8999):
        np.testing.assert_allclose(
            found[row], smooth(vectors[[row]], [synsets[row]], vectors, ancestry, 3)[0], atol=1e-6
        )


def test_a_vocabulary_and_its_classes_are_smoothed_by_what_is_above_them_and_say_so(tmp_path):
    (tmp_path / "tree.tsv").write_text(
        "id\tmembers\thypernyms\tdefinition\nn1\trobin\tn2\t\nn2\tbird|fowl\tn3\t\nn3\tanimal\t\t\nn4\tboat\t\t\n"
    )
    (tmp_path / "words.vec").write_text("4 4\nrobin 1 0 0 0\nfowl 0 1 0 0\nanimal 0 0 1 0\nboat 0 0 0 1\n")
    (tmp_path / "classes.tsv").write_text("index\twnid\tname\tsynonyms\n0\tn1\trobin\trobin\n")
    files = tmp_path / "words.vec", tmp_path / "tree.tsv", "vectors", tmp_path / "classes.tsv"
    plain, _ = coverage.make(*files)
    smoothed, found = coverage.make(*files, levels=1)
    np.testing.assert_allclose(smoothed.vectors[0], _unit(1, np.exp(-1), 0, 0), atol=1e-6)
    np.testing.assert_array_equal(smoothed.vectors[3], plain.vectors[3])
    np.testing.assert_allclose(found.classes.vectors_CD[0], smoothed.vectors[0], atol=1e-6)
    assert found.hypernyms == {"n1": ["n2"], "n2": ["n3"], "n3": [], "n4": []}
    assert found.names["n2"] == "bird"
