"""Receives that are short or falsely empty: what a drain receives, publishes and promises."""

from dataclasses import replace

import pytest

from chalicelib.domain.work_items import Wake
from chalicelib.errors import Unavailable
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.drain_context import CHUNK_REPORTS, DrainState
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.streaming.receiving import CALLS_IN_TURN, HELD_AT_QUICK, HELD_REPORTS, ReportReceiver
from chalicelib.vocabulary import ConnectionState
from infra.local.in_memory import MemoryUplinkQueues
from tests.unit.flow import TENANT, Flow


class SparingQueues(MemoryUplinkQueues):
    """Queues that answer as SQS may: at most three reports, and none where ``empty`` holds the call's number.

    A long poll asks all servers and is never falsely empty.
    """

    empty: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()
    calls = 0
    long_polls = 0
    depths = 0

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        self.calls += 1
        self.long_polls += wait
        if self.calls in self.failing:
            raise Unavailable("SQS does not answer")
        return [] if self.calls in self.empty and not wait else super().receive(connection_id, min(limit, 3), wait)

    def depth(self, connection_id: str) -> tuple[int, int]:
        self.depths += 1
        return super().depth(connection_id)


@pytest.fixture
def queues(flow: Flow) -> SparingQueues:
    queues = SparingQueues(60, flow.clock)
    queues.create("c1")
    flow.use_queues(queues)
    flow.parts = replace(flow.parts, queues=queues)
    flow.forwarder = Forwarder(flow.parts, flow.executor)
    # An open connection, because closing the breaker would write a further pending wake-up.
    flow.connections.connections[TENANT, "c1"] = flow.state().model_copy(update={"state": ConnectionState.OPENED})
    return queues


def backlog(flow: Flow, reports: int) -> None:
    """Queue reports without wakes, as an outage leaves them."""
    for number in range(reports):
        flow.post(number)
    while records := flow.take():
        flow.wakes.delete([record.receipt for record in records])


@pytest.mark.usefixtures("queues")
def test_wake_without_a_report_drains_the_whole_queue_through_short_receives(flow: Flow) -> None:
    backlog(flow, 3 * CHUNK_REPORTS)
    flow.wake()
    flow.forward()
    assert len(flow.bodies()) == 3 * CHUNK_REPORTS
    assert flow.state().wake_at is None


def test_wake_without_a_report_goes_on_after_a_falsely_empty_receive(flow: Flow, queues: SparingQueues) -> None:
    # Given: every second receive is falsely empty
    queues.empty = frozenset(range(1, 1000, 2))
    backlog(flow, 50)

    # When
    flow.wake()
    flow.forward()

    # Then
    assert len(flow.bodies()) == 50
    assert flow.state().wake_at is None


def test_single_report_is_published_after_a_falsely_empty_receive(flow: Flow, queues: SparingQueues) -> None:
    queues.empty = frozenset({1})
    body = flow.post()
    flow.forward()
    assert flow.bodies() == [body]
    assert flow.state().wake_at is None
    assert queues.long_polls == 1


def test_single_report_costs_one_receive(flow: Flow, queues: SparingQueues) -> None:
    flow.post()
    flow.forward()
    assert (queues.calls, queues.depths) == (1, 0)


@pytest.mark.usefixtures("queues")
def test_report_behind_others_in_short_receives_is_published_by_its_own_drain(flow: Flow) -> None:
    # Given: nine reports whose wakes another forwarder holds, and a tenth
    for device in range(9):
        flow.post(device)
    flow.take()
    body = flow.post(9)

    # When
    flow.forward()

    # Then
    assert body in flow.bodies()
    assert flow.state().wake_at is None


def test_report_that_another_forwarder_holds_gets_a_pending_wake_up_without_a_long_poll(
    flow: Flow, queues: SparingQueues
) -> None:
    flow.post()
    queues.receive("c1", 10)
    flow.forward()
    assert flow.bodies() == []
    assert queues.long_polls == 0
    assert flow.state().wake_at == flow.now + flow.settings.timing.report_visibility


def test_failed_receive_within_a_chunk_keeps_what_was_received(flow: Flow, queues: SparingQueues) -> None:
    # Given: the second receive of a backlog fails
    queues.failing = frozenset({2})
    backlog(flow, 10)

    # When
    flow.wake()
    flow.forward()

    # Then: everything is published, and the reports that the lost answer may hide get a pending wake-up
    assert len(flow.bodies()) == 10
    assert flow.state().wake_at == flow.now + flow.settings.timing.report_visibility


@pytest.mark.parametrize(("quick", "most"), [(False, HELD_REPORTS), (True, HELD_AT_QUICK)])
def test_drain_holds_more_reports_while_the_broker_is_quick(flow: Flow, quick: bool, most: int) -> None:
    for number in range(HELD_AT_QUICK + 100):
        flow.post(number)
    state = DrainState()
    receiver = ReportReceiver(flow.parts, "c1", [Wake(tenant=TENANT, connection_id="c1")], state, lambda: None)
    receiver.next(further=True, idle=True, quick=quick)
    while receiver.busy:
        receiver.next(further=True, idle=True, quick=quick)
    assert most - CALLS_IN_TURN * BATCH < len(state.held) <= most
