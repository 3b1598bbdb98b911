"""Validation of a connection's alarms: times, time zones and days."""

from collections.abc import Callable, Collection
from datetime import datetime, time
from zoneinfo import ZoneInfo

from chalicelib.domain.validation.violations import Values, text_violations, well_formed
from chalicelib.errors import Violation

MAX_ALARMS = 20
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def alarm_violations(value: object, wrong_places: Collection[str]) -> list[Violation]:
    """Return the violations of a request's alarms beyond their structure.

    ``wrong_places``: pointers with structural violations.
    """
    if not isinstance(value, list):
        return []
    if len(value) > MAX_ALARMS:
        return [Violation("/alarms", f"A connection has at most {MAX_ALARMS} alarms; remove some.")]
    violations: list[Violation] = []
    for position, member in enumerate(value):
        place = f"/alarms/{position}"
        violations += _alarm(well_formed(member, place, wrong_places), place)
    return violations


def _alarm(alarm: Values, place: str) -> list[Violation]:
    violations = text_violations(alarm.get("message"), f"{place}/message", shown=True)
    checks: tuple[tuple[str, Callable[[str], object], str], ...] = (
        ("startTime", parse_moment, "This must be an ISO 8601 time, such as 2026-01-31T08:00:00+01:00."),
        ("endTime", parse_moment, "This must be an ISO 8601 time, such as 2026-01-31T18:00:00+01:00."),
        ("timezone", time_zone, "This is not a time zone of the IANA database; write one such as Europe/Paris."),
    )
    for name, parse, sentence in checks:
        text = alarm.get(name)
        if isinstance(text, str) and parse(text) is None:
            violations.append(Violation(f"{place}/{name}", sentence))
    recurrence = alarm.get("recurrence")
    for position, member in enumerate(recurrence if isinstance(recurrence, list) else []):
        days = member.get("byDays") if isinstance(member, dict) else None
        if isinstance(days, list) and not all(isinstance(day, str) and is_day(day) for day in days):
            detail = "Write days as monday to sunday, or as their first two or three letters."
            violations.append(Violation(f"{place}/recurrence/{position}/byDays", detail))
    return violations


def is_day(text: str) -> bool:
    """Return whether ``text`` names a day of the week."""
    return day_number(text) is not None


def day_number(text: str) -> int | None:
    """Return the number of a day, 0 for Monday; None if ``text`` names no day.

    Accepts the full English name or its first two or three letters, in any case.
    """
    day = text.lower()
    names = [name for name in _DAYS if name == day or (len(day) in (2, 3) and name.startswith(day))]
    return _DAYS.index(names[0]) if names else None


def parse_moment(text: str) -> datetime | time | None:
    """Parse an ISO 8601 date with time, or a time of day. Return None for any other text."""
    for parse in (datetime.fromisoformat, time.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    return None


def time_zone(text: str) -> ZoneInfo | None:
    """Return the time zone of the IANA database with this name, None if there is none."""
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        return None
