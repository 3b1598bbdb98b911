"""SQS queues: a FIFO queue for each connection's reports, and the shared queues of wakes, polls and downlinks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.domain.work_items import DownlinkJob, PollJob, Wake

BATCH = 10
"""Messages that SQS accepts or returns in one call."""
RETENTION = 14 * 86400
"""Seconds that a queue keeps a message."""


@dataclass(frozen=True)
class QueueRecord:
    """A message that an event source mapping delivers.

    ``attempts`` begins at 1. ``received_at``: Unix seconds of its first receive; 0 if unknown.
    """

    receipt: str
    message_id: str
    body: str
    group: str = ""
    attempts: int = 1
    received_at: float = 0.0
    deduplication_id: str = ""
    report: str = ""
    """The message attribute of a wake that describes its report."""


class ReceivedReport(NamedTuple):
    """A report received from a connection's queue.

    ``group``: the device. ``format``: the name of the report format of ``body``. ``sent_at``: Unix seconds.
    ``attempts`` begins at 1. ``driver`` and ``validity``: the driver and the ``uplinkTimeValidity`` of the flow that
    chose the report, None without one.
    ``summary``: what ``ReportFormat.summary`` gave when the report was stored, if anything.
    """

    receipt: str
    message_id: str
    group: str
    body: str
    sent_at: float
    attempts: int
    format: str = DEFAULT_FORMAT
    driver: str | None = None
    validity: str | None = None
    summary: str | None = None


class UplinkQueues(Protocol):
    """The connections' FIFO queues."""

    def create(self, connection_id: str) -> None:
        """Create the queue. Ignored when it exists."""

    def delete(self, connection_id: str) -> None:
        """Delete the queue. Ignored when it does not exist."""

    def send(
        self,
        connection_id: str,
        *,
        body: str,
        group: str,
        message_id: str,
        deduplication_id: str,
        report_format: str = DEFAULT_FORMAT,
        driver: str | None = None,
        validity: str | None = None,
        summary: str | None = None,
    ) -> None:
        """Store a report; ``message_id`` is the AMQP message id, which a replay keeps.

        ``driver`` and ``validity``: those of the flow that chose the report.

        Raises QueueMissing when the queue is gone, Unavailable when SQS does not accept the report.
        """

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        """Receive up to ``limit`` reports (at most 10), hidden for the settings' report visibility.

        Waits up to ``wait`` seconds for the first one. Fewer reports than the queue has, or none, may be returned.
        """

    def delete_messages(self, connection_id: str, receipts: Sequence[str]) -> list[str]:
        """Delete messages, with retries; return the receipts that could not be deleted."""

    def release(self, connection_id: str, receipts: Sequence[str], delay: int) -> None:
        """Make messages visible again after ``delay`` seconds, the last one first, so that their order holds."""

    def depth(self, connection_id: str) -> tuple[int, int]:
        """Return the approximate numbers of (visible and delayed, in flight) messages."""


class WakeQueue(Protocol):
    """The shared queue of wakes."""

    def send(self, wakes: Sequence[Wake]) -> None:
        """Send wakes. Raises Unavailable unless SQS accepted all of them."""

    def extend(self, receipts: Sequence[str]) -> None:
        """Restart the full visibility timeout of wakes."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete wakes. Raises Unavailable when one could not be deleted."""


class PollQueue(Protocol):
    """The shared queue of poll jobs."""

    def send(self, job: PollJob) -> None:
        """Send a job. Raises Unavailable."""


class DownlinkQueue(Protocol):
    """The shared FIFO queue of downlinks."""

    def send(self, jobs: Sequence[tuple[DownlinkJob, str]]) -> list[bool]:
        """Send at most 10 (job, deduplication id) pairs; return True for each that SQS accepted."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete downlinks. Raises Unavailable when one could not be deleted."""

    def delay(self, receipts: Sequence[str], seconds: int) -> None:
        """Hide downlinks for ``seconds`` from now."""
