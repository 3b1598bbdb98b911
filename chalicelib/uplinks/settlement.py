"""Settlement of single reports: their AMQP message, or their failure and its event."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.domain.event import Level
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.report import NO_DEVICE, Report
from chalicelib.errors import BrokerFault, InvalidRequest, NotFound, NotRoutable, Unavailable
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring, log
from chalicelib.monitoring.metrics import metrics
from chalicelib.monitoring.request_ids import current_ids
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.decoding.decoder import Decoded
from chalicelib.uplinks.lanes import OutOfTime, TooSlow
from chalicelib.uplinks.outgoing import expired, is_sent, outgoing, report_of
from chalicelib.uplinks.socket_slots import NoSlot
from chalicelib.vocabulary import EventType, FailureReason, Metric, RetryReason

ALONE_FROM = 10
"""Receive count from which a report is published alone, because it may crash the function."""

_EXPECTED = (BrokerFault, NotFound, Unavailable, TooSlow, NoSlot, OutOfTime)
"""Exceptions that end a drain, and that are no fault of a report or of this program."""


def prepare_all(
    reports: Sequence[ReceivedReport], connection: Connection, now: float, decoded: Decoded
) -> tuple[list[OutgoingMessage], dict[str, Outcome]]:
    """Return the messages to publish, and by receipt the outcomes of the reports that need or allow no publish."""
    outcomes = {receipt: Outcome(Result.RETRY, RetryReason.HELD_BACK) for receipt in decoded.waiting}
    messages: list[OutgoingMessage] = []
    for report in reports:
        if report.receipt in outcomes:
            continue
        prepared = prepare(report, connection, now, decoded.reports.get(report.receipt))
        if isinstance(prepared, Outcome):
            outcomes[report.receipt] = prepared
        else:
            messages.append(prepared)
    return messages, outcomes


def prepare(
    report: ReceivedReport, connection: Connection, now: float, decoded: Report | None = None
) -> OutgoingMessage | Outcome:
    """Return the message to publish for a report, or the outcome of a report that needs no publish.

    ``decoded``: the report with its payload, if a driver decoded it.
    """
    try:
        return _prepare(report, connection, now, decoded)
    except Exception:  # noqa: BLE001  # one report must not hold back the others; it is kept as failed
        log.exception("report not handled", extra={"connection": connection.id, "messageId": report.message_id})
        return Outcome(Result.FAILED, FailureReason.NOT_HANDLED, FailureReason.NOT_HANDLED.sentence)


def _prepare(
    report: ReceivedReport, connection: Connection, now: float, decoded: Report | None
) -> OutgoingMessage | Outcome:
    try:
        parsed = decoded or report_of(report, connection.configuration)
    except InvalidRequest as error:
        # Another version of this program accepted the report. It must not block the later reports of its device.
        return Outcome(Result.FAILED, FailureReason.INVALID, str(error))
    if expired(parsed, report.validity or connection.configuration.uplink_time_validity, now, report.sent_at):
        return Outcome(Result.FAILED, FailureReason.EXPIRED)
    if not is_sent(parsed, connection.configuration):
        return DELIVERED
    try:
        return outgoing(parsed, connection, report.receipt, report.message_id)
    except NotRoutable as error:
        return Outcome(Result.FAILED, error.reason, str(error))


def suspects(reports: Sequence[ReceivedReport], random: float) -> list[list[ReceivedReport]]:
    """Return the reports of each device that has a repeatedly received report, which may crash the function.

    ``random`` (0 to 1) rotates the devices: with a fixed order, a report that crashes the function would block all
    devices behind it.
    """
    groups: dict[str, list[ReceivedReport]] = {}
    for report in reports:
        if report.group in groups or report.attempts >= ALONE_FROM:
            groups.setdefault(report.group, []).append(report)
    first = int(random * len(groups))
    return [*groups.values()][first:] + [*groups.values()][:first]


def is_stuck(report: ReceivedReport) -> bool:
    """Return whether a report is tried alone for the first time, or after ten more attempts."""
    return report.attempts % ALONE_FROM == 0


@contextmanager
def watched(reports: Sequence[ReceivedReport], now: float) -> Iterator[None]:
    """Count the attempts of stuck reports, and those that end with a result or an expected exception.

    The difference shows the operator a report that ends the function. A broker that goes on refusing or keeping
    silent is its owner's matter. Both counts have the time ``now``.
    """
    stuck = sum(map(is_stuck, reports))
    if not stuck:
        yield
        return
    request_id = current_ids().get("requestId")
    metrics.write_now({Metric.UPLINKS_STUCK: stuck, Metric.UPLINKS_RETURNED: 0}, now, request_id)
    try:
        yield
    except _EXPECTED:
        metrics.write_now({Metric.UPLINKS_RETURNED: stuck}, now, request_id)
        raise
    metrics.write_now({Metric.UPLINKS_RETURNED: stuck}, now, request_id)


def failed_and_lost(
    reports: Sequence[ReceivedReport], outcomes: Mapping[str, Outcome], routing_keys: Mapping[str, str], now: float
) -> tuple[list[FailedMessage], list[ReceivedReport]]:
    """Split failed reports into failed messages to store and expired reports, which are only counted."""
    lost = [report for report in reports if outcomes[report.receipt].reason is FailureReason.EXPIRED]
    failed = [
        _failed_message(now, report, outcomes[report.receipt], routing_keys.get(report.receipt))
        for report in reports
        if outcomes[report.receipt].reason is not FailureReason.EXPIRED
    ]
    return failed, lost


def _failed_message(now: float, report: ReceivedReport, outcome: Outcome, routing_key: str | None) -> FailedMessage:
    return FailedMessage(
        id=new_id(now),
        time=iso_time(now),
        direction=Direction.UPLINK,
        reason=outcome.failure,
        detail=outcome.detail,
        dev_eui=None if report.group == NO_DEVICE else report.group,
        routing_key=routing_key,
        attempts=report.attempts,
        body=report.body,
        report_format=report.format,
        message_id=report.message_id,
        driver=report.driver,
        validity=report.validity,
    )


def report_failed(monitoring: Monitoring, connection: Connection, failed: Sequence[FailedMessage]) -> None:
    """Report the messages of each failure reason, with the first one as the example of its minute."""
    for reason, number in Counter(document.reason for document in failed).items():
        example = next(document for document in failed if document.reason == reason)
        monitoring.occurrences(
            connection,
            reason.uplink_event,
            number,
            f"Uplinks failed permanently and are stored as failed messages, this one first: {example.detail}",
            {"devEUI": example.dev_eui},
        )


def report_lost(monitoring: Monitoring, connection: Connection, lost: Sequence[ReceivedReport]) -> None:
    """Report expired uplinks. ``lost`` must not be empty."""
    validity = lost[0].validity or connection.configuration.uplink_time_validity
    monitoring.occurrences(
        connection,
        EventType.UPLINK_EXPIRED,
        len(lost),
        f"Uplinks were older than uplinkTimeValidity ({validity}) and were discarded.",
        {"devEUI": lost[0].group},
    )


def report_stuck(monitoring: Monitoring, connection: Connection, stuck: Sequence[ReceivedReport]) -> None:
    """Report uplinks that were received repeatedly and never settled. ``stuck`` must not be empty."""
    attempts = max(report.attempts for report in stuck)
    monitoring.event(
        connection,
        Level.ERROR,
        EventType.UPLINK_STUCK,
        f"{len(stuck)} uplink(s) were tried {attempts} times without a result. The uplinks of their devices are sent "
        "one by one and are kept until the broker confirms them.",
        {"count": len(stuck), "devEUI": stuck[0].group, "attempts": attempts},
    )
