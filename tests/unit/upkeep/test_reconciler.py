"""The reconciler's minutely run."""

from dataclasses import replace

import pytest

from chalicelib.domain.work_items import PollJob
from chalicelib.errors import Unavailable
from chalicelib.upkeep.reconciler import SWEEP_RUNS, Reconciler
from tests.unit.flow import TENANT, Flow


def run(flow: Flow, minutes: int) -> None:
    for _ in range(minutes):
        flow.reconciler.run()
        flow.now += 60


def test_sweep_finds_reports_without_wake_within_five_minutes(flow: Flow) -> None:
    flow.post()
    flow.wakes.delete([record.receipt for record in flow.take()])
    run(flow, SWEEP_RUNS)
    flow.forward()
    assert len(flow.broker.received) == 1


def test_sweep_sends_no_wake_for_idle_connection(flow: Flow) -> None:
    run(flow, 2 * SWEEP_RUNS)
    assert flow.wakes.sent == 0


def test_sweep_skips_connection_with_pending_wake(flow: Flow) -> None:
    flow.post()
    flow.wakes.delete([record.receipt for record in flow.take()])
    flow.connections.set_pending_wake(TENANT, "c1", flow.now + 3600, "token")
    before = flow.wakes.sent
    run(flow, SWEEP_RUNS)
    assert flow.wakes.sent == before


def test_failed_step_does_not_stop_other_steps(flow: Flow) -> None:
    class Broken:
        def send(self, _job: PollJob) -> None:
            raise Unavailable("SQS does not answer")

    reconciler = Reconciler(replace(flow.reconciler_context, polls=Broken()))
    flow.connections.set_pending_wake(TENANT, "c1", flow.now, "token")
    with pytest.raises(Unavailable):
        reconciler.run()
    assert flow.wakes.sent == 1
    assert flow.state().wake_at is None
