"""Lanes: which of the two forwarder functions drains a connection, by how fast its broker answers.

The fast lane serves connections whose broker has answered every connect and confirm of a drain within ``SLOW_WAIT``.
All others are served by the slow lane, so that a slow broker occupies none of the fast lane's functions.
"""

import math
from collections.abc import Sequence

from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import Wake
from chalicelib.errors import NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.publishing import Publisher
from chalicelib.uplinks.drain_context import DrainContext

SLOW_WAIT = 1.0
"""Seconds of one wait for a connect or a confirm from which a broker is slow. TIME_SCALE does not change it."""


class OutOfTime(Exception):
    """Too little time is left to connect: a broker's silence in that time proves no fault."""


class TooSlow(Exception):
    """A connect takes longer than the fast lane waits."""


class LaneKeeper:
    """Measures the waits of one drain and records the lane that they show.

    ``watch`` may run in another thread than the drain; every write is conditional, so the order does not matter.
    """

    def __init__(self, context: DrainContext, tenant: str, connection_id: str) -> None:
        self._context = context
        self._tenant = tenant
        self._id = connection_id
        self._connecting_since = math.inf
        self._publisher: Publisher | None = None
        self._longest = 0.0
        self._stalled = 0.0
        self._confirms = 0
        self._demoted = False

    @property
    def is_fast_lane(self) -> bool:
        """Whether this function serves the fast lane."""
        return self._context.slow_wakes is not None

    def hand_on(self, wakes: Sequence[Wake]) -> bool:
        """Send the wakes to the slow lane, so that they may be let go here; return False in the slow lane.

        Raises Unavailable."""
        if self._context.slow_wakes is None:
            return False
        self._context.slow_wakes.send(wakes)
        return True

    @property
    def proved(self) -> bool:
        """Whether this drain has shown that the broker is fast: it confirmed, and no wait was slow."""
        return self._confirms > 0 and self._longest < SLOW_WAIT

    @property
    def was_stalled(self) -> bool:
        """Whether this process did not run for a part of the drain."""
        return self._stalled >= SLOW_WAIT / 4

    @property
    def _was_slow(self) -> bool:
        return self._longest - self._stalled >= SLOW_WAIT

    def connecting(self, since: float = math.inf) -> None:
        """Note that a connect began at ``since`` (monotonic), or that it ended."""
        if self._connecting_since < math.inf and since == math.inf:
            self._longest = max(self._longest, self._context.monotonic() - self._connecting_since)
        self._connecting_since = since

    def publishing(self, publisher: Publisher | None) -> None:
        """Note the publisher whose confirms the drain waits for; None after them."""
        self._publisher = publisher

    def confirmed(self, number: int, slowest: float) -> None:
        """Note ``number`` confirms, the slowest of which took ``slowest`` seconds."""
        self._confirms += number
        self._longest = max(self._longest, slowest)

    def watch(self, stalled: float = 0.0) -> None:
        """Demote the connection if the current wait is slow.

        ``stalled``: seconds by which this look is late. In that time this process did not run, so that it could not
        see an answer of the broker either: a wait counts without the stalls of its drain.
        """
        self._stalled += max(0.0, stalled)
        publisher = self._publisher
        since = min(self._connecting_since, publisher.waiting_since if publisher else math.inf)
        if self._context.monotonic() - since - self._stalled >= SLOW_WAIT:
            self.demote()

    def demote(self) -> None:
        """Record that the connection is slow. A failed write is repeated by the next watch or drain."""
        if self._demoted:
            return
        try:
            self._context.connections.mark_slow(self._tenant, self._id)
        except Unavailable as error:
            log.warning("lane not recorded", extra={"connection": self._id, "reason": str(error)})
            return
        self._demoted = True
        log.info("connection is slow", extra={"connection": self._id})

    def record(self, connection: Connection) -> None:
        """Record the lane that the whole drain shows; if it is the other one, keep no slot beside other functions."""
        is_fast = connection.is_fast
        if is_fast and self._was_slow:
            self.demote()
            is_fast = False
        elif not is_fast and self.proved:
            is_fast = self._mark_fast(connection)
        if is_fast != self.is_fast_lane:
            self._context.pool.hand_over(self._id)

    def _mark_fast(self, connection: Connection) -> bool:
        try:
            self._context.connections.mark_fast(connection, self._context.clock())
        except (NotFound, Unavailable) as error:
            log.warning("lane not recorded", extra={"connection": self._id, "reason": str(error)})
            return False
        return True
