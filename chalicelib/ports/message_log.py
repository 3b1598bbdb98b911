"""Reading of the message log. ``StatisticsWriter.add`` writes it."""

from collections.abc import Sequence
from typing import Protocol

from chalicelib.domain.failed_message import FailedMessage
from chalicelib.domain.messages.entries import LogEntry


class MessageLog(Protocol):
    """Reads the message log of one connection, which has the last 60 days."""

    def entries(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int, device: str | None = None
    ) -> list[LogEntry]:
        """Return the entries that were written in these minutes (Unix time / 60, both included), in any order.

        An entry is written at the end of its drain, so its time may be a minute earlier.
        """


class FailedMessagesByTime(Protocol):
    """Reads the failed messages of one connection by the time of their failure."""

    def between(
        self, tenant: str, connection_id: str, since: float, until: float, device: str | None = None
    ) -> Sequence[FailedMessage]:
        """Return the messages that failed from ``since`` to before ``until`` (Unix seconds), without their bodies."""

    def some(self, tenant: str, connection_id: str, ids: Sequence[str]) -> list[FailedMessage]:
        """Return the messages among ``ids`` that exist."""
