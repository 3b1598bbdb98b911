"""Downlinks of ThingPark: validation of published documents, the LRC's request, and the report of a rejection."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.connectors.common import MASK
from chalicelib.domain.drivers.results import MAX_PAYLOAD, Encoded, EncodeFailed
from chalicelib.domain.topic_patterns import dev_eui_word
from chalicelib.errors import DownlinkInvalid, Malformed, TooLarge
from chalicelib.kernel.gzip_bodies import decoded, is_gzip
from chalicelib.kernel.strict_json import parse_json
from chalicelib.kernel.times import parse_time
from chalicelib.network_servers.thingpark.decoding import models_in
from chalicelib.network_servers.thingpark.reports import DOWNLINK, integer, parse_dev_eui
from chalicelib.vocabulary import FailureReason

MAX_DOWNLINK_SIZE = 64 * 1024
"""The maximum size of a published document, in bytes."""
MAX_VALIDITY = 31 * 86400
"""The longest relative ValidityTime, in seconds."""

_MAX_PORT = 224
_MAX_FRAME_COUNTER = 2**32 - 1
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)
_CORRELATION_ID = re.compile(r"[\w.:@-]{1,64}", re.ASCII)
_AS_ID = re.compile(r"[\w.@:-]{1,255}", re.ASCII)
_FLAGS = {"0": "0", "1": "1", "false": "0", "true": "1"}


Encode = Callable[[str, Any, int | None, Sequence[str]], Encoded]
"""An encoder of ``payload``: DevEUI, payload, FPort if given, and models → frame. Raises EncodeFailed, Unavailable."""


def no_encoder(_dev_eui: str, _payload: Any, _f_port: int | None, _models: Sequence[str]) -> Encoded:
    """Refuse every payload."""
    raise EncodeFailed(
        FailureReason.PAYLOAD_NOT_ENCODABLE,
        "payload requires an encoder, which is not available; send the frame as payload_hex",
    )


def parse_downlink(
    body: bytes, routing_key: str, pattern: str, configuration: AmqpConfiguration, encode: Encode = no_encoder
) -> dict[str, Any]:
    """Return the validated fields of a ``DevEUI_downlink``, named as in the document.

    - ``DevEUI`` (upper case), ``FPort`` (integer) and ``payload_hex`` are always present; absent fields stay absent.
    - ``Confirmed`` and ``FlushDownlinkQueue`` are ``"0"`` or ``"1"``.
    - ``ValidityTime`` is an ISO 8601 time or a string of seconds.
    - ``AS_ID`` is the body's or, by default, the configuration's.
    - ``AS_KEY`` is present only if the body or the configuration contains it in plain text. The caller removes it
      before the downlink is queued.

    ``pattern`` is the connection's downlinkTopicPattern; it locates the DevEUI in ``routing_key``. A DevEUI in both
    the body and the routing key must agree. ``encode`` makes ``payload_hex`` of ``payload``, and FPort if there is
    none. Raises DownlinkInvalid, and Unavailable from ``encode``.
    """
    dev_eui = parse_dev_eui(_dev_eui_of_key(pattern, routing_key))
    fields = _fields(body, dev_eui)
    given = {name: value for name, value in fields.items() if value is not None}
    dev_eui = _dev_eui(given, dev_eui)
    try:
        return {"DevEUI": dev_eui, **_validated(_with_frame(dev_eui, given, encode), configuration)}
    except _Refused as refused:
        raise DownlinkInvalid(refused.reason, str(refused), dev_eui, *_known(given, configuration)) from None


class _Refused(Exception):
    """A violation in a downlink; ``parse_downlink`` adds the fields that identify the downlink."""

    def __init__(self, detail: str, reason: FailureReason = FailureReason.INVALID) -> None:
        super().__init__(detail)
        self.reason = reason


def _known(given: Mapping[str, Any], configuration: AmqpConfiguration) -> tuple[int | None, str | None]:
    """Return FPort and CorrelationID of a refused downlink, so that its sender can identify it; None if invalid."""
    f_port = correlation_id = None
    with suppress(_Refused):
        f_port = _f_port(given.get("FPort", configuration.downlink_port))
    with suppress(_Refused):
        correlation_id = _correlation("CorrelationID", given.get("CorrelationID"))
    return f_port, correlation_id


def _dev_eui_of_key(pattern: str, routing_key: str) -> str | None:
    return dev_eui_word(pattern, routing_key) if pattern else None


def _fields(body: bytes, dev_eui: str | None) -> dict[str, Any]:
    if len(body) > MAX_DOWNLINK_SIZE:
        # The consumer does not keep the body of such a message, so its size is not known here.
        detail = f"the downlink has more than {MAX_DOWNLINK_SIZE} bytes; send a smaller one"
        raise DownlinkInvalid(FailureReason.INVALID, detail, dev_eui)
    try:
        # No JSON text begins like gzip, and not every publisher that compresses sets content_encoding.
        _, document = parse_json(decoded(body, MAX_DOWNLINK_SIZE) if is_gzip(body) else body)
    except TooLarge as error:
        raise DownlinkInvalid(FailureReason.INVALID, str(error), dev_eui) from None
    except Malformed as error:
        raise DownlinkInvalid(FailureReason.MALFORMED, error.detail, dev_eui) from None
    fields = document.get(DOWNLINK) if isinstance(document, dict) and len(document) == 1 else None
    if not isinstance(fields, dict):
        raise DownlinkInvalid(FailureReason.INVALID, 'a downlink must be an object {"DevEUI_downlink": {...}}', dev_eui)
    return fields


def _dev_eui(fields: Mapping[str, Any], from_key: str | None) -> str:
    if "DevEUI" not in fields:
        if from_key is None:
            raise DownlinkInvalid(
                FailureReason.INVALID, "DevEUI is missing from the body and from the routing key; add it to either"
            )
        return from_key
    dev_eui = parse_dev_eui(fields["DevEUI"])
    if dev_eui is None:
        raise DownlinkInvalid(FailureReason.INVALID, "DevEUI must be 16 hexadecimal digits", from_key)
    if from_key is not None and from_key != dev_eui:
        detail = f"the body names the device {dev_eui}, but the routing key names {from_key}; they must agree"
        raise DownlinkInvalid(FailureReason.INVALID, detail, dev_eui)
    return dev_eui


def _validated(given: Mapping[str, Any], configuration: AmqpConfiguration) -> dict[str, Any]:
    downlink: dict[str, Any] = {
        "payload_hex": _payload(given),
        "FPort": _f_port(given.get("FPort", configuration.downlink_port)),
    }
    for name, validate in _OPTIONAL.items():
        if name in given:
            downlink[name] = validate(name, given[name])
    if "AS_ID" not in downlink and configuration.downlink_as_id is not None:
        downlink["AS_ID"] = configuration.downlink_as_id
    # A masked key stays in Secrets Manager; the sender reads it there.
    if "AS_KEY" not in downlink and configuration.downlink_as_key not in (None, MASK):
        downlink["AS_KEY"] = configuration.downlink_as_key
    return downlink


def _with_frame(dev_eui: str, given: Mapping[str, Any], encode: Encode) -> Mapping[str, Any]:
    """Return the fields with ``payload_hex`` in place of ``payload``, and the encoder's FPort if they have none."""
    if "payload" not in given:
        return given
    if "payload_hex" in given:
        raise _Refused("send either payload_hex or payload, not both")
    if not isinstance(given["payload"], dict):
        raise _Refused("payload must be a JSON object, which the driver of the flow encodes")
    port = _f_port(given["FPort"]) if "FPort" in given else None
    try:
        frame = encode(dev_eui, given["payload"], port, models_in(given.get("DriverCfg")))
    except EncodeFailed as failure:
        raise _Refused(str(failure), failure.reason) from None
    rest = {name: value for name, value in given.items() if name != "payload"}
    default = {} if frame.f_port is None else {"FPort": frame.f_port}
    return default | rest | {"payload_hex": frame.payload_hex}


def _payload(given: Mapping[str, Any]) -> str:
    if "payload_hex" not in given:
        raise _Refused("payload_hex is missing; add the frame as hexadecimal digits")
    payload = given["payload_hex"]
    if not isinstance(payload, str) or not _HEXADECIMAL.fullmatch(payload):
        raise _Refused("payload_hex must be a string of hexadecimal digits, two for each byte")
    if len(payload) > 2 * MAX_PAYLOAD:
        raise _Refused(f"payload_hex has {len(payload) // 2} bytes; a frame has at most {MAX_PAYLOAD}")
    return payload


def _f_port(value: object) -> int:
    if value is None:
        raise _Refused("FPort is missing and the connection has no downlinkPort; set one of them")
    port = integer(value, _MAX_PORT)
    if port is None or port == 0:
        raise _Refused(f"FPort must be a number from 1 to {_MAX_PORT}")
    return port


def _flag(name: str, value: object) -> str:
    text = _FLAGS.get(str(value).lower()) if isinstance(value, str | int) else None
    if text is None:
        raise _Refused(f"{name} must be 0 or 1")
    return text


def _validity(name: str, value: object) -> str:
    if parse_time(value) is not None:
        return str(value)
    seconds = integer(value, MAX_VALIDITY)
    if seconds is None or seconds == 0:
        raise _Refused(f"{name} must be an ISO 8601 time with an offset, or seconds from 1 to {MAX_VALIDITY}")
    return str(seconds)


def _counter(name: str, value: object) -> int:
    counter = integer(value, _MAX_FRAME_COUNTER)
    if counter is None:
        raise _Refused(f"{name} must be a number from 0 to {_MAX_FRAME_COUNTER}")
    return counter


def _correlation(name: str, value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _CORRELATION_ID.fullmatch(text):
        raise _Refused(f"{name} must be 1 to 64 letters, digits or any of . : @ _ -")
    return text


def _as_id(name: str, value: object) -> str:
    if not isinstance(value, str) or not _AS_ID.fullmatch(value):
        raise _Refused(f"{name} must be 1 to 255 letters, digits or any of . : @ _ -")
    return value


def _as_key(name: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 255 or not value.isprintable():  # noqa: PLR2004
        raise _Refused(f"{name} must be 1 to 255 printable characters")
    return value


_OPTIONAL = {
    "Confirmed": _flag,
    "FlushDownlinkQueue": _flag,
    "ValidityTime": _validity,
    "FCntDn": _counter,
    "CorrelationID": _correlation,
    "AS_ID": _as_id,
    "AS_KEY": _as_key,
}


def valid_until(downlink: Mapping[str, Any], received_at: float) -> float | None:
    """Return the time in Unix seconds after which the downlink must not be sent; None if it has no ValidityTime.

    ``received_at`` is in Unix seconds. A relative ValidityTime counts from it.
    """
    validity = downlink.get("ValidityTime")
    if validity is None:
        return None
    time = parse_time(validity)
    return time if time is not None else received_at + float(validity)


def query_parameters(downlink: Mapping[str, Any], as_id: str, time_iso: str) -> list[tuple[str, str]]:
    """Return the LRC's parameters, decoded and without Token, in the order in which they are sent and hashed.

    ``downlink`` is a result of ``parse_downlink``. ``time_iso`` is the current time in ISO 8601 with an offset.
    """
    values: Sequence[tuple[str, object]] = (
        ("DevEUI", downlink["DevEUI"]),
        ("FPort", downlink["FPort"]),
        ("Payload", downlink["payload_hex"]),
        ("Confirmed", downlink.get("Confirmed")),
        ("FlushDownlinkQueue", downlink.get("FlushDownlinkQueue")),
        ("ValidityTime", downlink.get("ValidityTime")),
        ("FCntDn", downlink.get("FCntDn")),
        ("AS_ID", as_id),
        ("Time", time_iso),
        ("CorrelationID", downlink.get("CorrelationID")),
    )
    return [(name, str(value)) for name, value in values if value is not None]


def rejected_report(
    *,
    dev_eui: str,
    time_iso: str,
    cause: str,
    f_port: int | None = None,
    correlation_id: str | None = None,
    customer_id: str | None = None,
) -> bytes:
    """Return a ``DevEUI_downlink_Rejected`` document like that of the network server.

    ``cause`` is one sentence; it is cut to 300 characters.
    """
    fields = {
        "Time": time_iso,
        "DevEUI": dev_eui,
        "FPort": f_port,
        "DownlinkRejectionCause": " ".join(cause.split())[:300],
        "CorrelationID": correlation_id,
        "CustomerID": customer_id,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"DevEUI_downlink_Rejected": given}, ensure_ascii=True).encode("ascii")
