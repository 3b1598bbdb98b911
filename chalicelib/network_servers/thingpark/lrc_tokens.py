"""Tokens of the LRC: SHA-256 of the request and a key that application server and network server share.

Source: ThingPark's tunnel interface between the LRC and application servers.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Any

from chalicelib.domain.report import Report
from chalicelib.errors import Unauthorized
from chalicelib.kernel.times import parse_time
from chalicelib.network_servers.thingpark.reports import UPLINK, integer, parse_dev_eui

LRC_ORDER = ("LrnDevEui", "LrnFPort", "LrnInfos", "AS_ID", "Time")
_ORDERS = (LRC_ORDER, ("AS_ID", "LrnDevEui", "LrnFPort", "LrnInfos", "Time"))
_MAX_AHEAD = 60.0
"""The maximum lead of the network server's clock over ours, in seconds."""
_MAX_PORT = 255


def uplink_token_matches(query_items: Sequence[tuple[str, str]], report: Report, as_key: str, token: str) -> bool:
    """Return whether ``token`` is the LRC's token for this report.

    ``query_items`` is the URL-decoded query in the order received, with or without Token. API Gateway may reorder the
    query, so a token that matches one of the LRC's orders is accepted, too. LrnDevEui and LrnFPort must match the
    report.
    """
    items = [(name, _plus(value) if name == "Time" else value) for name, value in query_items if name != "Token"]
    names = [name for name, _ in items]
    if len(set(names)) != len(names) or not _same_device(dict(items), report):
        return False
    prefix = _body_elements(report)
    if prefix is None:
        return False
    candidate = token.strip().lower().encode("utf-8", "surrogatepass")
    matches = [
        hmac.compare_digest(_digest(prefix + _query(ordered) + as_key).encode(), candidate)
        for ordered in _orders(items)
    ]
    return any(matches)


def _orders(items: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    yield items
    for order in _ORDERS:
        # sorted() is stable, so unknown parameters stay at the end in the order received.
        yield sorted(items, key=lambda item: order.index(item[0]) if item[0] in order else len(order))


def downlink_token(query_items: Sequence[tuple[str, str]], as_key: str) -> str:
    """Return the token of a downlink request.

    ``query_items`` are the decoded parameters without Token, in the order sent.
    """
    return _digest(_query(query_items) + as_key)


def check_time(text: str, now: float, max_deviation: float) -> None:
    """Check that Time is at most ``max_deviation`` seconds old and at most a minute ahead.

    ``text`` is the URL-decoded parameter, ``now`` is in Unix seconds. Raises Unauthorized.
    """
    time = parse_time(_plus(text))
    if time is None:
        raise Unauthorized("Time is not an ISO 8601 time with an offset, such as 2026-01-31T12:00:00.000+01:00")
    if now - time > max_deviation:
        raise Unauthorized(f"Time is {now - time:.0f} s old; the maximum is {max_deviation:.0f} s. Check the clocks")
    if time - now > _MAX_AHEAD:
        raise Unauthorized(f"Time is {time - now:.0f} s ahead of this server; check the network server's clock")


def _plus(text: str) -> str:
    """Restore an unescaped ``+``, which URL decoding turns into a space; ISO 8601 times contain no spaces."""
    return text.replace(" ", "+")


def _query(items: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in items)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _same_device(query: dict[str, str], report: Report) -> bool:
    if report.dev_eui is not None:
        if parse_dev_eui(query.get("LrnDevEui")) != report.dev_eui:
            return False
    elif query.get("LrnDevEui"):
        return False
    port = query.get("LrnFPort")
    if port is None or port == "":
        # Reports that concern a device and not a frame have no LrnFPort.
        return report.f_port is None or report.root != UPLINK
    return integer(port, _MAX_PORT) == (report.f_port or 0)


def _body_elements(report: Report) -> str | None:
    """Return the body's elements that the token covers, concatenated as they are written in the body.

    The elements have no separators, so that several bodies have the same ones. Return None for elements that the LRC
    does not write, such as the port 07, which make more of them.
    """
    fields = report.fields
    elements = [("CustomerID", _written(fields.get("CustomerID"))), ("DevEUI", _written(fields.get("DevEUI")))]
    match report.root:
        case "DevEUI_uplink":
            elements.append(("FPort", _written(fields.get("FPort")) or "0"))
            elements += [(name, _written(fields.get(name))) for name in ("FCntUp", "payload_hex")]
        case "DevEUI_downlink_Sent":
            elements += [(name, _written(fields.get(name))) for name in ("FPort", "FCntDn")]
        case "DevEUI_location":
            elements = [(name, text.lower() if name == "DevEUI" else text) for name, text in elements]
    if all(_FORMS[name].fullmatch(text) for name, text in elements if text and name in _FORMS):
        return "".join(text for _, text in elements)
    return None


_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_FORMS = {
    "FPort": _NUMBER,
    "FCntUp": _NUMBER,
    "FCntDn": _NUMBER,
    "payload_hex": re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII),
}
"""How the LRC writes an element that is not empty. CustomerID ends where DevEUI begins, which the query repeats."""


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or isinstance(value, bool | dict | list) else str(value)
