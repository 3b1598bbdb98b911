"""Dependencies and progress of a drain."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from chalicelib.config import Timing
from chalicelib.monitoring import Monitoring
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import BreakerStore
from chalicelib.ports.history import FailedMessages
from chalicelib.ports.queues import ReceivedReport, UplinkQueues, WakeQueue
from chalicelib.uplinks.admission import Admission
from chalicelib.uplinks.decoding.decoder import NO_DECODER, Decoder
from chalicelib.uplinks.outcome_log import OutcomeLog
from chalicelib.uplinks.publisher_pool import PublisherPool

CLOCK_SKEW = 2.0
"""Seconds by which the clocks of AWS and of two functions may differ."""

CHUNK_REPORTS = 100
CHUNK_BYTES = 4 << 20
"""Size of a backlog that is worth a helper drain, and of the reports that are decoded together."""


def is_full(reports: Sequence[ReceivedReport]) -> bool:
    """Return whether ``reports`` fill a chunk."""
    return len(reports) >= CHUNK_REPORTS or sum(len(report.body) for report in reports) >= CHUNK_BYTES


def by_devices(reports: Sequence[ReceivedReport], number: int) -> list[list[ReceivedReport]]:
    """Split reports into parts of ``number`` devices. All reports of a device are in one part, in their order."""
    positions: dict[str, int] = {}
    parts: list[list[ReceivedReport]] = []
    for report in reports:
        part = positions.setdefault(report.group, len(positions)) // number
        if part == len(parts):
            parts.append([])
        parts[part].append(report)
    return parts


@dataclass(frozen=True)
class DrainContext:
    """Dependencies of ``Drain`` and ``Forwarder``. ``clock``: Unix seconds; ``random``: 0 to 1."""

    connections: BreakerStore
    queues: UplinkQueues
    wakes: WakeQueue
    pool: PublisherPool
    failed: FailedMessages
    monitoring: Monitoring
    clock: Clock
    random: Callable[[], float]
    timing: Timing
    calls: Executor
    """Threads for the receives and deletes that run beside the publishing."""
    slow_wakes: WakeQueue | None = None
    """The queue of wakes to which the fast lane hands on slow connections; None in the slow lane."""
    admission: Admission | None = None
    """Limits the drains of the slow lane; None in the fast lane."""
    decoder: Decoder = NO_DECODER
    """Adds the payload to reports of flows with a driver. Without one, such a report waits."""
    monotonic: Clock = time.monotonic
    """Clock of all deadlines; a simulation injects another one."""


@dataclass
class DrainState:
    """Progress of one drain."""

    held: dict[str, ReceivedReport] = field(default_factory=dict)
    """By receipt: the received reports that are neither deleted nor given back to the queue."""
    held_bytes: int = 0
    settled: set[str] = field(default_factory=set)
    """Message ids of the reports that this drain deleted from the queue."""
    released: set[str] = field(default_factory=set)
    """Message ids of the reports that this drain gave back and can receive again."""
    served: int = 0
    served_bytes: int = 0
    """Number and size of the reports that were delivered, or failed for good."""
    counts: Counter[str] = field(default_factory=Counter)
    devices: set[str] = field(default_factory=set)
    """Devices with a confirmed uplink."""
    log: OutcomeLog = field(default_factory=OutcomeLog)
    helper_decided: bool = False
    """A helper drain was requested, or this drain must not request one."""
    wake_at: float | None = None
    """Unix seconds of the pending wake-up that the remaining reports need; None if no report is left."""

    @property
    def shows_backlog(self) -> bool:
        """Whether this drain has served a chunk of reports."""
        return self.served >= CHUNK_REPORTS or self.served_bytes >= CHUNK_BYTES

    def hold(self, reports: Sequence[ReceivedReport]) -> None:
        """Add received reports."""
        for report in reports:
            self.held[report.receipt] = report
            self.held_bytes += len(report.body)

    def drop(self, reports: Sequence[ReceivedReport]) -> None:
        """Remove reports that are deleted or given back."""
        for report in reports:
            if self.held.pop(report.receipt, None):
                self.held_bytes -= len(report.body)

    def plan_wake(self, due: float) -> None:
        """Require a pending wake-up at ``due`` (Unix seconds), or earlier if one is required already."""
        self.wake_at = due if self.wake_at is None else min(due, self.wake_at)

    def is_covered(self, stored: float | None, now: float) -> bool:
        """Return whether the pending wake-up at ``stored`` is one for the remaining reports, too.

        It must be due in time, but not yet: then its wake is not sent before this drain ends, and starts a drain that
        checks the whole queue.
        """
        assert self.wake_at is not None  # noqa: S101
        return stored is not None and now + CLOCK_SKEW < stored <= self.wake_at
