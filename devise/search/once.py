"""Values that are found once for all who ask at a time; the last ones are kept. Knows nothing of what they are."""

import math
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class Once(Generic[T]):
    """Values by key; any number of threads may ask.

    Who asks for what is kept never waits. Others wait for the one that finds it, and have its exception if it fails:
    where a store is away all are told after one wait, not one after another. A failure is not kept.

    Args:
        most: sum of the sizes of what is kept: the longest unused go first, the newest stays in any case.
        size: of a value.
    """

    def __init__(self, most: float = math.inf, size: Callable[[T], int] = lambda _: 1):
        self._kept: LRUCache[Hashable, T] = LRUCache(most, getsizeof=lambda found: min(size(found), most))
        self._lock, self._under_way = threading.Lock(), dict[Hashable, Future[T]]()

    def get(self, key: Hashable, find: Callable[[], T]) -> T:
        """The value of a key, as `find` finds it; raises what it raises."""
        with self._lock:
            if key in self._kept:
                return self._kept[key]
            begun = self._under_way.get(key)
            if begun is None:
                ours = self._under_way[key] = Future()
        if begun is not None:
            return begun.result()
        try:
            found = find()
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            ours.set_exception(error)
            raise
        with self._lock:
            self._kept[key] = found
            del self._under_way[key]
        ours.set_result(found)
        return found
