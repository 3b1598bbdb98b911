"""A fault of the downlinks alone: its schedule, its end and what the API shows."""

from typing import Any

import pytest

from chalicelib.domain import breaker, downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.connection_changes import fresh
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerUnreachable
from chalicelib.vocabulary import ConnectionState, EventType

HOUR, DAY = 3600.0, 86400.0
REFUSED = BrokerMisconfigured(EventType.PERMISSION_REFUSED, "May not use a queue.")
NO_EXCHANGE = BrokerMisconfigured(EventType.EXCHANGE_MISSING, "No exchange.")
UNREACHABLE = BrokerUnreachable(EventType.CONNECTION_REFUSED, "Connection refused.")
LIMITED = BrokerUnreachable(EventType.CONNECTION_LIMIT_REACHED, "Limit reached.")


def connection(**configuration: Any) -> Connection:
    fields = {
        "hostName": "broker",
        "protocol": "TCP",
        "uplinkTopicPattern": "up.{DevEUI}",
        "downlinkTopicPattern": "down.{DevEUI}",
        **configuration,
    }
    return Connection(
        tenant="demo",
        id="01",
        name="c",
        active=True,
        configuration=AmqpConfiguration.model_validate(fields),
        created_at="",
        updated_at="",
        state=ConnectionState.OPENED,
    )


def broken(made: Connection, fault: BrokerFault) -> Connection:
    return breaker.failed(made, fault, 1000.0, 0.0, 1.0)


def refused(made: Connection, now: float = 1000.0) -> Connection:
    return downlink_fault.failed(made, REFUSED, now, 0.0, 1.0)


def shown(made: Connection) -> tuple[Any, ...]:
    document = made.to_json()
    names = ("state", "stateReason", "downlinkState", "downlinkStateReason")
    return tuple(document[name] for name in names)


@pytest.mark.parametrize("type_", EventType)
def test_only_the_end_of_a_channel_is_a_fault_of_one_direction(type_: EventType) -> None:
    of_a_channel = {
        "CHANNEL_CLOSED",
        "CONFIRMS_MISSING",
        "CONSUMER_CANCELLED",
        "EXCHANGE_MISSING",
        "PERMISSION_REFUSED",
        "PRECONDITION_FAILED",
        "QUEUE_LIMIT_REACHED",
        "QUEUE_MISSING",
        "QUEUE_UNAVAILABLE",
        "RESOURCE_LOCKED",
    }
    assert BrokerFault(type_, "").scope == ("DIRECTION" if type_ in of_a_channel else "CONNECTION")


def test_failed_poll_leaves_the_breaker_closed() -> None:
    after = refused(connection())
    assert (after.state, after.state_reason, after.breaker_open, after.epoch) == ("OPENED", None, False, 0)


def test_polls_are_retried_by_the_schedule_of_the_strategy() -> None:
    after = refused(connection())
    assert (after.downlink_since, after.downlink_probe_at, after.downlink_failures) == (1000, 1300, 1)
    later = refused(after, 1000 + HOUR)
    assert (later.downlink_since, later.downlink_probe_at, later.downlink_failures) == (1000, 1000 + 2 * HOUR, 2)


def test_calm_stops_polls_after_its_last_phase() -> None:
    after = refused(refused(connection(reconnectStrategy="CALM")), 1000 + 36 * HOUR)
    assert after.downlink_probe_at is None
    assert not downlink_fault.poll_is_due(after, 1000 + 99 * DAY)


def test_fault_that_may_pass_soon_is_retried_each_minute_at_first() -> None:
    after = breaker.failed(connection(), LIMITED, 1000.0, 0.0, 1.0)
    assert after.probe_at == 1060
    assert breaker.failed(after, LIMITED, 1000.0 + 299, 0.0, 1.0).probe_at == 1359
    assert breaker.failed(after, LIMITED, 1000.0 + 300, 0.0, 1.0).probe_at == 1600


@pytest.mark.parametrize(
    ("made", "due"),
    [
        (connection(), True),
        (connection(downlinkEnabled=False), False),
        (connection().model_copy(update={"active": False}), False),
        (broken(connection(), UNREACHABLE), False),
        (broken(connection(), NO_EXCHANGE), True),
        # The record of an earlier release has no scope.
        (broken(connection(), NO_EXCHANGE).model_copy(update={"fault_scope": None}), False),
        (refused(connection()), False),
        (refused(connection(), 700), True),
        (broken(refused(connection(), 700), UNREACHABLE), False),
    ],
    ids=[
        "opened", "downlinks off", "inactive", "broker down", "uplinks refused", "old record", "downlinks refused",
        "next attempt due", "both down",
    ],
)  # fmt: skip
def test_poll_is_due_unless_its_connection_or_its_downlinks_wait(made: Connection, due: bool) -> None:
    assert downlink_fault.poll_is_due(made, 1000.0) is due


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (connection(), ("OPENED", None, None, None)),
        (downlink_fault.opened(connection()), ("OPENED", None, "OPENED", None)),
        (
            refused(connection()),
            ("OPENED", "Downlinks: May not use a queue.", "CLOSED", "May not use a queue."),
        ),
        (downlink_fault.opened(refused(connection())), ("OPENED", None, "OPENED", None)),
        (
            broken(downlink_fault.opened(connection()), NO_EXCHANGE),
            ("CLOSED", "Uplinks: No exchange.", "OPENED", None),
        ),
        (
            broken(refused(connection()), NO_EXCHANGE),
            (
                "CLOSED",
                "Uplinks: No exchange. Downlinks: May not use a queue.",
                "CLOSED",
                "May not use a queue.",
            ),
        ),
        (
            broken(refused(connection()), REFUSED),
            ("CLOSED", "May not use a queue.", "CLOSED", "May not use a queue."),
        ),
        (
            broken(refused(connection()), UNREACHABLE),
            ("UNREACHABLE", "Connection refused.", "CLOSED", "Connection refused."),
        ),
        (
            broken(connection(downlinkEnabled=False), UNREACHABLE),
            ("UNREACHABLE", "Connection refused.", None, None),
        ),
    ],
    ids=["not polled", "opened", "downlinks", "mended", "uplinks", "both", "same", "broker down", "downlinks off"],
)
def test_api_shows_which_direction_has_a_fault(made: Connection, expected: tuple[Any, ...]) -> None:
    assert shown(made) == expected


def test_restart_forgets_the_fault() -> None:
    after = refused(connection()).model_copy(update=fresh(2000.0, active=True))
    assert shown(after) == ("OPENING", None, None, None)
    assert downlink_fault.poll_is_due(after, 2000.0)
