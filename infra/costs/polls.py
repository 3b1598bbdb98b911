"""The polls of connections without messages: a minute with its hand-over, on an emulation of AWS in simulated time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chalicelib.adapters.aws.connection_items import GENERATION, record_of
from chalicelib.adapters.aws.dynamodb import to_item
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.queues import QueueRecord
from chalicelib.vocabulary import ConnectionState
from infra.costs.meter import Meter
from infra.costs.prices import Unit
from infra.local.aws import data_stack

T = TypeVar("T")

_TURN = 0.2
"""Simulated seconds between two turns of a poll's loop."""
_BEGAN = 1_700_000_000.0


@dataclass(frozen=True)
class Minute:
    """AWS calls, billed units and seconds of the function in one minute of a group of connections."""

    connections: int
    calls: Counter[str]
    units: dict[Unit, float]
    seconds: float


class _Inline(Executor):
    """Runs each function at once, so that one thread at a time uses the emulation."""

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001  # raised by the future
            future.set_exception(error)
        return future


@dataclass
class _Poll:
    thread: threading.Thread
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False
    stop: bool = False


class _Idle:
    """A consumer whose brokers open and close at once, and send nothing."""

    def __init__(self, turn: Callable[[], bool]) -> None:
        self._turn = turn
        self._later: list[Callable[[], object]] = []
        self._finished = False
        self._opened: Callable[[str], None] = lambda _id: None

    def open(self, connection: Connection, _secrets: object, _old: object = ()) -> None:
        self._later.append(lambda: self._opened(connection.id))

    def close(self, _connection_id: str, then: Callable[[], object] | None = None) -> None:
        if then:
            self._later.append(then)

    def finish(self) -> None:
        self._finished = True

    def run(self, _close_at: float, _end: float, _batch: object, opened: Any, _fault: object, tick: Any) -> None:
        self._opened = opened
        while not self._finished and self._turn():
            due, self._later = self._later, []
            for action in due:
                action()
            tick()


class IdlePolls:
    """A group of connections with downlinks, polled as one job, of ``tenants`` tenants."""

    def __init__(self, settings: Settings, connections: int, tenants: int) -> None:
        self._settings = settings
        self._now = _BEGAN
        self._services = Services(settings, lambda: self._now)
        plain = Services(settings)
        data_stack.create(plain.dynamodb, plain.sqs, settings.resource_prefix, settings.timing)
        self._meter = Meter(plain.dynamodb, settings.resource_prefix)
        self._meter.listen(self._services.dynamodb, self._services.sqs)
        self._targets = []
        for number in range(tenants):
            generation = {"tenant": f"tenant{number}", "id": GENERATION, "generation": 1, "connections": connections}
            plain.dynamodb.put_item(TableName=settings.table("connections"), Item=to_item(generation))
        for number in range(connections):
            made = idle_connection(f"tenant{number % tenants}", self._now)
            # Not by the store: the emulation's transactions copy the whole table.
            plain.dynamodb.put_item(TableName=settings.table("connections"), Item=to_item(record_of(made)))
            self._targets.append(PollTarget(tenant=made.tenant, connection_id=made.id))
        self._local = threading.local()
        self._polls: list[_Poll] = []

    def minute(self) -> Minute:
        """Return the usage of the minute between the starts of the second and the third poll."""
        with self._running():
            self._start()
            self._advance(self._settings.timing.poll_period)
            self._meter.take()
            before = self._now
            self._start()
            seconds = 0.0
            while self._now < before + self._settings.timing.poll_period:
                self._advance(_TURN)
                seconds += _TURN * sum(not poll.ended for poll in self._polls)
            calls, units = self._meter.take()
        return Minute(len(self._targets), calls, units, seconds)

    @contextmanager
    def _running(self) -> Iterator[None]:
        try:
            yield
        finally:
            for poll in self._polls:
                poll.stop = True
                self._turn(poll)
                poll.thread.join()

    def _start(self) -> None:
        job = PollJob(sent_at=self._now, targets=self._targets).model_dump_json(by_alias=True)
        services = self._services
        context = PollContext(
            connections=services.connection_store,
            secrets=services.secret_store,
            leases=services.leases,
            intake=services.poll_handler._context.intake,  # noqa: SLF001  # the wiring of the function
            monitoring=services.monitoring,
            make_consumer=lambda: _Idle(self._wait_for_turn),  # type: ignore[arg-type, return-value]
            executor=_Inline(),
            clock=lambda: self._now,
            random=lambda: 0.0,
            timing=self._settings.timing,
            monotonic=lambda: self._now,
        )

        def run() -> None:
            self._local.poll = poll
            poll.go.acquire()
            try:
                PollHandler(context).handle([QueueRecord("r", "m", job)], self._now + 150)
            finally:
                poll.ended = True
                poll.stopped.release()

        poll = _Poll(threading.Thread(target=run, daemon=True))
        poll.thread.start()
        self._polls.append(poll)
        self._turn(poll)

    def _wait_for_turn(self) -> bool:
        poll: _Poll = self._local.poll
        poll.stopped.release()
        poll.go.acquire()
        return not poll.stop

    @staticmethod
    def _turn(poll: _Poll) -> None:
        if not poll.ended:
            poll.go.release()
            poll.stopped.acquire()

    def _advance(self, seconds: float) -> None:
        for _ in range(round(seconds / _TURN)):
            self._now += _TURN
            for poll in self._polls:
                self._turn(poll)


def idle_connection(tenant: str, now: float) -> Connection:
    """Return a connection whose downlinks were consumed before."""
    return Connection(
        tenant=tenant,
        id=new_id(now),
        name="idle",
        active=True,
        configuration=AmqpConfiguration(
            host_name="broker.example",
            protocol=BrokerProtocol.TCP,
            uplink_topic_pattern="things.{DevEUI}.uplink",
            downlink_topic_pattern="things.{DevEUI}.downlink",
            username="user",
        ),
        created_at=iso_time(now),
        updated_at=iso_time(now),
        startup_time=iso_time(now),
        state=ConnectionState.OPENED,
        downlink_state=ConnectionState.OPENED,
    )
