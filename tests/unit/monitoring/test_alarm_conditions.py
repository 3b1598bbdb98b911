"""Conditions of alarms in the flow's metrics: what raises them, and ordinary use that raises none."""

import json
from typing import Any

import pytest

from chalicelib.monitoring.metrics import metrics
from chalicelib.upkeep.survey import SWEEP_RUNS
from chalicelib.vocabulary import Metric
from tests.unit.flow import TENANT, UNREACHABLE, Flow

RAISED_BY_ANY = (
    Metric.SWEPT,
    Metric.UPLINKS_STUCK,
    Metric.UPLINKS_EXPIRE,
    Metric.UPLINKS_LOST,
    Metric.NOT_HANDLED,
    Metric.UNREADABLE,
    Metric.EVENTS_LOST,
    Metric.CERTIFICATES_ENDING,
)
"""Metrics whose alarm any number above zero raises."""


@pytest.fixture(autouse=True)
def _new() -> None:
    metrics.take("", None)


def found() -> dict[str, Any]:
    return {name: value for line in metrics.take("s", None) for name, value in json.loads(line).items()}


def sweep(flow: Flow) -> None:
    for _ in range(SWEEP_RUNS):
        flow.reconciler.run()
        flow.now += 60


def test_reports_without_a_wake_raise_swept(flow: Flow) -> None:
    flow.post()
    flow.wakes.delete([record.receipt for record in flow.take()])
    sweep(flow)
    assert found()["Swept"] == 1


def test_reports_on_their_way_do_not_raise_swept(flow: Flow) -> None:
    # The wake of a report arrives while the reconciler looks again.
    flow.while_asleep = flow.forward
    for _ in range(SWEEP_RUNS):
        flow.post()
        flow.reconciler.run()
        flow.now += 60
    assert found()["Swept"] == 0
    flow.forward()
    assert len(flow.broker.received) == SWEEP_RUNS


def test_backlog_that_is_being_drained_does_not_raise_swept_and_is_woken(flow: Flow) -> None:
    flow.post()
    flow.forward()
    flow.post()
    flow.wakes.delete([record.receipt for record in flow.take()])
    for _ in range(SWEEP_RUNS):
        flow.slots.take("c1", "a forwarder", 4, 120)
        flow.reconciler.run()
        flow.now += 60
    assert found()["Swept"] == 0
    flow.forward()
    assert len(flow.broker.received) == 2


def test_pending_wake_that_is_not_sent_raises_overdue(flow: Flow) -> None:
    flow.connections.set_pending_wake(TENANT, "c1", flow.now - 700, "token")
    flow.connections.clear_pending_wake = lambda *_: None  # type: ignore[method-assign]
    flow.reconciler.run()
    assert max(found()["WakeOverdue"]) >= 700


def test_dead_broker_of_a_customer_raises_no_alarm(flow: Flow) -> None:
    flow.broker.down = UNREACHABLE
    flow.post()
    flow.forward()
    sweep(flow)
    numbers = found()
    assert numbers["BreakersOpen"] > 0
    # The alarm needs three tenants.
    assert numbers["TenantsBroken"] / SWEEP_RUNS < 3
    raised = {name: numbers.get(name, 0) for name in RAISED_BY_ANY}
    assert not any(raised.values()), raised
    assert max(numbers["WakeOverdue"]) <= 600
