"""Poll jobs of another release, and records that a poll reads again while it consumes."""

import json
import time
from collections.abc import Callable, Collection
from typing import Any

import pytest

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.errors import Unavailable
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


class Generations:
    """Answers of reads of the tenant's generation: the given ones, the last one for ever. ``number`` were made."""

    def __init__(self, *answers: int) -> None:
        self.number = 0
        self._answers = answers

    def __call__(self, tenants: Collection[str]) -> dict[str, int]:
        self.number += 1
        return dict.fromkeys(tenants, self._answers[min(self.number, len(self._answers)) - 1])


def counted_reads(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reads: list[str] = []
    get = flow.connections.get

    def counted(tenant: str, connection_id: str) -> Connection:
        reads.append(connection_id)
        return get(tenant, connection_id)

    monkeypatch.setattr(flow.connections, "get", counted)
    return reads


@pytest.mark.parametrize("answers", [(7,), (7, 6)], ids=["unchanged", "of a replica that lags behind"])
def test_record_is_read_once_while_the_generation_does_not_grow(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, answers: tuple[int, ...]
) -> None:
    generations = Generations(*answers)
    monkeypatch.setattr(flow.connections, "generations", generations)
    reads = counted_reads(flow, monkeypatch)
    consumer = Consumer(lambda: generations.number < 5)
    poll(flow, consumer, job(flow))
    assert (consumer.opened, consumer.closed) == (["c1"], [])
    assert reads == ["c1"]


def test_record_is_read_and_applied_when_the_generation_has_grown(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer(lambda: not consumer.closed)

    def deactivate_once_open(tenants: Collection[str]) -> dict[str, int]:
        if consumer.opened:
            changed = flow.state().model_copy(update={"active": False, "version": 2})
            flow.connections.connections[TENANT, "c1"] = changed
        return dict.fromkeys(tenants, 8 if consumer.opened else 7)

    monkeypatch.setattr(flow.connections, "generations", deactivate_once_open)
    poll(flow, consumer, job(flow))
    assert consumer.closed == ["c1"]


def test_failed_read_of_a_record_is_repeated(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    get, failures = flow.connections.get, [Unavailable("no answer")]

    def unsure(tenant: str, connection_id: str) -> Connection:
        if failures:
            raise failures.pop()
        return get(tenant, connection_id)

    monkeypatch.setattr(flow.connections, "get", unsure)
    consumer = Consumer()
    poll(flow, consumer, job(flow))
    assert consumer.opened == ["c1"]
