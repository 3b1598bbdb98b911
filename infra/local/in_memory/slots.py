"""Slots in memory (``ports.Slots``)."""

from collections import defaultdict

from chalicelib.ports.clock import Clock


class MemorySlots:
    """Holders of each key with the end of their hold."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.holders: dict[str, dict[str, float]] = defaultdict(dict)

    def take(self, key: str, owner: str, limit: int, seconds: float) -> list[str] | None:
        now = self._clock()
        others = {name: until for name, until in self.holders[key].items() if until > now and name != owner}
        if len(others) >= limit:
            return None
        self.holders[key] = {**others, owner: now + seconds}
        return list(others)

    def give_back(self, key: str, owner: str) -> None:
        self.holders[key].pop(owner, None)

    def in_use(self, key: str) -> bool:
        return any(until > self._clock() for until in self.holders[key].values())
