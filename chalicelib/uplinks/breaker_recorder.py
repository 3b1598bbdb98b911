"""Breaker transitions: the conditional write of the new state, and its event."""

from collections.abc import Callable
from typing import Any

from ulid import ULID

from chalicelib.config import Timing
from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Level
from chalicelib.errors import BrokerFault
from chalicelib.monitoring import Monitoring
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import BreakerStore
from chalicelib.vocabulary import EventType


class BreakerRecorder:
    """Closes and opens the breakers of connections; the flows of both directions use it.

    A transition is written only if the breaker's epoch is still the one that was read, so that two functions never
    report the same transition. ``random`` returns 0 to 1 and spreads the next attempts.
    """

    def __init__(
        self,
        connections: BreakerStore,
        monitoring: Monitoring,
        clock: Clock,
        random: Callable[[], float],
        timing: Timing,
    ) -> None:
        self._connections = connections
        self._monitoring = monitoring
        self._clock = clock
        self._random = random
        self._timing = timing

    def close(self, before: Connection, wake_in: float, *, fast: bool = False) -> Connection | None:
        """Record that the broker answered, ``fast`` or not; a pending wake-up is due in ``wake_in`` seconds.

        Returns the new record, or None when another function changed the breaker first.
        """
        now = self._clock()
        after = breaker.recovered(before, now, str(ULID()), now + wake_in, fast=fast)
        if not self._connections.update_breaker(after, before.epoch):
            return None
        self._monitoring.event(after, Level.INFO, EventType.OPENED, "Connected to the broker.")
        return after

    def open(self, before: Connection, fault: BrokerFault, details: dict[str, Any] | None = None) -> Connection | None:
        """Record a fault and schedule the next attempt. Returns as ``close`` does."""
        after = breaker.failed(before, fault, self._clock(), self._random(), self._timing.scale)
        if not self._connections.update_breaker(after, before.epoch):
            return None
        details = {"failures": after.failures} if details is None else details
        self._monitoring.event(after, Level.ERROR, fault.type, str(fault), details)
        return after
