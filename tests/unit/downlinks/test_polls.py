"""Poll jobs of another release, and records that a poll reads again while it consumes."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.errors import NotFound, Unavailable
from chalicelib.ports.queues import QueueRecord
from infra.local.in_memory import MemoryDownlinkQueue, MemoryLeases
from infra.local.waiting import wait_until
from tests.unit.flow import TENANT, Flow


class Consumer:
    """A consumer that runs until it has opened a connection and ``goes_on`` holds no more."""

    def __init__(self, goes_on: Callable[[], bool] = lambda: False) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self._goes_on = goes_on

    def close(self, connection_id: str, _then: object = None) -> None:
        self.closed.append(connection_id)

    def delete_queue(self, connection_id: str) -> None:
        self.closed.append(connection_id)

    def open(self, connection: Connection, _secrets: ConnectionSecrets, _old: object = ()) -> None:
        self.opened.append(connection.id)

    def run(self, _close_at: float, _end: float, *callbacks: Any) -> None:
        tick = callbacks[-1]

        def opened() -> bool:
            tick()
            return bool(self.opened) and not self._goes_on()

        assert wait_until(opened, 10)


def poll(flow: Flow, consumer: Consumer, *bodies: str) -> None:
    queue = MemoryDownlinkQueue(60, flow.clock)
    context = PollContext(
        connections=flow.connections,
        secrets=flow.secrets,
        leases=MemoryLeases(20, time.monotonic),
        intake=DownlinkIntake(queue, flow.secrets, flow.ingress, flow.monitoring, flow.executor, flow.clock),
        monitoring=flow.monitoring,
        make_consumer=lambda: consumer,  # type: ignore[arg-type, return-value]  # the methods that a poll calls here
        executor=flow.executor,
        clock=flow.clock,
        random=lambda: 0.0,
        timing=flow.settings.timing.model_copy(update={"recheck": 0.02}),
    )
    records = [QueueRecord(f"r{number}", f"m{number}", body) for number, body in enumerate(bodies)]
    PollHandler(context).handle(records, time.monotonic() + 30)


def job(flow: Flow, **fields: object) -> str:
    targets = [{"tenant": TENANT, "connectionId": "c1", "weight": 1}]
    return json.dumps({"sentAt": flow.now, "targets": targets, **fields})


def test_poll_job_with_unknown_fields_is_handled(flow: Flow) -> None:
    consumer = Consumer()
    poll(flow, consumer, job(flow, priority={"level": 1}))
    assert consumer.opened == ["c1"]


def test_unreadable_poll_job_is_kept_and_does_not_stop_others(flow: Flow) -> None:
    consumer = Consumer()
    with pytest.raises(Unavailable, match="1 poll job"):
        poll(flow, consumer, job(flow, sentAt="noon"), job(flow))
    assert consumer.opened == ["c1"]


class Glances:
    """Answers of eventually consistent reads, of which ``number`` were made."""

    def __init__(self, answer: Callable[[], Connection]) -> None:
        self.number = 0
        self._answer = answer

    def __call__(self, _tenant: str, _connection_id: str) -> Connection:
        self.number += 1
        return self._answer()


def test_old_record_of_a_cheap_read_changes_nothing(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given: reads that still show the record before its last change, when the connection was inactive
    old = flow.state().model_copy(update={"active": False})
    flow.connections.connections[TENANT, "c1"] = flow.state().model_copy(update={"version": 2})
    glances = Glances(lambda: old)
    monkeypatch.setattr(flow.connections, "glance", glances)

    # When
    consumer = Consumer(lambda: glances.number < 3)
    poll(flow, consumer, job(flow))

    # Then
    assert (consumer.opened, consumer.closed) == (["c1"], [])


def test_record_that_a_cheap_read_does_not_find_is_read_again(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Connection:
        raise NotFound("not yet at this replica")

    glances = Glances(missing)
    monkeypatch.setattr(flow.connections, "glance", glances)
    consumer = Consumer(lambda: glances.number < 3)
    poll(flow, consumer, job(flow))
    assert (consumer.opened, consumer.closed) == (["c1"], [])


def test_changed_record_of_a_cheap_read_is_applied(flow: Flow) -> None:
    consumer = Consumer(lambda: not consumer.closed)

    def deactivate() -> Connection:
        flow.connections.connections[TENANT, "c1"] = flow.state().model_copy(update={"active": False, "version": 2})
        return flow.state()

    flow.connections.glance = Glances(deactivate)  # type: ignore[assignment,method-assign]
    poll(flow, consumer, job(flow))
    assert consumer.closed == ["c1"]
