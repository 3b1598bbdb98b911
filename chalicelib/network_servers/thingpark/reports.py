"""Reports of the network server, and the AMQP messages that they become."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.models import AmqpConfiguration, Connection
from chalicelib.domain.routing_keys import routing_key
from chalicelib.errors import InvalidRequest, TooLarge, Violation
from chalicelib.kernel.durations import parse_duration
from chalicelib.kernel.strict_json import member_spans, parse_json
from chalicelib.kernel.times import parse_time
from chalicelib.ports.outside import OutgoingMessage

MAX_REPORT_SIZE = 256 * 1024
"""Bytes."""
UPLINK = "DevEUI_uplink"
DOWNLINK = "DevEUI_downlink"
NO_DEVICE = "-"
"""The group of reports without a DevEUI."""

_ROOT = re.compile(r"DevEUI_[A-Za-z0-9_]{1,64}|BS_alarm", re.ASCII)
_DEV_EUI = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)
_MAX_FRAME_COUNTER = 2**32 - 1
_MAX_PORT = 255
_MAX_CUSTOMER_ID = 255
"""Characters: an AMQP header frame has a limit, and a report must not be able to exceed it."""


@dataclass(frozen=True)
class Report:
    """A report as it was received. ``text`` is the whole document, ``fields`` the object inside its root."""

    root: str
    fields: dict[str, Any]
    text: str
    dev_eui: str | None
    """Upper case."""
    time: float | None
    """The body's Time in Unix seconds; None when there is none, or none with an offset."""

    @property
    def group(self) -> str:
        """What the order is kept of: the device."""
        return self.dev_eui or NO_DEVICE

    @property
    def f_port(self) -> int | None:
        return integer(self.fields.get("FPort"), _MAX_PORT)

    @property
    def f_cnt_up(self) -> int | None:
        return integer(self.fields.get("FCntUp"), _MAX_FRAME_COUNTER)

    @property
    def customer_id(self) -> str | None:
        value = self.fields.get("CustomerID")
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        text = str(value)
        return text if 0 < len(text) <= _MAX_CUSTOMER_ID and not _has_surrogate(text) else None


def parse_report(body: bytes) -> Report:
    """The report in ``body``, read strictly.

    Raises TooLarge, Malformed (no JSON), or InvalidRequest (JSON, but no report).
    """
    if len(body) > MAX_REPORT_SIZE:
        raise TooLarge(f"a report is at most {MAX_REPORT_SIZE} bytes; this one has {len(body)}")
    text, document = parse_json(body)
    return _report(text, document)


def _report(text: str, document: Any) -> Report:
    if not isinstance(document, dict):
        raise _invalid("", 'a report is an object with one root, such as {"DevEUI_uplink": {...}}')
    if len(document) != 1:
        raise _invalid("", f"a report has a single root, such as DevEUI_uplink; this one has {len(document)}")
    root, fields = next(iter(document.items()))
    pointer = "/" + root[:80].replace("~", "~0").replace("/", "~1")
    if root == DOWNLINK:
        raise _invalid(pointer, "a DevEUI_downlink is no report; publish it to the broker of a connection")
    if not _ROOT.fullmatch(root):
        raise _invalid(pointer, "the root is not that of a report; use DevEUI_uplink, another DevEUI_* or BS_alarm")
    if not isinstance(fields, dict):
        raise _invalid(pointer, "the root's value must be an object with the report's fields")
    return Report(
        root=root,
        fields=fields,
        text=text,
        dev_eui=_dev_eui(fields, pointer),
        time=parse_time(fields.get("Time")),
    )


def _dev_eui(fields: dict[str, Any], pointer: str) -> str | None:
    value = fields.get("DevEUI")
    if value is None:
        return None
    dev_eui = parse_dev_eui(value)
    if dev_eui is None:
        raise _invalid(f"{pointer}/DevEUI", "a DevEUI is a string of 16 hexadecimal digits")
    return dev_eui


def parse_dev_eui(value: object) -> str | None:
    """The DevEUI in upper case; None when ``value`` is not a string of 16 hexadecimal digits."""
    return value.upper() if isinstance(value, str) and _DEV_EUI.fullmatch(value) else None


def integer(value: object, maximum: int) -> int | None:
    """``value`` (a JSON number, or a string of digits) as an integer from 0 to ``maximum``, else None."""
    if isinstance(value, str):
        number = int(value) if _INTEGER.fullmatch(value) else -1
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else -1
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        number = -1
    return number if 0 <= number <= maximum else None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _invalid(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest([Violation(pointer, detail)])


def message_id(connection_id: str, report: Report) -> str:
    """The same for every repeat of the same report on the same connection, so that duplicates can be dropped.

    SHA-256 over connection, DevEUI, FCntUp, the body's Time and the body, each preceded by its length, so that no two
    different reports are written the same.
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


def amqp_headers(report: Report, connection_id: str) -> dict[str, str | int]:
    """The headers of a message; those that the report has no value for are absent."""
    headers: dict[str, str | int | None] = {
        "devEUI": report.dev_eui,
        "fPort": report.f_port,
        "fCntUp": report.f_cnt_up,
        "customerId": report.customer_id,
        "connectionId": connection_id,
    }
    return {name: value for name, value in headers.items() if value is not None}


def is_sent(report: Report, configuration: AmqpConfiguration) -> bool:
    """Whether reports of this kind are sent: with ``sendMetadata`` only uplinks are."""
    return not configuration.send_metadata or report.root == UPLINK


def expired(report: Report, configuration: AmqpConfiguration, now: float, accepted_at: float | None = None) -> bool:
    """Whether an uplink is older than ``uplinkTimeValidity``; ``now`` and ``accepted_at`` in Unix seconds.

    ``accepted_at`` stands in for the Time of an uplink that has none; without either, nothing expires.
    """
    if configuration.uplink_time_validity is None or report.root != UPLINK:
        return False
    time = report.time if report.time is not None else accepted_at
    return time is not None and now - time > parse_duration(configuration.uplink_time_validity)


def body_of(report: Report, configuration: AmqpConfiguration) -> str:
    """What is published: the report as received, unless ``sendMetadata`` or ``sendRawDecodedFormat`` cuts it."""
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
    """The message to publish. Raises routing's Unresolved or TooLong."""
    timestamp = int(report.time) if report.time is not None and report.time >= 0 else None
    return OutgoingMessage(
        key=key,
        group=report.group,
        routing_key=routing_key(connection.configuration.uplink_topic_pattern, report.fields),
        body=body_of(report, connection.configuration).encode("utf-8"),
        message_id=message_id,
        type=report.root,
        timestamp=timestamp,
        headers=amqp_headers(report, connection.id),
    )
