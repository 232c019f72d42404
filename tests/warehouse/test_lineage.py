"""What a run builds on: the publication that was live, never the newest name; and runs that are never used again."""

import json

import pytest
from tiny_warehouse import _commit, add_night, publish

from devise.errors import ConfigError, GateError, ManifestError, StorageError
from devise.store import storage
from devise.warehouse import lineage, manifest, pointer, upkeep
from devise.warehouse.lineage import begin


@pytest.fixture
def warehouse(tmp_path):
    """Publication 1 is vocabulary, model and index of r1; 2 to 4 are nights."""
    place, _ = publish(tmp_path)
    for run in ("r2", "r3", "r4"):
        add_night(place, run)
    return place


def runs(found):
    return [made.run for made in found]


def commit(warehouse, run, table="embeddings", parent=None, inputs=None, **more):
    """A run without files; as jobs do, it names what is live as its parent."""
    parent = pointer.read(warehouse).number if parent is None else parent
    return _commit(warehouse, table, {}, run, parent=parent, inputs=inputs, **more)


def test_a_night_builds_on_what_is_live_and_after_a_rollback_on_what_is_live_again(warehouse):
    before = begin(warehouse, "r5")
    assert (before.number, runs(before.before("embeddings"))) == (4, ["r2", "r3", "r4"])
    assert upkeep.rollback(warehouse, 2)[-1] == "discarded, never to be used again: run r3, r4"
    after = begin(warehouse, "r5")
    assert (after.number, runs(after.before("embeddings")), runs(after.before("labels"))) == (5, ["r2"], ["r2"])
    assert runs(after.before("rejects")) == ["r2"] and after.newest("model").run == "r1"
    assert after.line == {0, 1, 2, 5} and after.parent.restores == 2


def test_a_model_that_was_rolled_back_is_never_the_newest(warehouse):
    made = commit(warehouse, "r5", "model", model_id="bad")
    live = pointer.read(warehouse)
    pointer.swap(warehouse, [*live.pairs()[:1], ("model", "r5"), *live.pairs()[2:]], "r5", live)
    assert begin(warehouse, "r6").newest("model") == made
    upkeep.rollback(warehouse)
    assert begin(warehouse, "r6").newest("model").run == "r1"


@pytest.mark.parametrize("run", ["r3", "r4"])
def test_a_run_that_a_rollback_left_is_refused_by_name_and_reason(warehouse, run):
    upkeep.rollback(warehouse, 2)
    with pytest.raises(GateError, match=f"run {run} was discarded .rollback to publication 2. and is never used again"):
        begin(warehouse, run)


def test_what_a_gate_held_back_is_built_on_by_the_next_night_until_it_is_discarded(warehouse):
    commit(warehouse, "r5")
    commit(warehouse, "r5", "labels")
    sixth = begin(warehouse, "r6")
    assert runs(sixth.ahead("embeddings")) == ["r5"] and runs(sixth.before("embeddings"))[-1] == "r5"
    assert runs(sixth.before("labels")) == ["r4"]  # what is derived comes from what is live
    told = upkeep.discard(warehouse, "r5")
    assert told == "run r5 is discarded, never to be used again: embeddings, labels, rejects, thumbnails, word_images"
    assert runs(begin(warehouse, "r6").before("embeddings")) == ["r2", "r3", "r4"]
    with pytest.raises(GateError, match="run r5 was discarded .devise discard."):
        begin(warehouse, "r5")


def test_what_was_made_from_a_discarded_run_is_discarded_with_it_however_far(warehouse):
    fifth = commit(warehouse, "r5")
    sixth = commit(warehouse, "r6", inputs={"embeddings": [fifth.identity()]}, base=True)
    commit(warehouse, "r7", inputs={"embeddings": [sixth.identity()]})
    commit(warehouse, "r7b")
    assert runs(begin(warehouse, "r8").ahead("embeddings")) == ["r5", "r6", "r7", "r7b"]
    assert upkeep.discard(warehouse, "r5").endswith("; and what was made from it: run r6, r7")
    assert runs(begin(warehouse, "r8").ahead("embeddings")) == ["r7b"]
    with pytest.raises(GateError, match="run r7 was discarded .devise discard of run r5, which it was made from"):
        begin(warehouse, "r7")


def test_a_zombie_s_run_that_was_made_from_a_discarded_one_is_used_as_little(warehouse):
    fifth = commit(warehouse, "r5")
    upkeep.discard(warehouse, "r5")
    commit(warehouse, "r6", inputs={"embeddings": [fifth.identity()]})
    assert begin(warehouse, "r7").ahead("embeddings") == []
    with pytest.raises(GateError, match="run=r6: made from embeddings of run r5, which was discarded since"):
        begin(warehouse, "r6").this("embeddings")


def test_a_run_that_nobody_can_read_can_be_discarded_and_holds_up_nights_until_then(warehouse):
    commit(warehouse, "r5", "model")
    storage.write_bytes(f"file://{warehouse}/model/run=r5/{manifest.NAME}", b"{")
    with pytest.raises(ManifestError, match="model/run=r5.*not a manifest of this version"):
        begin(warehouse, "r6").newest("model")
    upkeep.discard(warehouse, "r5")
    assert begin(warehouse, "r6").newest("model").run == "r1"


def test_a_night_s_chain_is_what_its_embeddings_were_made_beside_whatever_was_committed_since(warehouse):
    chain = begin(warehouse, "r6").before("embeddings")
    commit(warehouse, "r6", inputs={"embeddings": [made.identity() for made in chain]})
    commit(warehouse, "r5")  # half done, and ended after the next one had begun
    sixth = begin(warehouse, "r6")
    assert runs(sixth.before("embeddings")) == ["r2", "r3", "r4", "r5"]
    assert runs(sixth.chain("embeddings")) == ["r2", "r3", "r4", "r6"]
    assert begin(warehouse, "r7").chain("embeddings") == []
    path = storage.local_path(f"file://{warehouse}/embeddings/run=r3/{manifest.NAME}")
    path.write_text(path.read_text().replace('"code_version": "0"', '"code_version": "1"'))
    with pytest.raises(ManifestError, match="run=r3: found r3 .* wanted r3 .*"):
        sixth.chain("embeddings")


def test_a_night_that_was_begun_on_another_publication_is_refused(warehouse):
    commit(warehouse, "r6", "images")
    add_night(warehouse, "r5")
    with pytest.raises(GateError, match="images/run=r6: built on publication 4, .* now is publication 5: use another"):
        begin(warehouse, "r6").this("images")
    assert begin(warehouse, "r6").this("embeddings") is None


def test_a_zombie_s_run_that_was_built_on_what_a_rollback_left_is_not_built_on(warehouse):
    upkeep.rollback(warehouse)
    commit(warehouse, "r5", parent=4)
    assert begin(warehouse, "r6").ahead("embeddings") == []
    commit(warehouse, "r5b", parent=5)
    assert runs(begin(warehouse, "r6").ahead("embeddings")) == ["r5b"]


def test_a_base_that_was_held_back_hides_nothing_that_is_live(warehouse):
    """Its listing may have lost half of the corpus: what is live must not be paid for again."""
    commit(warehouse, "r5", base=True)
    commit(warehouse, "r6")
    assert runs(begin(warehouse, "r7").before("embeddings")) == ["r2", "r3", "r4", "r5", "r6"]
    commit(warehouse, "r7", base=True, inputs={"embeddings": ["r6 " + "0" * 64]})
    assert runs(begin(warehouse, "r7").chain("embeddings")) == ["r7"]


def test_a_cache_has_every_earlier_run_but_discarded_ones(warehouse):
    for run in ("r0", "r5", "r6"):
        features = _commit(warehouse, "features", {}, run)
        commit(warehouse, run, "model", parent=0, secondary={"features": features})
    assert runs(begin(warehouse, "r6").cached("features")) == ["r0", "r5"]
    upkeep.discard(warehouse, "r5")
    assert runs(begin(warehouse, "r6").cached("features")) == ["r0"]


def test_a_live_run_that_goes_on_builds_on_what_it_was_built_on(warehouse):
    again = begin(warehouse, "r4")
    assert again.number == 3 and again.this("labels").run == "r4" and runs(again.before("labels")) == ["r3"]
    upkeep.expire(warehouse, keep=1)
    with pytest.raises(ManifestError, match="run r4 is live, and publication 3, which it was built on, is no longer"):
        begin(warehouse, "r4")


def test_what_lies_ahead_stays_so_when_publications_are_forgotten_or_a_run_is_published_again(warehouse):
    commit(warehouse, "r5", parent=3)  # begun before r4 was published
    commit(warehouse, "r4b", "model", parent=4)
    live = pointer.read(warehouse)
    pointer.swap(warehouse, live.pairs(), "r4", live, parent=live.parent)
    for _ in range(2):
        line = begin(warehouse, "r6")
        assert line.number == 5 and {3, 4, 5} <= line.line
        assert runs(line.ahead("embeddings")) == ["r5"] and line.newest("model").run == "r4b"
        upkeep.expire(warehouse, keep=2)


def test_a_rollback_that_is_cut_short_is_asked_for_again_and_goes_no_further(warehouse, monkeypatch):
    discard, done = lineage.discard, []

    def cut_short(*of):
        if done:
            raise StorageError("the network is away")
        done.append(of)
        discard(*of)

    commit(warehouse, "r5")
    storage.write_bytes(f"file://{warehouse}/labels/run=r4/{manifest.NAME}", b"{")  # why it is rolled back
    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(lineage, "discard", cut_short)
        upkeep.rollback(warehouse)
    assert pointer.read(warehouse).number == 4
    assert upkeep.rollback(warehouse) == [
        "publication 4 (run r4) was live; publication 5 (run r3, as publication 3) is",
        "discarded, never to be used again: run r4, r5",
    ]


def test_a_rollback_within_one_run_says_that_it_discards_nothing(warehouse):
    live = pointer.read(warehouse)
    pointer.swap(warehouse, live.pairs()[:-1], "r4", live, parent=live.parent)
    assert upkeep.rollback(warehouse, 4)[1] == "discarded, nothing: no run came after it"


def test_an_older_run_is_refused(warehouse):
    with pytest.raises(GateError, match="run r3 is older than the live run r4"):
        begin(warehouse, "r3")


def test_the_first_night_builds_on_nothing(tmp_path):
    first = begin(str(tmp_path), "r1")
    assert (first.number, first.before("embeddings"), first.newest("model"), first.line) == (0, [], None, {0})


def test_a_publication_that_a_dead_publisher_left_is_finished_before_a_night_builds_on_it(warehouse, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pointer, "_copy", die)
        add_night(warehouse, "r5")
    assert pointer.read(warehouse).number == 4
    assert begin(warehouse, "r6").number == 5 == pointer.read(warehouse).number


def test_what_may_not_be_discarded_is_refused(warehouse):
    for run, error, words in [
        ("r4", ConfigError, "run r4 is live, in publication 4 .run r4.: "),
        ("r2", ConfigError, "embeddings.*; a rollback discards it"),  # not tonight's, and live all the same
        ("r9", ManifestError, "no table has a committed run r9"),
        ("../../r1", ManifestError, "found the run id '../../r1', wanted letters"),
    ]:
        with pytest.raises(error, match=words):
            upkeep.discard(warehouse, run)
    commit(warehouse, "r5")
    upkeep.discard(warehouse, "r5")
    with pytest.raises(ConfigError, match="run r5 is discarded already"):
        upkeep.discard(warehouse, "r5")
    lineage.discard(warehouse, "r5", "another reason")
    assert [(found.run, found.because) for found in lineage.discards(warehouse)] == [("r5", "devise discard")]


def test_status_says_what_lies_ahead_and_what_was_discarded(warehouse):
    from devise.warehouse.status import describe

    commit(warehouse, "r5")
    commit(warehouse, "r5", "model")
    commit(warehouse, "r6")
    upkeep.discard(warehouse, "r6")
    upkeep.rollback(warehouse, 2)
    commit(warehouse, "r7", "model")
    lines = describe(warehouse)
    assert lines[1] == "built on: publication 1; a rollback to publication 2"
    assert (
        lines[-6] == "kept publications: 1 (run r1), 2 (run r2), 3 (run r3), 4 (run r4), 5 (run r2, as publication 2)"
    )
    assert lines[-5] == "ahead of it, not published, for runs after it: run r7 (model)"
    assert [line.split(",")[0] for line in lines[-4:]] == [f"discarded: run {run}" for run in ("r3", "r4", "r5", "r6")]
    assert lines[-1].endswith("by devise discard") and lines[-2].endswith("by rollback to publication 2")


def test_a_rollback_passes_over_publications_with_discarded_runs(warehouse):
    upkeep.rollback(warehouse, 3)
    assert "publication 6 (run r2, as publication 2) is" in upkeep.rollback(warehouse)[0]
    assert [record.run for record in lineage.discards(warehouse)] == ["r3", "r4"]


def test_a_record_of_another_run_is_refused(warehouse):
    commit(warehouse, "r5")
    upkeep.discard(warehouse, "r5")
    storage.write_bytes(
        f"file://{warehouse}/live/discarded/r9.json", storage.read_bytes(f"file://{warehouse}/live/discarded/r5.json")
    )
    with pytest.raises(ManifestError, match="r9.json: found run r5 in it, wanted r9"):
        begin(warehouse, "r9")


@pytest.mark.parametrize("changes", [{"parent": 4}, {"parent": 9}, {"restores": 4}, {"publication": 3}])
def test_a_pointer_that_makes_no_history_is_refused(warehouse, changes):
    uri = f"file://{warehouse}/live/history/00000004.json"
    lines = [json.loads(line) | changes for line in storage.read_bytes(uri).splitlines()]
    storage.write_bytes(uri, b"\n".join(json.dumps(line).encode() for line in lines))
    with pytest.raises(ManifestError, match="not a pointer of this version|found publication 3 in it"):
        pointer.find(warehouse, 4)


def test_a_record_that_is_none_is_one_line(warehouse):
    storage.write_bytes(f"file://{warehouse}/live/discarded/r9.json", b"{}")
    with pytest.raises(ManifestError, match="r9.json: not a discarded run of this version"):
        begin(warehouse, "r9")
    assert manifest.find(warehouse, "model", "r9") is None
