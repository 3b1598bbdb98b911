"""Dependencies and progress of a drain."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib.config import Timing
from chalicelib.monitoring import Monitoring
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import BreakerStore
from chalicelib.ports.history import FailedMessages
from chalicelib.ports.queues import UplinkQueues, WakeQueue
from chalicelib.uplinks.admission import Admission
from chalicelib.uplinks.decoding.decoder import NO_DECODER, Decoder
from chalicelib.uplinks.outcome_log import OutcomeLog
from chalicelib.uplinks.publisher_pool import PublisherPool

CLOCK_SKEW = 2.0
"""Seconds by which the clocks of AWS and of two functions may differ."""


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

    settled: set[str] = field(default_factory=set)
    """Message ids of the reports that this drain deleted from the queue."""
    counts: Counter[str] = field(default_factory=Counter)
    devices: set[str] = field(default_factory=set)
    """Devices with a confirmed uplink."""
    log: OutcomeLog = field(default_factory=OutcomeLog)
    reconnected: bool = False
    helper_decided: bool = False
    """A helper drain was requested, or this drain must not request one."""
    wake_at: float | None = None
    """Unix seconds of the pending wake-up that the remaining reports need; None if no report is left."""

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
