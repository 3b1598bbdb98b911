"""Events, failed messages and statistics in DynamoDB."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.domain.event import Event, Level
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.messages.entries import LogEntry


class EventLog(Protocol):
    """Writes a tenant's event log."""

    def add(self, tenant: str, event: Event) -> None:
        """Store an event. Raises Unavailable."""

    def add_up(self, tenant: str, event: Event, number: int) -> None:
        """Store an event of ``number`` occurrences, or add them to the ``details.count`` of the event with its id.

        The stored event keeps its first time, message and details. Raises Unavailable.
        """


class FailedMessages(Protocol):
    """Keeps messages that failed for good."""

    def add(self, tenant: str, connection_id: str, messages: Sequence[FailedMessage]) -> None:
        """Store messages; storing one twice has no further effect. Raises Unavailable."""

    def purge(self, tenant: str, connection_id: str, direction: Direction | None = None) -> None:
        """Delete the messages of one direction, or all."""


class ReplayableMessages(FailedMessages, Protocol):
    """Failed messages as a replay reads and removes them."""

    def some(self, tenant: str, connection_id: str, ids: Sequence[str]) -> list[FailedMessage]:
        """Return the messages among ``ids`` that exist."""

    def oldest_first(self, tenant: str, connection_id: str, last: str) -> Iterator[FailedMessage]:
        """Yield all messages up to the id ``last``."""

    def remove(self, tenant: str, connection_id: str, ids: Sequence[str]) -> None:
        """Delete messages. Unknown ids are ignored."""


@dataclass(frozen=True)
class PendingReplay:
    """A replay that has not ended: all failed messages of a connection up to the id ``last``."""

    tenant: str
    connection_id: str
    last: str


class PendingReplays(Protocol):
    """Replays that the reconciler continues, at most one for each connection."""

    def add(self, tenant: str, connection_id: str, last: str) -> None:
        """Store a replay in place of the connection's earlier one, whose ``last`` is an earlier id."""

    def all(self) -> Iterator[PendingReplay]:
        """Yield every replay, the one whose last turn is longest ago first."""

    def postpone(self, replay: PendingReplay) -> None:
        """Give the other replays their turn first. No effect if a later replay took its place."""

    def end(self, replay: PendingReplay) -> None:
        """Delete a replay. No effect if a later one took its place."""


class StatisticsWriter(Protocol):
    """Counts messages and active devices, and keeps the message log, in one write for each call."""

    def add(
        self,
        tenant: str,
        connection_id: str,
        counts: Mapping[str, int],
        devices: Collection[str] = (),
        log: Sequence[LogEntry] = (),
    ) -> None:
        """Add to the counters of this minute, such as ``uplinksDelivered``, and record the devices as active.

        ``log``: the steps of the messages that are counted, and those of attempts, which are not counted.
        """

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        """Count downlinks, named by their SQS deduplication ids, as waiting.

        No effect on one that waits already or was cleared within the deduplication interval.
        """

    def clear_waiting(self, tenant: str, connection_id: str, name: str) -> None:
        """Stop counting a downlink as waiting. Calls may arrive in any order and more than once."""


class UplinkCounters(Protocol):
    """Reads counters."""

    def counters(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int
    ) -> Mapping[int, Mapping[str, int]]:
        """Return the counters by minute (Unix time / 60), both ends included; idle minutes are missing."""


class TenantCounters(Protocol):
    """Reads the counters of all connections of a tenant together."""

    def totals(self, tenant: str, first_minute: int, last_minute: int) -> Mapping[int, Mapping[str, int]]:
        """Return the counters by the first minute of each quarter of an hour, in which these minutes lie."""


class StatisticsReader(UplinkCounters, Protocol):
    """Reads all that the statistics of a connection show."""

    def last_counted(self, tenant: str, connection_id: str) -> int | None:
        """Return the last minute with a counter, None if there is none within eight days."""

    def active_devices(self, tenant: str, connection_id: str, first_minute: int, last_minute: int) -> int:
        """Return the (estimated) number of devices with a delivered uplink in these minutes."""

    def waiting_downlinks(self, tenant: str, connection_id: str) -> int:
        """Return the number of downlinks between the broker and the network server."""


class EventPages(Protocol):
    """Reads a tenant's event log."""

    def page(
        self,
        tenant: str,
        connection_id: str | None,
        *,
        since: float | None,
        until: float | None,
        level: Level | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[Event], str | None]:
        """Return events, newest first, and the next page's cursor; without ``connection_id`` of the whole tenant.

        Raises InvalidRequest for a foreign cursor.
        """


class FailedMessagePages(Protocol):
    """Reads failed messages."""

    def page(
        self, tenant: str, connection_id: str, limit: int, cursor: str | None, direction: Direction | None = None
    ) -> tuple[list[FailedMessage], str | None]:
        """Return messages, newest first, and the next page's cursor. Raises InvalidRequest for a foreign cursor."""
