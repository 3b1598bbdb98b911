"""Changes of a connection's state that are due for a notification, found in its record. Pure functions.

The record is the outbox: the write that changes the state also keeps what a notification needs, so a function that is
killed after the write loses nothing. Each run of the reconciler finds a change until its notification is stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chalicelib.domain.connection import Connection
from chalicelib.kernel.ids import id_of
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState, NotificationKind

REPORTED_WITHIN = 86400.0
"""Seconds after which a change that no run of the reconciler found is not reported any more."""


@dataclass(frozen=True)
class Change:
    """A change of one connection that a tenant may be notified of.

    ``at``: Unix seconds since which it is due. ``name``: distinguishes the changes of one kind and connection.
    ``begin``: the time of the id where ``at`` is that of the call, which a repeat after a crash does not know.
    """

    kind: NotificationKind
    connection: Connection
    at: float
    name: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    begin: float | None = None

    @property
    def id(self) -> str:
        """The ULID of the notification, the same in every process, so that a change is stored once."""
        moment = self.at if self.begin is None else self.begin
        return id_of(moment, self.connection.tenant, self.connection.id, self.kind.value, self.name)


def state_changes(connection: Connection, faulty_after: float, now: float) -> Iterator[Change]:
    """Yield the changes of the last day that the record shows. ``faulty_after``: seconds."""
    long = [outage for outage in connection.outages if outage.until - outage.since > faulty_after]
    for outage in long:
        yield _faulty(connection, outage.since, faulty_after, outage.reason)
        yield _recovered(connection, outage.since, outage.until)
    since = connection.faulty_since if connection.faulty_since is not None else connection.outage_since
    if since is not None and now - since > faulty_after:
        yield _faulty(connection, since, faulty_after, connection.state_reason)
    opened = connection.opened_at
    if opened is not None and opened not in [outage.until for outage in long]:
        yield _opened(connection, opened)


def may_have_changed(connection: Connection, now: float) -> bool:
    """Return whether ``state_changes`` could yield a change of the last day."""
    earliest = now - REPORTED_WITHIN
    if connection.faulty_since is not None or connection.outage_since is not None:
        return True
    moments = [outage.until for outage in connection.outages]
    if connection.opened_at is not None:
        moments.append(connection.opened_at)
    return any(moment > earliest for moment in moments)


def _opened(connection: Connection, at: float) -> Change:
    text = f"The connection {connection.name} is open."
    return Change(NotificationKind.OPENED, connection, at, str(at), text)


def _faulty(connection: Connection, since: float, after: float, reason: str | None) -> Change:
    text = f"The connection {connection.name} has been without its broker since {iso_time(since)}."
    message = f"{text} {reason}" if reason else text
    return Change(NotificationKind.FAULTY, connection, since + after, str(since), message, {"since": iso_time(since)})


def _recovered(connection: Connection, since: float, until: float) -> Change:
    message = f"The connection {connection.name} is open again after {round((until - since) / 60)} minute(s)."
    details = {"since": iso_time(since), "until": iso_time(until), "state": ConnectionState.OPENED.value}
    return Change(NotificationKind.RECOVERED, connection, until, str(since), message, details)
