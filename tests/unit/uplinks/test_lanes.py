"""Lanes: proved, handed on and demoted connections."""

import threading
import time
from dataclasses import replace

import pytest

from chalicelib.domain.work_items import Wake
from chalicelib.errors import Unavailable
from chalicelib.uplinks.admission import DRAINS_OF_A_CONNECTION, DRAINS_OF_A_TENANT, Admission
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.lanes import LaneKeeper
from chalicelib.vocabulary import ConnectionState
from infra.local.in_memory import MemorySlots, MemoryWakeQueue
from infra.local.waiting import wait_until
from tests.unit.flow import TENANT, UNREACHABLE, Flow


class Lanes:
    """The forwarders of both lanes on one flow."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.slow_wakes = MemoryWakeQueue(180, flow.clock)
        self.fast = Forwarder(replace(flow.parts, slow_wakes=self.slow_wakes), flow.executor)
        self.slots = MemorySlots(flow.clock)
        admission = Admission(self.slots, 30, flow.clock, lambda _: None)
        self.slow = Forwarder(replace(flow.parts, wakes=self.slow_wakes, admission=admission), flow.executor)

    def forward_fast(self, seconds: float = 30) -> None:
        records = self.flow.take()
        self.fast.handle(records, time.monotonic() + seconds)
        self.flow.wakes.delete([record.receipt for record in records])

    def forward_slow(self) -> None:
        records = self.slow_wakes.take()
        self.slow.handle(records, time.monotonic() + 30)
        self.slow_wakes.delete([record.receipt for record in records])

    def prove(self) -> None:
        """Let the connection's first report prove that its broker is fast."""
        self.flow.post()
        self.forward_fast()
        self.forward_slow()
        assert self.flow.state().is_fast


@pytest.fixture
def lanes(flow: Flow) -> Lanes:
    return Lanes(flow)


def test_wake_of_a_new_connection_is_handed_on_to_the_slow_lane(flow: Flow, lanes: Lanes) -> None:
    # Given
    body = flow.post()

    # When
    lanes.forward_fast()

    # Then: nothing is sent yet, and the wake keeps its report
    assert flow.bodies() == []
    [record] = lanes.slow_wakes.take()
    wake = Wake.model_validate_json(record.body)
    [report] = flow.queues.receive("c1", 10)
    assert (wake.connection_id, wake.message_id) == ("c1", report.message_id)
    assert report.body == body


def test_slow_lane_proves_a_connection_whose_broker_confirms_at_once(flow: Flow, lanes: Lanes) -> None:
    lanes.prove()
    body = flow.post()
    lanes.forward_fast()
    assert flow.bodies()[-1] == body
    assert not len(lanes.slow_wakes)


def test_slow_lane_gives_the_slot_of_a_proved_connection_back_to_the_functions_that_need_it(
    flow: Flow, lanes: Lanes
) -> None:
    flow.slots.take("c1", "another function", 3, 60)
    lanes.prove()
    assert [*flow.slots.holders["c1"]] == ["another function"]
    assert not flow.pool.is_warm(flow.state())


def test_only_socket_stays_open_when_its_connection_changes_lanes(flow: Flow, lanes: Lanes) -> None:
    lanes.prove()
    assert flow.pool.is_warm(flow.state())


def test_socket_stays_open_in_the_lane_that_drains_the_connection(flow: Flow, lanes: Lanes) -> None:
    lanes.prove()
    flow.slots.take("c1", "another function", 3, 60)
    flow.post()
    lanes.forward_fast()
    assert flow.pool.is_warm(flow.state())


def test_connection_without_a_confirm_is_not_proved(flow: Flow, lanes: Lanes) -> None:
    flow.wake(probe=0)
    lanes.forward_fast()
    lanes.forward_slow()
    assert flow.state().state is ConnectionState.OPENED
    assert not flow.state().is_fast


def test_late_confirm_keeps_a_connection_in_the_slow_lane(flow: Flow, lanes: Lanes) -> None:
    flow.broker.slowest = 1.0
    flow.post()
    lanes.forward_fast()
    lanes.forward_slow()
    assert len(flow.bodies()) == 1
    assert not flow.state().is_fast


def test_late_confirm_demotes_a_fast_connection(flow: Flow, lanes: Lanes) -> None:
    lanes.prove()
    flow.broker.slowest = 1.0
    flow.post()
    lanes.forward_fast()
    assert not flow.state().is_fast


def test_connection_is_demoted_while_its_drain_still_waits_for_a_confirm(flow: Flow, lanes: Lanes) -> None:
    # Given: a broker that confirms only when the test lets it
    lanes.prove()
    confirm = threading.Event()

    def wait_for_test(_number: int) -> None:
        flow.broker.waiting_since = time.monotonic() - 1.0
        assert confirm.wait(10)

    flow.broker.on_publish = wait_for_test
    flow.post()

    # When
    draining = threading.Thread(target=lanes.forward_fast)
    draining.start()

    # Then
    try:
        assert wait_until(lambda: not flow.state().is_fast, 5)
        assert draining.is_alive()
    finally:
        confirm.set()
        draining.join()
    assert len(flow.bodies()) == 2


def test_wait_in_which_this_process_did_not_run_demotes_no_connection(flow: Flow) -> None:
    # Given: a confirm that came after two seconds, of which the forwarder itself was stalled for 1.5
    flow.connections.mark_fast(flow.state(), flow.now)
    lane = LaneKeeper(flow.parts, TENANT, "c1")
    lane.connecting(flow.parts.monotonic() - 2.0)

    # When
    lane.watch(stalled=1.5)
    lane.connecting()
    lane.record(flow.state())
    assert flow.state().is_fast

    # Then: a wait of the same length without a stall does
    second = LaneKeeper(flow.parts, TENANT, "c1")
    second.connecting(flow.parts.monotonic() - 2.0)
    second.watch()
    assert not flow.state().is_fast


def test_connect_that_takes_too_long_for_the_fast_lane_goes_on_in_the_slow_lane(
    flow: Flow, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a proved connection that must connect again; its broker needs two seconds, measured by the drain's clock
    lanes.prove()
    flow.pool.close("c1")
    passed = 0.0
    flow.broker.takes = 2.0

    def monotonic() -> float:
        return time.monotonic() + passed

    real = flow.broker.open

    def open_late(*arguments: object) -> object:
        nonlocal passed
        try:
            return real(*arguments)  # type: ignore[arg-type]
        finally:
            passed += 1.0

    monkeypatch.setattr(flow.broker, "open", open_late)
    flow.broker.monotonic = monotonic
    lanes.fast = Forwarder(replace(flow.parts, slow_wakes=lanes.slow_wakes, monotonic=monotonic), flow.executor)
    body = flow.post()

    # When
    lanes.forward_fast()

    # Then: no fault, and the report can be received at once
    assert not flow.state().is_fast
    assert not flow.state().breaker_open
    assert flow.queues.depth("c1") == (1, 0)
    lanes.forward_slow()
    assert flow.bodies()[-1] == body


def test_opened_breaker_and_changed_configuration_end_the_proof(flow: Flow, lanes: Lanes) -> None:
    lanes.prove()
    flow.broker.down = UNREACHABLE
    flow.post()
    flow.pool.close("c1")
    lanes.forward_fast()
    assert flow.state().breaker_open
    assert not flow.state().is_fast


def test_wake_that_cannot_be_handed_on_is_replaced_by_a_pending_wake_up(
    flow: Flow, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_wakes: object) -> None:
        raise Unavailable("SQS does not answer")

    monkeypatch.setattr(lanes.slow_wakes, "send", refuse)
    flow.post()
    lanes.forward_fast()
    assert flow.state().wake_at == flow.now + flow.settings.timing.report_visibility


def test_proof_of_an_earlier_epoch_is_ignored(flow: Flow) -> None:
    before = flow.state()
    flow.connections.update_breaker(before.model_copy(update={"epoch": before.epoch + 1}), before.epoch)
    flow.connections.mark_fast(before, flow.now)
    assert not flow.connections.get(TENANT, "c1").is_fast


@pytest.mark.parametrize(("connection", "number"), [("c1", DRAINS_OF_A_CONNECTION), ("c2", DRAINS_OF_A_TENANT)])
def test_slow_lane_limits_the_drains_of_a_connection_and_of_a_tenant(
    flow: Flow, lanes: Lanes, connection: str, number: int
) -> None:
    # Given: as many drains of the connection or of the tenant run as may
    key = f"drains#{TENANT}"
    for drain in range(number):
        lanes.slots.take(key, f"{connection}#drain {drain}", number, 30)
    body = flow.post()

    # When
    lanes.forward_fast()
    lanes.forward_slow()

    # Then: the wake is let go, and a pending wake-up replaces it
    assert flow.bodies() == []
    assert not len(lanes.slow_wakes)
    assert flow.state().wake_at == flow.now + flow.settings.timing.recheck

    # When: one of them has ended
    lanes.slots.give_back(key, f"{connection}#drain 0")
    flow.now += flow.settings.timing.recheck
    flow.reconciler.run()
    lanes.forward_fast()
    lanes.forward_slow()

    # Then
    assert flow.bodies() == [body]


def test_drain_of_the_slow_lane_leaves_no_slot_behind(flow: Flow, lanes: Lanes) -> None:
    flow.broker.down = UNREACHABLE
    flow.post()
    lanes.forward_fast()
    lanes.forward_slow()
    assert flow.state().breaker_open
    assert not any(lanes.slots.holders.values())
