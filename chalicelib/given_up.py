"""Uplinks that failed for good: kept with the reason, counted, told as events."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ulid import ULID

from chalicelib.delivery import Outcome
from chalicelib.messages import NO_DEVICE
from chalicelib.models import Connection, Direction, FailedMessage, Level, iso_time
from chalicelib.monitoring import Monitoring
from chalicelib.ports import Clock, FailedMessages, ReceivedReport

EXPIRED = "EXPIRED"
"""The reason of a report older than uplinkTimeValidity: counted as lost, and not kept."""


def keep_given_up(
    connection: Connection,
    reports: Sequence[ReceivedReport],
    outcomes: Mapping[str, Outcome],
    routing_keys: Mapping[str, str],
    failed_messages: FailedMessages,
    monitoring: Monitoring,
    clock: Clock,
) -> Counter[str]:
    """Keeps the reports, whose outcomes are failures, and returns what the statistics count of them. Only then may
    they be deleted. Raises Unavailable."""
    lost = [report for report in reports if outcomes[report.receipt].reason == EXPIRED]
    failed = [report for report in reports if outcomes[report.receipt].reason != EXPIRED]
    if failed:
        documents = [
            FailedMessage(
                id=str(ULID()),
                time=iso_time(clock()),
                direction=Direction.UPLINK,
                reason=outcomes[report.receipt].reason,
                detail=outcomes[report.receipt].detail,
                dev_eui=None if report.group == NO_DEVICE else report.group,
                routing_key=routing_keys.get(report.receipt),
                attempts=report.attempts,
                body=report.body,
                message_id=report.message_id,
            )
            for report in failed
        ]
        failed_messages.add(connection.tenant, connection.id, documents)
        for reason, number in Counter(document.reason for document in documents).items():
            example = next(document for document in documents if document.reason == reason)
            monitoring.event(
                connection,
                Level.WARNING,
                reason,
                f"{number} uplink(s) failed for good and are kept as failed messages: {example.detail}",
                {"count": number, "devEUI": example.dev_eui},
            )
    if lost:
        validity = connection.configuration.uplink_time_validity
        monitoring.event(
            connection,
            Level.WARNING,
            "UPLINK_EXPIRED",
            f"{len(lost)} uplink(s) were older than uplinkTimeValidity ({validity}) and were not sent",
            {"count": len(lost), "devEUI": lost[0].group},
        )
    return Counter(uplinksFailed=len(failed), uplinksLost=len(lost))
