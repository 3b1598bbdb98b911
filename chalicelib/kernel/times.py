"""Points in time as network servers write them."""

from datetime import UTC, datetime


def parse_time(text: object) -> float | None:
    """Unix seconds of an ISO 8601 date and time *with* an offset; None for anything else.

    A time without an offset is None: nobody can say which hour it means.
    """
    if not isinstance(text, str) or not 16 <= len(text) <= 40:  # noqa: PLR2004  # 2026-01-01T00:00Z is the shortest
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def iso(moment: datetime) -> str:
    """UTC with milliseconds, such as ``2026-11-23T09:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_time(seconds: float) -> str:
    """The same of Unix seconds."""
    return iso(datetime.fromtimestamp(seconds, UTC))
