"""Answers from what is published: out of a word's list, out of the index, and both; what is opened for them."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_warehouse import BEGAN, DIM, LISTED, add_tables, make_vocabulary, publish, unit

from devise.errors import DeviseError, IndexingError, ManifestError, StorageError, VocabularyError
from devise.search.filters import Filter
from devise.search.searcher import Searcher
from devise.store import scratch, storage


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A publication of before there were lists."""
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """A publication with images, labels and lists, run r2, on top of one without."""
    warehouse, pictures = publish(tmp_path_factory.mktemp("listed"))
    add_tables(warehouse, pictures, "r2")
    return warehouse, pictures


@pytest.fixture
def fetched(monkeypatch):
    """The names of the files that were fetched."""
    names, real = [], scratch.localise
    told = lambda uri, sha256=None: names.append(uri.rsplit("/", 1)[-1]) or real(uri, sha256)  # noqa: E731
    monkeypatch.setattr("devise.store.scratch.localise", told)
    return names


def nearest(pictures, query_D):
    """Uris of all pictures, the nearest first."""
    return sorted(pictures, key=lambda uri: -float(pictures[uri][1] @ query_D))


def uris(answer):
    return [hit.uri for hit in answer.hits]


def test_answers_are_the_nearest_of_all_shards_best_first_with_their_uris(published):
    warehouse, pictures = published
    searcher = Searcher.open(warehouse)
    for kind in ("word", "words"):
        for query_D in make_vocabulary().vectors:
            hits = searcher.search(query_D, kind, 5).hits
            wanted = nearest(pictures, query_D)[:5]
            assert [hit.uri for hit in hits] == wanted
            assert [hit.image_id for hit in hits] == [pictures[uri][0] for uri in wanted]
            assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
            np.testing.assert_allclose(
                [hit.score for hit in hits], [pictures[uri][1] @ query_D for uri in wanted], atol=1e-5
            )


def test_each_kind_of_query_is_searched_with_its_own_nprobe_and_says_so(published):
    searcher = Searcher.open(published[0])
    kinds = ("image", "word", "words", "differences")
    asked = [searcher.search(make_vocabulary().vectors[0], kind, 3) for kind in kinds]
    assert [answer.kind for answer in asked] == list(kinds)
    assert [answer.nprobe for answer in asked] == [1, 2, 2, 2]
    searcher.index.run.details["nprobe"]["differences"] = 1
    searcher.index.run.details["tuning"] = {"words": {"recall": 0.97}, "image": {"recall": 0.99}}
    assert searcher.search(make_vocabulary().vectors[0], "differences", 3).nprobe == 1
    recalls = [searcher.search(make_vocabulary().vectors[0], kind, 3).recall for kind in kinds]
    assert recalls == [0.99, None, 0.97, None]


def test_every_published_picture_finds_itself_and_more_than_there_are_gives_all(published):
    warehouse, pictures = published
    searcher = Searcher.open(warehouse)
    for uri, (image_id, embedding_D) in pictures.items():
        best = searcher.search(embedding_D, "image", 1).hits[0]
        assert (best.uri, best.image_id) == (uri, image_id) and best.score == pytest.approx(1, abs=1e-5)
    answer = searcher.search(unit(np.ones(DIM)), "word", 10**30)
    assert set(uris(answer)) == set(pictures) and len(answer.hits) == 12


def test_words_are_looked_up_in_the_vocabulary_of_the_publication(published):
    lookup = Searcher.open(published[0]).lookup
    np.testing.assert_array_equal(lookup("Lions"), make_vocabulary().vectors[0])
    np.testing.assert_array_equal(lookup("king of beasts"), make_vocabulary().vectors[0])
    assert lookup("submarine") is None


def test_a_label_is_answered_by_its_list_in_its_order_however_it_is_spelled(listed):
    warehouse, pictures = listed
    searcher = Searcher.open(warehouse)
    for label, query_D in zip(("lion", "tulip", "castle", "ferry"), make_vocabulary().vectors, strict=False):
        best = nearest(pictures, query_D)
        answer = searcher.ask(label, 3)
        assert uris(answer) == [best[3], best[2], best[1]]  # by relevance, which here is not by cosine
        assert [hit.score for hit in answer.hits] == pytest.approx(
            [float(pictures[uri][1] @ query_D) for uri in uris(answer)]
        )
        assert [(hit.rank, hit.image_id) for hit in answer.hits] == [
            (n + 1, pictures[uri][0]) for n, uri in enumerate(uris(answer))
        ]
        assert (answer.kind, answer.exact, answer.nprobe, answer.recall) == ("word", True, None, 1.0)
    same = ["Lions", '"lion"', "2 * lion", "king of beasts", "LION"]
    assert {tuple(uris(searcher.ask(text, 3))) for text in same} == {tuple(uris(searcher.ask("lion", 3)))}


def test_beyond_its_list_a_label_s_answers_follow_from_the_index_and_none_comes_twice(listed):
    warehouse, pictures = listed
    searcher = Searcher.open(warehouse)
    query_D = make_vocabulary().vectors[0]
    first = uris(searcher.ask("lion", LISTED))
    rest = [uri for uri in nearest(pictures, query_D) if uri not in first]
    for k in (LISTED + 1, len(pictures), 1000):
        answer = searcher.ask("lion", k)
        assert uris(answer) == [*first, *rest][:k] and not answer.exact
        assert [hit.rank for hit in answer.hits] == list(range(1, len(answer.hits) + 1))
    assert searcher.ask("lion", LISTED).exact


def test_a_label_without_a_list_and_a_publication_without_lists_ask_the_index(listed, published):
    query_D = make_vocabulary().vectors[4]
    for warehouse, pictures in (listed, published):
        answer = Searcher.open(warehouse).ask("sea lion", 4)
        assert uris(answer) == nearest(pictures, query_D)[:4] and answer.nprobe == 2
    assert uris(Searcher.open(published[0]).ask("lion", 3)) == nearest(published[1], make_vocabulary().vectors[0])[:3]


def test_a_denied_label_is_refused_however_it_is_asked_for(tmp_path):
    warehouse, pictures = publish(tmp_path)
    (tmp_path / "deny.txt").write_text("sea lion\n")
    add_tables(warehouse, pictures, "r2", deny=str(tmp_path / "deny.txt"))
    searcher = Searcher.open(warehouse)
    for text in ("sea lion", "Sea Lions"):
        with pytest.raises(VocabularyError, match=f"query '{text}': sea lion is on the list of denied words") as told:
            searcher.ask(text)
        assert "label_images.deny" in str(told.value)
    assert searcher.ask("lion", 1).exact
    with pytest.raises(VocabularyError, match="submarine is no word|'submarine' is no word"):
        searcher.ask("submarine")


def test_a_word_opens_the_one_file_of_its_list_and_nothing_else(listed, fetched):
    searcher = Searcher.open(listed[0])
    assert len(searcher.ask("ferry", 5).hits) == len(searcher.ask("castle", 5).hits) == 5
    assert fetched == ["part-0.parquet"]
    searcher.ask("ferry", 5, labels=True)
    assert fetched == ["part-0.parquet", "part-0.parquet"]  # the second one is of labels
    assert not searcher._opened.keys() & {"index", "vocabulary", "lookup"}
    searcher.similar(listed[1][next(iter(listed[1]))][0])
    assert "lookup" not in searcher._opened and fetched[2] == "template-0.faiss"
    before = len(fetched)
    for _ in range(3):
        searcher.similar(listed[1][next(iter(listed[1]))][0], labels=True)
        searcher.ask("lion - tulip")
    assert fetched[before:] == []


def test_a_word_at_the_command_line_loads_neither_torch_nor_faiss(listed):
    code = (
        "import json, sys; from devise import cli; cli.main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    arguments = ["search", "ferry", "-k", "2", "--labels", "--warehouse", listed[0]]
    said = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout
    *lines, loaded = said.splitlines()
    assert len(lines) == 2 and lines[0].split()[0] == "1"
    assert not set(json.loads(loaded)) & {"torch", "faiss", "pyspark", "boto3", "pandas", "PIL", "fasttext"}


def test_labels_come_with_the_answers_that_ask_for_them(listed):
    warehouse, pictures = listed
    searcher = Searcher.open(warehouse)
    known = make_vocabulary()
    for answer in (searcher.ask("lion", 12, labels=True), searcher.ask("tulip - lion", 12, labels=True)):
        for hit in answer.hits:
            cosine_V = known.vectors @ pictures[hit.uri][1]
            order = np.argsort(-cosine_V, kind="stable")
            assert [one.label for one in hit.labels.labels] == [known.labels[row] for row in order]
            assert [one.score for one in hit.labels.labels] == pytest.approx(cosine_V[order].tolist(), abs=1e-6)
            assert hit.labels.answer == (known.labels[order[0]] if cosine_V.max() > 0.9 else None)
            assert hit.labels.best == known.labels[order[0]]
            assert hit.labels.labels[0].probability is None  # of a publication without this column
    assert searcher.ask("lion", 1).hits[0].labels is None
    assert searcher.labels_of([12345]) == {} == searcher.labels_of([])


def test_the_like_of_an_image_are_its_nearest_without_itself(listed):
    warehouse, pictures = listed
    searcher = Searcher.open(warehouse)
    for uri, (image_id, embedding_D) in pictures.items():
        answer = searcher.similar(image_id, 4)
        searched = [hit.uri for hit in searcher.search(embedding_D, "image", 5).hits]
        assert uris(answer) == [found for found in searched if found != uri][:4] and answer.kind == "image"
        assert [hit.rank for hit in answer.hits] == list(range(1, len(answer.hits) + 1))
    with pytest.raises(IndexingError, match="no live image has the id 5"):
        searcher.similar(5)


def test_filters_hold_for_lists_the_index_and_the_like_of_an_image(listed):
    warehouse, pictures = listed
    searcher = Searcher.open(warehouse)
    known, order = make_vocabulary(), list(pictures)
    since = BEGAN.date().replace(day=6)
    first = {uri: known.labels[int(np.argmax(known.vectors @ found))] for uri, (_, found) in pictures.items()}
    under = order[0].rsplit("/", 1)[0] + "/"
    for only, passes in [
        (Filter(under=under), lambda uri: uri.startswith(under)),
        (Filter(since=since), lambda uri: order.index(uri) >= 5),
        (Filter(label="Lions"), lambda uri: True),  # here every picture has every label
        (Filter(under=under, since=since), lambda uri: False),
        (Filter(under=order[0], label="lion"), lambda uri: uri == order[0]),
    ]:
        wanted = {uri for uri in pictures if passes(uri)}
        for text, query_D in [("lion", known.vectors[0]), ("lion + ferry", known.vectors[0] + known.vectors[3])]:
            answer = searcher.ask(text, 12, only=only)
            assert set(uris(answer)) == wanted
            if "+" in text:
                assert uris(answer) == [uri for uri in nearest(pictures, query_D) if uri in wanted]
            else:
                listing = [uri for uri in uris(searcher.ask("lion", LISTED)) if uri in wanted]
                assert uris(answer)[: len(listing)] == listing
        others = uris(searcher.similar(pictures[order[0]][0], 12, only=only))
        assert set(others) == wanted - {order[0]}
    assert first  # the labels of the pictures are made of their vectors
    with pytest.raises(VocabularyError, match="no label for \\['submarine'\\]"):
        searcher.ask("lion", only=Filter(label="submarine"))


def test_a_publication_that_is_kept_answers_as_it_did(tmp_path):
    warehouse, pictures = publish(tmp_path)
    before = Searcher.open(warehouse)
    assert before.follow() is before
    add_tables(warehouse, pictures, "r2")
    now = before.follow()
    assert now is not before and now.follow() is now
    assert uris(now.ask("lion", 3)) != uris(before.ask("lion", 3)) == uris(Searcher.at(warehouse, "r1").ask("lion", 3))
    for searcher, told in ((now, (2, "r2")), (before, (1, "r1")), (Searcher.at(warehouse, "r1"), (1, "r1"))):
        for answer in (
            searcher.ask("lion", 2),
            searcher.ask("lion + tulip", 2),
            searcher.similar(next(iter(pictures.values()))[0]),
        ):
            assert (answer.publication, answer.run) == told
    assert Searcher.at(warehouse, "r1").follow().live.number == 2
    with pytest.raises(ManifestError, match="found no kept publication of run 'r3', wanted one of: r1, r2"):
        Searcher.at(warehouse, "r3")


def test_threads_that_ask_at_once_are_answered_alike_and_open_everything_once(listed, fetched):
    warehouse, pictures = listed
    some = [image_id for image_id, _ in pictures.values()]

    def ask(searcher, number):
        asked = [
            lambda: searcher.ask("lion", 10, labels=True),
            lambda: searcher.ask("ferry + tulip", 5),
            lambda: searcher.similar(some[number % 12], 3, labels=True),
            lambda: searcher.ask("castle", 12, only=Filter(since=BEGAN.date().replace(day=1 + number % 9))),
        ]
        return asked[number % 4]()

    alone = Searcher.open(warehouse)
    wanted = [ask(alone, number) for number in range(200)]
    opened = sorted(fetched)
    fetched.clear()
    together = Searcher.open(warehouse)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: ask(together, number), range(200))) == wanted
    assert sorted(fetched) == opened


def test_what_is_missing_or_does_not_fit_is_one_line(published, tmp_path):
    warehouse = published[0]
    searcher = Searcher.open(warehouse)
    with pytest.raises(ManifestError, match="nothing is published"):
        Searcher.open(str(tmp_path))
    with pytest.raises(IndexingError, match=f"the query has 3 dims, wanted {DIM}"):
        searcher.search(np.ones(3, np.float32), "word", 1)
    with pytest.raises(IndexingError, match=f"the query has 1 x {DIM} dims, wanted {DIM}"):
        searcher.search(np.ones((1, DIM), np.float32), "word", 1)
    for bad in (np.nan, np.inf):
        with pytest.raises(IndexingError, match="numbers that are not finite"):
            searcher.search(np.full(DIM, bad, np.float32), "word", 1)
    with pytest.raises(ManifestError, match="the live run r1 has no labels"):
        searcher.newest("labels")
    with pytest.raises(ManifestError, match="the live run r1 has no labels"):
        searcher.ask("lion", labels=True)
    with pytest.raises(ManifestError, match="the live run r1 has no images"):
        searcher.ask("lion", only=Filter(since=BEGAN.date()))
    for nothing in (lambda: searcher.ask("lion", 0), lambda: searcher.similar(1, -1)):
        with pytest.raises(ValueError, match="wanted at least 1"):
            nothing()
    with pytest.raises(VocabularyError, match="found 1,000,000 letters, wanted at most 10,000"):
        searcher.ask("a" * 10**6)


def test_from_s3_only_what_a_question_needs_is_fetched_once_and_checked(listed, s3_server, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # nothing is there from before
    warehouse, pictures = s3_server.make_bucket("searcher") + "/w", listed[1]
    for path in sorted(Path(listed[0]).rglob("*.*")):
        storage.put_file(path, f"{warehouse}/{path.relative_to(listed[0])}")
    got, real = [], storage.get_file
    monkeypatch.setattr(storage, "get_file", lambda uri, path: got.append(uri.rsplit("/", 1)[-1]) or real(uri, path))
    here, there = Searcher.open(listed[0]), Searcher.open(warehouse)
    assert there.ask("ferry", 5).hits == here.ask("ferry", 5).hits and got == ["part-0.parquet"]
    some = next(iter(pictures.values()))[0]
    assert there.similar(some, 3, labels=True).hits == here.similar(some, 3, labels=True).hits
    fetched = [name for name in got if name.endswith((".faiss", ".arrow"))]
    assert len(fetched) == len(set(fetched)) == 5 and got.count("part-0.parquet") == 2
    before = len(got)
    assert there.follow() is there and there.ask("castle", 9).hits == here.ask("castle", 9).hits
    assert [name for name in got[before:] if name != "part-0.parquet"] == []  # the vocabulary's
    storage.write_bytes(f"{warehouse}/word_images/run=r2/part-1.parquet", b"PAR1 of somebody else PAR1")
    with pytest.raises(DeviseError, match="part-1.parquet") as told:
        Searcher.open(warehouse).ask("tulip")
    assert "\n" not in str(told.value)
    shard = f"{warehouse}/index/run=r1/shard-00001-0.faiss"
    storage.write_bytes(shard, storage.read_bytes(shard)[:-1] + b"x")
    with pytest.raises(StorageError, match="shard-00001-0.faiss: sha256 is"):
        Searcher.open(warehouse).ask("lion + tulip")
