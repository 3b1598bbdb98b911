"""Items that the blocks of the message log are written to.

A drain writes its counters, devices and block in one call. DynamoDB charges a write for each KB of the larger item,
before or after it, so a block is added to the minute's counters only while all fit into 1 KB. Further blocks of the
minute go, with their counters, to items of the log: no drain writes more often than without the log, and no item grows.
"""

import random
from dataclasses import dataclass
from threading import Lock

from chalicelib.kernel.bounded_cache import BoundedCache

ATTRIBUTE = "log"
"""The set of blocks in an item."""
ROOM = 820
"""Bytes of an item's sets: 1 KB without its keys, its counters and the names of its attributes."""
_PER_MINUTE = 100_000
"""Numbers of the log's items within a minute."""
_MOST_CONNECTIONS = 1024


@dataclass(frozen=True)
class ItemKey:
    """The key of an item of the statistics table."""

    connection: str
    sort: int


@dataclass
class _Minute:
    """Bytes that are known to be used in this minute's items; ``further`` is the current item of the log."""

    minute: int
    counters: int = 0
    further: int | None = None
    used: int = 0


class BlockItems:
    """Chooses the item of each block, from the sizes that earlier writes of this process returned. Thread-safe."""

    def __init__(self) -> None:
        self._minutes: BoundedCache[str, _Minute] = BoundedCache(_MOST_CONNECTIONS)
        self._lock = Lock()

    def choose(self, own: str, minute: int, size: int) -> ItemKey:
        """Return the item for ``size`` bytes of the connection with the partition ``own``, 0 for counters only."""
        with self._lock:
            state = self._of(own, minute)
            if not size or state.counters + size <= ROOM:
                return ItemKey(own, minute)
            if state.further is None or state.used + size > ROOM:
                # Unlike any number of another process, so that two processes rarely fill the same item.
                state.further = minute * _PER_MINUTE + random.randrange(_PER_MINUTE)  # noqa: S311  # no secret
                state.used = 0
            return ItemKey(further(own), state.further)

    def wrote(self, own: str, minute: int, key: ItemKey, used: int) -> None:
        """Note that the sets of an item have ``used`` bytes."""
        with self._lock:
            state = self._of(own, minute)
            if key.connection == own:
                state.counters = max(state.counters, used)
            elif key.sort == state.further:
                state.used = max(state.used, used)

    def _of(self, own: str, minute: int) -> _Minute:
        state = self._minutes.get(own)
        if state is None or state.minute != minute:
            state = _Minute(minute)
            self._minutes.put(own, state)
        return state


def further(own: str) -> str:
    """Return the partition of the further items of the connection with the partition ``own``."""
    return f"{own}#{ATTRIBUTE}"


def further_range(first_minute: int, last_minute: int) -> tuple[int, int]:
    """Return the first and last sort key of the further items of some minutes, both included."""
    return first_minute * _PER_MINUTE, (last_minute + 1) * _PER_MINUTE - 1


def minute_of(sort: int) -> int:
    """Return the minute (Unix time / 60) of a further item."""
    return sort // _PER_MINUTE
