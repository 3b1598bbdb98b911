"""Alarms: windows in their time zones, one event per window, silent connections and expiring certificates."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.alarm_windows import Window, window_at
from chalicelib.domain.connection import Alarm, Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.errors import Unavailable
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring
from chalicelib.upkeep.alarms import Alarms
from chalicelib.vocabulary import ConnectionState
from infra.local.in_memory import MemoryEventLog, MemoryOutbox, MemoryStatistics

DAY = 86400.0
PARIS = "Europe/Paris"


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def alarm(start: str, end: str, *recurrence: dict[str, Any], **changes: Any) -> Alarm:
    fields = {
        "startTime": start,
        "endTime": end,
        "recurrence": list(recurrence),
        "uplinkRateMinPerHour": 10,
        "timezone": PARIS,
        **changes,
    }
    return Alarm.model_validate(fields)


DAILY = {"frequency": "daily"}


def weekly(*days: str) -> dict[str, Any]:
    return {"frequency": "weekly", "byDays": list(days)}


# Windows. 2026-11-23 is a Monday.


@pytest.mark.parametrize(
    ("wanted", "now", "window"),
    [
        # Two moments: one window.
        (alarm("2026-11-23T08:00", "2026-11-25T18:00"), "2026-11-24T23:00", ("2026-11-23T08:00", "2026-11-25T18:00")),
        (alarm("2026-11-23T08:00", "2026-11-25T18:00"), "2026-11-25T18:00", None),
        (alarm("2026-11-23T08:00", "2026-11-25T18:00"), "2026-11-23T07:59:59", None),
        (alarm("2026-11-25T08:00", "2026-11-23T18:00"), "2026-11-24T08:00", None),
        # With an offset it is that moment: 06:00 UTC is 07:00 in Paris.
        (
            alarm("2026-11-23T06:00:00Z", "2026-11-23T07:00:00Z"),
            "2026-11-23T07:30",
            ("2026-11-23T07:00", "2026-11-23T08:00"),
        ),
        # Times of day alone: every day.
        (alarm("08:00", "18:00"), "2026-11-28T09:00", ("2026-11-28T08:00", "2026-11-28T18:00")),
        (alarm("08:00", "18:00", DAILY), "2026-11-28T19:00", None),
        # The end is the earlier one: past midnight.
        (alarm("22:00", "06:00", DAILY), "2026-11-24T05:00", ("2026-11-23T22:00", "2026-11-24T06:00")),
        (alarm("22:00", "06:00", DAILY), "2026-11-24T23:00", ("2026-11-24T22:00", "2026-11-25T06:00")),
        (alarm("22:00", "06:00", DAILY), "2026-11-24T12:00", None),
        # The same time twice: the whole day from then on.
        (alarm("06:00", "06:00", DAILY), "2026-11-24T05:00", ("2026-11-23T06:00", "2026-11-24T06:00")),
        # The day is that of the beginning.
        (alarm("22:00", "06:00", weekly("monday")), "2026-11-24T05:00", ("2026-11-23T22:00", "2026-11-24T06:00")),
        (alarm("22:00", "06:00", weekly("tuesday")), "2026-11-24T05:00", None),
        (alarm("08:00", "18:00", weekly("MO", "Sat")), "2026-11-23T09:00", ("2026-11-23T08:00", "2026-11-23T18:00")),
        (alarm("08:00", "18:00", weekly("MO", "Sat")), "2026-11-24T09:00", None),
        (
            alarm("08:00", "18:00", weekly("mo"), weekly("tu")),
            "2026-11-24T09:00",
            ("2026-11-24T08:00", "2026-11-24T18:00"),
        ),
        # Dates with a recurrence: the first window, repeated.
        (
            alarm("2026-11-23T08:00", "2026-11-23T18:00", DAILY),
            "2027-03-01T09:00",
            ("2027-03-01T08:00", "2027-03-01T18:00"),
        ),
        (alarm("2026-11-23T08:00", "2026-11-23T18:00", DAILY), "2026-11-22T09:00", None),
        (alarm("2026-11-23T08:00", "2026-11-23T18:00", weekly()), "2026-12-01T09:00", None),
        (
            alarm("2026-11-23T08:00", "2026-11-23T18:00", weekly()),
            "2026-11-30T09:00",
            ("2026-11-30T08:00", "2026-11-30T18:00"),
        ),
        # Dates further apart: the first and the last day.
        (
            alarm("2026-11-23T08:00", "2026-12-23T18:00", DAILY),
            "2026-12-23T09:00",
            ("2026-12-23T08:00", "2026-12-23T18:00"),
        ),
        (alarm("2026-11-23T08:00", "2026-12-23T18:00", DAILY), "2026-12-24T09:00", None),
        (alarm("2026-11-23T08:00", "2026-12-23T18:00", DAILY), "2026-12-01T20:00", None),
        # A time of day with an offset.
        (alarm("08:00Z", "10:00Z", DAILY), "2026-11-23T09:30", ("2026-11-23T09:00", "2026-11-23T11:00")),
        # A text that cannot be converted has no window.
        (alarm("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", DAILY), "2026-11-23T09:30", None),
    ],
)
def test_windows_follow_local_time_of_paris(wanted: Alarm, now: str, window: tuple[str, str] | None) -> None:
    expected = None if window is None else Window(at(window[0], PARIS), at(window[1], PARIS))
    assert window_at(wanted, at(now, PARIS)) == expected


def test_window_over_clock_change_is_an_hour_shorter_or_longer() -> None:
    nightly = alarm("22:00", "06:00", DAILY)
    spring = window_at(nightly, at("2026-03-29T01:00", PARIS))
    autumn = window_at(nightly, at("2026-10-25T01:00", PARIS))
    assert spring is not None
    assert autumn is not None
    assert (spring.end - spring.start, autumn.end - autumn.start) == (7 * 3600, 9 * 3600)


def test_window_handles_local_times_that_clock_change_skips_or_repeats() -> None:
    # 02:30 does not exist on 2026-03-29 and comes twice on 2026-10-25.
    skipped = window_at(alarm("02:30", "04:00", DAILY), at("2026-03-29T03:45", PARIS))
    assert skipped == Window(at("2026-03-29T01:30"), at("2026-03-29T02:00"))
    repeated = window_at(alarm("02:15", "02:45", DAILY), at("2026-10-25T01:00"))
    assert repeated == Window(at("2026-10-25T00:15"), at("2026-10-25T01:45"))


@given(
    start=st.times(),
    end=st.times(),
    now=st.floats(0, 4e9),
    zone=st.sampled_from([PARIS, "UTC", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_window_contains_now_and_lasts_at_most_a_day(start: Any, end: Any, now: float, zone: str) -> None:
    window = window_at(alarm(start.isoformat(), end.isoformat(), DAILY, timezone=zone), now)
    if window is not None:
        assert window.start <= now < window.end
        assert window.end - window.start <= DAY + 2 * 3600


# Events


class MemoryClaims:
    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        self.blind = False

    def held(self, key: str) -> bool:
        return not self.blind and key in self.taken

    def claim(self, key: str, until: float) -> bool:
        first = key not in self.taken
        self.taken.setdefault(key, until)
        return first


class ScriptedCounters:
    def __init__(self) -> None:
        self.minutes: dict[int, Mapping[str, int]] = {}
        self.asked = 0

    def counters(self, _tenant: str, _id: str, first_minute: int, last_minute: int) -> Mapping[int, Mapping[str, int]]:
        self.asked += 1
        return {m: counted for m, counted in self.minutes.items() if first_minute <= m <= last_minute}


class Bench:
    """Alarms on in-memory ports, with a clock that a test sets."""

    def __init__(self) -> None:
        self.now = at("2026-11-23T09:00", PARIS)
        self.events = MemoryEventLog()
        self.claims = MemoryClaims()
        self.counters = ScriptedCounters()
        monitoring = Monitoring(self.events, MemoryStatistics(), lambda: self.now)
        self.restarted: list[str] = []
        self.outbox = MemoryOutbox()
        self.alarms = Alarms(self.counters, self.claims, monitoring, self._restart, lambda: self.now, self.outbox)

    def _restart(self, _tenant: str, connection_id: str) -> None:
        self.restarted.append(connection_id)

    def count(self, minutes_ago: int, **counted: int) -> None:
        self.counters.minutes[int(self.now // 60) - minutes_ago] = counted

    def types(self) -> list[str]:
        return [event.type for _, event in self.events.events]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def connection(*alarms: Alarm, certificate_ends: float | None = None) -> Connection:
    return Connection(
        tenant="demo",
        id="01J",
        name="-",
        active=True,
        alarms=list(alarms),
        configuration=AmqpConfiguration.model_validate(
            {"hostName": "broker.test", "protocol": "TCP", "uplinkTopicPattern": "up"}
        ),
        certificate_ends=certificate_ends,
        created_at="",
        updated_at="",
        state=ConnectionState.OPENED,
    )


def test_low_uplink_rate_is_reported_once_per_window(bench: Bench) -> None:
    watched = connection(alarm("08:00", "18:00", DAILY, message="The silos are silent"))
    bench.count(5, uplinksDelivered=6, downlinksDelivered=100)
    bench.count(59, uplinksFailed=2, uplinksLost=1)
    bench.count(62, uplinksDelivered=1000)
    for _ in range(5):
        bench.alarms.check(watched)
        bench.now += 60
    ((tenant, event),) = bench.events.events
    assert (tenant, event.type, event.connection_id, event.level) == ("demo", "LOW_UPLINK_RATE", "01J", "warning")
    assert event.message == "The silos are silent (9 uplink(s) in the last hour, the alarm requires at least 10)."
    assert event.details == {
        "uplinks": 9,
        "minimum": 10,
        "windowStart": "2026-11-23T07:00:00.000Z",
        "windowEnd": "2026-11-23T17:00:00.000Z",
    }


def test_next_window_and_changed_alarm_report_again(bench: Bench) -> None:
    first, second = alarm("08:00", "18:00", DAILY), alarm("08:00", "18:00", DAILY, uplinkRateMinPerHour=20)
    bench.alarms.check(connection(first))
    bench.now += DAY
    bench.alarms.check(connection(first))
    assert bench.types() == ["LOW_UPLINK_RATE"] * 2
    bench.alarms.check(connection(second))
    bench.alarms.check(connection(second, first))
    assert bench.types() == ["LOW_UPLINK_RATE"] * 3


def test_sufficient_uplinks_or_closed_window_report_nothing(bench: Bench) -> None:
    bench.count(0, uplinksDelivered=10)
    bench.alarms.check(connection(alarm("08:00", "18:00", DAILY), alarm("08:00", "18:00", uplinkRateMinPerHour=0)))
    bench.now = at("2026-11-23T20:00", PARIS)
    asked = bench.counters.asked
    bench.alarms.check(connection(alarm("08:00", "18:00", DAILY)))
    assert bench.counters.asked == asked
    assert bench.types() == []


def test_only_one_of_two_reconcilers_reports(bench: Bench) -> None:
    watched = connection(alarm("08:00", "18:00"))
    bench.alarms.check(watched)
    # The second reconciler does not see the claim yet.
    bench.claims.blind = True
    bench.now += 60
    bench.alarms.check(watched)
    assert bench.types() == ["LOW_UPLINK_RATE"]


def test_unreadable_statistics_are_checked_again_in_next_run(bench: Bench) -> None:
    def down(*_: Any) -> Mapping[int, Mapping[str, int]]:
        raise Unavailable("down")

    counters = bench.counters.counters
    bench.counters.counters = down  # type: ignore[assignment,method-assign]
    bench.alarms.check(connection(alarm("08:00", "18:00")))
    assert bench.types() == []
    bench.counters.counters = counters  # type: ignore[method-assign]
    bench.alarms.check(connection(alarm("08:00", "18:00")))
    assert bench.types() == ["LOW_UPLINK_RATE"]


def test_certificate_notices_come_thirty_and_seven_days_before_end(bench: Bench) -> None:
    watched = connection(certificate_ends=bench.now + 40 * DAY)
    reported: list[tuple[int, int]] = []
    for day in range(45):
        for _ in range(3):
            if bench.alarms.concerns(watched):
                bench.alarms.check(watched)
        reported += [(day, event.details["days"]) for _, event in bench.events.events[len(reported) :]]
        bench.now += DAY
    assert reported == [(10, 30), (33, 7)]
    assert bench.types() == ["CERTIFICATE_EXPIRES"] * 2


def test_expiring_certificate_is_reported_once_and_its_replacement_again(bench: Bench) -> None:
    for _ in range(2):
        bench.alarms.check(connection(certificate_ends=bench.now + 3 * DAY))
    bench.alarms.check(connection(certificate_ends=bench.now + 5 * DAY))
    assert bench.types() == ["CERTIFICATE_EXPIRES"] * 2


def test_connection_without_alarms_and_expiring_certificate_needs_no_check(bench: Bench) -> None:
    assert not bench.alarms.concerns(connection())
    assert not bench.alarms.concerns(connection(certificate_ends=bench.now + 31 * DAY))
    assert bench.alarms.concerns(connection(alarm("08:00", "18:00")))


@pytest.mark.parametrize(
    ("strategy", "open_for", "uplink_ago", "restarted"),
    [
        ("AGGRESSIVE", 3601, None, True),
        ("AGGRESSIVE", 86400, 62, True),
        ("AGGRESSIVE", 86400, 59, False),
        ("AGGRESSIVE", 3599, None, False),
        ("AGGRESSIVE", None, None, False),
        ("NORMAL", 86400, None, False),
        ("CALM", 86400, None, False),
    ],
)
def test_aggressive_connection_is_restarted_after_silent_hour(
    bench: Bench, strategy: str, open_for: int | None, uplink_ago: int | None, restarted: bool
) -> None:
    plain = connection()
    silent = plain.model_copy(
        update={
            "configuration": plain.configuration.model_copy(update={"reconnect_strategy": strategy}),
            "startup_time": None if open_for is None else iso_time(bench.now - open_for),
        }
    )
    if uplink_ago is not None:
        bench.count(uplink_ago, uplinksDelivered=1)
    if bench.alarms.concerns(silent):
        bench.alarms.check(silent)
    assert bench.restarted == (["01J"] if restarted else [])


def test_unreachable_aggressive_connection_is_not_restarted(bench: Bench) -> None:
    plain = connection()
    broken = plain.model_copy(
        update={
            "configuration": plain.configuration.model_copy(update={"reconnect_strategy": "AGGRESSIVE"}),
            "startup_time": iso_time(bench.now - DAY),
            "state": ConnectionState.UNREACHABLE,
        }
    )
    assert not bench.alarms.concerns(broken)
    bench.alarms.check(broken)
    assert bench.restarted == []
