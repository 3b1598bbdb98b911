"""Quiet hours across midnight and across changes of the clock."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.notifications.settings import QuietHours, quiet_until

PARIS = ZoneInfo("Europe/Paris")
NIGHT = QuietHours(start_time="22:00", end_time="07:00", timezone="Europe/Paris")
NOON = QuietHours(start_time="12:00", end_time="13:30", timezone="Europe/Paris")


def at(text: str, fold: int = 0) -> float:
    """Return the Unix seconds of a local time in Paris."""
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (NIGHT, "2026-11-26T21:59:59", None),
        (NIGHT, "2026-11-26T22:00:00", "2026-11-27T07:00:00"),
        (NIGHT, "2026-11-27T00:00:00", "2026-11-27T07:00:00"),
        (NIGHT, "2026-11-27T06:59:59", "2026-11-27T07:00:00"),
        (NIGHT, "2026-11-27T07:00:00", None),
        (NOON, "2026-11-26T11:59:59", None),
        (NOON, "2026-11-26T12:00:00", "2026-11-26T13:30:00"),
        (NOON, "2026-11-26T13:30:00", None),
        # The end of a month and of a year
        (NIGHT, "2026-12-31T23:00:00", "2027-01-01T07:00:00"),
        # The clock goes forward on 29 March 2026 at 02:00: the night has eight hours
        (NIGHT, "2026-03-28T22:00:00", "2026-03-29T07:00:00"),
        (NIGHT, "2026-03-29T03:00:00", "2026-03-29T07:00:00"),
        # and back on 25 October 2026 at 03:00: it has ten
        (NIGHT, "2026-10-24T22:00:00", "2026-10-25T07:00:00"),
        (NIGHT, "2026-10-25T06:59:59", "2026-10-25T07:00:00"),
    ],
)
def test_quiet_hours_end_at_their_local_time(hours: QuietHours, now: str, end: str | None) -> None:
    assert quiet_until(hours, at(now)) == (None if end is None else at(end))


@pytest.mark.parametrize(("night", "hours"), [("2026-03-28", 8), ("2026-10-24", 10), ("2026-11-26", 9)])
def test_clock_change_shortens_or_lengthens_the_night(night: str, hours: int) -> None:
    begin = at(f"{night}T22:00:00")
    assert quiet_until(NIGHT, begin) == begin + hours * 3600


def test_hour_that_the_clock_repeats_is_quiet_once_more_until_its_second_end() -> None:
    # 02:30 occurs twice in the night of 25 October 2026.
    hours = QuietHours(start_time="22:00", end_time="02:30", timezone="Europe/Paris")
    end = at("2026-10-25T02:30:00", fold=1)
    assert quiet_until(hours, at("2026-10-25T02:29:00", fold=0)) == end
    assert quiet_until(hours, at("2026-10-25T02:45:00", fold=0)) == end
    assert quiet_until(hours, end) is None


def test_hour_that_the_clock_skips_begins_and_ends_after_the_change() -> None:
    # 02:30 does not exist in the night of 29 March 2026.
    until = QuietHours(start_time="22:00", end_time="02:30", timezone="Europe/Paris")
    change = at("2026-03-29T03:00:00")
    end = quiet_until(until, change - 60)
    assert end is not None
    assert end == change + 1800
    assert quiet_until(until, end) is None


def test_without_quiet_hours_nothing_waits() -> None:
    assert quiet_until(None, 0.0) is None


TIMES = st.times().map(lambda time: time.strftime("%H:%M"))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(PARIS))  # noqa: DTZ001


@given(start=TIMES, end=TIMES, moment=MOMENTS)
def test_quiet_hours_always_end(start: str, end: str, moment: datetime) -> None:
    hours = QuietHours(start_time=start, end_time=end, timezone="Europe/Paris")
    now = moment.timestamp()
    until = quiet_until(hours, now)
    if until is not None:
        assert now < until <= now + timedelta(hours=26).total_seconds()
        local = datetime.fromtimestamp(until, PARIS)
        # A skipped local time is another one.
        assert f"{local:%H:%M}" == end or (local.date().month == 3 and local.hour == 3)
