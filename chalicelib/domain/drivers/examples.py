"""Examples of a driver, in the format of the public device catalogue, and their comparison with its results.

An example has a ``type``, an ``input`` and the expected ``output``. Results are compared as JSON, with exceptions: a
date or a time of now is equal to any date, a placeholder such as ``XXXX-XX-XXTXX:XX:XX.XXXZ`` or ``SKIP_NUMBER`` to any
value of its kind, two writings of one moment to each other, and no list of errors or warnings to an empty one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.drivers.driver import Operation
from chalicelib.kernel.json_pointer import pointer
from chalicelib.kernel.times import parse_time

OPERATIONS = {
    "uplink": Operation.DECODE_UPLINK,
    "downlink": Operation.ENCODE_DOWNLINK,
    "downlink-encode": Operation.ENCODE_DOWNLINK,
    "downlink-decode": Operation.DECODE_DOWNLINK,
}
MAX_DIFFERENCES = 20
_NOW = 900
"""Seconds around the current time in which a moment counts as the current one."""
_DATE_PLACEHOLDER = re.compile(r"[X0-9]{4}-[X0-9]{2}-XX.*|XXXX-.*")
_NUMBER_PLACEHOLDER = "SKIP_NUMBER"
_LOCAL = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})[ ,]+(\d{1,2}):(\d{2})(?::(\d{2}))?")
_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """A place where a result differs from the expected one. ``missing`` and ``extra``: one of the values is absent."""

    pointer: str
    expected: Any
    actual: Any
    missing: bool = False
    extra: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the document of the API: without ``expected`` or ``actual`` where there is no such value."""
        document: dict[str, Any] = {"pointer": self.pointer}
        if not self.extra:
            document["expected"] = self.expected
        if not self.missing:
            document["actual"] = self.actual
        return document


def differences(expected: Any, actual: Any, now: float, operation: Operation) -> list[Difference]:
    """Return where a driver's result differs from the ``output`` of an example, at most MAX_DIFFERENCES places.

    ``now``: Unix seconds.
    """
    if operation is Operation.ENCODE_DOWNLINK:
        expected, actual = _with_plain_bytes(expected), _with_plain_bytes(actual)
    found: list[Difference] = []
    for difference in _compare((), _without_empty_lists(expected), _without_empty_lists(actual), now):
        found.append(difference)
        if len(found) == MAX_DIFFERENCES:
            break
    return found


def _without_empty_lists(value: Any) -> Any:
    """Return a result without ``errors`` and ``warnings`` that are empty, because no list means the same."""
    if not isinstance(value, dict):
        return value
    return {name: member for name, member in value.items() if name not in {"errors", "warnings"} or member != []}


def _with_plain_bytes(value: Any) -> Any:
    """Return an encoder's result with its bytes as upper-case hex, because examples write both forms."""
    if isinstance(value, list):
        value = {"bytes": value}
    if not isinstance(value, dict) or "bytes" not in value:
        return value
    given = value["bytes"]
    if isinstance(given, dict) and given.get("type") == "Buffer":
        given = given.get("data")
    if isinstance(given, list) and all(isinstance(each, int) and 0 <= each <= 255 for each in given):  # noqa: PLR2004
        given = bytes(given).hex()
    return value | {"bytes": given.upper() if isinstance(given, str) else given}


def _compare(place: tuple[str | int, ...], expected: Any, actual: Any, now: float) -> Iterator[Difference]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for name in [*expected, *(each for each in actual if each not in expected)]:
            one, other = expected.get(name, _ABSENT), actual.get(name, _ABSENT)
            where = (*place, name)
            if one is _ABSENT:
                yield Difference(pointer(where), None, other, extra=True)
            elif other is _ABSENT:
                yield Difference(pointer(where), one, None, missing=True)
            else:
                yield from _compare(where, one, other, now)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _compare((*place, index), one, other, now)
    elif not _equal(expected, actual, now):
        yield Difference(pointer(place), expected, actual)


def _equal(expected: Any, actual: Any, now: float) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if expected == actual:
        return True
    if expected == _NUMBER_PLACEHOLDER:
        return isinstance(actual, int | float)
    if isinstance(expected, str) and _DATE_PLACEHOLDER.fullmatch(expected):
        return isinstance(actual, str) and _moment(actual) is not None
    one, other = _moment(expected), _moment(actual)
    return one is not None and other is not None and (int(one) == int(other) or abs(other - now) < _NOW)


def _moment(value: Any) -> float | None:
    """Return the Unix seconds of a moment: an ISO 8601 time, a local one, or milliseconds or seconds of this age."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        # From 2001 to 2033; smaller numbers are measurements.
        if 1e12 <= value < 2e12:  # noqa: PLR2004
            return value / 1000
        return float(value) if 1e9 <= value < 2e9 else None  # noqa: PLR2004
    if not isinstance(value, str):
        return None
    local = _LOCAL.fullmatch(value)
    if local:
        day, month, year, hour, minute, second = (each or "0" for each in local.groups())
        value = f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute}:{second:0>2}Z"
    return parse_time(value) if "T" in value else None
