"""Summary of a tenant's connections: states, faults by cause, waiting reports and the throughput of a day."""

import threading
from collections import Counter
from concurrent.futures import Executor

from pydantic import Field

from chalicelib.connections.statistics import Period, Step, first_minute, series
from chalicelib.domain.overview.entry import Entry
from chalicelib.domain.overview.groups import Cause, Direction, Group, groups
from chalicelib.errors import NotFound
from chalicelib.kernel.documents import Document
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionEntries
from chalicelib.ports.history import TenantCounters
from chalicelib.ports.queues import UplinkQueues
from chalicelib.vocabulary import ConnectionState

MOST_IDS = 100
"""Connections that a group names, and broken connections whose queues a summary asks for their depth."""
_DEPTH_KEPT = 20.0
"""Seconds for which a process remembers the depth of a queue."""


class FaultGroup(Document):
    """Connections with the same fault."""

    cause: str = Field(description="the event type of the fault, CERTIFICATE_ENDS, or UNKNOWN")
    direction: Direction = Field(description="the direction that the fault stops")
    level: str = Field(description="error, or warning for a fault that is to come")
    count: int
    since: str | None = Field(description="the begin of the oldest fault; with CERTIFICATE_ENDS the first end")
    next_attempt: str | None = Field(description="the next attempt to connect; null if none is scheduled")
    reason: str | None = Field(description="the fault of the first connection, with its remedy")
    same_reason: bool = Field(description="whether the fault of all connections has this sentence")
    waiting: int = Field(description="reports that wait for these connections' brokers")
    waiting_is_exact: bool = Field(description="false if the group has more connections than the summary asks for")
    connection_ids: list[str] = Field(description=f"the first {MOST_IDS} connections, the oldest fault first")


class Totals(Document):
    """Messages of all connections over the last day."""

    delivered: int
    failed: int
    lost: int


class Summary(Document):
    """Summary of a tenant's connections. ``series`` has an entry for each quarter of an hour of the last day."""

    time: str
    total: int
    states: dict[ConnectionState, int]
    healthy: int = Field(description="active connections without a fault")
    faults: list[FaultGroup]
    uplinks: Totals
    downlinks: Totals
    series: list[Step]


class Overview:
    """Computes the summary of a tenant from the entries of its connections and its counters."""

    def __init__(
        self,
        entries: ConnectionEntries,
        counters: TenantCounters,
        queues: UplinkQueues,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._entries = entries
        self._counters = counters
        self._queues = queues
        self._executor = executor
        self._clock = clock
        self._depths: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def summary(self, tenant: str) -> Summary:
        """Return the summary. Raises Unavailable."""
        now = self._clock()
        entries = self._entries.entries(tenant)
        by_id = {each.id: each for each in entries}
        found = groups(entries, now)
        faulty = {each.id for each in entries if each.is_broken or each.downlinks_broken}
        states: Counter[str] = Counter(each.state for each in entries)
        minute = int(now // 60)
        first = first_minute(Period.DAY, minute)
        counters = self._counters.totals(tenant, first, minute)
        sums: Counter[str] = Counter()
        for counts in counters.values():
            sums.update(counts)
        return Summary(
            time=iso_time(now),
            total=len(entries),
            states={state: states[state.value] for state in ConnectionState},
            healthy=sum(1 for each in entries if each.active and each.id not in faulty),
            faults=[self._fault(group, by_id, now) for group in found],
            uplinks=_totals("uplinks", sums),
            downlinks=_totals("downlinks", sums),
            series=series(Period.DAY, first, counters),
        )

    def _fault(self, group: Group, by_id: dict[str, Entry], now: float) -> FaultGroup:
        ids = sorted(group.ids, key=lambda each: _begin(by_id[each], group))[:MOST_IDS]
        ends = group.cause == Cause.CERTIFICATE_ENDS
        counted = [] if ends else ids
        return FaultGroup(
            cause=group.cause,
            direction=group.direction,
            level="warning" if ends else "error",
            count=len(group.ids),
            since=None if group.since is None else iso_time(group.since),
            next_attempt=None if group.next_attempt is None else iso_time(group.next_attempt),
            reason=group.reason,
            same_reason=len(group.reasons) == 1,
            waiting=sum(self._executor.map(lambda each: self._depth(each, now), counted)),
            waiting_is_exact=len(counted) == len(group.ids) or ends,
            connection_ids=ids,
        )

    def _depth(self, connection_id: str, now: float) -> int:
        known = self._depths.get(connection_id)
        if known is not None and 0 <= now - known[0] < _DEPTH_KEPT:
            return known[1]
        depth = depth_of(self._queues, connection_id)
        with self._lock:
            self._depths = {key: value for key, value in self._depths.items() if now - value[0] < _DEPTH_KEPT}
            self._depths[connection_id] = (now, depth)
        return depth


def depth_of(queues: UplinkQueues, connection_id: str) -> int:
    """Return the number of reports in a connection's queue, also those in flight."""
    try:
        return sum(queues.depth(connection_id))
    except NotFound:
        # The queue does not exist while the connection is being created or deleted.
        return 0


def _begin(entry: Entry, group: Group) -> float:
    if group.cause == Cause.CERTIFICATE_ENDS:
        return entry.certificate_ends or 0.0
    return (entry.downlink_since if group.direction == Direction.DOWNLINK else entry.since) or 0.0


def _totals(direction: str, sums: "Counter[str]") -> Totals:
    return Totals(**{name: sums[f"{direction}{name.capitalize()}"] for name in ("delivered", "failed", "lost")})
