"""Configuration types that all connectors share."""

from enum import StrEnum

from chalicelib.kernel.durations import parse_duration

MASK = "*****"
"""Placeholder of a stored secret in answers and requests."""


class ReconnectStrategy(StrEnum):
    """The schedule of reconnect attempts during an outage; ``domain.breaker`` defines the intervals."""

    CALM = "CALM"
    NORMAL = "NORMAL"
    AGGRESSIVE = "AGGRESSIVE"


def duration(value: str) -> str:
    """Return ``value`` if it is a duration such as ``5m``. Raises ValueError."""
    parse_duration(value)
    return value
