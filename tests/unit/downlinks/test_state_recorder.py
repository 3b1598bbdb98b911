"""Polls record what they find: a fault of the downlinks stops no uplinks, nor the reverse."""

import pytest

from chalicelib.domain import breaker
from chalicelib.downlinks.state_recorder import DownlinkStateRecorder
from chalicelib.errors import BrokerMisconfigured, Unavailable
from chalicelib.vocabulary import EventType
from tests.unit.flow import TENANT, UNREACHABLE, Flow

REFUSED = BrokerMisconfigured(EventType.PERMISSION_REFUSED, "may not use a queue")
NO_EXCHANGE = BrokerMisconfigured(EventType.EXCHANGE_MISSING, "no exchange")


@pytest.fixture
def recorder(flow: Flow) -> DownlinkStateRecorder:
    return DownlinkStateRecorder(flow.connections, flow.monitoring, flow.clock, lambda: 0.0, flow.settings.timing)


def test_refused_queue_is_reported_and_uplinks_go_on(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    recorder.opened(flow.state())
    recorder.failed(flow.state(), REFUSED)
    flow.post()
    flow.forward()
    assert len(flow.broker.received) == 1
    assert (flow.state().state, flow.state().full_reason) == ("OPENED", "Downlinks: may not use a queue")
    assert flow.event_types() == ["OPENED", "PERMISSION_REFUSED"]
    event = flow.events.events[-1][1]
    assert (event.level, event.message) == ("error", "may not use a queue")
    assert event.details == {"role": "downlink", "failures": 1}


def test_success_after_the_fault_clears_it_with_an_event(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    recorder.opened(flow.state())
    recorder.failed(flow.state(), REFUSED)
    recorder.opened(flow.state())
    state = flow.state()
    assert (state.downlink_state, state.downlink_reason, state.downlink_since) == ("OPENED", None, None)
    assert recorder.is_recorded(state)
    event = flow.events.events[-1][1]
    assert (event.type, event.level, event.details) == ("OPENED", "info", {"role": "downlink"})
    assert flow.event_types() == ["OPENED", "PERMISSION_REFUSED", "OPENED"]


def test_fault_of_the_whole_connection_opens_the_breaker(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    recorder.failed(flow.state(), UNREACHABLE)
    assert flow.state().is_down
    assert flow.state().downlink_since is None
    assert flow.events.events[-1][1].details == {"role": "downlink"}


def test_poll_does_not_close_a_breaker_that_a_refused_publish_opened(
    flow: Flow, recorder: DownlinkStateRecorder
) -> None:
    flow.broker.down = NO_EXCHANGE
    flow.post()
    flow.forward()
    recorder.opened(flow.state())
    state = flow.state()
    assert (state.state, state.full_reason, state.downlink_state) == ("CLOSED", "Uplinks: no exchange", "OPENED")
    assert state.breaker_open
    assert recorder.is_recorded(state)


def test_lost_broker_replaces_a_fault_of_the_uplinks(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    flow.broker.down = NO_EXCHANGE
    flow.post()
    flow.forward()
    recorder.failed(flow.state(), UNREACHABLE)
    assert flow.state().is_down
    assert flow.state().state == "UNREACHABLE"


def test_delivered_uplink_leaves_a_fault_of_the_downlinks(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    recorder.failed(flow.state(), REFUSED)
    flow.post()
    flow.forward()
    assert flow.state().state == "OPENED"
    assert flow.state().downlink_state == "CLOSED"


def test_result_of_an_earlier_version_is_dropped(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    before = flow.state()
    flow.connections.replace(before.model_copy(update={"version": 2}), 1, reset=True)
    recorder.failed(before, REFUSED)
    recorder.opened(before)
    assert flow.state().downlink_state is None
    assert flow.event_types() == []


def test_restart_clears_the_fault_and_rejects_older_results(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    recorder.failed(flow.state(), REFUSED)
    stale = flow.state()
    fresh = stale.model_copy(update={"downlink_failures": 0, "downlink_since": None, "epoch": stale.epoch + 1})
    assert flow.connections.update_breaker(fresh, stale.epoch, restart=True)
    assert not flow.connections.update_downlinks(stale, 1)
    assert flow.state().downlink_since is None


def test_breaker_update_keeps_the_fault_of_the_downlinks(flow: Flow, recorder: DownlinkStateRecorder) -> None:
    before = flow.state()
    recorder.failed(before, REFUSED)
    assert flow.connections.update_breaker(breaker.failed(before, UNREACHABLE, flow.now, 0, 1), before.epoch)
    assert flow.state().downlink_reason == "may not use a queue"


def test_store_that_does_not_answer_does_not_end_the_poll(
    flow: Flow, recorder: DownlinkStateRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> None:
        raise Unavailable("DynamoDB does not answer")

    before = flow.state()
    monkeypatch.setattr(flow.connections, "update_downlinks", fails)
    recorder.failed(before, REFUSED)
    recorder.opened(before)
    assert flow.connections.get(TENANT, "c1").downlink_state is None
