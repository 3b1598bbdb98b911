"""Changes of state that the record of a connection shows."""

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.domain.notifications.changes import REPORTED_WITHIN, Change, may_have_changed, state_changes
from chalicelib.errors import BrokerRefused
from chalicelib.vocabulary import EventType
from chalicelib.vocabulary import NotificationKind as Kind
from tests.unit.domain.test_breaker import connection

REFUSED = BrokerRefused(EventType.LOGIN_REFUSED, "The broker refused the login. Check username and password.")
AFTER = 300.0


def opened(record: Connection, now: float) -> Connection:
    return breaker.recovered(record, now, "token", now)


def failed(record: Connection, now: float) -> Connection:
    return breaker.failed(record, REFUSED, now, 0, 1)


def changes(record: Connection, now: float) -> list[tuple[Kind, float]]:
    return [(change.kind, change.at) for change in state_changes(record, AFTER, now)]


def one(record: Connection, now: float) -> Change:
    [change] = state_changes(record, AFTER, now)
    return change


def test_first_opening_is_a_change() -> None:
    record = opened(connection(), 1000.0)
    assert changes(record, 1000.0) == [(Kind.OPENED, 1000.0)]
    assert "is open" in one(record, 1000.0).message


def test_outage_is_a_change_once_it_is_long_enough() -> None:
    record = failed(connection(), 1000.0)
    assert changes(record, 1000.0 + AFTER) == []
    assert changes(record, 1001.0 + AFTER) == [(Kind.FAULTY, 1000.0 + AFTER)]
    change = one(record, 1001.0 + AFTER)
    assert change.message.endswith("The broker refused the login. Check username and password.")
    assert change.details == {"since": "1970-01-01T00:16:40.000Z"}


def test_further_failures_of_an_outage_are_the_same_change() -> None:
    first, later = failed(connection(), 1000.0), failed(failed(connection(), 1000.0), 1400.0)
    assert one(first, 1500.0).id == one(later, 1500.0).id


def test_long_outage_is_reported_after_its_end_too_because_no_run_may_have_seen_it() -> None:
    record = opened(failed(opened(connection(), 0.0), 1000.0), 2000.0)
    assert changes(record, 2000.0) == [(Kind.FAULTY, 1300.0), (Kind.RECOVERED, 2000.0), (Kind.OPENED, 0.0)]
    faulty = one(failed(connection(), 1000.0), 1301.0)
    assert faulty.id == next(iter(state_changes(record, AFTER, 2000.0))).id


def test_short_outage_is_no_change() -> None:
    record = opened(failed(opened(connection(), 0.0), 1000.0), 1000.0 + AFTER)
    assert changes(record, 2000.0) == [(Kind.OPENED, 0.0)]


def test_connection_that_opens_first_after_a_long_outage_has_recovered() -> None:
    record = opened(failed(connection(), 1000.0), 2000.0)
    assert changes(record, 2000.0) == [(Kind.FAULTY, 1300.0), (Kind.RECOVERED, 2000.0)]
    short = opened(failed(connection(), 1000.0), 1100.0)
    assert changes(short, 1100.0) == [(Kind.OPENED, 1100.0)]


def test_changes_of_two_connections_have_other_ids() -> None:
    other = connection().model_copy(update={"id": "02"})
    assert one(failed(other, 1000.0), 2000.0).id != one(failed(connection(), 1000.0), 2000.0).id


def test_record_without_recent_change_is_passed_over() -> None:
    record = opened(connection(), 1000.0)
    assert may_have_changed(record, 1000.0 + REPORTED_WITHIN - 1)
    assert not may_have_changed(record, 1000.0 + REPORTED_WITHIN)
    assert may_have_changed(failed(record, 1000.0), 1e9)
    assert not may_have_changed(connection(), 1000.0)
