"""The live pointer on both stores: one winner, whole or not at all, and nothing lost when a publisher dies."""

import threading

import pytest

from devise.errors import ManifestError, PointerMoved
from devise.store import storage
from devise.warehouse import pointer


@pytest.fixture
def warehouse(store):
    return store


def test_the_pointer_moves_by_compare_and_set_and_keeps_its_history(warehouse):
    assert pointer.read(warehouse) is None and pointer.history(warehouse) == []
    pointer.swap(warehouse, [("images", "r1"), ("embeddings", "r0"), ("embeddings", "r1")], "r1", None)
    first = pointer.read(warehouse)
    assert (first.run, first.runs("embeddings"), first.runs("labels")) == ("r1", ["r0", "r1"], [])
    second = pointer.swap(warehouse, [("images", "r2")], "r2", first)
    with pytest.raises(PointerMoved):
        pointer.swap(warehouse, [("images", "r3")], "r3", first)
    assert pointer.read(warehouse) == second and second.run == "r2"
    assert pointer.history(warehouse) == [first, second]


def test_exactly_one_of_many_publishers_wins(warehouse):
    before = pointer.swap(warehouse, [("images", "r0")], "r0", None)
    won = []

    def publish(number):
        try:
            pointer.swap(warehouse, [("images", f"r{number}"), ("labels", f"r{number}")], f"r{number}", before)
            won.append(number)
        except PointerMoved:
            pass

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(1, 17)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    run = f"r{won[0]}"
    assert len(won) == 1
    assert pointer.read(warehouse).pairs() == [("images", run), ("labels", run)]


def test_a_publisher_that_dies_before_the_copy_leaves_yesterday_and_is_finished_by_the_next(warehouse, monkeypatch):
    yesterday = pointer.swap(warehouse, [("images", "r1")], "r1", None)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pointer, "_copy", die)
        with pytest.raises(KeyboardInterrupt):
            pointer.swap(warehouse, [("images", "r2")], "r2", yesterday)
    assert pointer.read(warehouse) == yesterday
    with pytest.raises(PointerMoved):
        pointer.swap(warehouse, [("images", "r3")], "r3", yesterday)
    assert pointer.settle(warehouse).run == "r2" == pointer.read(warehouse).run
    assert pointer.settle(warehouse) == pointer.read(warehouse)


def test_a_torn_or_empty_pointer_is_an_error_and_not_an_absence(warehouse):
    for content, words in ((b"{", "not a pointer"), (b"\n", "is empty")):
        storage.write_bytes(f"{warehouse}/live/current/live.json", content)
        with pytest.raises(ManifestError, match=words):
            pointer.read(warehouse)


def test_what_a_killed_publisher_left_half_written_is_no_publication(warehouse):
    made = pointer.swap(warehouse, [("images", "r1")], "r1", None)
    storage.write_bytes(f"{warehouse}/live/history/.0123abcd.tmp", b"{")
    assert pointer.history(warehouse) == [made]
