"""What is found once for all who ask: one load, one exception for all, and what is kept."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devise.search.once import Once

THREADS = 8


class Finding:
    """Finds, or fails, once all the others wait; counts how often it was asked to."""

    def __init__(self, error=None):
        self.error, self.n, self.begun, self.goes_on = error, 0, threading.Event(), threading.Event()

    def __call__(self):
        self.n += 1
        self.begun.set()
        assert self.goes_on.wait(10)
        if self.error:
            raise self.error
        return "found"


def ask_together(once, find):
    """What becomes of one that finds and of others that ask meanwhile."""

    def ask(_):
        try:
            return once.get("key", find)
        except OSError as error:
            return str(error)

    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.submit(ask, 0)
        assert find.begun.wait(10)
        others = [pool.submit(ask, number) for number in range(1, THREADS)]
        while sum(one.running() for one in others) < THREADS - 1:
            threading.Event().wait(0.001)
        find.goes_on.set()
        return [one.result(10) for one in (first, *others)]


def test_one_finds_for_all_who_ask_and_later_ones_have_it():
    once, find = Once[str](), Finding()
    assert ask_together(once, find) == ["found"] * THREADS
    assert once.get("key", find) == "found" and find.n == 1


def test_one_failure_is_told_to_all_who_wait_and_is_not_kept():
    once, find = Once[str](), Finding(OSError("the store is away"))
    told = ask_together(once, find)
    assert told == ["the store is away"] * THREADS
    assert find.n < THREADS  # who came after it had failed may have tried again, nobody after another
    assert once.get("key", lambda: "back") == "back"


def test_the_longest_unused_go_first_and_the_newest_stays_whatever_its_size():
    once = Once[bytes](10, len)
    for key in ("a", "b"):
        once.get(key, lambda: bytes(5))
    once.get("a", pytest.fail)
    once.get("c", lambda: bytes(5))
    with pytest.raises(LookupError):
        once.get("b", lambda: {}["b is gone"])
    once.get("large", lambda: bytes(99))
    assert len(once.get("large", pytest.fail)) == 99
