"""The reconciler's work of each minute."""

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


def test_reports_that_nobody_was_told_of_are_found_within_five_minutes(flow: Flow) -> None:
    flow.post()
    flow.wakes.delete([record.receipt for record in flow.take()])
    run(flow, SWEEP_RUNS)
    flow.forward()
    assert len(flow.broker.received) == 1


def test_an_idle_connection_is_not_woken_by_the_sweep(flow: Flow) -> None:
    run(flow, 2 * SWEEP_RUNS)
    assert flow.wakes.sent == 0


def test_a_connection_with_a_mark_needs_no_sweep(flow: Flow) -> None:
    flow.post()
    flow.wakes.delete([record.receipt for record in flow.take()])
    flow.connections.set_pending_wake(TENANT, "c1", flow.now + 3600, "token")
    before = flow.wakes.sent
    run(flow, SWEEP_RUNS)
    assert flow.wakes.sent == before


def test_what_fails_does_not_keep_the_rest_from_being_done(flow: Flow) -> None:
    class Broken:
        def send(self, _job: PollJob) -> None:
            raise Unavailable("SQS does not answer")

    reconciler = Reconciler(replace(flow.reconciler_context, polls=Broken()))
    flow.connections.set_pending_wake(TENANT, "c1", flow.now, "token")
    with pytest.raises(Unavailable):
        reconciler.run()
    assert flow.wakes.sent == 1
    assert flow.state().wake_at is None
