"""Drains with slow queues, backlogs, helpers and probes."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from chalicelib.domain.work_items import Wake
from chalicelib.errors import Unavailable
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.drain import HELPERS
from chalicelib.uplinks.drain_context import CHUNK_REPORTS
from chalicelib.uplinks.forwarder import Forwarder
from infra.local.in_memory import MemoryUplinkQueues, MemoryWakeQueue
from tests.unit.flow import LOST, UNREACHABLE, Flow


class SlowQueues(MemoryUplinkQueues):
    """Queues whose receives take ``seconds`` each, measured by a clock that only the receives advance."""

    seconds = 0.15
    passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        self.passed += self.seconds
        return super().receive(connection_id, limit, wait)


def slowed(flow: Flow, **timing: float) -> Flow:
    queues = SlowQueues(60, flow.clock)
    queues.create("c1")
    flow.use_queues(queues)
    flow.broker.monotonic = queues.monotonic
    flow.parts = replace(
        flow.parts,
        queues=queues,
        timing=flow.settings.timing.model_copy(update=timing),
        monotonic=queues.monotonic,
    )
    flow.forwarder = Forwarder(flow.parts, flow.executor)
    return flow


def test_slow_queue_does_not_open_breaker(flow: Flow) -> None:
    # Given: after receiving, less time is left than the broker may need to connect
    slowed(flow)
    flow.broker.takes = 4.9
    body = flow.post()

    # When
    flow.forward(seconds=flow.settings.timing.spare + SlowQueues.seconds / 2)

    # Then: no attempt and no fault, but a pending wake-up, after which the report is delivered
    assert not flow.state().breaker_open
    assert flow.event_types() == []
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.state().wake_at == flow.now
    flow.reconciler.run()
    flow.forward()
    assert flow.bodies() == [body]


def test_slow_queue_does_not_delay_probe(flow: Flow) -> None:
    slowed(flow)
    flow.broker.takes = 4.9
    body = flow.post()
    flow.take()
    flow.wake(probe=0)
    flow.forward(seconds=flow.settings.timing.spare + SlowQueues.seconds / 2)
    assert flow.bodies() == [body]
    assert flow.state().state == "OPENED"


def test_drain_receives_from_slow_queue_only_what_it_can_publish(flow: Flow) -> None:
    # Given: a hundred reports; each receive returns ten
    slowed(flow)
    flow.broker.takes = 4.9
    for device in range(100):
        flow.post(device)

    # When: three receives fit before the drain must not start new work
    flow.forward(seconds=flow.settings.timing.spare + 3 * SlowQueues.seconds)

    # Then
    assert 10 <= len(flow.bodies()) < 100
    assert flow.state().wake_at == flow.now


def test_connection_lost_late_in_drain_is_reopened_with_full_timeout(flow: Flow) -> None:
    # Given: the drain began longer ago than its budget for connecting
    slowed(flow, connect_budget=0.1)
    flow.broker.takes = 0.05
    body = flow.post()
    flow.forward()
    flow.broker.fault = LOST
    again = flow.post(device=2)

    # When
    flow.forward()

    # Then
    assert flow.bodies() == [body, again]
    assert flow.broker.opened == 2
    assert not flow.state().breaker_open


def test_connecting_stops_at_its_time_budget(flow: Flow) -> None:
    slowed(flow, connect_budget=0.2)
    flow.broker.takes = 0.3
    flow.post()
    flow.forward()
    assert flow.state().breaker_open
    assert flow.event_types() == ["CONNECTION_TIMEOUT"]


def backlog(flow: Flow, devices: int) -> None:
    """Queue reports and delete their wakes, as after an outage."""
    for number in range(devices):
        flow.post(number)
    while records := flow.take():
        flow.wakes.delete([record.receipt for record in records])


def helpers(flow: Flow) -> list[int]:
    return [Wake.model_validate_json(record.body).helper for record in flow.take()]


def test_each_drain_with_backlog_starts_one_successor(flow: Flow) -> None:
    for helper in range(HELPERS):
        backlog(flow, 2 * CHUNK_REPORTS)
        flow.wake(helper=helper)
        flow.forward()
        assert helpers(flow) == [helper + 1]


def test_last_helper_starts_no_successor(flow: Flow) -> None:
    backlog(flow, CHUNK_REPORTS)
    flow.wake(helper=HELPERS)
    flow.forward()
    assert len(flow.broker.received) == CHUNK_REPORTS
    assert helpers(flow) == []


def test_backlog_below_one_chunk_starts_no_helper(flow: Flow) -> None:
    backlog(flow, CHUNK_REPORTS - 1)
    flow.wake()
    flow.forward()
    assert len(flow.broker.received) == CHUNK_REPORTS - 1
    assert helpers(flow) == []


def test_incoming_reports_have_wakes_and_start_no_helper(flow: Flow) -> None:
    for number in range(CHUNK_REPORTS):
        flow.post(number)
    first, *_ = flow.take()
    flow.forward([first])
    assert len(flow.broker.received) == CHUNK_REPORTS
    assert flow.wakes.sent == CHUNK_REPORTS


def test_helper_starts_only_after_broker_confirmed_reports(flow: Flow) -> None:
    backlog(flow, 3 * CHUNK_REPORTS)
    flow.broker.down = UNREACHABLE
    flow.wake()
    flow.forward()
    assert helpers(flow) == []
    flow.broker.down = None
    flow.wake(probe=flow.state().epoch)
    flow.forward()
    assert helpers(flow) == [1]


def test_drain_continues_when_helper_wake_cannot_be_sent(flow: Flow) -> None:
    backlog(flow, CHUNK_REPORTS)
    flow.wake()

    class Refusing(MemoryWakeQueue):
        def send(self, _wakes: Sequence[Wake]) -> None:
            raise Unavailable("SQS did not take every wake")

    flow.parts = replace(flow.parts, wakes=Refusing(180, flow.clock))
    records = flow.take()
    Forwarder(flow.parts, flow.executor).handle(records, time.monotonic() + 30)
    assert len(flow.broker.received) == CHUNK_REPORTS


class SparingQueues(MemoryUplinkQueues):
    """Queues that return at most three reports per receive, as SQS may even for a longer queue."""

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        return super().receive(connection_id, min(limit, 3), wait)


def test_successful_probe_drains_whole_queue(flow: Flow) -> None:
    # Given: reports of an outage, whose wakes were let go
    flow.use_queues(SparingQueues(60, flow.clock))
    flow.queues.create("c1")
    flow.parts = replace(flow.parts, queues=flow.queues)
    flow.forwarder = Forwarder(flow.parts, flow.executor)
    flow.broker.down = UNREACHABLE
    backlog(flow, 10)
    flow.wake()
    flow.forward()
    flow.broker.down = None

    # When
    flow.wake(probe=flow.state().epoch)
    flow.forward()

    # Then
    assert len(flow.bodies()) == 10
    assert flow.state().state == "OPENED"


def test_pending_wake_after_recovery_is_due_after_report_visibility(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.post()
    flow.forward()
    flow.broker.down = None
    flow.wake(probe=flow.state().epoch)
    flow.forward()
    assert flow.state().wake_at == flow.now + flow.settings.timing.report_visibility


def test_unforeseen_exception_of_a_drain_leaves_a_pending_wake_up(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given: a drain that fails for a reason that no rule covers
    def receive(*_: object) -> None:
        raise RuntimeError("unforeseen")

    flow.post()
    with monkeypatch.context() as patch:
        patch.setattr(flow.queues, "receive", receive)

        # When: the forwarder does not raise, so that the shared queue does not slow down
        flow.forward()

    # Then
    assert flow.take() == []
    assert flow.state().wake_at == flow.now + flow.settings.timing.report_visibility


def test_drain_that_fails_and_leaves_no_pending_wake_up_keeps_its_wakes(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(flow.queues, "receive", fail)
    monkeypatch.setattr(flow.connections, "set_pending_wake", fail)
    flow.post()
    with pytest.raises(Unavailable):
        flow.forward()
