"""Points in time as network servers write them."""

from datetime import datetime


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
