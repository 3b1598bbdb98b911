"""Polls: one loop consumes the downlinks of up to fifty connections until the next minute's poll takes them over.

A lease restricts each connection to one consumer: a schedule may fire twice, and the next poll starts while the current
one consumes. ``tenures`` has the hand-over of a connection from poll to poll.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from pydantic import ValidationError
from ulid import ULID

from chalicelib.config import Timing
from chalicelib.domain import downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.state_recorder import DownlinkStateRecorder
from chalicelib.downlinks.tenures import Step, Tenure, TenureContext
from chalicelib.errors import BrokerFault, NotFound, Unavailable
from chalicelib.monitoring import Monitoring, log
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import PolledConnections
from chalicelib.ports.consuming import DownlinkConsumer, ReceivedDownlink, Verdict
from chalicelib.ports.coordination import Leases
from chalicelib.ports.queues import QueueRecord
from chalicelib.ports.secrets import SecretStore
from chalicelib.vocabulary import Metric

MAX_LOSSES = 3
"""Number of times that one poll opens a lost connection again."""


@dataclass(frozen=True)
class PollContext:
    """Dependencies of ``PollHandler`` and ``Poll``."""

    connections: PolledConnections
    secrets: SecretStore
    leases: Leases
    intake: DownlinkIntake
    monitoring: Monitoring
    make_consumer: Callable[[], DownlinkConsumer]
    executor: Executor
    clock: Clock
    random: Callable[[], float]
    timing: Timing
    monotonic: Clock = time.monotonic
    """Measures leases and deadlines, in seconds; a simulation passes another clock."""


class PollHandler:
    """Queue handler of poll jobs: runs one ``Poll`` per invocation and drops stale jobs, which have a successor."""

    def __init__(self, context: PollContext) -> None:
        self._context = context

    def handle(self, records: Sequence[QueueRecord], deadline: float) -> None:
        """Poll the connections of the jobs. Lambda ends the function at ``deadline`` (monotonic).

        A failed job is not repeated, because the reconciler sends a new one every minute. Raises Unavailable after
        the poll if a job is unreadable, so that SQS keeps it and the function's errors show it.
        """
        targets: dict[str, PollTarget] = {}
        unreadable = 0
        for record in records:
            try:
                job = PollJob.model_validate_json(record.body)
            except ValidationError:
                metrics.add(Metric.UNREADABLE)
                log.exception("unreadable poll job kept", extra={"messageId": record.message_id})
                unreadable += 1
                continue
            age = self._context.clock() - job.sent_at
            if age > self._context.timing.poll_period:
                log.info("old poll job dropped", extra={"age": round(age, 1)})
                continue
            targets.update({target.connection_id: target for target in job.targets})
        if targets:
            Poll(self._context, list(targets.values())).run(deadline)
        if unreadable:
            raise Unavailable(f"{unreadable} poll job(s) are unreadable and are kept until their retention ends")


@dataclass
class _PolledConnection:
    """State of one connection within a poll."""

    target: PollTarget
    tenure: Tenure
    connection: Connection | None = None
    """Set while the connection is open or being opened."""
    record_at: float = 0.0
    """Monotonic time of the next read of the connection's record."""
    given_up: bool = False
    """True once the connection is another poll's, or is not consumed any more in this poll."""
    closed: bool = False
    """True once a connection that was given up is closed, so that its lease can be released."""
    left: bool = False
    """True once the lease is released."""
    opened: bool = False
    losses: int = 0
    step: "Future[None] | None" = field(default=None, repr=False)

    def is_due(self, now: float) -> bool:
        """Return whether the next step is due at ``now`` (monotonic)."""
        if self.given_up:
            # While the connection closes, its lease is renewed.
            return not self.left and (self.closed or (self.tenure.held and now >= self.tenure.next_at))
        return now >= (min(self.tenure.next_at, self.record_at) if self.tenure.held else self.tenure.next_at)


class Poll:
    """One run over up to fifty connections: threads follow leases and records, one loop serves the brokers.

    It opens a connection only while it holds the connection's lease. It stops consuming when the lease is asked for or
    lost, and when the record shows that the connection is inactive or its broker is down. It ends when it has left
    all connections. A fault of one connection never ends the others' poll.
    """

    def __init__(self, context: PollContext, targets: Sequence[PollTarget]) -> None:
        self._context = context
        own = TenureContext(
            context.leases, context.timing, context.clock, context.monotonic, str(ULID()), context.clock()
        )
        self._polled = {
            target.connection_id: _PolledConnection(target, Tenure(own, target.connection_id)) for target in targets
        }
        self._consumer = context.make_consumer()
        self._closing = False
        self._recorder = DownlinkStateRecorder(
            context.connections, context.monitoring, context.clock, context.random, context.timing
        )

    def run(self, deadline: float) -> None:
        """Consume until the poll's time has passed or ``deadline`` (monotonic) is near, then release all leases."""
        timing = self._context.timing
        began = self._context.monotonic()
        close_at = min(began + timing.poll_close, deadline - timing.spare)
        end = min(began + timing.poll, deadline - timing.spare / 2)
        try:
            self._consumer.run(close_at, end, self._on_batch, self._on_opened, self._on_fault, self._tick)
        finally:
            self._closing = True
            for polled in self._polled.values():
                if polled.step:
                    polled.step.exception()  # waits for the step, which logs its own exceptions
            for polled in self._polled.values():
                self._release(polled)

    def _release(self, polled: _PolledConnection) -> None:
        try:
            polled.tenure.release()
        except Unavailable as error:
            log.warning("lease not released, it will expire", extra={"reason": str(error)})
        polled.left = True

    def _tick(self) -> None:
        """Start the steps that are due. The loop calls this several times a second, so it never blocks."""
        now = self._context.monotonic()
        for polled in self._polled.values():
            if polled.tenure.expired:
                self._close(polled)
            if polled.is_due(now):
                self._start_step(polled)
        if all(polled.left for polled in self._polled.values()):
            self._consumer.finish()

    def _start_step(self, polled: _PolledConnection) -> None:
        if not self._closing and (polled.step is None or polled.step.done()):
            polled.step = self._context.executor.submit(self._step, polled)

    def _step(self, polled: _PolledConnection) -> None:
        """Acquire or renew the lease, and apply changes of the connection's record."""
        try:
            self._supervise(polled)
        except NotFound:
            if polled.connection:
                # The connection was deleted: delete its downlink queue too, if the broker permits it.
                self._consumer.delete_queue(polled.target.connection_id)
            polled.given_up = polled.left = True
        except Unavailable as error:
            # The lease is uncertain, so consuming stops; the broker requeues the unacknowledged downlinks.
            log.warning("poll interrupted", extra={"connection": polled.target.connection_id, "reason": str(error)})
            self._close(polled)
        except Exception:  # noqa: BLE001
            # An unforeseen error of one connection must not end the poll of the others.
            log.exception("poll failed", extra={"connection": polled.target.connection_id})
            self._give_up(polled)

    def _close(self, polled: _PolledConnection) -> None:
        if polled.connection:
            polled.connection = None
            self._consumer.close(polled.target.connection_id)

    def _give_up(self, polled: _PolledConnection) -> None:
        """Leave the connection: close it in order, with its unsettled downlinks handled, then release the lease."""

        def closed() -> None:
            # The release is a separate step, because a renewal in another thread would acquire the lease again.
            polled.closed = True
            self._start_step(polled)

        if not polled.given_up:
            polled.given_up = True
            self._consumer.close(polled.target.connection_id, closed)

    def _supervise(self, polled: _PolledConnection) -> None:
        now = self._context.monotonic()
        if polled.closed:
            self._release(polled)
            return
        if not polled.tenure.held or now >= polled.tenure.next_at:
            held = polled.tenure.held
            step = polled.tenure.step()
            if step in {Step.ASKED_FOR, Step.SUPERSEDED}:
                self._give_up(polled)
            elif step is Step.WAITING and held:
                # Another consumer holds the lease: stop consuming.
                self._close(polled)
        if polled.tenure.held and not polled.given_up and now >= polled.record_at:
            polled.record_at = now + self._context.timing.recheck
            self._apply_record(polled)

    def _current(self, polled: _PolledConnection) -> Connection:
        """Return the record. While the connection is open, a read at half the price is enough, unless it looks old."""
        connections, target = self._context.connections, polled.target
        if (held := polled.connection) is None:
            return connections.get(target.tenant, target.connection_id)
        try:
            current = connections.glance(target.tenant, target.connection_id)
        except NotFound:
            return connections.get(target.tenant, target.connection_id)
        return current if current.version >= held.version else held

    def _apply_record(self, polled: _PolledConnection) -> None:
        """Open the connection, open it again after a change, or give it up if the record says so."""
        connection_id = polled.target.connection_id
        current = self._current(polled)
        if not downlink_fault.poll_is_due(current, self._context.clock()):
            polled.connection = None
            self._give_up(polled)
            return
        before = polled.connection
        if before and before.version == current.version:
            return
        try:
            secrets = self._context.secrets.of(current)
        except NotFound:
            # The secret was replaced after the record was read: the next read of the record has its successor.
            return
        if before:
            self._consumer.close(connection_id)
        polled.connection = current
        self._consumer.open(current, secrets, current.old_bindings)

    def _on_batch(self, connection_id: str, messages: Sequence[ReceivedDownlink]) -> Sequence[Verdict]:
        """Return a verdict for each downlink. Runs in a thread of the consumer."""
        polled = self._polled[connection_id]
        if polled.connection is None:
            return [Verdict.LATER] * len(messages)
        return self._context.intake.accept(polled.connection, messages)

    def _on_opened(self, connection_id: str) -> None:
        polled = self._polled[connection_id]
        polled.opened = True
        connection = polled.connection
        if connection and connection.old_bindings:
            self._context.executor.submit(self._forget_old_bindings, connection)
        if connection and not self._recorder.is_recorded(connection):
            self._context.executor.submit(self._recorder.opened, connection)

    def _on_fault(self, connection_id: str, fault: BrokerFault) -> None:
        polled = self._polled[connection_id]
        connection, polled.connection = polled.connection, None
        was_open, polled.opened = polled.opened, False
        if was_open and polled.losses < MAX_LOSSES:
            # The broker restarted or the queue was deleted: the next lease renewal opens the connection again.
            polled.losses += 1
            log.info("downlink connection lost", extra={"connection": connection_id, "type": fault.type})
            return
        self._give_up(polled)
        if connection:
            self._context.executor.submit(self._recorder.failed, connection, fault)

    def _forget_old_bindings(self, connection: Connection) -> None:
        try:
            self._context.connections.forget_old_bindings(connection)
        except (NotFound, Unavailable) as error:
            # The next poll unbinds them again, at the cost of one round trip.
            log.warning("old bindings kept", extra={"connection": connection.id, "reason": str(error)})
