"""A bounded, thread-safe LRU cache."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A thread-safe LRU cache of at most ``size`` values; ``put`` drops the least recently used one.

    ``weight``: the number of ordinary values that a value counts as. One value is kept whatever its weight is.
    """

    def __init__(self, size: int, weight: Callable[[V], int] = lambda _: 1) -> None:
        self._size = size
        self._weight = weight
        self._total = 0
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """Return the value of ``key``, or None, and mark it as recently used."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Store a value and drop the least recently used one if the cache is full."""
        with self._lock:
            self._remove(key)
            self._add(key, value)

    def put_if_absent(self, key: K, value: V) -> V:
        """Store a value unless ``key`` has one; return the value that is stored now."""
        with self._lock:
            if key not in self._values:
                self._add(key, value)
            return self._values[key]

    def drop(self, key: K) -> None:
        """Remove a value; an unknown key is ignored."""
        with self._lock:
            self._remove(key)

    def _add(self, key: K, value: V) -> None:
        self._values[key] = value
        self._total += self._weight(value)
        while self._total > self._size and len(self._values) > 1:
            self._remove(next(iter(self._values)))

    def _remove(self, key: K) -> None:
        if key in self._values:
            self._total -= self._weight(self._values.pop(key))
