"""The vocabulary: nouns merged into labels with vectors, stored and read back, asked by any spelling; its coverage."""

from dataclasses import replace

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from devise.errors import SchemaError, TableError, VectorError, VocabularyError
from devise.words import wordvectors
from devise.words.classes import read_classes
from devise.words.coverage import build, hierarchy_nouns, make
from devise.words.nouns import Noun, unit
from devise.words.synsets import Hierarchy, read_hierarchy
from devise.words.vocabulary import (
    SCHEMA,
    Vocabulary,
    correlations,
    from_arrow,
    known,
    load,
    make_lookup,
    nearest,
    to_arrow,
    vocabulary_id,
)
from devise.words.wordvectors import WordVectors

WORDS = ["dog", "Crane", "crane", "ice_cream", "fire", "engine", "run", "hoist", "bird"]
VECTORS_VD = np.eye(9, dtype=np.float32) * np.arange(1, 10, dtype=np.float32)[:, None]
SOURCE = WordVectors(WORDS, VECTORS_VD, n_duplicates=3, n_zero_rows=2)
TREE = Hierarchy(
    {"bird": ["bird"], "crane1": ["crane"], "crane2": ["Crane", "hoist"], "dog": ["dog", "domestic dog", "Hound"]},
    {"crane1": ["bird"]},
    {"dog": "it may bark at a crane"},
)


def built(*names: str, **settings):
    return build([Noun(name) for name in names], SOURCE, **settings)


def test_nouns_that_find_a_vector_become_labels_in_their_order():
    vocabulary, coverage = built("ice-cream", "unicorn", "fire engine", "dogs", "CRANE", "bird")
    assert vocabulary.labels == ["ice-cream", "fire engine", "dogs", "CRANE", "bird"]
    assert vocabulary.how == ["separator", "words", "plural", "case", "exact"]
    assert vocabulary.label_id.dtype == np.int32 and vocabulary.label_id.tolist() == [0, 1, 2, 3, 4]
    assert vocabulary.vectors.dtype == np.float32
    eye = np.eye(9)
    assert np.allclose(vocabulary.vectors, [eye[3], unit(eye[4] + eye[5]), eye[0], eye[1], eye[8]])
    assert vocabulary.synsets == [None] * 5 and vocabulary.synonyms == [[]] * 5 and not vocabulary.seen.any()
    assert coverage.by_rule == {"exact": 1, "case": 1, "separator": 1, "plural": 1, "words": 1}
    assert (coverage.misses, coverage.merged, coverage.n_seen) == (["unicorn"], [], 0)


@pytest.mark.parametrize(
    ("names", "label", "how"),
    [
        (("dog", "Dog", "DOG"), "dog", "exact"),
        (("DOG", "Dog", "dog"), "dog", "exact"),
        (("dogs", "dog"), "dog", "exact"),
        (("dog", "dogs"), "dog", "exact"),
        (("ice-cream", "icecream", "Ice Cream"), "Ice Cream", "case"),
        (("ice cream", "ice_cream", "ice-creams"), "ice cream", "exact"),
    ],
)
def test_nouns_of_one_word_are_one_label_spelled_as_near_to_it_as_any(names, label, how):
    vocabulary, coverage = built(*names)
    assert (vocabulary.labels, vocabulary.how) == ([label], [how])
    rest = [name for name in names if name != label]
    assert sorted(coverage.merged) == sorted(rest)
    assert sorted(vocabulary.synonyms[0]) == sorted({name.replace("_", " ") for name in rest} - {label})
    assert coverage.misses == []


def test_a_noun_by_its_synonyms_vector_is_merged_into_that_label():
    nouns = [Noun("hound", synonyms=("cur", "dog")), Noun("dog"), Noun("tracker", synonyms=("hound",))]
    vocabulary, coverage = build(nouns, SOURCE)
    assert vocabulary.labels == ["dog"] and vocabulary.synonyms == [["hound"]]
    assert (coverage.merged, coverage.misses) == (["hound"], ["tracker"])
    vocabulary, _ = build(nouns[:1], SOURCE)
    assert (vocabulary.labels, vocabulary.how, vocabulary.synonyms) == (["hound"], ["synonym"], [["cur", "dog"]])


def test_words_of_the_file_that_differ_in_case_are_one_label_with_the_first_ones_vector():
    vocabulary, coverage = build(None, SOURCE)
    assert vocabulary.labels == ["dog", "Crane", "ice cream", "fire", "engine", "run", "hoist", "bird"]
    assert set(vocabulary.how) == {"exact"} and coverage.merged == ["crane"]
    assert np.array_equal(vocabulary.vectors[1], np.eye(9)[1]) and vocabulary.synonyms[1] == ["crane"]
    assert len(np.unique([label.casefold() for label in vocabulary.labels])) == len(vocabulary.labels)


def test_words_of_nothing_but_spaces_are_no_labels():
    vectors_VD = np.eye(4, dtype=np.float32)
    vocabulary, _ = build(None, WordVectors(["_", "", "\u00a0", "dog"], vectors_VD))
    assert vocabulary.labels == ["dog"]


def test_labels_take_the_synset_that_their_vector_means_and_its_words():
    # The reference of crane1 is `bird`; of crane2 its other word, `hoist`.
    for axis, synset, synonyms in ((8, "crane1", []), (7, "crane2", ["Crane", "hoist"])):
        vectors_VD = VECTORS_VD.copy()
        vectors_VD[2] = np.eye(9)[axis]
        source = WordVectors(WORDS, vectors_VD)
        vocabulary, _ = build([Noun("crane"), Noun("dog"), Noun("run")], source, TREE)
        assert vocabulary.synsets == [synset, "dog", None]
        assert vocabulary.synonyms == [synonyms, ["domestic dog", "Hound"], []]
    vocabulary, _ = build([Noun("crane", "crane2")], SOURCE, TREE)
    assert vocabulary.synsets == ["crane2"]


def test_a_label_that_a_class_names_is_seen():
    vocabulary, coverage = built("dogs", "ice cream", "crane", "bird", seen=["Dog", "ice-cream", "birds"])
    assert dict(zip(vocabulary.labels, vocabulary.seen.tolist(), strict=True)) == {
        "dogs": True,
        "ice cream": True,
        "crane": False,
        "bird": False,
    }
    assert coverage.n_seen == 2


def test_numbers_whose_squares_overflow_or_vanish_keep_their_direction():
    for scale in (3e38, 1e20, 1.0, 1e-20, 1e-44):
        vector_D = np.array([scale, -scale, 0, scale], np.float32)
        assert np.allclose(unit(vector_D), np.array([1, -1, 0, 1]) / np.sqrt(3), atol=1e-6)
    assert not unit(np.zeros(3, np.float32)).any()


def test_what_has_no_direction_or_no_noun_is_told_of_its_file(tmp_path):
    (tmp_path / "zero.vec").write_text("2 3\nship 0 0 0\nsail 0 0 0\n")
    with pytest.raises(VectorError, match=r"zero\.vec: none .* has a direction: all numbers of 2 rows are zero"):
        make(tmp_path / "zero.vec")
    (tmp_path / "tree.tsv").write_text("id\tmembers\thypernyms\tdefinition\na\t\t\tx\nb\t\ta\ty\n")
    with pytest.raises(VocabularyError, match=r"tree\.tsv: none of its 2 synsets has a member"):
        make(tmp_path / "zero.vec", tmp_path / "tree.tsv", "hierarchy")
    (tmp_path / "tree.tsv").write_text("id\tmembers\thypernyms\tdefinition\na\tunicorn\t\tx\n")
    (tmp_path / "ship.vec").write_text("ship 1 2 3\n")
    with pytest.raises(VocabularyError, match=r"ship\.vec: none of 1 nouns has a vector, e\.g\. \['unicorn'\]"):
        make(tmp_path / "ship.vec", tmp_path / "tree.tsv", "hierarchy")


def test_a_vocabulary_without_labels_is_refused():
    with pytest.raises(VocabularyError, match=r"none of 2 nouns has a vector, e\.g\. \['unicorn', 'centaur'\]"):
        built("unicorn", "centaur")


def test_coverage_tells_what_became_of_the_nouns():
    names = [f"unicorn{row}" for row in range(60)]
    _, coverage = built("dog", "Dog", "fire engine", *names, seen=["dog"])
    lines = coverage.lines()
    assert lines[0] == "2 labels: exact 1, words 1"
    assert lines[1].startswith(
        "1 seen, 1 zero-shot; 1 nouns merged into others; in the file 3 words twice and 2 without"
    )
    assert lines[2].startswith("60 nouns without a vector: unicorn0, ") and lines[2].endswith("unicorn49 and 10 more")
    assert len(lines) == 3 and len(built("dog")[1].lines()) == 2


def test_every_word_of_a_hierarchy_is_a_noun_once_with_the_names_of_its_one_synset():
    assert hierarchy_nouns(TREE) == [
        Noun("bird"),
        Noun("crane"),
        Noun("hoist", synonyms=("Crane",)),
        Noun("dog", synonyms=("domestic dog", "Hound")),
        Noun("domestic dog", synonyms=("dog", "Hound")),
        Noun("Hound", synonyms=("dog", "domestic dog")),
    ]
    assert Noun("kite") in hierarchy_nouns(Hierarchy({"a": ["kite", "hawk"], "b": ["Kite", "toy"]}))


@pytest.fixture
def files(tmp_path):
    rows = [f"{word} {' '.join(map(str, row))}" for word, row in zip(WORDS, VECTORS_VD.astype(int), strict=True)]
    (tmp_path / "vectors.vec").write_text("\n".join([f"{len(WORDS)} 9", *rows]) + "\n")
    lines = ["id\tmembers\thypernyms\tdefinition"]
    for synset, words in TREE.members.items():
        parents = "|".join(TREE.hypernyms.get(synset, []))
        lines.append(f"{synset}\t{'|'.join(words)}\t{parents}\t{TREE.definitions.get(synset, '')}")
    (tmp_path / "tree.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "classes.tsv").write_text("index\twnid\tname\tsynonyms\n0\tdog\tdog\tdog, Hound\n1\tn2\tunicorn\t\n")
    return tmp_path


def test_a_vocabulary_is_made_of_files_with_the_words_of_the_vectors_or_of_the_hierarchy(files):
    vectors, tree, classes = files / "vectors.vec", files / "tree.tsv", files / "classes.tsv"
    vocabulary, coverage = make(vectors)
    assert len(vocabulary.labels) == 8 and coverage.classes is None
    vocabulary, coverage = make(vectors, tree, classes=classes)
    assert (
        len(vocabulary.labels) == 8
        and vocabulary.labels[0] == "dog"
        and vocabulary.seen.tolist() == [True] + [False] * 7
    )
    assert coverage.classes.how == ["exact", None]
    assert coverage.lines()[-2:] == ["1 of 2 classes have a vector: exact 1", "without: n2 unicorn"]
    vocabulary, coverage = make(vectors, tree, "hierarchy", classes)
    assert vocabulary.labels == ["bird", "crane", "hoist", "dog"] and coverage.misses == []
    assert coverage.merged == ["domestic dog", "Hound"] and vocabulary.synonyms[3] == ["domestic dog", "Hound"]
    assert coverage.classes.how == ["exact", None]


def test_a_vocabulary_of_files_that_do_not_serve_is_refused(files):
    with pytest.raises(VocabularyError, match="found no hierarchy file"):
        make(files / "vectors.vec", nouns="hierarchy")
    with pytest.raises(VectorError, match="nowhere"):
        make(files / "nowhere.vec", files / "tree.tsv")
    with pytest.raises(TableError, match="nowhere"):
        make(files / "vectors.vec", files / "nowhere.tsv")
    with pytest.raises(TableError, match="nowhere"):
        make(files / "vectors.vec", classes=files / "nowhere.tsv")


SMALL = Vocabulary(
    np.arange(5, dtype=np.int32),
    ["dog", "ice cream", "crane", "x-ray", "Hounds"],
    ["d", None, "c", None, None],
    [["domestic dog", "cranes"], [], ["hoist"], ["roentgen ray"], []],
    np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0, 0.6, 0.8]], np.float32),
    np.array([True, False, False, True, False]),
    ["exact", "separator", "exact", "words", "plural"],
)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("dog", 0),
        ("DOG", 0),
        ("dogs", 0),
        ("Domestic_Dog", 0),
        ("ice-cream", 1),
        ("Ice_Creams", 1),
        ("hoist", 2),
        ("xray", 3),
        ("x rays", 3),
        ("hound", 4),
        ("cranes", 0),  # a synonym as it is spelled comes before a plural
        ("domestic dogs", None),
        ("cream", None),
        ("", None),
    ],
)
def test_a_label_is_found_by_any_spelling_then_by_synonym_then_by_number(text, row):
    assert SMALL.find_one(text) == row


def test_finding_keeps_the_order_names_each_once_and_names_the_unknown():
    found = SMALL.find(["crane", "DOG", "hoist", "dogs", "X-Ray"])
    assert found.dtype == np.int32 and found.tolist() == [2, 0, 3]
    assert SMALL.find([]).tolist() == []
    with pytest.raises(VocabularyError, match=r"no label for \['unicorn', 'cream'\], wanted names of the 5 labels"):
        SMALL.find(["dog", "unicorn", "crane", "cream"])


def equal(left: Vocabulary, right: Vocabulary) -> bool:
    return vocabulary_id(left) == vocabulary_id(right) and np.array_equal(left.label_id, right.label_id)


def test_a_vocabulary_comes_back_from_arrow_and_from_parquet(tmp_path):
    table = to_arrow(SMALL)
    assert table.schema == SCHEMA and table.num_rows == 5
    assert table.column("vector").to_pylist()[3] == pytest.approx([0.6, 0.8, 0])
    pq.write_table(table, tmp_path / "part-0.parquet", compression="zstd", row_group_size=2)
    for found in (
        from_arrow(table),
        from_arrow(pa.concat_tables([table[:2], table[2:]])),
        load(tmp_path / "part-0.parquet"),
    ):
        assert equal(found, SMALL)
        assert found.vectors.dtype == np.float32 and np.array_equal(found.vectors, SMALL.vectors)
        assert found.label_id.dtype == np.int32 and found.seen.dtype == bool
        assert (found.labels, found.synsets, found.synonyms, found.how) == (
            SMALL.labels,
            SMALL.synsets,
            SMALL.synonyms,
            SMALL.how,
        )
    assert load(tmp_path / "part-0.parquet") is load(tmp_path / "part-0.parquet")


def test_a_part_of_a_table_has_its_own_rows_only():
    table = to_arrow(SMALL)[2:4].set_column(0, "label_id", pa.array([0, 1], pa.int32()))
    found = from_arrow(table)
    assert found.labels == ["crane", "x-ray"] and np.array_equal(found.vectors, SMALL.vectors[2:4])


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda table: table.drop_columns("how"), "found columns"),
        (lambda table: table.append_column("more", pa.array(range(5))), "'more'"),
        (lambda table: table.select([*reversed(SCHEMA.names)]), "found columns"),
        (lambda table: table[:0], "0 rows"),
        (lambda table: table[1:], "label ids that are not 0 to V - 1"),
        (lambda table: table.take([0, 2, 1, 3, 4]), "label ids that are not 0 to V - 1"),
        (
            lambda table: table.set_column(4, "vector", pa.array([[1.0, 2.0, 3.0]] * 4 + [[1.0]])),
            "lengths [1, 3]",
        ),
    ],
)
def test_a_table_that_is_no_label_table_is_refused_in_one_line(spoil, place, tmp_path):
    table = spoil(to_arrow(SMALL))
    pq.write_table(table, tmp_path / "part-0.parquet")
    for ask in (lambda: from_arrow(table), lambda: load(tmp_path / "part-0.parquet")):
        with pytest.raises(SchemaError) as caught:
            ask()
        assert place in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_torn_is_refused_in_one_line(tmp_path):
    with pytest.raises(SchemaError, match="part-0.parquet: cannot be read"):
        load(tmp_path / "part-0.parquet")
    pq.write_table(to_arrow(SMALL), tmp_path / "part-0.parquet")
    whole = (tmp_path / "part-0.parquet").read_bytes()
    for content in (b"", b"no table at all, though long enough", whole[:-100], whole[: len(whole) // 2] + whole[-8:]):
        (tmp_path / "part-0.parquet").write_bytes(content)
        with pytest.raises(SchemaError) as caught:
            load(tmp_path / "part-0.parquet")
        assert "part-0.parquet: cannot be read" in str(caught.value) and "\n" not in str(caught.value)


def test_vocabulary_id_follows_everything_in_it():
    first = vocabulary_id(SMALL)
    assert len(first) == 16 and int(first, 16) and vocabulary_id(from_arrow(to_arrow(SMALL))) == first
    vectors = SMALL.vectors.copy()
    vectors[4, 2] = np.nextafter(vectors[4, 2], np.float32(1))
    changes = [
        {"labels": ["Dog", *SMALL.labels[1:]]},
        {"synsets": ["x", *SMALL.synsets[1:]]},
        {"synonyms": [[], *SMALL.synonyms[1:]]},
        {"vectors": vectors},
        {"seen": ~SMALL.seen},
        {"how": ["case", *SMALL.how[1:]]},
    ]
    others = [vocabulary_id(replace(SMALL, **change)) for change in changes]
    assert len({first, *others}) == 7
    assert vocabulary_id(replace(SMALL, vectors=np.asfortranarray(SMALL.vectors))) == first


VERBS = "4 3\nrun 0 0 2\nice 3 0 0\ndog 9 9 9\nrunners 0 4 0\n"


def test_a_word_is_looked_up_among_labels_then_in_the_file_then_composed(tmp_path):
    (tmp_path / "a.vec").write_text(VERBS)
    lookup = make_lookup(SMALL, tmp_path / "a.vec")
    for word, expected_D in (
        ("dog", SMALL.vectors[0]),  # a label, whatever the file says
        ("Hoist", SMALL.vectors[2]),
        ("run", [0, 0, 1]),  # a verb, made unit
        ("RUN", [0, 0, 1]),
        ("runner", [0, 1, 0]),
        ("run-ice", [np.sqrt(0.5), 0, np.sqrt(0.5)]),
    ):
        assert np.allclose(lookup(word), expected_D)
    assert lookup("unicorn") is None and lookup("run unicorn") is None


def test_labels_are_looked_up_without_a_file_and_other_words_are_not():
    lookup = make_lookup(SMALL)
    assert np.array_equal(lookup("dogs"), SMALL.vectors[0]) and lookup("run") is None


def test_the_file_is_read_only_for_a_word_that_is_no_label(tmp_path):
    lookup = make_lookup(SMALL, tmp_path / "nowhere.vec")
    assert np.array_equal(lookup("dog"), SMALL.vectors[0])
    with pytest.raises(VectorError, match="nowhere"):
        lookup("run")
    (tmp_path / "nowhere.vec").write_text(VERBS)
    assert np.allclose(lookup("run"), [0, 0, 1])


def test_vectors_of_another_dimension_are_refused(tmp_path):
    (tmp_path / "a.vec").write_text("2 2\nrun 1 2\ndog 1 2\n")
    lookup = make_lookup(SMALL, tmp_path / "a.vec")
    for word in ("run", "unicorn"):
        with pytest.raises(VectorError, match=r"a\.vec: vectors of 2 dims, wanted 3"):
            lookup(word)


def test_an_unknown_word_is_made_of_the_subwords_of_a_fasttext_model(tmp_path):
    (tmp_path / "text.txt").write_text("the dog ran on the mat\nthe cat ate the fish\n" * 20)
    settings = {"dim": 10, "minCount": 1, "bucket": 40, "epoch": 1, "thread": 10, "verbose": 0}
    library = fasttext.train_unsupervised(str(tmp_path / "text.txt"), **settings)
    library.save_model(str(tmp_path / "a.bin"))
    vectors_VD = np.eye(5, 10, dtype=np.float32)
    lookup = make_lookup(replace(SMALL, vectors=vectors_VD), tmp_path / "a.bin")
    assert np.array_equal(lookup("dog"), vectors_VD[0])
    assert np.allclose(lookup("fish"), unit(library.get_word_vector("fish")), atol=1e-6)
    assert np.allclose(lookup("catfish"), unit(library.get_word_vector("catfish")), atol=1e-6)
    # A phrase is the mean of its words, of which the file need not know any.
    expected_D = unit(unit(library.get_word_vector("catfish")) + unit(library.get_word_vector("mat")))
    assert np.allclose(lookup("catfish mat"), expected_D, atol=1e-6)


def test_correlations_of_every_two_words_by_hand():
    found = correlations(["dog", "x-ray", "crane"], make_lookup(SMALL))
    assert [(a, b) for a, b, _, _ in found] == [("dog", "x-ray"), ("dog", "crane"), ("x-ray", "crane")]
    assert [cosine for *_, cosine in found] == pytest.approx([0.6, 0, 0])
    # Less their means: (2, -1, -1) / 3 and (2, 5, -7) / 15, so 16 / sqrt(6 * 78); (2, -1, -1) and (-1, -1, 2): -3 / 6.
    assert [pearson for *_, pearson, _ in found] == pytest.approx([6 / np.sqrt(6 * 78), -0.5, -21 / np.sqrt(6 * 78)])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dim", [1, 3, 300])
def test_a_vector_of_one_number_correlates_with_nothing(dim):
    flat_D, other_D = (unit(vector_D) for vector_D in (np.full(dim, 3e38), np.arange(1, dim + 1)))
    ((_, _, pearson, cosine),) = correlations(["a", "b"], {"a": flat_D, "b": other_D}.get)
    assert np.isnan(pearson) and cosine > 0.8


def test_correlations_need_two_known_words():
    lookup = make_lookup(SMALL)
    with pytest.raises(VocabularyError, match=r"no vector for \['unicorn', 'run'\]"):
        correlations(["dog", "unicorn", "run"], lookup)
    for words in ([], ["dog"], ["dog", "dog"]):
        with pytest.raises(VocabularyError, match="wanted at least two"):
            correlations(words, lookup)


def test_the_nearest_labels_come_best_first_and_ties_by_label_id():
    found = nearest(np.array([0, 2, 0]), SMALL, 3)
    assert [label for label, _ in found] == ["ice cream", "x-ray", "Hounds"]
    assert [score for _, score in found] == pytest.approx([1, 0.8, 0.6])
    assert nearest(np.array([1, 1, 1]), SMALL, 99)[:2] == [
        ("x-ray", pytest.approx(1.4 / np.sqrt(3))),
        ("Hounds", pytest.approx(1.4 / np.sqrt(3))),
    ]
    assert [label for label, _ in nearest(np.array([1, 0, 0]), SMALL, 5)] == [
        "dog", "x-ray", "ice cream", "crane", "Hounds",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("dog", "dog: seen label 'dog' (asked by exact, vector by exact), synset d"),
        ("DOG", "DOG: seen label 'dog' (asked by case, vector by exact), synset d"),
        ("dogs", "dogs: seen label 'dog' (asked by plural, vector by exact), synset d"),
        ("domestic-dog", "domestic-dog: seen label 'dog' (asked by synonym, vector by exact), synset d"),
        ("cranes", "cranes: seen label 'dog' (asked by synonym, vector by exact), synset d"),
        ("icecream", "icecream: zero-shot label 'ice cream' (asked by separator, vector by separator)"),
        ("crane", "crane: zero-shot label 'crane' (asked by exact, vector by exact), synset c"),
        ("unicorn", "unicorn: no label"),
    ],
)
def test_what_is_known_of_a_word_is_told_in_one_line(text, line):
    assert known(text, SMALL) == line


@pytest.fixture(scope="module")
def source(data):
    return wordvectors.read(data / "vectors/nouns-80k-300d.vec.gz")


def test_every_real_noun_is_a_label_or_is_merged_into_one(data, source):
    classes = read_classes(data / "taxonomy/imagenet1k_classes.tsv")
    vocabulary, coverage = build(None, source, seen=[name for one in classes for name in one.names])
    assert len(vocabulary.labels) + len(coverage.merged) == 80_829 and coverage.misses == []
    assert len({label.casefold() for label in vocabulary.labels}) == len(vocabulary.labels)
    assert np.allclose(np.linalg.norm(vocabulary.vectors, axis=1), 1, atol=1e-5)
    for text, seen in (("tench", True), ("Ice-Cream", True), ("lighthouses", True), ("giraffe", False), ("dog", False)):
        assert vocabulary.seen[vocabulary.find_one(text)] == seen
    dog = vocabulary.find_one("dog")
    assert nearest(vocabulary.vectors[dog], vocabulary, 1)[0][0] == "dog"


def test_real_labels_have_the_synset_of_their_vector(data, source):
    tree = read_hierarchy(data / "taxonomy/oewn_noun_synsets.tsv.gz")
    vocabulary, _ = build([Noun(name) for name in ("dog", "kite", "sundae", "Dogs")], source, tree)
    assert vocabulary.labels == ["dog", "kite", "sundae"]
    assert tree.definitions[vocabulary.synsets[0]].startswith("a member of the genus Canis")
    assert "domestic dog" in vocabulary.synonyms[0] and "Dogs" in vocabulary.synonyms[0]
    assert all(
        synset in tree.synsets(label) for label, synset in zip(vocabulary.labels, vocabulary.synsets, strict=True)
    )


def test_a_name_is_one_label_and_found_however_its_letters_are_composed(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (tmp_path / "words.vec").write_text(f"3 2\n{decomposed} 1 0\n{composed} 0 1\nship 1 1\n")
    made, _ = make(tmp_path / "words.vec")
    assert made.labels == [composed, "ship"]
    for name in (composed, decomposed, decomposed.upper(), f"{decomposed}s"):
        assert made.find_one(name) == 0
    (tmp_path / "wide.vec").write_text(f"{decomposed}_bar 1 2\n")
    assert make_lookup(made, tmp_path / "wide.vec")(f"{composed} bar") is not None
