"""The history of messages: through an outage, after a replay, and after two weeks."""

import pytest

from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.domain.messages.history import TraceStatus
from chalicelib.entry.services import Services
from chalicelib.kernel.times import iso_time
from chalicelib.ports.queues import RETENTION
from chalicelib.uplinks.retention import MARGIN
from chalicelib.vocabulary import FailureReason, RetryReason
from tests.functional.connections.messages.log_case import DEVICE, START, LogCase, steps
from tests.unit.flow import TENANT, UNREACHABLE

TWO_WEEKS = 14 * 86400


@pytest.fixture
def case(services: Services) -> LogCase:
    made = LogCase(services)
    made.flow.connect()
    return made


def test_delivered_uplink_has_time_routing_key_and_attempts(case: LogCase) -> None:
    case.post(0.25)
    (message,) = case.messages()
    assert message.to_json() == {
        "id": message.id,
        "connectionId": "c1",
        "direction": "uplink",
        "status": "delivered",
        "type": "DevEUI_uplink",
        "devEUI": DEVICE,
        "fCntUp": 1,
        "acceptedAt": iso_time(START),
        "time": iso_time(START + 0.25),
        "routingKey": f"up.{DEVICE}",
        "attempts": 1,
        "reason": None,
        "detail": None,
        "failedId": None,
        "steps": [
            {
                "time": iso_time(START),
                "step": "accepted",
                "attempts": None,
                "routingKey": None,
                "reason": None,
                "detail": None,
            },
            {
                "time": iso_time(START + 0.25),
                "step": "delivered",
                "attempts": 1,
                "routingKey": f"up.{DEVICE}",
                "reason": None,
                "detail": None,
            },
        ],
    }


def test_uplinks_are_followed_through_an_outage_and_still_after_two_weeks(case: LogCase) -> None:
    # Given: one uplink is tried when the broker dies, another one is accepted during the outage
    case.post()
    case.flow.broker.down = UNREACHABLE
    case.post()
    case.flow.now += 120
    case.post()

    # When: nothing is known of their end
    waiting, tried, before = case.messages(device=DEVICE)

    # Then
    assert [m.status for m in (waiting, tried, before)] == ["waiting", "waiting", "delivered"]
    assert steps(tried) == ["accepted", "attempted"]
    assert (tried.reason, tried.detail) == ("CONNECTION_REFUSED", str(UNREACHABLE))
    assert steps(waiting) == ["accepted", "waiting"]
    assert waiting.detail == str(UNREACHABLE)
    assert waiting.f_cnt_up == 3

    # When: the broker returns after an hour
    case.flow.now += 3600
    case.recover()

    # Then: each attempt is there, and two weeks later, too
    for later in (0, TWO_WEEKS):
        case.flow.now += later
        found = {message.f_cnt_up: message for message in case.messages(device=DEVICE)}
        assert steps(found[2]) == ["accepted", "attempted", "delivered"]
        assert steps(found[3]) == ["accepted", "waiting", "delivered"]
        assert {message.status for message in found.values()} == {TraceStatus.DELIVERED}
        assert found[2].attempts == 2
        assert found[3].accepted_at < found[3].steps[1].time < found[3].time
        assert case.messages(device=DEVICE, status=TraceStatus.WAITING) == []


def test_failed_uplink_is_followed_through_its_replay_and_still_after_two_weeks(case: LogCase) -> None:
    # Given
    unroutable = Outcome(Result.FAILED, FailureReason.UNROUTABLE, "No queue is bound (312, NO_ROUTE).")
    case.flow.broker.answer = lambda _: unroutable
    case.post()
    (message,) = case.messages(status=TraceStatus.FAILED)
    assert (message.reason, message.detail) == ("UNROUTABLE", "No queue is bound (312, NO_ROUTE).")
    assert [kept.id for kept in case.failed.some(TENANT, "c1", [message.failed_id or ""])] == [message.failed_id]

    # When
    case.flow.broker.answer = lambda _: DELIVERED
    case.flow.now += 86400
    assert case.replays.replay(TENANT, "c1", None).number == 1
    (queued,) = case.messages()
    case.flow.now += 1
    case.flow.forward()

    # Then
    assert (queued.id, queued.status) == (message.id, TraceStatus.WAITING)
    assert steps(queued) == ["accepted", "failed", "replayed"]
    for later in (0, TWO_WEEKS):
        case.flow.now += later
        (found,) = case.messages(device=DEVICE)
        assert (found.id, found.status, found.failed_id) == (message.id, TraceStatus.DELIVERED, None)
        assert steps(found) == ["accepted", "failed", "replayed", "delivered"]
        assert found.accepted_at == iso_time(START)
        assert case.messages(status=TraceStatus.FAILED) == []


def test_nacked_uplink_shows_each_attempt_with_the_brokers_answer(case: LogCase) -> None:
    nacked = Outcome(Result.RETRY, RetryReason.NACKED, "The broker refused the message (basic.nack).")
    case.flow.broker.answer = lambda _: nacked
    case.post()
    for _ in range(3):
        case.flow.now += 60
        case.flow.wake()
        case.flow.forward()
    case.flow.broker.answer = lambda _: DELIVERED
    case.flow.now += 60
    case.flow.wake()
    case.flow.forward()
    (message,) = case.messages()
    assert steps(message) == ["accepted", *["attempted"] * 4, "delivered"]
    assert [step.attempts for step in message.steps[1:]] == [1, 2, 3, 4, 5]
    assert {step.detail for step in message.steps[1:5]} == {nacked.detail}


def test_expired_uplinks_are_lost(case: LogCase) -> None:
    # Given: one uplink that is too old when the broker could take it, another one at the end of its retention
    case.flow.connect("c2", uplinkTimeValidity="1h")
    case.flow.broker.down = UNREACHABLE
    case.post()
    case.flow.now += 7200
    case.flow.broker.down = None
    case.flow.wake("c2", probe=case.flow.state("c2").epoch)
    case.flow.forward()
    (expired,) = case.messages(connections=["c2"])
    assert (expired.status, expired.reason) == (TraceStatus.LOST, "EXPIRED")

    # When
    case.flow.now = START + RETENTION - MARGIN + 1
    case.retention.check(case.flow.state("c1"))

    # Then
    (lost,) = case.messages(status=TraceStatus.LOST)
    assert steps(lost) == ["accepted", "attempted", "lost"]
    assert lost.detail == "The report waited 14 days for the broker, the longest time."


def test_last_fifty_uplinks_of_a_rare_device_are_found_beside_a_busy_one(case: LogCase) -> None:
    for day in range(50):
        case.flow.now = START + day * 86400
        case.post()
        for _ in range(5):
            case.post(device=2)
    found = case.messages(device=DEVICE, limit=50)
    assert len(found) == 50
    assert [message.f_cnt_up for message in found] == sorted((m.f_cnt_up or 0 for m in found), reverse=True)


def test_pages_list_each_message_once_with_its_newest_step_first(case: LogCase) -> None:
    # Given: messages that waited during an outage, which have older steps than other messages
    case.flow.broker.down = UNREACHABLE
    for _ in range(5):
        case.post()
        case.flow.now += 50
    case.recover()
    for _ in range(4):
        case.post(device=2)
        case.flow.now += 50

    # When
    whole = case.messages()

    # Then
    assert len({message.id for message in whole}) == 9
    assert [m.time for m in whole] == sorted((m.time for m in whole), reverse=True)
    for limit in (1, 2, 4):
        assert case.messages(limit=limit) == whole
    late = [message for message in whole if message.accepted_at >= iso_time(START + 100)]
    assert case.messages(since=START + 100) == late
    assert case.messages(until=START + 99) == [message for message in whole if message not in late]


def test_failed_message_that_the_log_lacks_is_found(case: LogCase, services: Services) -> None:
    # Given: a message that failed before the log existed
    unroutable = Outcome(Result.FAILED, FailureReason.UNROUTABLE, "No queue is bound.")
    case.flow.broker.answer = lambda _: unroutable
    case.post()
    (written,) = case.messages()
    table = services.settings.table("statistics")
    for item in services.dynamodb.scan(TableName=table)["Items"]:
        key = {name: item[name] for name in ("connection", "sort")}
        services.dynamodb.delete_item(TableName=table, Key=key)

    # When
    (found,) = case.messages(status=TraceStatus.FAILED, device=DEVICE)

    # Then
    assert (found.id, found.failed_id, found.detail) == (written.id, written.failed_id, written.detail)
