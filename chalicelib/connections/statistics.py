"""Statistics of a connection over an hour or a day: counters, waiting messages, active devices and a time series."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from chalicelib.domain.connection import Connection
from chalicelib.errors import NotFound
from chalicelib.kernel.documents import Document
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.history import StatisticsReader
from chalicelib.ports.queues import UplinkQueues


class Period(StrEnum):
    """Periods that statistics cover: the last hour or the last day."""

    HOUR = "1h"
    DAY = "1d"


_STEPS = {Period.HOUR: (60, 1), Period.DAY: (96, 15)}
"""Number of entries in the series, and minutes per entry."""


class Counts(Document):
    """Messages of one direction. ``waiting`` is the current number; the other counts cover the period."""

    delivered: int
    failed: int
    lost: int
    waiting: int


class Step(Document):
    """One entry of the series. ``time`` is its beginning.

    ``uplinks`` and ``downlinks`` count delivered messages, ``failed`` the permanent failures of both directions.
    """

    time: str
    uplinks: int
    downlinks: int
    failed: int


class Statistics(Document):
    """Statistics of one connection over a period."""

    active_devices: int
    uplinks: Counts
    downlinks: Counts
    series: list[Step]


class ConnectionStatistics:
    """Computes the statistics of a connection from its counters and its queue."""

    def __init__(self, statistics: StatisticsReader, queues: UplinkQueues, clock: Clock) -> None:
        self._statistics = statistics
        self._queues = queues
        self._clock = clock

    def of(self, connection: Connection, period: Period) -> Statistics:
        """Return the statistics of a period. Totals and series cover the same minutes, so the series adds up."""
        now = int(self._clock() // 60)
        first = first_minute(period, now)
        tenant, connection_id = connection.tenant, connection.id
        counters = self._statistics.counters(tenant, connection_id, first, now)
        totals: Counter[str] = Counter()
        for counts in counters.values():
            totals.update(counts)
        return Statistics(
            active_devices=self._statistics.active_devices(tenant, connection_id, first, now),
            uplinks=_counts("uplinks", totals, self._waiting_uplinks(connection_id)),
            downlinks=_counts("downlinks", totals, self._statistics.waiting_downlinks(tenant, connection_id)),
            series=series(period, first, counters),
        )

    def _waiting_uplinks(self, connection_id: str) -> int:
        try:
            return sum(self._queues.depth(connection_id))
        except NotFound:
            # The queue does not exist while the connection is being created or deleted.
            return 0


def first_minute(period: Period, now: int) -> int:
    """Return the first minute (Unix time / 60) of a period that ends with the current, incomplete minute ``now``.

    The entries of a day begin at whole quarters of an hour.
    """
    entries, width = _STEPS[period]
    return (now // width - entries + 1) * width


def series(period: Period, first: int, counters: Mapping[int, Mapping[str, int]]) -> list[Step]:
    """Return one entry for each step of the period, with zeros for idle steps."""
    entries, width = _STEPS[period]
    sums: list[Counter[str]] = [Counter() for _ in range(entries)]
    for minute, counts in counters.items():
        sums[(minute - first) // width].update(counts)
    return [
        Step(
            time=iso_time((first + index * width) * 60),
            uplinks=step["uplinksDelivered"],
            downlinks=step["downlinksDelivered"],
            failed=step["uplinksFailed"] + step["downlinksFailed"],
        )
        for index, step in enumerate(sums)
    ]


def _counts(direction: str, totals: Mapping[str, int], waiting: int) -> Counts:
    return Counts(
        delivered=totals.get(f"{direction}Delivered", 0),
        failed=totals.get(f"{direction}Failed", 0),
        lost=totals.get(f"{direction}Lost", 0),
        waiting=waiting,
    )
