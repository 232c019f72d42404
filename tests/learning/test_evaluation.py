"""How right the predictions of an image are: hit@k and hp@k worked by hand on a small tree."""

import numpy as np
import pytest
from tiny_warehouse import DIM, make_vocabulary, unit

from devise.errors import TrainingError
from devise.learning.evaluation import Scorer
from devise.learning.labelled import find_labels
from devise.learning.metrics import hit_at_k, hp_at_k
from devise.search.ranking import Ranker
from devise.words.ancestry import Ancestry
from devise.words.synsets import read_hierarchy

LABELS = ["lion", "tiger", "tulip", "rose", "castle", "ghost"]
SYNSETS = ["n-lion", "n-tiger", "n-tulip", "n-rose", "n-castle", None]
TREE = """id\tmembers\thypernyms\tdefinition
n-thing\tthing\t\t
n-cat\tcat\tn-thing\t
n-lion\tlion\tn-cat\t
n-tiger\ttiger\tn-cat\t
n-flower\tflower\tn-thing\t
n-tulip\ttulip\tn-flower\t
n-rose\trose\tn-flower\t
n-castle\tcastle\tn-thing\t
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "nouns.tsv").write_text(TREE)
    return str(tmp_path / "nouns.tsv")


def pictures(*orders):
    """An embedding a picture whose nearest labels are these, in this order, and then the others by label id."""
    embedding_ND = np.zeros((len(orders), DIM), np.float32)
    for row, order in enumerate(orders):
        rest = [label for label in LABELS if label not in order]
        for place, label in enumerate([*order, *rest]):
            embedding_ND[row, LABELS.index(label)] = 10 - place
    return unit(embedding_ND)


def scorer(ks=(1, 2, 5), hierarchy=None, given=None, alternatives=False, seed=0):
    known = make_vocabulary(LABELS, SYNSETS)
    candidates = None if given is None else find_labels(given, known.find_one, alternatives)
    return Scorer(known, by_cosine(known, candidates), ks, hierarchy, alternatives, seed)


def by_cosine(known, candidates=None):
    """A ranker that knows no classes and nothing seen."""
    return Ranker(known.vectors, Ancestry({}, known.synsets), evidence=0, seen_penalty=0, candidates=candidates)


def added(judged, ks):
    """(metric, k, value) of each image in order: hit 1 or 0, hp the precision."""
    found = []
    for rank, hp_R in zip(judged.rank_N, judged.hp_NR, strict=True):
        for k, hp in zip(ks, hp_R, strict=True):
            found.append(("hit", k, float(0 < rank <= k)))
            found += [("hp", k, hp)] * (not np.isnan(hp))
    return found


def score(embedding_ND, texts, ks=(1, 2, 5), **settings):
    return added(scorer(ks, **settings).judge(embedding_ND, None, None, texts), ks)


def test_a_hit_counts_from_the_place_of_the_true_label_on():
    found = score(pictures(["tiger", "lion"], ["rose"]), [["lion"], ["rose"]])
    assert found == [("hit", 1, 0), ("hit", 2, 1), ("hit", 5, 1), ("hit", 1, 1), ("hit", 2, 1), ("hit", 5, 1)]


def test_images_without_a_known_label_add_nothing():
    judged = scorer(ks=(1,)).judge(
        pictures(["lion"], ["lion"], ["rose"]), None, None, [["dragon"], [], ["unknown", "Roses"]]
    )
    assert added(judged, (1,)) == [("hit", 1, 1)]
    assert (judged.rows_N.tolist(), judged.label_id_N.tolist()) == ([2], [3])
    assert score(pictures(["lion"]), [["dragon"]]) == []
    assert score(np.zeros((0, DIM), np.float32), []) == []


def test_of_several_labels_any_is_a_hit_but_of_alternatives_only_the_first_known():
    seen = pictures(["rose"])
    assert score(seen, [["dragon", "lion", "rose"]], ks=(1,)) == [("hit", 1, 1)]
    assert score(seen, [["dragon", "lion", "rose"]], ks=(1,), alternatives=True) == [("hit", 1, 0)]
    assert score(seen, [["dragon", "rose", "lion"]], ks=(1,), alternatives=True) == [("hit", 1, 1)]


def test_only_given_labels_are_candidates():
    seen = pictures(["lion", "tiger", "tulip"])
    assert score(seen, [["tulip"]], ks=(1,)) == [("hit", 1, 0)]
    assert score(seen, [["tulip"]], ks=(1,), given=[["tulip"], ["castle"]]) == [("hit", 1, 1)]
    assert score(seen, [["lion"]], ks=(1, 5), given=[["tulip"], ["castle"]]) == [("hit", 1, 0), ("hit", 5, 0)]
    with pytest.raises(TrainingError, match="nothing to learn from"):
        scorer(given=[["dragon"]])


def test_hierarchical_precision_by_hand(tree):
    # A lion seen as tulip, tiger, lion, rose, castle. Hops from lion: itself 0, tiger 2, castle 3, tulip and rose 4.
    # k = 1: {lion}, of "tulip" none. k = 2: {lion, tiger}, of tulip and tiger one. k = 3: {lion, tiger, castle},
    # of the first three two. k = 4: all five synsets (both flowers come in at once), of the first four all.
    seen = pictures(["tulip", "tiger", "lion", "rose", "castle"])
    found = score(seen, [["lion"]], ks=(1, 2, 3, 4), hierarchy=tree)
    assert [value for name, _, value in found if name == "hp"] == pytest.approx([0, 1 / 2, 2 / 3, 1])
    assert [value for name, _, value in found if name == "hit"] == [0, 0, 1, 1]


def test_a_label_without_a_synset_has_hits_and_no_hierarchical_precision(tree):
    assert score(pictures(["ghost"]), [["ghost"]], ks=(1,), hierarchy=tree) == [("hit", 1, 1)]


def test_correct_sets_are_of_the_candidates_only_and_the_tree_s_own(tree):
    among = scorer(hierarchy=tree, given=[["lion"], ["rose"], ["castle"]])
    hierarchy = read_hierarchy(tree)
    for k in range(1, 5):
        wanted = hierarchy.correct_set("n-lion", k, ["n-lion", "n-rose", "n-castle"])
        assert {SYNSETS[number] for number in among.correct_set(0, k)} == wanted
    whole = scorer(hierarchy=tree)
    for label_id, k in [(label_id, k) for label_id in range(5) for k in range(1, 7)]:
        wanted = hierarchy.correct_set(SYNSETS[label_id], k, SYNSETS[:5])
        assert {SYNSETS[number] for number in whole.correct_set(label_id, k)} == wanted


def test_labels_of_one_synset_are_right_together(tree):
    words = make_vocabulary(["lion", "king of cats", "tulip"], ["n-lion", "n-lion", "n-tulip"])
    found = added(
        Scorer(words, by_cosine(words), [1, 2], tree, False).judge(words.vectors[1:2], None, None, [["lion"]]), (1, 2)
    )
    assert ("hit", 1, 0.0) in found and ("hp", 1, 1.0) in found and ("hp", 2, 1.0) in found


def test_a_list_longer_than_the_candidates_is_measured_on_what_there_is(tree):
    found = score(pictures(["rose"]), [["lion"]], ks=(1, 20), hierarchy=tree, given=[["lion"], ["rose"]])
    assert found == [("hit", 1, 0), ("hp", 1, 0), ("hit", 20, 1), ("hp", 20, 1)]


def test_means_of_what_images_add_are_the_metrics_whatever_the_batches(tree):
    rng = np.random.default_rng(0)
    embedding_ND, truth_N = unit(rng.normal(size=(40, DIM))), rng.integers(5, size=40)
    texts = [[LABELS[number]] for number in truth_N]
    predicted_NK = np.argsort(-(embedding_ND @ make_vocabulary(LABELS).vectors.T), axis=1)
    hierarchy = read_hierarchy(tree)
    for size in (1, 7, 40):
        one = scorer(ks=(1, 3), hierarchy=tree)
        found = [
            row for start in range(0, 40, size)
            for row in added(
                one.judge(embedding_ND[start : start + size], None, None, texts[start : start + size]), (1, 3)
            )
        ]  # fmt: skip
        for k in (1, 3):
            sets = [hierarchy.correct_set(SYNSETS[number], k, SYNSETS[:5]) for number in truth_N]
            numbers = [{SYNSETS.index(synset) for synset in own} for own in sets]
            wanted = {"hit": hit_at_k(predicted_NK, truth_N, k), "hp": hp_at_k(predicted_NK, numbers, k)}
            for name in ("hit", "hp"):
                values = [value for metric, at, value in found if (metric, at) == (name, k)]
                assert len(values) == 40 and np.mean(values) == pytest.approx(wanted[name])


def test_the_best_prediction_and_its_cosine_are_told_whatever_is_true():
    judged = scorer().judge(pictures(["tiger", "lion"], ["rose"]), None, None, [["lion"], ["rose"]])
    assert judged.predicted_N.tolist() == [1, 3] and judged.rank_N.tolist() == [2, 1]
    wanted = pictures(["tiger", "lion"], ["rose"])[[0, 1], [1, 3]]
    assert judged.score_N == pytest.approx(wanted, abs=1e-6)


def test_sizes_are_those_of_the_correct_sets(tree):
    judged = scorer(ks=(1, 2, 3, 4), hierarchy=tree).judge(
        pictures(["tulip"], ["ghost"]), None, None, [["lion"], ["ghost"]]
    )
    assert judged.sizes_NR.tolist() == [[1, 2, 3, 5], [0, 0, 0, 0]]


def test_true_labels_that_are_no_candidates_are_not_counted():
    judged = scorer(given=[["lion"], ["rose"]]).judge(pictures(["lion"]), None, None, [["lion", "tiger", "rose"]])
    assert judged.n_true_N.tolist() == [2]


def test_shuffled_names_are_a_permutation_of_the_candidates_by_the_seed():
    given = [["lion"], ["rose"], ["castle"], ["ghost"]]
    shuffled = [scorer(given=given, seed=seed).shuffled_V for seed in (0, 0, 1)]
    ids = [LABELS.index(own[0]) for own in given]
    assert sorted(shuffled[0][ids]) == sorted(ids)
    assert shuffled[0].tolist() == shuffled[1].tolist() != shuffled[2].tolist()
    one = scorer(ks=(1, 4), given=given, seed=2)
    judged = one.judge(
        pictures(*[[LABELS[own]] for own in ids]), None, None, [[LABELS[one.shuffled_V[own]]] for own in ids]
    )
    assert judged.shuffled_rank_N.tolist() == [1, 1, 1, 1]  # the answer under its shuffled name is the true one
