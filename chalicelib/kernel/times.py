"""Points in time in the formats of network servers."""

import re
from datetime import UTC, datetime

_EXTENDED = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d{2}(?::?\d{2})?)", re.ASCII
)
"""The extended format. datetime.fromisoformat accepts any character between date and time."""


def parse_time(text: object) -> float | None:
    """Return the Unix seconds of an ISO 8601 date and time with an offset; None for any other text.

    A time without an offset is ambiguous.
    """
    if not isinstance(text, str) or not _EXTENDED.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def iso(moment: datetime) -> str:
    """Return ``moment`` in UTC with milliseconds, such as ``2026-11-23T09:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_time(seconds: float) -> str:
    """Return Unix seconds in the format of ``iso``."""
    return iso(datetime.fromtimestamp(seconds, UTC))
