"""Parts of a configuration that every connector shares."""

from enum import StrEnum

from chalicelib.kernel.durations import parse_duration

MASK = "*****"
"""Stands for a stored secret."""


class ReconnectStrategy(StrEnum):
    """Schedules by which a broken connection is tried again; ``domain.breaker`` has their times."""

    CALM = "CALM"
    NORMAL = "NORMAL"
    AGGRESSIVE = "AGGRESSIVE"


def duration(value: str) -> str:
    """Validate a duration such as ``5m``."""
    parse_duration(value)
    return value
