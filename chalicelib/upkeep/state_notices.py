"""State notices: notifications of connections that opened, are faulty for long, or recovered."""

from collections.abc import Sequence
from typing import Protocol

from chalicelib.connections.notifications.outbox import Subscriptions
from chalicelib.domain.connection import Connection
from chalicelib.domain.notifications.changes import may_have_changed, state_changes
from chalicelib.ports.clock import Clock
from chalicelib.ports.notifications import Outbox

_MINUTE = 60.0


class Check(Protocol):
    """A check of one connection in each run of the reconciler."""

    def concerns(self, connection: Connection) -> bool:
        """Return whether ``check`` could have something to report."""

    def check(self, connection: Connection) -> None:
        """Report what is due."""


class Checks:
    """Several checks as one."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks

    def concerns(self, connection: Connection) -> bool:
        """Return whether one of the checks could have something to report."""
        return any(each.concerns(connection) for each in self._checks)

    def check(self, connection: Connection) -> None:
        """Run the checks that concern the connection. A check that raises leaves the others to the next run."""
        for each in self._checks:
            if each.concerns(connection):
                each.check(connection)


class StateNotices:
    """Derives notifications from the records of connections that the reconciler reads anyway.

    ``scale`` (TIME_SCALE) shortens the tenants' minutes.
    """

    def __init__(self, subscriptions: Subscriptions, outbox: Outbox, clock: Clock, scale: float) -> None:
        self._subscriptions = subscriptions
        self._outbox = outbox
        self._clock = clock
        self._scale = scale

    def concerns(self, connection: Connection) -> bool:
        """Return whether the tenant has notifications and the record may show a change. Raises Unavailable."""
        return may_have_changed(connection, self._clock()) and self._subscriptions.of(connection.tenant) is not None

    def check(self, connection: Connection) -> None:
        """Store the notifications of the connection's changes. Raises Unavailable; the next run repeats it."""
        settings = self._subscriptions.of(connection.tenant)
        if settings is None:
            return
        after = settings.wanted.faulty_after * _MINUTE / self._scale
        for change in state_changes(connection, after, self._clock()):
            self._outbox.add(change)
