"""Ingress and drains with flows: which queue gets a report, and what travels with it."""

from collections.abc import Iterator

import pytest

from chalicelib.domain.delivery import Outcome, Result
from chalicelib.domain.flows.flow import Flow as FlowRecord
from chalicelib.errors import BrokerUnreachable
from chalicelib.ports.queues import ReceivedReport
from chalicelib.vocabulary import EventType, FailureReason
from tests.unit.domain.flows.cases import flow, key, report, thing
from tests.unit.flow import TENANT, Flow


@pytest.fixture
def scene() -> Iterator[Flow]:
    made = Flow()
    made.connect()
    yield made
    made.executor.shutdown()


def add(scene: Flow, record: FlowRecord) -> None:
    assert scene.flows.create(record, 200) == []


def queued(scene: Flow, connection_id: str = "c1") -> list[ReceivedReport]:
    return scene.queues.receive(connection_id, 10)


def test_next_report_follows_each_change_of_a_flow(scene: Flow) -> None:
    # Given: a connection without a flow receives everything
    first = scene.post(1)
    record = flow(matchers=[key("lora:0000000000000002")])
    add(scene, record)

    # When
    scene.post(1)
    second = scene.post(2)
    scene.flows.replace(record.model_copy(update={"active": False, "version": 2}), 1)
    scene.post(2)
    scene.flows.delete(TENANT, record.id)
    third = scene.post(3)

    # Then
    assert [each.body for each in queued(scene)] == [first, second, third]


def test_connection_gets_one_copy_with_driver_and_validity_of_the_first_flow(scene: Flow) -> None:
    scene.connect("c2")
    add(scene, flow("a", matchers=[thing("x")], driver="d:a:1", validity="1h"))
    add(scene, flow("b", to=["c1", "c2"], driver="d:b:1"))

    # When
    scene.post(CustomerData={"tags": ["X"]})

    # Then
    [one], [other] = queued(scene), queued(scene, "c2")
    assert (one.driver, one.validity) == ("d:a:1", "1h")
    assert (other.driver, other.validity) == ("d:b:1", None)


def test_report_without_flow_has_neither_driver_nor_validity(scene: Flow) -> None:
    scene.post()
    [received] = queued(scene)
    assert (received.driver, received.validity) == (None, None)


def test_report_that_no_flow_chooses_is_accepted_and_stored_nowhere(scene: Flow) -> None:
    add(scene, flow(matchers=[thing("x")]))
    sent = scene.wakes.sent
    scene.post()
    assert (queued(scene), scene.wakes.sent) == ([], sent)


def test_report_for_one_connection_only_is_not_filtered(scene: Flow) -> None:
    # Given: such as the rejection of a downlink, which goes back to where the downlink came from
    add(scene, flow(matchers=[thing("x")], driver="d:a:1"))
    scene.ingress.store(TENANT, report(), only=[scene.state()])
    assert [each.driver for each in queued(scene)] == [None]


def test_flows_are_read_once_for_each_generation(scene: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    add(scene, flow())
    reads: list[str] = []
    read = scene.flows.of_tenant

    def counted(tenant: str) -> Iterator[FlowRecord]:
        reads.append(tenant)
        return read(tenant)

    monkeypatch.setattr(scene.flows, "of_tenant", counted)

    # When
    for number in range(5):
        scene.post(number)
    add(scene, flow("f2"))
    for number in range(5):
        scene.post(number)

    # Then
    assert len(reads) - 1 == 2  # the store itself reads once, to check the limit


# Validity


def test_validity_of_the_flow_replaces_that_of_the_connection(scene: Flow) -> None:
    # Given: uplinks that wait ten minutes
    scene.connect("c2", uplinkTimeValidity="5m")
    scene.connect("c3", uplinkTimeValidity="1h")
    add(scene, flow("a", to=["c1", "c3"], validity="5m"))
    add(scene, flow("b", to=["c2"], validity="1h"))
    scene.post()

    # When
    scene.now += 600
    scene.forward()

    # Then
    assert [message.headers["connectionId"] for message in scene.broker.received] == ["c2"]
    assert scene.event_types().count("UPLINK_EXPIRED") == 2
    expired = [event.message for _, event in scene.events.events if event.type == "UPLINK_EXPIRED"]
    assert all("(5m)" in message for message in expired)
    assert scene.statistics.counts[TENANT, "c1"]["uplinksLost"] == 1


def test_failed_message_keeps_driver_and_validity(scene: Flow) -> None:
    add(scene, flow(driver="d:a:1", validity="1h"))
    scene.broker.answer = lambda _: Outcome(Result.FAILED, FailureReason.UNROUTABLE)
    scene.post()
    scene.forward()
    [failed], _ = scene.failed.page(TENANT, "c1", 10, None)
    assert (failed.driver, failed.validity) == ("d:a:1", "1h")
    assert {"driver", "validity"}.isdisjoint(failed.to_json())


def test_reports_of_a_deactivated_connection_keep_their_flow_until_they_are_sent(scene: Flow) -> None:
    # Given
    add(scene, flow(driver="d:a:1", validity="1h"))
    scene.broker.down = BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused")
    scene.post()
    scene.forward()
    inactive = scene.state().model_copy(update={"active": False, "version": 2})
    scene.connections.replace(inactive, 1, reset=True)

    # When: the flow changes meanwhile
    scene.flows.replace(flow(driver="d:other:1", validity="5m").model_copy(update={"version": 2}), 1)
    scene.now += 600
    active = replace_active(scene)
    scene.wake(probe=active)
    scene.broker.down = None
    scene.forward()

    # Then: it is sent, because an hour has not passed
    assert len(scene.broker.received) == 1


def replace_active(scene: Flow) -> int:
    scene.connections.replace(scene.state().model_copy(update={"active": True, "version": 3}), 2, reset=True)
    return scene.state().epoch
