"""Search of the message log: messages with their histories, the one with the newest step first.

The log is read from now backwards in spans of time, so the newest step of a message is found first and decides its
status. Older steps of a message that was found already belong to its history, or were listed on an earlier page.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from chalicelib.connections.messages.positions import Position, position_of
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.messages.entries import LogEntry, failed_entry, reference_of
from chalicelib.domain.messages.history import TracedMessage, TraceStatus, in_order, status_of, trace
from chalicelib.ports.clock import Clock
from chalicelib.ports.message_log import FailedMessagesByTime, MessageLog

KEPT = 60 * 86400
"""Seconds that the log goes back."""
SECONDS = 8.0
"""Seconds after which a search reads no further span: a request has 29. The next page continues there."""
_LATE = 2
"""Minutes by which an entry may be written after its step: a drain ends within half a minute."""
_FIRST_SPAN, _FIRST_SPAN_OF_DEVICE, _LONGEST_SPAN = 2, 60, 8 * 1440
"""Minutes of the first and of the longest span. A span is four times as long as the one before, while few are found."""
_MESSAGE = tuple[str, str]
"""The connection's id and the reference of a message."""


@dataclass(frozen=True)
class Wanted:
    """The filters of a search. ``since`` and ``until``: Unix seconds of the acceptance, both included.

    ``connections``: the ids to read; ``connection``: the one that the caller named, if it named one.
    """

    connections: Sequence[str]
    connection: str | None = None
    device: str | None = None
    since: float | None = None
    until: float | None = None
    status: TraceStatus | None = None
    direction: Direction | None = None

    @property
    def scope(self) -> str:
        """The filters as a text, without connections that may be created between two pages."""
        return repr((self.connection, self.device, self.since, self.until, self.status, self.direction))

    def matches(self, ordered: Sequence[LogEntry]) -> bool:
        """Return whether a message with these entries is wanted, as far as they show."""
        accepted_at = min(entry.accepted_at for entry in ordered)
        return (
            (self.status is None or status_of(ordered) is self.status)
            and (self.direction is None or ordered[-1].direction is self.direction)
            and (self.since is None or accepted_at >= self.since)
            and (self.until is None or accepted_at <= self.until)
        )


@dataclass
class _Found:
    """Entries and failed messages found so far, and the messages that an earlier page decided."""

    entries: dict[_MESSAGE, list[LogEntry]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[_MESSAGE, FailedMessage] = field(default_factory=dict)
    decided: set[_MESSAGE] = field(default_factory=set)
    """Listed or found not to be wanted."""


class MessageSearch:
    """Searches the message log of a tenant's connections."""

    def __init__(self, log: MessageLog, failed: FailedMessagesByTime, executor: Executor, clock: Clock) -> None:
        self._log = log
        self._failed = failed
        self._executor = executor
        self._clock = clock

    def page(
        self, tenant: str, wanted: Wanted, limit: int, cursor: str | None
    ) -> tuple[list[TracedMessage], str | None]:
        """Return messages, the one with the newest step first, and the next page's cursor or None.

        A page shorter than ``limit`` can have a next page. Raises InvalidRequest for a foreign cursor, Unavailable.
        """
        scope = f"messages#{tenant}#{wanted.scope}"
        start = position_of(scope, cursor)
        stop_at = time.monotonic() + SECONDS
        now = self._clock()
        upper = now if start is None else min(start.time, now)
        oldest = max(now - KEPT, wanted.since or 0.0)
        found = _Found(decided=set() if start is None else set(start.decided))
        listed: list[_MESSAGE] = []
        last_minute, span = int(upper // 60) + _LATE, _FIRST_SPAN if wanted.device is None else _FIRST_SPAN_OF_DEVICE
        floor = upper
        while floor > oldest:
            first_minute = max(last_minute - _LATE - span, int(oldest // 60))
            self._read(tenant, wanted, found, first_minute, last_minute, upper)
            floor = float(first_minute * 60)
            for message in self._newest(found, floor, start):
                found.decided.add(message)
                if wanted.matches(in_order(found.entries[message])):
                    listed.append(message)
                    if len(listed) == limit:
                        break
            if len(listed) == limit or time.monotonic() > stop_at:
                break
            last_minute, span = first_minute - 1, min(span * 4, _LONGEST_SPAN)
        ended = floor <= oldest and len(listed) < limit
        self._complete(tenant, wanted, found, listed, floor, stop_at)
        messages = [self._trace(found, message) for message in listed]
        if ended:
            return messages, None
        return messages, self._position(found, listed, floor, limit).cursor(scope)

    def _read(
        self, tenant: str, wanted: Wanted, found: _Found, first_minute: int, last_minute: int, upper: float
    ) -> None:
        """Read the entries written, and the messages failed, in these minutes, of all connections at once."""
        since, until = first_minute * 60.0, (last_minute + 1) * 60.0
        device = wanted.device
        running = [
            (
                connection,
                self._executor.submit(self._log.entries, tenant, connection, first_minute, last_minute, device),
                self._executor.submit(self._failed.between, tenant, connection, since, until, device),
            )
            for connection in wanted.connections
        ]
        for connection, entries, failed in running:
            for entry in entries.result():
                if entry.time > upper:
                    # An earlier page decided about the message.
                    found.decided.add((connection, entry.reference))
                found.entries[connection, entry.reference].append(entry)
            for message in failed.result():
                self._add_failed(found, connection, message)

    @staticmethod
    def _add_failed(found: _Found, connection: str, message: FailedMessage) -> None:
        key = connection, reference_of(message.message_id or message.id)
        found.failed.setdefault(key, message)
        entry = failed_entry(message)
        # The log lacks messages that failed before it existed, or while DynamoDB did not answer.
        if all(each.failed_id != message.id for each in found.entries[key]):
            found.entries[key].append(entry)

    @staticmethod
    def _newest(found: _Found, floor: float, start: Position | None) -> list[_MESSAGE]:
        """Return the undecided messages whose newest step is known, the newest first."""
        undecided = [
            (max(entry.time for entry in entries), message)
            for message, entries in found.entries.items()
            if message not in found.decided
        ]
        before = None if start is None else (start.time, start.message)
        return [
            message
            for moment, message in sorted(undecided, reverse=True)
            if moment >= floor and (before is None or (moment, message) < before)
        ]

    def _complete(
        self, tenant: str, wanted: Wanted, found: _Found, listed: Sequence[_MESSAGE], floor: float, stop_at: float
    ) -> None:
        """Read the earlier steps of the listed messages, as far as the time suffices."""
        last_minute, span = int(floor // 60) - 1, _FIRST_SPAN_OF_DEVICE
        while time.monotonic() < stop_at:
            first = min((entry.accepted_at for message in listed for entry in found.entries[message]), default=floor)
            if first >= (last_minute + 1) * 60 or last_minute <= 0:
                return
            first_minute = max(last_minute - span, int(first // 60))
            self._read(tenant, wanted, found, first_minute, last_minute, float("inf"))
            last_minute, span = first_minute - 1, min(span * 4, _LONGEST_SPAN)

    @staticmethod
    def _trace(found: _Found, message: _MESSAGE) -> TracedMessage:
        return trace(message[0], in_order(found.entries[message]), found.failed.get(message))

    @staticmethod
    def _position(found: _Found, listed: Sequence[_MESSAGE], floor: float, limit: int) -> Position:
        """Return the position after the last listed message, or at the end of the last span."""
        if len(listed) < limit:
            moment, message = floor, ("", "")
        else:
            message = listed[-1]
            moment = max(entry.time for entry in found.entries[message])
        # Only these have earlier steps that the next page reads.
        opened = {
            each: min(entry.accepted_at for entry in found.entries[each])
            for each in found.decided
            if not found.entries[each] or min(entry.accepted_at for entry in found.entries[each]) < moment
        }
        return Position(moment, message, tuple(opened))
