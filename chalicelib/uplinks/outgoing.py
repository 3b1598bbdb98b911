"""Conversion of reports to AMQP messages."""

import hashlib

from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.report import Report
from chalicelib.domain.routing_keys import compile_pattern, routing_key
from chalicelib.kernel.durations import parse_duration
from chalicelib.kernel.strict_json import member_spans
from chalicelib.network_servers.formats import format_named
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.ports.queues import ReceivedReport


def message_id(connection_id: str, report: Report) -> str:
    """Return the AMQP message id, identical for every repeat of a report on a connection, to detect duplicates.

    It is the hex SHA-256 of connection id, DevEUI, FCntUp, the body's Time and the body. Each is preceded by its
    length, so that different reports never hash the same bytes.
    """
    time = report.fields.get("Time")
    counter = report.f_cnt_up
    parts = (
        connection_id,
        report.dev_eui or "",
        "" if counter is None else str(counter),
        time if isinstance(time, str) else "",
        report.text,
    )
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def report_of(received: ReceivedReport, configuration: AmqpConfiguration) -> Report:
    """Return a received report, from its summary if the connection needs no other fields. Raises InvalidRequest.

    A report that an earlier release or a replay stored has no summary.
    """
    report_format = format_named(received.format)
    names = compile_pattern(configuration.uplink_topic_pattern).names
    if received.summary and names is not None and not configuration.send_raw_decoded_format:
        report = report_format.parse_summary(received.summary, received.body)
        if report is not None and names <= report.fields.keys():
            return report
    return report_format.parse(received.body.encode())


def amqp_headers(report: Report, connection_id: str) -> dict[str, str | int]:
    """Return the message's headers, without those that the report has no value for."""
    headers: dict[str, str | int] = {}
    if report.dev_eui is not None:
        headers["devEUI"] = report.dev_eui
    if report.f_port is not None:
        headers["fPort"] = report.f_port
    if report.f_cnt_up is not None:
        headers["fCntUp"] = report.f_cnt_up
    if report.customer_id is not None:
        headers["customerId"] = report.customer_id
    headers["connectionId"] = connection_id
    return headers


def is_sent(report: Report, configuration: AmqpConfiguration) -> bool:
    """Return whether the connection sends reports of this kind; with ``sendMetadata`` it sends only uplinks."""
    return not configuration.send_metadata or report.is_uplink


def expired(report: Report, validity: str | None, now: float, accepted_at: float | None = None) -> bool:
    """Return whether an uplink is older than ``validity``, the ``uplinkTimeValidity`` of its flow or connection.

    ``now`` and ``accepted_at``: Unix seconds. ``accepted_at`` replaces a missing Time; an uplink without both does
    not expire.
    """
    if validity is None or not report.is_uplink:
        return False
    time = report.time if report.time is not None else accepted_at
    return time is not None and now - time > parse_duration(validity)


def body_of(report: Report, configuration: AmqpConfiguration) -> str:
    """Return the body to publish: the received report, or the part that ``sendMetadata`` or
    ``sendRawDecodedFormat`` selects."""
    if not configuration.send_metadata and not configuration.send_raw_decoded_format:
        return report.text
    begin, end = member_spans(report.text)[report.root]
    if configuration.send_metadata:
        return report.text[begin:end]
    if report.fields.get("payload") is None:
        return report.text
    begin, end = member_spans(report.text, begin)["payload"]
    return report.text[begin:end]


def outgoing(report: Report, connection: Connection, key: str, message_id: str) -> OutgoingMessage:
    """Return the message to publish. Raises NotRoutable."""
    timestamp = int(report.time) if report.time is not None and report.time >= 0 else None
    return OutgoingMessage(
        key=key,
        group=report.group,
        routing_key=routing_key(connection.configuration.uplink_topic_pattern, report.fields),
        body=body_of(report, connection.configuration).encode("utf-8"),
        message_id=message_id,
        type=report.root,
        uplink=report.is_uplink,
        timestamp=timestamp,
        headers=amqp_headers(report, connection.id),
    )
