"""Leases of polls and holds of connections, in memory."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Hold, PollLease


@dataclass
class _Lease:
    until: float
    renews_at: float
    asked: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)


class MemoryLeases:
    """``stored`` has the hold of each connection; ``calls`` counts the calls by method."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self.stored: dict[str, Hold] = {}
        self.calls: Counter[str] = Counter()

    def begin(self, owner: str, renews_at: float) -> None:
        self.calls["begin"] += 1
        self._leases[owner] = _Lease(self._clock() + self._seconds, renews_at)

    def renew(self, owner: str, renews_at: float, held: Collection[str]) -> frozenset[str] | None:
        self.calls["renew"] += 1
        lease = self._leases.get(owner)
        if lease is None or lease.until <= self._clock():
            return None
        lease.until, lease.renews_at = self._clock() + self._seconds, renews_at
        return frozenset(lease.asked & set(held))

    def lease(self, owner: str, wanted: Collection[str]) -> PollLease | None:
        self.calls["lease"] += 1
        lease = self._leases.get(owner)
        if lease and lease.until <= self._clock():
            del self._leases[owner]
            return None
        return None if lease is None else PollLease(lease.renews_at, frozenset(lease.released & set(wanted)))

    def ask(self, owner: str, wanted: Collection[str]) -> None:
        self.calls["ask"] += 1
        if lease := self._leases.get(owner):
            lease.asked |= set(wanted)

    def release(self, owner: str, closed: Collection[str]) -> None:
        self.calls["release"] += 1
        if lease := self._leases.get(owner):
            lease.released |= set(closed)

    def end(self, owner: str) -> None:
        self.calls["end"] += 1
        self._leases.pop(owner, None)

    def holds(self, connection_ids: Collection[str]) -> dict[str, Hold]:
        self.calls["holds"] += 1
        return {id_: self.stored[id_] for id_ in connection_ids if id_ in self.stored}

    def take(self, connection_id: str, hold: Hold, before: str | None) -> bool:
        self.calls["take"] += 1
        stored = self.stored.get(connection_id)
        if stored and stored.owner not in {hold.owner, before}:
            return False
        self.stored[connection_id] = hold
        return True

    def ask_earlier_release(self, connection_id: str, owner: str) -> None:
        raise NotImplementedError(f"{owner}, of an earlier release, holds {connection_id}")

    def holder(self, connection_id: str) -> str | None:
        """Return the poll that holds a connection now, for tests."""
        hold = self.stored.get(connection_id)
        lease = self._leases.get(hold.owner) if hold else None
        held = lease and lease.until > self._clock() and connection_id not in lease.released
        return hold.owner if hold and held else None
