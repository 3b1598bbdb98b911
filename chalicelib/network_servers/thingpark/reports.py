"""Reports of a ThingPark network server (LRC)."""

import json
import re
from typing import Any

from chalicelib.domain.report import Report
from chalicelib.errors import InvalidRequest, TooLarge, Violation
from chalicelib.kernel.json_pointer import pointer as json_pointer
from chalicelib.kernel.strict_json import parse_json
from chalicelib.kernel.text import is_utf8
from chalicelib.kernel.times import parse_time

MAX_REPORT_SIZE = 256 * 1024
"""The maximum size of a report, in bytes."""
UPLINK = "DevEUI_uplink"
DOWNLINK = "DevEUI_downlink"
FORMAT = "thingpark"
"""The name of this report format."""

_ROOT = re.compile(r"DevEUI_[A-Za-z0-9_]{1,64}|BS_alarm", re.ASCII)
_DEV_EUI = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)
_NUMBER = re.compile(r"^[0-9]+\s*:\s*", re.ASCII)
"""The number of an entry of ModelCfg, such as ``1:TemperatureService``."""
_MAX_FRAME_COUNTER = 2**32 - 1
_MAX_PORT = 255
_MAX_CUSTOMER_ID = 255
"""The maximum length of CustomerID in characters; it keeps the AMQP header frame below its limit."""
_SUMMARISED = ("DevEUI", "FPort", "FCntUp", "CustomerID", "Time")
"""The fields that headers, the expiry and most topic patterns read."""
_NAMES = frozenset(_SUMMARISED)
_decode = json.JSONDecoder().raw_decode
_MAX_SUMMARISED = 255
"""The maximum length of a text in a summary, in characters."""


def parse_report(body: bytes) -> Report:
    """Parse ``body`` strictly, as UTF-8 JSON with one root.

    Raises TooLarge, Malformed (not JSON), or InvalidRequest (JSON, but not a report).
    """
    if len(body) > MAX_REPORT_SIZE:
        raise TooLarge(f"the report has {len(body)} bytes; the maximum is {MAX_REPORT_SIZE}")
    text, document = parse_json(body)
    return _report(text, document)


def _report(text: str, document: Any) -> Report:
    if not isinstance(document, dict):
        raise _invalid("", 'a report must be an object with one root, such as {"DevEUI_uplink": {...}}')
    if len(document) != 1:
        raise _invalid("", f"the report has {len(document)} roots; send exactly one, such as DevEUI_uplink")
    root, fields = next(iter(document.items()))
    if root == DOWNLINK:
        raise _invalid(_pointer(root), "DevEUI_downlink is not a report; publish it to the broker of a connection")
    if root != UPLINK and not _ROOT.fullmatch(root):
        raise _invalid(
            _pointer(root), "the root does not name a report; use DevEUI_uplink, another DevEUI_* or BS_alarm"
        )
    if not isinstance(fields, dict):
        raise _invalid(_pointer(root), "the root's value must be an object with the report's fields")
    return Report(
        format=FORMAT,
        root=root,
        fields=fields,
        text=text,
        is_uplink=root == UPLINK,
        dev_eui=_dev_eui(fields, root),
        time=parse_time(fields.get("Time")),
        f_port=integer(fields.get("FPort"), _MAX_PORT),
        f_cnt_up=integer(fields.get("FCntUp"), _MAX_FRAME_COUNTER),
        customer_id=_customer_id(fields.get("CustomerID")),
        tags=_tags(fields),
    )


def _tags(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the strings in ``CustomerData.tags``, and the entries of ``ModelCfg`` without their numbers.

    A tag with a lone surrogate is left out, because no flow can name it."""
    data, models = fields.get("CustomerData"), fields.get("ModelCfg")
    if data is None and models is None:
        return ()
    given = data.get("tags") if isinstance(data, dict) else None
    tags = [tag for tag in given if isinstance(tag, str)] if isinstance(given, list) else []
    if isinstance(models, str):
        tags += [_NUMBER.sub("", entry.strip()) for entry in models.split(",")]
    return tuple(tag for tag in tags if tag and is_utf8(tag))


def summary_of(report: Report) -> str | None:
    """Return the report without its body as ASCII JSON: an array of its root, fields, DevEUI, time, port, counter and
    customer id. ``fields`` has those of ``_SUMMARISED``; null stands for a missing value.

    None for a report with an unusual value in such a field: its drain parses the whole body.
    """
    fields = {name: report.fields.get(name) for name in _SUMMARISED}
    if not all(map(_is_short, fields.values())):
        return None
    return json.dumps(
        [report.root, fields, report.dev_eui, report.time, report.f_port, report.f_cnt_up, report.customer_id]
    )


def _is_short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_SUMMARISED
    return value is None or (isinstance(value, int) and abs(value) <= _MAX_FRAME_COUNTER)


def parse_summary(summary: str, body: str) -> Report | None:
    """Return the report whose document is ``body``, with the fields of its summary only.

    None if the summary is not one of this release: another release's array has another length or other fields.
    """
    try:
        # json.loads would look for white space around it first.
        document, end = _decode(summary)
        root, fields, dev_eui, time, f_port, f_cnt_up, customer_id = document
    except (ValueError, TypeError):
        return None
    if end != len(summary) or not isinstance(fields, dict) or fields.keys() != _NAMES:
        return None
    return Report(FORMAT, root, fields, body, root == UPLINK, dev_eui, time, f_port, f_cnt_up, customer_id)


def _customer_id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if 0 < len(text) <= _MAX_CUSTOMER_ID and is_utf8(text) else None


def _dev_eui(fields: dict[str, Any], root: str) -> str | None:
    value = fields.get("DevEUI")
    if value is None:
        return None
    dev_eui = parse_dev_eui(value)
    if dev_eui is None:
        raise _invalid(f"{_pointer(root)}/DevEUI", "DevEUI must be a string of 16 hexadecimal digits")
    return dev_eui


def parse_dev_eui(value: object) -> str | None:
    """Return the DevEUI in upper case; None if ``value`` is not a string of 16 hexadecimal digits."""
    return value.upper() if isinstance(value, str) and _DEV_EUI.fullmatch(value) else None


def integer(value: object, maximum: int) -> int | None:
    """Return ``value`` (a JSON number or a string of digits) as an integer from 0 to ``maximum``, else None."""
    if type(value) is int:
        number = value
    elif isinstance(value, str):
        number = int(value) if _INTEGER.fullmatch(value) else -1
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else -1
    else:
        number = -1
    return number if 0 <= number <= maximum else None


def _pointer(root: str) -> str:
    return json_pointer([root[:80]])


def _invalid(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest([Violation(pointer, detail)])
