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

    Each drain costs two writes at its begin and two at its end, which only the slow lane pays.
    """

    def __init__(self, slots: Slots, seconds: float, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._slots = slots
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep

    def enter(self, tenant: str, connection_id: str) -> str | None:
        """Return the name of an admitted drain, or None if too many others run for two seconds. Raises Unavailable."""
        drain = new_id(self._clock())
        for _ in range(_TRIES):
            if self._admits(tenant, connection_id, drain):
                return drain
            self._sleep(_PAUSE)
        return None

    def _admits(self, tenant: str, connection_id: str, drain: str) -> bool:
        if self._slots.take(_of_connection(connection_id), drain, DRAINS_OF_A_CONNECTION, self._seconds) is None:
            return False
        if self._slots.take(_of_tenant(tenant), drain, DRAINS_OF_A_TENANT, self._seconds) is None:
            self._give_back(_of_connection(connection_id), drain)
            return False
        return True

    def leave(self, tenant: str, connection_id: str, drain: str) -> None:
        """End a drain's admission; without success it ends by itself."""
        self._give_back(_of_connection(connection_id), drain)
        self._give_back(_of_tenant(tenant), drain)

    def _give_back(self, key: str, drain: str) -> None:
        try:
            self._slots.give_back(key, drain)
        except Unavailable as error:
            log.warning("slot not given back", extra={"key": key, "reason": str(error)})


def _of_connection(connection_id: str) -> str:
    return f"drains#{connection_id}"


def _of_tenant(tenant: str) -> str:
    return f"tenant#{tenant}"
