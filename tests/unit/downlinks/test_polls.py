"""Poll jobs of another release."""

import json
import time
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
    """A consumer that runs until it has opened a connection."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, connection: Connection, _secrets: ConnectionSecrets, _old: object = ()) -> None:
        self.opened.append(connection.id)

    def run(self, _close_at: float, _end: float, *callbacks: Any) -> None:
        tick = callbacks[-1]

        def opened() -> bool:
            tick()
            return bool(self.opened)

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
        timing=flow.settings.timing,
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
