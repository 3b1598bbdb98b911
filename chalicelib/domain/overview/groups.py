"""Faults of connections, grouped by their cause, and the order of the list. Pure functions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chalicelib.domain.overview.entry import Entry
from chalicelib.vocabulary import ConnectionState

_PASSING = {ConnectionState.OPENING, ConnectionState.AUTHENTICATING, ConnectionState.CLOSING}


class Direction(StrEnum):
    """Directions that a fault stops."""

    BOTH = "both"
    UPLINK = "uplink"
    DOWNLINK = "downlink"


class Cause(StrEnum):
    """Causes besides the event types of broker faults."""

    CERTIFICATE_ENDS = "CERTIFICATE_ENDS"
    UNKNOWN = "UNKNOWN"


@dataclass
class Group:
    """Connections with the same fault. ``reason`` is that of the connection with the oldest fault."""

    cause: str
    direction: Direction
    reason: str | None = None
    since: float | None = None
    next_attempt: float | None = None
    ids: list[str] = field(default_factory=list)
    reasons: set[str | None] = field(default_factory=set)

    def add(self, entry: Entry, reason: str | None, since: float | None, attempt: float | None) -> None:
        """Add a connection. The earliest times count."""
        self.ids.append(entry.id)
        self.reasons.add(reason)
        if self.since is None or (since is not None and since < self.since):
            self.since, self.reason = since, reason
        if attempt is not None:
            self.next_attempt = attempt if self.next_attempt is None else min(attempt, self.next_attempt)


def causes(entry: Entry, now: float) -> list[str]:
    """Return the causes of all faults of a connection."""
    return [cause for cause, _, _, _, _ in _faults(entry, now)]


def groups(entries: Iterable[Entry], now: float) -> list[Group]:
    """Return the faults by cause and direction: those of both directions first, then the larger groups."""
    found: dict[tuple[str, Direction], Group] = {}
    for entry in entries:
        for cause, direction, reason, since, attempt in _faults(entry, now):
            group = found.setdefault((cause, direction), Group(cause, direction))
            group.add(entry, reason, since, attempt)
    rank = list(Direction)
    return sorted(
        found.values(),
        key=lambda g: (g.cause == Cause.CERTIFICATE_ENDS, rank.index(g.direction), -len(g.ids), g.cause),
    )


_Fault = tuple[str, Direction, str | None, float | None, float | None]


def _faults(entry: Entry, now: float) -> list[_Fault]:
    found: list[_Fault] = []
    if entry.is_broken:
        direction = Direction.UPLINK if entry.scope == "DIRECTION" else Direction.BOTH
        found.append((entry.cause or Cause.UNKNOWN, direction, entry.reason, entry.since, entry.probe_at))
    if entry.downlinks_broken:
        found.append(
            (
                entry.downlink_cause or Cause.UNKNOWN,
                Direction.DOWNLINK,
                entry.downlink_reason,
                entry.downlink_since,
                entry.downlink_probe_at,
            )
        )
    if entry.certificate_ends_soon(now):
        # The time is the certificate's end.
        found.append((Cause.CERTIFICATE_ENDS, Direction.BOTH, None, entry.certificate_ends, None))
    return found


class Order(StrEnum):
    """Orders of the list. ``WORST``: broken connections first, the longest outage at the top."""

    WORST = "worst"
    NAME = "name"
    STATE = "state"
    HOST = "host"
    SINCE = "since"
    CREATED = "created"


def sort_key(order: Order, now: float) -> Callable[[Entry], Any]:
    """Return the sort key of an order; the newest connection is first among equal ones."""
    keys: dict[Order, Callable[[Entry], Any]] = {
        Order.WORST: lambda each: (_severity(each, now), _fault_begin(each), each.name.casefold()),
        Order.NAME: lambda each: each.name.casefold(),
        Order.STATE: lambda each: list(ConnectionState).index(ConnectionState(each.state)),
        Order.HOST: lambda each: each.host,
        Order.SINCE: lambda each: each.state_since() or 0.0,
        Order.CREATED: lambda each: each.created_at,
    }
    return keys[order]


def _fault_begin(entry: Entry) -> float:
    if entry.is_broken:
        return entry.since or 0.0
    return entry.downlink_since or 0.0 if entry.downlinks_broken else 0.0


def _severity(entry: Entry, now: float) -> int:
    if entry.is_broken:
        return 0
    if entry.downlinks_broken:
        return 1
    if entry.certificate_ends_soon(now):
        return 2
    if not entry.active:
        return 6
    return 3 if entry.state in _PASSING else 4 if entry.state == ConnectionState.OPENED else 5
