"""The sorted and filtered list of connections, and the numbers of some of them."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from pydantic import Field

from chalicelib.connections.statistics import ConnectionStatistics, Period, Statistics
from chalicelib.domain.connection import Connection
from chalicelib.domain.overview.entry import Entry
from chalicelib.domain.overview.groups import Order, causes, sort_key
from chalicelib.kernel.documents import Document
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionEntries
from chalicelib.ports.history import StatisticsReader

MOST_NUMBERS = 50
"""Connections of one request for numbers."""


@dataclass(frozen=True)
class Wanted:
    """Filters of the list, None for any. ``text`` is a part of the name, the host or the id, in any case."""

    text: str | None = None
    name: str | None = None
    states: frozenset[str] | None = None
    protocols: frozenset[str] | None = None
    causes: frozenset[str] | None = None

    def matches(self, entry: Entry, now: float) -> bool:
        """Return whether an entry passes every filter."""
        return (
            (self.states is None or entry.state in self.states)
            and (self.protocols is None or entry.protocol in self.protocols)
            and (self.causes is None or not self.causes.isdisjoint(causes(entry, now)))
            and (self.name is None or self.name.casefold() in entry.name.casefold())
            and (self.text is None or self._contains(entry))
        )

    def _contains(self, entry: Entry) -> bool:
        wanted = (self.text or "").casefold()
        return any(wanted in value.casefold() for value in (entry.name, entry.host, entry.id))


class Numbers(Document):
    """Numbers of one connection. The statistics are those of the last hour."""

    id: str
    since: str | None = Field(description="the begin of the state")
    causes: list[str] = Field(description="the causes of its faults, as in the summary")
    last_message: str | None = Field(description="the minute of the last counted message; null after eight days")
    statistics: Statistics


class ConnectionLists:
    """Sorted lists of a tenant's connections."""

    def __init__(
        self,
        entries: ConnectionEntries,
        statistics: ConnectionStatistics,
        reader: StatisticsReader,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._entries = entries
        self._statistics = statistics
        self._reader = reader
        self._executor = executor
        self._clock = clock

    def page(
        self, tenant: str, wanted: Wanted, order: Order, offset: int, limit: int, *, descending: bool = False
    ) -> tuple[list[Connection], int]:
        """Return the connections from ``offset`` on and the number of all that match. Raises Unavailable."""
        now = self._clock()
        found = [each for each in self._entries.entries(tenant) if wanted.matches(each, now)]
        # The newest first among equal ones: the sort is stable.
        found.sort(key=lambda each: each.id, reverse=True)
        found.sort(key=sort_key(order, now), reverse=descending)
        ids = [each.id for each in found[offset : offset + limit]]
        return self._entries.records(tenant, ids), len(found)

    def numbers(self, tenant: str, ids: Sequence[str]) -> list[Numbers]:
        """Return the numbers of the existing connections among ``ids``. Raises Unavailable."""
        now = self._clock()
        entries = {each.id: each for each in self._entries.entries(tenant)}
        connections = [each for each in self._entries.records(tenant, ids) if each.id in entries]
        return list(self._executor.map(lambda each: self._numbers(each, entries[each.id], now), connections))

    def _numbers(self, connection: Connection, entry: Entry, now: float) -> Numbers:
        since = entry.state_since()
        minute = self._reader.last_counted(connection.tenant, connection.id)
        return Numbers(
            id=entry.id,
            since=None if since is None else iso_time(since),
            causes=causes(entry, now),
            last_message=None if minute is None else iso_time(minute * 60),
            statistics=self._statistics.of(connection, Period.HOUR),
        )
