"""Rejection of invalid downlinks in batches."""

from unittest.mock import Mock

import pytest

from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.errors import Unavailable
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from infra.local.in_memory import MemoryDownlinkQueue
from tests.unit.flow import TENANT, Flow

DEVICE = f"{1:016X}"


@pytest.fixture
def intake(flow: Flow) -> DownlinkIntake:
    return DownlinkIntake(
        MemoryDownlinkQueue(60, flow.clock), flow.secrets, flow.ingress, flow.monitoring, flow.executor, flow.clock
    )


def received(*bodies: bytes, device: str = DEVICE) -> list[ReceivedDownlink]:
    return [
        ReceivedDownlink("c1", tag, f"down.{device}", body, None, None, redelivered=False)
        for tag, body in enumerate(bodies)
    ]


def spy(monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> Mock:
    made = Mock(wraps=getattr(target, name))
    monkeypatch.setattr(target, name, made)
    return made


def test_number_of_writes_does_not_depend_on_the_number_of_equal_faults(
    flow: Flow, intake: DownlinkIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    spies = [
        spy(monkeypatch, flow.events, "add_up"),
        spy(monkeypatch, flow.statistics, "add"),
        spy(monkeypatch, flow.ingress, "store"),
    ]
    verdicts = intake.accept(flow.state(), received(*[b"garbage %d" % number for number in range(100)]))
    assert verdicts == [Verdict.REJECT] * 100
    assert [each.call_count for each in spies] == [1, 1, 1]
    assert flow.statistics.counts[TENANT, "c1"]["downlinksFailed"] == 100


def test_connection_has_one_event_a_minute_with_the_number_and_the_first_example(
    flow: Flow, intake: DownlinkIntake
) -> None:
    flow.now = 60_000.0
    for device in (1, 2):
        intake.accept(flow.state(), received(b"{", b"[", device=f"{device:016X}"))
        flow.now += 10
    flow.now += 60
    intake.accept(flow.state(), received(b"{"))
    found = [event.details for _, event in flow.events.events]
    assert found == [{"devEUI": DEVICE, "count": 4}, {"devEUI": DEVICE, "count": 1}]


def test_different_faults_of_a_device_are_reported_in_order(flow: Flow, intake: DownlinkIntake) -> None:
    intake.accept(flow.state(), received(b"[]", b"{}", b'{"DevEUI_downlink": {"FPort": 300, "payload_hex": "00"}}'))
    (first,) = flow.queues.receive("c1", 1)
    assert "DevEUI_downlink_Rejected" in first.body
    assert sum(flow.queues.depth("c1")) == 2


def test_invalid_downlink_stays_at_the_broker_while_its_report_cannot_be_stored(
    flow: Flow, intake: DownlinkIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise Unavailable("SQS does not answer")

    monkeypatch.setattr(flow.queues, "send", refuse)
    verdicts = intake.accept(flow.state(), received(b"{", b"{"))
    assert verdicts == [Verdict.LATER] * 2
    assert flow.events.events == []
