"""Compact entries of connections for the overview and the sorted list. Pure functions.

An entry is stored as texts beside the connection, one for each kind of writer: the API's fields, the breaker's and, of
a fault that concerns only downlinks, theirs. Each writer replaces its text together with its fields, so an entry is
never older than the record. A tenant's 10,000 entries have 2.5 MB, an eighth of the records. The SDK needs most of the
time of reading them, by the number of attributes.
"""

import json
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.connection import Connection
from chalicelib.kernel.times import parse_time
from chalicelib.vocabulary import ConnectionState, FaultScope

CERTIFICATE_NOTICE = 14 * 86400.0
"""Seconds before the end of a client certificate from which the overview shows it."""
_STATE_FIELDS = 7
_DOWNLINK_FIELDS = 4
_OWN_FIELDS = 7
_NO_FAULT = "[null,null,null,null]"


@dataclass(frozen=True, slots=True)
class Entry:
    """A connection in the overview. Times are Unix seconds.

    ``since`` is the start of the outage, ``cause`` the type of the fault's event, None in records of a release that did
    not store it. The fields of downlinks describe a fault that concerns only them.
    """

    id: str
    created_at: str
    name: str
    active: bool
    protocol: str
    host: str
    certificate_ends: float | None
    updated_at: str
    state: str
    reason: str | None
    since: float | None
    probe_at: float | None
    cause: str | None
    startup_time: str | None
    scope: str | None
    downlink_reason: str | None
    downlink_since: float | None
    downlink_probe_at: float | None
    downlink_cause: str | None

    @property
    def is_broken(self) -> bool:
        """Return whether a fault stops uplinks, or both directions."""
        return self.active and self.since is not None

    @property
    def downlinks_broken(self) -> bool:
        """Return whether a fault stops downlinks only."""
        down = self.is_broken and self.scope != FaultScope.DIRECTION
        return self.active and self.downlink_since is not None and not down

    def certificate_ends_soon(self, now: float) -> bool:
        """Return whether the certificate ends within the time of notice, or has ended."""
        return self.active and self.certificate_ends is not None and self.certificate_ends - now <= CERTIFICATE_NOTICE

    def state_since(self) -> float | None:
        """Return the begin of the state: of the outage, of the connection to the broker, or of the last change."""
        if self.is_broken:
            return self.since
        if self.state == ConnectionState.OPENED:
            return parse_time(self.startup_time or "")
        return parse_time(self.updated_at)


def listed(connection: Connection) -> str:
    """Return the text of the fields that the API changes."""
    configuration = connection.configuration
    return _text(
        connection.name,
        connection.active,
        getattr(configuration, "protocol", ""),
        getattr(configuration, "host_name", ""),
        connection.certificate_ends,
        connection.updated_at,
        connection.created_at,
    )


def listed_state(connection: Connection) -> str:
    """Return the text of the breaker's fields."""
    return _text(
        connection.state.value,
        connection.state_reason,
        connection.outage_since,
        connection.probe_at,
        connection.fault_type,
        connection.startup_time,
        None if connection.fault_scope is None else connection.fault_scope.value,
    )


def listed_downlinks(connection: Connection) -> str | None:
    """Return the text of the fields of the downlinks' own fault, None without one."""
    if connection.downlink_since is None and connection.downlink_reason is None:
        return None
    return _text(
        connection.downlink_reason,
        connection.downlink_since,
        connection.downlink_probe_at,
        connection.downlink_fault_type,
    )


def entry_of(connection_id: str, own: Any, state: Any, downlinks: Any) -> Entry | None:
    """Return the entry of stored texts, None if one is unreadable, or absent though every connection has it."""
    try:
        # One parse for all, because a process reads up to 10,000 entries at its start.
        first, second, third = json.loads(f"[{own},{state},{downlinks or _NO_FAULT}]")
        *first, created_at = first[:_OWN_FIELDS]
        return Entry(connection_id, created_at, *first, *second[:_STATE_FIELDS], *third[:_DOWNLINK_FIELDS])
    except (TypeError, ValueError):
        return None


def entry_of_connection(connection: Connection) -> Entry:
    """Return the entry of a whole record."""
    entry = entry_of(connection.id, listed(connection), listed_state(connection), listed_downlinks(connection))
    assert entry is not None  # noqa: S101  # the texts were written by this release
    return entry


def _text(*values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
