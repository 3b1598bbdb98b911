"""Strict JSON (RFC 8259), without the extensions of Python's parser."""

import codecs
import json
import math
import sys
from typing import Any, NoReturn

from chalicelib.errors import Malformed
from chalicelib.kernel.gzip_bodies import is_gzip

MAX_DEPTH = 64
"""Maximum depth of nested objects and arrays."""
_MAX_DIGITS = 400
"""Longer integers exceed every float, and Python refuses to parse more than 4300 digits."""


def parse_json(body: bytes) -> tuple[str, Any]:
    """Return the text of ``body`` and its value. Numbers too large for a float become the largest float.

    Raises Malformed if ``body`` is not UTF-8 or not JSON. NaN, Infinity, a repeated key of an object and a nesting
    deeper than MAX_DEPTH are errors, too.
    """
    _check_start(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8 (byte {error.start}); send it as UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"the body is not JSON: {error.msg[:100]} ({where})") from None
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    # Counting brackets is fast and spares most documents the slow measurement of the depth.
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Malformed(_TOO_DEEP)
    return text, value


_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def _check_start(body: bytes) -> None:
    """Refuse a byte order mark, which JSON must not begin with (RFC 8259, 8.1), and a compressed body."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if body.startswith(mark):
            raise Malformed(f"the body begins with a byte order mark of {encoding}; send it as UTF-8 without one")
    if is_gzip(body):
        raise Malformed("the body is compressed with gzip, but Content-Encoding does not say so; add the header")


_TOO_DEEP = f"the document is nested deeper than {MAX_DEPTH} levels; flatten it"


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Malformed(f"the key {name[:60]!r} occurs twice in one object; send it once")
    return members


def _constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON; send a number, a string or null")


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else math.copysign(sys.float_info.max, value)


def _int(text: str) -> int | float:
    return int(text) if len(text) < _MAX_DIGITS else _float(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant, strict=True
)


def member_spans(text: str, start: int = 0) -> dict[str, tuple[int, int]]:
    """Return the spans in ``text`` of the values of the members of the object at ``start``.

    The text must be valid JSON with an object there. Cutting keeps numbers as they were written: 1.10 stays 1.10.
    """
    spans: dict[str, tuple[int, int]] = {}
    at = _skip(text, _skip(text, start) + 1)
    while text[at] != "}":
        name, at = json.decoder.scanstring(text, at + 1, True)  # type: ignore[attr-defined]
        begin = _skip(text, _skip(text, at) + 1)
        _, end = _PLAIN.raw_decode(text, begin)
        spans[name] = (begin, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


def element_spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of the elements of the array in ``text``, which must be valid JSON."""
    spans: list[tuple[int, int]] = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "]":
        _, end = _PLAIN.raw_decode(text, at)
        spans.append((at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


# The callers need only the end of each value, so numbers stay text.
_PLAIN = json.JSONDecoder(parse_float=str, parse_int=str)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
