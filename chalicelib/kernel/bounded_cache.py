"""A bounded, thread-safe LRU cache."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A thread-safe LRU cache of at most ``size`` values; ``put`` drops the least recently used one."""

    def __init__(self, size: int) -> None:
        self._size = size
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
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)

    def put_if_absent(self, key: K, value: V) -> V:
        """Store a value unless ``key`` has one; return the value that is stored now."""
        with self._lock:
            stored = self._values.setdefault(key, value)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            return stored

    def drop(self, key: K) -> None:
        """Remove a value; an unknown key is ignored."""
        with self._lock:
            self._values.pop(key, None)
