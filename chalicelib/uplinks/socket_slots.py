"""Slots for the sockets at a connection's broker, which limit the publishers of all environments together."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.domain.connection import Connection
from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import new_id
from chalicelib.monitoring import log
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Slots

PATIENCE = 2.0
"""Seconds that a drain waits for a slot: publishing takes a fast broker a fraction of a second."""
_PAUSE = 0.1
_FEW = 5
"""Drains during half a hold below which a function gives a shared slot back, so that a busier one can keep it."""


class NoSlot(Exception):
    """All sockets that a connection may have are in use by other functions."""


@dataclass
class _Hold:
    """A slot of this environment.

    ``others``: holders when it was taken; ``until``: monotonic end of the hold; ``drains`` since it was written.
    """

    others: int
    until: float
    limit: int
    drains: int = 1


class SocketSlots:
    """The slots that this environment holds. A frozen environment's slot ends by itself after ``seconds``."""

    def __init__(
        self,
        slots: Slots,
        seconds: float,
        monotonic: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._slots = slots
        self._seconds = seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._owner = new_id(time.time())
        self._holds: dict[str, _Hold] = {}

    def take(self, connection: Connection, deadline: float) -> None:
        """Take or keep a slot for a publisher; wait for one until ``deadline`` (monotonic), two seconds at most.

        Costs a write for a new hold, and another one when half of the hold has passed. Raises NoSlot, Unavailable.
        """
        hold = self._holds.get(connection.id)
        if hold and hold.until - self._monotonic() > self._seconds / 2:
            hold.drains += 1
            return
        limit = publishers_of(connection)
        patience = min(deadline - self._monotonic(), PATIENCE)
        for _ in range(max(1, int(patience / _PAUSE))):
            others = self._slots.take(connection.id, self._owner, limit, self._seconds)
            if others is not None:
                # A renewal keeps the rank, so that the first function stays the one whose socket stays open, unless
                # it drains seldom: else the busiest function might be the one that connects for each drain.
                rank = min(hold.others, len(others)) if hold else len(others)
                if hold and others and hold.drains < _FEW:
                    rank = limit
                self._holds[connection.id] = _Hold(rank, self._monotonic() + self._seconds, limit)
                return
            self._holds.pop(connection.id, None)
            self._sleep(_PAUSE)
        raise NoSlot

    def is_shared(self, connection_id: str) -> bool:
        """Return whether other functions had a slot of this connection when this one was taken."""
        hold = self._holds.get(connection_id)
        return hold is not None and hold.others > 0

    def may_stay(self, connection_id: str) -> bool:
        """Return whether the socket may stay open after a drain: another function still finds a free slot."""
        hold = self._holds.get(connection_id)
        return hold is not None and hold.others + 1 < hold.limit

    def ended(self, connection_id: str) -> bool:
        """Return whether the hold has ended, so that another function may have the slot."""
        hold = self._holds.get(connection_id)
        return hold is None or hold.until <= self._monotonic()

    def give_back(self, connection_id: str) -> None:
        """Give the slot back; without success it ends by itself."""
        if self._holds.pop(connection_id, None) is None:
            return
        try:
            self._slots.give_back(connection_id, self._owner)
        except Unavailable as error:
            log.warning("slot not given back", extra={"connection": connection_id, "reason": str(error)})


def publishers_of(connection: Connection) -> int:
    """Return the number of publishers that a connection may have; one socket is the consumer's."""
    configuration = connection.configuration
    return max(1, configuration.max_connections - configuration.downlink_enabled)
