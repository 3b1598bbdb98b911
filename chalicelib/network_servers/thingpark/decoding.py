"""Decoding of ThingPark's uplinks: what a driver receives, and how its result becomes a member of the report."""

import json
import re
from collections.abc import Iterator
from typing import Any

from chalicelib.domain.report import Report, UplinkPayload
from chalicelib.kernel.strict_json import member_spans, parse_json

NOT_DECODED = "com-5002"
"""The code of a payload that a driver could not decode."""
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)
_PARTS = ("pId", "mId", "ver")


def payload_of(report: Report) -> UplinkPayload | None:
    """Return the application data of a ``DevEUI_uplink``.

    None for another report, a join request or other report without ``payload_hex``, and FPort 0, which carries
    commands of LoRaWAN.
    """
    data = report.fields.get("payload_hex")
    if not report.is_uplink or not report.f_port or not isinstance(data, str) or not _HEX.fullmatch(data):
        return None
    time, configuration = report.fields.get("Time"), report.fields.get("DriverCfg")
    return UplinkPayload(
        bytes=data,
        f_port=report.f_port,
        time=time if isinstance(time, str) else None,
        thing=_thing(report, configuration),
        models=models_in(configuration),
    )


def models_in(configuration: object) -> tuple[str, ...]:
    """Return the names in a ``DriverCfg``, the most specific first, as ``UplinkPayload.models``."""
    return tuple(_models(configuration))


def _models(configuration: object) -> Iterator[str]:
    """Yield the names in ``DriverCfg``: those of the driver, of the application and of the model."""
    if not isinstance(configuration, dict):
        return
    if isinstance(configuration.get("id"), str):
        yield configuration["id"]
    for part in ("app", "mod"):
        if parts := _parts(configuration.get(part)):
            yield ":".join(parts)


def _parts(given: object) -> list[str]:
    if not isinstance(given, dict) or any(not isinstance(given.get(name), str | int) for name in _PARTS):
        return []
    return [str(given[name]) for name in _PARTS]


def _thing(report: Report, configuration: object) -> dict[str, Any]:
    thing: dict[str, Any] = {"key": f"lora:{(report.dev_eui or '').lower()}", "tags": list(report.tags)}
    for name, part in (("application", "app"), ("model", "mod")):
        parts = _parts(configuration.get(part)) if isinstance(configuration, dict) else []
        if parts:
            thing[name] = dict(zip(("producerId", "moduleId", "version"), parts, strict=True))
    return thing


def decoded_report(report: Report, data: str) -> Report:
    """Return the report with ``payload``. Raises Malformed if ``data`` is no strict JSON."""
    text, value = parse_json(data.encode("utf-8"))
    return _with(report, "payload", text, value)


def undecoded_report(report: Report, message: str) -> Report:
    """Return the report with ``payloadDecodedError``."""
    value = {"code": NOT_DECODED, "message": message}
    return _with(report, "payloadDecodedError", json.dumps(value), value)


def _with(report: Report, name: str, text: str, value: Any) -> Report:
    """Return the report with one more member in its root, or another value of it. The other bytes stay."""
    whole = report.text
    root, end = member_spans(whole)[report.root]
    if name in report.fields:
        begin, end = member_spans(whole, root)[name]
        changed = f"{whole[:begin]}{text}{whole[end:]}"
    else:
        comma = "," if report.fields else ""
        changed = f"{whole[: end - 1]}{comma}{json.dumps(name)}:{text}{whole[end - 1 :]}"
    return report._replace(text=changed, fields=report.fields | {name: value})
