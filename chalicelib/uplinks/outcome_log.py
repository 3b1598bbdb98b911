"""Entries of the message log for the outcomes of one drain."""

from collections.abc import Sequence

from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.domain.failed_message import FailedMessage
from chalicelib.domain.messages.entries import LogEntry, Step, failed_entry, reference_of
from chalicelib.domain.report import NO_DEVICE
from chalicelib.domain.work_items import Wake, report_of_wake
from chalicelib.errors import BrokerFault
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.ports.queues import ReceivedReport
from chalicelib.vocabulary import FailureReason, RetryReason


class OutcomeLog:
    """Collects the entries of a drain, which are written together with its counters.

    A killed drain loses them: the log then shows a message's earlier and later steps only.
    """

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []

    def published(
        self, report: ReceivedReport, message: OutgoingMessage, outcome: Outcome, fault: Exception | None, now: float
    ) -> None:
        """Note a delivered report, or an attempt. ``fault``: what ended the publish.

        A report that was held back, or for which no time or socket was left, was not attempted.
        """
        if outcome.result is Result.DELIVERED:
            self.entries.append(_entry(report, message, Step.DELIVERED, now))
        elif outcome.result is Result.RETRY and outcome.reason is not RetryReason.HELD_BACK:
            reason, detail = outcome.reason, outcome.detail
            if isinstance(fault, BrokerFault):
                reason, detail = reason or fault.type, detail or str(fault)
            if reason is not None:
                self.entries.append(_entry(report, message, Step.ATTEMPTED, now, reason, detail))

    def given_up(
        self,
        failed: Sequence[FailedMessage],
        lost: Sequence[ReceivedReport],
        reports: Sequence[ReceivedReport],
        now: float,
    ) -> None:
        """Note failed messages after they were stored, and expired reports. ``reports`` has all of them."""
        sent_at = {report.message_id: report.sent_at for report in reports}
        self.entries += [failed_entry(message, sent_at.get(message.message_id)) for message in failed]
        for report in lost:
            expired = FailureReason.EXPIRED
            self.entries.append(_entry(report, None, Step.LOST, now, expired, expired.sentence))


def waiting_entries(wakes: Sequence[Wake], connection: Connection, now: float) -> list[LogEntry]:
    """Return an entry for each wake's report that stays in the queue because the breaker is open."""
    return [
        LogEntry(
            reference=reference_of(wake.message_id),
            step=Step.WAITING,
            time=now,
            accepted_at=report.accepted_at,
            dev_eui=report.device,
            frame_counter=report.frame_counter,
            type=report.type,
            detail=connection.state_reason,
        )
        for wake in wakes
        if wake.message_id and (report := report_of_wake(wake)) is not None
    ]


def lost_entries(reports: Sequence[ReceivedReport], now: float, detail: str) -> list[LogEntry]:
    """Return the entries of reports that were deleted at the end of their retention."""
    return [_entry(report, None, Step.LOST, now, FailureReason.EXPIRED, detail) for report in reports]


def _entry(
    report: ReceivedReport,
    message: OutgoingMessage | None,
    step: Step,
    now: float,
    reason: str | None = None,
    detail: str | None = None,
) -> LogEntry:
    counter = message.headers.get("fCntUp") if message else None
    return LogEntry(
        reference=reference_of(report.message_id),
        step=step,
        time=now,
        accepted_at=report.sent_at,
        dev_eui=None if report.group == NO_DEVICE else report.group,
        frame_counter=counter if isinstance(counter, int) else None,
        attempts=report.attempts,
        type=message.type if message else None,
        routing_key=message.routing_key if message else None,
        reason=reason,
        detail=detail,
    )
