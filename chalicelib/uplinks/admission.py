"""Admission to the slow lane, so that no connection and no tenant occupies all of its functions."""

import time
from collections.abc import Callable

from chalicelib.errors import Unavailable
from chalicelib.kernel.ids import new_id
from chalicelib.monitoring import log
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Slots

DRAINS_OF_A_CONNECTION = 2
DRAINS_OF_A_TENANT = 20
"""Drains at a time in the slow lane, in which ``app.py`` permits fifty functions with one drain or more each."""

_TRIES, _PAUSE = 10, 0.2
"""Most drains of fast brokers, such as those of new connections, end within the two seconds of all tries."""


class Admission:
    """Slots of the running drains, by connection and by tenant. A killed function's slots end after ``seconds``.

    Each drain costs a write at its begin and one at its end, which only the slow lane pays: one item holds all drains
    of a tenant, each named after its connection.
    """

    def __init__(self, slots: Slots, seconds: float, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._slots = slots
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep

    def enter(self, tenant: str, connection_id: str) -> str | None:
        """Return the name of an admitted drain, or None if too many others run for two seconds. Raises Unavailable."""
        drain = f"{connection_id}#{new_id(self._clock())}"
        for _ in range(_TRIES):
            if self._admits(tenant, drain):
                return drain
            self._sleep(_PAUSE)
        return None

    def _admits(self, tenant: str, drain: str) -> bool:
        others = self._slots.take(_of_tenant(tenant), drain, DRAINS_OF_A_TENANT, self._seconds)
        if others is None:
            return False
        connection_id = drain.partition("#")[0]
        if sum(other.partition("#")[0] == connection_id for other in others) < DRAINS_OF_A_CONNECTION:
            return True
        self.leave(tenant, drain)
        return False

    def leave(self, tenant: str, drain: str) -> None:
        """End a drain's admission; without success it ends by itself."""
        try:
            self._slots.give_back(_of_tenant(tenant), drain)
        except Unavailable as error:
            log.warning("slot not given back", extra={"tenant": tenant, "reason": str(error)})


def _of_tenant(tenant: str) -> str:
    return f"drains#{tenant}"
