"""Rules of wakes, pending wake-ups and the breaker, tested on in-memory ports."""

import json
from dataclasses import replace

import pytest

from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.domain.work_items import Wake
from chalicelib.errors import BrokerMisconfigured, Unavailable
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.ports.queues import QueueRecord
from chalicelib.uplinks.settlement import ALONE_FROM
from chalicelib.vocabulary import EventType, FailureReason, RetryReason
from tests.unit.flow import LOST, TENANT, UNREACHABLE, Flow


def test_report_is_published_deleted_and_counted(flow: Flow) -> None:
    body = flow.post()
    flow.forward()
    assert flow.bodies() == [body]
    assert flow.queues.depth("c1") == (0, 0)
    assert flow.statistics.counts[TENANT, "c1"] == {"uplinksDelivered": 1}
    assert flow.statistics.devices[TENANT, "c1"] == {f"{1:016X}"}


def test_first_confirm_opens_connection(flow: Flow) -> None:
    flow.post()
    flow.forward()
    assert flow.state().state == "OPENED"
    assert flow.state().startup_time
    assert flow.event_types() == ["OPENED"]


def test_probe_opens_new_connection_without_report(flow: Flow) -> None:
    flow.wake(probe=0)
    flow.forward()
    assert flow.state().state == "OPENED"


def test_reports_of_device_keep_order_of_acceptance(flow: Flow) -> None:
    bodies = [flow.post(device) for _ in range(30) for device in (1, 2, 3)]
    flow.forward()
    for device in (1, 2, 3):
        own = [b for b in bodies if f"{device:016X}" in b]
        assert [b for b in flow.bodies() if f"{device:016X}" in b] == own


def test_unreachable_broker_opens_breaker_and_loses_no_report(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.post()
    flow.forward()
    after = flow.state()
    assert (after.state, after.state_reason, after.breaker_open) == ("UNREACHABLE", "connection refused", True)
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.event_types() == [EventType.CONNECTION_REFUSED]


def test_open_breaker_prevents_connects_and_lets_wakes_go(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.post()
    flow.forward()
    flow.broker.down = None
    flow.post()
    flow.forward()
    assert flow.broker.opened == 0
    assert flow.queues.depth("c1") == (2, 0)


def test_reports_arrive_in_order_after_outage(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    bodies = []
    for _ in range(5):
        bodies += [flow.post(1), flow.post(2)]
        flow.forward()
    flow.broker.down = None
    flow.now = (flow.state().probe_at or 0) + 1
    flow.reconciler.run()
    flow.forward()
    assert sorted(flow.bodies()) == sorted(bodies)
    assert [b for b in flow.bodies() if f"{1:016X}" in b] == bodies[::2]
    assert (flow.state().state, flow.state().outage_since) == ("OPENED", None)


def test_failed_probe_postpones_next_probe(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.wake(probe=0)
    flow.forward()
    first = flow.state().probe_at
    flow.now = (first or 0) + 1
    flow.reconciler.run()
    flow.forward()
    after = flow.state()
    assert (after.failures, after.state) == (2, "UNREACHABLE")
    assert after.probe_at == flow.now + 300


def test_probe_of_earlier_epoch_does_not_connect(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.wake(probe=0)
    flow.forward()
    flow.broker.down = None
    flow.wake(probe=0)
    flow.forward()
    assert flow.broker.opened == 0


def test_misconfigured_broker_loses_no_report(flow: Flow) -> None:
    flow.broker.fault = BrokerMisconfigured(EventType.EXCHANGE_MISSING, "the exchange does not exist")
    flow.post()
    flow.forward()
    assert flow.state().state == "CLOSED"
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.failed.messages == {}


def test_connection_lost_while_idle_is_reopened_immediately(flow: Flow) -> None:
    flow.post()
    flow.forward()
    flow.broker.fault = LOST
    flow.post()
    flow.forward()
    assert (flow.broker.opened, len(flow.broker.received)) == (2, 2)
    assert flow.state().state == "OPENED"


def test_unroutable_report_is_stored_as_failed_and_unblocks_device(flow: Flow) -> None:
    bodies = [flow.post(), flow.post()]

    def answer(message: OutgoingMessage) -> Outcome:
        return (
            Outcome(Result.FAILED, FailureReason.UNROUTABLE, "NO_ROUTE")
            if message.body.decode() == bodies[0]
            else DELIVERED
        )

    flow.broker.answer = answer
    flow.forward()
    (failed,) = flow.failed.messages[TENANT, "c1"]
    assert (failed.reason, failed.body, failed.routing_key) == ("UNROUTABLE", bodies[0], f"up.{1:016X}")
    assert flow.bodies() == [bodies[1]]
    assert "UNROUTABLE" in flow.event_types()


def test_report_fails_permanently_when_pattern_is_unresolved(flow: Flow) -> None:
    flow.connect("c2", uplinkTopicPattern="up.{CustomerData.name}")
    body = flow.post()
    flow.forward()
    (failed,) = flow.failed.messages[TENANT, "c2"]
    assert (failed.reason, failed.body, failed.dev_eui) == ("PATTERN_UNRESOLVED", body, f"{1:016X}")


def test_expired_uplink_is_counted_as_lost_and_reported(flow: Flow) -> None:
    flow.connect("c2", uplinkTimeValidity="5m")
    flow.post(Time="1970-01-01T00:00:00Z")
    flow.forward()
    assert flow.statistics.counts[TENANT, "c2"] == {"uplinksLost": 1}
    assert "UPLINK_EXPIRED" in flow.event_types()


def test_failed_and_expired_uplinks_of_a_minute_are_one_event_for_each_type(flow: Flow) -> None:
    flow.connect("c2", uplinkTopicPattern="up.{CustomerData.name}", uplinkTimeValidity="5m")
    for device in (1, 2, 3):
        flow.post(device)
        flow.post(device, Time="1970-01-01T00:00:00Z")
        flow.forward()
    found = {
        event.type: event.details
        for _, event in flow.events.events
        if event.connection_id == "c2" and event.type in {"PATTERN_UNRESOLVED", "UPLINK_EXPIRED"}
    }
    assert found == {type_: {"devEUI": f"{1:016X}", "count": 3} for type_ in found}
    assert len(found) == 2
    types = [event.type for _, event in flow.events.events if event.connection_id == "c2"]
    assert len(types) == len(set(types))
    flow.now += 60
    flow.post(4)
    flow.forward()
    assert flow.event_types().count("PATTERN_UNRESOLVED") == 2


def test_nack_delays_only_its_own_device(flow: Flow) -> None:
    first, second = flow.post(1), flow.post(1)
    other = flow.post(2)
    refused = {first}

    def answer(message: OutgoingMessage) -> Outcome:
        return Outcome(Result.RETRY, RetryReason.NACKED) if message.body.decode() in refused else DELIVERED

    flow.broker.answer = answer
    flow.forward()
    assert flow.bodies() == [other]
    refused.clear()
    flow.now += 5.1
    flow.reconciler.run()
    flow.forward()
    assert flow.bodies() == [other, first, second]


def test_wake_for_report_held_elsewhere_leaves_pending_wake(flow: Flow) -> None:
    flow.post()
    flow.queues.receive("c1", 10)  # a forwarder that will be killed
    flow.forward()
    assert flow.state().wake_at == flow.now + 60
    flow.now += 61
    flow.reconciler.run()
    flow.forward()
    assert len(flow.broker.received) == 1


def test_wake_without_report_leaves_pending_wake_while_queue_is_not_empty(flow: Flow) -> None:
    flow.post()
    flow.queues.receive("c1", 10)
    flow.take()
    flow.wake()
    flow.forward()
    assert flow.state().wake_at is not None


def test_deactivated_connection_keeps_its_reports(flow: Flow) -> None:
    flow.post()
    flow.connections.replace(flow.state().model_copy(update={"active": False}), 1)
    flow.forward()
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.broker.opened == 0


def test_wakes_of_deleted_connection_are_let_go(flow: Flow) -> None:
    flow.post()
    flow.connections.delete(TENANT, "c1")
    flow.queues.delete("c1")
    flow.forward()
    assert flow.broker.opened == 0


def test_next_drain_uses_changed_configuration(flow: Flow) -> None:
    flow.post()
    flow.forward()
    changed = flow.state().configuration.model_copy(update={"uplink_topic_pattern": "new.{DevEUI}"})
    flow.connections.replace(flow.state().model_copy(update={"configuration": changed, "version": 2}), 1)
    flow.post()
    flow.forward()
    assert [m.routing_key for m in flow.broker.received] == [f"up.{1:016X}", f"new.{1:016X}"]
    assert flow.broker.opened == 2


def test_drain_without_time_leaves_pending_wake(flow: Flow) -> None:
    flow.post()
    flow.forward(seconds=flow.settings.timing.spare)
    assert flow.broker.received == []
    assert flow.state().wake_at == flow.now


def test_failing_connection_does_not_stop_others_in_batch(flow: Flow) -> None:
    flow.connect("c2")
    flow.post()
    del flow.connections.connections[TENANT, "c1"]
    flow.forward()
    assert len(flow.broker.received) == 1


def test_unreadable_wake_is_kept_and_does_not_stop_others(flow: Flow) -> None:
    flow.post()
    records = flow.take()
    for body in ("{}", "[]", "{", '{"tenant": 1, "connectionId": "c1"}'):
        with pytest.raises(Unavailable, match=r"1 wake\(s\) are unreadable"):
            flow.forward([*records, QueueRecord("r", "m", body)])
    assert len(flow.broker.received) == 1
    assert len(flow.wakes) == 0


def test_wake_with_unknown_field_is_handled(flow: Flow) -> None:
    flow.post()
    (record,) = flow.take()
    flow.forward([replace(record, body=json.dumps({**json.loads(record.body), "priority": {"level": 1}}))])
    assert len(flow.broker.received) == 1


@pytest.mark.parametrize("unreadable", [{"messageId": 7}, {"probe": "soon"}, {"helper": None}])
def test_wake_with_unreadable_field_drains_its_connection(flow: Flow, unreadable: dict[str, object]) -> None:
    flow.post()
    (record,) = flow.take()
    flow.forward([replace(record, body=json.dumps({**json.loads(record.body), **unreadable}))])
    assert len(flow.broker.received) == 1


def test_repeated_report_is_published_once(flow: Flow) -> None:
    body = flow.post(FCntUp=7)
    flow.post(FCntUp=7)
    flow.forward()
    assert flow.bodies() == [body]


def test_wake_names_its_report() -> None:
    flow = Flow()
    flow.connect()
    flow.post()
    (wake,) = [Wake.model_validate_json(record.body) for record in flow.take()]
    (report,) = flow.queues.receive("c1", 10)
    assert wake.message_id == report.message_id
    flow.executor.shutdown()


def test_missing_queue_leaves_pending_wake(flow: Flow) -> None:
    flow.post()
    records = flow.take()
    flow.queues.delete("c1")
    flow.forward(records)
    assert flow.state().wake_at is not None


def test_confirmed_reports_are_settled_when_secret_is_missing_for_reconnect(flow: Flow) -> None:
    flow.post(1)
    flow.forward()
    flow.connections.connections[TENANT, "c1"] = flow.state().model_copy(update={"secret_version": "gone"})
    confirmed, unconfirmed = flow.post(1), flow.post(2)
    flow.broker.lost_at = {unconfirmed}
    flow.forward()
    assert flow.bodies()[1:] == [confirmed]
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.state().wake_at is not None


def test_drain_ends_when_a_reconnect_raises_an_unforeseen_error(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.post(1)
    flow.forward()
    flow.broker.lost_at = {flow.post(2)}

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(flow.broker, "open", fail)
    flow.forward()
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.state().wake_at is not None


def test_validity_of_uplink_without_time_starts_at_acceptance(flow: Flow) -> None:
    flow.connect("c2", uplinkTimeValidity="5m")
    flow.post()
    records = flow.take()
    flow.now += 301
    flow.forward(records)
    assert flow.statistics.counts[TENANT, "c2"] == {"uplinksLost": 1}


def received_often(flow: Flow, times: int) -> None:
    """Receive the reports without settling them, as killed functions do."""
    for _ in range(times):
        flow.queues.receive("c1", 10)
        flow.now += 61


def test_repeatedly_received_report_is_sent_alone_and_reported(flow: Flow) -> None:
    bodies = [flow.post(1), flow.post(1), flow.post(2)]
    received_often(flow, ALONE_FROM - 1)
    fresh = flow.post(3)
    calls: list[int] = []
    flow.broker.on_publish = calls.append
    flow.forward()
    assert calls == [1, 1, 1, 1]
    assert flow.bodies()[0] == fresh
    assert sorted(flow.bodies()[1:]) == sorted(bodies)
    assert [b for b in flow.bodies() if f"{1:016X}" in b] == bodies[:2]
    assert "UPLINK_STUCK" in flow.event_types()


def test_device_sent_one_by_one_keeps_order_after_nack(flow: Flow) -> None:
    bodies = [flow.post(1), flow.post(1), flow.post(1)]
    received_often(flow, ALONE_FROM - 1)
    refused = {bodies[1]}

    def answer(message: OutgoingMessage) -> Outcome:
        return Outcome(Result.RETRY, RetryReason.NACKED) if message.body.decode() in refused else DELIVERED

    flow.broker.answer = answer
    flow.forward()
    assert flow.bodies() == bodies[:1]
    refused.clear()
    flow.now += 901
    flow.reconciler.run()
    flow.forward()
    assert flow.bodies() == bodies


def test_wakes_that_are_handled_at_once_cost_no_visibility_call(flow: Flow) -> None:
    extended: list[str] = []
    flow.wakes.extend = extended.extend  # type: ignore[assignment]
    flow.post()
    flow.forward()
    assert extended == []


@pytest.mark.parametrize(("seconds", "attempts"), [(119.0, 1), (100.0, 2)], ids=["waited", "received twice"])
def test_wakes_that_waited_for_the_function_stay_hidden_for_the_full_time(
    flow: Flow, seconds: float, attempts: int
) -> None:
    flow.post()
    records = [replace(record, attempts=attempts) for record in flow.take()]
    flow.now += seconds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow.wakes, "delete", lambda _receipts: None)
        flow.forward(records)
    flow.now += 179
    assert flow.take() == []


def held_elsewhere(flow: Flow, device: int = 1) -> None:
    """Post a report that another forwarder receives, and handle its wake."""
    flow.post(device)
    assert flow.queues.receive("c1", 10)
    flow.forward()


def test_pending_wake_that_is_due_in_time_serves_further_drains(flow: Flow) -> None:
    # Given
    held_elsewhere(flow)
    first = flow.state()
    assert first.wake_at == flow.now + 60

    # When
    flow.now += 50
    held_elsewhere(flow, 2)

    # Then: nothing was written
    assert flow.state() == first


@pytest.mark.parametrize("passed", [59.0, 61.0], ids=["almost due", "overdue"])
def test_pending_wake_whose_wake_may_be_on_its_way_serves_no_further_drain(flow: Flow, passed: float) -> None:
    # Given: the reconciler may read and clear it while this drain ends
    held_elsewhere(flow)
    first = flow.state()

    # When
    flow.now += passed
    held_elsewhere(flow, 2)

    # Then: the new token keeps it
    assert flow.state().wake_at == first.wake_at
    assert flow.state().wake_token != first.wake_token


def test_pending_wake_that_is_due_too_late_is_advanced(flow: Flow) -> None:
    flow.connections.set_pending_wake(TENANT, "c1", flow.now + 900, "token")
    held_elsewhere(flow)
    assert flow.state().wake_at == flow.now + 60
