"""Survey of the active connections: one pass over their records collects what the steps of a run need."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from zlib import crc32

from chalicelib.domain import downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollTarget
from chalicelib.monitoring.metrics import metrics
from chalicelib.vocabulary import ConnectionState, Metric

SWEEP_RUNS = 5
"""Number of runs in which every connection is swept once."""
POLL_WEIGHT = 200
"""Connections of one poll, for which the function's memory is measured."""
HEAVY = 4
"""Usual connections that need as much memory as one with a client certificate and the system's CAs, because each such
connection has a TLS context with 0.8 MB of CAs."""
_CERTIFICATE_ENDS = 7 * 86400.0
"""Seconds before a certificate's end from which the operator sees it."""


class Gauges:
    """Sums over the active connections of one run."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.tenants: set[str] = set()
        self.broken: set[str] = set()
        self.breakers = 0
        self.ending = 0
        self.overdue = 0.0

    def note(self, connection: Connection, now: float) -> None:
        self.states[connection.state] += 1
        self.tenants.add(connection.tenant)
        if connection.breaker_open:
            self.breakers += 1
            self.broken.add(connection.tenant)
        if connection.certificate_ends is not None and 0 < connection.certificate_ends - now <= _CERTIFICATE_ENDS:
            self.ending += 1
        if connection.wake_at is not None:
            self.overdue = max(self.overdue, now - connection.wake_at)

    def write(self) -> None:
        for state in ConnectionState:
            metrics.add(Metric.CONNECTIONS, self.states[state], of=state.value)
        metrics.add(Metric.BREAKERS_OPEN, self.breakers)
        metrics.add(Metric.TENANTS, len(self.tenants))
        metrics.add(Metric.TENANTS_BROKEN, len(self.broken))
        metrics.add(Metric.CERTIFICATES_ENDING, self.ending)
        metrics.add(Metric.WAKE_OVERDUE, self.overdue)


@dataclass
class Survey:
    """The connections that need something in a run. Only those to check are kept with their records.

    ``turn``: the part of the connections that is swept, 0 to 4.
    """

    now: float
    turn: int
    polled: list[tuple[str, str, int]] = field(default_factory=list)
    """(tenant, connection id, weight) of the connections whose downlinks are consumed."""
    swept: list[PollTarget] = field(default_factory=list)
    """The connections in turn whose queued reports may lack a wake."""
    broken: list[Connection] = field(default_factory=list)
    """The connections in turn with an open breaker."""
    concerned: list[Connection] = field(default_factory=list)
    """The connections to check for alarms."""
    gauges: Gauges = field(default_factory=Gauges)

    def note(self, connection: Connection, is_concerned: Callable[[Connection], bool]) -> None:
        """Note one active connection."""
        self.gauges.note(connection, self.now)
        if downlink_fault.poll_is_due(connection, self.now):
            self.polled.append((connection.tenant, connection.id, _weight(connection)))
        if is_concerned(connection):
            self.concerned.append(connection)
        if crc32(connection.id.encode()) % SWEEP_RUNS != self.turn:
            return
        if connection.breaker_open:
            self.broken.append(connection)
        elif connection.wake_at is None and connection.probe_at is None:
            # A pending wake-up or a probe would start a drain anyway.
            self.swept.append(PollTarget(tenant=connection.tenant, connection_id=connection.id))

    def jobs(self) -> Iterator[list[PollTarget]]:
        """Yield the connections of each poll. Those of a tenant follow each other: a poll reads its generation."""
        job: list[PollTarget] = []
        weight = 0
        for tenant, connection_id, more in sorted(self.polled):
            if weight + more > POLL_WEIGHT:
                yield job
                job, weight = [], 0
            job.append(PollTarget(tenant=tenant, connection_id=connection_id))
            weight += more
        if job:
            yield job


def _weight(connection: Connection) -> int:
    """Return the memory that a poll needs for a connection, in usual connections."""
    configuration = connection.configuration
    return HEAVY if configuration.certificate and not configuration.trusted_ca_certificate else 1
