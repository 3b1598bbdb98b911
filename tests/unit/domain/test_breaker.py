import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection, Outage
from chalicelib.domain.connection_changes import again, fresh
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.connectors.common import ReconnectStrategy
from chalicelib.errors import BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.vocabulary import ConnectionState, EventType

HOUR, DAY = 3600.0, 86400.0


def connection(strategy: ReconnectStrategy = ReconnectStrategy.NORMAL) -> Connection:
    return Connection(
        tenant="demo",
        id="01",
        name="c",
        active=True,
        configuration=AmqpConfiguration(
            host_name="broker", protocol=BrokerProtocol.TCP, uplink_topic_pattern="a", reconnect_strategy=strategy
        ),
        created_at="",
        updated_at="",
        state=ConnectionState.OPENED,
    )


@pytest.mark.parametrize(
    ("strategy", "outage", "expected"),
    [
        ("CALM", 0, 600),
        ("CALM", 12 * HOUR - 1, 600),
        ("CALM", 12 * HOUR, HOUR),
        ("CALM", 36 * HOUR - 1, HOUR),
        ("CALM", 36 * HOUR, None),
        ("NORMAL", 0, 300),
        ("NORMAL", HOUR, HOUR),
        ("NORMAL", 25 * HOUR, DAY),
        ("NORMAL", 1000 * DAY, DAY),
        ("AGGRESSIVE", 0, 180),
        ("AGGRESSIVE", 3 * HOUR, 1800),
        ("AGGRESSIVE", 3 * HOUR + 7 * DAY, HOUR),
    ],
)
def test_the_schedule_of_attempts_follows_the_strategy(strategy: str, outage: float, expected: float | None) -> None:
    assert breaker.interval(ReconnectStrategy(strategy), outage) == expected


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused"), "UNREACHABLE"),
        (BrokerRefused(EventType.LOGIN_REFUSED, "wrong password"), "AUTHENTICATION_FAILED"),
        (BrokerMisconfigured(EventType.EXCHANGE_MISSING, "no exchange"), "CLOSED"),
    ],
)
def test_a_fault_decides_the_state_and_the_reason(fault: BrokerUnreachable, state: str) -> None:
    after = breaker.failed(connection(), fault, 1000.0, 0.5, 1.0)
    assert (after.state, after.state_reason, after.failures, after.epoch) == (state, str(fault), 1, 1)
    assert after.breaker_open
    assert after.probe_at == 1000 + 300 + 30


def test_calm_gives_up_at_last_and_keeps_what_waits() -> None:
    down = connection(ReconnectStrategy.CALM).model_copy(update={"outage_since": 0.0})
    after = breaker.failed(down, BrokerUnreachable(EventType.CONNECTION_REFUSED, "refused"), 36 * HOUR, 0.0, 1.0)
    assert (after.state, after.probe_at, after.active) == ("CLOSED", None, True)


def test_a_scaled_schedule_is_the_same_in_less_time() -> None:
    after = breaker.failed(
        connection(), BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused"), 1000.0, 1.0, 60.0
    )
    assert after.probe_at == 1000 + 6


def test_recovering_closes_the_breaker_and_leaves_a_mark() -> None:
    down = breaker.failed(
        connection(), BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused"), 1000.0, 0.5, 1.0
    )
    after = breaker.recovered(down, 2000.0, "token", 2060.0)
    assert not after.breaker_open
    assert (after.state, after.wake_at, after.wake_token, after.epoch) == ("OPENED", 2060.0, "token", 2)


def test_recovering_does_not_put_off_a_mark_that_is_due_earlier() -> None:
    down = connection().model_copy(update={"outage_since": 1000.0, "wake_at": 2010.0, "wake_token": "old"})
    after = breaker.recovered(down, 2000.0, "token", 2060.0)
    assert (after.wake_at, after.wake_token) == (2010.0, "token")


@given(st.sampled_from(ReconnectStrategy), st.floats(0, 400 * DAY), st.floats(0, 1), st.floats(1, 5000))
def test_a_probe_is_never_in_the_past(strategy: ReconnectStrategy, outage: float, jitter: float, scale: float) -> None:
    down = connection(strategy).model_copy(update={"outage_since": 0.0})
    after = breaker.failed(
        down, BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused"), outage / scale, jitter, scale
    )
    assert after.probe_at is None or after.probe_at > outage / scale


def test_a_nacked_device_waits_longer_each_time() -> None:
    delays = [breaker.nack_delay(n, 1.0) for n in range(1, 12)]
    assert delays[0] == 5
    assert delays == sorted(delays)
    assert delays[-1] == 900


def test_a_nacked_device_waits_less_where_time_is_scaled_but_never_not_at_all() -> None:
    assert [breaker.nack_delay(n, 60.0) for n in (1, 5, 12)] == [1, 1, 15]


REFUSED = BrokerRefused(EventType.LOGIN_REFUSED, "wrong password")


def test_record_keeps_when_the_connection_opened_first_and_each_outage() -> None:
    # Given
    opened = breaker.recovered(connection(), 1000.0, "token", 1000.0)
    assert (opened.opened_at, opened.outages, opened.faulty_since) == (1000.0, [], None)

    # When
    faulty = breaker.failed(breaker.failed(opened, REFUSED, 2000.0, 0, 1), REFUSED, 2300.0, 0, 1)
    again = breaker.recovered(faulty, 2600.0, "token", 2600.0)

    # Then
    assert faulty.faulty_since == 2000.0
    assert (again.opened_at, again.faulty_since) == (1000.0, None)
    assert again.outages == [Outage(since=2000.0, until=2600.0, reason="wrong password")]


def test_restart_and_change_of_the_configuration_do_not_end_an_outage() -> None:
    faulty = breaker.failed(breaker.recovered(connection(), 1000.0, "token", 1000.0), REFUSED, 2000.0, 0, 1)
    for changed in (again(faulty, 2100.0), fresh(2100.0, active=True)):
        reset = faulty.model_copy(update=changed)
        assert reset.faulty_since == 2000.0
        assert breaker.failed(reset, REFUSED, 2200.0, 0, 1).faulty_since == 2000.0
        ended = breaker.recovered(reset, 2300.0, "token", 2300.0)
        assert ended.outages == [Outage(since=2000.0, until=2300.0)]
    assert again(faulty, 2100.0)["opened_at"] == 1000.0
    assert fresh(2100.0, active=True)["opened_at"] is None


def test_deactivation_forgets_the_outage() -> None:
    faulty = breaker.failed(connection(), REFUSED, 2000.0, 0, 1)
    assert faulty.model_copy(update=fresh(2100.0, active=False)).faulty_since is None


def test_outage_that_the_previous_release_recorded_counts_when_it_ends() -> None:
    faulty = breaker.failed(connection(), REFUSED, 2000.0, 0, 1).model_copy(update={"faulty_since": None})
    assert breaker.recovered(faulty, 2600.0, "token", 2600.0).outages[0].since == 2000.0


def test_record_keeps_the_longest_outages_of_a_day() -> None:
    # Given: a long outage of the day before, and six of today
    record, now = connection(), 0.0
    for seconds in (5000, 100, 700, 200, 300, 400, 500):
        record = breaker.failed(record, REFUSED, now, 0, 1)
        record = breaker.recovered(record, now + seconds, "token", 0.0)
        now = now + DAY + 6000 if seconds == 5000 else now + 1000

    # Then
    assert [outage.until - outage.since for outage in record.outages] == [700, 200, 300, 400, 500]
