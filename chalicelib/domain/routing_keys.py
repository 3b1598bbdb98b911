"""Routing keys: topic patterns evaluated on reports."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from chalicelib.domain.amqp_limits import MAX_SHORT_STRING
from chalicelib.domain.topic_patterns import Literal, Path, Step, parse_pattern
from chalicelib.errors import PatternError, TooLong, Unresolved
from chalicelib.kernel.text import is_utf8

Lookup = Callable[[Mapping[str, Any]], Any]
"""A function that returns the first match in a report's fields, or None."""


@dataclass(frozen=True)
class Placeholder:
    """A compiled expression. ``fallback`` is its literal, or None if it has none."""

    text: str
    lookups: tuple[Lookup, ...]
    fallback: str | None

    def resolve(self, fields: Mapping[str, Any]) -> str:
        """Return the value of the first lookup that resolves, else the fallback. Raises Unresolved or TooLong.

        An empty text counts only if nothing else resolves: it would make an empty word of the routing key.
        """
        value: str | None = None
        for lookup in self.lookups:
            found = _text(lookup(fields))
            if found:
                return found
            value = found if value is None else value
        value = value if self.fallback is None else self.fallback
        if value is None:
            raise Unresolved(f"{{{self.text[:200]}}} has no text, number or boolean in this report")
        return value


@dataclass(frozen=True)
class Pattern:
    """A compiled topic pattern."""

    parts: tuple[str | Placeholder, ...]
    limited: Callable[[], AbstractContextManager[None]] | None
    """Returns a context manager that bounds the cost of the evaluations inside it; None for a pattern without JSONPath.
    """
    names: frozenset[str] | None = None
    """The fields that the pattern reads, if it reads only fields by their names; None for any other pattern."""

    def key(self, fields: Mapping[str, Any]) -> str:
        """Return the routing key for a report's fields. Raises Unresolved or TooLong."""
        if self.limited is None:
            key = self._joined(fields)
        else:
            with self.limited():
                key = self._joined(fields)
        if len(key if key.isascii() else key.encode("utf-8")) > MAX_SHORT_STRING:
            raise TooLong(f"the routing key has more than {MAX_SHORT_STRING} bytes: {key[:60]}...")
        return key

    def _joined(self, fields: Mapping[str, Any]) -> str:
        return "".join([part if isinstance(part, str) else part.resolve(fields) for part in self.parts])


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Compile a topic pattern. Raises PatternError with the position and the remedy."""
    if not is_utf8(text):
        raise PatternError("the pattern has a lone surrogate, which UTF-8 cannot express; remove it", 0)
    parts: list[str | Placeholder] = []
    names: set[Step | None] = set()
    limited: Callable[[], AbstractContextManager[None]] | None = None
    for part in parse_pattern(text):
        if isinstance(part, str):
            parts.append(part)
            continue
        paths = [alternative for alternative in part.alternatives if isinstance(alternative, Path)]
        names |= {path.steps[0] if path.steps and len(path.steps) == 1 else None for path in paths}
        literals = [alternative.text for alternative in part.alternatives if isinstance(alternative, Literal)]
        if any(path.steps is None for path in paths):
            limited = _json_path().limited
        parts.append(Placeholder(part.text, tuple(map(_lookup, paths)), literals[0] if literals else None))
    simple = frozenset(name for name in names if isinstance(name, str))
    return Pattern(tuple(parts), limited, simple if len(simple) == len(names) else None)


def _json_path() -> ModuleType:
    # Most patterns contain only names and need neither the JSONPath library nor RE2, which are slow to import.
    from chalicelib.kernel import json_path  # noqa: PLC0415

    return json_path


def routing_key(pattern: str, report_fields: Mapping[str, Any]) -> str:
    """Return the routing key that ``pattern`` gives for the fields inside a report's root.

    The first match of the first alternative that resolves counts; objects, arrays and null do not resolve, and an empty
    text only if no other alternative does. Raises Unresolved or TooLong, and PatternError for an invalid pattern.
    """
    return compile_pattern(pattern).key(report_fields)


def _lookup(path: Path) -> Lookup:
    if path.steps is None:
        lookup: Lookup = _json_path().compile_path(path.text, path.position)
        return lookup
    steps, upper = path.steps, path.is_dev_eui

    def walk(fields: Mapping[str, Any]) -> Any:
        value = _walk(fields, steps)
        # The connector writes the DevEUI in upper case everywhere, so routing keys do, too.
        return value.upper() if upper and isinstance(value, str) else value

    return walk


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
    """Return the text of a value in a routing key, or None for a value without one. Raises TooLong."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if len(value) > MAX_SHORT_STRING:
            raise TooLong(f"a value of {len(value)} characters makes the routing key longer than 255 bytes")
        return value if is_utf8(value) else None
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    return None
