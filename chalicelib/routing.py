"""Routing keys: topic patterns evaluated on reports."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chalicelib.errors import PatternError, TooLong, Unresolved
from chalicelib.patterns import Literal, Path, Step, parse_pattern

MAX_ROUTING_KEY = 255
"""Bytes of UTF-8: AMQP's short string."""

Lookup = Callable[[Mapping[str, Any]], Any]
"""Finds the first match in a report's fields; None when there is none."""


@dataclass(frozen=True)
class Placeholder:
    """An expression, ready to be evaluated. ``fallback``: its literal, if it has one."""

    text: str
    lookups: tuple[Lookup, ...]
    fallback: str | None

    def resolve(self, fields: Mapping[str, Any]) -> str:
        for lookup in self.lookups:
            value = _text(lookup(fields))
            if value is not None:
                return value
        if self.fallback is None:
            raise Unresolved(f"{{{self.text[:200]}}} resolves to no text, number or boolean in this report")
        return self.fallback


@dataclass(frozen=True)
class Pattern:
    """A compiled topic pattern."""

    parts: tuple[str | Placeholder, ...]

    def key(self, fields: Mapping[str, Any]) -> str:
        """The routing key for a report's fields. Raises Unresolved or TooLong."""
        key = "".join(part if isinstance(part, str) else part.resolve(fields) for part in self.parts)
        if len(key.encode("utf-8")) > MAX_ROUTING_KEY:
            raise TooLong(f"the routing key has more than {MAX_ROUTING_KEY} bytes: {key[:60]}...")
        return key


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """The pattern, ready for use. Raises PatternError with the place and the remedy."""
    parts: list[str | Placeholder] = []
    for part in parse_pattern(text):
        if isinstance(part, str):
            if _text(part) is None:
                raise PatternError("the pattern has a lone surrogate, which UTF-8 cannot express; remove it", 0)
            parts.append(part)
            continue
        paths = [alternative for alternative in part.alternatives if isinstance(alternative, Path)]
        literals = [alternative.text for alternative in part.alternatives if isinstance(alternative, Literal)]
        parts.append(Placeholder(part.text, tuple(map(_lookup, paths)), literals[0] if literals else None))
    return Pattern(tuple(parts))


def routing_key(pattern: str, report_fields: Mapping[str, Any]) -> str:
    """The routing key that ``pattern`` gives for the fields inside a report's root.

    The first match of the first alternative that resolves counts; objects, arrays and null do not resolve. Raises
    Unresolved or TooLong, and PatternError for what should not have been saved.
    """
    return compile_pattern(pattern).key(report_fields)


def _lookup(path: Path) -> Lookup:
    if path.steps is None:
        # Most patterns are names; they need neither the JSONPath library nor RE2, which take long to import.
        from chalicelib.json_path import compile_path  # noqa: PLC0415

        return compile_path(path.text, path.position)
    steps, upper = path.steps, path.is_dev_eui

    def lookup(fields: Mapping[str, Any]) -> Any:
        value = _walk(fields, steps)
        # The device is written in upper case everywhere.
        return value.upper() if upper and isinstance(value, str) else value

    return lookup


def _walk(value: Any, steps: tuple[Step, ...]) -> Any:
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        elif isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def _text(value: Any) -> str | None:
    """A value as it stands in a routing key; None for what cannot stand there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if not any("\ud800" <= character <= "\udfff" for character in value) else None
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    return None
