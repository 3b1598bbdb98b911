"""State that a poll finds: of the whole connection, or of its downlinks alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chalicelib.config import Timing
from chalicelib.domain import downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Level
from chalicelib.errors import BrokerFault, NotFound, Unavailable
from chalicelib.monitoring import Monitoring, log
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import PolledConnections
from chalicelib.uplinks.breaker_recorder import BreakerRecorder
from chalicelib.vocabulary import ConnectionState, EventType, FaultScope

_ROLE = {"role": "downlink"}


class DownlinkStateRecorder:
    """Records what polls find, unless the connection was changed, deactivated or found down in the meantime.

    A fault of the whole connection opens the breaker. A fault of a channel closes the downlinks only. ``random``
    returns 0 to 1 and spreads the next attempts.
    """

    def __init__(
        self,
        connections: PolledConnections,
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
        self._breaker = BreakerRecorder(connections, monitoring, clock, random, timing)

    @staticmethod
    def is_recorded(connection: Connection) -> bool:
        """Return whether the record already shows that the downlinks are consumed."""
        return connection.downlink_state is ConnectionState.OPENED and (
            connection.state is ConnectionState.OPENED or connection.breaker_open
        )

    def opened(self, connection: Connection) -> None:
        """Record that the downlinks are consumed, and close the breaker of a connection that is opening.

        A breaker that a fault of the uplinks opened stays open, because a poll proves nothing about publishing.
        """
        with self._logged(connection):
            current = self._current(connection)
            if current is None:
                return
            if current.state is not ConnectionState.OPENED and not current.breaker_open:
                self._breaker.close(current, wake_in=0)
            if current.downlink_state is ConnectionState.OPENED:
                return
            after = downlink_fault.opened(current)
            written = self._connections.update_downlinks(after, current.downlink_failures)
            if written and current.downlink_since is not None:
                self._monitoring.event(
                    after, Level.INFO, EventType.OPENED, "The connector consumes downlinks again.", _ROLE
                )

    def failed(self, connection: Connection, fault: BrokerFault) -> None:
        """Record a fault of the downlinks' connection to the broker, and schedule the next attempt."""
        with self._logged(connection):
            current = self._current(connection)
            if current is None:
                return
            # A limit of connections that refuses the consumer's does not concern the publishers that are connected.
            further = fault.type is EventType.CONNECTION_LIMIT_REACHED and current.state is ConnectionState.OPENED
            if fault.scope is FaultScope.CONNECTION and not further:
                self._breaker.open(current, fault, _ROLE)
                return
            after = downlink_fault.failed(current, fault, self._clock(), self._random(), self._timing.scale)
            if self._connections.update_downlinks(after, current.downlink_failures):
                details = {**_ROLE, "failures": after.downlink_failures}
                self._monitoring.event(after, Level.ERROR, fault.type, str(fault), details)

    def _current(self, connection: Connection) -> Connection | None:
        """Return the stored record, or None if the poll's result does not concern it any more."""
        current = self._connections.get(connection.tenant, connection.id)
        unchanged = current.version == connection.version and current.active and not current.is_down
        return current if unchanged else None

    @contextmanager
    def _logged(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except (NotFound, Unavailable) as error:
            # The next poll records it.
            log.warning("state not recorded", extra={"connection": connection.id, "reason": str(error)})
