"""Events of changes to connections. They name the changed fields and never contain values."""

from typing import Any

from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Level
from chalicelib.monitoring import Monitoring
from chalicelib.vocabulary import EventType

_OWN = frozenset(
    {
        "active",
        "state",
        "stateReason",
        "downlinkState",
        "downlinkStateReason",
        "startupTime",
        "nextAttempt",
        "updatedAt",
        "version",
        "configuration",
    }
)


class ConnectionEvents:
    """Writes the events of changes that a tenant makes to a connection."""

    def __init__(self, monitoring: Monitoring) -> None:
        self._monitoring = monitoring

    def created(self, connection: Connection) -> None:
        self._add(connection, EventType.CREATED, "The connection was created.", {"active": connection.active})

    def changed(self, before: Connection, after: Connection, *, secrets: bool) -> None:
        """Write the events of a change. ``secrets``: True if a secret changed, which the record does not show."""
        if before.active != after.active:
            event = EventType.ACTIVATED if after.active else EventType.DEACTIVATED
            self._add(after, event, f"The connection was {event.lower()}.", {})
        fields = _differences(before, after)
        if secrets:
            fields.append("secrets")
        if fields or before.active == after.active:
            details = {"version": after.version, "fields": fields}
            self._add(after, EventType.UPDATED, "The connection was changed.", details)

    def restarted(self, connection: Connection) -> None:
        self._add(connection, EventType.RESTARTED, "The connection was restarted.", {})

    def deleted(self, connection: Connection) -> None:
        self._add(connection, EventType.DELETED, f"The connection {connection.name} was deleted.", {})

    def _add(self, connection: Connection, type_: EventType, message: str, details: dict[str, Any]) -> None:
        self._monitoring.event(connection, Level.INFO, type_, message, details)


def _differences(before: Connection, after: Connection) -> list[str]:
    old, new = before.to_json(), after.to_json()
    outer = [name for name in new if name not in _OWN and old.get(name) != new[name]]
    was, now = old["configuration"], new["configuration"]
    inner = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    return [*outer, *(f"configuration.{name}" for name in inner)]
