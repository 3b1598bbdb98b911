"""The reconciler's minutely run."""

from dataclasses import replace

import pytest

from chalicelib.domain import breaker, downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollJob
from chalicelib.errors import BrokerMisconfigured, Unavailable
from chalicelib.upkeep.reconciler import Reconciler
from chalicelib.upkeep.survey import SWEEP_RUNS
from chalicelib.vocabulary import EventType
from tests.unit.flow import TENANT, UNREACHABLE, Flow


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


def polled(flow: Flow) -> list[str]:
    """Return the connections in the poll jobs of one run."""
    flow.polls.sent.clear()
    flow.reconciler.run()
    return sorted(target.connection_id for job in flow.polls.sent for target in job.targets)


def test_polls_go_on_while_only_uplinks_are_refused(flow: Flow) -> None:
    refused = BrokerMisconfigured(EventType.EXCHANGE_MISSING, "no exchange")
    for connection_id, fault in (("c2", refused), ("c3", UNREACHABLE)):
        connection = flow.connect(connection_id)
        assert flow.connections.update_breaker(breaker.failed(connection, fault, flow.now, 0, 1), connection.epoch)
    assert polled(flow) == ["c1", "c2"]


def test_poll_of_refused_downlinks_waits_for_its_next_attempt(flow: Flow) -> None:
    refused = BrokerMisconfigured(EventType.PERMISSION_REFUSED, "may not use a queue")

    def fail() -> Connection:
        after = downlink_fault.failed(flow.state(), refused, flow.now, 0, 1)
        assert flow.connections.update_downlinks(after, after.downlink_failures - 1)
        return after

    fail()
    flow.connect("c2")
    assert polled(flow) == ["c2"]
    flow.now += 299
    assert polled(flow) == ["c2"]
    flow.now += 1
    assert polled(flow) == ["c1", "c2"]
    fail()
    assert polled(flow) == ["c2"]


def test_error_of_one_connection_does_not_stop_the_checks_of_others(flow: Flow) -> None:
    # Given
    checked: list[str] = []

    class Checks:
        def concerns(self, connection: Connection) -> bool:
            if connection.id == "c2":
                raise ValueError(connection.startup_time)
            return True

        def check(self, connection: Connection) -> None:
            if connection.id == "c1":
                raise ValueError(connection.startup_time)
            checked.append(connection.id)

    flow.connect("c2")
    flow.connect("c3")
    for name in ("c1", "c2", "c3"):
        stored = flow.state(name)
        flow.connections.connections[TENANT, name] = stored.model_copy(update={"outage_since": flow.now})
    reconciler = Reconciler(replace(flow.reconciler_context, alarms=Checks(), retention=Checks()))

    # When
    for _ in range(SWEEP_RUNS):
        reconciler.run()
        flow.now += 60

    # Then the alarms and, once, the retention of c2 and c3 were checked
    assert sorted(checked) == ["c2"] + ["c3"] * (SWEEP_RUNS + 1)


def test_unforeseen_error_of_a_step_does_not_stop_other_steps(flow: Flow) -> None:
    class Broken:
        def send(self, _job: PollJob) -> None:
            raise ZeroDivisionError

    reconciler = Reconciler(replace(flow.reconciler_context, polls=Broken()))
    flow.connections.set_pending_wake(TENANT, "c1", flow.now, "token")
    with pytest.raises(Unavailable, match="pollJobs"):
        reconciler.run()
    assert flow.wakes.sent == 1


def test_check_that_aws_does_not_answer_fails_the_run_after_the_other_checks(flow: Flow) -> None:
    # Given
    checked: list[str] = []

    class Checks:
        def concerns(self, _connection: Connection) -> bool:
            return True

        def check(self, connection: Connection) -> None:
            checked.append(connection.id)
            if connection.id == "c1":
                raise Unavailable("DynamoDB does not answer")

    flow.connect("c2")
    reconciler = Reconciler(replace(flow.reconciler_context, alarms=Checks()))

    # When
    with pytest.raises(Unavailable, match="DynamoDB"):
        reconciler.run()

    # Then
    assert sorted(checked) == ["c1", "c2"]
