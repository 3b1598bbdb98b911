"""Windows in which an alarm checks the rate of uplinks, in the alarm's own time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from chalicelib.domain.connection import Alarm
from chalicelib.domain.validation.alarms import day_number, parse_moment

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """Unix seconds; the end is exclusive."""

    start: float
    end: float


def window_at(alarm: Alarm, now: float) -> Window | None:
    """The window that ``now`` is in, if there is one.

    Two dates with times and no recurrence are one window. With a recurrence, or with times of day only, there is a
    window on each of its days, from the one time of day to the other, past midnight if the end is the earlier one.
    A date then says when the first window is; the end's date says when the last one is if it is more than a day later.
    Weekly without days means the weekday of the start's date. A local time that a change of the clocks leaves out is
    taken as the moment after it, and of one that comes twice a window begins with the first and ends with the second.
    """
    try:
        return next((window for window in _windows(alarm, now) if window.start <= now < window.end), None)
    except (OverflowError, ValueError):
        # A date at the end of the calendar, which cannot be converted to another zone.
        return None


def _windows(alarm: Alarm, now: float) -> Iterator[Window]:
    start, end = parse_moment(alarm.start_time), parse_moment(alarm.end_time)
    if start is None or end is None:
        return
    zone: tzinfo = ZoneInfo(alarm.timezone)
    if isinstance(start, datetime) and isinstance(end, datetime) and not alarm.recurrence:
        yield Window(_local(start, zone, 0).timestamp(), _local(end, zone, 1).timestamp())
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
        finish = datetime.combine(day if closes > opens else day + _DAY, closes.replace(fold=1), closing_zone)
        if (first is None or begin >= first) and (last is None or begin < last):
            yield Window(begin.timestamp(), finish.timestamp())


def _local(moment: datetime, zone: tzinfo, fold: int) -> datetime:
    """Return the moment of a text with an offset, otherwise the local time."""
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
