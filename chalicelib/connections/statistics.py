"""Statistics of a connection over an hour or a day: counters, waiting messages, active devices, a time series."""

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
    """Periods of the statistics."""

    HOUR = "1h"
    DAY = "1d"


_STEPS = {Period.HOUR: (60, 1), Period.DAY: (96, 15)}
"""Entries of the series, and the minutes of each."""


class Counts(Document):
    """Messages of one direction. ``waiting`` is the number at this moment, the others are those of the period."""

    delivered: int
    failed: int
    lost: int
    waiting: int


class Step(Document):
    """One entry of the series, named by its beginning; ``uplinks`` and ``downlinks`` are the delivered ones,
    ``failed`` those of both directions that failed for good."""

    time: str
    uplinks: int
    downlinks: int
    failed: int


class Statistics(Document):
    """Statistics of a connection."""

    active_devices: int
    uplinks: Counts
    downlinks: Counts
    series: list[Step]


class ConnectionStatistics:
    """Works out the statistics of a connection."""

    def __init__(self, statistics: StatisticsReader, queues: UplinkQueues, clock: Clock) -> None:
        self._statistics = statistics
        self._queues = queues
        self._clock = clock

    def of(self, connection: Connection, period: Period) -> Statistics:
        """Totals and series are of the same minutes, so that the series adds up to the totals."""
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
            # A queue that is not there holds nothing: the connection is being created or deleted just now.
            return 0


def first_minute(period: Period, now: int) -> int:
    """The first minute of a period that ends with the minute ``now``, which is counted as far as it has come; the
    entries of a day begin at whole quarters of an hour."""
    entries, width = _STEPS[period]
    return (now // width - entries + 1) * width


def series(period: Period, first: int, counters: Mapping[int, Mapping[str, int]]) -> list[Step]:
    """An entry for each step of the period, also where nothing happened."""
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
