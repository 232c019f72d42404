"""What the explorer answers, of a small published warehouse: ranked, folded, filtered, explained, downloaded."""

import gc
import io
import re
import time
import weakref
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from explorers import TOKEN, add_neighbours, explorer, make_warehouse, picture
from pyarrow import csv
from tiny_warehouse import LISTED, add_tables, make_vocabulary, publish, unit, write_table

from devise.errors import ConfigError, ManifestError, StorageError, VocabularyError
from devise.search import filters
from devise.search.filters import Filter
from devise.search.searcher import Searcher
from devise.show.explorer import command, downloads, ranked
from devise.show.explorer import corpus as corpora
from devise.show.explorer.corpus import Corpus
from devise.show.explorer.follow import Following
from devise.show.explorer.suggestions import Suggestions
from devise.show.explorer.uploads import Uploads
from devise.store import storage
from devise.warehouse import pointer
from devise.words.vocabulary import to_arrow


def ids(answer):
    return [int(hit["image_id"]) for hit in answer["hits"]]


def nearest(pictures, query_D):
    return [image_id for image_id, _ in sorted(pictures.values(), key=lambda found: -float(found[1] @ query_D))]


def as_the_index_has_it(warehouse, query_D, kind):
    return [hit.image_id for hit in Searcher.open(warehouse).search(query_D, kind, ranked.MOST).hits]


def test_what_is_live_is_told(asked, made):
    told = asked.get("/api/live").json()
    assert (told["publication"], told["run"], told["images"], told["labels"], told["dim"]) == (3, "r3", 12, 5, 8)
    assert (told["thumbnails"], told["lacks"], told["links"]) == (False, {}, False)
    assert len(told["folders"]) == 4 and all(any(uri.startswith(f) for uri in made[1]) for f in told["folders"])


def test_a_word_is_answered_by_its_list_and_then_by_the_index(asked, made):
    warehouse, pictures = made
    answer = asked.search("lion")
    wanted = Searcher.open(warehouse).ask("lion", 200)
    assert ids(answer) == [hit.image_id for hit in wanted.hits] and answer["total"] == len(pictures) > LISTED
    assert (answer["kind"], answer["publication"], answer["run"]) == ("word", 3, "r3")
    hit = answer["hits"][0]
    assert hit["rank"] == 1 and hit["uri"].endswith(hit["name"]) and hit["labels"][0]["label"] in hit["alt"]


@pytest.mark.parametrize(
    ("text", "weights"),
    [("lion + tulip", {0: 1, 1: 1}), ("2 * lion - tulip", {0: 2, 1: -1}), ('"sea lion" + castle', {4: 1, 2: 1})],
)
def test_sums_are_answered_by_the_index(asked, made, text, weights):
    words = make_vocabulary().vectors
    query_D = unit(sum(weight * words[row] for row, weight in weights.items()))
    assert ids(asked.search(text)) == nearest(made[1], query_D)


def test_a_stored_picture_is_asked_by_its_id_and_by_its_uri(asked, made, monkeypatch):
    uri, (image_id, embedding_D) = list(made[1].items())[4]
    monkeypatch.setattr(corpora, "id_of", {uri: image_id}.get)  # ids of this warehouse are no hashes
    by_id, by_uri = (ids(asked.search(f"image:{text}")) for text in (f"ID/{image_id}", uri))
    assert by_id == by_uri == as_the_index_has_it(made[0], embedding_D, "image") and by_id[0] == image_id
    assert ids(asked.get(f"/api/images/{image_id}/similar").json()) == by_id
    mixed = unit(embedding_D + make_vocabulary().vectors[3])
    assert ids(asked.search(f"image:ID/{image_id} + ferry")) == nearest(made[1], mixed)


def test_answers_are_ranked_once_and_paged(asked, made, monkeypatch):
    calls, real = [], Searcher.ask
    monkeypatch.setattr(Searcher, "ask", lambda self, *told, **more: calls.append(told) or real(self, *told, **more))
    pages = [asked.search("castle + tulip", offset=offset, limit=5) for offset in (0, 5, 10)]
    assert [len(page["hits"]) for page in pages] == [5, 5, 2] and len(calls) == 1
    assert [hit["rank"] for page in pages for hit in page["hits"]] == list(range(1, 13))
    assert sum((ids(page) for page in pages), []) == ids(asked.search("castle + tulip"))
    assert asked.search("castle + tulip", offset=12)["hits"] == []


def test_what_was_asked_longest_ago_is_forgotten(made, monkeypatch):
    monkeypatch.setattr(ranked, "KEPT", 2)
    rankings = ranked.Rankings(Corpus.open(made[0]))
    first = rankings.rank(ranked.Asked("lion"))
    assert rankings.rank(ranked.Asked("lion")) is first
    for text in ("tulip", "castle"):
        rankings.rank(ranked.Asked(text))
    assert rankings.rank(ranked.Asked("lion")) is not first


def test_filters_by_folder_label_day_and_score(asked, made):
    pictures = made[1]
    folder = next(iter(pictures)).rsplit("/", 1)[0] + "/"
    assert {hit["uri"].rsplit("/", 1)[0] + "/" for hit in asked.search("ferry", under=folder)["hits"]} == {folder}
    late = ids(asked.search("ferry", since="2026-01-09"))
    assert sorted(late) == sorted(image_id for image_id, _ in list(pictures.values())[8:])
    answer = asked.search("ferry")
    scores = [hit["score"] for hit in answer["hits"]]
    assert answer["scores"] == {"most": max(scores), "least": min(scores)}
    least = sorted(scores)[-3]
    cut = asked.search("ferry", least=least)
    assert cut["total"] == 3 and cut["scores"] == answer["scores"]
    assert asked.search("ferry", label="sea lion")["total"] == 12


def test_near_duplicates_are_folded_behind_the_best_of_them(asked, made):
    pictures = list(made[1].values())
    whole, folded = asked.search("castle + lion"), asked.search("castle + lion", fold="true")
    group_of = {image_id: place // 3 if place % 3 < 2 else image_id for place, (image_id, _) in enumerate(pictures)}
    wanted = list({group_of[image_id]: image_id for image_id in reversed(ids(whole))}.values())
    assert sorted(ids(folded)) == sorted(wanted) and folded["total"] == 8
    assert {int(hit["image_id"]): hit["folded"] for hit in folded["hits"]} == {
        image_id: int(group_of[image_id] < 4) for image_id in wanted
    }
    image_id = pictures[0][0]
    (other,) = asked.get(f"/api/images/{image_id}").json()["duplicates"]
    assert int(other["image_id"]) == pictures[1][0]


def test_shared_labels_are_counted_without_the_query_s_own(asked):
    chips = asked.search("lion")["chips"]
    assert {chip["label"] for chip in chips} == {"tulip", "castle", "ferry", "sea lion"}
    assert all(chip["count"] == 12 for chip in chips)


def test_nothing_fits_is_said(asked, made):
    fine = asked.search("lion")
    assert fine["fits"] and fine["told"] is None
    none = asked.search("lion", least=1.0)
    assert none["hits"] == [] and not none["fits"] and none["told"].startswith("Nothing fits: the best score is 0.9")
    none = asked.search("lion", under="s3://elsewhere/")
    assert none["hits"] == [] and none["told"] == "Nothing fits: no picture passes the filters." and not none["scores"]


def test_a_word_that_no_answer_is_labelled_with_is_named(tmp_path):
    warehouse, pictures = publish(tmp_path)
    add_tables(warehouse, pictures, "r2")
    corpus = Corpus.open(warehouse)
    found = corpus.labels_of
    corpus.labels_of = lambda image_ids: {i: replace(t, labels=t.labels[:1]) for i, t in found(image_ids).items()}
    rankings = ranked.Rankings(corpus)
    said = "one of these is likely to show “sea lion”; they are the nearest."
    told = rankings.page(ranked.Asked("sea lion"), 0, 100)
    assert not told["fits"] and told["told"] == f"Nothing fits for sure: n{said}"
    told = rankings.page(ranked.Asked("sea lion + tulip"), 0, 100)
    assert told["fits"] and told["told"] == f"N{said}"
    assert rankings.page(ranked.Asked("tulip - sea lion"), 0, 100)["told"] is None
    assert not rankings.page(ranked.Asked("sea lion + sea lion"), 0, 100)["fits"]


@pytest.mark.parametrize("text", ["lion", "2 * lion + tulip - ferry", "3 * ferry", "1.7e308 * lion + 1e308 * ferry"])
def test_shares_add_up_to_the_score(asked, made, text):
    for hit in asked.search(text)["hits"][:3]:
        told = asked.get("/api/why", q=text, image_id=hit["image_id"]).json()
        assert sum(term["share"] for term in told["terms"]) == pytest.approx(hit["score"], abs=1e-4)
        assert told["score"] == pytest.approx(hit["score"], abs=1e-4) and told["labels"] == hit["labels"]
    assert asked.get("/api/why", q="lion - lion", image_id=hit["image_id"]).status_code == 422


def test_a_stored_image_is_told(asked, made):
    uri, (image_id, _) = next(iter(made[1].items()))
    told = asked.get(f"/api/images/{image_id}").json()
    assert (told["uri"], told["image_id"], told["name"]) == (uri, str(image_id), "0.png")
    assert told["modified_at"].startswith("2026-01-01") and len(told["labels"]) == 5


def test_a_thumbnail_is_a_small_webp_that_a_browser_may_keep(asked, made):
    image_id = next(iter(made[1].values()))[0]
    first = asked.get(f"/api/images/{image_id}/thumbnail")
    assert first.headers["content-type"] == "image/webp" and first.content[:4] == b"RIFF"
    assert "max-age" in first.headers["cache-control"]
    again = asked("GET", f"/api/images/{image_id}/thumbnail", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_a_thumbnail_of_the_table_is_shown_and_no_original_is_read(tmp_path, monkeypatch):
    warehouse, pictures = make_warehouse(tmp_path)
    (uri, (image_id, _)), (_, (other_id, _)) = list(pictures.items())[:2]
    columns = {"image_id": [image_id, other_id], "etag": [storage.stat(uri).etag, "of before"], "webp": [b"RIFF 1"] * 2}
    live = pointer.read(warehouse)
    small = write_table(warehouse, "r5", "thumbnails", {"standing-0": columns | {"width": [1, 1], "height": [1, 1]}})
    small = small.model_copy(update={"details": {"ranges": 1}})
    write_table(warehouse, "r5", "embeddings", {"part-0": {"image_id": [1]}}, secondary={"thumbnails": small})
    pointer.swap(warehouse, [*live.pairs(), ("thumbnails", "r5")], "r5", live)
    with explorer(warehouse) as asked:
        assert asked.get("/api/live").json()["thumbnails"]
        made = asked.get(f"/api/images/{other_id}/thumbnail").content  # of this content there is none
        assert made[8:12] == b"WEBP"
        monkeypatch.setattr(storage, "fetch_image", None)
        assert asked.get(f"/api/images/{image_id}/thumbnail").content == b"RIFF 1"


def test_a_picture_that_was_changed_or_is_gone_cannot_be_shown(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path)
    uri, (image_id, _) = next(iter(pictures.items()))
    with explorer(warehouse) as asked:
        for change in ("changed", "gone"):
            path = tmp_path / "pictures" / uri.rsplit("pictures/", 1)[1]
            path.write_bytes(picture()) if change == "changed" else path.unlink()
            found = asked.get(f"/api/images/{image_id}/thumbnail")
            assert (found.status_code, found.json()) == (410, {"error": f"the picture cannot be shown: {change}"})


def test_a_given_picture_is_labelled_and_asked_with(asked, made):
    form = asked("POST", "/api/pictures", files={"picture": ("a.png", picture(), "image/png")}).json()
    body = asked("POST", "/api/pictures", content=picture(), headers={"content-type": "image/png"}).json()
    assert form == body and (form["width"], form["height"]) == (40, 30) and len(form["labels"]) == 5
    corpus = Corpus.open(made[0])
    vector_D = corpus.picture(form["term"].removeprefix("image:"))
    assert np.linalg.norm(vector_D) == pytest.approx(1.0, abs=1e-6)
    assert ids(asked.search(form["term"])) == as_the_index_has_it(made[0], vector_D, "image")
    assert ids(asked.search(f"{form['term']} - ferry")) == nearest(
        made[1], unit(vector_D - make_vocabulary().vectors[3])
    )
    similar = asked("POST", "/api/similar?limit=3", content=picture(), headers={"content-type": "image/png"}).json()
    assert ids(similar) == as_the_index_has_it(made[0], vector_D, "image")[:3]
    labels = asked("POST", "/api/labels", content=picture(), headers={"content-type": "image/png"}).json()
    assert labels["labels"] == form["labels"]


def test_a_written_vector_is_read_as_it_was_within_float16(made):
    corpus, rng = Corpus.open(made[0]), np.random.default_rng(0)
    for _ in range(20):
        vector_D = unit(rng.normal(size=8))
        text = corpus.write_vector(vector_D)
        assert re.fullmatch(r"[A-Za-z0-9/._-]+", text)
        assert float(corpus.picture(text) @ vector_D) > 1 - 1e-6
    text = corpus.write_vector(unit(np.ones(8)))
    wrong = ["VECTOR/", "VECTOR/other.AAAA", text[:-3], text + "AAAA", text[:-4] + "!!!!", "ID/", "ID/-1", "ID/1e9"]
    wrong += ["ID/" + "9" * 30, corpus.write_vector(np.zeros(8)), corpus.write_vector(np.full(8, np.nan))]
    wrong += ["ID/5", "/etc/passwd", "s3://bucket/none.jpg", str(2**64)]
    for text in wrong:
        with pytest.raises(VocabularyError, match="^image:"):
            corpus.picture(text)


def test_the_loaded_model_keeps_no_publication_in_memory(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path)
    first, given = Corpus.open(warehouse), Uploads()
    seen = given.see(first, picture())
    gone, model = weakref.ref(first), given._eyes
    add_neighbours(warehouse, pictures, "r4")
    second = first.follow()
    del first
    gc.collect()
    assert gone() is None
    assert given.see(second, picture()).labelled == seen.labelled and given._eyes is model
    given.close()


def test_a_publication_of_the_same_vocabulary_shares_what_is_made_of_its_names_and_of_another_does_not(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path)
    first = Corpus.open(warehouse)
    first.warm()
    add_neighbours(warehouse, pictures, "r4")
    second = first.follow()
    assert second.live.number == 4 and "names" not in second.__dict__
    assert second.names is first.names
    for name in ("suggestions", "ancestry", "synset_of"):
        assert getattr(second.names, name) is getattr(first.names, name)
    words = to_arrow(make_vocabulary(["lion", "leopard", "castle", "ferry", "sea lion"]))
    live = pointer.read(warehouse)
    write_table(warehouse, "r5", "vocabulary", {"part-0": dict(zip(words.column_names, words.columns, strict=True))})
    pairs = [pair for pair in live.pairs() if pair[0] != "vocabulary"]
    pointer.swap(warehouse, [*pairs, ("vocabulary", "r5")], "r5", live)
    third = second.follow()
    assert third.names is not second.names
    assert [word.label for word in third.names.suggestions.find("l", 9)] == ["lion", "leopard"]
    assert third.names.synset_of.keys() == set(words.column("label").to_pylist())


def test_a_publication_of_the_same_vocabulary_with_other_denied_words_does_not_share_its_names(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path)
    first, denied = Corpus.open(warehouse), tmp_path / "denied.txt"
    denied.write_text("tulip\n")
    add_tables(warehouse, pictures, "r4", deny=str(denied))
    second = first.follow()
    assert [bool(corpus.names.suggestions.find("tulip", 1)) for corpus in (first, second)] == [True, False]
    add_neighbours(warehouse, pictures, "r5")
    assert second.follow().names is second.names
    denied.write_text("castle, of the list under the same name\n".replace(",", "\t"))
    assert [bool(second.follow().names.suggestions.find(text, 1)) for text in ("tulip", "castle")] == [True, False]


def test_a_publication_that_is_left_goes_without_the_collector(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path)
    following = Following(warehouse, every_s=600)
    for asked in (ranked.Asked("lion", Filter(label="tulip"), fold=True), ranked.Asked("lion + tulip")):
        following.now.page(asked, 0, 100)
    gone = [weakref.ref(following.now.corpus), weakref.ref(following.now.corpus.searcher)]
    add_neighbours(warehouse, pictures, "r4")
    gc.disable()
    try:
        following.now = ranked.Rankings(following.now.corpus.follow())
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()
        following.close()


def test_answers_are_downloaded_as_they_are_shown(asked):
    shown = asked.search("lion + ferry")
    parquet = asked.get("/api/answers.parquet", q="lion + ferry")
    rows = pq.read_table(io.BytesIO(parquet.content))
    assert rows.column("image_id").to_pylist() == ids(shown) and rows.schema.metadata[b"query"] == b"lion + ferry"
    told = asked.get("/api/answers.csv", q="lion + ferry")
    assert told.headers["content-disposition"] == 'attachment; filename="answers.csv"'
    again = csv.read_csv(io.BytesIO(told.content))
    assert again.column("uri").to_pylist() == [hit["uri"] for hit in shown["hits"]]
    assert asked.get("/api/answers.exe", q="lion").status_code == 404


def test_no_cell_of_a_csv_is_a_formula():
    rows = pa.table({"uri": ["=1+1", "+a", "-a", "@a", "\ta", "a=b", None], "rank": range(7)})
    again = csv.read_csv(io.BytesIO(downloads.write(rows, "csv")))
    assert again.column("uri").to_pylist() == ["'=1+1", "'+a", "'-a", "'@a", "'\ta", "a=b", ""]


def test_words_are_completed_labels_before_synonyms_and_short_before_long(asked):
    words = asked.get("/api/words", text="Li").json()["words"]
    assert [word["label"] for word in words] == ["lion"] and words[0]["seen"]
    (word,) = asked.get("/api/words", text="king of").json()["words"]
    assert (word["label"], word["said"]) == ("lion", "king of beasts")
    known = make_vocabulary(["lion", "lioness", "sea lion", "line", "li"])
    assert [word.label for word in Suggestions(known).find("li", 3)] == ["li", "line", "lion"]
    assert [word.label for word in Suggestions(known).find("lion", 9)] == ["lion", "lioness", "sea lion"]
    assert Suggestions(known).find(" ", 9) == []
    denied = Suggestions(known, np.array([True, False, False, False, False]))
    assert [word.label for word in denied.find("lion", 9)] == ["lioness", "sea lion"]


def test_the_explorer_follows_the_live_pointer(tmp_path):
    warehouse, pictures = make_warehouse(tmp_path)
    with explorer(warehouse, every_s=0.02) as asked:
        assert asked.search("lion")["publication"] == 3
        add_neighbours(warehouse, pictures, "r4")
        while (found := asked.search("lion"))["publication"] == 3:
            time.sleep(0.02)
        assert (found["publication"], found["run"]) == (4, "r4")


def test_a_publication_that_cannot_be_opened_is_not_answered_from(tmp_path, caplog):
    warehouse, _ = make_warehouse(tmp_path)
    following = Following(warehouse, every_s=0.02)
    live = pointer.read(warehouse)
    pointer.swap(warehouse, [pair for pair in live.pairs() if pair[0] != "index"], "r4", live)
    while "still of publication 3" not in caplog.text:
        time.sleep(0.02)
    assert following.now.corpus.live.number == 3
    following.close()


def test_a_fault_of_a_library_is_not_the_last_look_at_the_pointer(tmp_path, caplog, monkeypatch):
    warehouse, pictures = make_warehouse(tmp_path)
    following, real = Following(warehouse, every_s=0.02), Corpus.follow
    monkeypatch.setattr(Corpus, "follow", lambda self: 1 / 0)
    while "ZeroDivisionError" not in caplog.text:
        time.sleep(0.02)
    monkeypatch.setattr(Corpus, "follow", real)
    add_neighbours(warehouse, pictures, "r4")
    while following.now.corpus.live.number == 3:
        time.sleep(0.02)
    following.close()


def test_a_vocabulary_whose_first_label_is_never_told_is_served(tmp_path):
    warehouse, pictures = publish(tmp_path)
    (tmp_path / "denied.txt").write_text("sea lion\n")
    add_tables(warehouse, pictures, "r2", deny=str(tmp_path / "denied.txt"))
    opened = Corpus.open(warehouse)
    opened.searcher._opened["vocabulary"] = make_vocabulary(["sea lion", "lion", "tulip", "castle", "ferry"])
    opened.warm()
    assert [word.label for word in opened.names.suggestions.find("l", 9)] == ["lion"]
    assert opened.names.suggestions.find("sea", 9) == []


def test_filters_that_a_publication_cannot_answer_are_named(tmp_path):
    with explorer(publish(tmp_path)[0]) as asked:
        assert asked.search("lion + tulip")["total"] == 12
        reasons = {name: f"table {table} is not published" for name, table in corpora.FILTERS.items()}
        assert asked.get("/api/live").json()["lacks"] == reasons
        for name, value in {"label": "lion", "since": "2026-01-01", "fold": True}.items():
            found = asked.get("/api/search", q="lion", **{name: value})
            assert (found.status_code, found.json()) == (
                422,
                {"error": f"{name}: cannot be asked for: {reasons[name]}"},
            )


def test_a_filter_that_would_read_too_many_rows_is_refused_before_one_is_read(made, monkeypatch):
    monkeypatch.setattr(corpora, "MOST_ROWS", 12)
    monkeypatch.setattr(filters, "ids_with_label", None)
    with explorer(made[0]) as asked:
        assert asked.search("lion", since="2026-01-09", under="file://")["total"] == 4  # of twelve
        reason = "table labels has 60 rows, more than 12 are not gone through"
        assert asked.get("/api/live").json()["lacks"] == {"label": reason}
        line = f"label: cannot be asked for: {reason}"
        for path in ("/api/search", "/api/answers.csv"):
            found = asked.get(path, q="lion", label="tulip")
            assert (found.status_code, found.json()) == (422, {"error": line})


def test_a_uri_s_id_is_the_one_that_spark_makes_of_it():
    assert corpora.id_of("s3://bucket/a.jpg") == 2926278387245136043  # SELECT xxhash64(uri) & 9223372036854775807
    assert corpora.id_of("s3://bucket/\u00e9 \U0001f600.jpg") == 110301351630557262


def test_an_empty_warehouse_is_one_line(tmp_path):
    with pytest.raises(ManifestError, match="nothing is published here yet"):
        Following(str(tmp_path))


def test_the_token_is_found_in_a_file_and_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(command.VARIABLE, raising=False)
    assert command.find_token(None) is None
    monkeypatch.setenv(command.VARIABLE, TOKEN)
    assert command.find_token(None) == TOKEN
    (tmp_path / "token").write_text("another token, long enough\n")
    assert command.find_token(str(tmp_path / "token")) == "another token, long enough"
    for content, said in [("short", "a token of 5 letters, wanted 16"), ("ü" * 20, "wanted 16 or more, of ASCII")]:
        (tmp_path / "token").write_text(content)
        with pytest.raises(ConfigError, match=said):
            command.find_token(str(tmp_path / "token"))
    with pytest.raises(ConfigError, match="cannot be read"):
        command.find_token(str(tmp_path / "none"))


def test_what_is_not_in_reach_is_503_and_tells_no_path(made, monkeypatch):
    def fail(*_, **__):
        raise StorageError(f"{made[0]}: cannot be read")

    with explorer(made[0]) as asked:
        monkeypatch.setattr(Searcher, "ask", fail)
        found = asked.get("/api/search", q="lion")
        assert found.status_code == 503 and found.json() == {"error": "the warehouse cannot be read just now"}
        monkeypatch.setattr(Searcher, "ask", lambda *_, **__: 1 / 0)
        found = asked.get("/api/search", q="tulip")
        assert found.status_code == 500 and found.json() == {"error": "a fault of the explorer: its log has it"}
