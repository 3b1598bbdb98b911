"""Time windows of alarms, computed in the alarm's time zone. An alarm checks the uplink rate only within them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from chalicelib.domain.connection import Alarm
from chalicelib.domain.validation.alarms import day_number, parse_moment

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """A half-open interval [``start``, ``end``) in Unix seconds."""

    start: float
    end: float


def window_at(alarm: Alarm, now: float) -> Window | None:
    """Return the window that contains ``now`` (Unix seconds), or None.

    - Two dates with times and no recurrence form a single window.
    - A recurrence, or times of day only, form a window on each matching day, from the start's time of day to the
      end's. The window extends past midnight if the end's time of day is not later.
    - The start's date limits the first window. The end's date limits the last one if it is more than a day later.
    - A weekly recurrence without days uses the weekday of the start's date.
    - A local time that a clock change skips stands for the moment after the change. If a local time occurs twice,
      a window starts at the first occurrence and ends at the second.
    """
    try:
        return next((window for window in _windows(alarm, now) if window.start <= now < window.end), None)
    except (OverflowError, ValueError):
        # A date at the limits of the calendar cannot be converted to another zone.
        return None


def _windows(alarm: Alarm, now: float) -> Iterator[Window]:
    start, end = parse_moment(alarm.start_time), parse_moment(alarm.end_time)
    if start is None or end is None:
        return
    zone: tzinfo = ZoneInfo(alarm.timezone)
    if isinstance(start, datetime) and isinstance(end, datetime) and not alarm.recurrence:
        yield Window(_local(start, zone, 0).timestamp(), _end(_local(end, zone, 1)))
        return
    first = _local(start, zone, 0) if isinstance(start, datetime) else None
    last = _local(end, zone, 1) if isinstance(end, datetime) else None
    if first is not None and last is not None and last - first <= _DAY:
        last = None
    opens, zone = _time_of_day(start, zone)
    closes, closing_zone = _time_of_day(end, zone)
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    for day in (today - _DAY, today):
        if not _is_on(alarm, day, first):
            continue
        begin = datetime.combine(day, opens, zone)
        finish = datetime.combine(day if closes > opens else day + _DAY, closes, closing_zone)
        if (first is None or begin >= first) and (last is None or begin < last):
            yield Window(begin.timestamp(), _end(finish))


def _end(moment: datetime) -> float:
    """Return the Unix seconds of a window's end. A repeated time has two, and a skipped one stands before and after."""
    return max(moment.replace(fold=fold).timestamp() for fold in (0, 1))


def _local(moment: datetime, zone: tzinfo, fold: int) -> datetime:
    """Return ``moment`` in ``zone``; a moment without an offset is local time there."""
    if moment.tzinfo is not None:
        return moment.astimezone(zone)
    return moment.replace(tzinfo=zone, fold=fold)


def _time_of_day(moment: datetime | time, zone: tzinfo) -> tuple[time, tzinfo]:
    if isinstance(moment, datetime):
        return _local(moment, zone, 0).time(), zone
    return moment.replace(tzinfo=None), moment.tzinfo or zone


def _is_on(alarm: Alarm, day: date, first: datetime | None) -> bool:
    if not alarm.recurrence:
        return True
    for recurrence in alarm.recurrence:
        days = {day_number(name) for name in recurrence.by_days}
        if not days and recurrence.frequency == "weekly" and first is not None:
            days = {first.weekday()}
        if not days or day.weekday() in days:
            return True
    return False
