"""Drains with slow queues, backlogs, helpers and probes."""

import time
from collections.abc import Sequence
from dataclasses import replace

from chalicelib.domain.work_items import Wake
from chalicelib.errors import Unavailable
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.drain import CHUNK_REPORTS, HELPERS
from chalicelib.uplinks.forwarder import Forwarder
from infra.local.in_memory import MemoryUplinkQueues, MemoryWakeQueue
from tests.unit.flow import LOST, UNREACHABLE, Flow


class SlowQueues(MemoryUplinkQueues):
    """Queues whose every receive takes ``seconds``, on a clock that only they move."""

    seconds = 0.15
    passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def receive(self, connection_id: str, limit: int) -> list[ReceivedReport]:
        self.passed += self.seconds
        return super().receive(connection_id, limit)


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


def test_the_time_that_the_queue_took_is_not_held_against_the_broker(flow: Flow) -> None:
    # Given: what is left of the drain once the reports are received is less than the broker is due
    slowed(flow)
    flow.broker.takes = 4.9
    body = flow.post()

    # When
    flow.forward(seconds=flow.settings.timing.spare + SlowQueues.seconds / 2)

    # Then: no attempt, no fault; a mark, after which the report is delivered
    assert not flow.state().breaker_open
    assert flow.event_types() == []
    assert flow.queues.depth("c1") == (1, 0)
    assert flow.state().wake_at == flow.now
    flow.reconciler.run()
    flow.forward()
    assert flow.bodies() == [body]


def test_a_slow_queue_does_not_put_off_a_probe(flow: Flow) -> None:
    slowed(flow)
    flow.broker.takes = 4.9
    body = flow.post()
    flow.take()
    flow.wake(probe=0)
    flow.forward(seconds=flow.settings.timing.spare + SlowQueues.seconds / 2)
    assert flow.bodies() == [body]
    assert flow.state().state == "OPENED"


def test_of_a_slow_queue_so_much_is_received_as_can_be_published(flow: Flow) -> None:
    # Given: a hundred reports, of which a receive gives ten
    slowed(flow)
    flow.broker.takes = 4.9
    for device in range(100):
        flow.post(device)

    # When: there is time for three receives before nothing new may be begun
    flow.forward(seconds=flow.settings.timing.spare + 3 * SlowQueues.seconds)

    # Then
    assert 10 <= len(flow.bodies()) < 100
    assert flow.state().wake_at == flow.now


def test_a_connection_that_is_lost_late_in_a_drain_is_opened_again_with_the_time_it_is_due(flow: Flow) -> None:
    # Given: longer ago than all connecting of a drain may take
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


def test_no_more_time_is_spent_on_connecting_than_its_budget(flow: Flow) -> None:
    slowed(flow, connect_budget=0.2)
    flow.broker.takes = 0.3
    flow.post()
    flow.forward()
    assert flow.state().breaker_open
    assert flow.event_types() == ["CONNECTION_TIMEOUT"]


def backlog(flow: Flow, devices: int) -> None:
    """Reports whose wakes are gone, as they are after an outage."""
    for number in range(devices):
        flow.post(number)
    while records := flow.take():
        flow.wakes.delete([record.receipt for record in records])


def helpers(flow: Flow) -> list[int]:
    return [Wake.model_validate_json(record.body).helper for record in flow.take()]


def test_a_drain_that_finds_a_backlog_asks_for_one_helper_after_the_other(flow: Flow) -> None:
    for helper in range(HELPERS):
        backlog(flow, 2 * CHUNK_REPORTS)
        flow.wake(helper=helper)
        flow.forward()
        assert helpers(flow) == [helper + 1]


def test_the_last_helper_asks_for_none(flow: Flow) -> None:
    backlog(flow, CHUNK_REPORTS)
    flow.wake(helper=HELPERS)
    flow.forward()
    assert len(flow.broker.received) == CHUNK_REPORTS
    assert helpers(flow) == []


def test_less_than_a_chunk_is_drained_alone(flow: Flow) -> None:
    backlog(flow, CHUNK_REPORTS - 1)
    flow.wake()
    flow.forward()
    assert len(flow.broker.received) == CHUNK_REPORTS - 1
    assert helpers(flow) == []


def test_reports_that_come_in_have_wakes_of_their_own_and_need_no_helper(flow: Flow) -> None:
    for number in range(CHUNK_REPORTS):
        flow.post(number)
    first, *_ = flow.take()
    flow.forward([first])
    assert len(flow.broker.received) == CHUNK_REPORTS
    assert flow.wakes.sent == CHUNK_REPORTS


def test_a_helper_is_asked_for_only_once_the_broker_has_taken_something(flow: Flow) -> None:
    backlog(flow, 3 * CHUNK_REPORTS)
    flow.broker.down = UNREACHABLE
    flow.wake()
    flow.forward()
    assert helpers(flow) == []
    flow.broker.down = None
    flow.wake(probe=flow.state().epoch)
    flow.forward()
    assert helpers(flow) == [1]


def test_without_its_helper_a_drain_goes_on_alone(flow: Flow) -> None:
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
    """Queues that give three reports at a time, as SQS may, however many wait."""

    def receive(self, connection_id: str, limit: int) -> list[ReceivedReport]:
        return super().receive(connection_id, min(limit, 3))


def test_a_probe_that_succeeds_sends_all_that_waits(flow: Flow) -> None:
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


def test_the_mark_of_a_recovery_is_due_once_what_others_hold_is_back(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.post()
    flow.forward()
    flow.broker.down = None
    flow.wake(probe=flow.state().epoch)
    flow.forward()
    assert flow.state().wake_at == flow.now + flow.settings.timing.report_visibility
